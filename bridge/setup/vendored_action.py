"""The action of this release as files, for a repository that uses no other repository's.

They go to a branch of their own, and the workflow names that branch's commit: so the default
branch's tree stays as it is, nothing has to be checked out, and nobody can put another action
in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bridge.core.shipped_files import actions, templates


@cache
def files() -> Mapping[str, str]:
    """Path to text, as they lie in a checkout of the bridge."""
    package = Path(__file__).parents[1]
    found = {
        **_beneath(actions(), "action"),
        **_beneath(templates(), "templates"),
        **{
            f"bridge/{each.relative_to(package).as_posix()}": each.read_text(encoding="utf-8")
            for each in sorted(package.rglob("*.py"))
        },
    }
    if licence := _licence(package):
        found["LICENSE"] = licence
    return found


def _beneath(folder: Path, name: str) -> dict[str, str]:
    return {
        f"{name}/{each.relative_to(folder).as_posix()}": each.read_text(encoding="utf-8")
        for each in sorted(folder.rglob("*"))
        if each.is_file() and "__pycache__" not in each.parts
    }


def _licence(package: Path) -> str | None:
    beside = package.parent / "LICENSE"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    try:
        return distribution("approval-bridge").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        return None


def tree_of(given: Mapping[str, str]) -> str:
    """The id that git gives a tree of these files: so it is known whether a branch has them."""
    return _tree(sorted((path.split("/"), text) for path, text in given.items())).hex()


def _tree(rows: list[tuple[list[str], str]]) -> bytes:
    entries: list[tuple[str, bytes, bytes]] = []
    folders: dict[str, list[tuple[list[str], str]]] = {}
    for (name, *rest), text in rows:
        if rest:
            folders.setdefault(name, []).append((rest, text))
        else:
            entries.append((name, b"100644", _id("blob", text.encode())))
    # Git sorts a folder as if a slash ended its name.
    entries += [(f"{name}/", b"40000", _tree(inner)) for name, inner in folders.items()]
    return _id("tree", b"".join(_entries(entries)))


def _entries(entries: list[tuple[str, bytes, bytes]]) -> Iterator[bytes]:
    for name, mode, own in sorted(entries, key=lambda each: each[0].encode()):
        yield mode + b" " + name.rstrip("/").encode() + b"\0" + own


def _id(kind: str, content: bytes) -> bytes:
    head = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).digest()
