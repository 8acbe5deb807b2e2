"""Losers of races wait in a line, and whoever gets through takes along all who wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge.core.errors import LostRequest
from bridge.core.model import ApprovalRequest, Place, PlaceKind
from bridge.core.records import decision_out
from bridge.gates.audit import audit
from bridge.ledger.git import end_all
from bridge.ledger.git_ledger import GitLedger, create
from bridge.ledger.queue import CROWD, FRESH, WAITING, Line, Ticket, Turn, between_looks, patience
from bridge.local.signing import new_key, signing_key
from tests.githttp import GitServer, serving
from tests.ledgers import LEDGER, a_decision, a_rejection, a_request, git, opened
from tests.test_git_ledger import put

SHOWN = Place(PlaceKind.GITHUB, "github.com", "acme/x", 1)
KEY, OTHER_KEY = new_key()[0], new_key()[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A ledger on this machine, which costs a test half of what a server does."""
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def server(place: Path) -> Iterator[GitServer]:
    with serving(place.parent) as state:
        yield state


@pytest.fixture
def here(place: Path) -> GitLedger:
    """That on this machine, of a decider that signs."""
    return of(place, "cache", KEY)


def of(at: GitServer | Path, name: str, key: str | None = None) -> GitLedger:
    """The ledger there, with a clone of this name."""
    sign = signing_key(key).sign if key else None
    where = str(at) if isinstance(at, Path) else at.of("ledger.git")
    return GitLedger(where, path_of(at).parent / name, signature=sign)


def path_of(at: GitServer | Path) -> Path:
    return at if isinstance(at, Path) else at.root / "ledger.git"


@dataclass
class Clock:
    """A clock that only pauses move. `then` is what others do in the next pauses."""

    at: float
    then: list[Callable[[], object]]

    def pause(self, seconds: float) -> None:
        self.at += seconds
        if self.then:
            self.then.pop(0)()


class Machine:
    """A clone of its own, on a clock of its own."""

    def __init__(
        self, at: GitServer | Path, name: str, key: str | None = None, *, earlier: int = 0
    ) -> None:
        self.clock = Clock(2_000_000_000 - earlier, [])
        self.ledger = of(at, name, key)
        self.line: Line = self.ledger._line
        self.line.now, self.line.pause = lambda: self.clock.at, self.clock.pause

    @property
    def connection(self) -> Any:
        wire = self.ledger._remote._wire
        assert wire
        return wire._process.proc

    def loses(self, others: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch) -> None:
        """Before each of its next pushes of a decision, one of these is done."""
        clone = self.ledger._clone
        push, lost = clone.push, list(others)

        def later(refs: dict[str, str], lease: dict[str, str]) -> None:
            if LEDGER in refs and lost:
                lost.pop(0)()
            push(refs, lease)

        monkeypatch.setattr(clone, "push", later)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.ledger.exchanges.time.sleep", lambda _: None)


def ask(at: GitServer | Path, *keys: str, **changed: object) -> list[ApprovalRequest]:
    ledger = of(at, "opener")
    return [opened(ledger, key, **changed) for key in keys]


def refs(at: GitServer | Path) -> list[str]:
    return git(path_of(at), "for-each-ref", "--format=%(refname)").split()


def recorded(at: GitServer | Path, *requests: ApprovalRequest) -> list[bool]:
    ledger = of(at, "reader")
    standings = [ledger.read(each.gate.id) for each in requests]
    return [bool(each and each.decision) for each in standings]


def sound(at: GitServer | Path) -> bool:
    git(path_of(at), "fsck", "--strict", "--no-dangling")
    return not audit(of(at, "auditor")).faults


def test_one_push_takes_along_all_who_wait(server: GitServer) -> None:
    first, second, third = ask(server, "F/1/a/1", "F/1/b/1", "F/1/c/1")
    Machine(server, "one").line.taken([a_decision(first)])
    Machine(server, "two").line.taken([a_rejection(second)])
    mine = Machine(server, "mine", earlier=1)
    server.forget()
    assert mine.ledger.record(a_decision(third)).decision
    pushes = [each for each in server.requests if each == "POST /ledger.git/git-receive-pack"]
    assert len(pushes) == 2, "its ticket, because it doesn't overtake; and all three decisions"
    assert recorded(server, first, second, third) == [True, True, True]
    assert refs(server) == [LEDGER]
    assert sound(server)


