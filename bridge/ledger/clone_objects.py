"""The objects in the bridge's clone: each is a file of its own, or in a pack that a fetch brought.

A file takes no git to read. So a step that waits, and looks again and again at what it has seen,
starts no process for that.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.core.errors import LedgerCorrupt
from bridge.ledger.git import MOST_BYTES, QUIET, GitFailed, ObjectReader, Thing, environment

#: Of all objects together that are remembered as they were read.
_MOST_SEEN = 8 * MOST_BYTES

_SHA: Final = re.compile("[0-9a-f]{40}")
_FOLDER: Final = re.compile("[0-9a-f]{2}")
#: More than is before the content, `commit 123` and a zero, and than packing can add to it.
_MORE: Final = 64 * 1024
_HEAD: Final = re.compile(rb"(commit|tree|blob|tag) ([0-9]+)\0")


class CloneObjects:
    """What is looked at for as long as the clone is held."""

    def __init__(self, clone: Path, pass_fds: Sequence[int]) -> None:
        self._clone, self._pass_fds = clone, pass_fds
        self._packed: ObjectReader | None = None
        self._seen: dict[str, Thing] = {}
        self._size = 0  # of what was seen

    def look(self, sha: str) -> Thing | None:
        """The object of this id; None if it is not here.

        Raises `LedgerCorrupt` for one that is too large to be one of the bridge's, and `GitFailed`
        for one that has rotted.
        """
        if known := self._seen.get(sha):
            return known
        found = self._in_a_file(sha)
        if found is None and (self._packed or self._packs()):
            found = self._open_packs().read(sha)
        if found:
            self._size += len(found.content)
            if self._size > _MOST_SEEN:  # what strangers pushed must not fill the memory
                self._seen.clear()
                self._size = len(found.content)
            self._seen[sha] = found
        return found

    def forget(self, sha: str) -> None:
        """Hold it no longer: it is not going to be asked for again."""
        self._seen.pop(sha, None)

    def expect_packs(self) -> None:
        """Have git ready while a server is waited for: what a new clone lacks comes in a pack."""
        folders = (self._clone / "objects").iterdir()
        has_files = any(_FOLDER.fullmatch(each.name) for each in folders)
        if self._packs() or not has_files:
            self._open_packs()

    def _packs(self) -> bool:
        return any(each.suffix == ".pack" for each in (self._clone / "objects/pack").iterdir())

    def _open_packs(self) -> ObjectReader:
        if self._packed is None:
            self._packed = ObjectReader(environment(self._clone, QUIET), self._pass_fds)
        return self._packed

    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()
            self._packed = None

    def _in_a_file(self, sha: str) -> Thing | None:
        """https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage"""
        if not _SHA.fullmatch(sha):
            return None
        try:
            with (self._clone / "objects" / sha[:2] / sha[2:]).open("rb") as file:
                stored = file.read(MOST_BYTES + _MORE)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        unpack = zlib.decompressobj()
        try:
            data = unpack.decompress(stored, MOST_BYTES + _MORE)
        except zlib.error:
            data = b""
        head = _HEAD.match(data)
        if head is None:
            raise GitFailed("cat-file", f"corrupt object {sha}")
        kind, size = head[1].decode(), int(head[2])
        if size > MOST_BYTES:
            raise LedgerCorrupt(
                f"the {kind} {sha} has {size:,} bytes; the most that is read is {MOST_BYTES:,}"
            )
        if len(data) - head.end() != size or _id_of(data) != sha:
            raise GitFailed("cat-file", f"corrupt object {sha}")
        return Thing(sha, kind, data[head.end() :])


def _id_of(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()  # noqa: S324 - git's own
