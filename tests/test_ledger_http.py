"""The ledger over HTTP: what crosses the wire, and what a person is told when it breaks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.errors import GateShut, LedgerUnavailable
from bridge.core.model import ApprovalRequest, Draft, Kind, Standing
from bridge.core.shards import FIRST
from bridge.gates.audit import audit
from bridge.gates.open_gate import open_gate
from bridge.gates.settle import reconcile
from bridge.gates.verify import verify
from bridge.ledger.git_ledger import GitLedger, create
from bridge.ledger.open_gates import IS_ID
from bridge.local.notify import Silent
from tests.gates import this_machine
from tests.githttp import CUT, DONE_AND_CUT, GitServer, serving
from tests.ledgers import (
    LEDGER,
    NOON,
    a_decision,
    a_request,
    decided,
    entries_of,
    first_waiting,
    git,
    key_of,
    ledger_of,
    opened,
)

MOST = 64 * 1024  # bytes on the wire for one decision, or for one verification
MANY = 300


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ledger_of(tmp_path_factory.mktemp("big") / "ledger.git", MANY, waiting=1)


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


DECIDED, WAITING = a_request(key_of(0)), first_waiting(1)


# -- the wire ------------------------------------------------------------------------------------


def copy_of(big: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", "--mirror", str(big), "ledger.git")
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(tmp_path / "ledger.git", "config", key, "true")
    git(tmp_path / "ledger.git", "config", "http.receivepack", "true")
    return tmp_path / "ledger.git"


def test_a_verification_from_nothing_brings_one_gate_and_no_other(
    big: Path, server: GitServer, tmp_path: Path
) -> None:
    copy_of(big, tmp_path)
    ledger = GitLedger(server.of("ledger.git"), tmp_path / "cache")
    assert verify(ledger, a_request(key_of(7)).draft)
    assert server.wire < MOST
    # Of gates, one folder with its request, its message and its decision; else what leads there.
    assert folders_of_gates(tmp_path) == [a_request(key_of(7)).gate.id]
    assert len(files(tmp_path)) == 5  # and the two at the root: README.md, ledger.yaml


def test_a_decision_from_nothing_brings_and_sends_one_gate(
    big: Path, server: GitServer, tmp_path: Path
) -> None:
    copy_of(big, tmp_path)
    ledger = GitLedger(server.of("ledger.git"), tmp_path / "cache")
    assert ledger.record(a_decision(a_request(key_of(MANY)))).decision
    assert server.wire < MOST
    posts = [each for each in server.requests if each.endswith("git-receive-pack")]
    assert len(posts) == 2  # one push: what the server has, and what it shall have


def objects(tmp_path: Path, kind: str) -> list[str]:
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    args = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"]
    lines = (line.split() for line in git(clone, *args).splitlines())
    return [sha for sha, found in lines if found == kind]


def files(tmp_path: Path) -> list[str]:
    return objects(tmp_path, "blob")


def folders_of_gates(tmp_path: Path) -> list[str]:
    """The gates whose folder is in the clone."""
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    here = set(objects(tmp_path, "tree"))
    lists = (git(clone, "ls-tree", each) for each in here)
    entries = (line.split()[2:] for each in lists for line in each.splitlines())
    return [name for sha, name in entries if sha in here and IS_ID.fullmatch(name)]


def test_each_verb_takes_few_exchanges_from_nothing(
    big: Path, server: GitServer, tmp_path: Path
) -> None:
    copy_of(big, tmp_path)

    def taken(name: str, act: Callable[[GitLedger], object]) -> int:
        server.forget()
        assert act(GitLedger(server.of("ledger.git"), tmp_path / name))
        return len(server.requests)

    # The connection, the branches, three steps to the gate's files; a push takes two.
    assert taken("verify", lambda it: verify(it, a_request(key_of(7)).draft)) == 5
    assert taken("decide", lambda it: it.record(a_decision(a_request(key_of(MANY))))) == 7
    assert taken("open", lambda it: opened(it, "Flow/new/gate/1")) == 6


def test_a_gate_is_opened_beside_an_earlier_one_in_one_exchange_more(
    server: GitServer, ledger: GitLedger, tmp_path: Path
) -> None:
    kind = Kind("Flow", "gate")
    first = a_request("Flow/1/gate/1", kind=kind)
    ledger.open(first, first.message)
    ledger.record(a_decision(first))

    def taken(name: str, request: ApprovalRequest) -> tuple[ApprovalRequest, int]:
        server.forget()
        it = GitLedger(server.of("ledger.git"), tmp_path / name)
        return open_gate(it, Silent(), request).request, len(server.requests)

    # The connection, the branches, one step to the gate's place; a push takes two.
    alone, few = taken("alone", a_request("Flow/2/gate/1"))
    beside, more = taken("beside", a_request("Flow/2/gate/2", kind=kind))
    assert (alone.baseline, beside.baseline and beside.baseline.gate) == (None, first.gate.id)
    assert (few, more) == (5, 6)


def push_beside(repository: Path, tmp_path: Path, name: str, size: int) -> None:
    """One more file on the branch of the gate that waits."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", "-b", WAITING.gate.branch, str(repository), str(work))
    (work / name).write_bytes(os.urandom(size))
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "Something else")
    git(work, "push", "-q", "origin", "HEAD")