def test_who_loses_a_race_waits_and_is_recorded_by_the_first_in_the_line(
    server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, dead, first, racer, late = ask(server, *(f"F/{n}/a/1" for n in range(5)))
    mine = Machine(server, "mine")

    def race_and_die() -> None:
        of(server, "racer").record(a_decision(racer))
        Machine(server, "dead", earlier=20).line.taken([a_decision(dead)])

    def first_gets_through() -> None:
        assert len([each for each in refs(server) if "/waiting/" in each]) == 2
        Machine(server, "first", earlier=30).ledger.record(a_decision(first))
        Machine(server, "late").line.taken([a_decision(late)])
        server.forget()

    mine.loses([race_and_die], monkeypatch)
    mine.clock.then = [first_gets_through]
    offered = a_decision(asked)
    after = mine.ledger.record(offered).decision
    assert after
    assert replace(after, previous=None) == offered, "so that it is this one that tells people"
    assert mine.clock.then == []
    assert not [each for each in server.requests if "receive-pack" in each], "it has no more to do"
    assert recorded(server, dead, first, late) == [True, True, False]
    assert [each for each in refs(server) if "/waiting/" not in each] == [
        LEDGER,
        f"refs/heads/{late.gate.branch}",
    ]
    assert sound(server)


def test_a_ticket_of_the_dead_holds_nobody_up_for_long(server: GitServer) -> None:
    dead, asked = ask(server, "F/1/a/1", "F/1/b/1")
    Machine(server, "dead", earlier=20).line.taken([a_decision(dead)])
    mine = Machine(server, "mine")
    began = mine.clock.at
    mine.clock.then = [lambda: end_all(mine.connection)]  # a server may end it, too
    server.forget()
    assert mine.ledger.record(a_decision(asked)).decision
    assert began < mine.clock.at <= began + patience(1, 0) + between_looks(1)
    greeted = server.requests.count("GET /ledger.git/info/refs?service=git-upload-pack")
    assert greeted == 2, "each look is one request, and one that fails is made again"
    assert recorded(server, dead) == [True], "what it had decided is taken along"
    assert refs(server) == [LEDGER]


def test_who_waits_at_a_ledger_on_a_path_sees_its_ticket_go(place: Path) -> None:
    # A git that serves a path reads each branch once, so a look there takes a git of its own.
    dead, asked = ask(place, "F/1/a/1", "F/1/b/1")
    other = Machine(place, "dead", earlier=20).line.taken([a_decision(dead)])
    mine = Machine(place, "mine")

    def take_away() -> None:
        (own,) = (each for each in refs(place) if "/waiting/" in each and each != other.ref)
        git(place, "update-ref", "-d", own)

    mine.clock.then = [take_away]
    began = mine.clock.at
    assert mine.ledger.record(a_decision(asked)).decision
    assert began < mine.clock.at <= began + between_looks(1)


@pytest.mark.parametrize("later", [FRESH + 1, -FRESH - 1])
def test_a_stale_ticket_asks_nothing_and_holds_nobody_up(place: Path, later: int) -> None:
    dead, asked = ask(place, "F/1/a/1", "F/1/b/1")
    Machine(place, "dead", earlier=later).line.taken([a_decision(dead)])
    mine = Machine(place, "mine")
    began = mine.clock.at
    assert mine.ledger.record(a_decision(asked)).decision
    assert mine.clock.at == began
    assert recorded(place, dead) == [False]
    assert refs(place) == [LEDGER, f"refs/heads/{dead.gate.branch}"]


# -- what a ticket is worth ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "mine", "venue", "counts"),
    [
        (None, None, None, True),  # who may push one branch there may push the other
        (None, None, SHOWN, False),  # the opener may, and does not decide
        (None, KEY, SHOWN, False),
        (OTHER_KEY, KEY, SHOWN, False),
        (OTHER_KEY, None, SHOWN, False),
        (KEY, KEY, SHOWN, True),
    ],
    ids=["none", "opener", "unsigned", "other key", "no key here", "own key"],
)
def test_on_github_a_ticket_counts_if_the_decider_signed_it(
    place: Path, theirs: str | None, mine: str | None, venue: Place | None, counts: bool
) -> None:
    changed = {"venue": venue} if venue else {}
    waits, asked = ask(place, "F/1/a/1", "F/1/b/1", **changed)
    Machine(place, "theirs", theirs, earlier=20).line.taken([a_decision(waits)])
    assert Machine(place, "mine", mine).ledger.record(a_decision(asked)).decision
    assert recorded(place, waits, asked) == [counts, True]
    assert any("/waiting/" in each for each in refs(place)) != counts


