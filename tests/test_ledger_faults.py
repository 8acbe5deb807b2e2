"""Killed, full, read-only, or run from a strange place: one decision, nothing half done."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.core.errors import BridgeError, GateShut, LedgerUnavailable
from bridge.core.evaluation import Evidence, Outcome
from bridge.core.model import ApprovalRequest, Decision, Place, PlaceKind, on_github
from bridge.gates.audit import audit
from bridge.gates.decide import decide
from bridge.gates.open_gate import open_gate
from bridge.gates.recording import record_now
from bridge.gates.verify import verify
from bridge.ledger import full_clone
from bridge.ledger import git as git_layer
from bridge.ledger.clone_health import is_whole
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import (
    LEDGER,
    a_decision,
    a_rejection,
    a_request,
    a_vote,
    alone,
    decided,
    entries_of,
    git,
    in_child,
    opened,
)

REAL_GIT = shutil.which("git") or ""

#: A git that counts, and kills who called it once the n-th git is done; it may wait before a push.
#: Two may start at once: a folder is made by one of them alone.
SHIM = f"""#!/bin/sh
until mkdir "$SHIM/counting" 2>/dev/null; do :; done
n=$(( $(cat "$SHIM/count") + 1 )); echo $n > "$SHIM/count"
rmdir "$SHIM/counting"
if [ "$1" = push ] && [ -p "$SHIM/go" ]; then
    echo at the push > "$SHIM/here"; read x < "$SHIM/go"
