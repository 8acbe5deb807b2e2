"""GitHub's *Approve* button with a text that holds no command.

The text may take the approval back ("LGTM if the tests pass", "not yet"), and GitHub shows an
approval all the same. So a text counts if it plainly agrees, and its author reads why it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.core.sanitize import in_code
from bridge.pages import remarks
from bridge.pages.command_words import Word
from bridge.pages.comment_commands import Command, Unreadable, readable
from bridge.pages.markdown_lines import Shown, read_lines


def approval(body: str, schema: Mapping[str, Any] | None) -> Command | Unreadable:
    """The approval of such a review; or why it is none. A quote is somebody else's word."""
    lines = read_lines(body)
    command = readable(Command(Word.APPROVE, before=tuple(lines)), schema)
    if isinstance(command, Unreadable):
        return command
    said = "\n".join(each.text for each in lines if each.shown in (Shown.TEXT, Shown.CODE))
    word = remarks.doubt(said)
    if word is None and (remarks.praises(said) or not remarks.says_something(said)):
        return command
    shown = in_code(word or said)
    return Unreadable(
        f"the review approves, and `{shown}` in its text may be a condition: write"
        f" `/{Word.APPROVE}` alone in a comment, or `/{Word.HOLD}` and what it waits for"
    )