def test_a_signed_ticket_counts_under_its_own_name_alone(place: Path) -> None:
    waits, asked = ask(place, "F/1/a/1", "F/1/b/1", venue=SHOWN)
    ticket = Machine(place, "theirs", KEY, earlier=FRESH + 9).line.taken([a_decision(waits)])
    name = WAITING.replace("*", Machine(place, "other", KEY, earlier=20).line.name())
    git(place, "update-ref", name, ticket.commit)  # kept, to use it later
    assert Machine(place, "mine", KEY).ledger.record(a_decision(asked)).decision
    assert recorded(place, waits, asked) == [False, True]


@pytest.mark.parametrize(
    "files",
    [
        {"x": "y"},
        {"a/b": "a folder"},
        {f"{a_request('F/1/a/1').gate.id}.yaml": "no: decision"},
        {f"{a_request('F/1/a/1').gate.id}.yaml": decision_out(a_decision(a_request("F/2/a/1")))},
        {f"{a_request('F/9/a/1').gate.id}.yaml": decision_out(a_decision(a_request("F/9/a/1")))},
    ],
    ids=["other file", "folder", "no decision", "another gate's", "no such gate"],
)
def test_a_ticket_that_makes_no_sense_records_nothing_and_stops_nobody(
    place: Path, files: dict[str, str]
) -> None:
    waits, asked = ask(place, "F/1/a/1", "F/1/b/1")
    name = WAITING.replace("*", f"{2_000_000_000 - 20}-{'a' * 32}")
    put(place, name, files)
    assert Machine(place, "mine").ledger.record(a_decision(asked)).decision
    assert recorded(place, waits, asked) == [False, True]
    assert sound(place)


def test_a_ticket_for_a_request_that_was_asked_anew_is_removed(place: Path) -> None:
    (waits, asked) = ask(place, "F/1/a/1", "F/1/b/1")
    Machine(place, "theirs", earlier=20).line.taken([a_decision(waits)])
    ask(place, "F/1/a/1", artifacts=())
    mine = Machine(place, "mine", earlier=30)
    assert mine.ledger.record(a_decision(asked)).decision
    assert recorded(place, waits) == [False]
    assert not any("/waiting/" in each for each in refs(place))
    with pytest.raises(LostRequest):
        mine.ledger.record(a_decision(waits))


