"""The ledgers that benches measure are those that the bridge would have left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.core.model import ApprovalRequest
from bridge.core.records import request_in
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledger_import import import_ledger
from tests.ledgers import NOON, a_decision, a_request, git, key_of, ledger_of


def test_an_imported_ledger_is_that_of_the_bridge_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "ledger.git"
    create(path)
    ledger = GitLedger(str(path), tmp_path / "cache")
    shards = ("approvals", "approvals-2027")

    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    began = dict(zip(shards, (NOON, new_year), strict=True))

    def opened(number: int, shard: str, nth: int) -> ApprovalRequest:
        at = began[shard] + nth * timedelta(minutes=2)
        request = a_request(key_of(number), shard=shard, opened_at=at)
        ledger.open(request, request.message)
        return request

    opened(0, shards[0], 0)
    ledger.begin_branch(new_year)
    for index, shard in enumerate(shards):
        for nth in range(2):
            assert ledger.record(a_decision(opened(index * 2 + nth, shard, nth))).decision
    opened(4, shards[1], 2)

    imported = ledger_of(tmp_path / "imported.git", 2, 1, shards)

    assert git(imported, "for-each-ref") == git(path, "for-each-ref")


def test_what_is_packed_as_deltas_is_whole_for_git(tmp_path: Path) -> None:
    path = ledger_of(tmp_path / "ledger.git", 120, 2)

    assert git(path, "fsck", "--full", "--strict") == ""
    assert git(path, "rev-list", "--count", "approvals") == "241"


def test_an_id_that_looks_like_a_number_is_in_quotes(tmp_path: Path) -> None:
    request = a_request(key_of(275))
    path = tmp_path / "ledger.git"
    create(path)
    import_ledger(
        path,
        lambda key, shard, at: a_request(key, shard=shard, opened_at=at),
        a_decision,
        lambda _number: request.gate.key,
        decisions=1,
        waiting=0,
        shards=["approvals"],
        began=NOON,
    )

    text = git(path, "show", f"approvals:{request.gate.folder}/request.yaml")
    assert request.gate.id == "16143864e4013883"
    assert request_in(text) == request
