"""Which recorded decisions somebody wants to see: by a commit's message, or by the request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bridge.core import durations
from bridge.core.errors import Faults
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Recorded
from bridge.core.timestamps import moment

#: A decision is recorded a little after it was made, and several can overtake each other.
_OVERTAKING: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is not None is asked for. Names are compared as people write them, without case."""

    flow: str | None = None
    step: str | None = None
    person: str | None = None  # a part of an approver's name, address or login
    outcome: Outcome | None = None
    environment: str | None = None  # which only the request says
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, found: Recorded) -> bool:
        """As far as its commit's message says."""
        parts = found.key.split("/")
        return (
            _same(self.flow, parts[0])
            and _same(self.step, _step_of(parts))
            and (self.person is None or self.person.casefold() in found.approvers.casefold())
            and self.outcome in (None, found.outcome)
            and (self.since is None or found.decided_at >= self.since)
            and (self.until is None or found.decided_at < self.until)
        )

    def fits_request(self, request: ApprovalRequest) -> bool:
        return self.environment is None or _same(self.environment, environment_of(request) or "")

    def is_past(self, found: Recorded) -> bool:
        """Whether it is so old that no decision before it fits."""
        # A difference of two times never overflows, as one of them with a day more or less does.
        return self.since is not None and self.since - found.decided_at > _OVERTAKING


def environment_of(request: ApprovalRequest) -> str | None:
    of = request.kind or request.subject
    return of.environment if of else None


def _step_of(parts: list[str]) -> str:
    """The step of `Flow/run/step/task`, or the node of `workflow/node`."""
    return parts[2] if len(parts) > 2 else parts[-1]


def _same(wanted: str | None, found: str) -> bool:
    return wanted is None or wanted.casefold() == found.casefold()


def when(text: str, name: str, now: datetime) -> datetime:
    """`2026-11-01`, `2026-11-01T09:30:00Z`, or so long ago: `7d`. Raises `Faults`."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        if re.match(r"\d{4}-", text, re.ASCII):
            return moment(text)
        if text.isdecimal():  # seconds to a deadline, and here a year or a number of days
            raise ValueError
        return now - timedelta(seconds=durations.seconds(text))
    except (ValueError, Faults, OverflowError):
        says = f"{text!r} is no time; write 2026-11-01, 2026-11-01T09:30:00Z, or 7d for 7 days ago"
        raise Faults(name, [says]) from None
