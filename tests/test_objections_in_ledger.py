"""Objections in the ledger: written down once, kept, and missed if somebody takes one out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.core.digest import asked_digest, digest_of
from bridge.core.errors import GateShut, LedgerCorrupt, LostRequest
from bridge.core.evaluation import Actor, Lifted, Lifting, Objection, Verdict
from bridge.core.facts import About, Fact, Source
from bridge.core.model import Draft, Standing
from bridge.core.records import objections_in, objections_out
from bridge.gates.audit import audit
from bridge.gates.verify import verify
from bridge.ledger import git_ledger
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import ANN, LEDGER, NOON, a_decision, a_request, git
from tests.test_git_ledger import put

BOB, CAT = Actor("Bob", "bob@example.org"), Actor("Cat", "cat@example.org")
FILE = f"{a_request().gate.folder}/objections.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


@pytest.fixture
def opened(ledger: GitLedger) -> Standing:
    return ledger.open(a_request(), "page")


def an_objection(who: Actor = CAT, minutes: int = 1) -> Objection:
    at = NOON + timedelta(minutes=minutes)
    return Objection(who, Verdict.HOLD, at, digest_of(a_request()), "wait", "https://x.test/1")


def lifted(objection: Objection) -> Objection:
    at = objection.at + timedelta(minutes=1)
    return replace(objection, lifted=Lifting(BOB, Lifted.UNHOLD, at, "the tests are green"))


def draft() -> Draft:
    """What the step computes again before it runs."""
    request = a_request()
    return Draft(request.gate, request.message, artifacts=request.artifacts)


def test_objections_are_read_back_whole(ledger: GitLedger, opened: Standing) -> None:
    whole = (lifted(an_objection(BOB)), an_objection())
    held = ledger.hold(opened.request.gate.id, whole)
    found = ledger.read(opened.request.gate.id)
    assert found
    assert found.objections == held.objections == whole
    assert (found.decision, found.head) == (None, opened.head)
    assert audit(ledger).faults == ()


PROOF = Fact(About.INITIATOR, "@cat#3", Source.OIDC, proven=True)


def test_a_proven_fact_is_recorded_once_and_survives_objections_and_another_request(
    ledger: GitLedger, opened: Standing
) -> None:
    gate = opened.request.gate.id
    ledger.hold(gate, facts=(PROOF,))
    before = ledger.head()
    assert ledger.hold(gate, facts=(PROOF,)).facts == (PROOF,)
    assert ledger.head() == before
    ledger.hold(gate, (an_objection(),))
    ledger.open(a_request(message="Another?"), "page")
    found = ledger.read(gate)
    assert found
    assert (found.facts, found.objections) == ((PROOF,), (an_objection(),))
    assert audit(ledger).faults == ()


@pytest.fixture
def behind_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, no reader looks which commit recorded a decision."""
    monkeypatch.setattr(git_ledger, "check_recorded", lambda ledger, standing: None)


@pytest.mark.usefixtures("behind_a_url")
def test_a_decision_that_knows_nothing_of_a_proven_fact_is_not_recorded(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, facts=(PROOF,))
    with pytest.raises(LostRequest, match="more was learned"):
        ledger.record(a_decision(opened.request))
    ledger.record(a_decision(opened.request, facts=(PROOF,)))
    assert verify(ledger, draft())
    assert audit(ledger).faults == ()
    put(repository, LEDGER, {FILE: objections_out(opened.request.gate.id, (), (PROOF, OTHER))})
    with pytest.raises(GateShut, match="leaves out a proven fact"):
        verify(ledger, draft())


def test_what_was_proven_of_another_request_is_no_part_of_the_decision(
    ledger: GitLedger, opened: Standing
) -> None:
    own = replace(PROOF, asked=asked_digest(opened.request))
    another = replace(PROOF, asked=asked_digest(a_request(message="Another?")))
    held = ledger.hold(opened.request.gate.id, facts=(another, own))
    assert (held.facts, held.other_facts) == ((own,), (another,))
    with pytest.raises(LostRequest, match="more was learned"):
        ledger.record(a_decision(opened.request, facts=(another,)))
    ledger.record(a_decision(opened.request, facts=(own,)))
    assert verify(ledger, draft())
    assert audit(ledger).faults == ()


OTHER = replace(PROOF, value="@bob#2")


def test_an_audit_names_a_proven_fact_that_somebody_took_out(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, facts=(PROOF, OTHER))
    put(repository, LEDGER, {FILE: objections_out(opened.request.gate.id, (), (PROOF,))})
    assert "lacks what was proven: initiator bob" in "; ".join(audit(ledger).faults)


def test_what_is_on_record_stays_and_what_is_lifted_stays_lifted(
    ledger: GitLedger, opened: Standing
) -> None:
    gate = opened.request.gate.id
    ledger.hold(gate, (lifted(an_objection()),))
    held = ledger.hold(gate, (an_objection(), an_objection(BOB, 2)))
    assert held.objections == (lifted(an_objection()), an_objection(BOB, 2))
    assert audit(ledger).faults == ()


