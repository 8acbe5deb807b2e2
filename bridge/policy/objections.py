"""Objections: who said no, and whether it still holds.

A no outlives its page. Once it is seen it holds until somebody who may do so lifts it: editing,
deleting or hiding a text, a push, a new version, another policy and leaving a team lift nothing.
So what is on record is never judged again. What a page says is judged when it is first seen.

Values in, values out. `pages/objections.py` finds what a page says, in every revision of a text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final

from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Dismissal,
    Evidence,
    Lifted,
    Lifting,
    Objection,
    ReasonCode,
    Verdict,
    Vote,
    Why,
)
from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Objections
from bridge.core.rules import OnTimeout
from bridge.core.sanitize import one_line
from bridge.policy.approvers import Memberships, identity, may_object, why_no_approver, why_nobody
from bridge.policy.claims import clock_may_approve

#: Characters of a reason on record: a comment may hold 65,536, and its address stands beside it.
_LONGEST_REASON: Final = 1_000
#: Objections of one person that hold. One holds the gate, so of more the latest alone is added.
_MOST_OF_ONE: Final = 20

OBJECTS: Final = frozenset({Verdict.CHANGES, Verdict.HOLD, Verdict.REJECT})

#: A clock may be wrong by this much.
_DRIFT: Final = timedelta(days=1)
_EVER: Final = datetime.min.replace(tzinfo=UTC)

#: `/unhold @alice the tests are green now`.
#: The page's own answer, if somebody copies it, has an unseen character on both sides of the `@`.
_AROUND: Final = r"[`*\u200b-\u200f\u2060\ufeff]*+"
_OF_ANOTHER: Final = re.compile(
    rf"{_AROUND}@{_AROUND}([A-Za-z0-9_-]+){_AROUND}[:,;.–—]?{_AROUND}(?:\s+(.*))?", re.DOTALL
)


_TAG: Final = re.compile(r"<[^<>]*>")


def objects(vote: Vote) -> bool:
    """Whether this is a no that holds. Closing a page is none: it rejects, or it is undone."""
    return vote.verdict in OBJECTS and vote.channel is not Channel.CLOSING


#: What makes two objections the same one: who, what, in which text, and when it was written there.
Key = tuple[str, Verdict, str, datetime]


def key(said: Vote | Objection) -> Key:
    who = said.actor if isinstance(said, Vote) else said.who
    return identity(who), said.verdict, said.url or "", said.at


def standing(objections: Iterable[Objection]) -> tuple[Objection, ...]:
    """Those that hold now. Of one text that its author corrected, its latest words alone."""
    latest: dict[object, Objection] = {}
    for each in sorted(objections, key=lambda each: each.at):
        if each.lifted is None:
            latest[_text_of(each)] = each
    return _in_order(latest.values())


def _text_of(objection: Objection) -> object:
    return (identity(objection.who), objection.url) if objection.body_sha256 else key(objection)


def dated(objection: Objection, now: datetime) -> Objection:
    """The objection with the time that its lifting must come after. Nobody objects in the future:
    what says so was pushed to the ledger by hand. It holds, and any word lifts it."""
    return objection if objection.at <= now + _DRIFT else replace(objection, at=_EVER)


def held_by(objection: Objection) -> str:
    said = f": {objection.reason}" if objection.reason else ""
    return f"held by {objection.who}{said}"


def merged(one: Iterable[Objection], other: Iterable[Objection]) -> tuple[Objection, ...]:
    """Both records of one gate's objections. What is lifted in either is lifted."""
    found: dict[Key, Objection] = {}
    for each in (*one, *other):
        known = found.setdefault(key(each), each)
        if known.lifted is None and each.lifted:
            found[key(each)] = each
    return _in_order(found.values())


def lost(before: Iterable[Objection], after: Iterable[Objection]) -> tuple[Objection, ...]:
    """What stood in the earlier record and is neither there nor lifted in the later one."""
    kept = {key(each): each for each in after}
    return tuple(
        each
        for each in before
        if key(each) not in kept or (each.lifted and kept[key(each)].lifted != each.lifted)
    )


def unlifted(record: Objections) -> Objections:
    """What a record is worth that nobody vouches for: each no holds, and nothing is proven."""
    return replace(
        record,
        objections=tuple(replace(each, lifted=None) for each in record.objections),
        facts=(),
    )


def _in_order(objections: Iterable[Objection]) -> tuple[Objection, ...]:
    return tuple(sorted(objections, key=lambda each: (each.at, *key(each)[:3])))