@pytest.mark.parametrize("earlier", [20, FRESH + 1])
def test_whoever_keeps_pushing_to_a_ticket_stops_nobody(
    place: Path, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    waits, asked = ask(place, "F/1/a/1", "F/1/b/1")
    ticket = Machine(place, "theirs", earlier=earlier).line.taken([a_decision(waits)])

    def spoil() -> None:
        put(place, ticket.ref, {"x": git(place, "rev-parse", ticket.ref)})

    mine = Machine(place, "mine", earlier=30)
    mine.loses([spoil] * 9, monkeypatch)
    assert mine.ledger.record(a_decision(asked)).decision
    assert recorded(place, waits, asked) == [False, True]


def test_tickets_that_somebody_keeps_adding_before_ones_own_hold_it_up_no_longer(
    place: Path,
) -> None:
    dead, asked = ask(place, "F/1/a/1", "F/1/b/1")
    ticket = Machine(place, "dead", earlier=200).line.taken([a_decision(dead)])
    mine = Machine(place, "mine")

    def add(number: int) -> None:
        name = WAITING.replace("*", f"{2_000_000_000 - 190 + number}-{number:032x}")
        git(place, "update-ref", name, ticket.commit)

    mine.clock.then = [partial(add, number) for number in range(50)]
    began = mine.clock.at
    assert mine.ledger.record(a_decision(asked)).decision
    assert mine.clock.at <= began + patience(10, 0) + between_looks(50)


def test_a_ticket_of_thousands_of_files_is_not_read(here: GitLedger) -> None:
    repository = Path(here.where)
    decision = a_decision(opened(here, "F/1/a/1", venue=SHOWN))
    own = here._line.taken([decision])
    rows = git(repository, "ls-tree", own.ref)
    sha = rows.split()[2]
    more = "".join(f"100644 blob {sha}\tz{number}.yaml\n" for number in range(2_000))
    tree = git(repository, "mktree", stdin=f"{rows}\n{more}")
    large = replace(own, commit=git(repository, "commit-tree", tree, "-m", "large"))
    with here._clone.held():
        assert here._line.waiting([large]) == []
        assert [each.decision for each in here._line.waiting([own])] == [decision]


def test_an_earlier_ticket_that_nobody_signed_hides_none_of_ones_own(here: GitLedger) -> None:
    decision = a_decision(opened(here, "F/1/a/1", venue=SHOWN))
    own = here._line.taken([decision])
    text = decision_out(replace(decision, reason="approved by an opener"))
    ref = WAITING.replace("*", f"{own.at - 1}-{'a' * 32}")
    files = {f"{decision.gate_id}.yaml": text, f"{decision.gate_id}.sig": "none"}
    forged = Ticket(ref, put(Path(here.where), ref, files), own.at - 1)
    with here._clone.held():
        assert [each.ticket for each in here._line.waiting([forged, own])] == [own]


@pytest.mark.parametrize(
    ("theirs", "mine", "counts"),
    [(KEY, KEY, True), (OTHER_KEY, KEY, False), (None, KEY, False), (KEY, None, True)],
)
def test_only_a_decider_with_the_key_makes_places_before_one_that_signs(
    tmp_path: Path, theirs: str | None, mine: str | None, counts: bool
) -> None:
    # Who may open gates could put hundreds there, and hold up each decision by 20 s.
    ref = WAITING.replace("*", Machine(tmp_path, "theirs", theirs, earlier=20).line.name())
    line = Machine(tmp_path, "mine", mine).line
    assert [each.ref for each in line.fresh({ref: "c" * 40})] == [ref] * counts
    other = f"{ref[:-17]}{'1' if ref[-17] == '0' else '0'}{ref[-16:]}"
    assert bool(line.fresh({other: "c" * 40})) == (not mine), "its mark is of the whole name"


def test_who_met_a_crowd_takes_a_ticket_first_until_it_meets_nobody(tmp_path: Path) -> None:
    mine = Machine(tmp_path, "mine")
    own, other = (Ticket(WAITING.replace("*", mine.line.name()), "c" * 40, 0) for _ in range(2))

    def meets(*found: Ticket) -> None:
        Turn(mine.line, [], own).must_wait({each.ref: each.commit for each in found})

    assert not Turn(mine.line, []).must_wait({})
    meets(own, other)
    assert Turn(mine.line, []).must_wait({})
    meets(own)
    assert not Turn(mine.line, []).must_wait({})
    meets(own, other)
    mine.clock.at += CROWD
    assert not Turn(mine.line, []).must_wait({}), "it was long ago"


# -- the way out -----------------------------------------------------------------------------------


def test_a_server_that_takes_no_ticket_is_tried_as_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, *racers = ask(place, *(f"F/{n}/a/1" for n in range(4)))
    hook = place / "refuse" / "update"
    hook.parent.mkdir()
    hook.write_text('#!/bin/sh\ncase "$1" in */waiting/*) exit 1;; esac\n')
    hook.chmod(0o755)
    git(place, "config", "core.hooksPath", str(hook.parent))
    mine = Machine(place, "mine")
    racer = of(place, "racer")
    wins = [lambda each=each: racer.record(a_decision(each)) for each in racers]
    mine.loses(wins, monkeypatch)
    assert mine.ledger.record(a_decision(asked)).decision
    assert refs(place) == [LEDGER]


def test_who_gives_up_leaves_the_line(place: Path) -> None:
    dead, asked = ask(place, "F/1/a/1", "F/1/b/1")
    ticket = Machine(place, "dead", earlier=20).line.taken([a_decision(dead)])
    mine = Machine(place, "mine")

    def interrupted() -> None:
        raise KeyboardInterrupt

    mine.clock.then = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        mine.ledger.record(a_decision(asked))
    assert [each for each in refs(place) if "/waiting/" in each] == [ticket.ref]
    assert recorded(place, asked) == [False]
