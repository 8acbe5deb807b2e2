"""The bridge's status comment on a page: which one it is, who changed it, how it is kept."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.evaluation import Outcome
from bridge.pages.marker import Part, seal_of
from bridge.pages.model import (
    Amend,
    Comment,
    Edit,
    Kind,
    Label,
    Page,
    Remove,
    Say,
    Site,
    Voices,
    Write,
)


def every(page: Page, voices: Voices) -> list[Comment]:
    """The bridge's own status comments, oldest first, also those that somebody else changed."""
    return [each for each in page.comments if _is_status(each, voices)]


def _is_status(comment: Comment, voices: Voices) -> bool:
    if not voices.wrote(comment.author, comment.body):
        return False
    is_app = comment.author is not None and comment.author.kind is not Kind.USER
    return "<!-- approval-bridge status " in comment.body or (is_app and comment.edited is not None)


def newest(page: Page, voices: Voices) -> Comment | None:
    """The newest status comment that is the bridge's word for word."""
    for comment in reversed(every(page, voices)):
        seal = seal_of(comment.body)
        if seal and seal.part is Part.STATUS and untouched(comment.edited, voices):
            return comment
    return None


def strange_edits(page: Page, voices: Voices) -> Iterator[Edit]:
    """What somebody else made of the bridge's own comments."""
    for each in every(page, voices):
        if each.edited and not untouched(each.edited, voices):
            yield each.edited


def is_mine(comment: Comment, voices: Voices) -> bool:
    """Whether the account that looks wrote the text as it is now.

    The opener's key lies beside the initiator's code, so what it says was done may not be.
    """
    return voices.mine(comment.edited.by if comment.edited else comment.author)


def reminded(page: Page, digest: str, voices: Voices) -> bool:
    """Whether people read here that this request waits on past its deadline."""
    seals = [seal_of(each.body) for each in page.comments if voices.own(each.author)]
    return any(each and each.part is Part.REMINDER and each.digest == digest for each in seals)


def untouched(edited: Edit | None, voices: Voices) -> bool:
    return edited is None or voices.own(edited.by)


def writes(page: Page, site: Site, text: str) -> Iterator[Write]:
    current = newest(page, site.voices)
    for old in every(page, site.voices):
        if old is not current:
            yield Remove(old.node)
    if current is None:
        yield Say(text)
    elif current.body.strip() != text.strip():
        yield Amend(current.node, text)


def label(page: Page, outcome: Outcome) -> list[Write]:
    wanted = f"gate:{outcome}"
    ours = {name for name in page.labels if name.startswith("gate:")}
    return [] if ours == {wanted} else [Label(wanted)]
