"""The nouns of the bridge: frozen values that every other module speaks in.

Nothing here does I/O, and nothing here knows a vendor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

#: Characters of a gate's id: 48 bits of its hash. Two gates that share an id are told apart by the
#: request, which holds the whole key, so a collision refuses and never approves.
ID_LENGTH = 12


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


class Decider(StrEnum):
    """Who a decision is owed to."""

    PERSON = "person"
    CLOCK = "clock"
    CONDITION = "condition"
    RUN = "run"  # the run ended or vanished: the gate is withdrawn


class OnTimeout(StrEnum):
    """What the clock does when the deadline passes."""

    REJECT = "reject"
    APPROVE = "approve"
    NOTIFY = "notify"


class RequestChanges(StrEnum):
    """What a review that requests changes does."""

    HOLD = "hold"
    REJECT = "reject"


class DismissedReviews(StrEnum):
    """Whose dismissal takes an approval away: of anyone the forge lets, or of deciders alone."""

    ANYONE = "anyone"
    DECIDERS = "deciders"


class UnknownInitiator(StrEnum):
    """What holds where nobody can say which account started the run."""

    BLOCK = "block"
    ALLOW = "allow"


class Via(StrEnum):
    """Where a gate is shown."""

    PULL_REQUEST = "pull_request"
    ISSUE = "issue"


class GroupKind(StrEnum):
    TEAM = "team"
    ORGANIZATION = "organization"
    PERMISSION = "permission"  # on the repository: this one or a higher one
    ROLE = "role"  # on the repository: exactly this one, by its own name


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


@dataclass(frozen=True, slots=True)
class Gate:
    """A point in one run where a person must decide.

    `origin` says where runs of this name live (a metadata service or datastore root), so that two
    laptops' `Flow/1/gate/3` are two gates; `key` is the natural key a person knows.
    """

    origin: str
    key: str

    @property
    def id(self) -> str:
        """Deterministic: opening twice finds the first."""
        return hashlib.sha256(f"{self.origin}\0{self.key}".encode()).hexdigest()[:ID_LENGTH]

    @property
    def folder(self) -> str:
        return folder_of(self.id)

    @property
    def branch(self) -> str:
        return branch_of(self.id)


def folder_of(gate_id: str) -> str:
    """The gate's folder in the ledger, from its id alone: `gates/<ab>/<cd>/<id>`."""
    return f"gates/{gate_id[:2]}/{gate_id[2:4]}/{gate_id}"


def branch_of(gate_id: str) -> str:
    return f"gate/{gate_id}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One value that the person is shown, summarised; `digest` is what the approval is bound to."""

    name: str
    type: str
    digest: str
    size: int | None = None  # bytes as stored
    value: str | None = None  # short, one line, already made harmless to read
    head: str | None = None  # several lines: the first rows of a table
    link: str | None = None
    metric: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """People whom the forge knows to be in it: `team acme/ml`, `permission maintain`."""

    kind: GroupKind
    name: str

    def __str__(self) -> str:
        match self.kind:
            case GroupKind.TEAM:
                return f"team {self.name}"
            case GroupKind.ORGANIZATION:
                return f"members of {self.name}"
            case GroupKind.PERMISSION:
                higher = "" if self.name == "admin" else " or higher"
                return f"people with {self.name} permission{higher}"
            case GroupKind.ROLE:
                return f"people with the role {self.name}"


@dataclass(frozen=True, slots=True)
class Actors:
    """Who may vote.

    `names` are people (name, e-mail or login) or teams, as this machine knows them. `users` are
    accounts on a forge: `ann`, or `ann#583231` where the number must be hers too. `groups` are
    the forge's to answer for.
    """

    names: tuple[str, ...] = ()
    anyone: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def nobody(self) -> bool:
        return not (self.anyone or self.names or self.users or self.groups)

    def __str__(self) -> str:
        if self.anyone:
            return "anyone"
        accounts = (user.partition("#")[0] for user in self.users)
        return " or ".join([*self.names, *accounts, *map(str, self.groups)])


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many different people out of these."""

    by: Actors
    count: int = 1


@dataclass(frozen=True, slots=True)
class EachOf:
    """One person from each of these, and nobody stands for two."""

    of: tuple[Actors, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    rules: tuple[Rule, ...]


Rule = Approvals | EachOf | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Bars:
    """Who is barred from a gate on a forge, whatever group they are in. Bots always are.

    Here on one machine nobody is: who started a run and who decides are unproven both. `users` as
    in `Actors`.
    """

    initiator: bool = True
    author: bool = True
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What it takes to decide a gate. `timeout` is in seconds; None waits for ever.

    `only` is whom the flow itself names: nobody else's approval counts. `initiator` is the account
    of whoever started the run, where the policy's identities map them to one.
    """

    require: Rule
    timeout: int | None = None
    on_timeout: OnTimeout = OnTimeout.REJECT
    auto_approve_if: str | None = None  # the condition, in words; None: no condition may approve
    bars: Bars = Bars()
    only: Actors | None = None
    request_changes: RequestChanges = RequestChanges.HOLD
    dismissed_reviews: DismissedReviews = DismissedReviews.ANYONE
    unknown_initiator: UnknownInitiator = UnknownInitiator.BLOCK
    initiator: str | None = None
    via: Via = Via.PULL_REQUEST


