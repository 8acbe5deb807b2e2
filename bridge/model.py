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


class Channel(StrEnum):
    """The way a vote came in."""

    TERMINAL = "terminal"
    CLI = "cli"
    PYTHON = "python"


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
class Actors:
    """Who may vote. `names` are people (name, e-mail or login) or teams."""

    names: tuple[str, ...] = ()
    anyone: bool = False

    @property
    def nobody(self) -> bool:
        return not (self.anyone or self.names)

    def __str__(self) -> str:
        return "anyone" if self.anyone else " or ".join(self.names)


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many different people out of these."""

    by: Actors
    count: int = 1


@dataclass(frozen=True, slots=True)
class AllOf:
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    rules: tuple[Rule, ...]


Rule = Approvals | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Policy:
    """What it takes to decide a gate. `timeout` is in seconds; None waits for ever."""

    require: Rule
    timeout: int | None = None
    on_timeout: OnTimeout = OnTimeout.REJECT
    auto_approve_if: str | None = None  # the condition, in words; None: no condition may approve


@dataclass(frozen=True, slots=True)
class Workflow:
    """The Argo workflow in which a suspended node waits for the decision."""

    namespace: str
    name: str
    uid: str


class Delivery(StrEnum):
    """Where the node of a gate stands, when a decision is brought to it."""

    WAITING = "waiting"  # suspended: the one state in which it may be moved
    RESUMED = "resumed"  # by us, now, and read back
    ALREADY = "already resumed"  # or failed: by an earlier delivery, a person or the clock
    GONE = "gone"
    OTHER_RUN = "wrong uid"
    ENDED = "ended"
    STOPPED = "stopped"
    NO_NODE = "no node"
    OFFLOADED = "offloaded"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Resumption:
    """What came of bringing a decision to its node. `says` is the whole sentence for a person."""

    delivery: Delivery
    says: str
    node: str | None = None  # its id
    phase: str | None = None
    message: str = ""  # the node's own


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
    policy_source: str = "the request"  # later: the policy file and its commit
    previous: str | None = None  # the ledger's head it was recorded upon


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
