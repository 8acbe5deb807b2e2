"""What a tool says that it ran, held against what the ledger says was approved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.core.evaluation import Outcome
from bridge.core.model import Decision, Standing
from bridge.core.timestamps import moment_out


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A task, as the tool that ran it keeps it. The person who starts a run can write all of it."""

    key: str  # `Flow/run/step/task`, which its gate has for its natural key
    gated: bool | None  # whether the code of its run has a gate at this step, if that is known
    ran: bool  # whether its body began: a task that waits, or is rejected, is a task too
    root: str | None = None  # of the datastore
    finished_at: datetime | None = None
    cloned_from: str | None = None  # the task whose results `resume` took over
    gate: str | None = None  # the key of its gate, if the gate is a step of its own

    @property
    def gate_key(self) -> str:
        """The key of the gate that has to cover it."""
        return self.gate or self.cloned_from or self.key


class Found(StrEnum):
    """What became of one task, the worst first."""

    GAP = "gap"
    NOT_RUN = "not run"
    COVERED = "covered"


@dataclass(frozen=True, slots=True)
class Coverage:
    """One task beside its decision."""

    found: Found
    task: TaskRun
    why: str
    gate_id: str | None = None
    decided_at: datetime | None = None


def cover(task: TaskRun, standings: Sequence[Standing], *, unreadable: bool = False) -> Coverage:
    """Hold one task against the gates of its key.

    `unreadable`: the ledger has a decision of this key that doesn't count, such as an unsigned one.
    """
    of_task = [each for each in standings if _is_of(task, each)]
    own = [each.decision for each in of_task if each.decision]
    decision = min(own, key=_rank, default=None)
    skipped = (each for each in of_task if each.request.skips(_outcome(each)))
    if (
        decision
        and task.ran
        and task.gated is not False
        and decision in (each.decision for each in skipped)
    ):
        says = f"its body was skipped: {decision.reason}"
        return Coverage(Found.COVERED, task, says, decision.gate_id, decision.decided_at)
    found, why = _judge(task, decision, elsewhere=len(standings) > len(own), unreadable=unreadable)
    if decision is None:
        return Coverage(found, task, why)
    return Coverage(found, task, why, decision.gate_id, decision.decided_at)


def _outcome(standing: Standing) -> Outcome:
    return standing.decision.outcome if standing.decision else Outcome.PENDING


def _is_of(task: TaskRun, standing: Standing) -> bool:
    """Whether the gate was asked where the task ran. On Argo, the workflow's uid follows `#`."""
    gate = standing.request.gate
    return gate.key == task.gate_key and task.root in (None, gate.origin.partition("#")[0])


def _rank(decision: Decision) -> tuple[bool, datetime]:
    """An approval first, and the earliest: a workflow that was made again has another gate."""
    return decision.outcome is not Outcome.APPROVED, decision.decided_at


def _judge(
    task: TaskRun, decision: Decision | None, *, elsewhere: bool, unreadable: bool
) -> tuple[Found, str]:
    if not task.ran:
        return Found.NOT_RUN, decision.reason if decision else "it did not run, nothing is decided"
    if task.gated is False and not (decision and task.cloned_from):
        return Found.GAP, "it ran without a gate: the code of its run has none at this step"
    if decision is None:
        return Found.GAP, _missing(task, elsewhere=elsewhere, unreadable=unreadable)
    if decision.outcome is not Outcome.APPROVED:
        return Found.GAP, f"it ran, and the ledger says {decision.outcome}: {decision.reason}"
    if task.finished_at and decision.decided_at > task.finished_at:
        at, ended = moment_out(decision.decided_at), moment_out(task.finished_at)
        return Found.GAP, f"it ended at {ended}, and was approved after that, at {at}"
    return Found.COVERED, decision.reason


def _missing(task: TaskRun, *, elsewhere: bool, unreadable: bool) -> str:
    if unreadable:
        ask = f"`hitl ledger verify-gate {task.gate_key}`"
        return f"it ran, and its decision does not count: {ask} says why"
    if elsewhere:
        return "it ran, and only a task of this name in another datastore has a decision"
    if task.gated is None:
        return "it ran, the ledger has no decision, and the code of its run is not known"
    return "it ran, and the ledger has no decision"
