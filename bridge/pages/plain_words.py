"""Comments that begin like an answer and hold no command: `LGTM`, `reject, too low`.

They decide nothing and hold nothing, so an approver who wrote one reads what to write instead. Only
how a comment begins is looked at: most of what people say to each other is not for the bridge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.core.evaluation import Actor, Evaluation, Evidence
from bridge.core.model import ApprovalRequest
from bridge.pages import comment_commands
from bridge.pages.command_words import AROUND, Word
from bridge.pages.model import Comment, Page, Review, ReviewState, Voices
from bridge.pages.page_text import approve_line
from bridge.pages.votes import Unread, actor_of
from bridge.policy.approvers import Memberships, identity, why_no_approver
from bridge.policy.objections import standing, why_no_objector

_YES = r"lgtm|sgtm|approve[sd]?|approving|ship\s?it|looks\s+good|go\s+ahead|ok(?:ay)?\s+to\s+\w+"
_NO = (
    r"reject(?:ed|ing|s)?|disapproved?|not\s+approved|den(?:y|ied)|declined?|veto|na(?:c)?k|blocked"
    r"|stop|wait|hold|(?:do\s+not|don['’]?t)\s+(?:approve|deploy|merge|release|ship|go)"
)
#: A word of more letters is another one; a sentence that ends in a question mark asks somebody.
_END = r"(?![\w'’-]).*(?<!\?)"
_BEGINS = re.compile(rf"[{AROUND}✅👍🚀❌👎🛑]*+(?:(?P<no>{_NO})|(?:{_YES})){_END}", re.IGNORECASE)
_MARKS = re.compile(r"(?P<no>👎|:-1:|-1)|👍|:\+1:|\+1")
_LONGEST = 1_000  # characters of a line that somebody wrote as an answer


@dataclass(frozen=True, slots=True)
class Plain:
    """A text that begins like an answer; `objects` if like one that says no."""

    said: Comment | Review
    actor: Actor
    objects: bool


def objects(body: str) -> bool | None:
    """Whether a text begins like a no, or (False) like an approval; None if like neither."""
    line = next(filter(None, map(str.strip, body.splitlines())), "")[:_LONGEST]
    found = _MARKS.fullmatch(body.strip()) or _BEGINS.fullmatch(line)
    if found is None or comment_commands.read(body):
        return None
    return found["no"] is not None


def plain_words(page: Page, voices: Voices) -> tuple[Plain, ...]:
    """The newest such text of each person on a page."""
    texts: list[Comment | Review] = [*page.comments]
    texts += (each for each in page.reviews if each.state is ReviewState.COMMENTED)
    newest: dict[int, Plain] = {}
    for said in sorted(texts, key=lambda each: each.at):
        no = None if voices.wrote(said.author, said.body) else objects(said.body)
        actor = actor_of(said.author)
        if no is not None and actor.id is not None and not actor.bot:
            newest[actor.id] = Plain(said, actor, no)
    return tuple(newest.values())


def unheard(
    words: tuple[Plain, ...],
    request: ApprovalRequest,
    evidence: Evidence,
    evaluation: Evaluation,
    *,
    replaced: bool,
) -> Iterator[Unread]:
    """Those that are answered: of people whose command would count, and who wrote none since."""
    members = Memberships(evidence.memberships)
    answers = [(identity(each.actor), each.at) for each in (*evidence.votes, *evidence.said)]
    yes = {identity(each.actor) for each in evaluation.candidates}
    no = {identity(each.who) for each in standing(evaluation.objections)}
    for each in words:
        actor, who = each.actor, identity(each.actor)
        if who in (no if each.objects else yes):
            continue
        if any(who == by and each.said.at <= at for by, at in answers):
            continue
        if each.objects and why_no_objector(request, actor, members) is None:
            why = f"to object, write `/{Word.HOLD}` or `/{Word.REJECT}` and the reason"
            yield _unread(each.said, "which holds nothing", why)
        if not each.objects and why_no_approver(request, evidence, actor, members) is None:
            why = f"to approve, write `{approve_line(request, replaced)}`"
            yield _unread(each.said, "which approves nothing", why)


def _unread(said: Comment | Review, which: str, why: str) -> Unread:
    login = said.author.login if said.author else "somebody"
    return Unread(said.node, said.url, login, why, which)
