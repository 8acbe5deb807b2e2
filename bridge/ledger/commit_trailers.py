"""The form of a commit message in the ledger, written and read back.

A message is a subject, a person's reason (indented, so that no line of it passes for a trailer) and
one last paragraph of trailers. Whatever text people put in, each value stays on its own line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Control characters, what turns the direction of writing, and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text as a trailer holds it."""
    return _UNSAFE.sub("", " ".join(text.split()))


def message(subject: str, reason: str, trailers: Mapping[str, str | None]) -> str:
    lines = [f"{key}: {one_line(value)}" for key, value in trailers.items() if value is not None]
    body = "\n".join(f"    {one_line(line)}" for line in reason.splitlines())
    parts = [one_line(subject), *([body] if body.strip() else []), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def parsed(commit: str) -> tuple[str, dict[str, str]]:
    """Subject without the word before its colon, and the trailers."""
    message = commit.partition("\n\n")[2]
    subject = message.partition("\n")[0].partition(":")[2].strip()
    last = message.rstrip("\n").rpartition("\n\n")[2]
    pairs = (line.partition(":") for line in last.split("\n"))
    return subject, {key: value.strip() for key, _, value in pairs}


def first_parent(commit: str) -> str | None:
    for line in commit.partition("\n\n")[0].split("\n"):
        if line.startswith("parent "):
            return line.removeprefix("parent ")
    return None