def test_more_than_three_branches_take_two_exchanges_more_and_a_step_looks_at_two_first(
    server: GitServer, tmp_path: Path
) -> None:
    branches = [FIRST, *(f"{FIRST}-{year}" for year in range(2027, 2031))]
    ledger_of(tmp_path / "ledger.git", 3, shards=branches)

    def taken(number: int, act: Callable[[GitLedger, Draft], object]) -> int:
        server.forget()
        it = GitLedger(server.of("ledger.git"), tmp_path / f"{number}-{act.__name__}")
        assert act(it, a_request(key_of(number)).draft)
        return len(server.requests)

    def read(ledger: GitLedger, draft: Draft) -> object:
        return ledger.read(draft.gate.id)

    assert taken(7, read) == 7  # on the third of five
    assert [taken(number, verify) for number in (14, 11, 7)] == [5, 5, 8]


def test_a_large_file_that_a_stranger_pushed_is_not_fetched(
    server: GitServer, repository: Path, ledger: GitLedger, tmp_path: Path
) -> None:
    push_beside(repository, tmp_path, "large", 2_000_000)
    assert ledger.read(WAITING.gate.id)
    assert len(files(tmp_path)) == 2  # request.yaml and request.md
    assert len(server.requests) > 5


def test_a_picture_is_not_fetched_with_the_records(
    server: GitServer, repository: Path, ledger: GitLedger, tmp_path: Path
) -> None:
    push_beside(repository, tmp_path, f"{WAITING.gate.folder}/figure-1.png", 40_000)
    assert ledger.read(WAITING.gate.id)
    assert len(files(tmp_path)) == 4  # request.yaml, request.md, and those at the root
    assert len(server.requests) == 5


def test_no_open_gate_is_listed_in_one_exchange(ledger: GitLedger, server: GitServer) -> None:
    ledger.record(a_decision(WAITING))
    server.forget()
    assert ledger.listing().gates == ()
    assert len(server.requests) == 2


def test_looking_at_the_head_again_is_one_exchange(ledger: GitLedger, server: GitServer) -> None:
    assert ledger.head()
    assert len(server.requests) == 2


def test_a_look_for_news_does_not_grow_with_the_open_gates(
    server: GitServer, repository: Path, tmp_path: Path
) -> None:
    ledger = GitLedger(server.of("ledger.git"), tmp_path / "cache")
    head, _ = ledger.decided_since(None)
    server.forget()
    assert ledger.decided_since(head) == (head, ())
    assert not (tmp_path / "cache").exists()  # nothing is held, and no clone is made for that
    few, requests = server.wire, len(server.requests)
    packed = repository / "packed-refs"
    there = (
        packed.read_text() if packed.exists() else "# pack-refs with: peeled fully-peeled sorted\n"
    )
    more = "".join(f"{head} refs/heads/gate/{number:016x}\n" for number in range(500))
    packed.write_text(there + more)
    server.forget()
    assert ledger.decided_since(head) == (head, ())
    assert (server.wire, len(server.requests)) == (pytest.approx(few, abs=64), requests)
    assert requests == 2


def test_a_look_for_news_at_a_server_without_filters_lists_the_branches(
    server: GitServer, big: Path, tmp_path: Path
) -> None:
    repository = copy_of(big, tmp_path)
    git(repository, "config", "uploadpack.allowFilter", "false")
    ledger = GitLedger(server.of("ledger.git"), tmp_path / "cache")
    head, _ = ledger.decided_since(None)
    assert head == git(repository, "rev-parse", LEDGER)
    server.forget()
    assert ledger.decided_since(head) == (head, ())
    assert len(server.requests) == 2


def test_a_look_for_news_at_an_empty_ledger_finds_no_head(tmp_path: Path) -> None:
    create(tmp_path / "empty.git")
    with serving(tmp_path) as server:
        ledger = GitLedger(server.of("empty.git"), tmp_path / "cache")
        assert ledger.decided_since(None) == (None, ())


