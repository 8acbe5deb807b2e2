"""What the verbs need of the world. Adapters answer these; the verbs know nothing else of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from bridge.core.delivery import Move, Workflow
from bridge.core.entry import Entry, Stretch, Tell, tell_nobody
from bridge.core.evaluation import Actor, Membership, Objection, Question, Vote
from bridge.core.facts import Fact
from bridge.core.listing import Listing
from bridge.core.log_filter import Wanted
from bridge.core.model import (
    ApprovalRequest,
    Baseline,
    Decision,
    Place,
    Recorded,
    Standing,
)
from bridge.core.picture import Drawn
from bridge.pages.model import Closed, Look, Page, Run, Site, Started, Write


class Clock(Protocol):
    """The time, in UTC, to the second."""

    def __call__(self) -> datetime: ...


class Ledger(Protocol):
    """The record. Every method raises `LedgerUnavailable` if it cannot be reached.

    Reading never fetches more than the gate asked for; writing is compare-and-swap and returns what
    stands afterwards, which is not always what was offered: the first decision wins.
    """

    @property
    def where(self) -> str:
        """A path or URL, without any credential in it: fit to be shown."""
        ...

    @property
    def is_path(self) -> bool:
        """Whether it is on this machine, where a look costs next to nothing."""
        ...

    def connected(self) -> AbstractContextManager[None]:
        """One look: within the block, a server over HTTP is asked on one connection. Blocks nest.

        It is for what goes on without a person: no connection is kept while somebody is waited for.
        """
        ...

    def open(self, request: ApprovalRequest, page: str, drawn: Sequence[Drawn] = ()) -> Standing:
        """Put the request, its page (request.md) and its pictures on the gate's branch. A picture
        that is not among those `drawn` is there already.

        Finds the first if it was opened before with the same digest; replaces a pending one
        whose digest differs; returns the standing decision untouched if it was decided.
        """
        ...

    def branch_for(self, request: ApprovalRequest) -> str:
        """The branch that records a gate which nobody has opened yet: the newest that has begun.

        If no forge is involved, the next one is made first, if its time has come.
        """
        ...

    def begin_branch(self, at: datetime) -> str:
        """The branch for gates that are opened now. It is made if its time has come."""
        ...

    def read(self, gate_id: str) -> Standing | None:
        """The gate as it stands now; None if the ledger does not know it."""
        ...

    def read_decided(self, gate_id: str) -> Standing | None:
        """The same of a gate that should be decided by now, for a reader alone: a decision on one
        of the newest branches is enough, and if there is none, it is what `read` says."""
        ...

    def before_opening(self, request: ApprovalRequest) -> Standing | None:
        """The same of a gate that is opened next, with what `baselines` and `open` need of the
        ledger in as few exchanges."""
        ...

    def baselines(self, request: ApprovalRequest) -> tuple[Baseline, ...]:
        """The last approved gates of the same kind, newest first, and one of the run that the
        request names."""
        ...

    def read_all(self, gate_ids: Iterable[str]) -> Mapping[str, Standing]:
        """Many of them in as many exchanges as one takes; what cannot be read is left out."""
        ...

    def decided(self, gate_ids: Iterable[str]) -> Mapping[str, Standing]:
        """Those of them that are decided: of the others, nothing is read."""
        ...

    def recorded(self, gate_ids: Iterable[str]) -> frozenset[str]:
        """Those of them that have a decision on record, also one that cannot be read: no record is
        read, in as many exchanges as one gate takes."""
        ...

    def decided_since(self, head: str | None) -> tuple[str | None, tuple[str, ...]]:
        """The ledger's head now, and the gates decided after it was `head`: one exchange, whose
        size doesn't grow with the open gates, and as much more as is new. None: no gate, only the
        head."""
        ...

    def record(self, decision: Decision) -> Standing:
        """Record a decision; if another came first, return that one.

        Raises `LostRequest` if the request it answers was replaced meanwhile, and
        `StaleBaseline` if it was compared with another gate than was due.
        """
        ...

    def record_all(self, decisions: Sequence[Decision]) -> Mapping[str, Standing | Exception]:
        """Record them by one push of as many commits; by gate, the gate as it is now, or what
        `record` would raise. One that cannot be recorded stops no other."""
        ...

    def hold(
        self, gate_id: str, objections: tuple[Objection, ...] = (), facts: tuple[Fact, ...] = ()
    ) -> Standing:
        """Record these objections, what lifted them, and these proven facts, beside those on
        record.

        What is on record stays there, and what is lifted stays lifted. Nothing is written if that
        changes nothing, or if the gate is decided.
        """
        ...

    def renew(self, gate_id: str, commit: str | None = None) -> Standing:
        """Put the request on the gate's branch once more, as a new commit upon the record.

        `commit` is where the request is read: somebody else may have pushed to the branch since.
        """
        ...

    def open_heads(self) -> Mapping[str, str]:
        """The gates that have a branch, decided or not, and its commit: one exchange."""
        ...

    def settle(self, *gate_ids: str) -> None:
        """Forget the gates' branches, of those whose decision is recorded: one push."""
        ...

    def listing(self) -> Listing:
        """The open gates, oldest first. A branch that cannot be read hides no other."""
        ...

    def history(
        self, limit: int, wanted: Wanted | None = None, reads: Callable[[int], None] | None = None
    ) -> tuple[Recorded, ...]:
        """The recorded decisions, newest first, at most so many: from commit messages alone.

        `wanted` leaves out the others, and ends the search at its `since`. `reads` is called for
        each decision that is looked at, with how many they are by then.
        """
        ...

    def whole(
        self, *, keep: bool = False, tell: Tell = tell_nobody
    ) -> AbstractContextManager[WholeRecord]:
        """All of the record from a full clone, for an audit. `keep`: the clone stays in the cache,
        and the next one fetches only what is new. `tell` is called with the branches fetched."""
        ...

    def resolve(self, name: str) -> str:
        """The id behind an id, a unique prefix of one, or a natural key. Raises `NoSuchGate`."""
        ...

    def head(self) -> str | None:
        """The ledger's head now; cheap: a change of it is the reason to `read` again."""
        ...

    def heads(self, gate_id: str) -> Mapping[str, str]:
        """The same, with the head of the gate's branch."""
        ...


