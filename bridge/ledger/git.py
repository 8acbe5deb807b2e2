"""Running git: one command at a time, in an environment that no other repository reaches into."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging import DEBUG
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from bridge.core import log
from bridge.core.errors import LedgerCorrupt, LedgerUnavailable
from bridge.core.remote_url import TRANSPORTS
from bridge.core.shards import FIRST

if TYPE_CHECKING:
    from git import Git

_log = log.logger("git")

#: Until a git command is ended. A push to a ledger of a million decisions takes about ten.
SECONDS = 300.0
#: The same for all of a ledger's history.
SECONDS_FOR_ALL = 3600.0

#: Of one object that is read into memory. A record has a quarter of it.
MOST_BYTES = 8 * 1024 * 1024

#: Objects that are asked for in one go: of some 100 bytes each; a pipe takes 65,536.
_AT_ONCE = 100

QUIET = {
    "core.hooksPath": "/dev/null",  # a global hook must not run on the bridge's commits
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.negotiationAlgorithm": "noop",
    "fetch.recurseSubmodules": "false",
    "fetch.prune": "false",
    "core.bigFileThreshold": "8m",  # what is larger is not unpacked in memory
    # The clone is a cache, and is made anew if a power cut spoils it. To wait for the disk would
    # take half of each small fetch. At the far end of a push, git forgets this setting.
    "core.fsync": "none",
    "fetch.fsckObjects": "false",
    "transfer.fsckObjects": "false",  # it asks for the trees that the clone leaves out on purpose
    # A server that drips is given up sooner than SECONDS; one that thinks says nothing for long.
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
    "push.recurseSubmodules": "no",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "color.ui": "false",
    "protocol.version": "2",
    "i18n.commitEncoding": "utf-8",
    "advice.detachedHead": "false",
}

#: What a person sets so that git finds its way and its key. Everything else beginning with GIT_
#: belongs to another repository: the bridge may itself be run by a hook of one.
_OF_THE_USER = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|EXEC_PATH|ALLOW_PROTOCOL|PROXY_SSL_\w+|SSL_\w+|HTTP_\w+"
    r"|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|PYTHON_\w+)"
)

#: What git says of a clone that a full disk or a power cut has spoilt.
_ROTTEN = re.compile(
    r"corrupt|bad object|bad pack|packfile .* (cannot|does not)|inflate|is too small"
    # A push walks the trees of every remote branch whose commit is here: that of a stranger's
    # branch, once looked at, lacks what is beneath.
    r"|could not fetch [0-9a-f]+ from promisor"
)


class GitFailed(Exception):
    """A git command said no. `said` is its standard error, with no credential in it."""

    def __init__(self, command: str, said: str) -> None:
        self.command = command
        self.said = said
        super().__init__(f"git {command}: {said}")

    @property
    def of_a_rotten_clone(self) -> bool:
        return bool(_ROTTEN.search(self.said))


class TooLarge(GitFailed):
    """A git command would have written a larger file than it may."""


#: What git says of its process that SIGXFSZ ended. A full disk has other words.
_HIT_LIMIT = "died of signal 25"

_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)


#: A file, one that may be run, and a link: git keeps the bytes of each as a blob.
BLOBS: Final = frozenset(("100644", "100755", "120000"))
FOLDER: Final = "40000"


class Leaf(NamedTuple):
    """One entry of a tree, as git writes it: `mode` is 40000 for a folder."""

    mode: str
    sha: str


Tree = dict[str, Leaf]


class Thing(NamedTuple):
    """One git object: `kind` is blob, tree or commit."""

    sha: str
    kind: str
    content: bytes


class ObjectReader:
    """One `git cat-file --batch` that answers for as long as the clone is held."""

    def __init__(self, environment: Mapping[str, str], pass_fds: Sequence[int]) -> None:
        self._environment, self._pass_fds = environment, pass_fds
        self._start, self._read = time.monotonic(), 0
        self._open()

    def _open(self) -> None:
        self._process = started(["cat-file", "--batch"], self._environment, self._pass_fds)

    def read(self, name: str) -> Thing | None:
        """What git finds by this name, which holds no newline; None if it finds nothing.

        Raises `LedgerCorrupt` for an object that is too large to be one of the bridge's.
        """
        self._ask([name])
        return self._answer()

    def read_many(self, names: Sequence[str]) -> list[Thing | None]:
        """The same of each, asked in one go. What is too large comes without its content."""
        found: list[Thing | None] = []
        while len(found) < len(names):
            # No more than fit into the pipe: git reads no further while nobody reads its answers.
            some = names[len(found) : len(found) + _AT_ONCE]
            self._ask(some)
            for _ in some:
                try:
                    found.append(self._answer())
                except LedgerCorrupt:
                    found.append(Thing("", "blob", b""))
                    break  # git was started anew, and knows nothing of the others
        return found

    def _ask(self, names: Sequence[str]) -> None:
        try:
            self._process.stdin.write("".join(f"{name}\n" for name in names).encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _answer(self) -> Thing | None:
        head = self._process.stdout.readline().decode()
        if not head:
            raise self._gone()
        about = head.rstrip("\n")
        if about.endswith(" missing"):
            return None
        self._read += 1
        sha, kind, size = about.split(" ")
        if int(size) > MOST_BYTES:
            self._stop()  # git is about to write all of it
            self._open()
            raise LedgerCorrupt(
                f"the {kind} {sha} has {int(size):,} bytes; the most that is read is {MOST_BYTES:,}"
            )
        content: bytes = self._process.stdout.read(int(size))
        self._process.stdout.read(1)
        # git gives what is there: it looks at the name only as it packs.
        if hashlib.sha1(f"{kind} {size}\0".encode() + content).hexdigest() != sha:  # noqa: S324
            raise GitFailed("cat-file", f"corrupt object {sha}")
        return Thing(sha, kind, content)

    def _gone(self) -> GitFailed:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return GitFailed("cat-file", self._process.stderr.read().decode(errors="replace"))

    def _stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                stream.close()
        self._process.proc.wait()

    def close(self) -> None:
        self._stop()
        _log.debug("git cat-file --batch: %d objects, %s", self._read, log.since(self._start))


def started(
    args: Sequence[str],
    environment: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    *,
    stdin: Any = -1,  # subprocess.PIPE
    most: int | None = None,
) -> Any:
    """A git that is spoken to by pipes. Hold it by its name: GitPython ends the process of one that
    nobody holds any more."""
    process: Any = _git().execute(
        _command(args, environment, most),
        istream=stdin,
        as_process=True,
        env=environment,
        pass_fds=pass_fds,
    )
    return process


def read_tree(content: bytes) -> Tree:
    """Entries by name, of a tree as git stores it. Raises `LedgerCorrupt`.

    A server takes any bytes for a tree, unless `receive.fsckObjects` is set there.
    """
    entries = {}
    start = 0
    while start < len(content):
        found = _ENTRY.match(content, start)
        if found is None:
            raise LedgerCorrupt("a folder in git is not as git writes it")
        mode, name, sha = found.groups()
        entries[name.decode("utf-8", "surrogateescape")] = Leaf(mode.decode(), sha.hex())
        start = found.end()
    return entries


def write_object(git_dir: Path, kind: str, content: bytes) -> str:
    """Its name, of an object that is in this repository from now on."""
    from gitdb import IStream, LooseObjectDB  # type: ignore[import-untyped]

    made = LooseObjectDB(str(git_dir / "objects")).store(
        IStream(kind, len(content), io.BytesIO(content))
    )
    sha: str = made.hexsha.decode()
    return sha


#: As `git init --bare` leaves a repository with files for refs; what it tries out of a file system
#: besides is for work trees.
_BARE: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


def make_bare(path: Path, settings: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
    """A new bare repository, in one step: it is whole or it is not there. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / f"new-{os.urandom(4).hex()}"
    fresh.mkdir()  # not mkdtemp, which hides what it makes from everybody else
    try:
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (fresh / folder).mkdir(parents=True)
        (fresh / "HEAD").write_text(f"ref: refs/heads/{FIRST}\n", encoding="utf-8")
        parts = (key.partition(".")[::2] for key in settings)
        pairs = zip(parts, settings.values(), strict=True)
        # These are constants, which need no quoting: one process checks them, none writes each.
        config = "".join(f"[{section}]\n\t{name} = {value}\n" for (section, name), value in pairs)
        (fresh / "config").write_text(_BARE + config, encoding="utf-8")
        if settings:
            run(["config", "--local", "--list"], environment(fresh, QUIET), pass_fds=pass_fds)
        fresh.rename(path)
    except OSError:
        if not path.exists():  # else another process was first, and made the same
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def run(
    args: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: str | IO[bytes] = "",
    out: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    seconds: float | None = None,
    most: int | None = None,
) -> str:
    """One git command, ended after `seconds` (else `SECONDS`).

    Raises `GitFailed`, or `LedgerUnavailable` if there is no git. `most`: bytes of any file that it
    writes; beyond, `TooLarge`. A fetch writes one pack, and no filter leaves out what is asked for
    by its id: https://git-scm.com/docs/git-rev-list#Documentation/git-rev-list.txt---filterfilter-spec
    """
    start, bound = time.monotonic(), seconds or SECONDS
    with _fed(stdin) as feed:
        sent = feed.tell()
        feed.seek(0)
        git = started(args, environment, pass_fds, stdin=feed, most=most)
        process = git.proc
        with ended_after(bound, process) as too_long:
            if out:
                shutil.copyfileobj(process.stdout, out)
            said, err = process.communicate()
    if _log.isEnabledFor(DEBUG):
        shown, took = shlex.join(["git", *args]), log.since(start)
        got = out.tell() if out else len(said)
        status = process.returncode
        _log.debug("%s: exit %d, %s, %d bytes in, %d out", shown, status, took, sent, got)
    if too_long.is_set():
        raise GitFailed(args[0], f"fatal: gave up after {bound:g} seconds")
    text: str = said.decode("utf-8", "surrogateescape").removesuffix("\n")
    if process.returncode != 0:
        why = err.decode("utf-8", "surrogateescape").strip()
        kind = TooLarge if most and _HIT_LIMIT in why else GitFailed
        raise kind(args[0], f"{why}\n{text}".strip())
    return text


