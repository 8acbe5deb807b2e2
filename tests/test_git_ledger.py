"""The ledger in git: what it promises on one machine, with real repositories."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.core import model
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, LedgerCorrupt, LedgerUnavailable, LostRequest, NoSuchGate
from bridge.core.evaluation import Actor, Decider, Outcome
from bridge.core.facts import started_by
from bridge.core.model import Gate, folder_of, on_github
from bridge.core.records import decision_out, request_out
from bridge.core.settings import from_environment
from bridge.gates.audit import audit
from bridge.ledger import names
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import (
    ANN,
    LEDGER,
    NOON,
    a_decision,
    a_rejection,
    a_request,
    decided,
    entries_of,
    git,
    key_of,
    ledger_of,
    opened,
    together,
)

KEY = "Flow/1/gate/3"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "a lédger" / "led ger.git"
    create(path)
    return path


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "ca che é")


def another(repository: Path, tmp_path: Path, name: str = "other") -> GitLedger:
    """The same ledger from another machine."""
    return GitLedger(str(repository), tmp_path / name)


def branches(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname)").split()


def put(
    repository: Path,
    ref: str,
    files: dict[str, str],
    message: str = "by hand",
    mode: str = "100644",
) -> str:
    """Somebody's own commit with these files, on top of what the branch has."""
    parents = git(repository, "for-each-ref", "--format=%(objectname)", ref).split()
    env = {"GIT_INDEX_FILE": str(repository / "hand-index")}
    for parent in parents:
        git(repository, "read-tree", parent, env=env)
    for path, content in files.items():
        sha = git(repository, "hash-object", "-w", "--stdin", stdin=content)
        git(repository, "update-index", "--add", "--cacheinfo", f"{mode},{sha},{path}", env=env)
    tree = git(repository, "write-tree", env=env)
    onto = [part for parent in parents for part in ("-p", parent)]
    commit = git(repository, "commit-tree", tree, *onto, "-m", message)
    git(repository, "update-ref", ref, commit)
    (repository / "hand-index").unlink()
    return commit


# -- what a gate's branch may bring ----------------------------------------------------------------


@pytest.mark.parametrize("renewed", [False, True])
def test_of_a_gates_branch_only_the_files_that_the_bridge_knows_are_recorded(
    ledger: GitLedger, repository: Path, renewed: bool
) -> None:
    request = opened(ledger)
    ref, folder = f"refs/heads/{request.gate.branch}", request.gate.folder
    names = ("run.sh", "deep/er/decision.yaml", "objections.yaml", "decision.yaml.sig", "figure-x")
    put(repository, ref, {f"{folder}/{name}": "x" for name in names}, mode="100755")
    put(repository, ref, {f"{folder}/request.md": "/etc/passwd"}, mode="120000")
    put(repository, ref, {f"{folder}/figure-1.png": "PNG"})
    if renewed:
        ledger.renew(request.gate.id)
    ledger.record(a_decision(request))
    listed = git(repository, "ls-tree", "-r", "--format=%(objectmode) %(path)", LEDGER, folder)
    assert sorted(listed.splitlines()) == [
        f"100644 {folder}/{name}" for name in ("decision.yaml", "request.md", "request.yaml")
    ]
    assert audit(ledger).faults == ()


# -- opening -------------------------------------------------------------------------------------


def test_opening_twice_finds_the_first(ledger: GitLedger) -> None:
    first = ledger.open(a_request(), "page")
    again = ledger.open(a_request(opened_at=NOON + timedelta(hours=1)), "page")
    assert again.commit == first.commit
    assert again.request.opened_at == NOON


def test_opening_with_other_artifacts_replaces_a_pending_request(ledger: GitLedger) -> None:
    first = ledger.open(a_request(), "page")
    second = ledger.open(a_request(artifacts=()), "page")
    assert second.commit != first.commit
    found = ledger.read(first.request.gate.id)
    assert found
    assert found.request.artifacts == ()


def test_a_vote_for_the_request_that_was_replaced_decides_nothing(ledger: GitLedger) -> None:
    first = opened(ledger)
    second = opened(ledger, artifacts=())
    with pytest.raises(LostRequest, match="asked again"):
        ledger.record(a_decision(first))
    found = ledger.read(second.gate.id)
    assert found
    assert found.decision is None


