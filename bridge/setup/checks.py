"""One line of `hitl doctor`: a check, what it came to, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    FINE = "✓"
    NOTE = "!"  # it may bite, and no gate is less safe for it
    UNKNOWN = "?"
    FAULT = "✗"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `fix` says what to do, if something is to be done."""

    name: str
    level: Level
    says: str
    fix: str = ""


Said = tuple[Level, str, str]


def is_safe(checks: Sequence[Check]) -> bool:
    return all(each.level in (Level.FINE, Level.NOTE) for each in checks)


def fault(says: str, fix: str) -> Said:
    return Level.FAULT, says, fix
