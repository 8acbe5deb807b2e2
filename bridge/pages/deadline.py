"""What a page says of the time that is left, and of what a no does."""

from __future__ import annotations

from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, OnReject
from bridge.core.rules import OnTimeout


def deadline(request: ApprovalRequest) -> str:
    return " ".join(filter(None, [_until(request), _if_rejected(request)]))


def _if_rejected(request: ApprovalRequest) -> str:
    if request.on_reject is OnReject.SKIP:
        return "If you reject it, this step is skipped and the run goes on."
    # A loop in plain Python may go on after a no: `approval()` raises it.
    inside = request.kind and request.kind.splits and request.gate.origin != "python"
    return "If you reject it, the whole run ends, with the other splits." if inside else ""


def _until(request: ApprovalRequest) -> str:
    if request.expires_at is None:
        return "There is no deadline."
    ends = "this step is skipped" if request.skips(Outcome.EXPIRED) else "the run ends"
    then = {
        OnTimeout.REJECT: f"If nobody does, the request expires and {ends}.",
        OnTimeout.APPROVE: "**If nobody does, it is approved.**",
        OnTimeout.NOTIFY: "After that you get a reminder, and the request stays open.",
    }[request.policy.on_timeout]
    return f"**Decide by {request.expires_at:%Y-%m-%d %H:%M} UTC.** {then}"