def test_opening_a_decided_gate_returns_what_was_decided(ledger: GitLedger) -> None:
    standing = decided(ledger)
    again = ledger.open(a_request(artifacts=()), "page")
    assert again.decision == standing.decision
    assert again.request.artifacts == a_request().artifacts


def test_two_gates_that_share_an_id_are_refused(
    ledger: GitLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "id", "0123456789abcdef")
    opened(ledger)
    with pytest.raises(LedgerCorrupt, match="belongs to Flow/1/gate/3 of here already"):
        opened(ledger, "Flow/2/gate/3")


# -- recording -----------------------------------------------------------------------------------


def test_an_approval_joins_the_gates_commit_to_the_record(
    ledger: GitLedger, repository: Path
) -> None:
    asked = ledger.open(a_request(), "page")
    before = ledger.head()
    standing = ledger.record(a_decision(asked.request))
    assert git(repository, "rev-parse", f"{standing.commit}^1") == before
    assert git(repository, "rev-parse", f"{standing.commit}^2") == asked.commit
    assert standing.decision
    assert standing.decision.previous == before
    assert branches(repository) == [LEDGER]


def test_a_rejection_is_one_commit_with_request_and_decision(
    ledger: GitLedger, repository: Path
) -> None:
    request = opened(ledger)
    standing = ledger.record(a_rejection(request))
    files = git(repository, "show", "--format=%P", "--name-only", standing.commit).split()
    folder = request.gate.folder
    assert files[1:] == [f"{folder}/{n}" for n in ("decision.yaml", "request.md", "request.yaml")]
    assert files[0] == git(repository, "rev-parse", f"{standing.commit}^")


def test_the_first_decision_wins(ledger: GitLedger, repository: Path, tmp_path: Path) -> None:
    request = opened(ledger)
    first = ledger.record(a_rejection(request))
    second = another(repository, tmp_path).record(a_decision(request))
    assert second.decision == first.decision


def test_a_decision_is_read_back_whole(ledger: GitLedger) -> None:
    standing = decided(ledger)
    found = ledger.read(standing.request.gate.id)
    assert found == standing


def test_a_gate_that_nobody_opened_cannot_be_decided(ledger: GitLedger) -> None:
    with pytest.raises(NoSuchGate, match="has no gate"):
        ledger.record(a_decision(a_request()))


def test_a_gate_whose_branch_was_deleted_by_hand_was_never_asked(
    ledger: GitLedger, repository: Path
) -> None:
    request = opened(ledger)
    git(repository, "update-ref", "-d", f"refs/heads/{request.gate.branch}")
    assert ledger.read(request.gate.id) is None
    with pytest.raises(NoSuchGate):
        ledger.record(a_decision(request))
    opened(ledger)
    assert ledger.record(a_decision(request)).decision


def test_a_request_merged_by_hand_is_pending_and_can_be_asked_again(
    ledger: GitLedger, repository: Path
) -> None:
    asked = ledger.open(a_request(), "page")
    assert asked.head
    git(repository, "update-ref", LEDGER, asked.head)
    git(repository, "update-ref", "-d", f"refs/heads/{asked.request.gate.branch}")
    merged = ledger.read(asked.request.gate.id)
    assert merged
    assert (merged.decision, merged.head) == (None, None)
    with pytest.raises(LostRequest, match="is gone, though it was never decided"):
        ledger.record(a_decision(asked.request))
    again = ledger.open(a_request(), "page")
    assert again.head not in (None, asked.head)
    assert ledger.record(a_decision(asked.request)).decision