fi
'{REAL_GIT}' "$@"; status=$?
[ $n = "$KILL_AFTER" ] && kill -9 $PPID
exit $status
"""


class Nobody:
    """Notices that reach no one."""

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None: ...


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def ask(ledger: GitLedger) -> None:
    open_gate(ledger, Nobody(), a_request())


def answer(ledger: GitLedger) -> None:
    standing = ledger.read(a_request().gate.id)
    assert standing
    vote = a_vote(standing.request)
    record_now(ledger, decide(ledger, Nobody(), standing, Evidence(vote.at, (vote,))))


def forget(ledger: GitLedger) -> None:
    ledger.settle(a_request().gate.id)


def shimmed(folder: Path, kill_after: int) -> None:
    """From here on this process calls the counting git."""
    shim = folder / "shim"
    shim.mkdir(exist_ok=True)
    (shim / "git").write_text(SHIM)
    (shim / "git").chmod(0o755)
    (shim / "count").write_text("0")
    os.environ["SHIM"] = str(shim)
    os.environ["KILL_AFTER"] = str(kill_after)
    os.environ["PATH"] = f"{shim}:{os.environ['PATH']}"


# -- killed --------------------------------------------------------------------------------------


def killed_after_each_git(
    prepared: Path, verb: Callable[[GitLedger], None], tmp_path: Path
) -> Iterator[Path]:
    """The repository after the verb was killed behind its first git, its second, and so on, each
    time from the same start; the last one is of a verb that came to its end."""
    for number in range(1, 60):
        place = tmp_path / f"kill {number}"
        shutil.copytree(prepared, place / "ledger.git")

        def run(place: Path = place, number: int = number) -> None:
            shimmed(place, number)
            verb(GitLedger(str(place / "ledger.git"), place / "cache"))

        code = alone(run)
        assert code in (0, -signal.SIGKILL)
        yield place
        if code == 0:
            return
    raise AssertionError("the verb never came to its end")


def whole(repository: Path) -> None:
    git(repository, "fsck", "--strict", "--no-dangling")
    assert audit(GitLedger(str(repository), repository.parent / "audit")).faults == ()


def test_an_opening_killed_anywhere_is_finished_by_the_next(
    repository: Path, tmp_path: Path
) -> None:
    boundaries = 0
    for place in killed_after_each_git(repository, ask, tmp_path):
        boundaries += 1
        ledger = GitLedger(str(place / "ledger.git"), place / "cache")
        ask(ledger)
        assert [each.id for each in ledger.listing().gates] == [a_request().gate.id]
        assert git(place / "ledger.git", "rev-list", "--count", "--all") == "2"
        whole(place / "ledger.git")
    assert boundaries > 4


def test_a_decision_killed_anywhere_is_finished_by_the_next(
    repository: Path, tmp_path: Path
) -> None:
    ask(GitLedger(str(repository), tmp_path / "before"))
    boundaries = 0
    for place in killed_after_each_git(repository, answer, tmp_path):
        boundaries += 1
        ledger = GitLedger(str(place / "ledger.git"), place / "cache")
        answer(ledger)
        assert verify(ledger, a_request().draft).outcome is Outcome.APPROVED
        assert len(ledger.history(9)) == 1
        assert git(place / "ledger.git", "for-each-ref", "--format=%(refname)") == LEDGER
        whole(place / "ledger.git")
    assert boundaries > 5


def answer_all(ledger: GitLedger) -> None:
    """An approval and a rejection of gates here, and an approval of one that a forge shows."""
    approved, rejected, shown = (each.gate.id for each in THREE)
    offered = [a_decision(THREE[0]), a_rejection(THREE[1]), a_decision(THREE[2])]
    done = ledger.record_all(offered)
    assert list(done) == [approved, rejected, shown]
    assert not [each for each in done.values() if isinstance(each, Exception)]


THREE = (
    a_request("F/1/approved/1"),
    a_request("F/1/rejected/1"),
    a_request("F/1/shown/1", venue=Place(PlaceKind.GITHUB, "github.com", "acme/x", 1)),
)


def test_a_push_of_many_killed_anywhere_records_all_or_none_and_the_next_finishes_it(
    repository: Path, tmp_path: Path
) -> None:
    before = GitLedger(str(repository), tmp_path / "before")
    for request in THREE:
        before.open(request, request.message)
    seen = set()
    for place in killed_after_each_git(repository, answer_all, tmp_path):
        there = GitLedger(str(place / "ledger.git"), place / "elsewhere")
        seen.add((len(there.history(9)), len(there.open_heads())))
        ledger = GitLedger(str(place / "ledger.git"), place / "cache")
        answer_all(ledger)
        assert len(ledger.history(9)) == 3
        assert list(ledger.open_heads()) == [THREE[2].gate.id]
        git(place / "ledger.git", "fsck", "--strict", "--no-dangling")
    assert seen == {(0, 3), (3, 1)}


DECEMBER, JANUARY = datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
OLD = a_request("F/1/old/1", opened_at=DECEMBER)


def ask_after_the_turn(ledger: GitLedger) -> None:
    """The first gate of a year: it begins the branch, and is asked there."""
    new = open_gate(ledger, Nobody(), a_request("F/1/new/1", opened_at=JANUARY)).request
    assert new.shard == "approvals-2027"


def test_the_turn_of_a_branch_killed_anywhere_leaves_nothing_half_done(
    repository: Path, tmp_path: Path
) -> None:
    open_gate(GitLedger(str(repository), tmp_path / "before"), Nobody(), OLD)
    seen = set()
    for place in killed_after_each_git(repository, ask_after_the_turn, tmp_path):
        there = place / "ledger.git"
        begun = git(there, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/approvals*")
        elsewhere = GitLedger(str(there), place / "elsewhere")
        assert elsewhere.read(OLD.gate.id), "a gate that is open over the turn stays"
        seen.add((begun, len(elsewhere.open_heads())))
        whole(there)
        ledger = GitLedger(str(there), place / "cache")
        ask_after_the_turn(ledger)
        for gate_id in ledger.open_heads():
            standing = ledger.read(gate_id)
            assert standing
            assert ledger.record(a_decision(standing.request)).decision
        assert git(there, "rev-list", "--count", "--max-parents=0", "--all") == "2"
        whole(there)
    one, two = "approvals", "approvals\napprovals-2027"
    assert seen == {(one, 1), (two, 1), (two, 2)}


def test_a_decision_over_the_turn_killed_anywhere_is_recorded_on_the_old_branch(
    repository: Path, tmp_path: Path
) -> None:
    before = GitLedger(str(repository), tmp_path / "before")
    open_gate(before, Nobody(), OLD)
    before.begin_branch(JANUARY)
    later = a_decision(OLD, decided_at=JANUARY)
    seen = set()

    def decide_old(ledger: GitLedger) -> None:
        assert ledger.record(later).decision

    for place in killed_after_each_git(repository, decide_old, tmp_path):
        there = place / "ledger.git"
        found = GitLedger(str(there), place / "elsewhere").read(OLD.gate.id)
        assert found
        seen.add(found.decision is not None)
        decide_old(GitLedger(str(there), place / "cache"))
        assert git(there, "ls-tree", "-r", "--name-only", "approvals", OLD.gate.folder)
        assert not git(there, "ls-tree", "-r", "--name-only", "approvals-2027", OLD.gate.folder)
    assert seen == {False, True}
    whole(there)


def test_a_lock_lasts_until_the_last_git_of_a_killed_bridge_is_gone(
    ledger: GitLedger, tmp_path: Path
) -> None:
    ask(ledger)
    (tmp_path / "shim").mkdir()
    os.mkfifo(tmp_path / "shim" / "go")
    os.mkfifo(tmp_path / "shim" / "here")
    pid = os.fork()
    if pid == 0:
        shimmed(tmp_path, 0)
        in_child(lambda: answer(ledger))
    assert (tmp_path / "shim" / "here").read_text() == "at the push\n"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (lock,) = (tmp_path / "cache").glob("*/lock")
    with lock.open() as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "shim" / "go").write_text("on\n")
        fcntl.flock(held, fcntl.LOCK_EX)
    assert len(ledger.history(9)) == 1  # the orphaned push came through, and is found
    answer(ledger)
    assert len(ledger.history(9)) == 1


@pytest.mark.parametrize(
    "left",
    [
        "shallow.lock",
        "packed-refs.lock",
        "refs/heads/x.lock",
        "config.lock",
        "objects/pack/tmp_pack_x",
    ],
)
def test_a_clone_that_a_killed_git_left_unfinished_is_thrown_away(
    ledger: GitLedger, tmp_path: Path, left: str
) -> None:
    ask(ledger)
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    (clone / left).parent.mkdir(exist_ok=True)
    (clone / left).write_text("")
    answer(ledger)
    assert not (clone / left).exists()
    assert verify(ledger, a_request().draft)


def test_what_a_killed_audit_left_behind_is_swept_up(ledger: GitLedger, tmp_path: Path) -> None:
    ask(ledger)
    (home,) = (tmp_path / "cache").iterdir()
    (home / "new-x").mkdir()
    with full_clone.alone(home / "audits"):
        (home / "audits" / "whole-x").mkdir()
        (home / "audits" / "new-x").mkdir()
        ledger.history(1)  # this one is still at work
        assert sorted(each.name for each in home.glob("audits/*-x")) == ["new-x", "whole-x"]
    ledger.history(1)
    assert sorted(each.name for each in home.iterdir()) == ["audits", "clone.git", "lock"]
    assert [each.name for each in (home / "audits").iterdir()] == ["lock"]


def test_a_rotten_clone_is_thrown_away_and_made_again(ledger: GitLedger, tmp_path: Path) -> None:
    ask(ledger)
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    for each in [*clone.glob("objects/??/*"), *clone.glob("objects/pack/*")]:
        each.chmod(0o600)
        each.write_bytes(b"rotten")
    answer(ledger)
    assert verify(ledger, a_request().draft)


ROT: dict[str, Callable[[Path], object]] = {
    "an empty HEAD": lambda clone: (clone / "HEAD").write_bytes(b""),
    "a HEAD that is a folder": lambda clone: replaced(clone / "HEAD"),
    "a HEAD that leads elsewhere": lambda clone: (clone / "HEAD").write_text("ref: ../x\n"),
    "a garbled index": lambda clone: (clone / "index").write_bytes(b"\x00"),
    "garbled packed-refs": lambda clone: (clone / "packed-refs").write_bytes(b"\x00x\n"),
    "packed-refs that are a folder": lambda clone: replaced(clone / "packed-refs"),
    "a garbled shallow": lambda clone: (clone / "shallow").write_bytes(b"xyz\n"),
    "an empty config": lambda clone: (clone / "config").write_bytes(b""),
    "a garbled config": lambda clone: (clone / "config").write_bytes(b"[[[\x00"),
    "a config that includes another": lambda clone: (clone / "config").write_text(
        f"{(clone / 'config').read_text()}[include]\n\tpath = /etc/gitconfig\n"
    ),
    "objects that are a file": lambda clone: replaced(clone / "objects", b"x"),
    "no packs": lambda clone: shutil.rmtree(clone / "objects" / "pack"),
    "another common folder": lambda clone: (clone / "commondir").write_text("/nonexistent\n"),
    "alternates": lambda clone: put_into(clone / "objects" / "info" / "alternates", b"/x\n"),
    "a ref": lambda clone: put_into(clone / "refs" / "heads" / "x", b"\x00"),
    "a flipped byte in each object": lambda clone: flipped(clone),
    "a file in its place": lambda clone: replaced(clone, b"x"),
}


def replaced(path: Path, content: bytes | None = None) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def put_into(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def flipped(clone: Path) -> None:
    for each in [*clone.glob("objects/??/*"), *clone.glob("objects/pack/*.pack")]:
        data = bytearray(each.read_bytes())
        data[len(data) // 2] ^= 0xFF
        each.chmod(0o600)
        each.write_bytes(data)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a decided gate, and a cache that has read it."""
    folder = tmp_path_factory.mktemp("warm")
    create(folder / "ledger.git")
    decided(GitLedger(str(folder / "ledger.git"), folder / "another machine's"))
    assert GitLedger(str(folder / "ledger.git"), folder / "cache").read(a_request().gate.id)
    return folder


