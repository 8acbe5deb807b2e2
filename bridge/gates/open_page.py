"""Ask on a forge: put a gate's request on its page, under the policy that holds now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from bridge.core.comparison import changes, is_of
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, NoPolicy
from bridge.core.evaluation import Evidence
from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Declared, Draft, Place, Standing, Subject
from bridge.core.rules import Actors, Approvals, Policy, Via
from bridge.gates.evidence import learned
from bridge.gates.gate_issues import asked_since
from bridge.gates.open_gate import compared, is_asked_now, open_after
from bridge.gates.ports import Clock, Cluster, Engine, Forge, Ledger, Notices
from bridge.pages import page_text, status_comment, votes
from bridge.pages.body_history import was_replaced
from bridge.pages.invitations import left_to_ask, word_not_asked
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
    engine: Engine | None = None  # None: the step that waits reads the ledger
    cluster: Cluster | None = None  # None: somebody else delivers to Argo


_NO_POLICY: Final = Policy(Approvals(Actors()))


def ask(desk: Desk, draft: Draft, facts: tuple[Fact, ...] = ()) -> tuple[Standing, Page | None]:
    """Bind the draft to the policy file, and open the gate and its page. What was opened before
    is found again. `facts` are proven of the draft: they are on record before the page says so.

    Raises `NoPolicy` or `Faults` if no sound policy covers it: then nothing is opened. The page
    is None if the gate is decided already.
    """
    with desk.ledger.connected():
        return _asked(desk, draft, facts)


def _asked(desk: Desk, draft: Draft, facts: tuple[Fact, ...]) -> tuple[Standing, Page | None]:
    look = desk.forge.find([draft.gate.branch])
    place = place_on(desk.forge, look.site)
    now = desk.clock()
    if draft.kind and _policies(look.site).reads_changes:
        # Which entry covers it depends on what it is compared with, whatever its policy is then.
        asked = draft.bound(_NO_POLICY, now, place)
        before = desk.ledger.before_opening(asked)
        shown = compared(desk.ledger, asked, before)
        request = draft.bound(policy_for(shown, look.site), now, place)
    else:
        request = draft.bound(policy_for(draft, look.site), now, place)
        before = desk.ledger.before_opening(request)
    standing = open_after(desk.ledger, request, before, draft.drawn, draft.not_drawn)
    if standing.decision or standing.head is None:
        return standing, None
    asks = is_asked_now(standing, before)
    if facts:
        standing = desk.ledger.hold(standing.request.gate.id, facts=facts)
    if before and request.policy.via is Via.ISSUE:
        look = _its_issues(desk, before)
    page = put_up(desk, look, standing, *_of_replacing(look, standing))
    if asks:
        desk.notices.opened(standing.request, page.url)
    return standing, page


def _its_issues(desk: Desk, before: Standing) -> Look:
    """The issues on which a gate that was asked before may be.

    They changed since it was asked. Only if somebody asked again and stopped before the page said
    so, its issue is older: then all that wait are read, which takes a request for each fifty.
    """
    since = asked_since([before], [], desk.clock())
    look = desk.forge.find([before.request.gate.branch], since)
    if own_page(look, before.request.gate.id, Via.ISSUE):
        return look
    return desk.forge.waiting()


def _of_replacing(look: Look, standing: Standing) -> Iterator[str]:
    """A word to those who looked at what the page showed until now."""
    page = own_page(look, standing.request.gate.id, standing.request.policy.via)
    seen = votes.shown(page, look.site.voices) if page else None
    if seen and seen.digest != digest_of(standing.request):
        yield page_text.note_asked_anew("the run asks with other contents than before")


def place_on(forge: Forge, site: Site) -> Place:
    """The repository as a request names it: with its number, which outlives a rename."""
    return replace(forge.place, repository=site.repository, repository_id=site.repository_id)


def _is_here(forge: Forge, site: Site, there: Place) -> bool:
    """Its opener wrote both the name and the number, so the two must belong together: a gated step
    that knows only the name would else take a decision that was made in another repository.
    """
    here = place_on(forge, site)
    if not there.same(here):
        return False
    if there.same_name(here):
        return True
    # Its name today is another one: it was renamed since, or never had that name.
    return forge.number_of(there.repository or "") == site.repository_id


def not_here(forge: Forge, site: Site, gate_id: str, there: Place) -> str | None:
    """Why a gate whose request says this is not decided in this repository, if it isn't."""
    if _is_here(forge, site, there):
        return None
    return (
        f"gate {gate_id} is not decided on {forge.name}: its request names"
        f" {there.name or 'the machine that asked'}; to decide it here, ask again in a new run"
    )


