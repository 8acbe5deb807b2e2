"""Lengths of time: as a flow's author writes them, and as a person reads them."""

from __future__ import annotations

import numbers
import re
from datetime import datetime, timedelta
from typing import Any, Final

from bridge.core.errors import Faults

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9]\d*", re.ASCII)
_NAMES: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))

#: Ten years. Beyond it a deadline is a slip of the pen, and at some point no date at all.
LONGEST: Final = 3_650 * 86_400


def seconds(text: str | float | timedelta) -> int:
    """Whole seconds of `30m`, `24h`, `7d`, `90s`, `1h30m`, or of a plain number of seconds.

    The number may be text: every parameter of an Argo workflow is. `3600.0` is 3600, and so
    is `timedelta(hours=1)`.

    Raises `Faults` for anything else, and for lengths that are nothing or beyond ten years.
    """
    if isinstance(text, timedelta):
        text = text.total_seconds()
    # NumPy's numbers are Real as well.
    found = _whole(text) if isinstance(text, numbers.Real) else _parsed(text)
    if found is None:
        raise Faults(
            f"the duration {_shown(text)}",
            ["write it like 30m, 24h, 7d or 1h30m, or as a whole number of seconds"],
        )
    if found <= 0:
        raise Faults(f"the duration {_shown(text)}", ["it must be longer than nothing"])
    if found > LONGEST:
        raise Faults(f"the duration {_shown(text)}", ["it must not be longer than 3650d"])
    return found


def _whole(number: Any) -> int | None:
    if isinstance(number, bool):
        return None
    try:
        whole = int(number)
    except (ValueError, OverflowError):  # NaN, infinity
        return None
    return whole if whole == number else None


def _shown(text: object) -> str:
    # Not every int has a repr: Python refuses one of more than 4,300 digits.
    huge = isinstance(text, int) and abs(text) > 10**20
    shown = "of that size" if huge else repr(text)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _parsed(text: object) -> int | None:
    if not isinstance(text, str) or len(text) > 40:
        return None
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return int(text)
    match = _FORM.fullmatch(text)
    if not match or not match[0]:
        return None
    return sum(
        int(count) * size
        for count, size in zip(match.groups(), _UNITS.values(), strict=True)
        if count
    )


def words(length: int) -> str:
    """A length in seconds, exactly, in words: `24 hours`, `2 days`, `1 hour 30 minutes`."""
    if length == _UNITS["d"]:
        return "24 hours"
    parts = []
    left = abs(length)
    for name, size in _NAMES:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}" if count == 1 else f"{count} {name}s")
    return " ".join(parts) or "no time"


def relative(at: datetime, now: datetime) -> str:
    """How far off a moment is, rounded down: `in 3 h`, `5 min ago`, `now`."""
    away = int((at - now).total_seconds())
    if away == 0:
        return "now"
    about = rough(abs(away))
    return f"in {about}" if away > 0 else f"{about} ago"


def rough(length: int) -> str:
    """A length in seconds, rounded down: `90 s`, `5 min`, `3 h`, `2 days`."""
    if length < 100:
        return f"{length} s"
    if length < 100 * 60:
        return f"{length // 60} min"
    if length < 48 * 3_600:
        return f"{length // 3_600} h"
    return f"{length // 86_400} days"
