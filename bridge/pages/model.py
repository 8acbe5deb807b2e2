"""A gate's page on a forge, a pull request or an issue: facts that were read at one moment.

Nothing here does I/O, and nothing here knows a vendor's field names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from bridge.core.evaluation import Outcome
from bridge.core.rules import Via
from bridge.core.shards import is_shard
from bridge.pages.marker import seal_of

#: How the name of a gate's branch begins.
GATE_BRANCH = "gate/"

#: The label of a gate that waits.
WAITING = f"gate:{Outcome.PENDING}"

#: The most that GitHub takes in a body, in characters.
LONGEST_BODY = 65_536


class Kind(StrEnum):
    """What an account is. Only a user is a person."""

    USER = "User"
    BOT = "Bot"
    OTHER = "Other"  # an organisation, a mannequin, an account that is gone


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody on the forge. The number is who they are, the login only what they are called."""

    id: int | None
    login: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Voices:
    """The bridge's own accounts, opener and decider: by number, or as `name` and `name[bot]`.

    A login names a kind of account as well: a user may call himself what an App is called.
    `me` is the account that looks now.
    """

    ids: frozenset[int] = frozenset()
    logins: frozenset[str] = frozenset()
    me: int | None = None

    def own(self, account: Account | None) -> bool:
        if account is None or account.id is None:
            return False
        login = account.login.casefold().removesuffix("[bot]")
        called = f"{login}[bot]" if account.kind is Kind.BOT else login
        return account.id in self.ids or called in self.logins

    def mine(self, account: Account | None) -> bool:
        """Whether this is the account that looks now, and not the bridge's other one."""
        if self.me is None:
            return self.own(account)
        return account is not None and account.id == self.me

    def wrote(self, account: Account | None, text: str) -> bool:
        """Whether a text is the bridge's own, and nobody's answer.

        A person whose token opened a gate also speaks for themselves: of theirs, only what bears
        the bridge's seal is the bridge's.
        """
        if account is None or not self.own(account):
            return False
        return account.kind is not Kind.USER or seal_of(text) is not None


class Reaction(StrEnum):
    SEEN = "EYES"
    ACCEPTED = "ROCKET"
    REFUSED = "THUMBS_DOWN"
    CONFUSED = "CONFUSED"


