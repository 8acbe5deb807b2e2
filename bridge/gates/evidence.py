"""Evidence: what people said on a page, and what only the forge can answer about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bridge.core import conditions
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import Answer, Condition, Evidence, Objection, Vote
from bridge.core.facts import About, Fact, Source, account
from bridge.core.model import ApprovalRequest, Standing
from bridge.core.rules import OnTimeout
from bridge.core.signed_statement import vote_statement
from bridge.core.sshsig import VOTE_NAMESPACE, BadSignature, parse_key, verify
from bridge.core.timestamps import moment_out
from bridge.gates.ports import Forge, Ledger
from bridge.pages import votes as gather
from bridge.pages.body_history import Shown, gates_shown
from bridge.pages.model import Kind, Look, Page
from bridge.pages.objections import said_on
from bridge.pages.plain_words import plain_words
from bridge.pages.votes import Gathered
from bridge.policy.approvers import Memberships, may_decide
from bridge.policy.checks import commit_of
from bridge.policy.lookups import questions
from bridge.policy.objections import key, latest_no, raised


def evidence(
    forge: Forge,
    standing: Standing,
    look: Look,
    page: Page,
    seen: Shown,
    gathered: Gathered,
    now: datetime,
) -> Evidence:
    """All that this page can be judged by. Looks up only those that are asked for."""
    found = Evidence(
        now=now,
        votes=gathered.votes,
        condition=_condition(standing.request),
        author=gather.actor_of(page.author),
        dismissed=gathered.dismissed,
        said=objected(standing, look),
        objections=standing.objections,
        facts=(
            *_by_now(standing, page, seen, learned(standing, look, seen), now),
            *_checks(forge, standing.request),
        ),
    )
    others = ((each.actor, each.objects) for each in plain_words(page, look.site.voices))
    asks = questions(standing.request, found, others)
    found = replace(found, memberships=forge.memberships(asks))
    return replace(found, votes=tuple(_checked(forge, standing.request, seen, found)))


def _checks(forge: Forge, request: ApprovalRequest) -> tuple[Fact, ...]:
    commit, names = commit_of(request), request.policy.checks
    return forge.checks(commit, names) if commit and names else ()


def _checked(
    forge: Forge, request: ApprovalRequest, seen: Shown, found: Evidence
) -> Iterator[Vote]:
    """The votes, each with the key that signed it. Keys are looked up of those who may decide."""
    known = Memberships(found.memberships)
    for vote in found.votes:
        signature, login, by = vote.signature, vote.actor.login, None
        may = may_decide(request.policy.require, vote.actor, known).answer is not Answer.NOT
        if signature and login and may:
            keys = [key for key, since in forge.signing_keys(login) if since < seen.asked]
            by = signer_of_vote(request, vote, keys, (*found.objections, *found.said))
        yield replace(vote, signature=signature if by else None, signed_by=by)


def signer_of_vote(
    request: ApprovalRequest,
    vote: Vote,
    keys: Iterable[str],
    objections: Iterable[Vote | Objection],
) -> str | None:
    """The fingerprint of the key, out of these lines, that signed this vote; None if none did."""
    voter = vote.actor.id or 0
    after = latest_no(objections, voter, vote.at)
    allowed = []
    for line in keys:
        with suppress(Faults):  # a kind of key whose signatures we don't read
            allowed.append(parse_key(line))
    try:
        about = vote_statement(request, vote.verdict, vote.inputs, voter, after)
        return verify(about, vote.signature or "", allowed, VOTE_NAMESPACE).fingerprint
    except (BadSignature, Faults):
        return None


def learned(standing: Standing, look: Look, seen: Shown | None) -> tuple[Fact, ...]:
    """What the pages of a gate prove: whose token opened one, and since when it shows this."""
    facts = [*standing.facts, *openers(standing, look)]
    if seen and seen.digest == digest_of(standing.request):
        facts.append(_asked_at(seen.unshut if _clock_approves(standing) else seen.asked))
    return tuple(dict.fromkeys(facts))


def _by_now(
    standing: Standing, page: Page, seen: Shown, facts: tuple[Fact, ...], now: datetime
) -> tuple[Fact, ...]:
    """The clock approves nothing by the time in which a page asked nobody, or asked something else:
    with the opener's key it could be so until its deadline. A deadline that rejects goes on."""
    is_asked = not (page.shut or seen.altered_now or seen.misworded_now)
    if is_asked or not _clock_approves(standing):
        return facts
    asked = _asked_at(now)
    return tuple(asked if each.name is About.ASKED_AT else each for each in facts)


def _clock_approves(standing: Standing) -> bool:
    return standing.request.policy.on_timeout is OnTimeout.APPROVE


def _asked_at(at: datetime) -> Fact:
    return Fact(About.ASKED_AT, moment_out(at), Source.GITHUB, proven=True)


def openers(standing: Standing, look: Look) -> tuple[Fact, ...]:
    """The people whose own token opened a page of this gate: the run was theirs."""
    authors = (page.author for page in _own(standing, look))
    return tuple(
        Fact(About.INITIATOR, account(each.login, each.id), Source.OPENER, proven=True)
        for each in authors
        if each and each.kind is Kind.USER and each.id is not None
    )


def _own(standing: Standing, look: Look) -> list[Page]:
    """Its pages, also one that the opener's key made show another gate since."""
    gate_id, site = standing.request.gate.id, look.site
    return [
        page
        for page in look.pages
        if gather.gate_of(page, site) == gate_id
        or (site.voices.own(page.author) and gate_id in gates_shown(page, site.voices))
    ]


def objected(standing: Standing, look: Look) -> tuple[Vote, ...]:
    """Every objection on a page of this gate, also on one that it has left."""
    digest = digest_of(standing.request)
    recorded, voices = standing.objections, look.site.voices
    own = _own(standing, look)
    return tuple(vote for page in own for vote in said_on(page, digest, voices, recorded))


def heard(ledger: Ledger, forge: Forge, standing: Standing, look: Look, now: datetime) -> Standing:
    """The gate with what its pages say on record, before one makes room for another: objections,
    and whose token opened them.

    Nothing is looked up or written if there is nothing new.
    """
    request = standing.request
    on_record = {key(each) for each in standing.objections}
    new = tuple(each for each in objected(standing, look) if key(each) not in on_record)
    opened = tuple(each for each in openers(standing, look) if each not in standing.facts)
    if standing.decision or not (new or opened):
        return standing
    found = Evidence(now, said=new, objections=standing.objections)
    members = Memberships(forge.memberships(questions(request, found)))
    objections = raised(request, new, standing.objections, members).objections
    if objections == standing.objections and not opened:
        return standing
    return ledger.hold(request.gate.id, objections, opened)


def _condition(request: ApprovalRequest) -> Condition | None:
    """The condition that the policy lets approve, looked at; None if there is none.

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
