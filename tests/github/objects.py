"""What git says of the objects of one repository, from one process for all that is asked."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple


class Thing(NamedTuple):
    sha: str
    kind: str
    content: bytes


class Objects:
    """One `git cat-file --batch`, started by the first question. It reads refs and packs anew."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self._path, self._env = path, env
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def find(self, name: str) -> Thing | None:
        """What a name or an expression names, which holds no newline; None where nothing is."""
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
