"""What a person's answer from a shell says on the page. `comment_commands.read` reads it there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.core.sanitize import one_line
from bridge.core.yaml_text import dump
from bridge.pages import unread_input
from bridge.pages.command_words import Word, mentions


def approval(inputs: Mapping[str, Any], digest: str | None = None, reason: str = "") -> str:
    """The text of an approval, as `comment_commands.read` takes it."""
    lines = [" ".join(filter(None, [f"/{Word.APPROVE}", digest]))]
    if inputs:
        block = dump(inputs)
        fence = "`" * (max(map(len, re.findall("`+", block)), default=0) + 3)
        lines.append(f"{fence}yaml\n{block}{fence}")
    if said := one_line(reason):  # on one line, or it could be a command itself
        lines.append(f"\n{unread_input.REASON}{_without_commands(said)}")
    return "\n".join(lines) + "\n"


def _without_commands(said: str) -> str:
    """The same to the eye, with nothing in it that reads as a command."""
    for _, place in reversed(mentions(said)):
        said = f"{said[: place + 1]}&#8203;{said[place + 1 :]}"
    return said


def rejection(reason: str) -> str:
    """The text of a rejection, as `comment_commands.read` takes it."""
    return f"/{Word.REJECT} {one_line(reason)}\n"


def withdrawal(reason: str) -> str:
    """The text of a withdrawal. `comment_commands.read` refuses one that says no reason."""
    return f"/{Word.WITHDRAW} {one_line(reason)}\n"
