"""The ledgers that benches measure are those that the bridge would have left."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import a_decision, a_request, git, key_of, ledger_of


def test_an_imported_ledger_is_that_of_the_bridge_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "ledger.git"
    create(path)
    ledger = GitLedger(str(path), tmp_path / "cache")
    shards = ("approvals", "approvals-2027")

    def opened(number: int) -> None:
        request = a_request(key_of(number), shard=shards[number // 2])
        ledger.open(request, request.message)

    opened(0)
    ledger.begin_branch(datetime(2027, 1, 1, tzinfo=UTC))
    for number in range(4):
        opened(number)
        request = a_request(key_of(number), shard=shards[number // 2])
        assert ledger.record(a_decision(request)).decision
    waits = a_request(key_of(4), shard=shards[1])
    ledger.open(waits, waits.message)

    imported = ledger_of(tmp_path / "imported.git", 2, 1, shards)

    assert git(imported, "for-each-ref") == git(path, "for-each-ref")
