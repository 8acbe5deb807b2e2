"""Decide a gate: judge the evidence; if it is enough, record the decision, then tell people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bridge.core import log
from bridge.core.digest import digest_of
from bridge.core.evaluation import (
    Actor,
    Answer,
    Decider,
    Evaluation,
    Evidence,
    JudgedVote,
    Membership,
    Outcome,
    ReasonCode,
    Verdict,
)
from bridge.core.facts import weighed
from bridge.core.input_fields import filled, objection
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.gates.ports import Ledger, Notices
from bridge.gates.recording import Deciding
from bridge.policy.agreement import together
from bridge.policy.approvers import Memberships, may_object
from bridge.policy.claims import as_asked
from bridge.policy.evaluate import evaluate

_log = log.logger("gates")


def decide(
    ledger: Ledger,
    notices: Notices,
    standing: Standing,
    evidence: Evidence,
    policy_source: str = "the request",
    page: str | None = None,
) -> Deciding[tuple[Evaluation, Standing]]:
    """The evaluation, and the gate as it is after it. The first decision wins.

    What is decided and what is objected is on record before anybody is answered.
    If the standing's decision is not this evaluation's, somebody else was first.
    """
    # The one door to the record: an approval whose input does not fit its schema stays outside.
    fits = partial(objection, standing.request.schema)
    learned = tuple(dict.fromkeys((*standing.facts, *evidence.facts)))
    evidence = replace(evidence, objections=standing.objections, facts=learned)
    evaluation = evaluate(standing.request, evidence, fits)
    if standing.decision:
        _tell(standing, evidence, evaluation, "recorded nothing")
        return evaluation, standing
    if evaluation.outcome is Outcome.PENDING:
        return evaluation, _held(ledger, standing, evidence, evaluation)
    offered = decision_of(standing, evaluation, evidence, policy_source)
    after = yield offered
    _tell(standing, evidence, evaluation, f"the ledger has the decision in {after.commit}")
    if after.decision and replace(after.decision, previous=None) == offered:
        notices.decided(after.request, after.decision, page)
    return evaluation, after


def _held(
    ledger: Ledger, standing: Standing, evidence: Evidence, evaluation: Evaluation
) -> Standing:
    """The gate with every objection, and every end of one, on record: a page can be changed."""
    if evaluation.objections == standing.objections:
        _tell(standing, evidence, evaluation, "recorded nothing")
        return standing
    _tell(standing, evidence, evaluation, f"recording {len(evaluation.objections)} objections")
    return ledger.hold(standing.request.gate.id, evaluation.objections)


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
    considered = tuple(_considered(request, evaluation, evidence))
    return Decision(
        gate_id=request.gate.id,
        outcome=evaluation.outcome,
        by=evaluation.by or Decider.RUN,
        reason=evaluation.reason,
        request_digest=digest_of(request),
        # A clock set back must not date a decision before its request.
        decided_at=max(evidence.now, as_asked(request, evidence.facts).opened_at),
        considered=considered,
        inputs=_inputs(request, evaluation),
        condition=evidence.condition,
        memberships=_of_voters(considered, evidence),
        author=evidence.author,
        objections=evaluation.objections,
        facts=weighed(evidence.facts, request.facts),
        policy_source=policy_source,
        format=request.format,
    )


def _considered(
    request: ApprovalRequest, evaluation: Evaluation, evidence: Evidence
) -> Iterator[JudgedVote]:
    """The votes that count, and those that do not though their authors may have a say."""
    for vote in (*evaluation.candidates, *evaluation.withdrawals):
        yield JudgedVote(vote, counts=True, code=_COUNTED.get(vote.verdict, ReasonCode.REJECTED))
    known = Memberships(evidence.memberships)
    mattered = [
        each for each in evaluation.dismissals if _could_matter(request, each.vote.actor, known)
    ]
    for each in mattered[-_MOST_DISMISSED:]:
        # What it says is not judged again: a vote that does not count is there to be read.
        vote = replace(each.vote, reason=each.vote.reason[:_LONGEST_REASON], inputs=None)
        yield JudgedVote(vote, counts=False, code=each.why.code, why=each.why.says)


_COUNTED: Final = {
    Verdict.APPROVE: ReasonCode.APPROVED,
    Verdict.WITHDRAW: ReasonCode.WITHDRAWN,
}
#: A stranger may send hundreds of comments, each of a page: the record has no room for them.
_MOST_DISMISSED: Final = 100
_LONGEST_REASON: Final = 1_000


def _could_matter(request: ApprovalRequest, actor: Actor, members: Memberships) -> bool:
    if actor.bot:
        return False
    return may_object(request.policy, actor, members).answer is not Answer.NOT


def _of_voters(considered: Iterable[JudgedVote], evidence: Evidence) -> tuple[Membership, ...]:
    """The forge's answers that the decision rests on, so that it can be judged again."""
    votes = [each.vote for each in considered]
    people = [actor for vote in votes for actor in (vote.actor, vote.dismissed_by)]
    ids = {actor.id for actor in people if actor}
    return tuple(fact for fact in evidence.memberships if fact.user in ids)


def _inputs(request: ApprovalRequest, evaluation: Evaluation) -> Mapping[str, Any]:
    """What the approvers gave, who agree on it, and defaults for what nobody gave."""
    if evaluation.outcome is not Outcome.APPROVED:
        return {}
    votes = [vote for vote in evaluation.candidates if vote.verdict is Verdict.APPROVE]
    return filled(request.schema, together(votes))