class WholeRecord(Protocol):
    """Every commit of the record. Raises `LedgerUnavailable` as it is read, too."""

    @property
    def heads(self) -> Mapping[str, str]:
        """The branches, oldest first, with their heads."""
        ...

    def stretch(self, branch: str, after: str | None = None) -> Stretch | None:
        """What the branch has upon this commit, or all of it. None if it has not that commit among
        its own, which the first parents are."""
        ...

    def entries(
        self, stretch: Stretch, *, signatures: bool = False, before: bool = False
    ) -> Iterator[Entry]:
        """Oldest first, each read as it is asked for.

        `signatures`: ask git for each commit's signature, which takes it some 10 ms each. `before`:
        say of each what was on record before it, and which other branches have the same gate.
        """
        ...

    def sha256(self, commit: str, path: str) -> str | None:
        """Of the file as it is at this commit; None if there is none, or one too large."""
        ...


class Forge(Protocol):
    """Where people answer and are proven to be who they are. Raises `ForgeUnavailable` throughout.

    What it cannot read whole it does not return: a look is complete, or it is an error.
    """

    @property
    def name(self) -> str:
        """As people write it: `github:owner/repo`."""
        ...

    @property
    def place(self) -> Place:
        """As a request has it."""
        ...

    def look(self, number: int) -> Look:
        """The repository and this one page. Raises `NoSuchPage` if there is none."""
        ...

    def find(
        self,
        branches: Sequence[str],
        since: datetime | None = None,
        known: Collection[int] = (),
    ) -> Look:
        """The pull requests whose head is one of these branches, open or not, newest first.

        With `since` also the bridge's own issues that changed since then and may show one of these
        gates, open or not, whatever their labels: but for those of the known numbers.
        """
        ...

    def waiting(self) -> Look:
        """The issues, open or closed, whose label says that they wait."""
        ...

    def closed(self) -> Closed:
        """The newest fifty pull requests that are closed or merged and labelled as waiting, and
        the newest pages whose label says that their gate is decided: one request."""
        ...

    def checks(self, commit: str, names: Sequence[str]) -> tuple[Fact, ...]:
        """Of each name, whether it is green on this commit. What can't be read is not green."""
        ...

    def number_of(self, repository: str) -> int | None:
        """The number of the repository that this name, `owner/name`, leads to today.

        A former name leads to the renamed repository until another one takes the name. None if
        there is no such repository, or the credential may not see it.
        """
        ...

    def signing_keys(self, login: str) -> tuple[tuple[str, datetime], ...]:
        """The SSH keys with which this account signs, each as a line and since when the forge has
        it. None at all if they can't be read."""
        ...

    def create(self, request: ApprovalRequest, title: str, body: str) -> Page:
        """A new page of the gate; an issue is labelled as waiting at once.

        Raises `NothingToShow` if the branch holds nothing that the base lacks.
        """
        ...

    def write(self, site: Site, page: Page, writes: Sequence[Write]) -> None:
        """All of these, in as few requests as can be. Writing the same twice changes nothing."""
        ...

    def invite(self, page: Page, names: Sequence[str]) -> tuple[str, ...]:
        """Ask these users and teams, `ann` and `acme/ml`, for a review. Returns those that the
        forge does not let this account ask."""
        ...

    def approve(self, page: Page, commit: str | None, text: str) -> str:
        """An approving review of this commit, by the owner of this credential; its address."""
        ...

    def say(self, page: Page, text: str) -> str:
        """A comment by the owner of this credential; its address."""
        ...

    def run(self, number: int, attempt: int) -> Run | None:
        """One attempt of a run of this repository; None if it has no such run."""
        ...

    def started(self, workflow: str) -> tuple[Started, ...]:
        """The newest runs of this workflow file that repository dispatches started: a hundred."""
        ...

    def send(self, event: str, payload: Mapping[str, str]) -> None:
        """Start the workflows of the default branch that listen for this event."""
        ...

    def memberships(self, questions: Sequence[Question]) -> tuple[Membership, ...]:
        """An answer to each, `unknown` if it cannot be had."""
        ...


