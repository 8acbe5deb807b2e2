"""An audit goes on from an earlier head, and finds what was done to the ledger since."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.cli.output import Progress
from bridge.core.decision_keys import DecisionKey
from bridge.core.errors import Faults, LedgerUnavailable
from bridge.core.evaluation import Objection
from bridge.core.model import ApprovalRequest
from bridge.core.records import decision_out, objections_out, request_out
from bridge.core.shards import FIRST
from bridge.core.witness import Head, Witness, witness_in, witness_out
from bridge.gates.audit import Audit, audit
from bridge.ledger.git_ledger import GitLedger, create
from bridge.local.witness_file import read_witness, write_witness
from tests.ledgers import LEDGER, a_decision, a_request, decided, git, opened
from tests.test_git_ledger import put
from tests.test_objections_in_ledger import an_objection, lifted
from tests.test_signed_decisions import BEFORE, KEY, Signed

FOLDER = a_request().gate.folder
LATER = f"{FIRST}-2027"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def proven(ledger: GitLedger) -> Witness:
    found = audit(ledger, keep=True)
    assert found.faults == ()
    return found.witness


def again(ledger: GitLedger, *earlier: Witness | str) -> Audit:
    return audit(ledger, earlier=earlier, keep=True)


def head_of(repository: Path, branch: str = FIRST) -> str:
    return git(repository, "rev-parse", f"refs/heads/{branch}")


# -- going on --------------------------------------------------------------------------------------


def test_only_what_is_new_is_read(ledger: GitLedger) -> None:
    decided(ledger, "first")
    before = proven(ledger)
    assert (again(ledger, before).decisions, again(ledger, before).faults) == (0, ())
    decided(ledger, "second")
    told: list[tuple[str, int, int]] = []
    found = audit(ledger, earlier=[before], keep=True, tell=lambda *each: told.append(each))
    assert (found.decisions, found.faults) == (1, ())
    assert told == [("fetching branches", 0, 1), ("reading commits", 0, 1)]
    assert found.witness.heads == (Head(FIRST, head_of(Path(ledger.where))),)


def test_what_a_gate_had_on_record_before_is_known(ledger: GitLedger, repository: Path) -> None:
    """Objected to, merged by hand, and decided only after the first audit."""
    asked = ledger.open(a_request(), "page")
    ledger.hold(asked.request.gate.id, (lifted(an_objection()),))
    by_hand = opened(ledger, "by hand")
    merged = git(repository, "rev-parse", f"refs/heads/{by_hand.gate.branch}")
    files = {f"{by_hand.gate.folder}/request.yaml": request_out(by_hand)}
    put(repository, LEDGER, files)
    before = proven(ledger)
    assert merged
    ledger.record(a_decision(asked.request, objections=(lifted(an_objection()),)))
    ledger.record(a_decision(by_hand))
    found = again(ledger, before)
    assert (found.decisions, found.faults) == (2, ())


def test_a_commit_that_somebody_noted_down_is_a_place_to_go_on(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger, "first")
    noted = head_of(repository)
    decided(ledger, "second")
    decided(ledger, "third")
    assert again(ledger, noted).decisions == 2


@pytest.mark.parametrize("name", ["HEAD", "packed-refs.lock", "objects/pack"])
def test_a_kept_clone_that_is_spoilt_is_made_anew(
    ledger: GitLedger, tmp_path: Path, name: str
) -> None:
    decided(ledger, "first")
    before = proven(ledger)
    (kept,) = tmp_path.glob("cache/*/audits/kept.git")
    if name == "objects/pack":
        for each in (kept / name).iterdir():
            each.unlink()
    else:
        (kept / name).write_text("")
    decided(ledger, "second")
    found = again(ledger, before)
    assert (found.decisions, found.faults) == (1, ())


def test_a_ledger_that_is_away_for_a_while_spoils_no_kept_clone(
    ledger: GitLedger, repository: Path, tmp_path: Path
) -> None:
    decided(ledger)
    proven(ledger)
    away = repository.rename(tmp_path / "away.git")
    with pytest.raises(LedgerUnavailable):
        proven(ledger)
    (kept,) = tmp_path.glob("cache/*/audits/kept.git")
    assert head_of(kept) == head_of(away)


# -- what was done since ---------------------------------------------------------------------------

Deed = Callable[[Path], object]


def cut(repository: Path) -> None:
    git(repository, "update-ref", LEDGER, f"{LEDGER}^")


def write_anew(repository: Path) -> None:
    tree = git(repository, "rev-parse", f"{LEDGER}^{{tree}}")
    parents = git(repository, "rev-parse", f"{LEDGER}^1", f"{LEDGER}^2").split()
    onto = [part for parent in parents for part in ("-p", parent)]
    git(repository, "update-ref", LEDGER, git(repository, "commit-tree", tree, *onto, "-m", "x"))


def put_aside(repository: Path) -> None:
    """A merge whose second parent is all that was on record: `git log` still shows it."""
    tree = git(repository, "rev-parse", f"{LEDGER}^{{tree}}")
    root = git(repository, "rev-list", "--first-parent", "--max-parents=0", LEDGER)
    onto = ["-p", root, "-p", head_of(repository)]
    git(repository, "update-ref", LEDGER, git(repository, "commit-tree", tree, *onto, "-m", "x"))


@pytest.mark.parametrize("deed", [cut, write_anew, put_aside])
def test_a_ledger_that_lacks_its_earlier_head_is_at_fault(
    ledger: GitLedger, repository: Path, deed: Deed
) -> None:
    decided(ledger)
    before = proven(ledger)
    head = head_of(repository)
    deed(repository)
    said = f"{FIRST} lacks commit {head}, which was its head: someone cut off the branch"
    assert any(fault.startswith(said) for fault in again(ledger, before).faults)
    said = f"no branch has commit {head}: someone cut off the branch"
    assert any(fault.startswith(said) for fault in again(ledger, head).faults)


def test_a_branch_that_is_gone_is_at_fault_also_if_it_was_the_newest(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger)
    first = f"x\n\nFollows: {FIRST} {head_of(repository)}\n"
    put(repository, f"refs/heads/{LATER}", {"README.md": "x"}, first)
    before = proven(ledger)
    git(repository, "update-ref", "-d", f"refs/heads/{LATER}")
    (fault,) = again(ledger, before).faults
    assert fault.startswith(f"the branch {LATER} is gone: its head was commit")
    git(repository, "update-ref", "-d", LEDGER)
    assert len(again(ledger, before).faults) == 2


def test_an_edit_of_what_was_proven_is_found(ledger: GitLedger, repository: Path) -> None:
    decided(ledger)
    before = proven(ledger)
    edited = put(repository, LEDGER, {f"{FOLDER}/decision.yaml": "outcome: rejected\n"})
    found = [each for each in again(ledger, before).faults if "was changed after" in each]
    assert found == [
        f"commit {edited[:12]}: {FOLDER}/decision.yaml was changed after it was recorded"
    ]


def test_an_objection_from_before_is_missed_if_the_decision_leaves_it_out(
    ledger: GitLedger, repository: Path
) -> None:
    asked = ledger.open(a_request(), "page").request
    objection: Objection = an_objection()
    ledger.hold(asked.gate.id, (objection,))
    before = proven(ledger)
    decision = a_decision(asked, previous=head_of(repository))
    files = {"request.yaml": request_out(asked), "decision.yaml": decision_out(decision)}
    put(repository, LEDGER, {f"{FOLDER}/{name}": text for name, text in files.items()})
    assert any("lacks what Cat" in fault for fault in again(ledger, before).faults)
    put(repository, LEDGER, {f"{FOLDER}/objections.yaml": objections_out(asked.gate.id, ())})
    assert any("objections.yaml lacks what Cat" in each for each in again(ledger, before).faults)


def test_a_gate_that_is_recorded_again_on_another_branch_is_found(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger)
    first = f"x\n\nFollows: {FIRST} {head_of(repository)}\n"
    put(repository, f"refs/heads/{LATER}", {"README.md": "x"}, first)
    before = proven(ledger)
    put(repository, f"refs/heads/{LATER}", {f"{FOLDER}/request.yaml": request_out(a_request())})
    (fault,) = again(ledger, before).faults
    assert f"{FOLDER} is on {FIRST} too, and a gate is recorded on one branch" in fault


@pytest.mark.parametrize("mode", ["120000", "100755"])
def test_a_record_that_is_no_plain_file_is_at_fault(
    ledger: GitLedger, repository: Path, mode: str
) -> None:
    asked: ApprovalRequest = decided(ledger).request
    path = f"{FOLDER}/request.yaml"
    put(repository, LEDGER, {path: request_out(asked)}, mode=mode)
    assert any(
        f"{path} is no plain file: its mode is {mode}" in each for each in audit(ledger).faults
    )


def test_a_submodule_is_at_fault(ledger: GitLedger, repository: Path) -> None:
    head = decided(ledger).commit
    rows = git(repository, "ls-tree", LEDGER) + f"\n160000 commit {head}\tREADME.md"
    rows = "\n".join(each for each in rows.splitlines() if "100644" not in each)
    tree = git(repository, "mktree", stdin=rows + "\n")
    git(
        repository,
        "update-ref",
        LEDGER,
        git(repository, "commit-tree", tree, "-p", LEDGER, "-m", "x"),
    )
    assert any("README.md is no plain file: its mode is 160000" in e for e in audit(ledger).faults)


def test_a_name_in_other_letters_is_no_gates_folder(ledger: GitLedger, repository: Path) -> None:
    decided(ledger)
    put(repository, LEDGER, {f"Gates{FOLDER.removeprefix('gates')}/request.yaml": "x"})
    (fault,) = audit(ledger).faults
    assert "is no gate's folder" in fault


# -- what a witness vouches for --------------------------------------------------------------------


def test_a_witness_that_was_made_without_keys_hides_no_unsigned_decision(tmp_path: Path) -> None:
    at = Signed(tmp_path)
    unsigned = at.open()
    GitLedger(str(at.path), tmp_path / "other").record(
        a_decision(unsigned, considered=(), reason="forged")
    )
    without = audit(at.reader()).witness
    keys = (DecisionKey(KEY.public),)
    found = audit(at.reader(), keys=keys, earlier=[without])
    assert any("signed" in fault for fault in found.faults)


def test_a_key_that_was_retired_before_the_witness_signs_nothing_after_it(tmp_path: Path) -> None:
    at = Signed(tmp_path)
    at.decide("first", BEFORE)
    retired = head_of(at.path)
    keys = (DecisionKey(BEFORE.public, until=(retired,)), DecisionKey(KEY.public))
    at.decide("second")
    first = audit(at.reader(), keys=keys)
    assert first.faults == ()
    at.decide("third")
    found = audit(at.reader(), keys=keys, earlier=[first.witness])
    assert (found.decisions, found.faults) == (1, ())
    at.decide("fourth", BEFORE)
    (fault,) = audit(at.reader(), keys=keys, earlier=[first.witness]).faults
    assert "retired" in fault or retired[:12] in fault


def test_a_witness_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    witness = Witness("/ledger", (Head(FIRST, "a" * 40), Head(LATER, "b" * 40)))
    path = tmp_path / "witness.yaml"
    for each in (witness, replace(witness, ledger="/moved")):
        write_witness(path, each)
        assert read_witness(path) == each
    assert [each.name for each in tmp_path.iterdir()] == ["witness.yaml"]


def test_a_witness_behind_a_link_is_written_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "witness.yaml")
    write_witness(tmp_path / "link", Witness("/ledger"))
    assert (tmp_path / "link").is_symlink()
    assert read_witness(tmp_path / "witness.yaml") == Witness("/ledger")


def test_a_witness_of_another_ledger_says_so(ledger: GitLedger, tmp_path: Path) -> None:
    decided(ledger)
    create(tmp_path / "other.git")
    other = GitLedger(str(tmp_path / "other.git"), tmp_path / "cache")
    decided(other, "another")
    (fault,) = again(ledger, proven(other)).faults
    assert fault.endswith(f"or rewrote it (the witness names the ledger {other.where})")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "x" * 2_000_000,
        witness_out(Witness("l", (Head(FIRST, "HEAD"),))),
        witness_out(Witness("l")).replace("format: 1", "format: 2"),
        witness_out(Witness("l")) + "trust: me\n",
    ],
)
def test_a_witness_that_cannot_be_read_vouches_for_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "w").write_text(text)
    with pytest.raises(Faults, match=r"remove the file|has more than"):
        read_witness(tmp_path / "w")


def test_a_witness_that_is_a_word_of_somebody_elses_is_no_text() -> None:
    with pytest.raises(Faults, match="remove the file"):
        witness_in("format: 1\nledger: l\nheads: 3\n", "w")


def test_no_other_command_waits_for_an_audit(ledger: GitLedger, tmp_path: Path) -> None:
    """It holds its own clone, and not the one that the others share."""
    decided(ledger)
    with ledger.whole(keep=True) as record:
        (lock,) = tmp_path.glob("cache/*/lock")
        with lock.open() as others:
            fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert list(record.heads) == [FIRST]


def test_what_a_git_that_was_ended_left_in_a_kept_clone_is_swept_up(
    ledger: GitLedger, tmp_path: Path
) -> None:
    decided(ledger, "first")
    before = proven(ledger)
    (packs,) = tmp_path.glob("cache/*/audits/kept.git/objects/pack")
    (packs / "tmp_pack_x").write_text("")
    decided(ledger, "second")
    assert again(ledger, before).decisions == 1
    assert not (packs / "tmp_pack_x").exists()


# -- the command -----------------------------------------------------------------------------------


def test_the_command_prints_the_heads_and_keeps_them_in_the_witness(
    ledger: GitLedger,
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HITL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HITL_LEDGER", str(repository))
    witness = tmp_path / "witness.yaml"
    decided(ledger)
    assert main(["ledger", "verify", "--witness", str(witness)]) == 0
    said, beside = capsys.readouterr()
    assert said.startswith(f"{repository}: 1 decision, no fault (signatures not checked")
    assert f"{head_of(repository)}  {FIRST}" in said
    assert f"{witness} is new. If you kept a witness before, it was not read" in beside
    assert main(["ledger", "verify", "--witness", str(witness)]) == 0
    assert "is new" not in capsys.readouterr().err
    kept = witness.read_text()
    assert main(["ledger", "verify", "--from", str(witness)]) == 0
    assert "0 new decisions, no fault" in capsys.readouterr().out
    cut(repository)
    assert main(["ledger", "verify", "--witness", str(witness)]) == 7
    assert "lacks commit" in capsys.readouterr().err
    assert witness.read_text() == kept
    assert main(["ledger", "verify", "--witness", str(tmp_path / "no" / "w")]) == 2
    said = capsys.readouterr()
    assert (said.out, "its folder doesn't exist" in said.err) == ("", True)
    assert main(["ledger", "verify", "--from", "yesterday"]) == 2
    assert "neither a file nor a commit in full" in capsys.readouterr().err


def test_an_audit_that_is_stopped_proves_nothing_and_keeps_what_it_fetched(
    ledger: GitLedger,
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HITL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HITL_LEDGER", str(repository))
    witness = tmp_path / "witness.yaml"
    decided(ledger)

    def stopped(*arguments: str) -> str:
        def control_c(_: Progress, part: str, _done: int, _all: int) -> None:
            if part == "reading commits":
                raise KeyboardInterrupt

        with monkeypatch.context() as at_the_keyboard:
            at_the_keyboard.setattr(Progress, "tell", control_c)
            assert main(["ledger", "verify", *arguments]) == 130
        said, beside = capsys.readouterr()
        assert not said
        assert not witness.exists()
        assert not [*tmp_path.glob("cache/*/audits/whole-*")]
        return beside

    assert "The next run begins anew" in stopped()
    assert not [*tmp_path.glob("cache/*/audits/kept.git")]
    assert "Give the same command again" in stopped("--witness", str(witness))
    (kept,) = tmp_path.glob("cache/*/audits/kept.git")
    assert git(kept, "rev-parse", LEDGER) == head_of(repository)
    assert main(["ledger", "verify", "--witness", str(witness)]) == 0
    assert read_witness(witness).heads == (Head(FIRST, head_of(repository)),)


def test_a_terminal_shows_how_far_a_long_command_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Callable[[], None]] = []

    class Timer:
        daemon = False

        def __init__(self, _after: float, action: Callable[[], None]) -> None:
            timers.append(action)

        def start(self) -> None: ...
        def cancel(self) -> None: ...
        def join(self) -> None: ...

    now = [0.0]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("bridge.cli.output.time.monotonic", lambda: now[0])
    monkeypatch.setattr("bridge.cli.output.threading.Timer", Timer)

    def said() -> str:
        return capsys.readouterr().err

    with Progress() as progress:
        progress.tell("fetching branches", 0, 20)
        assert said() == ""
        timers[0]()  # a second is over, and nothing more was told
        assert said() == "\rfetching branches: 0 of 20\x1b[K"
        now[0] = 10
        progress.tell("fetching branches", 2, 20)
        assert said() == "\rfetching branches: 2 of 20, 90 s left\x1b[K"
        now[0] = 11
        progress.tell("reading commits", 0, 1_000_020)
        assert said() == "\rreading commits: 0 of 1,000,020\x1b[K"
        now[0] = 111
        progress.tell("reading commits", 100_002, 1_000_020)
        assert said() == "\rreading commits: 100,002 of 1,000,020, 15 min left\x1b[K"
    assert said() == "\r\x1b[K"
    with Progress() as progress:
        progress.tell("fetching branches", 0, 20)
    assert said() == ""
