"""What is decided together is recorded by one push of as many commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.errors import LedgerUnavailable, LostRequest, NoSuchGate
from bridge.core.model import Decision, Standing
from bridge.gates.audit import audit
from bridge.gates.recording import Deciding, record_each, record_now
from bridge.gates.verify import verify
from bridge.ledger.git_ledger import GitLedger, create
from tests.githttp import serving
from tests.ledgers import LEDGER, a_decision, a_rejection, a_request, git, opened

KEYS = ["F/1/a/1", "F/1/b/1", "F/1/c/1", "F/1/d/1"]


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.ledger.exchanges.time.sleep", lambda _: None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def offered(ledger: GitLedger, keys: Sequence[str] = KEYS) -> list[Decision]:
    requests = [opened(ledger, key) for key in keys]
    return [(a_rejection if n % 2 else a_decision)(each) for n, each in enumerate(requests)]


def commits(repository: Path) -> int:
    return int(git(repository, "rev-list", "--count", "--first-parent", LEDGER)) - 1


def recorded(found: Standing | Exception) -> Decision:
    assert isinstance(found, Standing)
    assert found.decision
    return found.decision


def test_one_push_records_each_by_a_commit_of_its_own(repository: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ledger = GitLedger(server.of("ledger.git"), tmp_path / "cache")
        decisions = offered(ledger)
        server.forget()
        done = ledger.record_all(decisions)
        pushes = [each for each in server.requests if each.startswith("POST") and "receive" in each]
    assert len(pushes) == 1
    assert list(done) == [each.gate_id for each in decisions]
    assert [replace(recorded(each), previous=None) for each in done.values()] == decisions
    assert commits(repository) == len(KEYS)
    assert git(repository, "for-each-ref", "--format=%(refname)") == LEDGER
    here = GitLedger(str(repository), tmp_path / "here")
    assert audit(here).faults == ()
    assert verify(here, a_request(KEYS[2]).draft)
    git(repository, "fsck", "--strict", "--no-dangling")


def test_the_exchanges_do_not_grow_with_what_is_recorded(repository: Path, tmp_path: Path) -> None:
    asked = []
    with serving(tmp_path) as server:
        for number, count in enumerate((2, 12)):
            ledger = GitLedger(server.of("ledger.git"), tmp_path / f"cache {number}")
            decisions = offered(ledger, [f"G/{number}/{each}/1" for each in range(count)])
            fresh = GitLedger(server.of("ledger.git"), tmp_path / f"fresh {number}")
            server.forget()
            assert all(map(recorded, fresh.record_all(decisions).values()))
            asked.append(len(server.requests))
    assert asked[0] == asked[1]


def test_a_push_that_loses_the_race_is_made_again_upon_the_new_tip(
    ledger: GitLedger, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = offered(ledger)
    elsewhere = GitLedger(str(repository), tmp_path / "elsewhere")
    other, push = opened(elsewhere, "F/2/other/1"), ledger._clone.push
    first = [a_decision(other), a_decision(a_request(KEYS[0]), reason="approved elsewhere")]

    def late(refs: dict[str, str], lease: dict[str, str]) -> None:
        if first:
            elsewhere.record(first.pop())
        push(refs, lease)

    monkeypatch.setattr(ledger._clone, "push", late)
    done = ledger.record_all(decisions)
    assert recorded(done[decisions[0].gate_id]).reason == "approved elsewhere"
    assert [replace(recorded(done[each.gate_id]), previous=None) for each in decisions[1:]] == (
        decisions[1:]
    )
    assert first == []
    assert commits(repository) == len(KEYS) + 1
    assert audit(ledger).faults == ()


def test_what_is_amiss_with_one_gate_stops_no_other(ledger: GitLedger, repository: Path) -> None:
    decisions = offered(ledger)
    opened(ledger, KEYS[1], artifacts=())  # asked anew
    stray = a_decision(a_request("F/1/never/1"))
    done = ledger.record_all([stray, *decisions])
    assert isinstance(done[stray.gate_id], NoSuchGate)
    assert isinstance(done[decisions[1].gate_id], LostRequest)
    assert all(recorded(done[each.gate_id]) for each in decisions if each is not decisions[1])
    assert commits(repository) == len(KEYS) - 1


def test_a_gate_whose_branch_is_pushed_to_without_end_keeps_no_other_from_being_recorded(
    ledger: GitLedger, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = offered(ledger)
    hostile, push = f"refs/heads/{a_request(KEYS[0]).gate.branch}", ledger._clone.push

    def late(refs: dict[str, str], lease: dict[str, str]) -> None:
        records = [each for each in refs if "/waiting/" not in each]
        if hostile in refs and len(records) > 2:  # the same request, by another commit
            tree, parent = (
                git(repository, "rev-parse", f"{hostile}{of}") for of in ("^{tree}", "^")
            )
            again = git(repository, "commit-tree", tree, "-p", parent, "-m", f"{len(pushed)}")
            git(repository, "update-ref", hostile, again)
        pushed.extend([len(records)] if records else [])
        push(refs, lease)

    pushed: list[int] = []
    monkeypatch.setattr(ledger._clone, "push", late)
    done = ledger.record_all(decisions)
    assert all(map(recorded, done.values()))
    assert pushed == [5, 4, 2]


REFUSE = """#!/bin/sh
while read old new ref; do
  if git log --format=%B --not --all --not $new 2>/dev/null | grep -q UNWANTED; then exit 1; fi
