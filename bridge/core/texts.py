"""The text of an artifact, as far as people see what changed in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from bridge.core.hide_secrets import in_text
from bridge.core.model import Artifact
from bridge.core.sanitize import harmless_terminal

#: Of one text, and of one line of it. What is longer is compared up to there.
_LONGEST: Final = 4_000
_MOST_LINES: Final = 60
_LINE: Final = 200
#: Of all texts of a request: it is written to the ledger, and so is its successor's baseline.
_TOGETHER: Final = 40_000


def text_of(value: Any, shown: int) -> str | None:
    """The first lines of a text of several lines or more than `shown` characters, without secrets
    and hidden characters. None if it is no such text."""
    # Another class's text could be another one each time that it is read.
    if type(value) is not str or ("\n" not in value and len(value) <= shown):
        return None
    lines = harmless_terminal(in_text(value[: _LONGEST * 2])).split("\n")
    cut = (each if len(each) <= _LINE else each[: _LINE - 1] + "…" for each in lines[:_MOST_LINES])
    return "\n".join(each.rstrip() for each in cut)[:_LONGEST].rstrip("\n")


def with_room(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts, of which the first by name keep their texts: a join of a thousand branches
    would have a thousand texts."""
    listed = tuple(artifacts)
    room, kept = _TOGETHER, set()
    for each in sorted(listed, key=lambda artifact: artifact.name):
        room -= len(each.text or "")
        if room >= 0:
            kept.add(each.name)
    return tuple(each if each.name in kept else replace(each, text=None) for each in listed)
