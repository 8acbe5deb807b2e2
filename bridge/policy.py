"""The judge: a request and the evidence in, an evaluation with its reasons out.

No I/O, no clock of its own, no order: the same evidence in any order gives the same evaluation.
What is not proven does not count, so absence is pending.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bridge.errors import Faults
from bridge.model import (
    AllOf,
    Answer,
    AnyOf,
    ApprovalRequest,
    Approvals,
    Decider,
    Declared,
    Dismissal,
    Evaluation,
    Evidence,
    Finding,
    Group,
    OnTimeout,
    Outcome,
    Policy,
    Question,
    Rule,
    Selected,
    Verdict,
    Vote,
)
from bridge.records import digest_of


def evaluate(request: ApprovalRequest, evidence: Evidence) -> Evaluation:
    """Where the gate stands on this evidence.

    A rejection by someone who may decide outweighs every approval; then the rule; then a condition
    the policy names; then the clock.
    """
    candidates, dismissals = sift(request, evidence.votes)
    tree = weigh(request.policy.require, [v for v in candidates if v.verdict is Verdict.APPROVE])
    refusals = [vote for vote in candidates if vote.verdict is Verdict.REJECT]

    def verdict(outcome: Outcome, by: Decider | None, says: str) -> Evaluation:
        met = outcome is Outcome.APPROVED
        return Evaluation(outcome, by, Finding(says, met, (tree,)), candidates, dismissals)

    if refusals:
        first = min(refusals, key=lambda vote: (vote.at, str(vote.actor)))
        said = f": {first.reason}" if first.reason else ""
        return verdict(Outcome.REJECTED, Decider.PERSON, f"rejected by {first.actor}{said}")
    if tree.met:
        names = ", ".join(sorted({str(v.actor) for v in candidates}))
        return verdict(Outcome.APPROVED, Decider.PERSON, f"approved by {names}")
    condition = evidence.condition
    if condition and condition.holds and condition.text == request.policy.auto_approve_if:
        return verdict(
            Outcome.APPROVED, Decider.CONDITION, f"approved automatically: {condition.text}"
        )
    if overdue(request, evidence.now):
        deadline = f"{request.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        if request.policy.on_timeout is OnTimeout.APPROVE:
            says = f"nobody answered by {deadline}, and the policy then approves"
            return verdict(Outcome.APPROVED, Decider.CLOCK, says)
        if request.policy.on_timeout is OnTimeout.REJECT:
            return verdict(Outcome.EXPIRED, Decider.CLOCK, f"nobody answered by {deadline}")
    return verdict(Outcome.PENDING, None, f"waiting: {tree.says}")


def overdue(request: ApprovalRequest, now: datetime) -> bool:
    """Whether the deadline has passed. A clock set back only ever makes a gate wait longer."""
    return request.expires_at is not None and now >= request.expires_at


def sift(
    request: ApprovalRequest, votes: Sequence[Vote]
) -> tuple[tuple[Vote, ...], tuple[Dismissal, ...]]:
    """The votes that may count, one a person, and those that do not, each with its reason."""
    digest = digest_of(request)
    counted: dict[str, Vote] = {}
    dismissed: list[Dismissal] = []
    for vote in sorted(votes, key=_age):
        reason = _objection(request, digest, vote)
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
    if request.forge and not vote.actor.proven:
        return f"this gate is decided on {request.forge}, which has not vouched for {vote.actor}"
    if overdue(request, vote.at) and request.policy.on_timeout is not OnTimeout.NOTIFY:
        return f"it came after the deadline, {request.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    if not may_decide(request.policy.require, vote):
        return f"{vote.actor} is not among those who may decide: {who_may(request.policy.require)}"
    return None


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
    if actor.proven:
        return f"#{actor.id}"
    return (actor.email or actor.name).casefold()


def may_decide(rule: Rule, vote: Vote) -> bool:
    """Whether this person stands anywhere in the rule."""
    match rule:
        case Approvals(by=actors):
            return actors.anyone or any(vote.actor.answers_to(name) for name in actors.names)
        case AllOf(rules) | AnyOf(rules):
            return any(may_decide(each, vote) for each in rules)


def weigh(rule: Rule, approvals: Sequence[Vote]) -> Finding:
    """How far these approvals satisfy the rule, as a tree."""
    match rule:
        case Approvals(by=actors, count=count):
            have = [vote for vote in approvals if may_decide(rule, vote)]
            who = sorted({str(vote.actor) for vote in have})
            got = len({_identity(vote) for vote in have})
            by = f" ({', '.join(who)})" if who else ""
            says = f"{got} of {count} from {actors}{by}"
            return Finding(says, got >= count and count > 0 and not actors.nobody)
        case AllOf(rules):
            parts = tuple(weigh(each, approvals) for each in rules)
            met = bool(parts) and all(part.met for part in parts)
            return Finding(" and ".join(part.says for part in parts), met, parts)
        case AnyOf(rules):
            parts = tuple(weigh(each, approvals) for each in rules)
            return Finding(
                " or ".join(part.says for part in parts), any(part.met for part in parts), parts
            )


def who_may(rule: Rule) -> str:
    """The people who may decide, in words."""
    match rule:
        case Approvals(by=actors):
            return str(actors)
        case AllOf(rules) | AnyOf(rules):
            return " or ".join(dict.fromkeys(who_may(each) for each in rules))


def check_policy(policy: Policy) -> None:
    """Refuse a policy that needs nobody or can never be met, naming every fault."""
    faults = list(_rule_faults(policy.require))
    if policy.timeout is not None and policy.timeout <= 0:
        faults.append(f"timeout is {policy.timeout} seconds; it must be longer than none")
    if policy.timeout is None and policy.on_timeout is OnTimeout.APPROVE:
        faults.append("on_timeout is 'approve', but there is no timeout to wait for")
    if faults:
        raise Faults("this policy cannot stand", faults)


def _rule_faults(rule: Rule) -> list[str]:
    match rule:
        case Approvals(by=actors, count=count):
            faults = []
            if actors.nobody:
                faults.append("a rule names nobody who may decide")
            if count < 1:
                faults.append(f"a rule asks for {count} approvals; it needs at least one")
            return faults
        case AllOf(rules) | AnyOf(rules):
            if not rules:
                return ["a rule that joins others joins none"]
            return [fault for each in rules for fault in _rule_faults(each)]


def questions(request: ApprovalRequest, evidence: Evidence) -> tuple[Question, ...]:
    """What must be looked up before these votes can be judged, and nothing besides.

    Look each up, `replace(evidence, memberships=…)`, evaluate. What is not looked up is unknown.
    """
    raise NotImplementedError


def narrow(selected: Selected, declared: Declared) -> Policy:
    """What the policy file and the flow together ask: the stricter of the two, everywhere.

    Raises `Faults` where nobody whom the flow names may decide.
    """
    raise NotImplementedError


def reaches(asked: Group, permission: str, role: str) -> Answer:
    """Whether a repository permission, as the forge gave it, is the one asked for or higher.

    `permission` is one of none, read, triage, write, maintain, admin; `role` is `role_name`.
    """
    raise NotImplementedError
