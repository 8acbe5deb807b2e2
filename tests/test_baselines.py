"""The ledger keeps the last approved gates of each kind, written by the approval's own commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.comparison import MOST_BASELINES, baseline_of, path_of
from bridge.core.model import ApprovalRequest, Baseline, Kind
from bridge.core.records import baselines_in
from bridge.gates.audit import audit
from bridge.gates.open_gate import compared, open_gate
from bridge.ledger.git_ledger import GitLedger, create
from tests.gates import Heard
from tests.ledgers import LEDGER, a_decision, a_rejection, a_request, git
from tests.test_git_ledger import put

KIND = Kind("Flow", "gate")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def opened(ledger: GitLedger, run: int, kind: Kind | None = KIND) -> ApprovalRequest:
    request = a_request(f"Flow/{run}/gate/3", kind=kind)
    return open_gate(ledger, Heard(), request).request


def approved(ledger: GitLedger, run: int, kind: Kind | None = KIND) -> Baseline:
    request = opened(ledger, run, kind)
    standing = ledger.record(a_decision(request))
    assert standing.decision
    return baseline_of(request, standing.decision)


def known(ledger: GitLedger) -> tuple[Baseline, ...]:
    return ledger.baselines(a_request(kind=KIND))


def test_an_approval_is_what_the_next_gate_of_its_kind_is_compared_with(ledger: GitLedger) -> None:
    assert opened(ledger, 1).baseline is None
    first = approved(ledger, 1)
    assert opened(ledger, 2).baseline == first
    assert opened(ledger, 3, replace(KIND, environment="staging")).baseline is None
    assert opened(ledger, 4, None).baseline is None


def test_a_rejection_is_not(ledger: GitLedger) -> None:
    ledger.record(a_rejection(opened(ledger, 1)))
    assert opened(ledger, 2).baseline is None
    assert known(ledger) == ()


def test_a_gate_that_is_opened_again_is_compared_with_what_it_was(ledger: GitLedger) -> None:
    first = approved(ledger, 1)
    before = opened(ledger, 2)
    approved(ledger, 3)
    assert opened(ledger, 2) == before
    assert before.baseline == first


def test_the_newest_of_a_kind_are_kept_and_other_kinds_are_untouched(
    ledger: GitLedger, repository: Path
) -> None:
    other = approved(ledger, 90, replace(KIND, name="de"))
    made = [approved(ledger, run) for run in range(MOST_BASELINES + 2)]
    assert known(ledger) == tuple(reversed(made))[:MOST_BASELINES]
    assert ledger.baselines(a_request(kind=replace(KIND, name="de"))) == (other,)
    path = path_of(a_request(kind=KIND))
    written = baselines_in(git(repository, "show", f"{LEDGER}:{path}"), "the file")
    assert (written.kind, written.approved[0]) == (KIND, made[-1])
    assert audit(ledger).faults == ()


def test_the_branch_of_a_gate_never_changes_a_baseline(ledger: GitLedger, repository: Path) -> None:
    approved(ledger, 1)
    waiting = opened(ledger, 2)
    changed = git(
        repository, "diff-tree", "-r", "--name-only", "--no-commit-id", waiting.gate.branch
    )
    assert {each.partition("/")[0] for each in changed.split()} == {"gates"}


@pytest.mark.parametrize("text", ["not: [yaml", "format: 1\n", "format: 9\nkind: {}\n"])
def test_a_file_that_makes_no_sense_keeps_no_gate_from_being_asked_or_decided(
    ledger: GitLedger, repository: Path, text: str
) -> None:
    approved(ledger, 1)
    path = path_of(a_request(kind=KIND))
    assert path
    put(repository, LEDGER, {path: text})
    second = approved(ledger, 2)
    assert known(ledger) == (second,)
    assert any("is not the file of a kind" in each for each in audit(ledger).faults)


def test_an_audit_finds_a_baseline_that_was_edited_or_left_out(
    ledger: GitLedger, repository: Path
) -> None:
    first = approved(ledger, 1)
    path = path_of(a_request(kind=KIND))
    assert path
    text = git(repository, "show", f"{LEDGER}:{path}")
    put(repository, LEDGER, {path: text.replace("0.93", "0.1")})
    (fault,) = audit(ledger).faults
    assert f"{path} is not the file of a kind that is approved here" in fault
    second = approved(ledger, 2)
    head = git(repository, "rev-parse", LEDGER).strip()
    put(repository, LEDGER, {path: text})  # the approval's commit, but with the file of before
    tree = git(repository, "rev-parse", f"{LEDGER}^{{tree}}").strip()
    parents = git(repository, "rev-parse", f"{head}^1", f"{head}^2").split()
    message = git(repository, "log", "-1", "--format=%B", head)
    made = git(repository, "commit-tree", tree, "-p", parents[0], "-p", parents[1], stdin=message)
    git(repository, "update-ref", LEDGER, made.strip())
    assert f"{path} does not say what was approved last" in audit(ledger).faults[-1]
    assert second != first


def test_compared_leaves_a_gate_alone_whose_author_wants_no_comparison(ledger: GitLedger) -> None:
    request = a_request()
    assert compared(ledger, request, None) is request


def test_what_somebody_else_did_before_it_is_opened_is_read_again(
    ledger: GitLedger, repository: Path, tmp_path: Path
) -> None:
    approved(ledger, 1)
    request = a_request("Flow/2/gate/3", kind=KIND)
    assert ledger.before_opening(request) is None
    theirs = GitLedger(str(repository), tmp_path / "theirs")
    approved(theirs, 9)  # the ledger moves
    first = theirs.open(request, request.message)
    assert ledger.open(request, request.message) == first
    theirs.record(a_decision(request))
    again = ledger.before_opening(request)
    assert again
    assert ledger.open(request, request.message) == again  # which is decided
