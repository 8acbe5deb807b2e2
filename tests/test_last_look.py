"""A decision is pushed upon what it was judged by: the push finds out whether that still is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.errors import LostRequest
from bridge.core.evaluation import Actor
from bridge.core.model import ApprovalRequest
from bridge.ledger.git_ledger import GitLedger
from tests.githttp import serving
from tests.ledgers import (
    a_decision,
    a_rejection,
    a_request,
    decided,
    git,
    key_of,
    ledger_of,
    opened,
)
from tests.test_objections_in_ledger import an_objection

BEN = Actor("Ben", "ben@example.org")
WAITING = a_request(key_of(1))


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.ledger.exchanges.time.sleep", lambda _: None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return ledger_of(tmp_path / "ledger.git", 1, waiting=1)


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    """Has looked at the gate that waits."""
    found = GitLedger(str(repository), tmp_path / "cache")
    assert found.read(WAITING.gate.id)
    return found


@pytest.fixture
def other(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "other")


def test_a_decision_after_a_look_takes_a_push_alone(repository: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ledger = GitLedger(server.of(repository.name), tmp_path / "cache")
        ledger.read(WAITING.gate.id)
        server.forget()
        assert ledger.record(a_decision(WAITING)).decision
        assert len(server.requests) == 2


def test_who_decided_meanwhile_has_decided(ledger: GitLedger, other: GitLedger) -> None:
    first = other.record(a_rejection(WAITING, BEN))
    assert ledger.record(a_decision(WAITING)).decision == first.decision


def test_a_request_that_was_replaced_meanwhile_inherits_nothing(
    ledger: GitLedger, other: GitLedger
) -> None:
    opened(other, WAITING.gate.key, message="Another one?")
    with pytest.raises(LostRequest, match="asked again"):
        ledger.record(a_decision(WAITING))


def test_an_objection_of_meanwhile_is_seen(ledger: GitLedger, other: GitLedger) -> None:
    other.hold(WAITING.gate.id, (an_objection(BEN),))
    with pytest.raises(LostRequest, match="someone objected"):
        ledger.record(a_decision(WAITING))


def test_what_was_recorded_meanwhile_is_built_upon(
    ledger: GitLedger, other: GitLedger, repository: Path
) -> None:
    decided(other, "another gate")
    after = ledger.record(a_decision(WAITING))
    assert after.commit == git(repository, "rev-parse", "approvals")
    assert git(repository, "rev-list", "--count", "--first-parent", "approvals") == "4"


def test_another_branch_of_the_ledger_that_moved_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ledger_of(tmp_path / "two.git", 1, waiting=2, shards=("approvals", "approvals-2027"))
    ledger, other = (GitLedger(str(path), tmp_path / name) for name in ("one", "two"))
    asked = a_request(key_of(2), shard="approvals-2027")
    assert ledger.read(asked.gate.id)
    decided(other, "an older gate")
    seen: list[tuple[str, ...]] = []
    look = ledger._clone.remote_refs
    monkeypatch.setattr(ledger._clone, "remote_refs", lambda *of: seen.append(of) or look(*of))
    assert ledger.record(a_decision(asked)).decision
    assert len(seen) == 1


@pytest.mark.parametrize("before", [None, "asked otherwise"])
def test_who_looked_before_it_was_asked_decides_what_is_asked_now(
    ledger: GitLedger, other: GitLedger, before: str | None
) -> None:
    key = "Flow/new/gate/1"
    if before:
        opened(other, key, message=before)
    ledger.read(a_request(key).gate.id)
    now: ApprovalRequest = opened(other, key)
    assert ledger.record(a_decision(now)).decision
