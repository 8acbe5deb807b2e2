"""A whole ledger is proved from its commits; whatever was done to it is found, with its place."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.core.errors import LedgerUnavailable
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import on_github
from bridge.core.records import decision_out, request_out
from bridge.gates.audit import audit
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import (
    LEDGER,
    NOON,
    a_decision,
    a_rejection,
    a_request,
    decided,
    first_waiting,
    git,
    ledger_of,
    opened,
)
from tests.test_git_ledger import put, signing_key

FOLDER = a_request().gate.folder
SHARDS = ("approvals", "approvals-2027")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def the_fault(ledger: GitLedger) -> str:
    (fault,) = audit(ledger).faults
    return fault


def test_an_empty_ledger_has_no_fault(ledger: GitLedger) -> None:
    assert audit(ledger).decisions == 0
    assert audit(ledger).faults == ()


def test_what_the_bridge_recorded_has_no_fault(ledger: GitLedger, repository: Path) -> None:
    decided(ledger, "approved")
    ledger.record(a_rejection(opened(ledger, "rejected")))
    opened(ledger, "still open")
    late = opened(ledger, "expired")
    assert late.expires_at
    ledger.record(
        a_decision(
            late,
            outcome=Outcome.EXPIRED,
            by=Decider.CLOCK,
            considered=(),
            reason="late",
            decided_at=late.expires_at,
        )
    )
    gone = opened(ledger, "withdrawn")
    ledger.record(
        a_decision(gone, outcome=Outcome.WITHDRAWN, by=Decider.RUN, considered=(), reason="gone")
    )
    put(repository, LEDGER, {"README.md": "our ledger", ".github/workflows/relay.yml": "on: x"})
    decided(ledger, "after that")
    found = audit(ledger)
    assert (found.decisions, found.faults) == (5, ())


def test_a_ledger_made_in_one_go_has_no_fault(tmp_path: Path) -> None:
    ledger = GitLedger(str(ledger_of(tmp_path / "l.git", 50, waiting=2)), tmp_path / "cache")
    found = audit(ledger)
    assert (found.decisions, found.faults) == (50, ())


def test_each_branch_is_fetched_by_itself_and_again_only_if_it_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = ledger_of(tmp_path / "l.git", 1, waiting=1, shards=SHARDS)
    git(repository, "branch", "approvals-of-cats", "approvals")  # none of a ledger
    ledger = GitLedger(str(repository), tmp_path / "cache")
    caplog.set_level(logging.DEBUG)

    def fetched() -> list[str]:
        found = re.findall(r"git fetch .* \+refs/heads/\S+:refs/heads/(\S+): exit 0", caplog.text)
        caplog.clear()
        return found

    first = audit(ledger, keep=True)
    assert (first.decisions, first.faults, fetched()) == (2, (), list(SHARDS))
    ledger.record(a_decision(first_waiting(1, SHARDS)))
    caplog.clear()
    then = audit(ledger, keep=True, earlier=[first.witness])
    assert (then.decisions, then.faults, fetched()) == (1, (), [SHARDS[-1]])


def test_a_request_merged_by_hand_and_asked_anew_is_no_fault(
    ledger: GitLedger, repository: Path
) -> None:
    asked = ledger.open(a_request(), "page")
    assert asked.head
    git(repository, "update-ref", LEDGER, asked.head)
    again = ledger.open(a_request(artifacts=()), "page")
    ledger.record(a_decision(again.request))
    assert audit(ledger).faults == ()


def test_no_person_withdraws_a_gate_on_github_without_a_vote(ledger: GitLedger) -> None:
    request = ledger.open(a_request(venue=on_github("o/r")), "page").request
    ledger.record(a_decision(request, outcome=Outcome.WITHDRAWN, by=Decider.PERSON, considered=()))
    (fault,) = audit(ledger).faults
    assert "it says withdrawn by the person, but what is recorded there does not carry it" in fault


Tamper = Callable[[GitLedger, Path], object]


def edit_a_request(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {f"{FOLDER}/request.yaml": request_out(a_request(message="other"))})


def edit_a_decision(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {f"{FOLDER}/decision.yaml": decision_out(a_rejection(a_request()))})


def edit_a_page(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {f"{FOLDER}/request.md": "nothing to see"})


def delete_a_gate(ledger: GitLedger, repository: Path) -> None:
    tree = git(repository, "rev-parse", f"{LEDGER}~1^{{tree}}")
    commit = git(repository, "commit-tree", tree, "-p", LEDGER, "-m", "tidy")
    git(repository, "update-ref", LEDGER, commit)


def add_elsewhere(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {"gates/notes.txt": "x"})


def add_a_script(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {f"{FOLDER}/run.sh": "x"})


def add_at_the_top(ledger: GitLedger, repository: Path) -> None:
    put(repository, LEDGER, {"decision.yaml": "x"})


def add_two_at_once(ledger: GitLedger, repository: Path) -> None:
    others = [a_request(key) for key in ("a", "b")]
    put(repository, LEDGER, {f"{o.gate.folder}/request.yaml": request_out(o) for o in others})


def decide_what_nobody_asked(ledger: GitLedger, repository: Path) -> None:
    forge_one(repository, request=None)


def swap_folders(ledger: GitLedger, repository: Path) -> None:
    other = a_request("another")
    forge_one(repository, request=request_out(other), decision=decision_out(a_decision(other)))


def edit_before_recording(ledger: GitLedger, repository: Path) -> None:
    forge_one(repository, request=request_out(a_request("new")).replace("sha256:1", "sha256:2"))


def approve_without_votes(ledger: GitLedger, repository: Path) -> None:
    head = git(repository, "rev-parse", LEDGER)
    forge_one(
        repository,
        decision=decision_out(a_decision(a_request("new"), considered=(), previous=head)),
    )


def approve_by_rejecting_vote(ledger: GitLedger, repository: Path) -> None:
    request, head = a_request("new"), git(repository, "rev-parse", LEDGER)
    considered = a_rejection(request).considered
    decision = a_decision(request, considered=considered, previous=head)
    forge_one(repository, decision=decision_out(decision))


def decide_before_asking(ledger: GitLedger, repository: Path) -> None:
    request, head = a_request("new"), git(repository, "rev-parse", LEDGER)
    early = a_decision(request, previous=head, decided_at=NOON.replace(year=2020))
    forge_one(repository, decision=decision_out(early))


def claim_another_place(ledger: GitLedger, repository: Path) -> None:
    forge_one(repository, decision=decision_out(a_decision(a_request("new"), previous="f" * 40)))


def name_another_gate(ledger: GitLedger, repository: Path) -> None:
    head = git(repository, "rev-parse", LEDGER)
    decision = a_decision(a_request("new"), previous=head, gate_id="0" * 12)
    forge_one(repository, decision=decision_out(decision))


def answer_another_request(ledger: GitLedger, repository: Path) -> None:
    head = git(repository, "rev-parse", LEDGER)
    decision = a_decision(a_request("new", artifacts=()), previous=head)
    forge_one(repository, decision=decision_out(decision))


def add_an_unknown_key(ledger: GitLedger, repository: Path) -> None:
    head = git(repository, "rev-parse", LEDGER)
    written = decision_out(a_decision(a_request("new"), previous=head))
    forge_one(repository, decision=written + "trust: me\n")


def approve_without_the_gates_commit(ledger: GitLedger, repository: Path) -> None:
    forge_one(repository)


def forge_one(
    repository: Path, request: str | None = "as it was", decision: str | None = None
) -> None:
    """A decision of the gate `new` as somebody writes one who can push to the ledger."""
    new = a_request("new")
    head = git(repository, "rev-parse", LEDGER)
    files = {
        f"{new.gate.folder}/decision.yaml": decision or decision_out(a_decision(new, previous=head))
    }
    if request is not None:
        asked = request_out(new) if request == "as it was" else request
        files[f"{new.gate.folder}/request.yaml"] = asked
    put(repository, LEDGER, files)


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (edit_a_request, "request.yaml was changed after it was recorded"),
        (edit_a_decision, "decision.yaml was changed after it was recorded"),
        (edit_a_page, "request.md was changed after it was recorded"),
        (delete_a_gate, "decision.yaml was deleted after it was recorded"),
        (add_elsewhere, "gates is no gate's folder"),
        (add_at_the_top, "the top is no gate's folder"),
        (add_a_script, "run.sh is not a file that the bridge records"),
        (add_two_at_once, "it touches more than one gate"),
        (decide_what_nobody_asked, "it was decided, and never asked"),
        (swap_folders, "request.yaml is that of gate"),
        (edit_before_recording, "changed after it was written"),
        (approve_without_votes, "does not carry it"),
        (approve_by_rejecting_vote, "does not carry it"),
        (decide_before_asking, "it was decided before it was asked"),
        (claim_another_place, "says that it was recorded upon ffff"),
        (name_another_gate, "decision.yaml is that of gate 000000000000"),
        (answer_another_request, "decision.yaml answers another request than the one beside it"),
        (add_an_unknown_key, "unknown key decision.trust"),
        (approve_without_the_gates_commit, "does not hold the same request"),
    ],
)
def test_whatever_was_done_to_a_ledger_is_found_with_its_commit_and_path(
    ledger: GitLedger, repository: Path, tamper: Tamper, told: str
) -> None:
    decided(ledger)
    tamper(ledger, repository)
    commit = git(repository, "rev-parse", LEDGER)
    faults = [fault for fault in audit(ledger).faults if told in fault]
    assert len(faults) == 1
    assert faults[0].startswith(f"commit {commit[:12]}: ")


def test_every_fault_is_listed_and_the_rest_still_counted(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger)
    edit_a_page(ledger, repository)
    claim_another_place(ledger, repository)
    decided(ledger, "and another")
    found = audit(ledger)
    assert found.decisions == 3
    assert len(found.faults) == 3  # the page, the place, and the missing commit of the gate


def test_a_rejection_that_joins_another_history_is_a_fault(
    ledger: GitLedger, repository: Path
) -> None:
    asked = ledger.open(a_request(), "page")
    standing = ledger.record(a_rejection(asked.request))
    tree = git(repository, "rev-parse", f"{standing.commit}^{{tree}}")
    parents = ["-p", f"{standing.commit}^", "-p", str(asked.commit)]
    git(repository, "update-ref", LEDGER, git(repository, "commit-tree", tree, *parents, "-m", "x"))
    assert "which only an approval does" in the_fault(ledger)


def test_a_path_that_would_mislead_git_is_only_a_fault(ledger: GitLedger, repository: Path) -> None:
    decided(ledger)
    blob = git(repository, "hash-object", "-w", "--stdin", stdin="x")
    for name in ("a\nb", "commit x", ":1 2 3 4 5"):
        tree = git(repository, "mktree", "-z", stdin=f"100644 blob {blob}\t{name}\0")
        rows = git(repository, "ls-tree", LEDGER) + f"\n040000 tree {tree}\todd"
        root = git(repository, "mktree", stdin=rows + "\n")
        commit = git(repository, "commit-tree", root, "-p", LEDGER, "-m", "x")
        assert commit
        git(repository, "update-ref", LEDGER, commit)
        assert "odd is no gate's folder" in audit(ledger).faults[-1]
        git(repository, "update-ref", LEDGER, f"{LEDGER}~1")


def test_a_ledger_that_cannot_be_read_is_not_proved(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        audit(GitLedger(str(tmp_path / "nothing"), tmp_path / "cache"))


def test_an_object_that_is_not_what_its_id_says_is_found(
    ledger: GitLedger, repository: Path
) -> None:
    import zlib

    standing = decided(ledger)
    blob = git(repository, "rev-parse", f"{standing.commit}:{FOLDER}/decision.yaml")
    file = repository / "objects" / blob[:2] / blob[2:]
    kept = zlib.decompress(file.read_bytes())
    file.chmod(0o644)
    file.write_bytes(zlib.compress(kept.replace(b"approved by Ann", b"approved by Eve")))
    with pytest.raises(LedgerUnavailable):
        audit(ledger)


# -- signatures ----------------------------------------------------------------------------------


def test_signed_decisions_are_proved_by_git_and_an_unsigned_one_after_them_is_a_fault(
    repository: Path, ledger: GitLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(ledger, "before signing began")
    signing_key(tmp_path, monkeypatch)
    signing = GitLedger(str(repository), tmp_path / "cache", sign=True)
    decided(signing, "signed")
    assert audit(signing, signed=True).faults == ()
    decided(ledger, "slipped in")
    (fault,) = audit(signing, signed=True).faults
    assert "it is not signed, though decisions before it are" in fault
    assert audit(signing).faults == ()


def test_a_signature_of_a_stranger_is_a_fault(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing_key(tmp_path, monkeypatch)
    signing = GitLedger(str(repository), tmp_path / "cache", sign=True)
    decided(signing)
    (tmp_path / "allowed").write_text("")
    assert "signed by nobody who is known" in the_signature_fault(signing)


def the_signature_fault(ledger: GitLedger) -> str:
    (fault,) = audit(ledger, signed=True).faults
    return fault


def test_where_no_signature_can_be_checked_the_audit_says_what_is_missing(
    ledger: GitLedger,
) -> None:
    decided(ledger)
    assert "is gpg.ssh.allowedSignersFile set" in the_signature_fault(ledger)
