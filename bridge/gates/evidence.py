"""Evidence: what people said on a page, and what only the forge can answer about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bridge.core import conditions
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition, Evidence, Vote
from bridge.core.model import ApprovalRequest, Standing
from bridge.gates.ports import Forge, Ledger
from bridge.pages import votes as gather
from bridge.pages.model import Look, Page
from bridge.pages.objections import said_on
from bridge.pages.votes import Gathered
from bridge.policy.approvers import Facts
from bridge.policy.lookups import questions
from bridge.policy.objections import key, raised


def evidence(
    forge: Forge,
    standing: Standing,
    look: Look,
    page: Page,
    gathered: Gathered,
    now: datetime,
) -> Evidence:
    """All that this page can be judged by. Looks up those alone of whom it is asked."""
    found = Evidence(
        now=now,
        votes=gathered.votes,
        condition=_condition(standing.request),
        author=gather.actor_of(page.author),
        dismissed=gathered.dismissed,
        said=objected(standing, look),
        objections=standing.objections,
    )
    return replace(found, memberships=forge.memberships(questions(standing.request, found)))


def objected(standing: Standing, look: Look) -> tuple[Vote, ...]:
    """Every objection on a page of this gate, also on one that it has left."""
    gate_id, digest = standing.request.gate.id, digest_of(standing.request)
    own = [each for each in look.pages if gather.gate_of(each, look.site) == gate_id]
    recorded, voices = standing.objections, look.site.voices
    return tuple(vote for page in own for vote in said_on(page, digest, voices, recorded))


def heard(ledger: Ledger, forge: Forge, standing: Standing, look: Look, now: datetime) -> Standing:
    """The gate with the objections of its pages on record, before a page makes room for another.

    Nothing is looked up or written if there is nothing new.
    """
    request = standing.request
    on_record = {key(each) for each in standing.objections}
    new = tuple(each for each in objected(standing, look) if key(each) not in on_record)
    if not new or standing.decision:
        return standing
    found = Evidence(now, said=new, objections=standing.objections)
    facts = Facts(forge.memberships(questions(request, found)))
    objections = raised(request, new, standing.objections, facts).objections
    if objections == standing.objections:
        return standing
    return ledger.hold(request.gate.id, objections)


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
