"""Since when a gate's issues have changed: by that they are found, whatever happens to them.

A label can be taken off, and a policy can leave issues for pull requests. What people object to on
an issue must be read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from bridge.core.model import Standing
from bridge.pages.model import Page

#: `opened_at` is the opener's word: its clock may be fast, and its key may ask again.
_BEFORE: Final = timedelta(hours=1)
#: … and a gate that says it is years old must not make the decider read all of a repository.
_LONGEST: Final = timedelta(days=30)


def asked_since(gates: Iterable[Standing], pages: Iterable[Page], now: datetime) -> datetime | None:
    """A time before any of these undecided gates had a page; None if all are decided."""
    times = [each.request.opened_at for each in gates if each.decision is None]
    if not times:
        return None
    first = min(now, *times, *(each.at for each in pages))
    return max(first, now - _LONGEST) - _BEFORE
