"""Which commits are in which: for histories of a few commits, without starting git.

`test_github_objects.py` holds the answers against git's own.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.git_objects import Thing

#: Commits that one question looks at; git is faster with more.
_MOST = 200

_PARENT = re.compile(rb"^parent ([0-9a-f]{40})$", re.MULTILINE)
_COMMITTER = re.compile(rb"^committer .* ([0-9]+) [+-][0-9]{4}$", re.MULTILINE)
#: Any other line is git's to read: a signature, an encoding.
_HEAD = re.compile(
    rb"tree (?P<tree>[0-9a-f]{40})\n(parent [0-9a-f]{40}\n)*author [^\n]+\ncommitter [^\n]+"
)


class TakesGit(Exception):
    """An object is in a pack, there are too many, or one is unusual."""


class Commit(NamedTuple):
    tree: str
    parents: list[str]
    at: int
    message: bytes


class History:
    """`loose` gives an object that has a file of its own. Every method raises `TakesGit`."""

    def __init__(self, loose: Callable[[str], Thing | None]) -> None:
        self._loose = loose
        self._known: dict[str, Commit] = {}

    def commit(self, sha: str) -> Commit:
        if sha not in self._known:
            found = self._loose(sha)
            if found is None or found.kind != "commit":
                raise TakesGit(sha)
            self._known[sha] = read(found.content)
        return self._known[sha]

    def all_of(self, tips: Iterable[str]) -> set[str]:
        """These commits and all before them."""
        found: set[str] = set()
        left = list(tips)
        while left:
            sha = left.pop()
            if sha in found:
                continue
            found.add(sha)
            if len(found) > _MOST:
                raise TakesGit(sha)
            left += self.commit(sha).parents
        return found

    def between(self, old: Iterable[str], new: str) -> list[str]:
        """What `new` has and `old` has not, newest first: `git rev-list new ^old`."""
        without = self.all_of(old)
        waiting: list[tuple[int, int, str]] = []
        numbers, seen, found = itertools.count(), set(without), []

        def put(sha: str) -> None:
            if sha not in seen:
                seen.add(sha)
                # Of two of one second, git takes the one that it met first.
                heapq.heappush(waiting, (-self.commit(sha).at, next(numbers), sha))

        put(new)
        while waiting:
            sha = heapq.heappop(waiting)[2]
            found.append(sha)
            if len(found) > _MOST:
                raise TakesGit(sha)
            for parent in self.commit(sha).parents:
                put(parent)
        return found


def read(content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    found, at = _HEAD.fullmatch(head), _COMMITTER.search(head)
    if found is None or at is None:
        raise TakesGit(head.decode(errors="replace"))
    parents = [each.decode() for each in _PARENT.findall(head)]
    return Commit(found["tree"].decode(), parents, int(at[1]), message)
