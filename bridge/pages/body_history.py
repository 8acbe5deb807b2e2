"""What a page showed, and since when, by GitHub's own history of its title and its body.

The opener cannot change that history. With its key anybody could rewrite the page and its comments,
and so date a new request back to an old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.core.evaluation import ReasonCode, Why
from bridge.pages.marker import Part, Seal, seal_of
from bridge.pages.model import Account, Page, Voices

#: Since when the bridge made the body say what; None if nobody knows any more.
States = Sequence[tuple[datetime, Seal | None]]


#: Times in which a text was not the bridge's: from one moment to the next, or until now.
Spans = tuple[tuple[datetime, datetime | None], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the bridge can prove that it showed: this request at this commit, since this moment.

    `since` is the forge's own time, None if nothing proves it. `asked` is since when the page
    shows this request, at whatever commit; `unshut`, since when it was neither closed nor locked
    besides. `replaced`: it may have shown another one before.
    `altered` are the times in which the title or the body was not the bridge's; `misworded`, those
    in which they were not what the decider makes of the request, by any author.
    """

    head: str
    digest: str
    since: datetime | None
    asked: datetime
    unshut: datetime
    replaced: bool = False
    altered: Spans = ()
    misworded: Spans = ()

    @property
    def altered_now(self) -> bool:
        return _is_open(self.altered)

    @property
    def misworded_now(self) -> bool:
        return _is_open(self.misworded)

    def why_void(self, at: datetime) -> Why | None:
        """Why no vote of this moment counts, if that is so."""
        if _within(self.altered, at):
            return Why(
                ReasonCode.TEXT_ALTERED,
                "it came while someone had changed the text of the request: read it again"
                " and answer again",
            )
        if _within(self.misworded, at):
            return Why(
                ReasonCode.OTHER_WORDS,
                "it came while the page showed other words than its request says: read it again"
                " and say it again",
            )
        return None


def _is_open(spans: Spans) -> bool:
    return any(end is None for _, end in spans)


def _within(spans: Spans, at: datetime) -> bool:
    return any(start <= at and (end is None or at <= end) for start, end in spans)


def altered(page: Page, voices: Voices) -> Spans:
    """When the body was somebody else's. Who puts the bridge's own words back ends it."""
    if page.revisions:
        return _spans((voices.own(each.by), each.at, each.text) for each in page.revisions)
    edits = sorted(page.edits, key=lambda each: each.at)
    return _spans((voices.own(each.by), each.at, None) for each in edits)


def renamed(page: Page, voices: Voices) -> Spans:
    """The same of the title, which mails and lists show alone."""
    first = [(True, page.at, each.before) for each in page.renames[:1]]
    later = [(voices.own(each.by), each.at, each.after) for each in page.renames]
    return _spans([*first, *later])


def last_stranger(page: Page, voices: Voices) -> Account | None:
    """Who changed the title or the body last, apart from the bridge."""
    changes = [(each.at, each.by) for each in page.edits]
    changes += [(each.at, each.by) for each in page.renames]
    latest = sorted(changes, key=lambda each: each[0], reverse=True)
    return next((by for _, by in latest if not voices.own(by)), None)


def _spans(states: Iterable[tuple[bool, datetime, str | None]]) -> Spans:
    """`states` say whether a text is the bridge's, since when it was there, and what it says."""
    spans: list[tuple[datetime, datetime | None]] = []
    ours: str | None = None
    for own, at, text in states:
        if own:
            ours = text
        same = text is not None and ours is not None and text.strip() == ours.strip()
        is_open = bool(spans) and spans[-1][1] is None
        if is_open and (own or same):
            spans[-1] = (spans[-1][0], at)
        elif not is_open and not (own or same):
            spans.append((at, None))
    return tuple(spans)


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