@pytest.mark.parametrize("kind", ROT)
def test_a_decided_gate_is_read_whatever_has_become_of_the_cache(
    warm: Path, tmp_path: Path, kind: str
) -> None:
    shutil.copytree(warm / "cache", tmp_path / "cache")
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    assert is_whole(clone)
    ROT[kind](clone)
    found = GitLedger(str(warm / "ledger.git"), tmp_path / "cache").read(a_request().gate.id)
    assert found
    assert found.decision
    assert is_whole(clone)


def test_nothing_in_the_cache_makes_git_run_a_program(warm: Path, tmp_path: Path) -> None:
    shutil.copytree(warm / "cache", tmp_path / "cache")
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    program.chmod(0o755)
    keys = ("fsmonitor", "sshCommand", "pager", "gitProxy", "askPass", "hooksPath")
    core = "".join(f"\t{key} = {program}\n" for key in keys)
    with (clone / "config").open("a") as config:
        config.write(f'{core}[credential]\n\thelper = {program}\n[remote "origin"]\n')
        config.write(f"\tuploadpack = {program}\n\treceivepack = {program}\n")
        config.write(f"[gpg]\n\tprogram = {program}\n[uploadpack]\n\tpackObjectsHook = {program}\n")
    (clone / "hooks").mkdir()
    shutil.copy(program, clone / "hooks" / "reference-transaction")
    ledger = GitLedger(str(warm / "ledger.git"), tmp_path / "cache")
    opened(ledger, "Flow/another/gate/1")
    ledger.history(3)
    assert not (tmp_path / "ran").exists()


