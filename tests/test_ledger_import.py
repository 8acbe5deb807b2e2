"""The ledgers that benches measure are those that the bridge would have left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.core.model import ApprovalRequest
from bridge.ledger.git_ledger import GitLedger, create
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
