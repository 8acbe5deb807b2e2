"""A reader that knows `docs/ledger.md` alone reads what the bridge writes, and refuses the rest.

From the first release on, `readers/format_1.py` is the reader of the bridges that are in use.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from bridge.core.digest import digest_of
from bridge.core.model import ApprovalRequest, Baseline, Baselines, Decision, Kind
from bridge.core.records import baselines_out, decision_out, objections_out, request_out, turn_out
from bridge.core.shards import first_turn
from tests import test_ledger_page as page
from tests import test_records as made
from tests.ledgers import NOON, a_decision, a_request
from tests.readers import format_1


@made.quickly
@given(made.requests)
def test_it_reads_every_request_and_computes_its_digest(request: ApprovalRequest) -> None:
    found = format_1.request(request_out(request))
    assert found["digest"] == format_1.digest_of(found) == digest_of(request)
    assert found["message"] == request.message


@made.quickly
@given(made.decisions)
def test_it_reads_every_decision(decision: Decision) -> None:
    found = format_1.decision(decision_out(decision))
    assert (found["gate"], found["outcome"]) == (decision.gate_id, decision.outcome)
    counted = [each["verdict"] for each in found.get("votes", []) if each["counts"]]
    assert counted == [vote.verdict for vote in decision.votes]


@made.quickly
@given(made.text, made.objections)
def test_it_reads_every_objection(gate_id: str, objection: Any) -> None:
    found = format_1.objections(objections_out(gate_id, (objection,)))
    assert found["objections"][0]["verdict"] == objection.verdict


@made.quickly
@given(made.kinds, made.baselines)
def test_it_reads_the_baselines_of_a_kind(kind: Kind, baseline: Baseline) -> None:
    found = format_1.baselines(baselines_out(Baselines(kind, (baseline,))))
    assert (found["kind"]["flow"], found["approved"][0]["by"]) == (kind.flow, baseline.by)


def test_it_reads_when_the_next_branch_begins() -> None:
    found = format_1.turn(turn_out(first_turn(NOON)))
    assert (found["every"], found["begun"]) == ("year", f"{NOON:%Y-%m}")


@pytest.mark.parametrize(
    "change",
    [
        ("format: 1", "format: 2"),
        ("format: 1", "format: 1\nsurprise: 1"),
        ("shard: approvals", "shard: other"),
        ("message: ", "message: Ship it? #"),
        ("kind: local", "kind: moon"),
        ("timeout: 3600", "timeout: true"),
        ("approvals: 1", "approvals: 1\n    any: []"),
        ("shard: approvals", "shard: approvals\nlinks: []"),
        ("shard: approvals", "shard: approvals\nshard: approvals"),
        ("shard: approvals", "shard: approvals\nschema: {default: 2026-03-01}"),
        ("shard: approvals", "shard: approvals\nschema: {default: .nan}"),
    ],
)
def test_it_refuses_a_request_with_a_fault(change: tuple[str, str]) -> None:
    written = request_out(a_request())
    assert change[0] in written
    with pytest.raises(format_1.Refused):
        format_1.request(written.replace(*change, 1))


@pytest.mark.parametrize(
    "change",
    [
        ("outcome: approved", "outcome: pending"),
        ("counts: true", "counts: 1"),
        ("code: approved", "code: because"),
        ("proven: false", "proven: false\n    root: true"),
    ],
)
def test_it_refuses_a_decision_with_a_fault(change: tuple[str, str]) -> None:
    written = decision_out(a_decision(a_request()))
    assert change[0] in written
    with pytest.raises(format_1.Refused):
        format_1.decision(written.replace(*change, 1))


def test_it_knows_the_keys_that_the_page_lists() -> None:
    tables = dict(format_1.TABLES)
    tables["rule"] = {key: row for rule in format_1.RULES for key, row in rule.items()}
    known = {(name, key) for name, table in tables.items() for key in table}
    assert known == {(name, row[0]) for name, row in page.of_the_page()}
