"""A line of those who lose races for the ledger: each push takes along all who wait.

A ticket is a branch `gate/waiting/<seconds>-<random><mark>`, whose one commit holds the decisions
that wait. The push that records them deletes it. Why it is so, and what a forged ticket is worth,
is in `docs/decisions/0013-a-line.md`.
"""

from __future__ import annotations

import hmac
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Final

from bridge.core import log
from bridge.core.errors import LedgerCorrupt, LedgerUnavailable
from bridge.core.model import ApprovalRequest, Decision
from bridge.core.records import decision_in, decision_out
from bridge.core.sshsig import WAITING_NAMESPACE
from bridge.ledger.clone import GitClone
from bridge.ledger.commits import BRIDGE, Commits
from bridge.ledger.exchanges import Exchanges, LostRace, back_off
from bridge.ledger.git import BLOBS, Leaf
from bridge.ledger.open_gates import IS_ID
from bridge.ledger.shard_refs import SHARDS, shards_of

_log = log.logger("ledger")

#: All tickets. Rulesets for the gates' branches cover them.
WAITING: Final = "refs/heads/gate/waiting/*"
_TICKET: Final = re.compile(r"refs/heads/gate/waiting/([0-9]{10})-[0-9a-f]{32}")

#: Seconds for which a ticket counts. An older one is removed by the next push that records.
FRESH: Final = 300
#: Seconds for which a decider that met others expects to meet them again.
CROWD: Final = 60
#: Tickets that one push takes along, and decisions of one ticket and of all together.
MOST: Final = 100
_MOST_IN_ONE: Final = 200
_MOST_AT_ONCE: Final = 400
#: Characters of a ticket's random part, and of its mark.
_HALF: Final = 16
#: Bytes of one ticket's folder, of each of the two fetches, and characters of all decisions.
_MOST_TREE: Final = 65_536
_MOST_FETCHED: Final = 4 * 1024 * 1024
_MOST_TEXT: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the line. `at`: seconds since 1970, as it says itself."""

    ref: str
    commit: str
    at: int

    @property
    def name(self) -> str:
        return self.ref.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision of somebody else's ticket."""

    ticket: Ticket
    decision: Decision

    @property
    def gate_id(self) -> str:
        return self.decision.gate_id


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a ticket, and its signature's: their names in git."""

    ticket: Ticket
    gate_id: str
    text: str
    signature: str | None


def tickets(refs: Mapping[str, str]) -> list[Ticket]:
    """The tickets among these refs, oldest first."""
    named = ((_TICKET.fullmatch(ref), sha) for ref, sha in refs.items())
    found = [Ticket(name[0], sha, int(name[1])) for name, sha in named if name]
    return sorted(found, key=lambda each: (each.at, each.ref))


