"""What people read: a gate's headline, its message, its page. Values in, harmless text out."""

from __future__ import annotations

from datetime import datetime

from bridge.harmless import harmless_block, harmless_line, harmless_terminal
from bridge.model import ApprovalRequest, Decision, Evaluation, Standing

__all__ = [
    "explanation",
    "harmless_block",
    "harmless_line",
    "harmless_terminal",
    "headline",
    "page",
    "terminal",
]

#: A line of a listing, and the subject of a commit.
_HEADLINE = 72


def headline(request: ApprovalRequest) -> str:
    """The first line of the message, short enough for a list."""
    lines = [line.strip() for line in request.message.splitlines() if line.strip()]
    first = lines[0] if lines else request.gate.key
    return first if len(first) <= _HEADLINE else first[: _HEADLINE - 1].rstrip() + "…"


def page(request: ApprovalRequest, decision: Decision | None = None) -> str:
    """`request.md`: the request as an approver reads it."""
    return request.message + "\n"


def terminal(
    request: ApprovalRequest,
    *,
    colour: bool,
    width: int,
    now: datetime,
    standing: Standing | None = None,
) -> str:
    """The request as a person at a terminal reads it, several lines, no newline at the end."""
    return harmless_terminal(request.message)


def explanation(evaluation: Evaluation, *, colour: bool) -> str:
    """Where a gate stands and why, as a tree."""
    return harmless_terminal(evaluation.reason)