# -- unreachable ---------------------------------------------------------------------------------


def test_a_ledger_that_is_gone_opens_nothing_decides_nothing_and_keeps_the_gate_shut(
    ledger: GitLedger, repository: Path, tmp_path: Path
) -> None:
    ask(ledger)
    decided(ledger, "another gate")
    repository.rename(tmp_path / "away")
    for attempt in (
        lambda: ledger.open(a_request("new"), "page"),
        lambda: ledger.record(a_decision(a_request())),
        lambda: ledger.read(a_request().gate.id),
        lambda: ledger.settle(a_request().gate.id),
        lambda: ledger.resolve("Flow/1/gate/3"),
        lambda: ledger.history(3),
        lambda: entries_of(ledger),
        ledger.listing,
        ledger.head,
    ):
        with pytest.raises(LedgerUnavailable, match="no git repository at that place"):
            attempt()
    with pytest.raises(GateShut, match="no git repository at that place"):
        verify(ledger, a_request("another gate").draft)
    (tmp_path / "away").rename(repository)
    assert [each.key for each in ledger.history(9)] == ["another gate"]


def test_a_clock_set_back_decides_nothing_twice(ledger: GitLedger) -> None:
    standing = decided(ledger)
    again = ledger.record(a_decision(standing.request, decided_at=standing.request.opened_at))
    assert again.decision == standing.decision


