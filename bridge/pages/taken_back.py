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
from bridge.pages.model import Account, Comment, Review

#: When each account, by its number, last wrote such words.
Since = Mapping[int | None, datetime]

_WHY: Final = Why(
    ReasonCode.SUPERSEDED,
    "its author has written another approval since, which cannot be counted: approve again",
)


def later(since: Since, said: Comment | Review) -> dict[int | None, datetime]:
    """With these words, too. What somebody else edited into a text is nobody's word."""
    author = said.author
    if author is None or (said.edited and not _same(author, said.edited.by)):
        return dict(since)
    at = said.edited.at if said.edited else said.at
    return {**since, author.id: max(at, since.get(author.id, at))}


def left(votes: Iterable[Vote], since: Since) -> tuple[list[Vote], list[Dismissal]]:
    """The votes that stand, and the approvals before such words of the same person."""
    kept, gone = [], []
    for vote in votes:
        end = since.get(vote.actor.id) if vote.verdict is Verdict.APPROVE else None
        if end is not None and vote.at < end:
            gone.append(Dismissal(replace(vote, signature=None), _WHY))
        else:
            kept.append(vote)
    return kept, gone


def _same(one: Account, other: Account | None) -> bool:
    return other is not None and one.id is not None and one.id == other.id
