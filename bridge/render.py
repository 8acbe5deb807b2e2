"""What people read: a gate's headline, its message, its page. Values in, harmless text out."""

from __future__ import annotations

from bridge.model import ApprovalRequest

#: A line of a listing, and the subject of a commit.
_HEADLINE = 72


def headline(request: ApprovalRequest) -> str:
    """The first line of the message, short enough for a list."""
    lines = [line.strip() for line in request.message.splitlines() if line.strip()]
    first = lines[0] if lines else request.gate.key
    return first if len(first) <= _HEADLINE else first[: _HEADLINE - 1].rstrip() + "…"


def page(request: ApprovalRequest) -> str:
    """`request.md`: the request as an approver reads it."""
    return request.message + "\n"
