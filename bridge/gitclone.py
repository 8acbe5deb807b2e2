"""The bridge's own clone of a ledger: git plumbing, one process at a time, never a lazy fetch.

The clone is a bare, shallow, treeless cache. It is never the user's checkout, has no index and no
work tree, and is thrown away when it looks unwell.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from git import Git
from git.exc import GitCommandNotFound

from bridge.errors import LedgerUnavailable

#: Each exchange leaves a pack behind; past so many the cache costs more than it saves.
MOST_PACKS = 200

_QUIET = {
    "core.hooksPath": "/dev/null",  # a global hook must not run on the bridge's commits
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.negotiationAlgorithm": "noop",
    "fetch.recurseSubmodules": "false",
    "fetch.prune": "false",
    "push.recurseSubmodules": "no",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "color.ui": "false",
    "protocol.version": "2",
    "advice.detachedHead": "false",
}


class GitFailed(Exception):
    """A git command said no. `said` is its standard error, with no credential in it."""

    def __init__(self, command: str, said: str) -> None:
        self.command = command
        self.said = said
        super().__init__(f"git {command}: {said}")


class GitClone:
    """Plumbing commands on the cache of one remote repository."""

    def __init__(self, remote: str, cache: Path) -> None:
        self.where, self._secret = _part_secret(remote)
        self._url = os.path.abspath(self.where) if _is_path(self.where) else self.where
        self._home = cache / hashlib.sha256(self._url.encode()).hexdigest()[:16]
        self._dir = self._home / "clone.git"
        self._held: int | None = None

    @property
    def is_path(self) -> bool:
        return _is_path(self.where)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the clone alone on this machine, whole and ready to use.

        The lock is handed down to every git it starts: should this process be killed, the lock
        lasts until the last of them is gone, so the next holder meets no git still at work.
        """
        if self._held is not None:
            yield
            return
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LedgerUnavailable(
                f"the bridge cannot keep its clone in {self._home}: {error.strerror};"
                " free some space, or set HITL_CACHE to a folder that can be written"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._held = lock
            self._make_ready()
            yield
        finally:
            self._held = None
            os.close(lock)

    def _make_ready(self) -> None:
        if self._dir.exists() and (self._is_unwell() or not (self._dir / "HEAD").exists()):
            shutil.rmtree(self._dir)
        if self._dir.exists():
            return
        make_bare(self._dir, {})

    def _is_unwell(self) -> bool:
        stale = any(self._dir.glob("*.lock")) or any(self._dir.glob("refs/**/*.lock"))
        packs = sum(1 for _ in self._dir.glob("objects/pack/*.pack"))
        return stale or packs > MOST_PACKS

    # -- the remote --------------------------------------------------------------------------

    def remote_refs(self, *patterns: str) -> dict[str, str]:
        """Refs of the remote by name, one round trip, no clone needed."""
        out = self._run(["ls-remote", "--quiet", self._url, *patterns], remote=True)
        refs = {}
        for line in out.splitlines():
            sha, _, name = line.partition("\t")
            refs[name] = sha
        return refs

    def fetch(self, objects: Iterable[str]) -> None:
        """Bring just these objects: a commit without its tree, a tree without what is beneath."""
        wanted = list(dict.fromkeys(objects))
        here = self._have(wanted)
        missing = [each for each in wanted if each not in here]
        if not missing:
            return
        self._run(
            [
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-write-fetch-head",
                "--recurse-submodules=no",
                "--filter=tree:0",
                "--stdin",
                "origin",
            ],
            stdin="".join(f"{each}\n" for each in missing),
            remote=True,
        )

    def push(self, *refspecs: str, lease: Mapping[str, str] | None = None) -> None:
        """Push all or nothing. `lease` gives the value each ref must still have ('' for none)."""
        leases = [f"--force-with-lease={ref}:{sha}" for ref, sha in (lease or {}).items()]
        self._run(
            ["push", "-q", "--atomic", "--porcelain", "--no-verify", *leases, self._url, *refspecs],
            remote=True,
        )

    # -- objects in the clone ----------------------------------------------------------------

    def _have(self, objects: Iterable[str]) -> set[str]:
        out = self._run(
            ["cat-file", "--batch-check=%(objectname)"],
            stdin="".join(f"{each}\n" for each in objects),
        )
        return {line for line in out.splitlines() if not line.endswith(" missing")}

    def read(self, sha: str) -> str:
        self.fetch([sha])
        return self._run(["cat-file", "-p", sha], strip=False)

    def tree(self, sha: str) -> dict[str, tuple[str, str, str]]:
        """Entries of one tree: name to (mode, type, sha)."""
        self.fetch([sha])
        entries = {}
        for line in self._run(["ls-tree", "-z", sha]).split("\0"):
            if line:
                about, _, name = line.partition("\t")
                mode, kind, entry = about.split(" ")
                entries[name] = (mode, kind, entry)
        return entries

    def write_blob(self, content: str) -> str:
        return self._run(["hash-object", "-w", "--stdin"], stdin=content)

    def write_tree(self, entries: Mapping[str, tuple[str, str, str]]) -> str:
        rows = (f"{mode} {kind} {sha}\t{name}\0" for name, (mode, kind, sha) in entries.items())
        return self._run(["mktree", "--missing", "-z"], stdin="".join(rows))

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, env: Mapping[str, str]
    ) -> str:
        args = ["commit-tree", tree]
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
        strip: bool = True,
    ) -> str:
        config = dict(_QUIET)
        if remote:
            # Only an exchange knows that the remote holds what is missing here. A plumbing command
            # that knew it would fetch a missing tree lazily, with every tree beneath it.
            config["remote.origin.url"] = self._url
            config["remote.origin.promisor"] = "true"
            config["remote.origin.partialCloneFilter"] = "tree:0"
            config.update(self._secret)
        environment = _environment(self._dir, config, env or {})
        held = (self._held,) if self._held is not None else ()
        return run(args, environment, stdin=stdin, strip=strip, pass_fds=held)


