"""A Metaflow task at its gate: ask and wait, or in a pod only verify; and give up what waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bridge import wiring
from bridge.core import input_fields
from bridge.core.errors import BridgeError, GateShut
from bridge.core.evaluation import Evidence
from bridge.core.gate_spec import GateSpec
from bridge.core.model import ApprovalRequest, Decision, Gate, Standing, Subject
from bridge.core.settings import Settings
from bridge.gates.decide import decide
from bridge.gates.open_gate import open_gate
from bridge.gates.open_page import ask, check_covered
from bridge.gates.verify import verify
from bridge.gates.wait import pass_gate, pass_page, withdraw
from bridge.local.notify import chosen

from .guard import in_pod
from .request import Asked, condition_of, request_of, subject_of


def pass_task(settings: Settings, asked: Asked, declared: GateSpec) -> dict[str, Any]:
    """The approver's input. Raises `GateShut` and other `BridgeError`s."""
    if in_pod():
        if not settings.ledger:
            raise GateShut(
                f"{asked.gate.key} does not run: HITL_LEDGER is not set in this pod, so its"
                " decision cannot be read"
            )
        decision = verify(wiring.ledger(settings), request_for(settings, asked, declared))
    else:
        decision = _decided(_telling(settings, declared), asked, declared)
    objection = input_fields.objection(declared.schema, decision.inputs)
    if objection:
        raise GateShut(
            f"{asked.gate.key} does not run: the recorded input does not fit, {objection}"
        )
    return dict(decision.inputs)


def _decided(settings: Settings, asked: Asked, declared: GateSpec) -> Decision:
    request, desk = request_for(settings, asked, declared), wiring.opening_desk(settings)
    if desk:
        return pass_page(wiring.waiting_at(desk), desk, request)
    condition = condition_of(asked, declared, settings.environment)
    return pass_gate(wiring.here(settings), request, condition)


def open_task(settings: Settings, asked: Asked, declared: GateSpec) -> tuple[Standing, str | None]:
    """Open the gate of a task that runs elsewhere, later; with its page's address on a forge.

    Raises `BridgeError`s.
    """
    settings = _telling(settings, declared)
    request, desk = request_for(settings, asked, declared), wiring.opening_desk(settings)
    if desk:
        standing, page = ask(desk, request)
        return standing, page.url if page else None
    ledger, notices = wiring.existing_ledger(settings), wiring.notices(settings)
    standing = open_gate(ledger, notices, request)
    condition = condition_of(asked, declared, settings.environment)
    if condition and condition.holds and standing.decision is None:
        # Who may push a plain ledger may record; a forge leaves this to its decider.
        evidence = Evidence(wiring.clock(), condition=condition)
        _, standing = decide(ledger, notices, standing, evidence)
    return standing, None


def check_policy(settings: Settings, flow: str, step: str, declared: GateSpec) -> None:
    """Raises where it is sure before the run that the gate of this step could not be asked."""
    desk = wiring.opening_desk(settings)
    if desk:
        subject = Subject(flow, step, settings.environment, settings.labels)
        check_covered(desk.forge.find([]).site, subject, declared.declared, initiator())


def _telling(settings: Settings, declared: GateSpec) -> Settings:
    urls = chosen(declared.notify, settings.apprise_urls)
    return replace(settings, apprise_urls=urls)


def request_for(settings: Settings, asked: Asked, declared: GateSpec) -> ApprovalRequest:
    """What is asked, computed in each process of the task anew, and the same in all of them."""
    request = request_of(asked, declared, wiring.clock(), initiator())
    request = replace(request, workflow=settings.workflow)
    if settings.github is None:
        return request
    subject = subject_of(asked, settings.environment, settings.labels)
    return replace(
        request, venue=settings.github.place, subject=subject, declared=declared.declared
    )


def initiator() -> str | None:
    """Whose run this is."""
    from metaflow.util import get_username

    # In a pod of Argo the user is `argo-workflows`; the owner is who deployed the flow.
    owner: str | None = os.environ.get("METAFLOW_OWNER") or get_username()
    return owner


def give_up(settings: Settings, origin: str, keys: Iterable[str]) -> None:
    """Withdraw those of these gates that still wait. Best effort: a failing run ends anyway.

    A forge's gates stay open: what is recorded of them is its decider's to record.
    """
    if settings.github:
        return
    try:
        ledger = wiring.ledger(settings)
        notices = wiring.notices(settings)
        for key in keys:
            standing = ledger.read(Gate(origin, key).id)
            if standing is None or standing.decision:
                continue
            why = "the run failed in another task"
            withdraw(ledger, notices, standing.request, why, wiring.clock())
    except BridgeError as error:
        print(f"hitl: a gate of this run could not be withdrawn: {error}")