done
"""


def test_what_the_server_refuses_for_one_gate_is_refused_for_that_gate_alone(
    ledger: GitLedger, repository: Path
) -> None:
    decisions = offered(ledger)
    decisions[2] = replace(decisions[2], reason="UNWANTED")
    (repository / "hooks").mkdir()
    hook = repository / "hooks" / "pre-receive"
    hook.write_text(REFUSE)
    hook.chmod(0o755)
    git(repository, "config", "core.hooksPath", str(repository / "hooks"))
    done = ledger.record_all(decisions)
    refused = done.pop(decisions[2].gate_id)
    assert isinstance(refused, LedgerUnavailable)
    assert "declined" in str(refused)
    assert all(map(recorded, done.values()))
    assert commits(repository) == len(KEYS) - 1


def test_two_decisions_of_one_gate_are_one(ledger: GitLedger, repository: Path) -> None:
    first = a_decision(opened(ledger))
    done = ledger.record_all([first, replace(first, reason="another")])
    assert recorded(done[first.gate_id]).reason == first.reason
    assert commits(repository) == 1


# -- verbs that decide ---------------------------------------------------------------------------


def test_each_verb_goes_on_once_its_decision_is_on_record(ledger: GitLedger) -> None:
    order: list[str] = []

    def verb(decision: Decision, name: str) -> Deciding[str]:
        order.append(f"{name} judged")
        after = yield decision
        there = ledger.read(decision.gate_id)
        assert there
        assert there.decision == after.decision
        order.append(f"{name} answered")
        return name

    def idle() -> Deciding[str]:
        yield from ()
        return "idle"

    def fails(decision: Decision) -> Deciding[str]:
        try:
            yield decision
        except NoSuchGate:
            return "lost"
        raise AssertionError

    a, b, *_ = offered(ledger)
    stray = a_decision(a_request("F/1/never/1"))
    done = record_each(ledger, [verb(a, "a"), idle(), fails(stray), verb(b, "b")])
    assert done == ["a", "idle", "lost", "b"]
    assert order == ["a judged", "b judged", "a answered", "b answered"]


def test_what_a_verb_raises_is_its_own(ledger: GitLedger) -> None:
    def breaks() -> Deciding[str]:
        raise KeyError("x")
        yield

    def stray() -> Deciding[Standing]:
        return (yield a_decision(a_request("F/1/never/1")))

    done = record_each(ledger, [breaks(), stray()])
    assert [type(each) for each in done] == [KeyError, NoSuchGate]
    with pytest.raises(NoSuchGate):
        record_now(ledger, stray())
