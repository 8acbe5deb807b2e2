"""What the clock or a crash left is settled by whoever comes next."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge import wiring
from bridge.core.evaluation import Outcome
from bridge.core.listing import Unreadable
from bridge.core.model import ApprovalRequest, Standing
from bridge.core.settings import from_environment
from bridge.gates.ports import Ledger
from bridge.gates.recording import record_now
from bridge.gates.settle import reconcile, settle_overdue
from bridge.gates.this_machine import ThisMachine
from tests.gates import Heard, a_request, decision_of, hitl, opened, this_machine

NOW = wiring.clock()


def the_ledger() -> Ledger:
    return wiring.ledger(from_environment(os.environ))


def here(notices: Heard | None = None) -> ThisMachine:
    return this_machine(the_ledger(), notices, lambda: NOW)


def tidied(notices: Heard | None = None) -> list[Standing]:
    venue = here(notices)
    return list(reconcile(venue, lambda _: venue))


def an_old_gate(key: str = "Flow/1/gate/3", **changed: Any) -> ApprovalRequest:
    return opened(a_request(key, opened_at=NOW - timedelta(days=1), **changed))


def test_a_gate_that_expired_unseen_is_recorded_as_the_clocks_and_told(ledger: Path) -> None:
    request, notices = an_old_gate(timeout=60), Heard()
    settled = tidied(notices)
    assert [each.request.gate.key for each in settled] == [request.gate.key]
    decision = decision_of(request)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.EXPIRED, "clock")
    assert notices.words == ["expired"]


def test_a_gate_within_its_time_is_left_alone(ledger: Path) -> None:
    request = opened(a_request(timeout=3_600))
    assert tidied() == []
    assert decision_of(request) is None


def test_a_gate_that_only_reminds_is_never_settled_by_the_clock(ledger: Path) -> None:
    request = an_old_gate(timeout=60, on_timeout="notify")
    assert tidied() == []
    assert decision_of(request) is None


def test_a_bug_that_one_gate_sets_off_is_one_line_without_secrets_and_stops_no_other(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITL_TOKEN", "ghp_0123456789abcdef")
    broken = an_old_gate("Flow/1/broken/1", timeout=60)
    fine = an_old_gate("Flow/1/fine/1", timeout=60)

    def venue_of(request: ApprovalRequest) -> ThisMachine:
        if request.gate.id == broken.gate.id:
            raise KeyError("ghp_0123456789abcdef")
        return here()

    for _ in range(2):
        done = {
            each.id if isinstance(each, Unreadable) else each.request.gate.id: each
            for each in reconcile(here(), venue_of)
        }
        found = done[broken.gate.id]
        assert isinstance(found, Unreadable)
        assert "a bug of the bridge stopped this command (KeyError" in found.why
        assert "\n" not in found.why
        assert "ghp_" not in found.why
    assert decision_of(fine)


def test_settling_twice_is_settling_once(ledger: Path) -> None:
    request, notices = an_old_gate(timeout=60), Heard()
    decisions = []
    for _ in range(2):
        found = the_ledger().read(request.gate.id)
        assert found
        decisions.append(record_now(the_ledger(), here(notices).settle(found)).decision)
    assert decisions[0] == decisions[1]
    assert notices.words == ["expired"]


def test_of_a_listing_only_what_is_overdue_is_looked_at(ledger: Path) -> None:
    late = an_old_gate("Flow/1/late/1", timeout=60)
    opened(a_request("Flow/1/early/1", timeout=3_600))
    gates = the_ledger().listing().gates
    settled = list(settle_overdue(the_ledger(), lambda _: here(), gates, NOW))
    assert [each.request.gate.id for each in settled] == [late.gate.id]


def test_a_branch_that_outlived_its_decision_is_removed(ledger: Path) -> None:
    request = opened(a_request())
    git = ["git", "--git-dir", str(ledger)]
    branch = f"refs/heads/{request.gate.branch}"
    head = subprocess.run(
        [*git, "rev-parse", branch], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert hitl("approve", request.gate.key).returncode == 0
    subprocess.run([*git, "update-ref", branch, head], check=True)
    assert len(the_ledger().listing().gates) == 1
    tidied()
    assert the_ledger().listing().gates == ()
    decision = decision_of(request)
    assert decision
    assert decision.outcome is Outcome.APPROVED
