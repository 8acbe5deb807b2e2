"""What a page showed, and since when, by GitHub's own history of its body.

The opener cannot change that history. With its key anybody could rewrite the page and its comments,
and so date a new request back to an old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from bridge.pages.marker import Part, Seal, seal_of
from bridge.pages.model import Page, Voices

#: Since when the bridge made the body say what; None if nobody knows any more.
States = Sequence[tuple[datetime, Seal | None]]


def was_replaced(page: Page, digest: str, voices: Voices) -> bool:
    """Whether this page, which shows this request now, may have shown another one before."""
    seals = (seal for _, seal in history(page, voices))
    return any(seal is None or seal.digest != digest for seal in seals)


def history(page: Page, voices: Voices) -> States:
    """All that the bridge made the body say, oldest first."""
    if not page.edits:
        return [(page.at, seal_of(page.body))]
    if not page.revisions:
        own = [(each.at, None) for each in page.edits if voices.own(each.by)]
        return [(page.at, None), *own]
    return [
        (each.at, seal_of(each.text) if each.text is not None else None)
        for each in page.revisions
        if voices.own(each.by)
    ] or [(page.at, None)]


def gates_shown(page: Page, voices: Voices) -> tuple[str, ...]:
    """The ids of all gates that the bridge made the body show, the newest first."""
    seals = [seal for _, seal in history(page, voices)]
    shown = (each.gate_id for each in reversed(seals) if each and each.part is Part.BODY)
    return tuple(dict.fromkeys(shown))


def unbroken(states: States, fits: Callable[[Seal], bool]) -> datetime | None:
    """Since when everything that the bridge made the body say fits."""
    since = None
    for at, seal in reversed(states):
        if seal is None or not fits(seal):
            break
        since = at
    return since
