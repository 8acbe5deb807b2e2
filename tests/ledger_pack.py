"""A pack of git objects, written as git would have packed them, many times faster.

Most objects differ little from one before them, and are written as a delta upon that one:
https://git-scm.com/docs/pack-format. What a delta inserts is compressed, except into trees: the ids
that change there cannot be.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from struct import pack as packed
from typing import Final, NamedTuple

_KINDS: Final = {"commit": 1, "tree": 2, "blob": 3}
_DELTA: Final = 6

#: So many deltas upon each other, and then a whole object again. git allows 50, but `git repack`
#: keeps the newest whole, where these are the newest last: with 50, a reader would pay for it.
_DEPTH: Final = 8

_BUFFER: Final = 4_000_000

FOLDER, FILE = b"40000 ", b"100644 "


class Written(NamedTuple):
    """An object in a pack."""

    sha: bytes
    offset: int
    size: int


class Pack:
    """One pack of this repository, with its index."""

    def __init__(self, repository: Path, name: str) -> None:
        name = hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - git's own, also below
        self._path = repository / "objects" / "pack" / f"pack-{name}"
        self._buffer = bytearray(b"PACK" + packed(">II", 2, 0))
        self._start = 0  # of the buffer, in the file
        self._index: list[bytes] = []  # the id, checksum and offset of each object

    def add(self, kind: str, content: bytes) -> Written:
        """A whole object."""
        head = _head(_KINDS[kind], len(content))
        return self._put(kind, content, head + _squeezed(content))

    def add_upon(
        self, base: Written, kind: str, content: bytes, delta: bytes, *, small: bool = False
    ) -> Written:
        """The same as what is to be done to another object of this pack."""
        delta = _length(base.size) + _length(len(content)) + delta
        back = self._start + len(self._buffer) - base.offset
        head = _head(_DELTA, len(delta)) + _distance(back)
        return self._put(kind, content, head + (_squeezed(delta) if small else _as_it_is(delta)))

    def _put(self, kind: str, content: bytes, entry: bytes) -> Written:
        sha = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content).digest()  # noqa: S324
        offset = self._start + len(self._buffer)
        self._index.append(sha + packed(">II", zlib.crc32(entry), offset))
        self._buffer += entry
        if len(self._buffer) > _BUFFER:
            self._flush()
        return Written(sha, offset, len(content))

    def _flush(self) -> None:
        with self._path.with_suffix(".tmp").open("ab") as file:
            file.write(self._buffer)
        self._start += len(self._buffer)
        self._buffer.clear()

    def end(self) -> None:
        self._flush()
        made = self._path.with_suffix(".tmp")
        with made.open("r+b") as file:
            file.seek(8)
            file.write(packed(">I", len(self._index)))
            file.seek(0)
            name = hashlib.file_digest(file, "sha1").digest()
            file.seek(0, 2)
            file.write(name)
        assert self._start < 1 << 31  # more would need offsets of eight bytes
        order = sorted(range(len(self._index)), key=self._index.__getitem__)
        self._write(".rev", b"RIDX" + packed(">II", 1, 1) + _ranks(order), name)
        self._index.sort()
        self._write(".idx", b"\377tOc" + packed(">I", 2) + _listed(self._index), name)
        made.rename(self._path.with_suffix(".pack"))
        self._index.clear()

    def _write(self, suffix: str, content: bytes, name: bytes) -> None:
        content += name
        whole = content + hashlib.sha1(content).digest()  # noqa: S324
        self._path.with_suffix(suffix).write_bytes(whole)


def _listed(index: Sequence[bytes]) -> bytes:
    """An index's table, and then each column of its own."""
    counts = [0] * 256
    for each in index:
        counts[each[0]] += 1
    sums, total = [], 0
    for count in counts:
        total += count
        sums.append(total)
    columns = [b"".join(each[start:end] for each in index) for start, end in _COLUMNS]
    return packed(">256I", *sums) + b"".join(columns)


_COLUMNS: Final = ((0, 20), (20, 24), (24, 28))


def _ranks(order: Sequence[int]) -> bytes:
    """Where the index has each object, in the order of the pack."""
    ranks = array("I", bytes(4 * len(order)))
    for rank, number in enumerate(order):
        ranks[number] = rank
    ranks.byteswap()
    return ranks.tobytes()