def test_reconciling_takes_no_more_exchanges_for_more_open_gates(
    server: GitServer, tmp_path: Path
) -> None:
    asked = []
    for waiting in (2, 60):
        path = ledger_of(tmp_path / f"{waiting}.git", 1, waiting)
        outlived = a_request(key_of(0))  # its decision, as a crash leaves it
        git(path, "update-ref", f"refs/heads/{outlived.gate.branch}", "refs/heads/approvals^2")
        where = GitLedger(server.of(path.name), tmp_path / f"cache {waiting}")
        venue = this_machine(where, clock=lambda: NOON)
        server.forget()
        (settled,) = reconcile(venue, lambda _, venue=venue: venue)  # type: ignore[misc]
        assert isinstance(settled, Standing)
        assert settled.request.gate.id == outlived.gate.id
        assert len(where.listing().gates) == waiting
        asked.append(len(server.requests))
    assert asked[0] == asked[1]


def test_where_nothing_is_due_no_request_is_read(
    ledger: GitLedger, server: GitServer, repository: Path
) -> None:
    venue = this_machine(ledger, clock=lambda: NOON)
    server.forget()
    assert list(reconcile(venue, lambda _: venue)) == []
    assert len(server.requests) <= 20
    there = git(ledger._clone._dir, "cat-file", "--batch-check", "--batch-all-objects")
    assert " blob " not in there


def test_a_clone_that_has_seen_every_open_gate_transfers_no_more_than_an_empty_one(
    server: GitServer, tmp_path: Path
) -> None:
    ledger_of(tmp_path / "busy.git", 3, waiting=200)
    warm = GitLedger(server.of("busy.git"), tmp_path / "warm")
    assert len(warm.listing().gates) == 200
    sent = []
    for number, ledger in enumerate([GitLedger(warm.where, tmp_path / "empty"), warm]):
        server.forget()
        opened(ledger, key_of(300 + number))
        assert ledger.record(a_decision(a_request(key_of(3 + number)))).decision
        sent.append((server.bytes_in, server.bytes_out))
    (fresh_in, fresh_out), (warm_in, warm_out) = sent
    # What was decided first made the trees larger. A line for each gate at each exchange is 60 KB.
    assert warm_in <= fresh_in + 5_000
    assert warm_out <= fresh_out + 5_000


def test_pull_requests_of_years_are_not_listed(
    ledger: GitLedger, server: GitServer, repository: Path
) -> None:
    head = git(repository, "rev-parse", "approvals")
    rows = "".join(f"create refs/pull/{number}/head {head}\n" for number in range(2000))
    git(repository, "update-ref", "--stdin", stdin=rows)
    assert ledger.read(DECIDED.gate.id)
    assert server.wire < MOST


# -- servers that allow less ---------------------------------------------------------------------


def refuse_filters(server: GitServer, repository: Path) -> None:
    git(repository, "config", "uploadpack.allowFilter", "false")


def refuse_any_object(server: GitServer, repository: Path) -> None:
    server.old = True
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "false")


def refuse_both(server: GitServer, repository: Path) -> None:
    refuse_filters(server, repository)
    refuse_any_object(server, repository)


@pytest.mark.parametrize("refuse", [refuse_filters, refuse_any_object, refuse_both])
def test_a_server_that_allows_less_is_read_by_a_plain_shallow_fetch(
    ledger: GitLedger,
    server: GitServer,
    repository: Path,
    refuse: Callable[[GitServer, Path], None],
) -> None:
    refuse(server, repository)
    assert verify(ledger, DECIDED.draft)
    assert [each.id for each in ledger.listing().gates] == [WAITING.gate.id]
    assert ledger.record(a_decision(WAITING)).decision
    decided(ledger, "one more")
    assert len(ledger.history(9)) == 3
    assert ledger.resolve("one more") == a_request("one more").gate.id
    assert audit(ledger).faults == ()


# -- what breaks ---------------------------------------------------------------------------------


def each_verb(ledger: GitLedger) -> list[Callable[[], object]]:
    return [
        lambda: opened(ledger, "new"),
        lambda: ledger.record(a_decision(WAITING)),
        lambda: ledger.read(DECIDED.gate.id),
        lambda: ledger.history(3),
        lambda: entries_of(ledger),
        lambda: ledger.resolve(DECIDED.gate.key),
        ledger.listing,
        ledger.head,
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "refuses the credential"),
        (403, "this credential may not do that there"),
        (404, "there is no git repository at that place"),
        (500, "the server failed: try again later"),
        (503, "the server failed: try again later"),
        (CUT, "the connection was cut"),
    ],
)
def test_a_server_that_fails_is_told_in_one_sentence_and_nothing_is_recorded(
    ledger: GitLedger, server: GitServer, repository: Path, status: int, told: str
) -> None:
    before = git(repository, "for-each-ref")
    server.answer = lambda method, path: status
    for verb in each_verb(ledger):
        with pytest.raises(LedgerUnavailable, match=told) as caught:
            verb()
        assert "\n" not in str(caught.value)
    with pytest.raises(GateShut, match=told):
        verify(ledger, DECIDED.draft)
    assert git(repository, "for-each-ref") == before


