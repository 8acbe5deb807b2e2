"""The judge: a request and the evidence in, an evaluation with its reasons out.

No I/O, no clock of its own, no order: the same evidence in any order gives the same evaluation, and
the gated step and an audit judge the recorded votes again. What is not proven does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bridge.core.digest import digest_of
from bridge.core.evaluation import (
    Actor,
    Answer,
    Decider,
    Dismissal,
    Evaluation,
    Evidence,
    Finding,
    Objection,
    Outcome,
    ReasonCode,
    Verdict,
    Vote,
    Why,
)
from bridge.core.model import ApprovalRequest
from bridge.core.rules import DismissedReviews, OnTimeout, RequestChanges
from bridge.policy.agreement import Misfit, disagreement, set_aside
from bridge.policy.approvers import (
    Memberships,
    bar,
    barred_here,
    can_be_met,
    identity,
    may_decide,
    may_object,
    unsettled,
    why_no_approver,
    why_no_withdrawal,
    why_nobody,
    why_not_named,
    why_not_signed,
)
from bridge.policy.checks import missing_checks
from bridge.policy.claims import (
    as_asked,
    clock_may_approve,
    condition_decides,
    why_no_machine,
)
from bridge.policy.last_needed import last_needed
from bridge.policy.objections import (
    Words,
    dated,
    held_by,
    kept_open,
    key,
    objects,
    raised,
    settled,
    standing,
    supersedes,
)
from bridge.policy.weigh import weigh


def evaluate(
    request: ApprovalRequest, evidence: Evidence, misfit: Misfit | None = None
) -> Evaluation:
    """Where the gate stands on this evidence.

    A rejection by someone who may decide outweighs every approval, and a withdrawal all but that.
    An objection that is not lifted
    outweighs the rule, a condition that the policy names and the clock's approval, and so do
    approvals that give different input. A deadline that rejects still does.

    `misfit` looks at the input of an approval, and belongs to the moment of deciding: `decide`
    always gives it, so that nothing unfit is recorded. Judging a record again does without, because
    the schema's library is not everywhere where a gated step runs.
    """
    request = as_asked(request, evidence.facts)
    members = Memberships(evidence.memberships)
    sifted = _sift(request, evidence, members, misfit)
    tree = weigh(request.policy.require, sifted.approvals, members)
    stops = (*_stops(sifted, misfit), *missing_checks(request, evidence.facts))
    obstacles = (*stops, *_obstacles(request, evidence))
    outcome, by, says = _outcome(request, evidence, sifted, tree, bool(stops))
    if outcome is Outcome.PENDING:
        waits = [] if stops and tree.met else [f"waiting: {tree.says}"]
        says = "; ".join([*waits, *obstacles])
    last = () if obstacles else last_needed(request.policy.require, sifted.approvals, members)
    findings = (tree, *(Finding(each, False) for each in obstacles))
    root = Finding(says, outcome is Outcome.APPROVED, findings)
    return Evaluation(
        outcome,
        by,
        root,
        sifted.candidates,
        sifted.dismissals,
        sifted.heeded,
        sifted.objections,
        last,
        sifted.withdrawals,
    )


def _outcome(
    request: ApprovalRequest, evidence: Evidence, sifted: _Sifted, tree: Finding, held: bool
) -> tuple[Outcome, Decider | None, str]:
    if sifted.refusals:
        first = min(sifted.refusals, key=_age)
        said = f": {first.reason}" if first.reason else ""
        return Outcome.REJECTED, Decider.PERSON, f"rejected by {first.actor}{said}"
    if sifted.withdrawals:
        first = min(sifted.withdrawals, key=_age)
        says = f"withdrawn by {first.actor}: {first.reason}"
        return Outcome.WITHDRAWN, Decider.PERSON, says
    shortfall = tree if sifted.candidates else None
    if evidence.ended:
        return _withdrawn(request, evidence, shortfall)
    if tree.met and not held:
        names = ", ".join(sorted({str(vote.actor) for vote in sifted.approvals}))
        return Outcome.APPROVED, Decider.PERSON, f"approved by {names}"
    condition = evidence.condition
    if condition and not held and condition_decides(request, evidence.facts, condition):
        says = f"approved automatically: {condition.text}"
        return Outcome.APPROVED, Decider.CONDITION, says
    if overdue(request, evidence.now) and _clock_decides(request, evidence, held):
        return _timed_out(request, shortfall)
    return Outcome.PENDING, None, ""


def _clock_decides(request: ApprovalRequest, evidence: Evidence, held: bool) -> bool:
    if request.policy.on_timeout is OnTimeout.APPROVE:
        return not held and clock_may_approve(request, evidence.facts)
    return request.policy.on_timeout is OnTimeout.REJECT


def _withdrawn(
    request: ApprovalRequest, evidence: Evidence, tree: Finding | None
) -> tuple[Outcome, Decider, str]:
    # A run that ended because its gate's time was over is the clock's: so it is recorded.
    if overdue(request, evidence.now) and request.policy.on_timeout is OnTimeout.REJECT:
        return _timed_out(request, tree)
    return Outcome.WITHDRAWN, Decider.RUN, f"withdrawn: {evidence.ended} before anyone decided"


def _timed_out(request: ApprovalRequest, tree: Finding | None) -> tuple[Outcome, Decider, str]:
    deadline = _deadline(request)
    says = f"by {deadline} there was only {tree.says}" if tree else f"nobody answered by {deadline}"
    if request.policy.on_timeout is OnTimeout.APPROVE:
        return Outcome.APPROVED, Decider.CLOCK, f"{says}, and the policy then approves"
    return Outcome.EXPIRED, Decider.CLOCK, says


def _deadline(request: ApprovalRequest) -> str:
    return f"{request.expires_at:%Y-%m-%d %H:%M:%S} UTC"


def _stops(sifted: _Sifted, misfit: Misfit | None) -> tuple[str, ...]:
    """What keeps everybody from approving, the clock and a condition as well."""
    apart = disagreement(sifted.approvals, misfit)
    return (*dict.fromkeys(map(held_by, sifted.holds)), *([apart] if apart else []))


def _obstacles(request: ApprovalRequest, evidence: Evidence) -> Iterator[str]:
    """What else is in the way, in words for those who wait."""
    policy = request.policy
    if unknown := unsettled(request, evidence):
        yield unknown.says
    barred = barred_here(request, evidence)
    if claimed := why_no_machine(request, evidence.facts, evidence.condition):
        yield claimed
    if not can_be_met(policy.require, barred, policy.only):
        yield (
            "too few people are left who may approve: change the policy, or have someone else"
            " start the run"
        )


def overdue(request: ApprovalRequest, now: datetime) -> bool:
    """Whether the deadline has passed. A clock set back only ever makes a gate wait longer."""
    return request.expires_at is not None and now >= request.expires_at


# -- votes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sifted:
    """The votes that may count, one a person, and those that do not, each with its reason."""

    approvals: tuple[Vote, ...]
    refusals: tuple[Vote, ...]
    withdrawals: tuple[Vote, ...]
    objections: tuple[Objection, ...]
    heeded: tuple[Vote, ...]
    dismissals: tuple[Dismissal, ...]

    @property
    def candidates(self) -> tuple[Vote, ...]:
        return tuple(sorted((*self.approvals, *self.refusals), key=_age))

    @property
    def holds(self) -> tuple[Objection, ...]:
        return standing(self.objections)


_REFUSALS: Final = {
    RequestChanges.HOLD: {Verdict.REJECT},
    RequestChanges.REJECT: {Verdict.REJECT, Verdict.CHANGES},
}
_MILDEST_FIRST: Final = (
    Verdict.APPROVE,
    Verdict.RELEASE,
    Verdict.CHANGES,
    Verdict.HOLD,
    Verdict.WITHDRAW,
    Verdict.REJECT,
)


def _sift(
    request: ApprovalRequest, evidence: Evidence, members: Memberships, misfit: Misfit | None
) -> _Sifted:
    everything = sorted((*evidence.said, *evidence.votes), key=_age)
    said = {key(vote): vote for vote in everything if objects(vote)}
    found = raised(request, said.values(), evidence.objections, members)
    judge = _Judge(request, evidence, members, kept_open(request, found.objections, evidence.facts))
    refusing = _REFUSALS[request.policy.request_changes]
    taken, releases, dismissals = _taken(judge, evidence.votes, refusing, misfit)
    last, gone = _last_words(taken)
    refusals = tuple(vote for vote in last if vote.verdict in refusing)
    # A rejection that counts decides: it is none of those that hold.
    recorded = {key(each) for each in evidence.objections}
    rejected = {key(vote) for vote in refusals} - recorded
    objections = [each for each in found.objections if key(each) not in rejected]
    spoken = [dated(each, evidence.now) for each in objections]
    approvals, superseded = _approvals_left(last, spoken)
    words = Words(approvals, releases, tuple(said.values()))
    ended = settled(request, evidence, objections, words, members)
    # Different input stops the clock, too: after the deadline an `/unhold` is not too late for it.
    unholds = [
        vote
        for vote in sorted(evidence.votes, key=_age)
        if vote.verdict is Verdict.RELEASE
        and objection_of_form(request, judge.digest, vote, kept_open=True) is None
    ]
    left = set_aside(
        approvals,
        taken,
        unholds,
        lambda actor: why_no_approver(request, evidence, actor, members),
        misfit,
    )
    ended_by = [*ended.used, *(vote for vote in left.used if vote not in ended.used)]
    heard = {key(each) for each in ended.objections}
    heeded = [*(vote for vote in said.values() if key(vote) in heard), *ended_by]
    gone += [*superseded, *left.dismissals, *found.refused]
    unused = (each for each in (*dismissals, *ended.refused) if each.vote not in left.used)
    return _Sifted(
        approvals=left.approvals,
        refusals=refusals,
        withdrawals=tuple(vote for vote in last if vote.verdict is Verdict.WITHDRAW),
        objections=ended.objections,
        heeded=tuple(sorted(heeded, key=_age)),
        dismissals=tuple(sorted((*evidence.dismissed, *unused, *gone), key=_dismissal_age)),
    )


def _taken(
    judge: _Judge, votes: Sequence[Vote], refusing: set[Verdict], misfit: Misfit | None
) -> tuple[list[Vote], list[Vote], list[Dismissal]]:
    """The answers that count by themselves, the releases, and what is neither, with its reason.

    A no that does not reject is missing here: whether it holds is for `objections.py` to say.
    """
    taken: list[Vote] = []
    releases: list[Vote] = []
    dismissals: list[Dismissal] = []
    for vote in sorted(votes, key=_age):
        if objects(vote) and vote.verdict not in refusing:
            continue
        if vote.verdict is Verdict.RELEASE:
            why, counted = judge.form(vote), releases
        elif vote.verdict is Verdict.WITHDRAW:
            why, counted = judge.withdrawal(vote), taken
        else:
            why, counted = judge.objection(vote) or _misfitting(vote, misfit), taken
        if why is None:
            counted.append(vote)
        elif not objects(vote):
            dismissals.append(Dismissal(vote, why))
    return taken, releases, dismissals


def _approvals_left(
    last: Sequence[Vote], objections: Sequence[Objection]
) -> tuple[tuple[Vote, ...], list[Dismissal]]:
    """The approvals whose author has not objected since. One that was superseded never returns."""
    approvals = [vote for vote in last if vote.verdict is Verdict.APPROVE]
    gone = [vote for vote in approvals if supersedes(objections, vote)]
    return (
        tuple(vote for vote in approvals if vote not in gone),
        [Dismissal(vote, _OBJECTED_SINCE) for vote in gone],
    )


_OBJECTED_SINCE: Final = Why(
    ReasonCode.SUPERSEDED, "they have objected since: an approval after that counts"
)


def _misfitting(vote: Vote, misfit: Misfit | None) -> Why | None:
    says = misfit(vote.inputs) if misfit and vote.verdict is Verdict.APPROVE else None
    return Why(ReasonCode.BAD_INPUT, f"its input does not fit: {says}") if says else None


_ANSWERED_AGAIN: Final = Why(ReasonCode.SUPERSEDED, "they have answered again since")


def _last_words(taken: Sequence[Vote]) -> tuple[list[Vote], list[Dismissal]]:
    """Each person's last answer, and those that it replaced."""
    last: dict[str, Vote] = {}
    gone = []
    for vote in taken:
        who = identity(vote.actor)
        if who in last:
            gone.append(Dismissal(last[who], _ANSWERED_AGAIN))
        last[who] = vote
    return list(last.values()), gone


