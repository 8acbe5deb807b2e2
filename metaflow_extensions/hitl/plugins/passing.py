"""A Metaflow task at its gate: ask and wait, or in a pod only verify; and give up what waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bridge import wiring
from bridge.core import input_fields
from bridge.core.errors import BridgeError, GateShut, NoLedger
from bridge.core.gate_spec import GateSpec
from bridge.core.model import Draft, Gate, Subject
from bridge.core.settings import Settings
from bridge.gates.venue import Opened
from bridge.gates.wait import pass_gate
from bridge.local.notify import chosen

from .guard import in_pod
from .request import GatedTask, condition_of, draft_of


def pass_task(settings: Settings, task: GatedTask, declared: GateSpec) -> dict[str, Any]:
    """The approver's input. Raises `GateShut` and other `BridgeError`s."""
    if in_pod():
        if not settings.ledger:
            raise GateShut(
                f"{task.gate.key} does not run: HITL_LEDGER is not set in this pod, so its"
                " decision cannot be read"
            )
        venue = wiring.existing_venue(settings)
        decision = venue.verify(task.gate, lambda _: _draft(settings, task, declared))
    else:
        draft = _draft(settings, task, declared)
        condition = condition_of(task, declared, settings.environment)
        venue = wiring.venue(_telling(settings, declared))
        decision = pass_gate(venue, wiring.run(), draft, condition)
    objection = input_fields.objection(declared.schema, decision.inputs)
    if objection:
        raise GateShut(
            f"{task.gate.key} does not run: the recorded input does not fit, {objection}"
        )
    return dict(decision.inputs)


def open_task(settings: Settings, task: GatedTask, declared: GateSpec) -> Opened:
    """Open the gate of a task that runs elsewhere, later. Raises `BridgeError`s."""
    venue = wiring.existing_venue(_telling(settings, declared))
    opened = venue.open(_draft(settings, task, declared))
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
    return not venue.ledger.is_path and not venue.ledger.where.startswith("file:")


def _telling(settings: Settings, declared: GateSpec) -> Settings:
    urls = chosen(declared.notify, settings.apprise_urls)
    return replace(settings, apprise_urls=urls)


def _draft(settings: Settings, task: GatedTask, declared: GateSpec) -> Draft:
    """What is asked, computed in each process of the task anew, and the same in all of them."""
    return draft_of(task, declared, settings, initiator())


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
        for gate in ours & {each.id for each in venue.unsettled()}:
            standing = venue.ledger.read(gate)
            if standing and standing.decision is None:
                venue.withdraw(standing, "the run failed in another task")
    except BridgeError as error:
        print(f"hitl: a gate of this run could not be withdrawn: {error}")