def test_recording_the_same_objections_again_writes_nothing(
    ledger: GitLedger, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, (an_objection(),))
    before = ledger.head()
    ledger.hold(opened.request.gate.id, (an_objection(),))
    assert ledger.head() == before


@pytest.mark.parametrize(
    "again",
    [
        lambda ledger: ledger.open(a_request(message="Another?"), "page"),
        lambda ledger: ledger.renew(a_request().gate.id),
    ],
    ids=["asked with other contents", "put on its branch again"],
)
def test_a_gate_that_is_asked_again_keeps_its_objections(
    ledger: GitLedger, opened: Standing, again: Callable[[GitLedger], Standing]
) -> None:
    ledger.hold(opened.request.gate.id, (an_objection(),))
    assert again(ledger).objections == (an_objection(),)
    found = ledger.read(opened.request.gate.id)
    assert found
    assert found.objections == (an_objection(),)


def test_objections_on_the_gates_branch_are_no_record(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    gate = opened.request.gate
    forged = objections_out(gate.id, (lifted(an_objection()),))
    put(repository, f"refs/heads/{gate.branch}", {FILE: forged})
    found = ledger.read(gate.id)
    assert found
    assert found.objections == ()


def test_objections_that_cannot_be_read_make_the_gate_unreadable(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    put(repository, LEDGER, {FILE: "format: 1\n"})
    with pytest.raises(LedgerCorrupt, match=r"objections\.yaml"):
        ledger.read(opened.request.gate.id)
    put(repository, LEDGER, {FILE: objections_out("0" * 12, ())})
    with pytest.raises(LedgerCorrupt, match="that of gate 000000000000"):
        ledger.read(opened.request.gate.id)


def test_a_decision_that_knows_nothing_of_an_objection_on_record_is_not_recorded(
    ledger: GitLedger, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, (an_objection(),))
    with pytest.raises(LostRequest, match="someone objected"):
        ledger.record(a_decision(opened.request))
    assert ledger.record(a_decision(opened.request, objections=(lifted(an_objection()),))).decision
    assert audit(ledger).faults == ()


def test_a_decision_with_objections_keeps_their_file(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, (lifted(an_objection()),))
    ledger.record(a_decision(opened.request, objections=(lifted(an_objection()),)))
    text = git(repository, "show", f"{LEDGER}:{FILE}")
    assert objections_in(text).objections == (lifted(an_objection()),)


def test_an_approval_over_an_objection_that_holds_opens_no_gate(
    ledger: GitLedger, opened: Standing
) -> None:
    ledger.record(a_decision(opened.request, objections=(an_objection(),)))
    with pytest.raises(GateShut, match="held by Cat"):
        verify(ledger, draft())
    assert "held by Cat" in audit(ledger).faults[0]


def drop(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {FILE: objections_out(a_request().gate.id, ())})


def lift_as_somebody_else(ledger: GitLedger, repository: Path) -> None:
    other = replace(lifted(an_objection()), lifted=Lifting(ANN, Lifted.UNHOLD, NOON))
    put(repository, LEDGER, {FILE: objections_out(a_request().gate.id, (other,))})


def delete(ledger: GitLedger, repository: Path) -> None:
    tree = git(repository, "rev-parse", f"{LEDGER}~1^{{tree}}")
    commit = git(repository, "commit-tree", tree, "-p", LEDGER, "-m", "tidy")
    git(repository, "update-ref", LEDGER, commit)


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (drop, "objections.yaml lacks what Cat"),
        (lift_as_somebody_else, "objections.yaml lacks what Cat"),
        (delete, "objections.yaml was deleted"),
    ],
)
def test_an_objection_that_was_taken_out_of_the_ledger_is_missed(
    ledger: GitLedger,
    repository: Path,
    opened: Standing,
    tamper: Callable[[GitLedger, Path], None],
    told: str,
) -> None:
    ledger.hold(opened.request.gate.id, (lifted(an_objection()),))
    tamper(ledger, repository)
    (fault,) = audit(ledger).faults
    assert told in fault


@pytest.mark.usefixtures("behind_a_url")
def test_a_decision_that_leaves_an_objection_out_is_missed_and_opens_no_gate(
    ledger: GitLedger, repository: Path, opened: Standing
) -> None:
    ledger.hold(opened.request.gate.id, (lifted(an_objection()),))
    record = git(repository, "show", f"{LEDGER}:{FILE}")
    drop(ledger, repository)
    ledger.record(a_decision(opened.request))
    put(repository, LEDGER, {FILE: record + "\n"})
    with pytest.raises(GateShut, match="leaves out an objection"):
        verify(ledger, draft())
