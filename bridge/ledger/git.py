"""The bridge's own clone of a ledger: git plumbing, one holder at a time, never a lazy fetch.

The clone is a bare, shallow, treeless cache. It is never the user's checkout, has no index and no
work tree, and is thrown away when it looks unwell.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import shlex
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import DEBUG
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from bridge.core import log
from bridge.core.errors import LedgerCorrupt, LedgerUnavailable
from bridge.core.remote_url import names_path, part_secret

if TYPE_CHECKING:
    from git import Git

_log = log.logger("git")

#: Each exchange leaves a pack behind; past so many the cache costs more than it saves.
MOST_PACKS = 200

#: Where a person's `git log` in a new ledger begins.
FIRST_BRANCH = "approvals"

#: A depth that git takes for all of history.
ALL_HISTORY = 2_147_483_647

_QUIET = {
    "core.hooksPath": "/dev/null",  # a global hook must not run on the bridge's commits
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.negotiationAlgorithm": "noop",
    "fetch.recurseSubmodules": "false",
    "fetch.prune": "false",
    "fetch.fsckObjects": "false",
    "transfer.fsckObjects": "false",  # it asks for the trees that the clone leaves out on purpose
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

#: What git says where a server serves only what its refs point at.
_NO_ANY_OBJECT = ("unadvertised object", "not our ref")

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


class GitClone:
    """Plumbing commands on the cache of one remote repository."""

    def __init__(self, remote: str | Callable[[], str], cache: Path) -> None:
        self._remote = remote if callable(remote) else lambda: remote
        self.where, _ = part_secret(self._remote())
        self._url = os.path.abspath(self.where) if names_path(self.where) else self.where
        self._name = hashlib.sha256(self._url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._alone = threading.RLock()
        self._held: int | None = None
        self._reader: ObjectReader | None = None
        self._tips: list[str] = []
        self._settle_in(cache)

    def _settle_in(self, cache: Path) -> None:
        self._home = cache / self._name
        self._dir = self._home / "clone.git"

    @property
    def is_path(self) -> bool:
        return names_path(self.where)

    @property
    def _secret(self) -> dict[str, str]:
        # Asked for each time: an App's token ends after an hour, and people take longer.
        return part_secret(self._remote())[1]

    # -- the lock ----------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the clone alone on this machine, whole and ready to use.

        The lock is handed down to every git it starts: should this process be killed, the lock
        lasts until the last of them is gone, so the next holder meets no git still at work.
        """
        with self._alone:
            if self._held is not None:
                yield
                return
            lock = self._open_lock()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._held = lock
                self._make_ready()
                yield
            finally:
                self._close_reader()
                self._held = None
                os.close(lock)

    def _open_lock(self) -> int:
        try:
            return self._lock_file()
        except OSError as error:
            # A pod often has no home that it may write. What it keeps apart is only a cache.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise self._no_room(error) from None
        try:
            private = tempfile.mkdtemp(prefix="approval-bridge-")
            weakref.finalize(self, shutil.rmtree, private, ignore_errors=True)
            self._settle_in(Path(private))
            return self._lock_file()
        except OSError as error:
            raise self._no_room(error) from None

    def _lock_file(self) -> int:
        self._home.mkdir(parents=True, exist_ok=True)
        if not os.access(self._home, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def _no_room(self, error: OSError) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"the bridge cannot keep its clone in {self._home}: {error.strerror};"
            " free some space, or set HITL_CACHE to a folder that can be written"
        )

    def _make_ready(self) -> None:
        for left in (*self._home.glob("new-*"), *self._home.glob("whole-*")):
            shutil.rmtree(left)
        if self._dir.exists() and self._is_unwell():
            shutil.rmtree(self._dir)
        if not self._dir.exists():
            make_bare(self._dir, {}, self._lock_fds)

    def _is_unwell(self) -> bool:
        # Nobody else is at work here now, so whatever looks unfinished was left by a git that died.
        unfinished = ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/pack/*.lock")
        left = any(any(self._dir.glob(pattern)) for pattern in unfinished)
        packs = sum(1 for _ in self._dir.glob("objects/pack/*.pack"))
        return left or packs > MOST_PACKS or not (self._dir / "HEAD").exists()

    def discard(self) -> None:
        """Begin again with a new clone."""
        with self.held():
            self._close_reader()
            shutil.rmtree(self._dir)
            self._make_ready()

    @property
    def _lock_fds(self) -> tuple[int, ...]:
        return () if self._held is None else (self._held,)

    # -- the remote --------------------------------------------------------------------------

    def remote_refs(self, *patterns: str) -> dict[str, str]:
        """Branches of the remote by full name, one round trip, no clone needed."""
        # --heads makes the server leave out refs/pull/*, of which there is one for every gate ever.
        args = ["ls-remote", "--quiet", "--heads", self._url, *patterns]
        lines = self._run(args, remote=True).splitlines()
        return {name: sha for sha, _, name in (line.partition("\t") for line in lines)}

    def bring(self, objects: Iterable[str], depth: int = 1) -> None:
        """Have just these here: a commit without its tree, a tree without what is beneath it."""
        missing = [each for each in dict.fromkeys(objects) if self._look(each) is None]
        if not missing:
            return
        try:
            self._fetch(missing, depth, "--filter=tree:0")
        except GitFailed as error:
            if not any(sign in error.said for sign in _NO_ANY_OBJECT):
                raise
            self._fetch(self._tips, 1, "--no-filter")

    def bring_tips(self, commits: Sequence[str]) -> None:
        """Like `bring`, of commits that branches point at: any server gives those."""
        self._tips = list(commits)
        self.bring(commits)

    def deepen(self, commit: str, depth: int) -> None:
        """Have so many generations of commits from this one here, and no tree of them."""
        self._fetch([commit], depth, "--filter=tree:0")

    def _fetch(self, objects: Sequence[str], depth: int, *how: str) -> None:
        args = ["fetch", "--quiet", f"--depth={depth}", "--no-tags", "--no-write-fetch-head"]
        args += ["--recurse-submodules=no", *how, "--stdin", "origin"]
        stdin = "".join(f"{each}\n" for each in objects)
        self._run(args, stdin=stdin, remote=True, promised=True)

    def push(self, *refspecs: str, lease: Mapping[str, str] | None = None) -> None:
        """Push all or nothing. `lease` gives the value each ref must still have ('' for none)."""
        leases = [f"--force-with-lease={ref}:{sha}" for ref, sha in (lease or {}).items()]
        args = ["push", "--quiet", "--atomic", "--porcelain", "--no-verify", *leases]
        self._run([*args, self._url, *refspecs], remote=True)

    @contextmanager
    def whole(self, ref: str) -> Iterator[FullClone]:
        """All that this ref ever reached, each object checked against its id, for a while."""
        with self.held(), tempfile.TemporaryDirectory(prefix="whole-", dir=self._home) as folder:
            path = Path(folder) / "whole.git"
            make_bare(path, {}, self._lock_fds)
            config = {**_QUIET, **self._secret}
            run(
                ["fetch", "--quiet", "--no-tags", self._url, f"{ref}:{ref}"],
                _environment(path, config),
                pass_fds=self._lock_fds,
            )
            yield FullClone(path, ref)

    # -- objects in the clone ----------------------------------------------------------------

    def _look(self, sha: str) -> Thing | None:
        """An object that is here; None where it is not."""
        if self._reader is None:
            self._reader = ObjectReader(_environment(self._dir, _QUIET), self._lock_fds)
        return self._reader.look(sha)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def has(self, sha: str) -> bool:
        return self._look(sha) is not None

    def _content(self, sha: str, kind: str) -> bytes:
        self.bring([sha])
        found = self._look(sha)
        if found is None:
            raise GitFailed("fetch", f"the server did not send the object {sha}")
        if found.kind != kind:
            raise LedgerCorrupt(f"{sha} in {self.where} is a {found.kind} where a {kind} belongs")
        return found.content

    def commit(self, sha: str) -> str:
        """A commit as git stores it: header lines, an empty line, the message."""
        return self._content(sha, "commit").decode("utf-8", "replace")

    def blob(self, sha: str) -> str:
        try:
            return self._content(sha, "blob").decode()
        except UnicodeDecodeError:
            raise LedgerCorrupt(f"the file {sha} in {self.where} is not text") from None

    def tree(self, sha: str) -> Tree:
        return read_tree(self._content(sha, "tree"))

    def write_blob(self, content: str) -> Leaf:
        return Leaf("100644", self._write("blob", content.encode()))

    def write_tree(self, entries: Tree) -> Leaf:
        # git sorts a folder as if its name ended in a slash
        order = sorted(entries, key=lambda name: name + "/" * (entries[name].mode == "40000"))
        rows = (
            f"{entries[name].mode} {name}\0".encode() + bytes.fromhex(entries[name].sha)
            for name in order
        )
        return Leaf("40000", self._write("tree", b"".join(rows)))

    def _write(self, kind: str, content: bytes) -> str:
        from gitdb import IStream, LooseObjectDB  # type: ignore[import-untyped]

        made = LooseObjectDB(str(self._dir / "objects")).store(
            IStream(kind, len(content), io.BytesIO(content))
        )
        sha: str = made.hexsha.decode()
        return sha

    def write_commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        env: Mapping[str, str],
        *,
        sign: bool = False,
    ) -> str:
        args = ["commit-tree", tree, *(["-S"] if sign else [])]
        for parent in parents:
            args += ["-p", parent]
        return self._run(args, stdin=message, env=env)

    # -- one git -----------------------------------------------------------------------------

    def _run(
        self,
        args: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        remote: bool = False,
        promised: bool = False,
    ) -> str:
        config = dict(_QUIET)
        if remote:
            config["remote.origin.url"] = self._url
            config.update(self._secret)
        if promised:
            # Only a fetch knows that the remote holds what is missing here. A plumbing command that
            # knew it would fetch a missing tree lazily, with every tree beneath it; a push would
            # give up over a tree that it wants for a smaller pack, and can do without.
            config["remote.origin.promisor"] = "true"
            config["remote.origin.partialCloneFilter"] = "tree:0"
        environment = {**_environment(self._dir, config), **(env or {})}
        return run(args, environment, stdin=stdin, pass_fds=self._lock_fds)


class FullClone:
    """A whole branch with its history, to be read once."""

    def __init__(self, path: Path, ref: str) -> None:
        self._environment = _environment(path, {**_QUIET, "log.showSignature": "false"})
        self._ref = ref

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        reader = ObjectReader(self._environment, ())
        try:
            yield reader
        finally:
            reader.close()

    def log(self, wanted: str) -> Iterator[str]:
        """The fields of `git log --raw -z`, first parents only, oldest first."""
        args = ["log", "--first-parent", "-m", "--reverse", "--raw", "-z", "--root"]
        args += ["--no-abbrev", "--no-renames", f"--format={wanted}", self._ref]
        with tempfile.TemporaryFile() as out:
            run(args, self._environment, out=out)
            out.seek(0)
            yield from _fields(out)


class ObjectReader:
    """One `git cat-file --batch` that answers for as long as the clone is held."""

    def __init__(self, environment: Mapping[str, str], pass_fds: Sequence[int]) -> None:
        self._process: Any = _git().execute(
            _command(["cat-file", "--batch"], environment),
            istream=-1,  # subprocess.PIPE
            as_process=True,
            env=environment,
            pass_fds=pass_fds,
        )
        self._seen: dict[str, Thing] = {}
        self._start, self._read = time.monotonic(), 0

    def look(self, sha: str) -> Thing | None:
        """Like `read`, of an object that is going to be asked for again."""
        found = self._seen.get(sha) or self.read(sha)
        if found:
            self._seen[sha] = found
        return found

    def read(self, name: str) -> Thing | None:
        """What git finds by this name, which holds no newline; None where it finds nothing."""
        try:
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
            head = self._process.stdout.readline().decode()
        except BrokenPipeError:
            head = ""
        if not head:
            self._process.stdin.close()
            raise GitFailed("cat-file", self._process.stderr.read().decode(errors="replace"))
        about = head.rstrip("\n")
        if about.endswith(" missing"):
            return None
        self._read += 1
        sha, kind, size = about.split(" ")
        content: bytes = self._process.stdout.read(int(size))
        self._process.stdout.read(1)
        return Thing(sha, kind, content)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        self._process.proc.wait()
        _log.debug("git cat-file --batch: %d objects, %s", self._read, log.since(self._start))


def read_tree(content: bytes) -> Tree:
    """Entries by name, of a tree as git stores it."""
    entries = {}
    start = 0
    while start < len(content):
        end = content.index(b"\0", start)
        mode, _, name = content[start:end].partition(b" ")
        entries[name.decode("utf-8", "surrogateescape")] = Leaf(
            mode.decode(), content[end + 1 : end + 21].hex()
        )
        start = end + 21
    return entries


def make_bare(path: Path, settings: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
    """A new bare repository, in one step: it is whole or it is not there. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / f"new-{os.urandom(4).hex()}"
    fresh.mkdir()  # not mkdtemp, which hides what it makes from everybody else
    environment = _environment(fresh, _QUIET)
    try:
        init = ["init", "--bare", "--quiet", "--template=", f"--initial-branch={FIRST_BRANCH}"]
        run([*init, str(fresh)], environment, pass_fds=pass_fds)
        for key, value in settings.items():
            run(["config", key, value], environment, pass_fds=pass_fds)
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
    stdin: str = "",
    out: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> str:
    """One git command. Raises `GitFailed`, or `LedgerUnavailable` where there is no git."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as feed:
        sent = feed.write(stdin.encode("utf-8", "surrogateescape"))
        feed.seek(0)
        status, said, err = _git().execute(
            _command(args, environment),
            istream=feed,
            output_stream=out,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            env=environment,
            pass_fds=pass_fds,
        )
    text = said.decode("utf-8", "surrogateescape") if isinstance(said, bytes) else ""
    if _log.isEnabledFor(DEBUG):
        shown, took = shlex.join(["git", *args]), log.since(start)
        got = out.tell() if out else len(said)
        _log.debug("%s: exit %d, %s, %d bytes in, %d out", shown, status, took, sent, got)
    if status != 0:
        raise GitFailed(args[0], f"{err.strip()}\n{text}".strip())
    return text


def _git() -> Git:
    try:
        from git import Git
    except ImportError:  # GitPython looks for git as it is imported
        raise LedgerUnavailable(
            "git is not installed, or not on the PATH; the bridge keeps its ledger with it"
        ) from None
    return Git()


def _command(args: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    # GitPython adds to the environment and cannot take away, and an empty GIT_OBJECT_DIRECTORY is
    # not the same to git as none: env(1) takes away what another repository has set.
    foreign = [
        key
        for key in os.environ
        if key.startswith("GIT_") and key not in environment and not _OF_THE_USER.fullmatch(key)
    ]
    without = [part for key in foreign for part in ("-u", key)]
    return [*(["env", *without] if without else []), "git", *args]


def _fields(stream: IO[bytes]) -> Iterator[str]:
    left = b""
    while chunk := stream.read(1 << 20):
        *whole, left = (left + chunk).split(b"\0")
        yield from (field.decode("utf-8", "surrogateescape") for field in whole)
    if left.strip():
        yield left.decode("utf-8", "surrogateescape")


def _environment(git_dir: Path, config: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "GIT_DIR": str(git_dir),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",  # from git 2.44; before that the missing address does it
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "LC_ALL": "C",
    }
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # after what the user passes down this way
    for index, (key, value) in enumerate(config.items(), first):
        ours[f"GIT_CONFIG_KEY_{index}"] = key
        ours[f"GIT_CONFIG_VALUE_{index}"] = value
    return {**ours, "GIT_CONFIG_COUNT": str(first + len(config))}
