"""The nouns of the bridge: frozen values that every other module speaks in.

Nothing here does I/O, and nothing here knows a vendor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from bridge.core.delivery import Workflow
from bridge.core.evaluation import (
    Actor,
    Condition,
    Decider,
    Evidence,
    JudgedVote,
    Membership,
    Objection,
    Outcome,
    Vote,
)
from bridge.core.facts import About, Fact, claims, fact_of, initiator_of
from bridge.core.listing import ID_LENGTH
from bridge.core.picture import FILE as PICTURE_FILE
from bridge.core.picture import Drawn, NotDrawn, Picture
from bridge.core.rules import OnTimeout, Policy
from bridge.core.shards import FIRST
from bridge.core.unmatched import Unmatched

#: The format of the records that this bridge writes and reads.
FORMAT: Final = 1


#: What `converter.py` reads of a field.
UNBOUND: Final = {"bound": False}
ALWAYS: Final = {"always": True}


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
        """Deterministic: opening twice finds the first. Its first half is of the key alone, so that
        the ledger finds a gate by its natural key without an index."""
        whole = hashlib.sha256(f"{self.origin}\0{self.key}".encode()).hexdigest()
        return (start_of_id(self.key) + whole)[:ID_LENGTH]

    @property
    def folder(self) -> str:
        return folder_of(self.id)

    @property
    def branch(self) -> str:
        return branch_of(self.id)


def start_of_id(key: str) -> str:
    """How the ids of all gates of this natural key begin, whatever their origin."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[: ID_LENGTH // 2]


#: The levels of folders between `gates` and that of a gate.
FOLDER_LEVELS: Final = 3


def folder_of(gate_id: str) -> str:
    """The gate's folder in the ledger, from its id alone: `gates/<a>/<b>/<c>/<id>`. With 16 folders
    in each, the way to one of 50,000 gates has two kilobytes."""
    return f"gates/{'/'.join(gate_id[:FOLDER_LEVELS])}/{gate_id}"


#: The files of a gate's folder, beside its pictures: what the opener asks, and what the decider
#: writes. Nothing else is recorded.
OBJECTIONS: Final = "objections.yaml"
SIGNATURE: Final = "decision.yaml.sig"
OBJECTIONS_SIGNATURE: Final = "objections.yaml.sig"
_ASKED: Final = frozenset(("request.yaml", "request.md"))
_DECIDED: Final = frozenset(("decision.yaml", SIGNATURE, OBJECTIONS, OBJECTIONS_SIGNATURE))


def is_picture_file(name: str) -> bool:
    return PICTURE_FILE.fullmatch(name) is not None


def is_asked_file(name: str) -> bool:
    """Whether a file of this name is recorded from a gate's branch, to which its opener pushes."""
    return name in _ASKED or is_picture_file(name)


def is_gate_file(name: str) -> bool:
    """Whether the record has a file of this name in a gate's folder."""
    return name in _DECIDED or is_asked_file(name)


def branch_of(gate_id: str) -> str:
    return f"gate/{gate_id}"


class Better(StrEnum):
    """Which values of a metric are the better ones."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One value that the person is shown, summarised. `digest` is of its stored bytes."""

    name: str
    type: str
    digest: str
    size: int | None = None  # bytes as stored
    value: str | None = None  # short, one line, already made harmless to read
    head: str | None = None  # several lines: rows of a table
    link: str | None = None
    metric: bool = False
    better: Better | None = None  # as the flow declares it
    text: str | None = None  # several lines: the beginning of a longer text, to see what changed

    @property
    def is_read(self) -> bool:
        """Whether its value is shown, and not its type and size alone."""
        return (self.value, self.head, self.link, self.metric) != (None, None, None, False)


@dataclass(frozen=True, slots=True)
class Link:
    """An address that is worth a look, and what it leads to."""

    label: str
    url: str