def test_a_server_that_is_gone_is_told(tmp_path: Path, repository: Path) -> None:
    with serving(tmp_path) as state:
        ledger = GitLedger(state.of("ledger.git"), tmp_path / "cache")
        assert verify(ledger, DECIDED.draft)
    for verb in each_verb(ledger):
        with pytest.raises(LedgerUnavailable, match="cannot be reached: check the address"):
            verb()
    with pytest.raises(GateShut, match="cannot be reached"):
        verify(ledger, DECIDED.draft)


def test_every_request_of_a_decision_may_be_cut_and_the_next_try_finishes_it(
    ledger: GitLedger, server: GitServer, repository: Path, tmp_path: Path
) -> None:
    for number in range(1, 99):
        cut_at(server, number, CUT)
        try:
            fresh = GitLedger(server.of("ledger.git"), tmp_path / f"cache {number}")
            assert fresh.record(a_decision(WAITING)).decision
            break
        except LedgerUnavailable:
            assert git(repository, "rev-list", "--count", "--first-parent", "approvals") == "2"
    assert number == 8  # of seven requests, none is cut any more
    server.answer = lambda method, path: None
    assert len(ledger.history(9)) == 2


def cut_at(server: GitServer, number: int, how: int) -> None:
    """Only the n-th request from here on, of a decision that takes a known way."""
    left = iter(range(number - 1, -number - 99, -1))
    server.answer = lambda method, path: how if next(left) == 0 else None


def test_a_push_that_came_through_though_its_answer_was_lost_is_found(
    ledger: GitLedger, server: GitServer
) -> None:
    def lost(method: str, path: str) -> int | None:
        return DONE_AND_CUT if method == "POST" and path.endswith("git-receive-pack") else None

    server.answer = lost
    with pytest.raises(LedgerUnavailable, match="the connection was cut"):
        ledger.record(a_decision(WAITING))
    server.answer = lambda method, path: None
    assert ledger.record(a_decision(WAITING)).decision
    assert len(ledger.history(9)) == 2


# -- secrets -------------------------------------------------------------------------------------

SECRET = "p@ss/wörd:%"  # noqa: S105 - of a server that lives for one test
QUOTED = "bot:p%40ss%2Fw%C3%B6rd%3A%25"


def test_a_credential_in_the_address_opens_the_door(
    server: GitServer, repository: Path, tmp_path: Path
) -> None:
    server.credential = f"bot:{SECRET}"
    ledger = GitLedger(server.of("ledger.git", QUOTED), tmp_path / "cache")
    assert verify(ledger, DECIDED.draft)
    assert ledger.record(a_decision(WAITING)).decision
    assert audit(ledger).decisions == 2
    with pytest.raises(LedgerUnavailable, match="refuses the credential"):
        GitLedger(server.of("ledger.git", "bot:wrong"), tmp_path / "other").head()


@pytest.mark.parametrize("credential", ["bot:t0psecret", "t0psecret", "t0psecret:"])
def test_a_credential_is_seen_nowhere(
    server: GitServer,
    repository: Path,
    tmp_path: Path,
    credential: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = tmp_path / "calls"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    path = os.environ["PATH"]
    shim.write_text(f'#!/bin/sh\necho "$@" >> "{calls}"\nPATH="{path}" exec git "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{path}")
    caplog.set_level(logging.DEBUG)
    ledger = GitLedger(server.of("ledger.git", credential), tmp_path / "cache")
    verify(ledger, DECIDED.draft)
    ledger.record(a_decision(WAITING))
    ledger.history(1)
    entries_of(ledger)
    server.answer = lambda method, path: 403
    told = []
    for verb in each_verb(ledger):
        with pytest.raises(LedgerUnavailable) as caught:
            verb()
        told.append(f"{caught.value!r} {caught.value} {caught.value.__context__!r}")
    seen = [calls.read_text(), caplog.text, repr(ledger), repr(vars(ledger)), ledger.where, *told]
    for file in (tmp_path / "cache").rglob("*"):
        seen.append(file.read_bytes().decode("latin-1") if file.is_file() else file.name)
    assert "ls-remote" in seen[0]
    assert not [text for text in seen if "t0psecret" in text or "dDBwc2VjcmV0" in text]


def test_a_request_that_another_machine_opened_can_be_replaced(
    server: GitServer, ledger: GitLedger, tmp_path: Path
) -> None:
    url = server.of("ledger.git")
    asked = opened(ledger, "Flow/9/step/1")
    decider = GitLedger(url, tmp_path / "another-machine")
    assert decider.read(asked.gate.id)
    anew = replace(asked, message="Other words?")
    assert decider.open(anew, "page").request == anew
