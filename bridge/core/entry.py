"""What an audit reads of a ledger: its commits, and what each of them changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bridge.core.shards import FIRST

#: How far an audit is: the part of it that is at work, how much is done of it, and of how much.
Tell = Callable[[str, int, int], None]


def tell_nobody(_part: str, _done: int, _all: int) -> None:
    """Of those who don't ask."""


#: The mode of every file that is recorded: no link, no submodule, nothing that can be run.
REGULAR: Final = "100644"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a commit changed. `status` is git's letter: A added, M modified, D deleted …"""

    status: str
    path: str
    blob: str  # the id of what is there now
    mode: str = REGULAR  # of what is there now, as git writes it


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the record, as an audit reads it."""

    commit: str
    parents: tuple[str, ...]
    changes: tuple[Change, ...]  # against the first parent
    texts: Mapping[str, str]  # path to content, of the records that it added
    joined: Mapping[str, str]  # the same for the requests it decides, as its second parent has them
    signature: str | None = None  # git's letter for it (G is good); None: none was seen
    shard: str = FIRST  # the branch that it is on
    follows: tuple[str, ...] = ()  # of the first commit of a branch: each other branch, and a head
    # If an audit goes on from an earlier head: what the first parent has on record of these gates,
    # and the other branches that have one of their folders.
    before: Mapping[str, Kept] = field(default_factory=dict)
    elsewhere: tuple[str, ...] | None = None


class Kept(NamedTuple):
    """A record and the id of its blob."""

    text: str
    blob: str


class Stretch(NamedTuple):
    """The newest commits of a branch, first parents only: those after a commit, or all."""

    branch: str
    after: str | None
    commits: int