class PlaceKind(StrEnum):
    LOCAL = "local"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gate is decided: on this machine, by unproven identities, or in a repository.

    The repository's number stays the same if the repository is renamed or moved.
    """

    kind: PlaceKind = field(default=PlaceKind.LOCAL, metadata=ALWAYS)
    server: str | None = None  # the host alone: `github.com`
    repository: str | None = None  # owner/name
    repository_id: int | None = None

    def __post_init__(self) -> None:
        named = (self.server, self.repository, self.repository_id)
        if self.kind is PlaceKind.LOCAL and any(each is not None for each in named):
            raise ValueError("a gate of this machine is in no repository")
        if self.kind is PlaceKind.GITHUB and not (self.server and self.repository):
            raise ValueError("server and repository are missing")

    @property
    def name(self) -> str | None:
        """As people write it: `github:owner/name`; None on this machine."""
        return f"{self.kind}:{self.repository}" if self.repository else None

    def same(self, other: Place) -> bool:
        """Whether both name one place. GitHub compares names without case."""
        ids = (self.repository_id, other.repository_id)
        if self.kind is not other.kind or _folded(self.server) != _folded(other.server):
            return False
        if None not in ids:
            return ids[0] == ids[1]
        return self.same_name(other)

    def same_name(self, other: Place) -> bool:
        return _folded(self.repository) == _folded(other.repository)


HERE: Final = Place()


def on_github(repository: str, server: str = "github.com") -> Place:
    return Place(PlaceKind.GITHUB, server, repository)


def _folded(name: str | None) -> str:
    return (name or "").casefold()


@dataclass(frozen=True, slots=True)
class Kind:
    """Gates that are compared with each other: the same step of the same flow, for one target."""

    flow: str
    step: str
    environment: str | None = None
    project: str | None = None  # Metaflow's, with its branch
    branch: str | None = None
    name: str | None = None  # the flow's own
    splits: tuple[str, ...] = ()  # of each foreach around it, the outermost first: its item


class OnReject(StrEnum):
    """What becomes of a step whose gate says no."""

    END = "end"  # the run ends
    SKIP = "skip"  # the step's body does not run, and the run goes on


@dataclass(frozen=True, slots=True)
class CompareBy:
    """What the author of a gate says of its comparison."""

    wanted: bool = True
    name: str | None = None  # that of its kind
    run: str | None = None  # the run that it is compared with; None: the last approved one


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last approved gate of the same kind, which this request is compared with."""

    gate: str  # its id
    key: str
    decided_at: datetime
    by: str  # who approved it, in words
    artifacts: tuple[Artifact, ...] = ()  # without their sizes, links and first rows
    left_out: int = 0  # artifacts that had no room here


