"""Other words on a page than its request says.

The opener writes title and body, and its key lies beside the initiator's code. So what people read
is compared with what the decider makes of the request itself. What the decider wrote needs no look:
an earlier version of it had other words, and its own history is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product

from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Standing
from bridge.pages import page_text
from bridge.pages.body_history import Shown, Spans
from bridge.pages.model import Account, Page, Site
from bridge.policy.claims import as_shown
from bridge.render.request import started_by

#: What a text said from a moment on, and who wrote it; None if nobody can read it any more.
Said = tuple[Account | None, datetime, str | None]


def with_misworded(
    seen: Shown, standing: Standing, page: Page, site: Site, facts: Sequence[Fact]
) -> Shown:
    """`seen` with the times in which the page said something else than this request.

    The clock approves nothing by a time in which people could not read what is asked.
    """
    bodies = _spans(_bodies(page), _true_bodies(seen, standing, site, facts), site)
    titles = _spans(_titles(page), iter([page_text.title(standing.request)]), site)
    ends = [end for _, end in (*seen.altered, *bodies, *titles) if end]
    return replace(seen, misworded=bodies + titles, unshut=max([seen.unshut, *ends]))


def _bodies(page: Page) -> Iterable[Said]:
    if page.revisions:
        return [(each.by, each.at, each.text) for each in page.revisions]
    states = [(page.author, page.at), *((each.by, each.at) for each in page.edits)]
    last = len(states) - 1
    return [(by, at, page.body if n == last else None) for n, (by, at) in enumerate(states)]


def _titles(page: Page) -> Iterable[Said]:
    first = page.renames[0].before if page.renames else page.title
    later = ((each.by, each.at, each.after) for each in page.renames)
    return [(page.author, page.at, first), *later]


def _spans(states: Iterable[Said], true: Iterator[str], site: Site) -> Spans:
    """The times in which a text was neither the decider's nor one of the `true` ones."""
    made: set[str] = set()
    spans: list[tuple[datetime, datetime | None]] = []
    for by, at, text in states:
        mine = by is not None and by.id is not None and by.id == site.voices.me
        is_open = bool(spans) and spans[-1][1] is None
        good = mine or (text is not None and _is_among(_plain(text), made, true))
        if is_open and good:
            spans[-1] = (spans[-1][0], at)
        elif not (is_open or good):
            spans.append((at, None))
    return tuple(spans)


def _is_among(text: str, made: set[str], true: Iterator[str]) -> bool:
    """Whether `text` is one of the `made` ones, or of those still to be made: each once."""
    while text not in made:
        another = next(true, None)
        if another is None:
            return False
        made.add(_plain(another))
    return True


def _plain(text: str) -> str:
    """GitHub's forms send CRLF, and blanks at the ends of a line or of a text come and go."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").strip().split("\n"))


def _true_bodies(
    seen: Shown, standing: Standing, site: Site, facts: Sequence[Fact]
) -> Iterator[str]:
    """All that an honest opener or decider of this version may have written of this request: it
    may not have known yet what is proven now, since when people can see the page, or what the
    repository is called now."""
    asked, shown = standing.request, as_shown(standing.request, facts)
    then = site.url.removesuffix(site.repository) + (asked.venue.repository or "")
    for request, url in product(
        (asked, shown)[: 1 + (asked != shown)], dict.fromkeys((site.url, then))
    ):
        for known, replaced in product(
            _knowing(request, facts), (seen.replaced, not seen.replaced)
        ):
            there = replace(site, url=url)
            yield page_text.body(request, seen.head, there, known, replaced=replaced)


def _knowing(request: ApprovalRequest, facts: Sequence[Fact]) -> Iterable[Sequence[Fact]]:
    """The facts as they came, as far as a page says them."""
    parts = [facts[:count] for count in range(len(facts) + 1)]
    return {started_by(request, part): part for part in reversed(parts)}.values()
