"""One look at a ledger over HTTP is one connection, and each has ended when the look has."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.core.errors import LedgerUnavailable
from bridge.entrypoints.github_action import main as act
from bridge.gates.wait import Run, pass_gate
from bridge.ledger import wire
from bridge.ledger.git import end_all
from bridge.ledger.git_ledger import GitLedger
from bridge.wiring import clock
from tests.forge import World, world
from tests.gates import this_machine
from tests.githttp import CUT, GitServer, serving
from tests.ledgers import (
    NOON,
    a_decision,
    a_request,
    first_waiting,
    git,
    key_of,
    ledger_of,
    opened,
)

DECIDED, WAITING = a_request(key_of(0)), first_waiting(1)


class Connections(list[Any]):
    """The processes that connected, in their order."""

    @property
    def alive(self) -> list[Any]:
        return [each for each in self if each.proc.poll() is None]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    found, real = Connections(), wire.started

    def started(args: Any, *others: Any) -> Any:
        found.append(real(args, *others))
        return found[-1]

    monkeypatch.setattr(wire, "started", started)
    return found


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path) as state:
        yield state


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A ledger with one decided gate and one that waits."""
    return ledger_of(tmp_path / "ledger.git", 1, waiting=1)


@pytest.fixture
def ledger(server: GitServer, repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(server.of("ledger.git"), tmp_path / "cache")


# -- what is one look ----------------------------------------------------------------------------


def test_a_sweep_keeps_one_connection(at: World, connections: Connections) -> None:
    pulls = [at.open(f"Train/{number}/deploy/1") for number in range(3)]
    pulls[0].review(at.alice, "APPROVED", "/approve")
    pulls[1].close(at.mallory)
    connections.clear()
    assert not any(each.failed for each in at.sweep())
    assert (len(connections), connections.alive) == (1, [])
    assert at.recorded(pulls[0])


def test_to_ask_and_to_process_a_page_take_one_connection_each(
    at: World, connections: Connections
) -> None:
    pull = at.open()
    assert (len(connections), connections.alive) == (1, [])
    pull.review(at.alice, "APPROVED", "/approve")
    connections.clear()
    at.tend(pull)
    assert (len(connections), connections.alive) == (1, [])
    assert at.recorded(pull)


def test_a_run_of_the_action_keeps_one_connection(at: World, connections: Connections) -> None:
    pull, _ = at.open("Train/1/deploy/1"), at.open("Train/2/deploy/1")
    pull.review(at.alice, "APPROVED", "/approve")
    env = {
        **at.github.environment(at.repo),
        "HITL_CACHE": str(at.folder / "runner"),
        "HITL_VOICES": "approval-opener[bot]",
        "HITL_TOKEN": at.tokens[at.decider],
    }
    connections.clear()
    assert act(env | {"HITL_NUMBER": str(pull.number)}) == 0  # and looks for gates that are due
    assert (len(connections), connections.alive) == (1, [])
    assert at.recorded(pull)
    connections.clear()
    assert act(env) == 0
    assert (len(connections), connections.alive) == (1, [])


@pytest.mark.parametrize("command", [["show"], ["explain"], ["approve"], ["ledger", "verify-gate"]])
def test_a_command_keeps_one_connection(
    ledger: GitLedger,
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: list[str],
) -> None:
    monkeypatch.setenv("HITL_CACHE", str(tmp_path / "cache"))
    opened(ledger, "Flow/new/gate/1", opened_at=clock())
    gate = DECIDED if command[0] == "ledger" else a_request("Flow/new/gate/1")
    connections.clear()
    assert main(["--ledger", ledger.where, *command, gate.gate.id[:9]]) == 0
    assert (len(connections), connections.alive) == (1, [])


def test_who_waits_for_a_person_keeps_no_connection(
    ledger: GitLedger, connections: Connections
) -> None:
    venue = this_machine(ledger, clock=lambda: NOON)
    seen = []

    def pause(_: float) -> None:
        seen.append(len(connections.alive))
        if len(seen) == 5:
            GitLedger(ledger.where, ledger._clone._home).record(a_decision(WAITING))

    assert pass_gate(venue, Run(lambda: True, pause), WAITING.draft)
    assert len(seen) > 5
    assert not any(seen)
    assert connections.alive == []


def test_another_process_may_take_the_clone_within_a_look(ledger: GitLedger) -> None:
    with ledger.connected():
        assert ledger.read(DECIDED.gate.id)
        with (ledger._clone._home / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_look_within_a_look_ends_with_the_outer_one(
    ledger: GitLedger, connections: Connections
) -> None:
    with ledger.connected():
        with ledger.connected():
            ledger.head()
        assert len(connections.alive) == 1
        ledger.head()
        assert len(ledger.listing().gates) == 1  # by another clone
    assert (len(connections), connections.alive) == (1, [])


@pytest.mark.parametrize("over", ["http", "path"])
def test_a_look_sees_what_others_recorded_since_it_began(
    ledger: GitLedger, repository: Path, tmp_path: Path, over: str
) -> None:
    looking = ledger if over == "http" else GitLedger(str(repository), tmp_path / "path")
    with looking.connected():
        before = looking.head()
        GitLedger(str(repository), tmp_path / "other").record(a_decision(WAITING))
        assert looking.head() != before
        found = looking.read(WAITING.gate.id)
        assert found
        assert found.decision


# -- what changes within a look ------------------------------------------------------------------


def test_a_credential_that_changed_is_used_at_once(
    server: GitServer, repository: Path, tmp_path: Path, connections: Connections
) -> None:
    server.credential = "bot:first"
    own = ["bot:first"]
    ledger = GitLedger(lambda: server.of("ledger.git", own[0]), tmp_path / "cache")
    with ledger.connected():
        assert ledger.read(DECIDED.gate.id)
        server.credential = own[0] = "bot:second"
        server.forget()
        assert ledger.head()
        assert server.requests[0].startswith("GET ")  # nothing was asked with the first
        assert ledger.record(a_decision(WAITING)).decision
        assert len(connections) == 2
        assert len(connections.alive) == 1
    assert connections.alive == []


def test_a_credential_that_ended_is_told(
    server: GitServer, repository: Path, tmp_path: Path, connections: Connections
) -> None:
    server.credential = "bot:first"
    ledger = GitLedger(server.of("ledger.git", "bot:first"), tmp_path / "cache")
    with ledger.connected():
        assert ledger.head()
        server.credential = "bot:second"
        with pytest.raises(LedgerUnavailable, match="refuses the credential"):
            ledger.head()
        assert connections.alive == []


# -- what breaks ---------------------------------------------------------------------------------


def failing_at(server: GitServer, number: int, how: int) -> Callable[[str, str], int | None]:
    left = iter(range(number - 1, -999, -1))

    def answer(method: str, path: str) -> int | None:
        reads = method == "POST" and path.endswith("git-upload-pack")
        return how if reads and next(left) == 0 else None

    return answer


def decide_on_a_kept_connection(ledger: GitLedger) -> object:
    with ledger.connected():
        assert ledger.head()
        return ledger.record(a_decision(WAITING)).decision


def test_a_kept_connection_that_ended_is_made_anew_wherever_it_ends_and_nothing_is_lost(
    server: GitServer, tmp_path: Path, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = wire.Wire._asked
    for nth in range(2, 99):
        path = ledger_of(tmp_path / f"{nth}.git", 1, waiting=1)
        left = iter(range(nth - 1, -99, -1))

        def ended_before(it: Any, *others: Any, left: Iterator[int] = left) -> Any:
            if next(left) == 0:
                end_all(it._process.proc)
            return asked(it, *others)

        monkeypatch.setattr(wire.Wire, "_asked", ended_before)
        connections.clear()
        ledger = GitLedger(server.of(path.name), tmp_path / f"cache {nth}")
        assert decide_on_a_kept_connection(ledger)
        assert connections.alive == []
        assert git(path, "rev-list", "--count", "--first-parent", "approvals") == "3"
        if len(connections) == 1:  # none was ended any more
            break
        assert len(connections) == 2
    assert nth > 4


def test_a_request_that_a_server_fails_is_tried_once_more_on_a_kept_connection(
    ledger: GitLedger, server: GitServer, connections: Connections
) -> None:
    with ledger.connected():
        assert ledger.head()
        server.answer = failing_at(server, 1, 503)
        assert ledger.read(DECIDED.gate.id)
        server.answer = lambda method, path: 503
        server.forget()
        with pytest.raises(LedgerUnavailable, match="the server failed"):
            ledger.head()
        assert connections.alive == []
    assert len(server.requests) == 2  # of the connection that was kept, and of a new one


def test_an_answer_that_was_cut_is_not_asked_for_again(
    ledger: GitLedger, server: GitServer, connections: Connections
) -> None:
    with ledger.connected():
        assert ledger.head()
        server.answer = lambda method, path: CUT
        server.forget()
        with pytest.raises(LedgerUnavailable, match="the connection was cut"):
            ledger.head()
    assert len(server.requests) == 1
    assert connections.alive == []


def test_the_first_request_of_a_connection_is_not_tried_again(
    ledger: GitLedger, server: GitServer, connections: Connections
) -> None:
    server.answer = failing_at(server, 1, 503)
    with ledger.connected(), pytest.raises(LedgerUnavailable, match="the server failed"):
        ledger.head()
    assert (len(connections), connections.alive) == (1, [])


def test_no_process_is_left_after_an_error(ledger: GitLedger, connections: Connections) -> None:
    def looks() -> None:
        with ledger.connected():
            assert ledger.read(DECIDED.gate.id)
            assert len(connections.alive) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looks()
    assert connections.alive == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_one_that_was_killed_within_a_look(
    ledger: GitLedger, tmp_path: Path, signum: signal.Signals
) -> None:
    script = f"""
        import pathlib, time
        from bridge.ledger.git_ledger import GitLedger
        ledger = GitLedger({ledger.where!r}, pathlib.Path({str(tmp_path / "its")!r}))
        with ledger.connected():
            ledger.head()
            print(ledger._remote._wire._process.proc.pid, flush=True)
            time.sleep(600)
    """
    code = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdout
        kept = int(looking.stdout.readline())
        assert is_alive(kept)
        looking.send_signal(signum)
    until = time.monotonic() + 60
    while is_alive(kept):
        assert time.monotonic() < until
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """One that has ended may stay in the list: who inherits it has to ask for it."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(found) and not found.startswith("Z")