# -- no room, no right ---------------------------------------------------------------------------


def full_disk(tmp_path: Path) -> None:
    """This process and its gits cannot write a file beyond 100 bytes, and are told, not killed."""
    (tmp_path / "git").write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec '{REAL_GIT}' \"$@\"\n")
    (tmp_path / "git").chmod(0o755)
    os.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def sentence(before: Callable[[], None], action: Callable[[], object]) -> str:
    """What a person is told by a process that meets this; empty where nothing was wrong."""

    read, write = os.pipe()

    def run() -> None:
        before()
        try:
            action()
        except BridgeError as error:
            os.write(write, str(error).encode())

    assert alone(run) == 0
    os.close(write)
    with os.fdopen(read, "rb") as told:
        return told.read().decode()


@pytest.mark.parametrize("warm", [True, False])
def test_on_a_full_disk_nothing_is_recorded_and_one_sentence_says_so(
    repository: Path, tmp_path: Path, warm: bool
) -> None:
    ask(GitLedger(str(repository), tmp_path / "cache"))
    ledger = GitLedger(str(repository), tmp_path / ("cache" if warm else "cold"))
    for verb in (ask, answer):
        told = sentence(lambda: full_disk(tmp_path), lambda verb=verb: verb(ledger))  # type: ignore[misc]
        if told:
            assert "the disk is full: free some space" in told
            assert "\n" not in told
    assert told
    assert ledger.history(9) == ()
    answer(ledger)
    assert verify(ledger, a_request().draft)
    whole(repository)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user reaches, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def unprivileged() -> None:
    """Root may write anywhere: become somebody who may not."""
    os.environ["HOME"] = "/nonexistent"
    os.umask(0o022)
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def test_a_cache_that_may_not_be_written_is_replaced_by_a_private_one(open_folder: Path) -> None:
    create(open_folder / "ledger.git")
    decided(GitLedger(str(open_folder / "ledger.git"), open_folder / "mine"))
    (open_folder / "read only").mkdir(mode=0o555)
    (open_folder / "tmp").mkdir()
    (open_folder / "tmp").chmod(0o777)

    def look() -> None:
        unprivileged()
        git_says_safe(open_folder / "ledger.git")
        tempfile.tempdir = str(open_folder / "tmp")
        ledger = GitLedger(str(open_folder / "ledger.git"), open_folder / "read only" / "cache")
        assert verify(ledger, a_request().draft)
        assert len(list((open_folder / "tmp").glob("approval-bridge-*"))) == 1
        del ledger

    assert alone(look) == 0
    assert list((open_folder / "tmp").iterdir()) == []


def git_says_safe(path: Path) -> None:
    config = path.parent / "gitconfig"  # nothing but a file counts at the far end of a path
    config.write_text(f"[safe]\n\tdirectory = {path}\n")
    os.environ["GIT_CONFIG_GLOBAL"] = str(config)


def test_a_ledger_that_another_user_owns_is_told(open_folder: Path) -> None:
    create(open_folder / "ledger.git")
    ledger = GitLedger(str(open_folder / "ledger.git"), open_folder / "theirs")
    if os.getuid() != 0:
        assert sentence(unprivileged, ledger.head) == ""  # only root can be somebody else
        return
    assert "put it into git's safe.directory" in sentence(unprivileged, ledger.head)


def test_a_ledger_that_may_not_be_written_is_told_and_can_be_read(open_folder: Path) -> None:
    path = open_folder / "ledger.git"
    create(path)
    decided(GitLedger(str(path), open_folder / "mine"))
    for each in [path, *path.rglob("*")]:
        each.chmod(each.stat().st_mode & ~0o222)

    def before() -> None:
        unprivileged()
        git_says_safe(path)

    ledger = GitLedger(str(path), open_folder / "theirs")
    read = sentence(before, lambda: verify(ledger, a_request().draft))
    told = sentence(before, lambda: opened(ledger, "another"))
    for each in [path, *path.rglob("*")]:
        each.chmod(each.stat().st_mode | 0o200)
    assert read == ""
    assert "this user may not write there" in told
    assert "\n" not in told


