"""Whose pages these are: found once for a whole look, each page behind a barrier of its own."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from bridge.core.crash_report import report_once
from bridge.pages.body_history import gates_shown
from bridge.pages.model import Comment, Look, Page, Review, Site
from bridge.pages.votes import gate_of, texts


@dataclass(frozen=True, slots=True)
class Sorted:
    """`pages` are those of each gate, and `now` the gates that one shows. `unread` says of a gate
    that one of its pages cannot be read, and `strays` says so of a page that names none."""

    look: Look
    pages: Mapping[str, tuple[Page, ...]]
    now: frozenset[str]
    unread: Mapping[str, str]
    strays: tuple[str, ...]

    def of(self, gate_id: str) -> Look:
        return replace(self.look, pages=self.pages.get(gate_id, ()))


def sorted_by_gate(look: Look, gates: Collection[str]) -> Sorted:
    """A page that cannot be read may hold an objection to each of these gates that it names."""
    pages: dict[str, list[Page]] = defaultdict(list)
    now: set[str] = set()
    unread: dict[str, str] = {}
    strays = []
    for page in look.pages:
        try:
            shows, before = _shown_on(page, look.site)
        except Exception as error:  # noqa: BLE001 - a bug that one page sets off is its alone
            why = f"{page.url} cannot be read: {report_once(error, os.environ)}"
            named = _named(page, gates)
            unread |= dict.fromkeys(named, why)
            strays += [] if named else [why]
            continue
        now |= shows
        for gate_id in shows | before:
            pages[gate_id].append(page)
    of = {each: tuple(found) for each, found in pages.items()}
    return Sorted(look, of, frozenset(now), unread, tuple(strays))


def _shown_on(page: Page, site: Site) -> tuple[set[str], set[str]]:
    """The gate that a page shows, and those that the opener's key made it show before."""
    now = gate_of(page, site)
    before = gates_shown(page, site.voices) if site.voices.own(page.author) else ()
    return {now} if now else set(), set(before)


def _named(page: Page, gates: Collection[str]) -> list[str]:
    whole = "\n".join(_all_text(page))
    return [each for each in gates if each in whole]


def _all_text(page: Page) -> Iterator[str]:
    said: list[Page | Comment | Review] = [page, *texts(page)]
    yield page.branch.name if page.branch else ""
    for each in said:
        yield each.body
        yield from (state.text or "" for state in each.revisions)
