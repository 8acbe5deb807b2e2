"""The seal: a line in the bridge's own texts that says which request, at which commit, they show.

It stands in an HTML comment, so nobody sees it and anybody can copy it: it says nothing by itself.
It counts only in a text that one of the bridge's own accounts wrote and nobody else has changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """Which of the bridge's texts a seal stands in, so that one cannot pass for the other."""

    BODY = "body"
    STATUS = "status"
    REMINDER = "reminder"
    END = "end"


@dataclass(frozen=True, slots=True)
class Seal:
    part: Part
    gate_id: str
    digest: str
    head: str  # the commit that the bridge pushed

    def __str__(self) -> str:
        return (
            f"<!-- approval-bridge {self.part} gate={self.gate_id} request={self.digest}"
            f" head={self.head} -->"
        )


#: Hex digits of a short digest.
SHORT: Final = 32


def short(digest: str) -> str:
    """As much of a request's digest as a person copies: 128 bits.

    The opener writes both requests, so fewer bits would let it find two that share them: 48 bits
    took two minutes on one core.
    """
    return digest.removeprefix("sha256:")[:SHORT]


_FORM = re.compile(
    r"<!-- approval-bridge (body|status|reminder|end) gate=([0-9a-f]+)"
    r" request=(sha256:[0-9a-f]{64}) head=([0-9a-f]{40,64}) -->"
)


def seal_of(text: str) -> Seal | None:
    """The seal on a text's last line; None if there is none."""
    # The last line alone: all before it may repeat what a stranger wrote.
    lines = text.rstrip().splitlines()
    match = _FORM.fullmatch(lines[-1].strip()) if lines else None
    return Seal(Part(match[1]), match[2], match[3], match[4]) if match else None
