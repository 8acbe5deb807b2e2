"""Evidence: what people said on a page, and what only the forge can answer about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bridge.core import conditions
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition, Evidence
from bridge.core.model import ApprovalRequest
from bridge.gates.ports import Forge
from bridge.pages import votes as gather
from bridge.pages.model import Page
from bridge.pages.votes import Gathered
from bridge.policy.evaluate import questions


def evidence(
    forge: Forge, request: ApprovalRequest, page: Page, gathered: Gathered, now: datetime
) -> Evidence:
    """All that this page can be judged by. Looks up those alone of whom it is asked."""
    found = Evidence(
        now=now,
        votes=gathered.votes,
        condition=_condition(request),
        author=gather.actor_of(page.author),
        dismissed=gathered.dismissed,
    )
    return replace(found, memberships=forge.memberships(questions(request, found)))


def _condition(request: ApprovalRequest) -> Condition | None:
    """The condition that the policy lets approve, looked at; None where there is none.

    One that is a function of the flow's own cannot be looked at here, and so approves nothing.
    """
    try:
        test = conditions.parse(request.policy.auto_approve_if or "")
    except Faults:
        return None
    subject = request.subject
    if subject is None:
        return conditions.judge(test, {})
    return conditions.judge(test, conditions.Readable(subject.artifacts, subject.environment))