# -- raising ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raised:
    """Every objection to a gate, lifted or not, and what is none because of who said it."""

    objections: tuple[Objection, ...]
    refused: tuple[Dismissal, ...] = ()


def raised(
    request: ApprovalRequest,
    said: Iterable[Vote],
    recorded: Iterable[Objection],
    members: Memberships,
) -> Raised:
    """What is on record, and what is new of those who may object, by this request's policy."""
    known = {key(each): each for each in recorded}
    held = Counter(identity(each.who) for each in known.values() if each.lifted is None)
    refused = []
    new = [
        vote
        for vote in sorted(said, key=lambda each: (each.at, key(each), each.reason))
        if objects(vote) and key(vote) not in known
    ]
    spoke = [(each.at, identity(each.who)) for each in known.values()]
    spoke += [(vote.at, identity(vote.actor)) for vote in new]
    latest = {who: at for at, who in sorted(spoke)}
    for vote in new:
        who = identity(vote.actor)
        # Their latest is always kept: an approval before it lifts all the others.
        full = held[who] >= _MOST_OF_ONE and vote.at < latest[who]
        if full or key(vote) in known:
            continue
        why = why_no_objector(request, vote.actor, members)
        if why is None:
            known[key(vote)] = _of(vote)
            held[who] += 1
        elif vote.channel is not Channel.DELETED:
            refused.append(Dismissal(vote, why))
    return Raised(_in_order(known.values()), tuple(refused))


def why_no_objector(request: ApprovalRequest, actor: Actor, members: Memberships) -> Why | None:
    """Why this person's no holds nothing; None if it does.

    The bars are ignored: the initiator of a run may not approve it, and may well stop it. What
    cannot be read about a membership counts for the objector.
    """
    if unproven := why_nobody(request, actor):
        return unproven
    found = may_object(request.policy, actor, members)
    return found.why_not() if found.answer is Answer.NOT else None


def _of(vote: Vote) -> Objection:
    return Objection(
        who=vote.actor,
        verdict=vote.verdict,
        at=vote.at,
        digest=vote.digest,
        reason=vote.reason[:_LONGEST_REASON],
        url=vote.url,
        body_sha256=vote.body_sha256,
    )


def latest_no(
    objections: Iterable[Vote | Objection], voter: int, before: datetime | None = None
) -> datetime | None:
    """When this account objected last before that time, whether or not it was lifted since."""
    own = [
        each.at
        for each in objections
        if (each.actor if isinstance(each, Vote) else each.who).id == voter
        and (before is None or each.at < before)
    ]
    return max(own, default=None)


def supersedes(objections: Iterable[Objection], approval: Vote) -> bool:
    """Whether the approval's author has objected since: a later word, even if it was lifted."""
    who = identity(approval.actor)
    return any(each.at >= approval.at and identity(each.who) == who for each in objections)


def kept_open(
    request: ApprovalRequest, objections: Iterable[Objection], facts: Iterable[Fact] = ()
) -> bool:
    """Whether the clock could not approve at the deadline, so that people may still answer."""
    end = request.expires_at
    if end is None or request.policy.on_timeout is not OnTimeout.APPROVE:
        return False
    held = any(each.lifted is None or each.lifted.at >= end for each in objections)
    return held or not clock_may_approve(request, facts)


# -- lifting ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """What may lift an objection: approvals that count, `/unhold`s, and dismissed reviews."""

    approvals: Sequence[Vote] = ()
    releases: Sequence[Vote] = ()
    reviews: Sequence[Vote] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """The objections, each with what lifted it, and the releases that lifted nothing."""

    objections: tuple[Objection, ...]
    used: tuple[Vote, ...] = ()
    refused: tuple[Dismissal, ...] = ()


def settled(
    request: ApprovalRequest,
    evidence: Evidence,
    objections: Sequence[Objection],
    words: Words,
    members: Memberships,
) -> Settled:
    """Which objections are lifted now, and who lifted them."""
    approvers = _Approvers(request, evidence, members)
    logins = _logins(objections, words)
    now = evidence.now
    found = tuple(
        each
        if each.lifted
        else replace(each, lifted=_first_end(dated(each, now), words, approvers, logins))
        for each in objections
    )
    known = [dated(each, now) for each in found]
    lifts = {_who_and_when(each.lifted) for each in found if each.lifted}
    used, refused = [], []
    for release in words.releases:
        did = (identity(release.actor), release.at, Lifted.UNHOLD) in lifts
        why = None if did else _why_nothing(release, known, approvers, logins)
        if why:
            refused.append(Dismissal(release, why))
        else:
            used.append(release)
    return Settled(found, tuple(used), tuple(refused))


