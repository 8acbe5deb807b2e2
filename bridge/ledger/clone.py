"""The bridge's own clone of a ledger: git plumbing, one holder at a time, never a lazy fetch.

The clone is a bare, shallow, treeless cache. It is never the user's checkout, has no index and no
work tree, and is thrown away when it looks unwell.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from bridge.core.entry import Tell
from bridge.core.errors import LedgerCorrupt, LedgerUnavailable
from bridge.ledger import full_clone, wire
from bridge.ledger.clone_health import is_whole
from bridge.ledger.clone_objects import CloneObjects
from bridge.ledger.full_clone import FullClone
from bridge.ledger.git import (
    MOST_BYTES,
    QUIET,
    GitFailed,
    Leaf,
    Thing,
    TooLarge,
    Tree,
    environment,
    make_bare,
    read_tree,
    run,
    write_object,
)
from bridge.ledger.remote import Remote

#: A fetch of commits and trees: from a server without filters, the tree of a whole ledger.
_MOST_OF_FETCH = 512 * 1024 * 1024
#: For each file that comes with others, beside what one file may have.
_MORE_FOR_EACH = 1024 * 1024

#: A depth that git takes for all of history.
ALL_HISTORY = 2_147_483_647

#: What git says if a server lacks an object, or serves only what its refs point at.
NO_SUCH_OBJECT = ("unadvertised object", "not our ref")

_ROOT = re.compile("tree ([0-9a-f]{40})\n")

T = TypeVar("T")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class GitClone:
    """Plumbing commands on the cache of one remote repository."""

    def __init__(self, remote: Remote, cache: Path) -> None:
        self.remote = remote
        url = remote.url.encode("utf-8", "surrogateescape")
        self._name = hashlib.sha256(url).hexdigest()[:16]
        self._alone = threading.RLock()
        self._held: int | None = None
        self._objects: CloneObjects | None = None
        self._tips: list[str] = []
        self._settle_in(cache)

    def _settle_in(self, cache: Path) -> None:
        self._home = cache / self._name
        self._dir = self._home / "clone.git"
        self._audits = self._home / "audits"

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
                with self.remote.connected(also_path=True):
                    self._held = lock
                    self._make_ready()
                    yield
            finally:
                self._held = None
                self._close_objects()
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
        for left in self._home.glob("new-*"):
            _remove(left)
        full_clone.sweep(self._audits)
        if not is_whole(self._dir):
            _remove(self._dir)
            make_bare(self._dir, {}, self._lock_fds)
        self._forget_edges()  # of a process that was killed

    def discard(self) -> None:
        """Begin again with a new clone."""
        with self.held():
            self._close_objects()
            _remove(self._dir)
            self._make_ready()

    @property
    def _lock_fds(self) -> tuple[int, ...]:
        return () if self._held is None else (self._held,)

    # -- the remote --------------------------------------------------------------------------

    def remote_refs(self, *patterns: str) -> dict[str, str]:
        """Branches of the remote by full name, one round trip, no clone needed.

        A pattern is a branch, or the start of some with a star at its end.
        """

        def asked(connection: wire.Wire | None) -> dict[str, str] | None:
            return connection.refs(patterns) if connection else None

        found = self._exchange(asked)
        return self._refs_by_git(patterns) if found is None else found

    def _refs_by_git(self, patterns: Sequence[str]) -> dict[str, str]:
        # --heads makes the server leave out refs/pull/*, of which there is one for every gate ever.
        args = ["ls-remote", "--quiet", "--heads", "--", self.remote.url, *patterns]
        lines = self._run(args, remote=True).splitlines()
        return {name: sha for sha, _, name in (line.partition("\t") for line in lines)}

    def _exchange(self, action: Callable[[wire.Wire | None], T]) -> T:
        with self._alone:
            if self._held is not None:
                self._open_objects().expect_packs()
            return self.remote.exchange(action)

    def bring(self, objects: Iterable[str], trees: int = 0) -> None:
        """Have just these here: a commit without its tree, a tree without what is beneath it. Of a
        commit that is fetched, so many levels of trees come with it."""
        missing = [each for each in dict.fromkeys(objects) if self._look(each) is None]
        if not missing:
            return
        self._ask(missing, f"tree:{trees}", _MOST_OF_FETCH)

    def bring_along(self, objects: Iterable[str], but: str, most: int) -> None:
        """Have these here with what is beneath, in one exchange in place of several, but for
        what git's filter leaves out: `tree:2` leaves the root of a commit and what is in it, and of
        a tree two levels beneath it.

        Beyond `most` bytes nothing comes of it, and each level is to be brought by itself.
        """
        if self.remote.takes_filters:
            self.bring_within(objects, but, most)

    def bring_within(self, objects: Iterable[str], but: str, most: int) -> None:
        """The same of what anybody may have pushed, however much it is: look what came."""
        missing = [each for each in dict.fromkeys(objects) if self._look(each) is None]
        if missing:
            with suppress(LedgerCorrupt):
                self._ask(missing, but, most)

    def _ask(self, objects: Sequence[str], but: str, most: int) -> None:
        try:
            self._fetch(objects, 1, but, most=most)
        except GitFailed as error:
            if not any(sign in error.said for sign in NO_SUCH_OBJECT):
                raise
            self._fetch(self._tips, 1, None)

    def bring_files(self, objects: Iterable[str]) -> None:
        """The same of files that are going to be read, which costs no more than records can.

        If they are too large together, nothing comes of it: each is brought alone as it is read,
        so that one of them hides no other. Alone, it raises `LedgerCorrupt`.
        """
        missing = [each for each in dict.fromkeys(objects) if self._look(each) is None]
        if not missing:
            return
        try:
            self._ask(missing, "tree:0", MOST_BYTES + len(missing) * _MORE_FOR_EACH)
        except LedgerCorrupt:
            if len(missing) == 1:
                raise

    def bring_tips(self, commits: Sequence[str]) -> None:
        """Like `bring`, of commits that branches point at: any server gives those."""
        self._tips = list(commits)
        self.bring(commits)

    def bring_roots(self, commits: Sequence[str]) -> None:
        """The same, with the tree at the root of each: in one exchange, also if some are here."""
        self._tips = list(commits)
        self.bring([*commits, *(self.root(each) for each in commits if self.has(each))], trees=1)

    def deepen(self, commit: str, depth: int) -> None:
        """Have so many generations of commits from this one here, and no tree of them."""
        self._fetch([commit], depth, "tree:0")

    def _fetch(
        self, objects: Sequence[str], depth: int, but: str | None, *, most: int = _MOST_OF_FETCH
    ) -> None:
        """With all that is beneath them, if `but` leaves nothing out."""

        def taken(connection: wire.Wire | None) -> bool:
            if connection is None or not connection.takes_filters or but is None:
                return False
            self._take(connection, objects, depth, but, most)
            return True

        try:
            if not self._exchange(taken):
                self._fetch_by_git(objects, depth, but, most)
        except TooLarge:
            some = objects[0] if len(objects) == 1 else f"{len(objects)} objects"
            raise LedgerCorrupt(
                f"{some} of {self.remote.where} take more than {most:,} bytes, and no record does"
            ) from None

    def _take(
        self, connection: wire.Wire, objects: Sequence[str], depth: int, but: str, most: int
    ) -> None:
        with tempfile.TemporaryFile() as pack:
            connection.fetch(objects, depth=depth, but=but, into=pack, most=most)
            args = ["index-pack", "--stdin", "--threads=1"]
            self._run(args, stdin=pack)

    def _fetch_by_git(self, objects: Sequence[str], depth: int, but: str | None, most: int) -> None:
        how = "--no-filter" if but is None else f"--filter={but}"
        args = ["fetch", "--quiet", f"--depth={depth}", "--no-tags", "--no-write-fetch-head"]
        args += ["--recurse-submodules=no", how, "--stdin", "--", "origin"]
        stdin = "".join(f"{each}\n" for each in objects)
        try:
            self._run(args, stdin=stdin, remote=True, promised=True, most=most)
        finally:
            self._forget_edges()
            for left in (self._dir / "objects" / "pack").glob("tmp_*"):
                left.unlink(missing_ok=True)  # of a git that was ended

    def _forget_edges(self) -> None:
        """Not to say at each exchange where history ends here, one line for each commit ever seen.

        A fetch offers nothing that is here, and no ref is here whose history git could walk. With
        these lines, a push would look into the trees of every remote branch whose commit is here.
        """
        (self._dir / "shallow").unlink(missing_ok=True)

    def push(self, refs: Mapping[str, str], lease: Mapping[str, str]) -> None:
        """Push all or nothing: each of these refs gets its value ('' deletes it), if every ref of
        the lease still has that one ('' for none).

        The lease names each of these refs, and the branches that the new commits are made upon: git
        has no other history here to see what the remote lacks. A plus sign before a ref would let
        git overlook a lease that does not hold.
        """
        leases = [f"--force-with-lease={ref}:{sha}" for ref, sha in lease.items()]
        args = ["push", "--quiet", "--atomic", "--porcelain", "--no-verify", *leases]
        refspecs = [f"{refs.get(ref, sha)}:{ref}" for ref, sha in lease.items()]
        self._run([*args, "--", self.remote.url, *refspecs], remote=True)

    @contextmanager
    def whole(self, heads: Mapping[str, str], *, keep: bool, tell: Tell) -> Iterator[FullClone]:
        """All that these branches ever reached, each object checked against its id, for a while.

        `keep`: it stays in the cache, and the next one fetches only what is new.
        """
        with self.held():
            home = self._audits  # where this process may write
        with (
            full_clone.alone(home) as lock,
            tempfile.TemporaryDirectory(prefix="whole-", dir=home) as folder,
        ):
            path = home / "kept.git" if keep else Path(folder) / "whole.git"
            config = {**QUIET, **self.remote.secret}
            yield full_clone.fetched(path, self.remote.url, heads, config, (lock,), tell)

    # -- objects in the clone ----------------------------------------------------------------

    def _look(self, sha: str) -> Thing | None:
        """An object that is here; None if it is not."""
        return self._open_objects().look(sha)

    def _open_objects(self) -> CloneObjects:
        if self._objects is None:
            self._objects = CloneObjects(self._dir, self._lock_fds)
        return self._objects

    def _close_objects(self) -> None:
        if self._objects is not None:
            self._objects.close()
            self._objects = None

    def has(self, sha: str) -> bool:
        return self._look(sha) is not None

    def _content(self, sha: str, kind: str) -> bytes:
        self.bring_files([sha]) if kind == "blob" else self.bring([sha])
        found = self._look(sha)
        if found is None:
            raise GitFailed("fetch", f"the server did not send the object {sha}")
        if found.kind != kind:
            raise LedgerCorrupt(
                f"{sha} in {self.remote.where} is a {found.kind} where a {kind} belongs"
            )
        return found.content

    def commit(self, sha: str) -> str:
        """A commit as git stores it: header lines, an empty line, the message."""
        return self._content(sha, "commit").decode("utf-8", "replace")

    def passing(self, sha: str) -> str:
        """The same on a walk over many commits, which would fill the memory."""
        commit = self.commit(sha)
        self._open_objects().forget(sha)
        return commit

    def root(self, commit: str) -> str:
        """The tree of a commit."""
        found = _ROOT.match(self.commit(commit))
        if found is None:
            raise LedgerCorrupt(f"the commit {commit} names no tree")
        return found[1]

    def blob(self, sha: str) -> str:
        try:
            return self._content(sha, "blob").decode()
        except UnicodeDecodeError:
            raise LedgerCorrupt(f"the file {sha} in {self.remote.where} is not text") from None

    def tree(self, sha: str, most: int = MOST_BYTES) -> Tree:
        content = self._content(sha, "tree")
        if len(content) > most:
            raise LedgerCorrupt(
                f"the folder {sha} in {self.remote.where} has more files than a record"
            )
        return read_tree(content)

    def data(self, sha: str) -> bytes:
        return self._content(sha, "blob")

    def write_blob(self, content: str | bytes) -> Leaf:
        data = content.encode() if isinstance(content, str) else content
        return Leaf("100644", self._write("blob", data))

    def write_tree(self, entries: Tree) -> Leaf:
        # git sorts a folder as if its name ended in a slash
        order = sorted(entries, key=lambda name: name + "/" * (entries[name].mode == "40000"))
        rows = (
            f"{entries[name].mode} {name}\0".encode() + bytes.fromhex(entries[name].sha)
            for name in order
        )
        return Leaf("40000", self._write("tree", b"".join(rows)))

    def _write(self, kind: str, content: bytes) -> str:
        return write_object(self._dir, kind, content)

    def write_commit(self, content: str) -> str:
        return self._write("commit", content.encode("utf-8", "surrogateescape"))

    def write_signed_commit(
        self, tree: str, parents: Sequence[str], message: str, env: Mapping[str, str]
    ) -> str:
        ancestors = [part for each in parents for part in ("-p", each)]
        return self._run(["commit-tree", tree, "-S", *ancestors], stdin=message, env=env)

    # -- one git -----------------------------------------------------------------------------

    def _run(
        self,
        args: Sequence[str],
        *,
        stdin: str | IO[bytes] = "",
        env: Mapping[str, str] | None = None,
        remote: bool = False,
        promised: bool = False,
        most: int | None = None,
    ) -> str:
        config = dict(QUIET)
        if remote:
            config["remote.origin.url"] = self.remote.url
            config.update(self.remote.secret)
        if promised:
            # Only a fetch knows that the remote holds what is missing here. A plumbing command that
            # knew it would fetch a missing tree lazily, with every tree beneath it; a push would
            # give up over a tree that it wants for a smaller pack, and can do without.
            config["remote.origin.promisor"] = "true"
            config["remote.origin.partialCloneFilter"] = "tree:0"
        own = {**environment(self._dir, config), **(env or {})}
        return run(args, own, stdin=stdin, pass_fds=self._lock_fds, most=most)
