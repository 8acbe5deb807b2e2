"""What changed in a text since the baseline: a few lines, each with `+`, `-` or a blank first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.core.artifacts import CUT
from bridge.core.comparison import Change, compared
from bridge.core.model import ApprovalRequest, Artifact
from bridge.core.sanitize import shortened_name

_MOST_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class TextDiff:
    name: str
    lines: tuple[str, ...]


def text_diffs(request: ApprovalRequest) -> Iterator[TextDiff]:
    """Of each text that changed, if the change is in the part that the request holds."""
    found = compared(request)
    for row in found.rows if found else ():
        if row.change is not Change.CHANGED or not row.now or not row.before:
            continue
        if row.now.text is None and row.before.text is None:  # the table has both
            continue
        before, now = _text(row.before), _text(row.now)
        if before is not None and now is not None and before != now:
            yield TextDiff(shortened_name(row.name, 80), tuple(_lines(before, now)))


def _text(artifact: Artifact) -> str | None:
    if artifact.text is not None:
        return artifact.text
    whole = artifact.type == "str" and not (artifact.value or CUT).endswith(CUT)
    return artifact.value if whole else None


def _lines(before: str, now: str) -> Iterator[str]:
    import difflib  # here: a listing does without it

    # The first two lines are headings. Each line of a text has a mark before it, so only the
    # library's own begin with `@@`.
    made = [*difflib.unified_diff(before.split("\n"), now.split("\n"), n=1, lineterm="")][2:]
    said = [("…" if each.startswith("@@") else each) for each in made]
    yield from said[said[:1] == ["…"] :][:_MOST_LINES]
    if len(said) > _MOST_LINES + 1:
        yield "… (more changed)"