def test_where_no_ledger_can_be_made_one_sentence_says_so(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o555)
    told = sentence(unprivileged, lambda: create(open_folder / "closed" / "l.git"))
    assert "no ledger can be made at" in told
    assert "set HITL_LEDGER" in told
    (open_folder / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match="no ledger can be made"):
        create(open_folder / "file" / "ledger.git")


def test_a_cache_that_is_a_file_is_told(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match="set HITL_CACHE"):
        GitLedger(str(repository), tmp_path / "file").read("0" * 12)


def test_where_there_is_no_git_one_sentence_says_so(repository: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from bridge.ledger.git_ledger import GitLedger\n"
        "from bridge.core.errors import LedgerUnavailable\n"
        "try: GitLedger(sys.argv[1], Path(sys.argv[2])).head()\n"
        "except LedgerUnavailable as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(repository), str(tmp_path / "cache")],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("git is not installed, or not on the PATH")


def test_a_missing_package_is_not_taken_for_a_missing_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "git", None)
    with pytest.raises(LedgerUnavailable, match="the Python package git is missing"):
        git_layer._git()


# -- strange places ------------------------------------------------------------------------------

ODD = """
[user]
    useConfigOnly = true
[commit]
    gpgSign = true
[tag]
    gpgSign = true
[push]
    gpgSign = true
    default = nothing
    followTags = true
    recurseSubmodules = check
    autoSetupRemote = true
[fetch]
    prune = true
    pruneTags = true
    fsckObjects = true
    unpackLimit = 1
    negotiationAlgorithm = skipping
    recurseSubmodules = true
    writeCommitGraph = true
    showForcedUpdates = false
[transfer]
    fsckObjects = true
    unpackLimit = 1
    hideRefs = refs/hidden
[receive]
    fsckObjects = true
    denyDeletes = true
    denyNonFastForwards = true
    unpackLimit = 1
[protocol]
    version = 0
[core]
    autocrlf = true
    eol = crlf
    safecrlf = true
    hooksPath = {hooks}
    quotePath = true
    compression = 0
    logAllRefUpdates = always
    abbrev = 4
    commentChar = D
    fsmonitor = true
[safe]
    bareRepository = explicit
[init]
    templateDir = {template}
    defaultBranch = trunk
[color]
    ui = always
[log]
    showSignature = true
    decorate = full
    date = relative
[diff]
    renames = copies
    noprefix = true
    external = false
[i18n]
    commitEncoding = latin1
    logOutputEncoding = latin1
[submodule]
    recurse = true
[gc]
    auto = 1
[trailer]
    separators = "="
[advice]
    pushUpdateRejected = false
[format]
    pretty = "%H only"
[status]
    showUntrackedFiles = all
"""