def test_a_branch_that_somebody_keeps_pushing_to_keeps_no_other_from_being_deleted(
    ledger: GitLedger, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.ledger.exchanges.time.sleep", lambda _: None)
    monkeypatch.setattr("bridge.ledger.exchanges._MOST_TRIES", 3)
    hostile, *others = [opened(ledger, f"F/{n}/a/1", venue=on_github("a/b")) for n in range(3)]
    waiting = opened(ledger, "F/9/a/1", venue=on_github("a/b"))
    for each in (hostile, *others):
        ledger.record(a_decision(each))
    push = ledger._clone.push

    def late(refs: dict[str, str], lease: dict[str, str]) -> None:
        ref = f"refs/heads/{hostile.gate.branch}"
        if ref in refs:
            tip, tree = git(repository, "rev-parse", ref, f"{ref}^{{tree}}").split()
            again = git(repository, "commit-tree", tree, "-p", tip, "-m", "again")
            git(repository, "update-ref", ref, again)
        push(refs, lease)

    monkeypatch.setattr(ledger._clone, "push", late)
    ids = [each.gate.id for each in (*others, waiting, hostile)]
    with pytest.raises(LedgerUnavailable):
        ledger.settle(*ids)
    left = {LEDGER, *(f"refs/heads/{each.gate.branch}" for each in (hostile, waiting))}
    assert set(branches(repository)) == left


def test_a_gate_of_a_forge_keeps_its_branch_until_it_is_settled(
    ledger: GitLedger, repository: Path
) -> None:
    request = opened(ledger, venue=on_github("a/b"))
    ledger.settle(request.gate.id)
    assert f"refs/heads/{request.gate.branch}" in branches(repository)  # it is not decided
    standing = ledger.record(a_decision(request))
    assert standing.head == git(repository, "rev-parse", request.gate.branch)
    ledger.settle(request.gate.id)
    ledger.settle(request.gate.id)
    assert branches(repository) == [LEDGER]
    found = ledger.read(request.gate.id)
    assert found
    assert found.decision == standing.decision


def test_a_clock_set_back_beyond_what_git_can_write_still_records(ledger: GitLedger) -> None:
    long_ago = NOON.replace(year=1902)
    request = opened(ledger, opened_at=long_ago)
    standing = ledger.record(a_decision(request))
    assert standing.decision
    assert standing.decision.decided_at == long_ago + timedelta(minutes=1)


# -- many at once --------------------------------------------------------------------------------


def test_fifty_deciders_of_one_gate_make_one_decision(
    ledger: GitLedger, repository: Path, tmp_path: Path
) -> None:
    request = opened(ledger)

    def decide(number: int) -> None:
        actor = Actor(f"Person {number}", f"p{number}@example.org")
        offered = a_decision(request, actor) if number % 2 else a_rejection(request, actor)
        seen = GitLedger(str(repository), tmp_path / "one machine").record(offered).decision
        assert seen
        (tmp_path / f"seen {number}").write_text(seen.reason)

    assert together(50, decide) == [0] * 50
    assert len({each.read_text() for each in tmp_path.glob("seen *")}) == 1
    assert len(ledger.history(10)) == 1
    assert branches(repository) == [LEDGER]


def test_fifty_gates_decided_at_once_on_one_machine_are_each_recorded_once(
    tmp_path: Path,
) -> None:
    repository = ledger_of(tmp_path / "ledger.git", 0, waiting=50)

    def decide(number: int) -> None:
        machine = GitLedger(str(repository), tmp_path / "one machine")
        machine.record(a_decision(a_request(key_of(number))))

    assert together(50, decide) == [0] * 50
    ledger = another(repository, tmp_path)
    assert {each.key for each in ledger.history(99)} == {key_of(n) for n in range(50)}
    assert ledger.listing().gates == ()
    assert git(repository, "rev-list", "--count", "--first-parent", LEDGER) == "51"


def test_machines_apart_that_lose_a_race_read_again_until_each_is_recorded(
    tmp_path: Path,
) -> None:
    repository = ledger_of(tmp_path / "ledger.git", 0, waiting=8)

    def decide(number: int) -> None:
        machine = GitLedger(str(repository), tmp_path / f"machine {number}")
        machine.record(a_decision(a_request(key_of(number))))

    assert together(8, decide) == [0] * 8
    assert git(repository, "rev-list", "--count", "--first-parent", LEDGER) == "9"


def test_gates_that_were_asked_of_older_ledgers_are_all_decided(
    ledger: GitLedger, repository: Path, tmp_path: Path
) -> None:
    # Of the ledgers that they were asked of, this clone has commits whose folders it never had.
    # That git wants some of them for a push takes as many gates as begin to share folders.
    theirs = another(repository, tmp_path)
    waiting = []
    for number in range(22):
        waiting.append(opened(theirs, f"F/1/left/{number}"))
        ledger.record(a_decision(opened(theirs, f"F/1/main/{number}")))
    for request in sorted(waiting, key=lambda each: each.gate.id):
        assert ledger.record(a_decision(request, outcome=Outcome.EXPIRED)).decision


def test_opening_at_once_from_apart_makes_one_gate_and_one_ledger(
    repository: Path, tmp_path: Path
) -> None:
    def open_one(number: int) -> None:
        GitLedger(str(repository), tmp_path / f"machine {number}").open(a_request(), "page")

    assert together(6, open_one) == [0] * 6
    assert branches(repository) == [LEDGER, f"refs/heads/{a_request().gate.branch}"]
    assert git(repository, "rev-list", "--count", a_request().gate.branch) == "2"


def test_a_request_replaced_between_the_look_and_the_push_is_not_decided(
    ledger: GitLedger, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = opened(ledger)
    elsewhere = another(repository, tmp_path)
    push = ledger._clone.push

    def late(refs: dict[str, str], lease: dict[str, str]) -> None:
        opened(elsewhere, artifacts=())
        push(refs, lease)

    monkeypatch.setattr(ledger._clone, "push", late)
    with pytest.raises(LostRequest):
        ledger.record(a_decision(request))
    assert ledger.history(5) == ()


# -- names ---------------------------------------------------------------------------------------


def test_a_gate_is_found_by_id_prefix_or_key_open_or_decided(tmp_path: Path) -> None:
    ledger = another(ledger_of(tmp_path / "ledger.git", 1, waiting=1), tmp_path)
    for number in (0, 1):
        gate = a_request(key_of(number)).gate
        for name in (gate.id, gate.id[:11], gate.id[:5], gate.id[:4], gate.id[:3], gate.key):
            assert ledger.resolve(name) == gate.id
    other = a_request(key_of(1)).gate.id
    assert a_request(key_of(0)).gate.id[0] != other[0]
    assert ledger.resolve(other[0]) == other


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_the_start_of_several_gates_names_none_of_them(tmp_path: Path, length: int) -> None:
    repository = ledger_of(tmp_path / "ledger.git", 0)
    ledger = another(repository, tmp_path)
    common = "abcdef"[:length]
    for number in range(2):
        gate_id = (common + f"{number}" * 16)[:16]
        put(repository, LEDGER, {f"{folder_of(gate_id)}/x": "x"})
    with pytest.raises(NoSuchGate, match="means several gates"):
        ledger.resolve(common)
    assert ledger.resolve(common + "1" * (5 - length + 1)).startswith(common + "1")


def test_a_name_that_fits_an_open_and_a_decided_gate_is_ambiguous(ledger: GitLedger) -> None:
    ids: dict[str, str] = {}
    for number in range(100):  # two ids that begin alike, of which one is decided
        key = key_of(number)
        start = a_request(key).gate.id[0]
        if start in ids:
            decided(ledger, ids[start])
            opened(ledger, key)
            break
        ids[start] = key
    with pytest.raises(NoSuchGate, match="means several gates"):
        ledger.resolve(start)


def test_a_key_that_two_origins_use_is_ambiguous(ledger: GitLedger) -> None:
    for origin in ("one", "two"):
        request = a_request(gate=Gate(origin, KEY))
        ledger.open(request, "page")
        ledger.record(a_decision(request))
    with pytest.raises(NoSuchGate, match="means several gates"):
        ledger.resolve(KEY)


def test_a_gate_whose_id_begins_as_that_of_another_key_is_not_taken_for_it(
    ledger: GitLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (model, names):
        monkeypatch.setattr(module, "start_of_id", lambda _: "aaaaaaaa")
    one, other = decided(ledger), opened(ledger, "Flow/2/gate/3")
    assert ledger.resolve(one.request.gate.key) == one.request.gate.id
    assert ledger.resolve(other.gate.key) == other.gate.id
    with pytest.raises(NoSuchGate, match="see `hitl list`"):
        ledger.resolve("Flow/3/gate/3")


@pytest.mark.parametrize("decide", [False, True])
def test_branches_named_like_a_gate_do_not_hide_it_from_its_natural_key(
    ledger: GitLedger, repository: Path, decide: bool
) -> None:
    gate = decided(ledger).request.gate if decide else opened(ledger).gate
    for number in range(3):
        put(repository, f"refs/heads/gate/{gate.id[:8]}{number:08x}", {"x": "y"})
    assert ledger.resolve(gate.key) == gate.id


def test_a_gate_that_cannot_be_read_is_still_found_by_its_natural_key(
    ledger: GitLedger, repository: Path
) -> None:
    gate = a_request().gate
    put(repository, f"refs/heads/{gate.branch}", {"x": "y"})
    assert ledger.resolve(gate.key) == gate.id


def test_a_natural_key_of_more_gates_than_anybody_has_asks_for_the_id(
    ledger: GitLedger, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened(ledger).gate
    tip = put(repository, "refs/heads/gate/junk", {"x": "y"})
    lines = [f"create refs/heads/gate/{gate.id[:8]}{number:08x} {tip}" for number in range(40)]
    git(repository, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
    monkeypatch.setattr(ledger, "read_all", None)
    with pytest.raises(NoSuchGate, match="means several gates"):
        ledger.resolve(gate.key)
    assert ledger.resolve(gate.id) == gate.id


def test_a_decided_gate_is_found_by_its_natural_key_without_the_history(
    ledger: GitLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        decided(ledger, key_of(number))
    fresh = another(Path(ledger.where), Path(ledger.where).parent)
    monkeypatch.setattr(fresh._clone, "deepen", None)
    assert fresh.resolve(key_of(0)) == a_request(key_of(0)).gate.id
    assert not fresh._clone.has(git(Path(ledger.where), "rev-parse", "approvals~1"))


@pytest.mark.parametrize("name", ["Flow/9/gate/9", "9", "ffff", "", "gate/*", "-x", "a\nb"])
def test_a_name_that_nothing_has_is_told_in_one_sentence(ledger: GitLedger, name: str) -> None:
    decided(ledger)
    with pytest.raises(NoSuchGate, match="see `hitl list`"):
        ledger.resolve(name)


def test_a_full_id_that_nothing_has_reads_as_none(ledger: GitLedger) -> None:
    assert ledger.read(ledger.resolve("0" * 16)) is None


# -- lists ---------------------------------------------------------------------------------------


def test_an_empty_ledger_has_nothing_to_show(ledger: GitLedger) -> None:
    assert ledger.head() is None
    assert ledger.listing().gates == ()
    assert ledger.history(5) == ()
    assert entries_of(ledger) == []
    assert ledger.read(a_request().gate.id) is None


def test_open_gates_are_listed_oldest_first(ledger: GitLedger) -> None:
    opened(ledger, "second", opened_at=NOON + timedelta(hours=1), facts=started_by("bob"))
    opened(ledger, "first")
    first, second = ledger.listing().gates
    assert (first.key, second.key, second.initiator) == ("first", "second", "bob")
    assert first.headline == "Deploy first?"
    assert first.expires_at == NOON + timedelta(hours=1)


def test_a_branch_beside_the_gates_is_not_one(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    put(repository, "refs/heads/gate/notes", {"x": "y"})
    assert [each.id for each in ledger.listing().gates] == [request.gate.id]


def test_a_branch_that_only_looks_like_a_gate_hides_no_other(
    ledger: GitLedger, repository: Path
) -> None:
    request = opened(ledger)
    put(repository, "refs/heads/gate/1111111111111111", {"x": "y"})
    listing = ledger.listing()
    assert [each.id for each in listing.gates] == [request.gate.id]
    (unreadable,) = listing.unreadable
    assert unreadable.id == "1111111111111111"
    assert "is not one the bridge wrote" in unreadable.why
    assert ledger.resolve(request.gate.key) == request.gate.id
    assert ledger.resolve(request.gate.id[:4]) == request.gate.id


def test_history_is_newest_first_and_no_longer_than_asked(tmp_path: Path) -> None:
    ledger = another(ledger_of(tmp_path / "ledger.git", 150), tmp_path)
    three = ledger.history(3)
    assert [each.key for each in three] == [key_of(149), key_of(148), key_of(147)]
    assert (three[0].outcome, three[0].by) == (Outcome.APPROVED, Decider.PERSON)
    assert three[0].approvers == str(ANN)
    assert three[0].decided_at == NOON + timedelta(minutes=2 * 149 + 1)
    assert [each.key for each in ledger.history(999)] == [key_of(n) for n in range(149, -1, -1)]
    assert ledger.history(0) == ()


def test_what_was_decided_since_is_in_the_next_history(tmp_path: Path) -> None:
    repository = ledger_of(tmp_path / "ledger.git", 5, waiting=1)
    ledger = another(repository, tmp_path)
    assert len(ledger.history(10)) == 5
    another(repository, tmp_path, "third").record(a_decision(a_request(key_of(5))))
    assert [each.key for each in ledger.history(2)] == [key_of(5), key_of(4)]


def test_commits_that_decide_nothing_are_left_out_of_history(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger)
    put(repository, LEDGER, {"README.md": "mine"}, "Merge\n\nGate: 1\nOutcome: approved")
    assert len(ledger.history(5)) == 1


# -- what people are called ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", " ", "<>", "...", "A\nB <c@d>\n", "\x00", "\ud800", "x" * 5000, "é <a@b> 漢字", "'\"\\"],
)
def test_no_name_keeps_a_decision_from_being_recorded(ledger: GitLedger, name: str) -> None:
    request = opened(ledger, "A\n\nGate: 000000000000")
    actor = Actor(name, name)
    standing = ledger.record(a_decision(request, actor, reason=f"approved by {name}\n\nGate: x"))
    assert standing.decision
    (found,) = ledger.history(5)
    assert (found.id, found.key) == (request.gate.id, "A Gate: 000000000000")
    again = ledger.read(request.gate.id)
    assert again
    assert again.decision


# -- what was tampered with ----------------------------------------------------------------------


def in_folder(name: str, content: str) -> dict[str, str]:
    return {f"{a_request().gate.folder}/{name}": content}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            in_folder("request.yaml", request_out(a_request()).replace("0.93", "0.99")),
            "changed after it was written",
        ),
        (
            in_folder("request.yaml", request_out(a_request()).replace("12:00:00Z", "11:00:00Z")),
            "isn't as it was recorded",  # when it was opened is not what an approval is bound to
        ),
        (
            in_folder("request.yaml", request_out(a_request()).replace("Deploy", "Delete")),
            "changed after it was written",
        ),
        (in_folder("request.yaml", request_out(a_request("other"))), "request of gate"),
        (in_folder("decision.yaml", decision_out(a_decision(a_request("other")))), "another"),
        (
            in_folder("decision.yaml", decision_out(a_decision(a_request(artifacts=())))),
            "another request",
        ),
        (
            in_folder("decision.yaml", decision_out(a_decision(a_request(), gate_id="0" * 12))),
            "another request",
        ),
        (
            in_folder("decision.yaml", decision_out(a_decision(a_request())) + "x: 1\n"),
            "unknown key decision.x",
        ),
        (in_folder("decision.yaml", "\x00"), "cannot be read as YAML"),
        (in_folder("decision.yaml/x", "x"), "decision.yaml is not a file"),
    ],
)
def test_a_record_that_was_tampered_with_is_never_read_as_an_approval(
    ledger: GitLedger, repository: Path, files: dict[str, str], fault: str
) -> None:
    decided(ledger)
    for path in files:
        if path.endswith("decision.yaml/x"):
            tree = git(repository, "ls-tree", "-r", LEDGER)
            rows = [row for row in tree.splitlines() if not row.endswith("decision.yaml")]
            env = {"GIT_INDEX_FILE": str(repository / "i")}
            git(repository, "update-index", "--index-info", stdin="\n".join(rows) + "\n", env=env)
            git(repository, "update-ref", LEDGER, git(repository, "commit-tree", "-m", "x",
                git(repository, "write-tree", env=env)))  # fmt: skip
    put(repository, LEDGER, files)
    with pytest.raises(LedgerCorrupt, match=fault):
        ledger.read(a_request().gate.id)


def test_a_decision_without_its_request_is_corrupt(ledger: GitLedger, repository: Path) -> None:
    opened(ledger)
    put(repository, LEDGER, in_folder("decision.yaml", decision_out(a_decision(a_request()))))
    with pytest.raises(LedgerCorrupt, match="a decision and no request"):
        ledger.read(a_request().gate.id)


def test_a_decision_on_a_gates_own_branch_is_none(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    forged = decision_out(a_decision(request))
    put(repository, f"refs/heads/{request.gate.branch}", in_folder("decision.yaml", forged))
    with pytest.raises(LedgerCorrupt, match="which only the record may"):
        ledger.read(request.gate.id)
    with pytest.raises(LedgerCorrupt, match="which only the record may"):
        ledger.record(a_decision(request))


def test_bytes_that_are_no_text_are_corrupt(ledger: GitLedger, repository: Path) -> None:
    decided(ledger)
    (repository / "raw").write_bytes(b"\xff\xfe")
    sha = git(repository, "hash-object", "-w", str(repository / "raw"))
    env = {"GIT_INDEX_FILE": str(repository / "i")}
    git(repository, "read-tree", LEDGER, env=env)
    path = f"{a_request().gate.folder}/decision.yaml"
    git(repository, "update-index", "--cacheinfo", f"100644,{sha},{path}", env=env)
    tree = git(repository, "write-tree", env=env)
    git(repository, "update-ref", LEDGER, git(repository, "commit-tree", tree, "-m", "x"))
    with pytest.raises(LedgerCorrupt, match="is not text"):
        ledger.read(a_request().gate.id)


# -- signing -------------------------------------------------------------------------------------


def test_where_signing_is_asked_for_git_signs_what_is_written(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing_key(tmp_path, monkeypatch)
    ledger = GitLedger(str(repository), tmp_path / "cache", sign=True)
    standing = decided(ledger)
    assert "\ngpgsig -----BEGIN SSH SIGNATURE" in git(repository, "cat-file", "-p", standing.commit)
    allowed = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    git(repository, "verify-commit", standing.commit, env=allowed)
    assert [each.signature for each in entries_of(ledger, signatures=True)] == ["G", "G"]
    assert [each.signature for each in entries_of(ledger)] == [None, None]


@pytest.mark.parametrize(
    ("given", "meant"), [("", False), ("0", False), ("1", True), ("True", True)]
)
def test_signing_is_asked_for_by_one_variable(given: str, meant: bool) -> None:
    assert from_environment({"HITL_SIGN": given}).sign is meant


def test_a_switch_that_is_neither_on_nor_off_is_a_fault() -> None:
    with pytest.raises(Faults, match="HITL_SIGN is 'perhaps'; it is one of"):
        from_environment({"HITL_SIGN": "perhaps"})


def signing_key(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "key") -> None:
    """This user signs with a fresh SSH key, and trusts it."""
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / "allowed").write_text(
        f"approval-bridge@localhost {(folder / f'{name}.pub').read_text()}"
    )
    (folder / "gitconfig").write_text(
        f'[gpg]\n\tformat = ssh\n[gpg "ssh"]\n\tallowedSignersFile = {folder}/allowed\n'
        f"[user]\n\tsigningKey = {key}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))


def test_a_key_that_is_not_there_is_told_and_nothing_is_recorded(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = GitLedger(str(repository), tmp_path / "cache")
    request = opened(plain)
    signing_key(tmp_path, monkeypatch)
    os.remove(tmp_path / "key")
    os.remove(tmp_path / "key.pub")
    ledger = GitLedger(str(repository), tmp_path / "cache", sign=True)
    with pytest.raises(LedgerUnavailable, match="cannot sign with the configured key"):
        ledger.record(a_decision(request))
    assert plain.history(1) == ()


def test_the_log_alone_reads_as_an_audit_log(ledger: GitLedger, repository: Path) -> None:
    request = opened(ledger)
    ledger.record(replace(a_decision(request), reason="fine by me"))
    said = git(repository, "log", "-1", "--format=%an%n%s%n%b%n%(trailers:key=Outcome,valueonly)")
    assert said.splitlines() == [
        "Ann",
        "Approved: Deploy Flow/1/gate/3?",
        "    fine by me",
        "",
        f"Gate: {request.gate.id}",
        "Gate-Key: Flow/1/gate/3",
        "Outcome: approved",
        "Decided-By: person",
        "Decided-At: 2026-03-01T12:01:00Z",
        "Approvers: Ann <ann@example.org>",
        "Identity: unverified",
        f"Request-Digest: {digest_of(request)}",
        "",
        "approved",
    ]


def test_a_record_is_written_through_to_the_disk_though_the_clone_is_not(tmp_path: Path) -> None:
    path = ledger_of(tmp_path / "ledger.git", 0)
    (path / "hooks").mkdir(exist_ok=True)
    git(path, "config", "core.hooksPath", str(path / "hooks"))
    hook = path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\ngit config core.fsync > said || true\n")
    hook.chmod(0o755)
    opened(GitLedger(str(path), tmp_path / "cache"), "Flow/1/gate/1")
    assert (path / "said").read_text() == ""
