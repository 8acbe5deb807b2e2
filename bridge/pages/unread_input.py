"""Input that somebody wrote where nothing reads it: no default may take its place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bridge.core.sanitize import in_code
from bridge.pages.answer_block import LANGUAGES
from bridge.pages.markdown_lines import Line, Shown
from bridge.pages.vote_signature import signature_of

#: How the command line's own words begin: it was asked to approve, whatever the reason says.
REASON = "Reason: "
_NO_DATA = re.compile(r"(?:text|txt|console|bash|sh|shell|diff|patch|log|python|py|pycon)\b")
_BLOCK_LOST = "the block was not read: put it directly under the command"


def lost(before: Sequence[Line], behind: Sequence[Line], names: Sequence[str]) -> str | None:
    """What around an approval may be input for these fields, and what to do; None if nothing is."""
    return _behind(behind, names) or _looks_given((*before, *behind), names)


def _behind(behind: Sequence[Line], names: Sequence[str]) -> str | None:
    """What is written behind an approval and read by nothing, while some field is not given."""
    if not names:
        return None
    unread = [line for line in behind if not _is_ours(line)]
    if any(line.fence for line in unread):
        return _BLOCK_LOST
    return _text_lost(unread[0].text) if unread else None


def _is_ours(line: Line) -> bool:
    """A blank line, or what the command line posts behind its approval."""
    text = line.text.strip()
    if text.startswith(REASON) or signature_of(text):
        return True
    return not text and not line.hidden


def _looks_given(beside: Sequence[Line], names: Sequence[str]) -> str | None:
    """What of the author's own text looks like input that nothing reads, and what to do."""
    key = "|".join(re.escape(each).replace("_", r"[\s_-]?") for each in names) or "(?!)"
    keys = re.compile(
        rf"(?:[0-9]{{1,9}}[.)]|[\s*+|•·-])*+[\"'`*_]*+(?:{key})[\"'`*_]*+\s*+[=:|：＝].*",
        re.IGNORECASE,
    )
    for line in beside:
        info = line.fence.info.casefold() if line.fence else None
        if info is not None and (names or info in LANGUAGES[:-1]) and not _NO_DATA.match(info):
            return _BLOCK_LOST
        if line.shown is Shown.TEXT and keys.fullmatch(line.text):
            return _text_lost(line.text)
    return None


def _text_lost(text: str) -> str:
    what = in_code(text.strip() or "<!--")
    return f"`{what}` was not read: put input on the line of the command, and other words elsewhere"
