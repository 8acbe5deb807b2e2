"""A Metaflow task at its gate: ask and wait, or in a pod only verify; and give up what waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bridge import inputs, wiring
from bridge.errors import BridgeError, GateShut
from bridge.model import Decider, Decision, Gate
from bridge.settings import Settings
from bridge.verify import verify
from bridge.wait import pass_gate, withdraw

from .declaration import Declaration
from .request import Asked, condition_of, request_of

#: Set by Metaflow, and by AWS Batch, in the containers that they start.
_POD_SIGNS = ("METAFLOW_KUBERNETES_WORKLOAD", "AWS_BATCH_JOB_ID")


def pass_task(settings: Settings, asked: Asked, declared: Declaration) -> dict[str, Any]:
    """The approver's input. Raises `GateShut` and other `BridgeError`s."""
    from metaflow.util import get_username

    def request() -> Any:
        return request_of(asked, declared, wiring.clock(), get_username())

    if any(sign in os.environ for sign in _POD_SIGNS):
        decision = verify(wiring.ledger(settings), request())
    else:
        if not declared.notifies:
            settings = replace(settings, apprise_urls=())
        condition = condition_of(asked, declared, settings.environment)
        decision = pass_gate(wiring.here(settings), request(), condition)
    return _input(asked.gate, declared, decision)


def _input(gate: Gate, declared: Declaration, decision: Decision) -> dict[str, Any]:
    if decision.by is not Decider.PERSON:
        # Nobody was there to give an input: what has a default has it, the rest is absent.
        return {
            each.name: each.default
            for each in inputs.fields(declared.schema)
            if "default" in each.schema
        }
    objection = inputs.objection(declared.schema, decision.inputs)
    if objection:
        raise GateShut(f"{gate.key} does not run: the recorded input does not fit, {objection}")
    return dict(decision.inputs)


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
