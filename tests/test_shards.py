"""The branches of a ledger, by when a gate was asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import LedgerCorrupt, LostRequest
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest
from bridge.core.records import request_in, request_out
from bridge.core.shards import FIRST, asked_on, begin_of, is_shard, month, oldest_first
from bridge.gates.audit import Audit, audit
from bridge.gates.verify import verify
from bridge.ledger.git_ledger import GitLedger
from tests.ledgers import a_decision, a_rejection, a_request, git, key_of, ledger_of
from tests.test_git_ledger import put
from tests.test_objections_in_ledger import an_objection

BRANCHES = st.sampled_from(
    [FIRST, *(f"{FIRST}-{year}" for year in (2026, 2027, 2031)), f"{FIRST}-2026-07"]
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    "name",
    [
        "approvals-2026-13",
        "approvals-26",
        "approvals/2026",
        "approvals-2026-7",
        "my-approvals",
        "approvals-2026\n",
        "approvals-２０２６",
        "approvals-",
        "",
    ],
)
def test_a_branch_with_another_name_is_none_of_the_ledger(name: str) -> None:
    assert not is_shard(name)
    assert oldest_first([name, FIRST]) == [FIRST]
    with pytest.raises(ValueError, match="is no branch of a ledger"):
        begin_of(name)


def test_the_branches_are_in_the_order_of_time() -> None:
    names = ["approvals-2027", "approvals-2026-07", "approvals", "approvals-2026"]
    assert oldest_first(names) == ["approvals", "approvals-2026", "approvals-2026-07", names[0]]


@given(st.sets(BRANCHES), MOMENTS)
def test_a_gate_is_asked_on_the_newest_branch_that_has_begun(names: set[str], at: datetime) -> None:
    chosen = asked_on(names, at)
    begun = {each for each in names if begin_of(each) <= month(at)}
    assert (chosen is None) == (not begun)
    if chosen:
        assert chosen in begun
        assert all(begin_of(each) <= begin_of(chosen) for each in begun)


# -- several branches in git -----------------------------------------------------------------------

LATER = f"{FIRST}-2027"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A ledger with two branches and a decided gate on the first."""
    repository = ledger_of(tmp_path / "ledger.git", 1)
    put(repository, f"refs/heads/{LATER}", {"README.md": "The next year."})
    return repository


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def on(shard: str, key: str = "Flow/new/gate/1", message: str = "Ship it?") -> ApprovalRequest:
    return a_request(key, message=message, shard=shard)


def test_a_gate_is_found_and_decided_on_its_own_branch(ledger: GitLedger, repository: Path) -> None:
    old, new = on(FIRST, "Flow/old/gate/1"), on(LATER)
    for request in (old, new):
        ledger.open(request, "page")
        ledger.record(a_decision(request))
        assert verify(ledger, request.draft)
        assert git(repository, "ls-tree", "-r", "--name-only", request.shard, request.gate.folder)
        assert ledger.resolve(request.gate.key) == request.gate.id
    assert ledger.read_all([old.gate.id, new.gate.id]).keys() == {old.gate.id, new.gate.id}
    assert ledger.decided([old.gate.id, new.gate.id]).keys() == {old.gate.id, new.gate.id}
    assert {each.key for each in ledger.history(9)} == {old.gate.key, new.gate.key, key_of(0)}
    assert audit(ledger) == Audit(3, ())


def test_a_reader_that_looks_again_learns_of_the_decisions_on_every_branch(
    ledger: GitLedger,
) -> None:
    old, new = on(FIRST, "Flow/old/gate/1"), on(LATER)
    for request in (old, new):
        ledger.open(request, "page")
    head, _ = ledger.decided_since(None)
    assert ledger.decided_since(head) == (ledger.head(), ())
    for request in (old, new):
        ledger.record(a_decision(request))
    assert ledger.decided_since(head) == (ledger.head(), (old.gate.id, new.gate.id))


def test_a_decision_that_was_copied_to_another_branch_is_none_there(
    ledger: GitLedger, repository: Path
) -> None:
    new = on(LATER)
    ledger.open(new, "page")
    ledger.record(a_decision(new))
    folder = new.gate.folder
    texts = {
        f"{folder}/{name}": git(repository, "show", f"{LATER}:{folder}/{name}") + "\n"
        for name in ("request.yaml", "decision.yaml")
    }
    put(repository, f"refs/heads/{FIRST}", texts)
    there = ledger.read(new.gate.id)
    assert there
    assert there.commit == git(repository, "rev-parse", LATER)
    git(repository, "update-ref", "-d", f"refs/heads/{LATER}")
    found = ledger.read(new.gate.id)
    assert found is None or found.decision is None
    assert ledger.decided([new.gate.id]) == {}


def test_an_opener_that_names_another_branch_does_not_get_past_a_decision(
    ledger: GitLedger,
) -> None:
    asked = on(FIRST)
    ledger.open(asked, "page")
    assert ledger.record(a_rejection(asked)).decision
    again = ledger.open(on(LATER, message="Another text"), "page")
    assert again.decision
    assert again.decision.outcome is Outcome.REJECTED


def test_an_opener_that_names_another_branch_does_not_get_past_an_objection(
    ledger: GitLedger, repository: Path
) -> None:
    asked = on(FIRST)
    opened = ledger.open(asked, "page")
    ledger.hold(asked.gate.id, (an_objection(),))
    forged = {f"{asked.gate.folder}/request.yaml": request_out(on(LATER))}
    put(repository, f"refs/heads/{asked.gate.branch}", forged)
    with pytest.raises(LedgerCorrupt, match="approvals has what was objected to it"):
        ledger.record(a_decision(on(LATER)))
    renewed = ledger.renew(asked.gate.id, opened.head)
    assert (renewed.request.shard, renewed.objections) == (FIRST, (an_objection(),))


def test_nothing_is_recorded_on_a_branch_because_a_request_names_it(
    ledger: GitLedger, repository: Path
) -> None:
    asked = on(FIRST)
    ledger.open(asked, "page")
    later = on(f"{FIRST}-2031")
    put(
        repository,
        f"refs/heads/{asked.gate.branch}",
        {f"{asked.gate.folder}/request.yaml": request_out(later)},
    )
    with pytest.raises(LostRequest, match="which the ledger doesn't have"):
        ledger.record(a_decision(later))


@pytest.mark.parametrize("shard", ["main", "approvals/2026", "gate/0000000000000000", ""])
def test_a_request_that_names_no_branch_of_a_ledger_is_none(shard: str) -> None:
    with pytest.raises(LedgerCorrupt, match="is no branch of a ledger"):
        request_in(request_out(on(shard)))