def _who_and_when(lifting: Lifting) -> tuple[str, datetime, Lifted]:
    return identity(lifting.by), lifting.at, lifting.how


class _Approvers:
    """Whose approval would count now: asked often, and of few people."""

    def __init__(self, request: ApprovalRequest, evidence: Evidence, members: Memberships) -> None:
        self._asked = (request, evidence)
        self._members = members
        self._known: dict[str, Why | None] = {}

    def why_not(self, actor: Actor) -> Why | None:
        who = identity(actor)
        if who not in self._known:
            self._known[who] = why_no_approver(*self._asked, actor, self._members)
        return self._known[who]


#: The logins of each person, in small letters. On record is the one that they had then.
_Logins = Mapping[str, Set[str]]


def _logins(objections: Iterable[Objection], words: Words) -> _Logins:
    """A login can be changed, and people write the one that the page shows now, or the old one."""
    found: dict[str, set[str]] = {}
    actors = (*(each.who for each in objections), *(each.actor for each in words.reviews))
    for actor in actors:
        found.setdefault(identity(actor), set()).add((actor.login or actor.name).casefold())
    return found


def _is_of(objection: Objection, login: str, logins: _Logins) -> bool:
    return login.casefold() in logins.get(identity(objection.who), ())


def _first_end(
    objection: Objection, words: Words, approvers: _Approvers, logins: _Logins
) -> Lifting | None:
    ends = [*_by_author(objection, words), *_by_others(objection, words, approvers, logins)]
    return min(ends, key=lambda each: (each.at, each.how, identity(each.by)), default=None)


def _by_author(objection: Objection, words: Words) -> Iterator[Lifting]:
    who = identity(objection.who)
    for vote in words.approvals:
        if identity(vote.actor) == who and vote.at > objection.at:
            reason = vote.reason[:_LONGEST_REASON]
            yield Lifting(vote.actor, Lifted.APPROVAL, vote.at, reason, vote.url)
    for vote in words.releases:
        whom, reason = target(vote)
        own = whom is None or is_called(vote.actor, whom)
        if own and identity(vote.actor) == who and vote.at > objection.at:
            yield Lifting(vote.actor, Lifted.UNHOLD, vote.at, reason, vote.url)


def _by_others(
    objection: Objection, words: Words, approvers: _Approvers, logins: _Logins
) -> Iterator[Lifting]:
    for vote in words.releases:
        whom, reason = target(vote)
        named = whom is not None and reason and _is_of(objection, whom, logins)
        if named and vote.at > objection.at and not approvers.why_not(vote.actor):
            yield Lifting(vote.actor, Lifted.UNHOLD, vote.at, reason, vote.url)
    for review in words.reviews:
        by, at = review.dismissed_by, review.dismissed_at or review.at
        same = review.url is not None and review.url == objection.url
        if same and by and at >= objection.at and not approvers.why_not(by):
            yield Lifting(by, Lifted.DISMISSAL, at, url=review.url)


def target(release: Vote) -> tuple[str | None, str]:
    """Whose objection an `/unhold` is about (None: its author's own), and why."""
    match = _OF_ANOTHER.fullmatch(release.reason.strip())
    if match is None:
        return None, release.reason[:_LONGEST_REASON]
    reason = (match[2] or "").strip()[:_LONGEST_REASON]
    return match[1], reason if _is_visible(reason) else ""


def _is_visible(reason: str) -> bool:
    """Whether the page shows anything of it: a reason of blanks or of empty tags is none."""
    return bool(one_line(unescape(_TAG.sub("", reason))))


def is_called(actor: Actor, login: str) -> bool:
    return (actor.login or actor.name).casefold() == login.casefold()


def _why_nothing(
    release: Vote, objections: Sequence[Objection], approvers: _Approvers, logins: _Logins
) -> Why | None:
    """Why a release lifts nothing, in words for its author; None if there is nothing to say."""
    whom, reason = target(release)
    if whom is None or is_called(release.actor, whom):
        others = [each for each in standing(objections) if each.at < release.at]
        if not others:
            return None
        name = others[0].who.login or others[0].who.name
        return _nothing(
            f"you have no objection here: to lift another's write `/unhold @{name} why`"
        )
    if not any(_is_of(each, whom, logins) for each in objections):
        return _nothing(f"{whom} has no objection here")
    if not reason:
        return _nothing(f"say why: `/unhold @{whom} the reason`")
    return approvers.why_not(release.actor)


def _nothing(says: str) -> Why:
    return Why(ReasonCode.LIFTS_NOTHING, says)
