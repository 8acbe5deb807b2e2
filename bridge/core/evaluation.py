"""What people said, what it is judged by, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from bridge.core.facts import Fact
from bridge.core.rules import Group


class Outcome(StrEnum):
    """Where a gate stands. Only the last four are ever recorded."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Verdict(StrEnum):
    """What one person said."""

    APPROVE = "approve"
    REJECT = "reject"
    CHANGES = "request changes"  # a hold or a rejection: the policy says which
    HOLD = "hold"  # nobody decides until it is released
    RELEASE = "unhold"
    WITHDRAW = "withdraw"  # nothing is to run any more, and nobody need answer


class Decider(StrEnum):
    """Who a decision is owed to."""

    PERSON = "person"
    CLOCK = "clock"
    CONDITION = "condition"
    RUN = "run"  # the run ended or vanished: the gate is withdrawn


class Answer(StrEnum):
    """Whether somebody is in a group. Unknown is neither, and never counts."""

    MEMBER = "member"
    NOT = "not"
    UNKNOWN = "unknown"


class Channel(StrEnum):
    """The way a vote came in."""

    TERMINAL = "terminal"
    CLI = "cli"
    PYTHON = "python"
    REVIEW = "review"
    COMMENT = "comment"
    CLOSING = "closing"
    DELETED = "deleted"  # nobody knows any more what it said


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, as far as the channel can tell.

    `proven` is true only if somebody other than this machine vouches for it. `teams` are claims
    of the same strength as the name.
    """

    name: str
    email: str | None = None
    login: str | None = None
    id: int | None = None
    teams: tuple[str, ...] = ()
    proven: bool = field(default=False, metadata={"always": True})
    bot: bool = False

    def answers_to(self, name: str) -> bool:
        own = (self.name, self.email, self.login, *self.teams, str(self))
        return name.casefold() in {each.casefold() for each in own if each}

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.email else self.name


#: The reason of a rejection whose author gives none.
NO_REASON: Final = "no reason given"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer to one request, as it was found."""

    actor: Actor
    verdict: Verdict
    at: datetime
    digest: str  # of the request that was shown to them
    channel: Channel
    reason: str = ""
    inputs: Mapping[str, Any] | None = None
    url: str | None = None
    body_sha256: str | None = None
    dismissed_by: Actor | None = None  # who dismissed the review, if somebody did
    dismissed_at: datetime | None = None
    signature: str | None = None  # armored, by the voter's own SSH key
    signed_by: str | None = None  # the fingerprint of that key; None: nothing proves a signature


class Lifted(StrEnum):
    """How an objection ends."""

    APPROVAL = "approval"  # its author approved after it
    UNHOLD = "unhold"
    DISMISSAL = "dismissal"  # of the review


@dataclass(frozen=True, slots=True)
class Lifting:
    """Who lifted an objection, how, and why."""

    by: Actor
    how: Lifted
    at: datetime
    reason: str = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Objection:
    """A no that holds until it is lifted. Who, when and where it was said make it this one."""

    who: Actor
    verdict: Verdict
    at: datetime
    digest: str  # of the request that was on the page if it was first seen there
    reason: str = ""
    url: str | None = None
    body_sha256: str | None = None
    lifted: Lifting | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Something only the forge can answer."""

    actor: Actor
    group: Group


@dataclass(frozen=True, slots=True)
class Membership:
    """The forge's answer, as it was looked up. `why` says why it is not known, in words."""

    user: int  # the account's number
    group: Group
    answer: Answer
    why: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was looked at: in words, the values that it saw, and whether it held."""

    text: str
    seen: Mapping[str, Any]
    holds: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All an evaluation may look at. What could not be read is not in here, so it never counts."""

    now: datetime
    votes: tuple[Vote, ...] = ()
    condition: Condition | None = None
    memberships: tuple[Membership, ...] = ()
    author: Actor | None = None  # who opened the pull request or issue
    dismissed: tuple[Dismissal, ...] = ()  # what the forge itself voids: edited, of an older head
    ended: str | None = None  # why nothing waits any more: the run ended or vanished
    said: tuple[Vote, ...] = ()  # every objection on the page, in whatever revision of its text
    objections: tuple[Objection, ...] = ()  # those on record
    facts: tuple[Fact, ...] = ()  # what the decider learned of the run itself


class ReasonCode(StrEnum):
    """Why a vote counts, or why not: for programs that read the record."""

    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    # what its author did
    SUPERSEDED = "superseded"  # they have answered again since
    LIFTS_NOTHING = "lifts-nothing"  # a release that names nobody's objection, or gives no reason
    EDITED = "edited"
    DISMISSED = "dismissed"
    BAD_INPUT = "bad-input"
    LATE = "late"  # after the deadline
    # which request it answers
    OLDER_VERSION = "older-version"
    OTHER_VERSION = "other-version"
    UNNAMED_VERSION = "unnamed-version"
    NOT_YET_SHOWN = "not-yet-shown"  # the page does not show the newest version yet
    BRANCH_MOVED = "branch-moved"
    TEXT_ALTERED = "text-altered"
    OTHER_WORDS = "other-words"  # the opener showed what its request does not say
    # who said it
    BOT = "bot"
    NOT_PROVEN = "not-proven"
    NOT_AN_APPROVER = "not-an-approver"
    NOT_NAMED = "not-named"  # the flow itself names who approves
    NOT_SIGNED = "not-signed"  # the policy asks for a signature
    MEMBERSHIP_UNKNOWN = "membership-unknown"
    INITIATOR_UNKNOWN = "initiator-unknown"
    INITIATOR_NOT_PROVEN = "initiator-not-proven"
    AUTHOR_UNKNOWN = "author-unknown"
    BARRED_INITIATOR = "barred-initiator"
    BARRED_AUTHOR = "barred-author"
    BARRED_USER = "barred-user"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a vote does not count: a code, and the words for the one who cast it."""

    code: ReasonCode
    says: str


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A vote that does not count, and why."""

    vote: Vote
    why: Why

    @property
    def reason(self) -> str:
        return self.why.says


@dataclass(frozen=True, slots=True)
class JudgedVote:
    """A vote as a decision records it, and what it was worth."""

    vote: Vote = field(metadata={"inline": True})
    counts: bool
    code: ReasonCode
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One node of the tree that explains an evaluation."""

    says: str
    met: bool
    children: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Where the gate stands, and always why."""

    outcome: Outcome
    by: Decider | None
    finding: Finding
    candidates: tuple[Vote, ...] = ()
    dismissals: tuple[Dismissal, ...] = ()
    heeded: tuple[Vote, ...] = ()  # the words that object, and those that lift an objection
    objections: tuple[Objection, ...] = ()  # lifted or not
    last: tuple[str, ...] = ()  # one more approval that counts for one of these is enough
    withdrawals: tuple[Vote, ...] = ()  # those that count: who may withdraw need not be who decides

    @property
    def reason(self) -> str:
        return self.finding.says