@dataclass(frozen=True, slots=True)
class Approved:
    """When a gate was approved; its own record says what it was."""

    gate: str  # its id
    key: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Baselines:
    """The last approved gates of one kind, newest first."""

    kind: Kind
    approved: tuple[Baseline, ...] = ()  # the last one of each run
    listed: tuple[Approved, ...] = ()  # and of more, when
    format: int = field(default=FORMAT, metadata=ALWAYS)


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
    on_timeout: OnTimeout = field(default=OnTimeout.REJECT, metadata=ALWAYS)
    auto_approve_if: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a step asks, before the venue of its gate binds it to a policy.

    The gated step computes it again, and takes the policy from the recorded request.
    """

    gate: Gate
    message: str
    policy: Policy | None = None  # the flow's own; None: only a policy file says who decides
    artifacts: tuple[Artifact, ...] = ()
    schema: Mapping[str, Any] | None = None
    facts: tuple[Fact, ...] = ()
    links: tuple[Link, ...] = ()
    subject: Subject | None = None
    declared: Declared | None = None
    workflow: Workflow | None = None
    kind: Kind | None = None  # None: it is compared with nothing
    against: str | None = None  # the run that it is compared with; None: the last approved one
    on_reject: OnReject = OnReject.END
    unmatched: tuple[Unmatched, ...] = ()  # names that the gate is declared with
    drawn: tuple[Drawn, ...] = ()
    not_drawn: tuple[NotDrawn, ...] = ()

    @property
    def initiator(self) -> str | None:
        return initiator_of(self.facts)

    def bound(self, policy: Policy, opened_at: datetime, venue: Place = HERE) -> ApprovalRequest:
        """The request under this policy. No policy file is read on this machine, and then the
        request leaves out what one is read by."""
        file = venue.kind is PlaceKind.GITHUB
        return ApprovalRequest(
            gate=self.gate,
            message=self.message,
            policy=policy,
            opened_at=opened_at,
            artifacts=self.artifacts,
            schema=self.schema,
            facts=self.facts,
            venue=venue,
            links=self.links,
            subject=self.subject if file else None,
            declared=self.declared if file else None,
            workflow=self.workflow,
            kind=self.kind,
            against=self.against,
            on_reject=self.on_reject,
            unmatched=self.unmatched,
            pictures=tuple(each.picture for each in self.drawn),
        )


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked, and all that an approval of it is bound to."""

    gate: Gate = field(metadata={"inline": True})
    message: str
    policy: Policy
    opened_at: datetime = field(metadata=UNBOUND)
    artifacts: tuple[Artifact, ...] = ()
    schema: Mapping[str, Any] | None = None  # JSON Schema of the input, None: no input
    facts: tuple[Fact, ...] = field(default=(), metadata=UNBOUND)
    venue: Place = field(default=HERE, metadata=ALWAYS)
    shard: str = field(default=FIRST, metadata=ALWAYS)  # the branch of the ledger that records it
    links: tuple[Link, ...] = ()
    subject: Subject | None = None  # with `declared`: what a policy file is read by, a second time
    declared: Declared | None = None
    workflow: Workflow | None = None  # None: the step itself waits
    kind: Kind | None = None  # of gates that it is compared with; None: none
    against: str | None = None  # the run of that gate; None: the last approved one
    baseline: Baseline | None = None
    on_reject: OnReject = OnReject.END
    unmatched: tuple[Unmatched, ...] = ()  # names in its declaration that no artifact has
    pictures: tuple[Picture, ...] = ()
    format: int = field(default=FORMAT, metadata=ALWAYS)

    @property
    def forge(self) -> str | None:
        """`github:owner/name`; None if it is decided on this machine."""
        return self.venue.name

    def fact(self, about: About) -> Fact | None:
        """What the request claims of this: whatever it says, its opener wrote it."""
        return fact_of(claims(self.facts), about)

    @property
    def initiator(self) -> str | None:
        """Who started the run, as the request claims."""
        return initiator_of(self.facts)

    def skips(self, outcome: Outcome) -> bool:
        """Whether this outcome skips the step's body, and the run goes on."""
        return self.on_reject is OnReject.SKIP and outcome in (Outcome.REJECTED, Outcome.EXPIRED)

    @property
    def expires_at(self) -> datetime | None:
        if self.policy.timeout is None:
            return None
        return self.opened_at + timedelta(seconds=self.policy.timeout)

    @property
    def draft(self) -> Draft:
        """What was asked, with the policy that it was bound to as its own."""
        return Draft(
            gate=self.gate,
            message=self.message,
            policy=self.policy,
            artifacts=self.artifacts,
            schema=self.schema,
            facts=self.facts,
            links=self.links,
            subject=self.subject,
            declared=self.declared,
            workflow=self.workflow,
            kind=self.kind,
            against=self.against,
            on_reject=self.on_reject,
            unmatched=self.unmatched,
            not_drawn=tuple(NotDrawn(each.of, "only its file is known") for each in self.pictures),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What is recorded, once, in the ledger."""

    gate_id: str = field(metadata={"key": "gate"})
    outcome: Outcome
    by: Decider
    reason: str
    request_digest: str
    decided_at: datetime
    considered: tuple[JudgedVote, ...] = field(default=(), metadata={"key": "votes"})
    inputs: Mapping[str, Any] = field(default_factory=dict)
    condition: Condition | None = None
    memberships: tuple[Membership, ...] = ()  # of those who voted, so that it can be judged again
    author: Actor | None = None
    objections: tuple[Objection, ...] = ()  # lifted or not
    facts: tuple[Fact, ...] = ()  # the request's, and what the decider learned besides
    #: Or the policy file and its commit.
    policy_source: str = field(default="the request", metadata=ALWAYS)
    previous: str | None = None  # the ledger's head it was recorded upon
    format: int = field(default=FORMAT, metadata=ALWAYS)  # that of its request

    @property
    def votes(self) -> tuple[Vote, ...]:
        """Those that count."""
        return tuple(each.vote for each in self.considered if each.counts)

    @property
    def evidence(self) -> Evidence:
        """What it was judged by, so that anybody can judge it again."""
        return Evidence(
            self.decided_at,
            self.votes,
            self.condition,
            self.memberships,
            self.author,
            objections=self.objections,
            facts=self.facts,
        )


@dataclass(frozen=True, slots=True)
class Objections:
    """What the decider has seen of an undecided gate, written down before it answers: every
    objection, and what it can prove of the run."""

    gate_id: str = field(metadata={"key": "gate"})
    objections: tuple[Objection, ...] = ()
    facts: tuple[Fact, ...] = ()
    format: int = field(default=FORMAT, metadata=ALWAYS)


@dataclass(frozen=True, slots=True)
class Standing:
    """A gate as the ledger has it: its request, and its decision if there is one.

    `commit` holds them; `head` is the open gate branch's commit, None if the branch is gone.
    `objections` and `facts` are those on record. `other_facts` are too, and are proven of what was
    asked here before. `page` is git's name of the `request.md` beside the request.
    """

    request: ApprovalRequest
    decision: Decision | None
    commit: str
    head: str | None = None
    objections: tuple[Objection, ...] = ()
    facts: tuple[Fact, ...] = ()
    other_facts: tuple[Fact, ...] = ()
    page: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded decision as a log shows it: what its one commit says, nothing besides."""

    id: str
    outcome: Outcome
    by: Decider
    key: str
    headline: str
    approvers: str  # who voted, in words; empty if nobody did
    decided_at: datetime
    commit: str
    unverified: bool = False  # nobody but the machine that voted says who it was
