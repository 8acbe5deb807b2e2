"""A line of those who lose races for the ledger: each push takes along all who wait.

A ticket is a branch `gate/waiting/<seconds>-<random>`, whose one commit holds the decisions that
wait. The push that records them deletes it. Why it is so, and what a forged ticket is worth, is in
`docs/decisions/0013-a-line.md`.
"""

from __future__ import annotations

import hmac
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
_TICKET: Final = re.compile(r"refs/heads/gate/waiting/([0-9]{10})-[0-9a-f]{16}")

#: Seconds for which a ticket counts. An older one is removed by the next push that records.
FRESH: Final = 300
#: Tickets that one push takes along, and decisions of one ticket.
MOST: Final = 100
_MOST_IN_ONE: Final = 200


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the line. `at`: seconds since 1970, as it says itself."""

    ref: str
    commit: str
    at: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision of somebody else's ticket."""

    ticket: Ticket
    decision: Decision
    text: str
    signature: str | None

    @property
    def gate_id(self) -> str:
        return self.decision.gate_id


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
        self.now: Callable[[], float] = time.time
        self.pause: Callable[[float], None] = time.sleep

    def fresh(self, refs: Mapping[str, str]) -> list[Ticket]:
        now = self.now()
        return [each for each in tickets(refs) if abs(now - each.at) <= FRESH]

    def stale(self, refs: Mapping[str, str]) -> list[Ticket]:
        now = self.now()
        return [each for each in tickets(refs) if abs(now - each.at) > FRESH][:MOST]

    def refs(self) -> dict[str, str]:
        return self._exchanges.told(lambda: self._clone.remote_refs(SHARDS, WAITING))

    def taken(self, decisions: Sequence[Decision]) -> Ticket:
        """A new ticket for these, pushed."""
        at = int(self.now())
        name = f"{at:010}-{secrets.token_hex(8)}"
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
        """What these tickets ask to record. One that makes no sense asks nothing."""
        self._clone.bring_roots([each.commit for each in found])
        folders = []
        for ticket in found:
            with suppress(LedgerCorrupt):
                folders.append((ticket, self._clone.tree(self._clone.root(ticket.commit))))
        self._clone.bring_files(
            leaf.sha for _, files in folders for _, leaf in _some(files.items()) if _is_file(leaf)
        )
        asked = []
        for ticket, files in folders:
            for name, leaf in _some(files.items()):
                gate_id, _, kind = name.partition(".")
                if kind == "yaml" and IS_ID.fullmatch(gate_id) and _is_file(leaf):
                    with suppress(LedgerCorrupt):
                        text = self._clone.blob(leaf.sha)
                        mark = files.get(f"{gate_id}.sig")
                        signed = self._clone.blob(mark.sha) if mark and _is_file(mark) else None
                        decision = decision_in(text, name)
                        if decision.gate_id == gate_id:
                            asked.append(Waiting(ticket, decision, text, signed))
        return asked

    def believes(self, waiting: Waiting, request: ApprovalRequest) -> bool:
        """Whether it may be recorded because its ticket says so.

        Who may push a ticket may open gates, and on GitHub not decide them. There it takes the
        decider's own signature, which is the same each time. On a ledger of no forge, who may push
        the one may push the other.
        """
        if self._signature:
            about = _about(waiting.ticket.ref.rpartition("/")[2], waiting.text)
            mine = self._signature(about, WAITING_NAMESPACE)
            return hmac.compare_digest(mine.encode(), (waiting.signature or "").encode())
        return self._trusts_unsigned and request.forge is None


def _about(name: str, text: str) -> bytes:
    """What the signature of a ticket is about: its name says until when it counts."""
    return f"{name}\n{text}".encode()


def _is_file(leaf: Leaf) -> bool:
    return leaf.mode in BLOBS


def _some(files: Iterable[tuple[str, Leaf]]) -> list[tuple[str, Leaf]]:
    return list(files)[: 2 * _MOST_IN_ONE]


@dataclass(slots=True)
class Turn:
    """The way of these decisions through the line."""

    line: Line
    decisions: Sequence[Decision]
    ticket: Ticket | None = None
    _saw_line: bool = False
    _admitted: bool = False  # the next try need not wait
    _refused: bool = False  # the server takes no tickets
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
            return self.ticket.ref in places[1:]
        newcomer, self._saw_line = not self._saw_line, True
        return newcomer and bool(places)

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
        """Until the ticket is gone, or is the first, or nobody before it gets through."""
        seen: object = None
        since = self.line.now()
        while True:
            refs = self.line.refs()
            places = [each.ref for each in self.line.fresh(refs)]
            if own.ref not in refs:
                self.ticket = None
            if own.ref not in places:
                return
            place = places.index(own.ref)
            now = [*shards_of(refs).items()], places[:place]
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
