"""The branches of a ledger: each has the gates that were asked in one year, or in one month.

The first is called `approvals`, and those after it `approvals-2027` or `approvals-2027-03`. Why is
in `docs/decisions/0008-shards.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

#: The branch with which a ledger begins, and the only one of a ledger that never begins another.
FIRST: Final = "approvals"

#: What matches every branch of a ledger, in git and in a ruleset. Others can match it too.
PATTERN: Final = f"{FIRST}*"

_NAME: Final = re.compile(rf"{FIRST}(?:-([0-9]{{4}}(?:-(?:0[1-9]|1[0-2]))?))?")


def is_shard(branch: str) -> bool:
    return _NAME.fullmatch(branch) is not None


def begin_of(branch: str) -> str:
    """When it begins, as its name says: `2027`, `2027-03`, or nothing for the first. The order of
    these texts is that of time."""
    found = _NAME.fullmatch(branch)
    if found is None:
        raise ValueError(f"{branch!r} is no branch of a ledger")
    return found[1] or ""


def oldest_first(branches: Iterable[str]) -> list[str]:
    """Those that are branches of a ledger."""
    return sorted(filter(is_shard, branches), key=begin_of)


def month(at: datetime) -> str:
    return at.isoformat()[:7]


def asked_on(branches: Iterable[str], at: datetime) -> str | None:
    """The newest of these branches that has begun; None if there is none."""
    begun = [each for each in oldest_first(branches) if begin_of(each) <= month(at)]
    return begun[-1] if begun else None


#: The file at the root of each branch that says when the next one begins.
LEDGER_FILE: Final = "ledger.yaml"


class Every(StrEnum):
    """How often a ledger begins a new branch."""

    YEAR = "year"
    MONTH = "month"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Turn:
    """`ledger.yaml`. A branch without it is never followed by another."""

    every: Every
    begun: str  # the month or the year in which this branch began
    format: int = field(default=1, metadata={"always": True})

    def is_sound(self) -> bool:
        return re.fullmatch(r"[0-9]{4}(-(0[1-9]|1[0-2]))?", self.begun) is not None


def first_turn(at: datetime) -> Turn:
    """Of a ledger that begins now."""
    return Turn(Every.YEAR, month(at))


def next_branch(newest: str, turn: Turn, at: datetime) -> str | None:
    """The branch that a gate of this time waits for, if it is later than the newest one."""
    if turn.every is Every.NEVER:
        return None
    period = month(at)[:4] if turn.every is Every.YEAR else month(at)
    return f"{FIRST}-{period}" if period > (begin_of(newest) or turn.begun) else None
