"""Verify a gate: the gated step asks the ledger before any user code runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.core.artifacts import as_recorded
from bridge.core.digest import digest_of
from bridge.core.errors import BridgeError, GateShut
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import left_out
from bridge.core.model import HERE, ApprovalRequest, Decision, Draft, Gate, Place, Standing
from bridge.core.picture import as_recorded as pictures_as_recorded
from bridge.gates.ports import Ledger
from bridge.policy.evaluate import evaluate
from bridge.policy.objections import lost

#: Computes once more what a gate asks, given the gate as it was approved.
Compute = Callable[[Standing], Draft]


class GateSkipped(GateShut):
    """The gated step's body must not run, and the run goes on without it."""

    def __init__(self, says: str, decision: Decision) -> None:
        super().__init__(says)
        self.decision = decision


def verify(ledger: Ledger, draft: Draft, venue: Place = HERE) -> Decision:
    """The recorded approval of exactly this draft; raises `GateShut` in every other case."""
    return verify_gate(ledger, draft.gate, lambda _: draft, venue)


def verify_gate(ledger: Ledger, gate: Gate, compute: Compute, venue: Place = HERE) -> Decision:
    """The recorded approval of exactly what `compute` says; raises `GateShut` in every other case,
    and `GateSkipped` if the recorded no is of exactly that, and the run goes on after it.

    Nothing is computed before an approval is found: to read an artifact may run its code. `venue`
    says where the step expects the gate to be decided. The policy is that of the recorded request:
    the flow that is about to run does not choose what its own approval took.
    """
    key = gate.key
    try:
        standing = ledger.read_decided(gate.id)
    except BridgeError as error:
        raise GateShut(f"{key} does not run: {error}") from error
    if standing is None:
        raise GateShut(f"{key} does not run: nobody was asked; {ledger.where} has no such gate")
    decision = standing.decision
    if decision is None:
        raise GateShut(f"{key} does not run: it is still waiting for a decision")
    skips = standing.request.skips(decision.outcome)
    if decision.outcome is not Outcome.APPROVED and not skips:
        # Some reasons begin with the outcome: `rejected by Ann: too low`, `withdrawn: the run …`.
        named = decision.by is Decider.PERSON or decision.reason.startswith(f"{decision.outcome}:")
        what = "" if named else f"{decision.outcome}, "
        raise GateShut(f"{key} does not run: {what}{decision.reason}")
    recorded = standing.request
    again = asked_again(compute(standing), recorded, venue)
    if digest_of(again) != decision.request_digest:
        raise GateShut(
            f"{key} does not run: what was approved is not what is here now"
            f" ({_difference(recorded, again)})"
        )
    if lost(standing.objections, decision.objections):
        raise GateShut(f"{key} does not run: its decision leaves out an objection on record")
    if left_out(standing.facts, decision.facts):
        raise GateShut(f"{key} does not run: its decision leaves out a proven fact on record")
    # The record is judged again: an approval that its votes do not carry is not the bridge's.
    judged = evaluate(recorded, decision.evidence)
    if (judged.outcome, judged.by) != (decision.outcome, decision.by):
        raise GateShut(
            f"{key} does not run: the ledger says {decision.outcome} by a {decision.by}, but what"
            f" is recorded there does not carry it ({judged.reason})"
        )
    if skips:
        raise GateSkipped(f"{key} is skipped: {decision.reason}", decision)
    return decision


def asked_again(draft: Draft, recorded: ApprovalRequest, venue: Place) -> ApprovalRequest:
    """The request that the draft makes, for this venue, if it is the one on record.

    What the step can't know it takes from the record: the policy, the links, and the repository's
    number.
    """
    place = recorded.venue if recorded.venue.same(venue) else venue
    return replace(
        draft.bound(recorded.policy, recorded.opened_at, place),
        artifacts=as_recorded(draft.artifacts, recorded.artifacts),
        links=recorded.links,
        shard=recorded.shard,
        baseline=recorded.baseline,
        pictures=pictures_as_recorded(draft.drawn, draft.not_drawn, recorded.pictures),
    )


def _difference(approved: ApprovalRequest, now: ApprovalRequest) -> str:
    if approved.message != now.message:
        return "the message differs"
    if not approved.venue.same(now.venue):
        return f"it was asked {_place(approved.venue)}, and this step expects {_place(now.venue)}"
    before = {each.name: each.digest for each in approved.artifacts}
    after = {each.name: each.digest for each in now.artifacts}
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    if names:
        return f"changed: {', '.join(names)}"
    other = sorted(
        one.name
        for one in approved.artifacts
        if all(one != each for each in now.artifacts if each.name == one.name)
    )
    if other:
        return f"the page showed other values of: {', '.join(other)}"
    if approved.pictures != now.pictures:
        return "the page showed other pictures"
    return "the input schema or the gate differs"


def _place(venue: Place) -> str:
    return f"on {venue.name}" if venue.name else "on this machine"
