"""Audit the branches of a ledger: each but the first names heads of those that it follows."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.model import Entry
from bridge.core.shards import FIRST


class Branches:
    """Goes through the entries of one branch after another."""

    def __init__(self) -> None:
        self._first: dict[str, Entry] = {}
        self._commits: dict[str, set[bytes]] = {}  # as bytes: there may be a million

    def is_first_of(self, entry: Entry) -> bool:
        """Whether a branch begins with this entry, which has to be seen before it has `passed`."""
        return entry.shard not in self._first

    def passed(self, entry: Entry) -> None:
        self._first.setdefault(entry.shard, entry)
        self._commits.setdefault(entry.shard, set()).add(bytes.fromhex(entry.commit))

    def faults(self) -> Iterator[str]:
        for name, first in self._first.items():
            place = f"commit {first.commit[:12]}, which begins {name}"
            if name != FIRST and not first.follows:
                yield f"{place}: it doesn't name the branches that it follows"
            for branch, _, head in (each.partition(" ") for each in first.follows):
                if bytes.fromhex(head) not in self._commits.get(branch, ()):
                    yield f"{place}: {branch} lacks commit {head}: somebody cut or deleted it"