class Line:
    """The tickets of one ledger. `signature` is that of the decider."""

    def __init__(
        self,
        clone: GitClone,
        exchanges: Exchanges,
        commits: Commits,
        signature: Callable[[bytes, str], str] | None,
        *,
        trusts_unsigned: bool,
    ) -> None:
        self._clone = clone
        self._exchanges = exchanges
        self._commits = commits
        self._signature = signature
        self._trusts_unsigned = trusts_unsigned
        self._crowd_until = 0.0
        self.now: Callable[[], float] = time.time
        self.pause: Callable[[float], None] = time.sleep

    def fresh(self, refs: Mapping[str, str]) -> list[Ticket]:
        """Those that count, the first of the line first. With a signing key, what another made is
        no place in it: who may open gates could put any number before everybody else."""
        now = self.now()
        return [
            each for each in tickets(refs) if abs(now - each.at) <= FRESH and self._is_ours(each)
        ]

    def stale(self, refs: Mapping[str, str]) -> list[Ticket]:
        now = self.now()
        return [each for each in tickets(refs) if abs(now - each.at) > FRESH][:MOST]

    def name(self) -> str:
        """Of a new ticket. Nobody without the key can make another one."""
        place = f"{int(self.now()):010}-{secrets.token_hex(_HALF // 2)}"
        return place + (self._mark(place) or secrets.token_hex(_HALF // 2))

    def _is_ours(self, ticket: Ticket) -> bool:
        mark = self._mark(ticket.name[:-_HALF])
        return mark is None or hmac.compare_digest(mark, ticket.name[-_HALF:])

    def _mark(self, place: str) -> str | None:
        if self._secret is None:
            return None
        return hmac.new(self._secret, place.encode(), "sha256").hexdigest()[:_HALF]

    @cached_property
    def _secret(self) -> bytes | None:
        """What only deciders with this key know: a signature that is never shown. Those that are
        shown are about a name and a text."""
        if not self._signature:
            return None
        return self._signature(b"the names of tickets", WAITING_NAMESPACE).encode()

    def meets(self, others: int) -> None:
        self._crowd_until = self.now() + CROWD if others else 0.0

    @property
    def is_crowded(self) -> bool:
        return self.now() < self._crowd_until

    def refs(self) -> dict[str, str]:
        return self._exchanges.told(lambda: self._clone.remote_refs(SHARDS, WAITING))

    def listening(self) -> AbstractContextManager[None]:
        """Within the block, a look at a server over HTTP costs one request."""
        return self._clone.remote.connected()

    def taken(self, decisions: Sequence[Decision]) -> Ticket:
        """A new ticket for these, pushed."""
        name = self.name()
        at = int(name[:10])
        files = dict(self._files(name, decisions))

        def attempt() -> Ticket:
            tree = self._clone.write_tree(
                {file: self._clone.write_blob(text) for file, text in files.items()}
            ).sha
            when = datetime.fromtimestamp(at, UTC)
            commit = self._commits.make(tree, [], "Waits for its turn\n", author=BRIDGE, at=when)
            ticket = Ticket(WAITING.replace("*", name), commit, at)
            self._exchanges.push({ticket.ref: commit}, lease={ticket.ref: ""})
            return ticket

        return self._exchanges.alone(attempt)

    def _files(self, name: str, decisions: Sequence[Decision]) -> Iterator[tuple[str, str]]:
        for each in decisions[:_MOST_IN_ONE]:
            text = decision_out(each)
            yield f"{each.gate_id}.yaml", text
            if self._signature:
                yield f"{each.gate_id}.sig", self._signature(_about(name, text), WAITING_NAMESPACE)

    def given_back(self, ticket: Ticket) -> None:
        self._exchanges.alone(
            lambda: self._exchanges.push({ticket.ref: ""}, lease={ticket.ref: ticket.commit})
        )

    def waiting(self, found: Sequence[Ticket]) -> list[Waiting]:
        """What these tickets ask to record, and may. One that makes no sense asks nothing.

        Who may open a gate can push any number of tickets of any size. So little is fetched, and
        with a signing key nothing is parsed that it didn't sign.
        """
        self._clone.bring_within([each.commit for each in found], "tree:1", _MOST_FETCHED)
        files = list(islice(self._files_of(found), _MOST_AT_ONCE))
        shas = [sha for each in files for sha in (each.text, each.signature) if sha]
        self._clone.bring_within(shas, "tree:0", _MOST_FETCHED)
        asked, room = [], _MOST_TEXT
        for each in files:
            with suppress(LedgerCorrupt):
                text, signature = self._here(each.text), self._here(each.signature)
                if not text or len(text) > room or not self._may_be_mine(each, text, signature):
                    continue
                room -= len(text)
                decision = decision_in(text, each.gate_id)
                if decision.gate_id == each.gate_id:
                    asked.append(Waiting(each.ticket, decision))
        return asked

    def _files_of(self, found: Sequence[Ticket]) -> Iterator[_File]:
        for ticket in found:
            try:
                if not (self._clone.has(ticket.commit) and self._clone.has(self._root(ticket))):
                    continue
                files = self._clone.tree(self._root(ticket), _MOST_TREE)
            except LedgerCorrupt:
                continue
            for name, leaf in files.items():
                gate_id, _, kind = name.partition(".")
                if kind == "yaml" and IS_ID.fullmatch(gate_id) and _is_file(leaf):
                    mark = files.get(f"{gate_id}.sig")
                    signature = mark.sha if mark and _is_file(mark) else None
                    yield _File(ticket, gate_id, leaf.sha, signature)

    def _root(self, ticket: Ticket) -> str:
        return self._clone.root(ticket.commit)

    def _here(self, sha: str | None) -> str | None:
        return self._clone.blob(sha) if sha and self._clone.has(sha) else None

    def _may_be_mine(self, file: _File, text: str, signature: str | None) -> bool:
        """Whether a signing decider would sign it itself; without a key, `believes` says more."""
        if not self._signature:
            return True
        mine = self._signature(_about(file.ticket.name, text), WAITING_NAMESPACE)
        return hmac.compare_digest(mine.encode(), (signature or "").encode())

    def believes(self, request: ApprovalRequest) -> bool:
        """Whether what a ticket asks of this gate may be recorded.

        Who may push a ticket may open gates, and on GitHub not decide them. There it takes the
        decider's own signature, which is the same each time. On a ledger of no forge, who may push
        the one may push the other.
        """
        return bool(self._signature) or (self._trusts_unsigned and request.forge is None)


def _about(name: str, text: str) -> bytes:
    """What the signature of a ticket is about: its name says until when it counts."""
    return f"{name}\n{text}".encode()


def _is_file(leaf: Leaf) -> bool:
    return leaf.mode in BLOBS


@dataclass(slots=True)
class Turn:
    """The way of these decisions through the line."""

    line: Line
    decisions: Sequence[Decision]
    ticket: Ticket | None = None
    _saw_line: bool = False
    _admitted: bool = False  # the next try need not wait
    _refused: bool = False  # the server takes no tickets
    taken_along: bool = False  # the ticket was taken away: perhaps all is recorded
    _began: float = field(init=False)
    _slowest: float = 0.0  # of its own tries, in seconds

    def __post_init__(self) -> None:
        self._began = self.line.now()

    def must_wait(self, refs: Mapping[str, str]) -> bool:
        """Whether others come first: a newcomer who has no ticket yet must not race them."""
        if self._admitted:
            self._admitted = False
            return False
        places = [each.ref for each in self.line.fresh(refs)]
        if self.ticket:
            self.line.meets(len(places) - 1)
            return self.ticket.ref in places[1:]
        newcomer, self._saw_line = not self._saw_line, True
        return newcomer and (bool(places) or self.line.is_crowded)

    def lost(self, tries: int) -> None:
        """After a lost race: come back at the right time."""
        self._slowest = max(self._slowest, self.line.now() - self._began)
        self._come_back(tries)
        self._began = self.line.now()

    def _come_back(self, tries: int) -> None:
        if self.ticket:
            self._wait(self.ticket)
            self._admitted = True
            return
        if not self._refused:
            try:
                self.ticket = self.line.taken(self.decisions)
                return
            except (LostRace, LedgerUnavailable) as error:
                _log.debug("no ticket: %s", error)
                self._refused = True
        back_off(tries)

    def _wait(self, own: Ticket) -> None:
        """Until the ticket is gone, or is the first, or nobody before it gets through.

        Only a move of the ledger is news: whoever may open gates can add tickets without end.
        """
        seen: object = None
        since = self.line.now()
        while True:
            refs = self.line.refs()
            places = [each.ref for each in self.line.fresh(refs)]
            if own.ref not in refs:
                self.ticket, self.taken_along = None, True
            if own.ref not in places:
                return
            place = places.index(own.ref)
            now = shards_of(refs)
            if now != seen:
                seen, since = now, self.line.now()
            if place == 0 or self.line.now() - since >= patience(place, self._slowest):
                return
            self.line.pause(random.uniform(0.5, 1) * between_looks(place))

    def leave(self) -> None:
        """Nobody records what nobody waits for any more."""
        if self.ticket:
            with suppress(LostRace, LedgerUnavailable):
                self.line.given_back(self.ticket)


def patience(place: int, slowest: float) -> float:
    """Seconds without news after which this place takes the first one for dead.

    If a try takes long, the first one's takes long too: each that gives it up too soon takes time
    from it.
    """
    return 10 + min(place, 10) + 10 * slowest


def between_looks(place: int) -> float:
    return min(8.0, 0.4 + 0.15 * place)
