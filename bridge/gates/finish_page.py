"""Show what became of a gate on its page: the record's outcome, once it is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.core.delivery import Delivery
from bridge.core.errors import ClusterUnavailable
from bridge.core.evaluation import Decider, Evaluation, Outcome
from bridge.core.model import Decision, Standing
from bridge.gates.deliver import amiss, deliver
from bridge.gates.open_page import Desk
from bridge.pages import page_text as show
from bridge.pages import status_comment
from bridge.pages import votes as gather
from bridge.pages.afterwards import word_delivered, word_started
from bridge.pages.model import Close, Page, Remove, Rewrite, Say, Site, State, Write
from bridge.pages.reactions import late
from bridge.pages.votes import Gathered


@dataclass(frozen=True, slots=True)
class Tended:
    """What a look came to, for the reader of the run's summary."""

    says: str
    standing: Standing | None = None
    evaluation: Evaluation | None = None
    page: Page | None = None
    failed: bool = False
    over: bool = False  # the gate's branch may go


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of bringing a decision to the cluster: for the run's summary, and for the page."""

    says: str = ""
    note: str = ""
    failed: bool = False


def finish(desk: Desk, site: Site, page: Page, standing: Standing, decision: Decision) -> Tended:
    """Show a recorded decision; if the page shows it already, the gate's branch may go."""
    seen = gather.shown(page, site.voices)
    head = standing.head or page.head or (seen.head if seen else standing.commit)
    current = status_comment.newest(page, site.voices)
    approved = decision.outcome is Outcome.APPROVED
    brought = Brought()
    # Only what was done is said, so what is said here need not be done again.
    is_mine = current is not None and status_comment.is_mine(current, site.voices)
    if current and is_mine and show.tells(current, decision.outcome):
        text = current.body
    else:
        started = approved and desk.engine is not None and desk.engine.resume(standing)
        brought = bring(desk, standing)
        note = brought.note or (word_started(standing.request, site) if started else "")
        text = show.status(standing, head, site, None, Gathered(), note=note)
    writes = list(status_comment.writes(page, site, text))
    if current and not is_mine and current.body.strip() == text.strip():
        writes = [Remove(current.node), Say(text), *writes]  # the next look believes this one
    if writes and page.head:
        writes.append(show.light(standing, None, page.head))
    writes += late(page, site, decision)
    writes += status_comment.label(page, decision.outcome)
    writes += _lasting(page, standing, head)
    merges = approved and page.branch is not None and page.is_into(standing.request.shard)
    if page.state is State.OPEN and not merges:
        writes.append(Close(approved))
    if writes:
        desk.forge.write(site, page, writes)
    # GitHub shows an approval as merged only while it can still see the branch that was.
    seen_so = page.state is not State.OPEN or not merges
    over = bool(standing.head) and not brought.failed and seen_so
    says = "; ".join(filter(None, (decision.reason, brought.says)))
    return Tended(says, standing, page=page, failed=brought.failed, over=over)


def _lasting(page: Page, standing: Standing, head: str) -> Iterator[Write]:
    """Let an issue's pictures and links name the record. The gate's branch goes, and GitHub keeps
    its commit for a pull request alone; an approval has it as a parent."""
    decision = standing.decision
    if page.branch is not None or decision is None or decision.outcome is Outcome.APPROVED:
        return
    body = page.body.replace(f"/blob/{head}/", f"/blob/{standing.commit}/")
    if body != page.body:
        yield Rewrite(page.title, body)


def bring(desk: Desk, standing: Standing) -> Brought:
    """Deliver to the cluster, if this desk has one. What fails is tried again with each look."""
    if desk.cluster is None or standing.request.workflow is None:
        return Brought()
    try:
        found = deliver(desk.cluster, standing, desk.clock())
    except ClusterUnavailable as error:
        return Brought(str(error), show.word_undelivered(str(error)), failed=True)
    if not found.done:
        return Brought(found.says, show.word_undelivered(found.says), failed=True)
    wrong = amiss(found, standing)
    request, decision = standing.request, standing.decision
    # A run that ended by itself has its withdrawal from that, and it may be why somebody withdrew.
    gone = decision and decision.outcome is Outcome.WITHDRAWN
    if decision is None or (gone and (wrong or decision.by is Decider.RUN)):
        return Brought(found.says)
    if wrong:
        return Brought(found.says, show.word_amiss(wrong))
    here = found.delivery is not Delivery.ELSEWHERE
    return Brought(found.says, word_delivered(request, decision.outcome) if here else "")
