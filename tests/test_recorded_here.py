"""On this machine nothing is signed; there, what was committed by hand is no decision either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.errors import GateShut
from bridge.core.records import decision_in, decision_out, request_out
from bridge.gates.verify import verify
from bridge.ledger.commit_message import decision_message
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import LEDGER, a_decision, a_rejection, a_request, decided, git, opened
from tests.test_git_ledger import put

FOLDER = a_request().gate.folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def in_folder(name: str, text: str) -> dict[str, str]:
    return {f"{FOLDER}/{name}": text}


def edited(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    ledger.record(a_rejection(request))
    was = decision_in(git(repository, "cat-file", "blob", f"{LEDGER}:{FOLDER}/decision.yaml"))
    approved = replace(a_decision(request), previous=was.previous)
    put(repository, LEDGER, in_folder("decision.yaml", decision_out(approved)))


def edited_with_its_own_commit_as_the_one_before(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    ledger.record(a_rejection(request))
    approved = replace(a_decision(request), previous=git(repository, "rev-parse", LEDGER))
    message = decision_message(request, approved, request.message)
    put(repository, LEDGER, in_folder("decision.yaml", decision_out(approved)), message)


def pushed_for_an_open_gate(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    approved = replace(a_decision(request), previous=git(repository, "rev-parse", LEDGER))
    files = in_folder("decision.yaml", decision_out(approved))
    put(repository, LEDGER, files | in_folder("request.yaml", request_out(request)))


def put_back_after_it_was_deleted(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    ledger.record(a_rejection(request))
    git(repository, "update-ref", LEDGER, git(repository, "commit-tree", "-m", "clean up",
        "-p", LEDGER, f"{LEDGER}^^{{tree}}"))  # fmt: skip
    approved = replace(a_decision(request), previous=git(repository, "rev-parse", LEDGER))
    files = in_folder("decision.yaml", decision_out(approved))
    put(repository, LEDGER, files | in_folder("request.yaml", request_out(request)))


def amended(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    ledger.record(a_rejection(request))
    before, message = git(repository, "rev-parse", f"{LEDGER}^"), f"{LEDGER}^{{commit}}"
    said = git(repository, "log", "-1", "--format=%B", message)
    approved = replace(a_decision(request), previous=before)
    files = in_folder("decision.yaml", decision_out(approved))
    git(repository, "update-ref", LEDGER, before)
    put(repository, LEDGER, files | in_folder("request.yaml", request_out(request)), said)


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize(
    "tampered",
    [
        edited,
        edited_with_its_own_commit_as_the_one_before,
        pushed_for_an_open_gate,
        put_back_after_it_was_deleted,
        amended,
    ],
)
def test_a_decision_that_was_committed_by_hand_is_refused_on_this_machine(
    ledger: GitLedger,
    repository: Path,
    tmp_path: Path,
    tampered: Callable[[GitLedger, Path], None],
    scheme: str,
) -> None:
    tampered(ledger, repository)
    reader = GitLedger(f"{scheme}{repository}", tmp_path / "reader")
    with pytest.raises(GateShut, match=r"isn't as it was recorded: .*; look at `git -C .* show "):
        verify(reader, a_request().draft)


def test_a_decision_that_others_were_recorded_after_is_as_it_was(
    ledger: GitLedger, tmp_path: Path
) -> None:
    decided(ledger)
    decided(ledger, "another")
    ledger.record(a_rejection(opened(ledger, "one more")))
    assert verify(ledger, a_request().draft)
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", "--branch", "approvals", ledger.where, str(checkout))
    assert verify(GitLedger(str(checkout), tmp_path / "reader"), a_request().draft)