@dataclass(frozen=True, slots=True)
class Subject:
    """What a gate is about: a policy file selects by it, and the gated step computes it again.

    `artifacts` holds plain values alone (text, number, yes or no) by name.
    """

    flow: str
    step: str
    environment: str | None = None
    labels: tuple[str, ...] = ()
    artifacts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declared:
    """What the flow itself asks of its gate. It narrows the policy file, and never widens it."""

    approvers: tuple[str, ...] = ()
    timeout: int | None = None  # seconds
    on_timeout: OnTimeout = OnTimeout.REJECT
    auto_approve_if: str | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """What a policy file says of one gate. `rule` is the name of the gate's entry there."""

    rule: str
    policy: Policy
    via: Via = Via.PULL_REQUEST
    auto_approve: bool = False  # whether a condition of the flow may approve at all


@dataclass(frozen=True, slots=True)
class Workflow:
    """The Argo workflow in which a suspended node waits for the decision."""

    namespace: str
    name: str
    uid: str
    cluster: str = ""  # as its deployer calls it, where the ledger has gates of several


class Delivery(StrEnum):
    """Where the node of a gate stands, when a decision is brought to it."""

    WAITING = "waiting"  # suspended: the one state in which it may be moved
    RESUMED = "resumed"  # by us, now, and read back
    ALREADY = "already resumed"  # or failed: by an earlier delivery, a person or the clock
    GONE = "gone"
    ELSEWHERE = "elsewhere"  # not here, and it may go on in another cluster
    OTHER_RUN = "wrong uid"
    ENDED = "ended"
    STOPPED = "stopped"
    NO_NODE = "no node"
    OFFLOADED = "offloaded"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Move:
    """What a suspended node is brought to by a recorded decision."""

    node: str  # its id
    gate: str  # the gate that it was given: the node's id is the same in a run of the same name
    phase: str  # Succeeded or Failed
    decision: Outcome
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Resumption:
    """What came of bringing a decision to its node. `says` is the whole sentence for a person."""

    delivery: Delivery
    says: str
    node: str | None = None  # its id
    phase: str | None = None
    message: str = ""  # the node's own

    @property
    def done(self) -> bool:
        """Whether the node moved, or nothing is left that could: no look later finds more."""
        return self.delivery not in (Delivery.CONFLICT, Delivery.OFFLOADED, Delivery.NO_NODE)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked, and all that an approval of it is bound to."""

    gate: Gate
    message: str
    policy: Policy
    opened_at: datetime
    artifacts: tuple[Artifact, ...] = ()
    schema: Mapping[str, Any] | None = None  # JSON Schema of the input, None: no input
    initiator: str | None = None
    forge: str | None = None  # None: decided on this machine, by unproven identities
    links: tuple[tuple[str, str], ...] = ()
    subject: Subject | None = None  # with `declared`: what a policy file is read by, a second time
    declared: Declared | None = None
    workflow: Workflow | None = None  # None: the step itself waits

    @property
    def expires_at(self) -> datetime | None:
        if self.policy.timeout is None:
            return None
        return self.opened_at + timedelta(seconds=self.policy.timeout)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, as far as the channel can tell.

    `proven` is true only where somebody other than this machine vouches for it. `teams` are claims
    of the same strength as the name.
    """

    name: str
    email: str | None = None
    login: str | None = None
    id: int | None = None
    teams: tuple[str, ...] = ()
    proven: bool = False
    bot: bool = False

    def answers_to(self, name: str) -> bool:
        own = (self.name, self.email, self.login, *self.teams)
        return name.casefold() in {each.casefold() for each in own if each}

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.email else self.name


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
    dismissed_by: Actor | None = None  # who dismissed the review, where somebody did


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


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A vote that does not count, and why, in words for the one who cast it."""

    vote: Vote
    reason: str


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
    heeded: tuple[Vote, ...] = ()  # the holds that stand, and what released others

    @property
    def reason(self) -> str:
        return self.finding.says


@dataclass(frozen=True, slots=True)
class Decision:
    """What is recorded, once, in the ledger."""

    gate_id: str
    outcome: Outcome
    by: Decider
    reason: str
    request_digest: str
    decided_at: datetime
    votes: tuple[Vote, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    condition: Condition | None = None
    memberships: tuple[Membership, ...] = ()  # of those who voted, so that it can be judged again
    author: Actor | None = None
    policy_source: str = "the request"  # or the policy file and its commit
    previous: str | None = None  # the ledger's head it was recorded upon

    @property
    def evidence(self) -> Evidence:
        """What it was judged by, so that anybody can judge it again."""
        return Evidence(self.decided_at, self.votes, self.condition, self.memberships, self.author)


@dataclass(frozen=True, slots=True)
class Standing:
    """A gate as the ledger has it: its request, and its decision if there is one.

    `commit` holds them; `head` is the open gate branch's commit, None where the branch is gone.
    """

    request: ApprovalRequest
    decision: Decision | None
    commit: str
    head: str | None = None


@dataclass(frozen=True, slots=True)
class OpenGate:
    """An open gate as a listing shows it: what its one commit says, and nothing fetched besides."""

    id: str
    head: str
    key: str
    headline: str
    opened_at: datetime
    expires_at: datetime | None
    initiator: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded decision as a log shows it: what its one commit says, nothing besides."""

    id: str
    outcome: Outcome
    by: Decider
    key: str
    headline: str
    approvers: str  # who voted, in words; empty where nobody did
    decided_at: datetime
    commit: str


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a commit changed. `status` is git's letter: A added, M modified, D deleted …"""

    status: str
    path: str
    blob: str  # the id of what is there now


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the record, as an audit reads it."""

    commit: str
    parents: tuple[str, ...]
    changes: tuple[Change, ...]  # against the first parent
    texts: Mapping[str, str]  # path to content, of the records that it added
    joined: Mapping[str, str]  # the same for the requests it decides, as its second parent has them
    signature: str | None = None  # git's letter for it (G is good); None: none was seen