def test_no_global_setting_and_no_hook_gets_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks, template = tmp_path / "hooks", tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    hooks.mkdir()
    names = "pre-receive update post-receive reference-transaction pre-push post-update pre-auto-gc"
    for folder in (hooks, template / "hooks"):
        for name in names.split():
            (folder / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/a hook ran'\nexit 1\n")
            (folder / name).chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(ODD.format(hooks=hooks, template=template))
    for name in [each for each in os.environ if each.startswith(("GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    create(tmp_path / "ledger.git")
    everything_works(GitLedger(str(tmp_path / "ledger.git"), tmp_path / "cache"))
    assert not (tmp_path / "a hook ran").exists()


def everything_works(ledger: GitLedger) -> None:
    ask(ledger)
    opened(ledger, artifacts=())  # replaced, so the branch moves by force
    opened(ledger, "a sécond gate", venue=on_github("a/b"))
    assert len(ledger.listing().gates) == 2
    answer(ledger)
    ledger.record(a_decision(a_request("a sécond gate", venue=on_github("a/b"))))
    forget(ledger)
    ledger.settle(a_request("a sécond gate").gate.id)
    assert ledger.listing().gates == ()
    assert verify(ledger, a_request(artifacts=()).draft)
    assert [each.headline for each in ledger.history(9)] == [
        "Deploy a sécond gate?",
        "Deploy Flow/1/gate/3?",
    ]
    assert ledger.resolve("a sécond gate") == a_request("a sécond gate").gate.id
    found = audit(ledger)
    assert found.decisions == 2
    assert all(
        "github:a/b, which has not vouched" in x or "does not carry" in x for x in found.faults
    )


def test_it_works_with_no_home_and_no_name(
    ledger: GitLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith(("GIT_", "XDG_", "EMAIL"))]:
        monkeypatch.delenv(name)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    everything_works(ledger)
    monkeypatch.delenv("HOME")
    assert verify(ledger, a_request(artifacts=()).draft)


def test_what_another_repository_has_set_is_not_ours(
    ledger: GitLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    other = tmp_path / "other"
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": tmp_path / "nothing",
        "GIT_COMMON_DIR": other / ".git",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_QUARANTINE_PATH": other,
        "GIT_PREFIX": "sub/",
        "GIT_SHALLOW_FILE": tmp_path / "nothing",
        "GIT_CEILING_DIRECTORIES": "/",
        "GIT_AUTHOR_NAME": "Somebody Else",
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_CONFIG_PARAMETERS": "'core.bare=false'",
        "GIT_REPLACE_REF_BASE": "refs/x",
        "GIT_GRAFT_FILE": tmp_path / "nothing",
        "GIT_TRACE": "1",
        "GIT_PROTOCOL": "version=0",
        "GIT_ICASE_PATHSPECS": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    everything_works(ledger)
    for name in [each for each in os.environ if each.startswith("GIT_")]:
        monkeypatch.delenv(name)
    assert git(other, "count-objects") == "0 objects, 0 kilobytes"


def test_it_works_when_a_git_hook_runs_it(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "project")
    project = tmp_path / "project"
    script = tmp_path / "verb.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from ledgers import *\n"
        f"decided(GitLedger({str(repository)!r}, Path({str(tmp_path / 'cache')!r})))\n"
    )
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    hook.write_text(f"#!/bin/sh\nPYTHONPATH='{paths}' exec '{sys.executable}' '{script}'\n")
    hook.chmod(0o755)
    (project / "file").write_text("x")
    git(project, "add", "file")
    git(project, "commit", "-q", "-m", "mine", "file")
    assert git(project, "log", "--all", "--format=%s") == "mine"
    assert git(repository, "log", "-1", "--format=%s") == "Approved: Deploy Flow/1/gate/3?"


def test_a_plain_checkout_can_hold_the_ledger_beside_its_own_branches(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "project")
    project = tmp_path / "project"
    git(project, "commit", "-q", "--allow-empty", "-m", "mine")
    everything_works(GitLedger(str(project), tmp_path / "cache"))
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "log", "--format=%s") == "mine"


def test_a_checkout_that_stands_on_the_ledger_branch_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "approvals", "project")
    git(tmp_path / "project", "commit", "-q", "--allow-empty", "-m", "mine")
    ledger = GitLedger(str(tmp_path / "project"), tmp_path / "cache")
    request = opened(ledger)
    with pytest.raises(LedgerUnavailable, match="switch that checkout to another branch"):
        ledger.record(a_decision(request))
    assert ledger.history(1) == ()


def test_a_branch_called_gate_is_told_and_not_tried_for_ever(
    ledger: GitLedger, repository: Path
) -> None:
    decided(ledger)
    git(repository, "branch", "gate", "approvals")
    with pytest.raises(LedgerUnavailable, match="exists"):
        opened(ledger, "another")


@pytest.mark.parametrize(("where", "hint"), [("acme/models", True), ("./acme/models", False)])
def test_who_leaves_out_the_word_for_github_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, hint: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerUnavailable) as told:
        GitLedger(where, tmp_path / "clone").head()
    assert str(told.value).endswith("write github:acme/models") is hint
