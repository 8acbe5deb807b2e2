"""The objects of a small pack, read without starting git.

https://git-scm.com/docs/gitformat-pack; `test_github_objects.py` holds it against git itself.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

from tests.git_objects import Thing

_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_BY_OFFSET, _BY_ID = 6, 7


def read(pack: bytes, loose: Callable[[str], Thing | None]) -> dict[str, Thing]:
    """Objects by id. `loose` gives what a pack leaves out because the other side has it.

    Raises `LookupError` if a part is neither here nor there.
    """
    assert pack[:8] == b"PACK\0\0\0\2"
    at, places, found = 12, dict[int, Thing](), dict[str, Thing]()
    for _ in range(int.from_bytes(pack[8:12])):
        start, kind, at = at, pack[at] >> 4 & 7, _after_size(pack, at)
        base = None
        if kind == _BY_OFFSET:
            back, at = _offset(pack, at)
            base = places[start - back]
        elif kind == _BY_ID:
            base = _known(pack[at : at + 20].hex(), found, loose)
            at += 20
        stream = zlib.decompressobj()
        content = stream.decompress(pack[at:])
        at = len(pack) - len(stream.unused_data)
        if base is None:
            name = _KINDS[kind]
        else:
            name, content = base.kind, _patched(base.content, content)
        whole = f"{name} {len(content)}\0".encode() + content
        thing = Thing(hashlib.sha1(whole).hexdigest(), name, content)  # noqa: S324 (git's own)
        places[start] = found[thing.sha] = thing
    return found


def _known(sha: str, found: dict[str, Thing], loose: Callable[[str], Thing | None]) -> Thing:
    thing = found.get(sha) or loose(sha)
    if thing is None:
        raise LookupError(sha)
    return thing


def _after_size(pack: bytes, at: int) -> int:
    while pack[at] & 0x80:
        at += 1
    return at + 1


def _offset(pack: bytes, at: int) -> tuple[int, int]:
    value = pack[at] & 0x7F
    while pack[at] & 0x80:
        at += 1
        value = (value + 1 << 7) | pack[at] & 0x7F
    return value, at + 1


def _patched(base: bytes, delta: bytes) -> bytes:
    """What a delta makes of its base: runs of bytes copied from it, and bytes of its own."""
    at, out = _after_size(delta, _after_size(delta, 0)), bytearray()
    while at < len(delta):
        code, at = delta[at], at + 1
        if not code & 0x80:
            out += delta[at : at + code]
            at += code
            continue
        start = size = 0
        for bit in range(4):
            if code & 1 << bit:
                start |= delta[at] << 8 * bit
                at += 1
        for bit in range(3):
            if code & 0x10 << bit:
                size |= delta[at] << 8 * bit
                at += 1
        size = size or 0x10000
        out += base[start : start + size]
    return bytes(out)
