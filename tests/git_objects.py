"""The objects and refs of one repository: its files, and one git for what is not a file of its own.

`test_github_objects.py` holds what is read and written here against git itself.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SHA = re.compile("[0-9a-f]{40}")
NOTHING = "0" * 40
_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_FOLDER = "40000"


class Thing(NamedTuple):
    sha: str
    kind: str
    content: bytes


class Objects:
    """Loose objects are read and written as files. For the rest there is a `git cat-file --batch`,
    started by the first such question; it reads refs and packs anew."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self._path, self._env = path, env
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def find(self, name: str) -> Thing | None:
        """What a name or an expression names, which holds no newline; None where nothing is."""
        if SHA.fullmatch(name) and (found := self.loose(name)):
            return found
        with self._lock:
            process = self._process = self._process or self._started()
            assert process.stdin
            assert process.stdout
            process.stdin.write(name.encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline().decode().rstrip("\n")
            if not head:
                raise AssertionError(f"git cat-file ended at {name!r}")
            # The name comes back in front of these, blanks and all.
            if head.endswith((" missing", " ambiguous", " submodule")):
                return None
            sha, kind, size = head.split(" ")
            content = process.stdout.read(int(size))
            process.stdout.read(1)
            return Thing(sha, kind, content)

    def _file(self, sha: str) -> Path:
        return self._path / "objects" / sha[:2] / sha[2:]

    def loose(self, sha: str) -> Thing | None:
        """The object, if it has a file of its own."""
        try:
            stored = self._file(sha).read_bytes()
        except OSError:
            return None
        head, _, content = zlib.decompress(stored).partition(b"\0")
        return Thing(sha, head.decode().partition(" ")[0], content)

    def write(self, kind: str, content: bytes) -> str:
        whole = f"{kind} {len(content)}\0".encode() + content
        sha = hashlib.sha1(whole).hexdigest()  # noqa: S324 (git's own)
        file = self._file(sha)
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            fresh = file.parent / f"tmp_obj_{threading.get_ident()}"
            fresh.write_bytes(zlib.compress(whole, 1))
            fresh.chmod(0o444)
            fresh.rename(file)
        return sha

    def changed(self, tree: str | None, files: Mapping[str, bytes | None]) -> str | None:
        """The tree with these files, by path, put there or (None) taken away; None if none is left.

        Raises `LookupError` if a tree has no file of its own.
        """
        entries = self.entries(tree) if tree else {}
        below: dict[str, dict[str, bytes | None]] = {}
        for path, content in files.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = content
            elif content is None:
                entries.pop(name, None)
            else:
                entries[name] = ("100644", self.write("blob", content))
        for name, inner in below.items():
            mode, sha = entries.pop(name, ("", ""))
            if made := self.changed(sha if mode == _FOLDER else None, inner):
                entries[name] = (_FOLDER, made)
        # git sorts a folder as if its name ended in a slash
        order = sorted(entries, key=lambda name: _sorted(name, entries[name][0]))
        rows = (
            f"{entries[name][0]} {name}\0".encode() + bytes.fromhex(entries[name][1])
            for name in order
        )
        return self.write("tree", b"".join(rows)) if entries else None

    def entries(self, tree: str) -> dict[str, tuple[str, str]]:
        """Mode and id by name. Raises `LookupError` if the tree has no file of its own."""
        return entries(self.loose(tree))

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["git", "--git-dir", str(self._path), "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._env,
        )

    def close(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.communicate()


def entries(tree: Thing | None) -> dict[str, tuple[str, str]]:
    """Mode and id by name. Raises `LookupError` if this is no tree."""
    if tree is None or tree.kind != "tree":
        raise LookupError(tree)
    rows = _ENTRY.findall(tree.content)
    return {name.decode(): (mode.decode(), sha.hex()) for mode, name, sha in rows}


def _sorted(name: str, mode: str) -> bytes:
    return f"{name}/".encode() if mode == _FOLDER else name.encode()


#: As `git init --bare --template=` leaves it.
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


def make(repository: Path, config: str) -> None:
    """A new bare repository, with these settings beside those of every one."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (repository / folder).mkdir(parents=True)
    (repository / "HEAD").write_text("ref: refs/heads/main\n")
    (repository / "config").write_text(_CONFIG + config)


_PLAIN_REF = re.compile(r"refs(/[A-Za-z0-9_-]+)+")


class Move(NamedTuple):
    """A ref's way from `old` (None: wherever it is) to `new`; `NOTHING` is none."""

    ref: str
    new: str
    old: str | None = None


def moved(repository: Path, moves: Sequence[Move], first: Callable[[], object]) -> bool:
    """Move all of these refs, once `first` has been called with all of them locked. False, with
    nothing done, if it takes git: for an unusual name, for packed refs, if a ref is elsewhere, and
    if anything is in the way."""
    plain = all(_PLAIN_REF.fullmatch(each.ref) for each in moves)
    names = [f"{each.ref}/" for each in moves]
    apart = not any(one.startswith(other) for one, other in itertools.permutations(names, 2))
    if not plain or not apart or (repository / "packed-refs").exists():
        return False
    locks: list[Path] = []
    try:
        if not all(_is_locked(repository / each.ref, each, locks) for each in moves):
            return False
        first()
        for each in moves:
            path = repository / each.ref
            if each.new == NOTHING:
                path.unlink()
                locks.pop(0).unlink()
            else:
                locks.pop(0).rename(path)
    finally:
        for lock in locks:
            lock.unlink()
    return True


def _is_locked(path: Path, move: Move, locks: list[Path]) -> bool:
    """Lock this ref as git does, if it is where the move begins."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("x") as file:
            file.write(f"{move.new}\n")
    except OSError:  # somebody holds the lock, or there is a branch `a` where `a/b` is to be
        return False
    locks.append(lock)
    try:
        now = path.read_text().strip()
    except FileNotFoundError:
        now = NOTHING
    except OSError:  # a folder is there
        return False
    return now == move.old or (move.old is None and (now, move.new) != (NOTHING, NOTHING))


def refs(repository: Path, prefix: str) -> dict[str, str]:
    """The refs below a folder of refs, by name: packed ones, then each that has its own file."""
    found = dict(_packed(repository, prefix))
    for folder, _, names in os.walk(repository / prefix):
        for name in names:
            if name.endswith(".lock"):
                continue
            path = Path(folder, name)
            try:
                sha = path.read_text().strip()
            except FileNotFoundError:  # deleted meanwhile
                continue
            found[path.relative_to(repository).as_posix()] = sha
    return dict(sorted(found.items()))


def _packed(repository: Path, prefix: str) -> list[tuple[str, str]]:
    try:
        lines = (repository / "packed-refs").read_text().splitlines()
    except FileNotFoundError:
        return []
    rows = [line.partition(" ") for line in lines if line[:1] not in ("#", "^")]
    return [(name, sha) for sha, _, name in rows if name.startswith(prefix)]
