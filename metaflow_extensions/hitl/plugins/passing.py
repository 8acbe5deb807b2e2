"""A Metaflow task at its gate: ask and wait, or in a pod only verify; and give up what waits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace

from bridge import wiring
from bridge.core import input_fields
from bridge.core.approval import Approval, approval_of
from bridge.core.comparison import declared_better
from bridge.core.conditions import Function, judge, parse
from bridge.core.errors import BridgeError, Faults, GateShut, NoLedger
from bridge.core.evaluation import Condition, Decider
from bridge.core.gate_spec import GateSpec
from bridge.core.model import ApprovalRequest, Decision, Draft, Gate, Standing, Subject
from bridge.core.settings import Settings
from bridge.gates.venue import Opened
from bridge.gates.verify import Compute, GateSkipped
from bridge.gates.wait import pass_gate, say_passed
from bridge.local.notify import chosen
from bridge.render.declared_names import notes
from metaflow_extensions.hitl.asking import apart
from metaflow_extensions.hitl.stored_bytes import Watch

from .guard import in_pod
from .request import GatedTask, bytes_of, condition_of, draft_of, plain_artifacts, readable


def pass_task(
    settings: Settings, task: GatedTask, declared: GateSpec, watch: Watch | None
) -> Approval:
    """The approval that lets the task run, or the decision to skip its body. Raises `GateShut` and
    other `BridgeError`s."""
    verified: list[Standing] = []

    def again(standing: Standing) -> Draft:
        verified.append(standing)
        # In this order: an object that is loaded could change what is looked at after it.
        _check_bytes(task, standing.request, watch)
        _check_plain_values(task, declared, standing.request)
        _check_condition(settings, task, declared, standing.decision)
        return _draft(settings, task, declared)

    try:
        decision = _passed(settings, task, declared, watch, again)
    except GateSkipped as skipped:
        print(f"hitl: {skipped}", file=sys.stderr, flush=True)
        return approval_of(verified[-1], skipped.decision)
    objection = input_fields.objection(verified[-1].request.schema, decision.inputs)
    if objection:
        raise GateShut(
            f"{task.gate.key} does not run: the recorded input does not fit, {objection}"
        )
    return approval_of(verified[-1], decision)


def _passed(
    settings: Settings, task: GatedTask, declared: GateSpec, watch: Watch | None, again: Compute
) -> Decision:
    if in_pod():
        if not settings.ledger:
            raise GateShut(
                f"{task.gate.key} does not run: HITL_LEDGER is not set in this pod, so its"
                " decision cannot be read"
            )
        venue = wiring.existing_venue(settings)
        decision = venue.verify(task.gate, again)
        say_passed(task.gate.key, decision, venue.address)
        return decision
    draft, condition = apart(lambda: _asked(settings, task, declared, watch))
    venue = wiring.venue(_telling(settings, declared))
    return pass_gate(venue, wiring.run(settings), draft, condition, again)


def _asked(
    settings: Settings, task: GatedTask, declared: GateSpec, watch: Watch | None
) -> tuple[Draft, Condition | None]:
    if watch:
        watch.end()
    condition = condition_of(task, declared, settings.environment)
    return _said(_draft(settings, task, declared)), condition


def _check_bytes(task: GatedTask, approved: ApprovalRequest, watch: Watch | None) -> None:
    """The stored bytes are those that were approved, and from now on no others can be loaded."""
    now = bytes_of(task)
    before = {(each.name, each.digest) for each in approved.artifacts}
    if now.artifacts != before:
        names = ", ".join(sorted({name for name, _ in now.artifacts ^ before}))
        raise GateShut(
            f"{task.gate.key} does not run: what was approved is not what is here now (changed:"
            f" {names})"
        )
    if watch:
        watch.hold_to(now.digests, now.names)


def _check_plain_values(task: GatedTask, declared: GateSpec, approved: ApprovalRequest) -> None:
    """The page showed these values as they are, whatever the objects beside them do."""
    before = {each.name: each for each in approved.artifacts if each.is_read}
    now = declared_better(plain_artifacts(task), declared.better)
    lies = [each.name for each in now if before.get(each.name, each) != each]
    if lies:
        raise GateShut(
            f"{task.gate.key} does not run: what was approved is not what is here now (the page"
            f" showed other values of: {', '.join(sorted(lies))})"
        )


def _check_condition(
    settings: Settings, task: GatedTask, declared: GateSpec, decision: Decision | None
) -> None:
    """A condition that approved by itself holds here too. A function of the flow's own is not
    called twice: it may read the clock."""
    condition = decision.condition if decision and decision.by is Decider.CONDITION else None
    if condition is None:
        return
    if isinstance(declared.condition, Function) and declared.condition.text == condition.text:
        return
    try:
        holds = judge(parse(condition.text), readable(task, settings.environment)).holds
    except Faults:
        holds = False
    if not holds:
        raise GateShut(
            f"{task.gate.key} does not run: the condition {condition.text} approved it, and does"
            " not hold here"
        )


def open_task(settings: Settings, task: GatedTask, declared: GateSpec) -> Opened:
    """Open the gate of a task that runs elsewhere, later. Raises `BridgeError`s."""
    venue = wiring.existing_venue(_telling(settings, declared))
    opened = venue.open(_said(_draft(settings, task, declared)))
    condition = condition_of(task, declared, settings.environment)
    return replace(opened, standing=venue.judge(opened.standing, condition=condition))


def check_before_run(settings: Settings, flow: str, step: str, declared: GateSpec) -> bool:
    """Raises if it is sure already that the gate of this step could not be asked.

    Whether its decision could be read on another machine than this.
    """
    try:
        venue = wiring.existing_venue(settings)
    except NoLedger:  # the first gate makes one, on this machine's disk
        return False
    subject = Subject(flow, step, settings.environment, settings.labels)
    venue.check(subject, declared.declared, initiator())
    venue.ledger.head()
    return not venue.ledger.is_path and not venue.ledger.where.startswith("file:")


def _telling(settings: Settings, declared: GateSpec) -> Settings:
    urls = chosen(declared.notify, settings.apprise_urls)
    return replace(settings, apprise_urls=urls)


def _draft(settings: Settings, task: GatedTask, declared: GateSpec) -> Draft:
    """What is asked, computed in each process of the task anew, and the same in all of them."""
    return draft_of(task, declared, settings, initiator())


def _said(draft: Draft) -> Draft:
    for says in (*notes(draft), *(each.why for each in draft.not_drawn)):
        print(f"hitl: {says}", file=sys.stderr)
    return draft


def initiator() -> str | None:
    """Whose run this is."""
    from metaflow.util import get_username

    # In a pod of Argo the user is `argo-workflows`; the owner is who deployed the flow.
    owner: str | None = os.environ.get("METAFLOW_OWNER") or get_username()
    return owner


def give_up(settings: Settings, origin: str, keys: Iterable[str]) -> None:
    """Withdraw those of these gates that still wait. Best effort: a failing run ends anyway."""
    try:
        venue = wiring.existing_venue(settings)
        ours = {Gate(origin, key).id for key in keys}
        with venue.ledger.connected():
            for gate in ours & {each.id for each in venue.unsettled()}:
                standing = venue.ledger.read(gate)
                if standing and standing.decision is None:
                    venue.withdraw(standing, "the run failed in another task")
    except BridgeError as error:
        print(f"hitl: a gate of this run could not be withdrawn: {error}")


def say_end(settings: Settings, origin: str, keys: Iterable[str], *, well: bool) -> None:
    """Say on the pages of these gates how the run ended. Best effort: it has ended anyway."""
    try:
        ids = [Gate(origin, key).id for key in sorted(keys)]
        wiring.existing_venue(settings).say_ended(ids, well=well)
    except BridgeError as error:
        print(f"hitl: the page does not say how the run ended: {error}", file=sys.stderr)
