"""Ask on a forge: put a gate's request on its page, under the policy that holds now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from bridge.core.digest import digest_of
from bridge.core.errors import Faults, NoPolicy
from bridge.core.evaluation import Evidence
from bridge.core.model import ApprovalRequest, Declared, Standing, Subject
from bridge.core.rules import Via
from bridge.gates.open_gate import open_gate
from bridge.gates.ports import Clock, Cluster, Engine, Forge, Ledger, Notices
from bridge.pages import text, votes
from bridge.pages.model import (
    WAITING,
    Label,
    Look,
    Page,
    Remove,
    Reopen,
    Rewrite,
    Say,
    Site,
    State,
    Write,
)
from bridge.pages.votes import Gathered
from bridge.policy.evaluate import evaluate
from bridge.policy.narrow import narrow
from bridge.policy.policy_file import PATH, PolicyFile, parse


@dataclass(frozen=True)
class Desk:
    """All that a gate on a forge is tended with."""

    forge: Forge
    ledger: Ledger
    notices: Notices
    clock: Clock
    engine: Engine | None = None  # None: whoever waits reads the ledger
    cluster: Cluster | None = None  # None: somebody else delivers to Argo


def ask(desk: Desk, request: ApprovalRequest) -> tuple[Standing, Page | None]:
    """Open the gate and its page; both are found where they were opened before.

    Raises `NoPolicy` or `Faults` where no sound policy covers it: then nothing is opened. The page
    is None where the gate is decided already.
    """
    look = desk.forge.find([request.gate.branch])
    asked = governed(replace(request, venue=desk.forge.place), look.site)
    standing = open_gate(desk.ledger, desk.notices, asked)
    if standing.decision or standing.head is None:
        return standing, None
    if asked.policy.via is Via.ISSUE:
        look = desk.forge.waiting()
    return standing, put_up(desk, look, standing, *_of_replacing(look, standing))


def _of_replacing(look: Look, standing: Standing) -> Iterator[str]:
    """A word to those who looked at what the page showed until now."""
    page = own_page(look, standing.request.gate.id, standing.request.policy.via)
    seen = votes.shown(page, look.site.voices) if page else None
    if seen and seen.digest != digest_of(standing.request):
        yield text.note_asked_anew("the run asks with other contents than before")


def pages(forge: Forge, request: ApprovalRequest) -> Look:
    """The pages, of the kind that its policy says, on which this gate may be."""
    if request.policy.via is Via.ISSUE:
        return forge.waiting()
    return forge.find([request.gate.branch])


def governed(request: ApprovalRequest, site: Site) -> ApprovalRequest:
    """The request under the policy of the default branch as it is now, narrowed by the flow."""
    if request.subject is None or request.declared is None:
        raise Faults(
            f"the request of {request.gate.key}",
            ["it does not say what it is about, so no policy can be found for it"],
        )
    selected = _policies(site).select(request.subject, request.initiator)
    policy = replace(narrow(selected, request.declared), via=selected.via)
    return replace(request, policy=policy)


def _policies(site: Site) -> PolicyFile:
    if site.policy is None:
        raise NoPolicy(
            f"{site.repository} has no {PATH} on {site.default_branch}, so nobody can decide there:"
            " add one (`hitl init` writes a first)"
        )
    return parse(site.policy)


def check_covered(site: Site, subject: Subject, declared: Declared, initiator: str | None) -> None:
    """Raises `NoPolicy` or `Faults` where it is sure already that this gate could not be asked.

    `subject` need not say its artifacts yet.
    """
    policies = _policies(site)
    if not policies.may_cover(subject):
        policies.select(subject)  # which says why not
    with suppress(NoPolicy):  # what chooses between the entries is not known yet
        narrow(policies.select(subject, initiator), declared)


def put_up(desk: Desk, look: Look, standing: Standing, *notes: str) -> Page:
    """The gate's page, showing this standing: the one that is open, or a new one."""
    request, head = standing.request, standing.head or ""
    title, body = text.title(request), text.body(request, head, look.site)
    page = own_page(look, request.gate.id, request.policy.via)
    writes: list[Write] = []
    if page is None or not page.can_show(head):
        page = desk.forge.create(request.policy.via, request.gate.branch, title, body)
        if page.branch:
            users, teams = text.invited(request.policy.require)
            desk.forge.invite(page, users, [each.rpartition("/")[2] for each in teams])
        writes += _first_words(look.site, page, standing, head)
    else:
        seen = votes.shown(page, look.site.voices)
        if page.state is State.CLOSED:
            writes.append(Reopen())
        if (page.title, page.body) != (title, body):
            writes.append(Rewrite(title, body))
        if seen is None or seen.head != head or seen.since is None:
            writes += _first_words(look.site, page, standing, head)
    writes += [Say(note) for note in notes]
    if writes:
        desk.forge.write(look.site, page, writes)
    return page


def own_page(look: Look, gate_id: str, via: Via | None = None) -> Page | None:
    """The gate's page: an open one before a closed one, a newer before an older."""
    own = [
        each
        for each in look.pages
        if votes.gate_of(each, look.site) == gate_id and via in (None, each.via)
    ]
    return max(own, key=lambda each: (each.state is State.OPEN, each.number), default=None)


def _first_words(site: Site, page: Page, standing: Standing, head: str) -> Iterator[Write]:
    for old in votes.status_comments(page, site.voices):
        yield Remove(old.node)
    nobody_yet = Evidence(standing.request.opened_at, author=votes.actor_of(page.author))
    evaluation = evaluate(standing.request, nobody_yet)
    yield Say(text.status(standing, head, site, evaluation, Gathered()))
    yield Label(WAITING)
    if page.branch:
        yield text.light(standing, evaluation, head)