class _Judge:
    """Why a vote does not count, in words for the one who cast it."""

    def __init__(
        self, request: ApprovalRequest, evidence: Evidence, members: Memberships, kept_open: bool
    ) -> None:
        self._request = request
        self._kept_open = kept_open
        self._policy = request.policy
        self._evidence = evidence
        self._members = members
        self.digest = digest_of(request)
        self._unsettled = unsettled(request, evidence)
        self._taken_back: dict[str, datetime] = {}
        for vote in evidence.votes:
            if vote.verdict is Verdict.APPROVE and self._dismissed(vote):
                who = identity(vote.actor)
                self._taken_back[who] = max(vote.at, self._taken_back.get(who, vote.at))

    def form(self, vote: Vote) -> Why | None:
        return objection_of_form(self._request, self.digest, vote, self._kept_open)

    def objection(self, vote: Vote) -> Why | None:
        return (
            self.form(vote)
            or bar(self._request, self._evidence, vote.actor)
            or self._stranger(vote)
            or self._withdrawn(vote)
            or self._unapproving(vote)
        )

    def withdrawal(self, vote: Vote) -> Why | None:
        return self.form(vote) or why_no_withdrawal(
            self._request, self._evidence, vote.actor, self._members
        )

    def _stranger(self, vote: Vote) -> Why | None:
        if objects(vote):
            return may_object(self._policy, vote.actor, self._members).why_not()
        return may_decide(self._policy.require, vote.actor, self._members).why_not()

    def _withdrawn(self, vote: Vote) -> Why | None:
        if vote.verdict is not Verdict.APPROVE:
            if not self._dismissed(vote):
                return None
            return Why(ReasonCode.DISMISSED, f"{vote.dismissed_by} dismissed it")
        # Else an older approval of the same person would step out from behind the dismissed one.
        back = self._taken_back.get(identity(vote.actor))
        if back is not None and vote.at <= back:
            return Why(ReasonCode.DISMISSED, "it was dismissed: approve again if you still do")
        return None

    def _dismissed(self, vote: Vote) -> bool:
        """Whether its dismissal counts; if that cannot be known, it does for an approval."""
        by = vote.dismissed_by
        if by is None or vote.digest != self.digest:
            return False
        if vote.verdict is not Verdict.APPROVE:
            return self._answer(by) is Answer.MEMBER
        anyone = self._policy.dismissed_reviews is DismissedReviews.ANYONE
        return anyone or self._answer(by) is not Answer.NOT

    def _answer(self, actor: Actor) -> Answer:
        if actor.bot or bar(self._request, self._evidence, actor):
            return Answer.NOT
        if self._unsettled:
            return Answer.UNKNOWN
        return may_decide(self._policy.require, actor, self._members).answer

    def _unapproving(self, vote: Vote) -> Why | None:
        """What speaks against a yes and not against a no."""
        if vote.verdict is not Verdict.APPROVE:
            return None
        unsettled = why_not_signed(self._policy, vote) or self._unsettled
        return unsettled or why_not_named(self._policy, vote.actor, self._members)


