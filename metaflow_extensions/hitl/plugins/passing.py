"""A Metaflow task at its gate: ask and wait, or in a pod only verify; and give up what waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bridge import inputs, wiring
from bridge.errors import BridgeError, GateShut
from bridge.model import ApprovalRequest, Gate, Standing
from bridge.open import open_gate
from bridge.settings import Settings
from bridge.verify import verify
from bridge.wait import pass_gate, withdraw

from .declaration import Declaration
from .guard import in_pod
from .request import Asked, condition_of, request_of


def pass_task(settings: Settings, asked: Asked, declared: Declaration) -> dict[str, Any]:
    """The approver's input. Raises `GateShut` and other `BridgeError`s."""
    if in_pod():
        if not settings.ledger:
            raise GateShut(
                f"{asked.gate.key} does not run: HITL_LEDGER is not set in this pod, so its"
                " decision cannot be read"
            )
        decision = verify(wiring.ledger(settings), _request(settings, asked, declared))
    else:
        settings = _telling(settings, declared)
        condition = condition_of(asked, declared, settings.environment)
        request = _request(settings, asked, declared)
        decision = pass_gate(wiring.here(settings), request, condition)
    objection = inputs.objection(declared.schema, decision.inputs)
    if objection:
        raise GateShut(
            f"{asked.gate.key} does not run: the recorded input does not fit, {objection}"
        )
    return dict(decision.inputs)


def open_task(settings: Settings, asked: Asked, declared: Declaration) -> Standing:
    """Open the gate of a task that runs elsewhere, later. Raises `BridgeError`s."""
    settings = _telling(settings, declared)
    ledger, notices = wiring.existing_ledger(settings), wiring.notices(settings)
    return open_gate(ledger, notices, _request(settings, asked, declared))


def _telling(settings: Settings, declared: Declaration) -> Settings:
    return settings if declared.notifies else replace(settings, apprise_urls=())


def _request(settings: Settings, asked: Asked, declared: Declaration) -> ApprovalRequest:
    from metaflow.util import get_username

    # In a pod of Argo the user is `argo-workflows`; the owner is who deployed the flow.
    initiator = os.environ.get("METAFLOW_OWNER") or get_username()
    request = request_of(asked, declared, wiring.clock(), initiator)
    return replace(request, workflow=settings.workflow)


def give_up(settings: Settings, origin: str, keys: Iterable[str]) -> None:
    """Withdraw those of these gates that still wait. Best effort: a failing run ends anyway."""
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