class Engine(Protocol):
    """What runs the workflow, and went on without it while it waited."""

    def resume(self, standing: Standing) -> bool:
        """Let the workflow go on, if it is one of its own: whether it is. It may be asked twice.

        Raises `ForgeUnavailable`.
        """
        ...


class Cluster(Protocol):
    """Where workflows of Argo run. Raises `ClusterUnavailable` throughout.

    `name` is what requests call it, empty if its deployers do not name it.
    """

    name: str

    def workflow(self, named: Workflow) -> dict[str, Any] | None:
        """The object of this name as it is now; None if there is none."""
        ...

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        """Whether the node moved. `seen` is the object that this rests on: if it holds no more,
        nothing is written."""
        ...


class Watched(Cluster, Protocol):
    """A cluster whose gated runs can be listed and followed: those of `namespace`, None for all."""

    namespace: str | None

    def gated(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The gated runs that go on, page by page, each with the version of the whole list."""
        ...

    def changes(self, since: str, seconds: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is written from that version on, for so long: ADDED, MODIFIED or DELETED and the
        object; BOOKMARK and an object that says its version alone. Raises `TooOld`."""
        ...


class Notices(Protocol):
    """Best effort: never raises, never delays; reports its own failure once, without its secret.

    `page` is the address on which people answer, if they answer on a page.
    """

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None: ...


class Asker(Protocol):
    """Someone at this machine who can be asked now."""

    def ask(
        self, request: ApprovalRequest, person: Actor, decided: Callable[[], bool]
    ) -> Vote | None:
        """Their vote with valid input; None if they gave none, or `decided` came first."""
        ...
