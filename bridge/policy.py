"""The judge: a request and the evidence in, an evaluation with its reasons out.

No I/O, no clock of its own, no order: the same evidence in any order gives the same evaluation.
What is not proven does not count, so absence is pending. The same record gives the same verdict
years later: the gated step and an audit judge the recorded votes again.

Each rule is counted by itself, as code owners are: someone who stands in two rules of an `AllOf`
answers for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.errors import Faults
from bridge.inputs import owed
from bridge.model import (
    Actor,
    AllOf,
    AnyOf,
    ApprovalRequest,
    Approvals,
    Decider,
    Dismissal,
    Evaluation,
    Evidence,
    Finding,
    OnTimeout,
    Outcome,
    Policy,
    Rule,
    Verdict,
    Vote,
)
from bridge.records import digest_of

#: Why an approval's input does not fit; None where it does (`inputs.objection`).
Misfit = Callable[[Mapping[str, Any] | None], str | None]


def evaluate(
    request: ApprovalRequest, evidence: Evidence, misfit: Misfit | None = None
) -> Evaluation:
    """Where the gate stands on this evidence.

    A rejection by someone who may decide outweighs every approval; then the rule; then a condition
    the policy names; then the clock.

    `misfit` looks at the input of an approval, and belongs to the moment of deciding: `decide`
    always gives it, so that nothing unfit is recorded. Judging a record again does without, because
    the schema's library is not everywhere where a gated step runs.
    """
    candidates, dismissals = sift(request, evidence.votes, misfit)
    tree = weigh(request.policy.require, [v for v in candidates if v.verdict is Verdict.APPROVE])
    refusals = [vote for vote in candidates if vote.verdict is Verdict.REJECT]
    if refusals:
        outcome, by, says = _refused(refusals)
    elif tree.met:
        names = ", ".join(sorted({str(vote.actor) for vote in candidates}))
        outcome, by, says = Outcome.APPROVED, Decider.PERSON, f"approved by {names}"
    elif _condition_holds(request, evidence):
        says = f"approved automatically: {request.policy.auto_approve_if}"
        outcome, by = Outcome.APPROVED, Decider.CONDITION
    elif overdue(request, evidence.now) and request.policy.on_timeout is not OnTimeout.NOTIFY:
        outcome, by, says = _timed_out(request, tree if candidates else None)
    else:
        return Evaluation(
            Outcome.PENDING,
            None,
            Finding(f"waiting: {tree.says}", False, (tree,)),
            candidates,
            dismissals,
        )
    finding = Finding(says, outcome is Outcome.APPROVED, (tree,))
    return Evaluation(outcome, by, finding, candidates, dismissals)


_Verdict = tuple[Outcome, Decider, str]


def _refused(refusals: Sequence[Vote]) -> _Verdict:
    first = min(refusals, key=_age)
    said = f": {first.reason}" if first.reason else ""
    return Outcome.REJECTED, Decider.PERSON, f"rejected by {first.actor}{said}"


def _condition_holds(request: ApprovalRequest, evidence: Evidence) -> bool:
    condition = evidence.condition
    named = condition is not None and condition.text == request.policy.auto_approve_if
    return named and condition is not None and condition.holds


def _timed_out(request: ApprovalRequest, tree: Finding | None) -> _Verdict:
    deadline = _deadline(request)
    says = f"by {deadline} there was only {tree.says}" if tree else f"nobody answered by {deadline}"
    if request.policy.on_timeout is OnTimeout.APPROVE:
        return Outcome.APPROVED, Decider.CLOCK, f"{says}, and the policy then approves"
    return Outcome.EXPIRED, Decider.CLOCK, says


def _deadline(request: ApprovalRequest) -> str:
    return f"{request.expires_at:%Y-%m-%d %H:%M:%S} UTC"


def overdue(request: ApprovalRequest, now: datetime) -> bool:
    """Whether the deadline has passed. A clock set back only ever makes a gate wait longer."""
    return request.expires_at is not None and now >= request.expires_at


def sift(
    request: ApprovalRequest, votes: Sequence[Vote], misfit: Misfit | None = None
) -> tuple[tuple[Vote, ...], tuple[Dismissal, ...]]:
    """The votes that may count, one a person, and those that do not, each with its reason."""
    digest = digest_of(request)
    counted: dict[str, Vote] = {}
    dismissed: list[Dismissal] = []
    for vote in sorted(votes, key=_age):
        reason = _objection(request, digest, vote) or _misfitting(vote, misfit)
        if reason:
            dismissed.append(Dismissal(vote, reason))
            continue
        who = _identity(vote)
        if who in counted:
            dismissed.append(Dismissal(counted[who], "they have answered again since"))
        counted[who] = vote
    return tuple(counted.values()), tuple(dismissed)


def _objection(request: ApprovalRequest, digest: str, vote: Vote) -> str | None:
    if vote.digest != digest:
        return "it answers another version of this request"
    if request.forge and (not vote.actor.proven or vote.actor.id is None):
        return f"this gate is decided on {request.forge}, which has not vouched for {vote.actor}"
    if request.forge and request.initiator and vote.actor.answers_to(request.initiator):
        return f"{vote.actor} started this run, and somebody else must decide about it"
    if overdue(request, vote.at) and request.policy.on_timeout is not OnTimeout.NOTIFY:
        return f"it came after the deadline, {_deadline(request)}"
    if not may_decide(request.policy.require, vote.actor):
        return f"{vote.actor} is not among those who may decide: {who_may(request.policy.require)}"
    return None


def _misfitting(vote: Vote, misfit: Misfit | None) -> str | None:
    says = misfit(vote.inputs) if misfit and vote.verdict is Verdict.APPROVE else None
    return f"its input does not fit: {says}" if says else None


def _age(vote: Vote) -> tuple[datetime, bool, str, str, str, str]:
    # A total order, so that evidence in another order is the same evidence; at the same second a
    # rejection is taken for the later word.
    return (
        vote.at,
        vote.verdict is Verdict.REJECT,
        _identity(vote),
        vote.reason,
        vote.url or "",
        repr(vote),
    )


def _identity(vote: Vote) -> str:
    actor = vote.actor
    if actor.proven and actor.id is not None:
        return f"#{actor.id}"
    return (actor.email or actor.name).casefold()


def may_decide(rule: Rule, actor: Actor) -> bool:
    """Whether this person stands anywhere in the rule."""
    match rule:
        case Approvals(by=actors):
            return actors.anyone or any(actor.answers_to(name) for name in actors.names)
        case AllOf(rules) | AnyOf(rules):
            return any(may_decide(each, actor) for each in rules)


def weigh(rule: Rule, approvals: Sequence[Vote]) -> Finding:
    """How far these approvals, one a person, satisfy the rule, as a tree."""
    match rule:
        case Approvals(by=actors, count=count):
            have = [vote for vote in approvals if may_decide(rule, vote.actor)]
            who = sorted({str(vote.actor) for vote in have})
            by = f" ({', '.join(who)})" if who else ""
            says = f"{len(have)} of {_approvals(count)} from {actors}{by}"
            return Finding(says, len(have) >= count > 0 and not actors.nobody)
        case AllOf(rules):
            parts = tuple(weigh(each, approvals) for each in rules)
            met = bool(parts) and all(part.met for part in parts)
            return Finding(_joined("and", [part.says for part in parts]), met, parts)
        case AnyOf(rules):
            parts = tuple(weigh(each, approvals) for each in rules)
            met = any(part.met for part in parts)
            return Finding(_joined("or", [part.says for part in parts]), met, parts)


def _approvals(count: int) -> str:
    return f"{count} approval" if count == 1 else f"{count} approvals"


def _joined(word: str, parts: Sequence[str]) -> str:
    # A rule within a rule: without brackets "and" and "or" could be read either way.
    return f", {word} ".join(
        f"({part})" if ", " in part and len(parts) > 1 else part for part in parts
    )


def takes(rule: Rule) -> str:
    """What a rule takes, in words: `2 approvals from ann or bob`."""
    match rule:
        case Approvals(by=actors, count=count):
            return f"{_approvals(count)} from {actors}"
        case AllOf(rules):
            return _joined("and", [takes(each) for each in rules])
        case AnyOf(rules):
            return _joined("or", [takes(each) for each in rules])


def who_may(rule: Rule) -> str:
    """The people who may decide, in words."""
    match rule:
        case Approvals(by=actors):
            return str(actors)
        case AllOf(rules) | AnyOf(rules):
            return " or ".join(dict.fromkeys(who_may(each) for each in rules))


def check_policy(policy: Policy, schema: Mapping[str, Any] | None = None) -> None:
    """Refuse a policy that needs nobody or can never be met, naming every fault.

    With the `schema` of its input, also one that may approve by itself an input that only a person
    can give.
    """
    faults = list(_rule_faults(policy.require))
    if policy.timeout is not None and policy.timeout <= 0:
        faults.append(f"timeout is {policy.timeout} seconds; it must be longer than none")
    if policy.timeout is None and policy.on_timeout is OnTimeout.APPROVE:
        faults.append("on_timeout is 'approve', but there is no timeout to wait for")
    alone = ["on_timeout 'approve'"] if policy.on_timeout is OnTimeout.APPROVE else []
    alone += ["auto_approve_if"] if policy.auto_approve_if is not None else []
    if alone and owed(schema):
        faults.append(
            f"{' and '.join(alone)} would approve with nobody to give {', '.join(owed(schema))}:"
            " the input needs a default"
        )
    if faults:
        raise Faults("this policy cannot stand", faults)


def _rule_faults(rule: Rule) -> list[str]:
    match rule:
        case Approvals(by=actors, count=count):
            faults = []
            if actors.nobody:
                faults.append("a rule names nobody who may decide")
            if any(not name.strip() for name in actors.names):
                faults.append("a rule names someone who has no name")
            if count < 1:
                faults.append(f"a rule asks for {count} approvals; it needs at least one")
            return faults
        case AllOf(rules) | AnyOf(rules):
            if not rules:
                return ["a rule that joins others joins none"]
            return [fault for each in rules for fault in _rule_faults(each)]
