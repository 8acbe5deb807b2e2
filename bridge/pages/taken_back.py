"""Approvals that their own author took back with later words that nobody can read as one.

`/approve if the tests pass` counts for nothing. If the same person approved before, that approval
must not decide now: each person's last word counts, and this is it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from bridge.core.evaluation import Dismissal, ReasonCode, Verdict, Vote, Why
from bridge.pages.model import Account, Comment, Page, Review

#: When each account, by its number, last wrote such words, and their place; None if the place says
#: nothing, because they were edited into a text.
Since = Mapping[int | None, tuple[datetime, str | None]]

_WHY: Final = Why(
    ReasonCode.SUPERSEDED,
    "its author has written another approval since, which cannot be counted: approve again",
)


def later(since: Since, said: Comment | Review) -> Since:
    """With these words, too. What somebody else edited into a text is nobody's word."""
    author = said.author
    if author is None or (said.edited and not _same(author, said.edited.by)):
        return dict(since)
    new = (said.edited.at, None) if said.edited else (said.at, said.url)
    old = since.get(author.id)
    return {**since, author.id: old if old and old[0] > new[0] else new}


def left(votes: Iterable[Vote], since: Since, page: Page) -> tuple[list[Vote], list[Dismissal]]:
    """The votes that stand, and the approvals before such words of the same person.

    Times are whole seconds. In one second, GitHub's order of the comments says what came later, and
    what cannot be known takes the approval back.
    """
    kept, gone = [], []
    for vote in votes:
        end = since.get(vote.actor.id) if vote.verdict is Verdict.APPROVE else None
        if end is not None and not _is_after(vote, *end, page):
            gone.append(Dismissal(replace(vote, signature=None), _WHY))
        else:
            kept.append(vote)
    return kept, gone


def _is_after(vote: Vote, at: datetime, url: str | None, page: Page) -> bool:
    if vote.at != at:
        return vote.at > at
    for texts in (page.comments, page.reviews):
        urls = [each.url for each in texts]
        if url in urls and vote.url in urls:
            return urls.index(vote.url) > urls.index(url)
    return False


def _same(one: Account, other: Account | None) -> bool:
    return other is not None and one.id is not None and one.id == other.id
