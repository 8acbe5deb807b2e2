"""A push that git would take, taken without starting git; all else is left to git.

`test_github_objects.py` holds the answer and what is there afterwards against git itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests import git_objects
from tests.git_objects import NOTHING, SHA, Move, Objects, Thing
from tests.github.history import TakesGit, read

#: Objects and bytes beyond which git keeps a pack as it comes.
_MOST, _MOST_BYTES = 99, 1_000_000
PACK = b"PACK\0\0\0\2"
_GITLINK = "160000"


def packets(content: bytes) -> list[bytes]:
    """Packet lines; an empty one is a flush. What follows a pack's start is not packets."""
    found, at = [], 0
    while at + 4 <= len(content) and content[at : at + 4] != b"PACK":
        length = int(content[at : at + 4], 16)
        found.append(content[at + 4 : at + length] if length else b"")
        at += max(length, 4)
    return found


def packet(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


def received(
    repository: Path, objects: Objects, body: bytes, brought: Mapping[str, Thing]
) -> bytes | None:
    """What git says to a push of these objects, which then is done; None, with nothing done, if
    git might have anything else to say."""
    lines = packets(body)
    if lines.count(b"") != 1 or lines[-1] or len(brought) > _MOST or len(body) > _MOST_BYTES:
        return None
    capabilities = lines[0].partition(b"\0")[2].split()
    rows = [line.partition(b"\0")[0].decode().strip().split(" ") for line in lines[:-1]]
    if not _is_plain(rows, capabilities) or not _is_whole(objects, brought):
        return None
    moves = [Move(ref, new, old) for old, new, ref in rows]
    # git waits for a pack, which may be empty, unless refs are deleted alone.
    if any(each.new != NOTHING for each in moves) != (PACK in body):
        return None
    if not all(_may_move(each, objects, brought) for each in moves):
        return None

    def store() -> None:
        for each in brought.values():
            objects.write(each.kind, each.content)

    if not git_objects.moved(repository, moves, store):
        return None
    said = [b"unpack ok\n", *(f"ok {each.ref}\n".encode() for each in moves)]
    report = b"".join(map(packet, said)) + b"0000"
    return packet(b"\1" + report) + b"0000"


def _is_plain(rows: list[list[str]], capabilities: list[bytes]) -> bool:
    reports = {b"report-status", b"report-status-v2"} & {*capabilities}
    return (
        bool(rows and reports)
        and b"side-band-64k" in capabilities
        and b"push-options" not in capabilities
        and all(len(row) == 3 and all(map(SHA.fullmatch, row[:2])) for row in rows)
    )


def _may_move(move: Move, objects: Objects, brought: Mapping[str, Thing]) -> bool:
    if not move.ref.startswith("refs/heads/") or move.old == move.new:
        return False
    if move.new == NOTHING:
        return move.ref != "refs/heads/main"  # which HEAD names
    found = brought.get(move.new) or objects.loose(move.new)
    return found is not None and found.kind == "commit"


def _is_whole(objects: Objects, brought: Mapping[str, Thing]) -> bool:
    """Whether all that these objects name is here: what is here already is whole."""
    named: set[str] = set()
    try:
        for each in brought.values():
            if each.kind == "commit":
                commit = read(each.content)
                named |= {commit.tree, *commit.parents}
            elif each.kind == "tree":
                entries = git_objects.entries(each).values()
                named |= {sha for mode, sha in entries if mode != _GITLINK}
            elif each.kind != "blob":
                return False
    except TakesGit:
        return False
    return all(sha in brought or objects.loose(sha) for sha in named)