class Folder:
    """A tree that grows by names of one length, all of one mode, after what it holds besides."""

    def __init__(self, first: bytes = b"", last: bytes = b"", *, mode: bytes = FOLDER) -> None:
        self._start, self._content = len(first), first + last
        self._mode, self._names = mode, list[bytes]()
        self._written: Written | None = None
        self._depth = 0

    def put(self, pack: Pack, name: bytes, sha: bytes, *, keep: bool = True) -> bytes:
        """Its id with this in it; it stays in it, or not."""
        entry = self._mode + name + b"\0" + sha
        at = bisect_left(self._names, name)
        known = at < len(self._names) and self._names[at] == name
        start = self._start + at * len(entry)
        end = start + len(entry) if known else start
        old = self._content
        new = old[:start] + entry + old[end:]
        if self._written and self._depth < _DEPTH:
            delta = _copy(0, start) + _insert(entry) + _copy(end, len(old) - end)
            made = pack.add_upon(self._written, "tree", new, delta)
            depth = self._depth + 1
        else:
            made, depth = pack.add("tree", new), 0
        if keep:
            self._content, self._written, self._depth = new, made, depth
            if not known:
                self._names.insert(at, name)
        return made.sha


class Template:
    """Objects that differ in some values alone: the first is whole, the others are deltas."""

    def __init__(self, kind: str, sample: str, slots: Mapping[str, int]) -> None:
        """`slots`: which of the values stands in place of which text of the sample."""
        self._kind = kind
        parts = re.split("(" + "|".join(map(re.escape, slots)) + ")", sample)
        self._texts = [each.encode() for each in parts[::2]]
        self._slots = [slots[each] for each in parts[1::2]]
        self._first: Written | None = None
        self._copies: list[bytes] = []

    def text(self, values: Sequence[bytes]) -> bytes:
        return _woven(self._texts, [values[slot] for slot in self._slots])

    def put(self, pack: Pack, values: Sequence[bytes]) -> Written:
        fills = [values[slot] for slot in self._slots]
        content = _woven(self._texts, fills)
        if self._first is None:
            self._copies, at = [], 0
            for text, fill in zip(self._texts, [*fills, b""], strict=True):
                self._copies.append(_copy(at, len(text)))
                at += len(text) + len(fill)
            self._first = pack.add(self._kind, content)
            return self._first
        delta = _woven(self._copies, [_insert(each) for each in fills])
        return pack.add_upon(self._first, self._kind, content, delta, small=True)


def _woven(texts: Sequence[bytes], fills: Sequence[bytes]) -> bytes:
    whole = [b""] * (2 * len(texts) - 1)
    whole[::2], whole[1::2] = texts, fills
    return b"".join(whole)


def inserted_before(new: bytes, size: int) -> bytes:
    """The delta of an object of this size that is to begin with this."""
    return _insert(new) + _copy(0, size)


def _head(kind: int, size: int) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    return bytes((first | 128,)) + _length(size) if size else bytes((first,))


@cache
def _length(size: int) -> bytes:
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes((*out, size))


def _distance(back: int) -> bytes:
    out = [back & 127]
    while back := back >> 7:
        back -= 1
        out.append(back & 127 | 128)
    return bytes(reversed(out))


@cache
def _copy(start: int, size: int) -> bytes:
    """Take over so many bytes from there."""
    if not size:
        return b""
    numbers = [*start.to_bytes(4, "little"), *size.to_bytes(3, "little")]
    flags = sum(1 << bit for bit, each in enumerate(numbers) if each)
    return bytes((128 | flags, *(each for each in numbers if each)))


def _insert(new: bytes) -> bytes:
    assert 0 < len(new) < 128
    return bytes((len(new),)) + new


def _squeezed(content: bytes) -> bytes:
    # A smaller window than zlib's own: to clear the memory of that one takes six times as long.
    small = zlib.compressobj(1, zlib.DEFLATED, 9, 1)
    return small.compress(content) + small.flush()


def _as_it_is(content: bytes) -> bytes:
    """In the form that zlib takes for compressed."""
    size, check = len(content), zlib.adler32(content)
    return b"\x78\x01\x01" + packed("<HH", size, size ^ 0xFFFF) + content + packed(">I", check)
