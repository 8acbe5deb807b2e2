"""A time as the ledger writes it: in UTC, to the second, `2026-03-01T12:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def moment(text: str) -> datetime:
    """The time that this text names. Raises `ValueError` for every other form of a time."""
    # `fromisoformat` takes many forms, and some of them overflow once they are moved to UTC.
    if not _FORM.fullmatch(text):
        raise ValueError(f"{text!r} is not a time like 2026-03-01T12:00:00Z")
    return datetime.fromisoformat(text)


def moment_out(at: datetime) -> str:
    # Not `strftime`: its %Y does not pad the years before 1000 on Linux.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
