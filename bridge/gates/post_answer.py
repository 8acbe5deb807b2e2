"""Answer a gate on a forge from a shell: as the person whose token it is, where the others answer.

Nothing here writes the record or counts anything: the decider reads the answer on the page, as it
reads everybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.core.digest import digest_of
from bridge.core.errors import Faults, NoPolicy, NoSuchPage, Refused
from bridge.core.evaluation import Verdict
from bridge.core.model import Standing
from bridge.core.signed_statement import vote_statement
from bridge.gates.evidence import evidence, objected
from bridge.gates.open_page import own_page, pages, policy_for
from bridge.gates.ports import Forge
from bridge.gates.venue import Explained
from bridge.pages import answer_text, comment_commands, vote_signature, votes
from bridge.pages.body_history import was_replaced
from bridge.pages.marker import seal_of, short
from bridge.pages.model import Kind, Look, Page, State, Voices
from bridge.policy.evaluate import evaluate
from bridge.policy.objections import latest_no


def explain(forge: Forge, standing: Standing, now: datetime) -> Explained:
    """Where an undecided gate stands, as far as this person's token can see."""
    look, page = _found(forge, standing)
    seen = votes.shown(page, look.site.voices)
    if seen is None:
        return Explained(None, "the page was changed, and is to be put right first", page.url)
    try:
        request = replace(standing.request, policy=policy_for(standing.request, look.site))
    except (NoPolicy, Faults) as error:
        return Explained(None, str(error), page.url)
    if digest_of(request) != digest_of(standing.request):
        trouble = "the policy has changed since: the gate is to be asked again"
        return Explained(None, trouble, page.url)
    gathered = votes.gather(request, page, seen, standing.head, look.site.voices)
    found = evidence(forge, standing, look, page, seen, gathered, now)
    return Explained(evaluate(request, found), address=page.url)


def answer(
    forge: Forge,
    standing: Standing,
    now: datetime,
    verdict: Verdict,
    reason: str = "",
    inputs: Mapping[str, Any] | None = None,
    sign: Callable[[bytes], str] | None = None,
) -> str:
    """Post this person's own review or comment; its address.

    An approval of a pull request is a review of the commit that was read, a rejection a comment.
    """
    look, page = _found(forge, standing)
    request = standing.request
    signed = _signing(look, standing, now, verdict, inputs, sign)
    if verdict is Verdict.WITHDRAW:
        text = answer_text.withdrawal(reason)
        if isinstance(read := comment_commands.read(text), comment_commands.Unreadable):
            raise Refused(f"{request.gate.key} is not withdrawn: {read.why}")
        return forge.say(page, text)
    if verdict is not Verdict.APPROVE:
        return forge.say(page, signed(answer_text.rejection(reason)))
    digest = digest_of(request)
    named = page.branch is None or was_replaced(page, digest, look.site.voices)
    of = short(digest) if named else None
    text = signed(answer_text.approval(inputs or {}, of, reason))
    return forge.approve(page, standing.head, text) if page.branch else forge.say(page, text)


def _signing(
    look: Look,
    standing: Standing,
    now: datetime,
    verdict: Verdict,
    inputs: Mapping[str, Any] | None,
    sign: Callable[[bytes], str] | None,
) -> Callable[[str], str]:
    """What puts this person's signature behind a text, if they sign."""
    if sign is None:
        return lambda text: text
    voter = look.site.viewer or 0
    # GitHub dated what is on the page. What is on record alone may be dated into the future, by a
    # push to the ledger: the decider takes what came before the vote.
    dates = latest_no(objected(standing, look), voter), latest_no(standing.objections, voter, now)
    after = max((each for each in dates if each), default=None)
    armored = sign(vote_statement(standing.request, verdict, inputs, voter, after))
    return lambda text: vote_signature.signed(text, armored)


def _found(forge: Forge, standing: Standing) -> tuple[Look, Page]:
    look = _believing(pages(forge, standing.request))
    page = own_page(look, standing.request.gate.id, standing.request.policy.via)
    here = page and page.state is State.OPEN and page.is_into(standing.request.shard)
    if page is None or not here:
        raise NoSuchPage(
            f"{standing.request.gate.key} has no open page on {forge.name} that shows it to be the"
            " bridge's: the next sweep makes one; where no App opens the gates, set HITL_VOICES"
        )
    return look, page


def _believing(look: Look) -> Look:
    """The page as it is to one who is none of the bridge's accounts: its Apps are not known here.

    So any App that writes with a seal is taken for one. That is good enough to look, and to choose
    where to post; nothing is decided by it.
    """
    written = [(page.author, page.body) for page in look.pages]
    written += [(said.author, said.body) for page in look.pages for said in page.comments]
    apps = {
        f"{by.login.casefold().removesuffix('[bot]')}[bot]"
        for by, text in written
        if by and by.kind is Kind.BOT and seal_of(text)
    }
    voices = Voices(logins=look.site.voices.logins | apps)
    return replace(look, site=replace(look.site, voices=voices))
