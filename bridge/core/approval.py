"""What a step is given once its gate has passed: the decision as the step's author reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bridge.core.evaluation import Outcome
from bridge.core.model import Decision, Standing

#: The artifact of a Metaflow step that holds it.
DECISION: Final = "hitl_decision"


@dataclass(frozen=True, slots=True)
class Approval:
    """A recorded approval; or a no that lets the run go on without the step's body."""

    gate: str  # its id
    key: str
    outcome: str
    by: str  # a person, the clock or a condition
    approvers: tuple[str, ...]
    reason: str
    inputs: Mapping[str, Any]
    decided_at: datetime  # in UTC
    commit: str  # of the ledger, which holds the record
    page: str | None  # the address where people answered, if there is one
    record: Decision  # whole, as the ledger has it

    def plain(self) -> dict[str, Any]:
        """The same in types that every Python can load, without the bridge."""
        return {
            "gate": self.gate,
            "key": self.key,
            "outcome": self.outcome,
            "by": self.by,
            "approvers": list(self.approvers),
            "reason": self.reason,
            "inputs": dict(self.inputs),
            "decided_at": self.decided_at.isoformat(),
            "commit": self.commit,
            "page": self.page,
        }


def approval_of(standing: Standing, decision: Decision) -> Approval:
    """`standing` is the gate as it was verified."""
    votes = decision.votes
    urls = (each.url for each in votes if each.url)
    return Approval(
        gate=decision.gate_id,
        key=standing.request.gate.key,
        outcome=decision.outcome.value,
        by=decision.by.value,
        approvers=tuple(
            dict.fromkeys(str(each.actor) for each in votes if decision.outcome is Outcome.APPROVED)
        ),
        reason=decision.reason,
        inputs=decision.inputs,
        decided_at=decision.decided_at,
        commit=standing.commit,
        page=next((each.partition("#")[0] for each in urls), None),
        record=decision,
    )