def make_bare(path: Path, settings: Mapping[str, str]) -> None:
    """A new bare repository, in one step: it is whole or it is not there. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=path.parent))
    environment = _environment(fresh, _QUIET, {})
    try:
        run(["init", "--bare", "--quiet", "--template=", str(fresh)], environment)
        for key, value in settings.items():
            run(["config", key, value], environment)
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
    strip: bool = True,
    pass_fds: Sequence[int] = (),
) -> str:
    """One git command. Raises `GitFailed`, or `LedgerUnavailable` where there is no git."""
    with tempfile.TemporaryFile() as feed:
        feed.write(stdin.encode("utf-8", "surrogateescape"))
        feed.seek(0)
        try:
            status, out, err = Git().execute(
                ["git", *args],
                istream=feed,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=strip,
                env=environment,
                pass_fds=pass_fds,
            )
        except GitCommandNotFound:
            raise LedgerUnavailable(
                "git is not installed, or not on the PATH; the bridge keeps its ledger with it"
            ) from None
    if status != 0:
        raise GitFailed(args[0], f"{err.strip()}\n{out.decode(errors='replace')}".strip())
    return out.decode("utf-8", "surrogateescape")


def _environment(
    git_dir: Path, config: Mapping[str, str], extra: Mapping[str, str]
) -> dict[str, str]:
    # The bridge may itself be run by a git hook, whose GIT_DIR and GIT_INDEX_FILE are not ours.
    kept = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
    inherited = {k: "" for k in os.environ if k.startswith("GIT_") and k not in kept}
    ours = {
        "GIT_DIR": str(git_dir),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",  # from git 2.44; before that the missing address does it
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for index, (key, value) in enumerate(config.items()):
        ours[f"GIT_CONFIG_KEY_{index}"] = key
        ours[f"GIT_CONFIG_VALUE_{index}"] = value
    return {**inherited, **ours, **extra}


def _is_path(remote: str) -> bool:
    return "://" not in remote and ":" not in remote.split("/")[0]


def _part_secret(remote: str) -> tuple[str, dict[str, str]]:
    """A URL without its credential, and the credential as a header for git alone to see."""
    if "://" not in remote:
        return remote, {}
    parts = urlsplit(remote)
    if parts.password is None and not (parts.scheme.startswith("http") and parts.username):
        return remote, {}
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit(parts._replace(netloc=host))
    pair = f"{parts.username or ''}:{parts.password or ''}"
    basic = base64.b64encode(pair.encode()).decode()
    return shown, {f"http.{shown}.extraHeader": f"Authorization: Basic {basic}"}
