"""Decide a gate: judge the evidence; where it is enough, record the decision, then tell people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bridge.core import log
from bridge.core.digest import digest_of
from bridge.core.evaluation import Decider, Evaluation, Evidence, Membership, Outcome, Verdict
from bridge.core.input_fields import filled, objection
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.gates.ports import Ledger, Notices
from bridge.policy.agreement import together
from bridge.policy.evaluate import evaluate

_log = log.logger("gates")


def decide(
    ledger: Ledger,
    notices: Notices,
    standing: Standing,
    evidence: Evidence,
    policy_source: str = "the request",
) -> tuple[Evaluation, Standing]:
    """The evaluation, and the gate as it stands after it. The first decision wins.

    Where the standing's decision is not this evaluation's, somebody else was first.
    """
    # The one door to the record: an approval whose input does not fit its schema stays outside.
    fits = partial(objection, standing.request.schema)
    evaluation = evaluate(standing.request, evidence, fits)
    if standing.decision or evaluation.outcome is Outcome.PENDING:
        _tell(standing, evidence, evaluation, "recorded nothing")
        return evaluation, standing
    offered = decision_of(standing, evaluation, evidence, policy_source)
    after = ledger.record(offered)
    _tell(standing, evidence, evaluation, f"the ledger has the decision in {after.commit}")
    if after.decision and replace(after.decision, previous=None) == offered:
        notices.decided(after.request, after.decision)
    return evaluation, after


def _tell(standing: Standing, evidence: Evidence, evaluation: Evaluation, did: str) -> None:
    before = standing.decision
    _log.debug(
        "gate %s: saw %d votes, %s: %s (%s); %s",
        standing.request.gate.id,
        len(evidence.votes),
        f"decided before as {before.outcome.value}" if before else "no decision",
        evaluation.outcome.value,
        evaluation.reason,
        did,
    )


def decision_of(
    standing: Standing,
    evaluation: Evaluation,
    evidence: Evidence,
    policy_source: str = "the request",
) -> Decision:
    """The decision that this evaluation amounts to."""
    request = standing.request
    return Decision(
        gate_id=request.gate.id,
        outcome=evaluation.outcome,
        by=evaluation.by or Decider.RUN,
        reason=evaluation.reason,
        request_digest=digest_of(request),
        # A clock set back must not date a decision before its request.
        decided_at=max(evidence.now, request.opened_at),
        votes=evaluation.candidates,
        inputs=_inputs(request, evaluation),
        condition=evidence.condition,
        memberships=_of_voters(evaluation, evidence),
        author=evidence.author,
        policy_source=policy_source,
    )


def _of_voters(evaluation: Evaluation, evidence: Evidence) -> tuple[Membership, ...]:
    """The forge's answers that the decision rests on, so that it can be judged again."""
    people = [actor for vote in evaluation.candidates for actor in (vote.actor, vote.dismissed_by)]
    ids = {actor.id for actor in people if actor}
    return tuple(fact for fact in evidence.memberships if fact.user in ids)


def _inputs(request: ApprovalRequest, evaluation: Evaluation) -> Mapping[str, Any]:
    """What the approvers gave, who agree on it, and defaults for what nobody gave."""
    if evaluation.outcome is not Outcome.APPROVED:
        return {}
    votes = [vote for vote in evaluation.candidates if vote.verdict is Verdict.APPROVE]
    return filled(request.schema, together(votes))