class State(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    MERGED = "MERGED"


class ReviewState(StrEnum):
    APPROVED = "APPROVED"
    CHANGES = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a text after it was written."""

    by: Account | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A text as it was from one moment on. `text` is None if the revision was deleted."""

    by: Account | None
    at: datetime
    text: str | None


@dataclass(frozen=True, slots=True)
class Rename:
    """Another title for the page."""

    by: Account | None
    at: datetime
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """A comment that somebody deleted. GitHub says whose it was, and not which."""

    of: Account | None
    by: Account | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody wrote on the page. `node` is its handle; `reactions` are the bridge's own.

    `revisions` are all states of an edited text, oldest first. They are not read of what the
    bridge's Apps wrote.
    """

    node: str
    author: Account | None
    body: str
    at: datetime
    url: str
    edited: Edit | None = None  # the last change
    reactions: frozenset[Reaction] = frozenset()
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """A review. `commit` is the head it was given for.

    If it was dismissed, `state` is what it was before, or DISMISSED if GitHub does not say;
    `dismissed_by` is None if that account is gone. `revisions` as in `Comment`.
    """

    node: str
    author: Account | None
    state: ReviewState
    body: str
    at: datetime
    url: str
    commit: str | None
    edited: Edit | None = None
    dismissed_by: Account | None = None
    dismissed_at: datetime | None = None
    reactions: frozenset[Reaction] = frozenset()
    revisions: tuple[Revision, ...] = ()

    @property
    def dismissed(self) -> bool:
        return self.dismissed_at is not None or self.state is ReviewState.DISMISSED


@dataclass(frozen=True, slots=True)
class Closing:
    """The last time the page was closed. `by_reference`: another commit's or page's `Fixes #N`."""

    by: Account | None
    at: datetime
    by_reference: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """What a pull request proposes: a head, to be merged into a base."""

    repository: str | None  # owner/name of the head's; None if the fork is gone
    name: str
    head: str  # the commit
    base: str
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """A pull request or an issue, with all of its reviews and comments, oldest first.

    `inline` are the comments on lines of a pull request's change. `revisions` are all states of an
    edited body, as in `Comment`.
    """

    node: str
    number: int
    url: str
    state: State
    title: str
    body: str
    author: Account | None
    at: datetime
    branch: Branch | None = None  # an issue has none, and so no head
    edits: tuple[Edit, ...] = ()  # of the body, oldest first
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    inline: tuple[Comment, ...] = ()
    revisions: tuple[Revision, ...] = ()
    renames: tuple[Rename, ...] = ()  # oldest first
    deletions: tuple[Deletion, ...] = ()
    closing: Closing | None = None
    labels: tuple[str, ...] = ()
    invited: frozenset[str] = frozenset()  # ever asked for a review: `ann`, `acme/ml`
    locked: bool = False  # then only those with write access can answer
    shut_until: datetime | None = None  # the last time it was reopened or unlocked

    @property
    def shut(self) -> bool:
        """Whether it asks nobody now, or not everybody who may answer."""
        return self.locked or self.state is not State.OPEN

    @property
    def via(self) -> Via:
        return Via.PULL_REQUEST if self.branch else Via.ISSUE

    @property
    def head(self) -> str | None:
        return self.branch.head if self.branch else None

    @property
    def astray(self) -> bool:
        """Whether this is a pull request into a branch that is none of the ledger's.

        Anybody with write access can change the base. No approval there counts, objections do.
        """
        return self.branch is not None and not is_shard(self.branch.base)

    def is_into(self, shard: str) -> bool:
        """Whether it would be merged into this branch of the ledger. An issue never is, and may
        show any gate."""
        return self.branch is None or self.branch.base == shard

    @property
    def goes_on(self) -> bool:
        """Whether the gate can still be shown here: what is merged, or lost its branch, is over."""
        if self.state is State.MERGED or self.astray:
            return False
        return self.branch is None or self.branch.exists

    def can_show(self, head: str) -> bool:
        """Whether the gate can go on here at this head."""
        # GitHub reopens no pull request whose branch was moved while it was closed.
        stuck = self.branch and self.state is State.CLOSED and self.branch.head != head
        return self.goes_on and not stuck

    def __str__(self) -> str:
        return self.via.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Site:
    """What the repository says beside the page, read in the same moment."""

    repository: str  # owner/name
    repository_id: int  # the same if the repository is renamed
    url: str
    default_branch: str
    commit: str  # of the default branch
    policy: str | None  # the policy file there; None if there is none
    voices: Voices
    labels: dict[str, str] = field(default_factory=dict)  # of the repository: name to handle
    viewer: int | None = None  # the account whose credential looks
    #: It looks with a workflow's own token, which the workflow of any branch can have.
    unprotected: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a repository and some of its pages."""

    site: Site
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt of a run of Actions. That GitHub shows it says nothing about who asks."""

    number: int
    attempt: int
    repository_id: int
    path: str  # of its workflow file
    branch: str  # of a tag, its name; of a pull request, its head
    commit: str  # of a pull request, its head
    event: str
    actor: Account | None  # of the event
    started_by: Account | None  # who ran this attempt


@dataclass(frozen=True, slots=True)
class Started:
    """A run of Actions that a repository dispatch started, as it is now."""

    AT_ONCE: ClassVar[int] = 100  # as many are listed

    number: int
    title: str
    at: datetime
    conclusion: str | None  # None: it goes on


@dataclass(frozen=True, slots=True)
class Closed:
    """What a sweep looks at among the pages that are closed."""

    stranded: Look  # they still say that they wait
    decided: Look  # with their last comments alone, which are no evidence
    unread: str | None = None  # why these are not known


# -- what the bridge writes ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class React:
    node: str
    with_: Reaction


@dataclass(frozen=True, slots=True)
class Say:
    """A new comment."""

    body: str


@dataclass(frozen=True, slots=True)
class Amend:
    """Another text for one of the bridge's own comments."""

    node: str
    body: str


@dataclass(frozen=True, slots=True)
class Remove:
    """One of the bridge's own comments goes."""

    node: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Title and body of the page."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Label:
    """The one label of the bridge that stands; its others go."""

    name: str


@dataclass(frozen=True, slots=True)
class Close:
    done: bool = False  # an issue shows whether what it asked for was done


@dataclass(frozen=True, slots=True)
class Reopen:
    pass


class Light(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Mark:
    """A commit status on the gate's head."""

    sha: str
    light: Light
    says: str


Write = React | Say | Amend | Remove | Rewrite | Label | Close | Reopen | Mark
