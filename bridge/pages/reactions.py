"""Reactions: the first answer to each review and comment. Values in, writes out."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.evaluation import Evaluation, Verdict, Vote
from bridge.core.model import Decision
from bridge.pages.model import Page, React, Reaction, Site, Write
from bridge.pages.votes import Gathered, is_command, texts


def reactions(
    page: Page,
    gathered: Gathered,
    evaluation: Evaluation | None,
    decision: Decision | None,
) -> Iterator[Write]:
    """🚀 for what counts, 👎 for what does not, 😕 for what cannot be read; each once."""
    votes: list[tuple[Vote, Reaction]] = []
    if evaluation:
        votes += [
            (vote, Reaction.ACCEPTED) for vote in (*evaluation.candidates, *evaluation.heeded)
        ]
        heard = {vote.actor.id for vote in evaluation.candidates}
        own = set(map(id, gathered.dismissed))
        votes += [
            (each.vote, Reaction.REFUSED)
            for each in evaluation.dismissals
            # Who has answered again since was heard: only an answer that was never good is refused.
            if id(each) in own
            or each.vote.verdict is Verdict.RELEASE
            or each.vote.actor.id not in heard
        ]
    if decision:
        votes += [(vote, Reaction.ACCEPTED) for vote in decision.votes]
    there = {each.url: each for each in texts(page)}
    answered = ((there.get(vote.url or ""), reaction) for vote, reaction in votes)
    wanted = {text.node: reaction for text, reaction in answered if text and text.body}
    wanted |= {each.node: Reaction.CONFUSED for each in gathered.unreadable}
    wanted |= dict.fromkeys(gathered.asked, Reaction.ACCEPTED)
    have = {each.node: each.reactions for each in texts(page)}
    for node, reaction in wanted.items():
        if reaction not in have[node]:
            yield React(node, reaction)


def late(page: Page, site: Site, decision: Decision) -> Iterator[Write]:
    """Commands that found the gate decided."""
    counted = {vote.url for vote in decision.votes}
    for comment in page.comments:
        if site.voices.wrote(comment.author, comment.body) or comment.reactions - {Reaction.SEEN}:
            continue
        if comment.url in counted:
            yield React(comment.node, Reaction.ACCEPTED)
        elif comment.at >= decision.decided_at and is_command(comment.body):
            yield React(comment.node, Reaction.REFUSED)