def objection_of_form(
    request: ApprovalRequest, digest: str, vote: Vote, kept_open: bool = False
) -> Why | None:
    """Why a vote does not count, no matter who may decide. `kept_open`: the clock could not."""
    if nobody := why_nobody(request, vote.actor):
        return nobody
    if vote.digest != digest:
        return Why(ReasonCode.OTHER_VERSION, "it answers another version of this request")
    decides = request.policy.on_timeout is not OnTimeout.NOTIFY and not kept_open
    if decides and overdue(request, vote.at):
        return Why(ReasonCode.LATE, f"it came after the deadline, {_deadline(request)}")
    return None


@dataclass(frozen=True, slots=True)
class _Rest:
    """All else of a vote, to order by; looked at only if the rest of the order is the same."""

    vote: Vote

    def __lt__(self, other: _Rest) -> bool:
        return repr(self.vote) < repr(other.vote)


def _age(vote: Vote) -> tuple[datetime, int, str, str, str, _Rest]:
    # A total order: that of the evidence never matters. In one second, no is the later word.
    return (
        vote.at,
        _MILDEST_FIRST.index(vote.verdict),
        identity(vote.actor),
        vote.reason,
        vote.url or "",
        _Rest(vote),
    )


def _dismissal_age(dismissal: Dismissal) -> tuple[object, ...]:
    return (*_age(dismissal.vote), dismissal.reason)