@contextmanager
def _fed(stdin: str | IO[bytes]) -> Iterator[IO[bytes]]:
    """A file to the end of which this is written."""
    if not isinstance(stdin, str):
        yield stdin
        return
    with tempfile.TemporaryFile() as feed:
        feed.write(stdin.encode("utf-8", "surrogateescape"))
        yield feed


@contextmanager
def ended_after(seconds: float, process: Any) -> Iterator[threading.Event]:
    """Within the block, a process that takes longer is killed; the event says whether it was."""
    too_long = threading.Event()

    def end() -> None:
        too_long.set()
        end_all(process)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield too_long
    finally:
        watch.cancel()


def end_all(process: Any) -> None:
    """Kill it with what it started: git's helpers do not end with it, and hold our pipes."""
    if process.poll() is not None:
        return
    for pid in [process.pid, *_descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """The processes that this one started, and theirs; on Linux alone, from /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The name of a process may hold anything, also blanks and brackets.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found[1:]


def _git() -> Git:
    try:
        from git import Git
    except ModuleNotFoundError as error:
        raise LedgerUnavailable(
            f"the Python package {error.name} is missing, with which the bridge runs git: install"
            " approval-bridge in this environment or image with all that it needs"
        ) from None
    except ImportError:  # GitPython looks for git as it is imported
        raise LedgerUnavailable(
            "git is not installed, or not on the PATH; the bridge keeps its ledger with it"
        ) from None
    return Git()


def _command(
    args: Sequence[str], environment: Mapping[str, str], most: int | None = None
) -> list[str]:
    # GitPython adds to the environment and cannot take away, and an empty GIT_OBJECT_DIRECTORY is
    # not the same to git as none: env(1) takes away what another repository has set.
    foreign = [
        key
        for key in os.environ
        if key.startswith("GIT_") and key not in environment and not _OF_THE_USER.fullmatch(key)
    ]
    without = [part for key in foreign for part in ("-u", key)]
    # The kernel's own limit, in blocks of 512 bytes: git has none for a fetch.
    bound = ["sh", "-c", 'ulimit -f "$0"; exec "$@"', str(-(-most // 512))] if most else []
    return [*(["env", *without] if without else []), *bound, "git", *args]


def fields(stream: IO[bytes]) -> Iterator[str]:
    left = b""
    while chunk := stream.read(1 << 20):
        *whole, left = (left + chunk).split(b"\0")
        yield from (field.decode("utf-8", "surrogateescape") for field in whole)
    if left.strip():
        yield left.decode("utf-8", "surrogateescape")


def environment(git_dir: Path, config: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "GIT_DIR": str(git_dir),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",  # from git 2.44; before that the missing address does it
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "LC_ALL": "C",
    }
    if "GIT_ALLOW_PROTOCOL" not in os.environ:
        ours["GIT_ALLOW_PROTOCOL"] = TRANSPORTS  # else an address may name any program: `ext::sh`
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # after what the user passes down this way
    for index, (key, value) in enumerate(config.items(), first):
        ours[f"GIT_CONFIG_KEY_{index}"] = key
        ours[f"GIT_CONFIG_VALUE_{index}"] = value
    return {**ours, "GIT_CONFIG_COUNT": str(first + len(config))}