def pages(forge: Forge, request: ApprovalRequest) -> Look:
    """The pages, of the kind that its policy says, on which this gate may be."""
    if request.policy.via is Via.ISSUE:
        return forge.waiting()
    return forge.find([request.gate.branch])


def policy_for(asked: Draft | ApprovalRequest, site: Site) -> Policy:
    """What the policy file on the default branch says now, narrowed by what the flow declares."""
    if asked.subject is None or asked.declared is None:
        raise Faults(
            f"the request of {asked.gate.key}",
            ["it does not say what it is about, so no policy can be found for it"],
        )
    if asked.kind and not is_of(asked.kind, asked.subject):
        raise Faults(
            f"the request of {asked.gate.key}",
            ["its `kind` is that of another flow, step or environment: ask again in a new run"],
        )
    changed = changes(asked) if isinstance(asked, ApprovalRequest) else {}
    selected = _policies(site).select(asked.subject, asked.initiator, changed)
    return replace(narrow(selected, asked.declared), via=selected.via)


def _policies(site: Site) -> PolicyFile:
    if site.policy is None:
        raise NoPolicy(
            f"{site.repository} has no {PATH} on {site.default_branch}, so nobody can decide there:"
            " add one (`hitl init` writes a first)"
        )
    return parse(site.policy)


def check_covered(site: Site, subject: Subject, declared: Declared, initiator: str | None) -> None:
    """Raises `NoPolicy` or `Faults` if it is sure already that this gate could not be asked.

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
    page = own_page(look, request.gate.id, request.policy.via)
    if page and not (page.can_show(head) and page.is_into(request.shard)):
        page = None
    replaced = page is not None and was_replaced(page, digest_of(request), look.site.voices)
    title = page_text.title(request)
    body = page_text.body(request, head, look.site, standing.facts, replaced=replaced)
    writes: list[Write] = []
    if page is None:
        page = desk.forge.create(request, title, body)
        refused = invite(desk.forge, request, page)
        writes += _first_words(look, page, standing, note=word_not_asked(refused))
    else:
        seen = votes.shown(page, look.site.voices)
        if page.state is State.CLOSED:
            writes.append(Reopen())
        if (page.title, page.body) != (title, body):
            writes.append(Rewrite(title, body))
        if seen is None or seen.head != head or seen.since is None:
            writes += _first_words(look, page, standing, replaced=replaced)
    writes += [Say(note) for note in notes]
    if writes:
        desk.forge.write(look.site, page, writes)
    return page


def invite(forge: Forge, request: ApprovalRequest, page: Page) -> tuple[str, ...]:
    """Request the reviews that nobody requested yet. Returns those that this account may not."""
    left = left_to_ask(request, page)
    return forge.invite(page, left) if left else ()


def own_page(look: Look, gate_id: str, via: Via | None = None) -> Page | None:
    """The gate's page: an open one before a closed one, a newer before an older, and one that
    somebody pointed at another base only if there is no other."""
    own = [
        each
        for each in look.pages
        if votes.gate_of(each, look.site) == gate_id and via in (None, each.via)
    ]
    return max(
        own, key=lambda each: (not each.astray, each.state is State.OPEN, each.number), default=None
    )


def _first_words(
    look: Look, page: Page, standing: Standing, *, note: str = "", replaced: bool = False
) -> Iterator[Write]:
    site, head = look.site, standing.head or ""
    for old in status_comment.every(page, site.voices):
        yield Remove(old.node)
    facts = learned(standing, replace(look, pages=(*look.pages, page)), None)
    author = votes.actor_of(page.author)
    nobody_yet = Evidence(standing.request.opened_at, author=author, facts=facts)
    evaluation = evaluate(standing.request, nobody_yet)
    text = page_text.status(
        standing, head, site, evaluation, Gathered(), note=note, facts=facts, replaced=replaced,
        url=page.url,
    )  # fmt: skip
    yield Say(text)
    yield Label(WAITING)
    if page.branch:
        yield page_text.light(standing, evaluation, head)
