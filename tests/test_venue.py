"""Where a gate is decided is answered once, and each kind keeps to what it may do."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge import wiring
from bridge.core.errors import Faults, GateShut, Refused
from bridge.core.evaluation import Condition, Outcome, Verdict
from bridge.core.model import HERE, Declared, Draft, Gate, Standing, Subject, on_github
from bridge.core.rules import Actors, Approvals, Policy
from bridge.core.settings import Settings, from_environment
from bridge.entrypoints.python import approval
from bridge.gates.on_github import OnGitHub
from bridge.gates.recording import record_now
from bridge.gates.this_machine import ThisMachine
from bridge.gates.venue import Ballot, Opened
from tests.forge import POLICY, World, world
from tests.gates import ROOT, Heard, a_request, a_vote, opened, this_machine

#: The modules that may read where a gate is decided: see docs/decisions/0002-venue.md.
MAY_ASK = {
    "argo/pod_settings.py",
    "core/comparison.py",
    "core/decision_keys.py",
    "core/signed_statement.py",
    "core/settings.py",
    "entrypoints/github_job.py",
    "gates/process_page.py",
    "gates/verify.py",
    "github/dispatch.py",
    "ledger/git_ledger.py",
    "ledger/queue.py",  # whose word a ticket is
    "ledger/record_decisions.py",
    "metaflow/plugins/argo.py",
    "pages/false_words.py",  # what the repository was called then
    "policy/approvers.py",
    "policy/claims.py",
    "policy/simulate.py",
    "wiring.py",
}


def test_nobody_else_asks_where_a_gate_is_decided() -> None:
    found = set()
    for root, name in ((ROOT / "bridge", ""), (ROOT / "metaflow_extensions/hitl", "metaflow/")):
        for path in root.rglob("*.py"):
            if any(_asks(path)):
                found.add(f"{name}{path.relative_to(root)}")
    assert found == MAY_ASK


def _asks(path: Path) -> Iterator[bool]:
    owners = {"request", "asked", "recorded", "settings", "now"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("forge", "github", "venue"):
            owner = node.value
            name = getattr(owner, "id", None) or getattr(owner, "attr", None)
            yield name in owners
        elif isinstance(node, ast.Call):
            yield getattr(node.func, "id", "") == "is_on_github"


# -- which one -------------------------------------------------------------------------------------


def test_the_settings_say_where_a_gate_is_opened(ledger: Path) -> None:
    settings = from_environment(os.environ)
    assert isinstance(wiring.venue(settings), ThisMachine)
    assert wiring.existing_venue(settings).address == str(ledger)


def test_the_recorded_request_says_where_a_gate_is_decided(ledger: Path) -> None:
    record = wiring.ledger(from_environment(os.environ))
    here = wiring.venue_of(a_request(), record, Heard(), {})
    there = wiring.venue_of(a_request(venue=on_github("acme/models")), record, Heard(), {})
    assert isinstance(here, ThisMachine)
    assert isinstance(there, OnGitHub)
    assert there.address == "github:acme/models"


def test_a_credential_is_asked_for_only_when_github_must_be_asked(tmp_path: Path) -> None:
    env = {"HITL_LEDGER": "github:acme/models", "HITL_CACHE": str(tmp_path)}
    venue = wiring.existing_venue(from_environment(env))
    assert venue.unsettled() == ()
    with pytest.raises(Faults, match="no credential to ask on github:acme/models"):
        venue.check(Subject("Train", "deploy"), Declared(), None)


# -- binding ---------------------------------------------------------------------------------------


def test_on_this_machine_the_flows_own_policy_holds(ledger: Path) -> None:
    request = a_request("Flow/1/gate/3", "ann")
    venue = this_machine(wiring.ledger(Settings(str(ledger), ledger.parent / "cache")))
    bound = venue.open(request.draft).standing.request
    assert (bound.policy, bound.venue, bound.subject) == (request.policy, HERE, None)


def test_a_draft_without_a_policy_needs_a_policy_file(ledger: Path) -> None:
    venue = this_machine(wiring.ledger(from_environment(os.environ)))
    with pytest.raises(Faults, match="declares no policy"):
        venue.open(Draft(Gate("here", "Flow/1/gate/3"), "Deploy?"))
    assert venue.unsettled() == ()


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_on_github_the_policy_file_holds_whatever_the_flow_says(at: World) -> None:
    lax = Policy(Approvals(Actors(anyone=True)))
    draft = at.request(policy=lax).draft
    bound = at.venue().open(draft).standing.request
    assert isinstance(bound.policy.require, Approvals)
    assert bound.policy.require.by.users == ("alice", "bob")
    assert (bound.forge, bound.subject) == ("github:acme/models", draft.subject)


def test_a_decision_made_elsewhere_opens_no_gate_on_github(at: World) -> None:
    """Whoever may push the ledger cannot pass off a decision of a laptop."""
    request = at.request()
    record = at.desk().ledger
    record.open(request, "")
    standing = this_machine(record, clock=at.now).judge(
        record.read(request.gate.id) or pytest.fail("it was opened"),
        [a_vote(request, at=at.now())],
    )
    assert standing.decision
    with pytest.raises(GateShut, match="what was approved is not what is here now"):
        at.venue().verify(request.gate, lambda _: request.draft)


# -- GitHub's gates are the decider's --------------------------------------------------------------


def test_neither_a_vote_nor_the_clock_nor_the_end_of_a_run_decides_a_gate_on_github_here(
    at: World,
) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    pull = at.open()
    at.github.clock.advance(minutes=31)
    venue, before = at.venue(), at.standing(pull)
    held = Condition("accuracy > 0", {"accuracy": 1}, True)
    assert venue.judge(before, [a_vote(before.request)], held) == before
    assert venue.withdraw(before, "the run ended") == before
    assert record_now(venue.ledger, venue.settle(before)) == before
    assert venue.ask_here(before.request, lambda: False) is None
    assert at.recorded(pull) is None


# -- this machine ----------------------------------------------------------------------------------


def test_who_may_not_decide_is_refused_and_nothing_is_recorded(ledger: Path) -> None:
    request = opened(a_request("Flow/1/gate/3", "bob"))
    venue = this_machine(wiring.ledger(from_environment(os.environ)))
    standing = venue.ledger.read(request.gate.id)
    assert standing
    with pytest.raises(Refused, match="that is for bob"):
        record_now(venue.ledger, venue.vote(standing, Ballot(Verdict.APPROVE)))
    assert venue.explain(standing).evaluation


def test_a_run_that_ends_withdraws_its_gate_and_finds_a_decision_that_came_first(
    ledger: Path,
) -> None:
    request = opened(a_request())
    venue = this_machine(wiring.ledger(from_environment(os.environ)))
    standing = venue.ledger.read(request.gate.id)
    assert standing
    voted = record_now(venue.ledger, venue.vote(standing, Ballot(Verdict.REJECT, "too low")))
    assert voted.standing.decision
    late = venue.withdraw(standing, "the run ended")
    assert late.decision
    assert late.decision.outcome is Outcome.REJECTED


# -- plain Python, on GitHub -----------------------------------------------------------------------


def test_plain_python_asks_where_the_ledger_says(
    at: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bridge.wiring.venue", lambda _: at.venue())
    monkeypatch.setenv("HITL_CACHE", str(tmp_path / "cache"))

    def answer(_: float) -> None:
        [pull] = at.repo.pulls
        pull.review(at.alice, "APPROVED")
        at.tend(pull)

    # Of the wait alone: a process that a look ends is waited for with `time.sleep` too.
    monkeypatch.setattr("bridge.wiring.time", SimpleNamespace(sleep=answer))
    decision = approval("deploy", "alice", artifacts={"accuracy": 0.94})
    assert decision.record.votes[0].actor.login == "alice"
    assert decision.page == f"{at.repo.url}/pull/1"


@pytest.mark.parametrize("braces", range(2, 6))
def test_argo_fills_in_nothing_where_it_shows_where_people_decide(braces: int) -> None:
    how = f"hitl approve {'{' * braces}workflow.name{'}' * braces}\n--ledger x"
    where = Opened(Standing(a_request(), None, "c" * 40), how).where
    assert "{{" not in where
    assert "\n" not in where
    assert where.replace("{ ", "{").startswith("hitl approve {{")
