"""The objections that hold, kept out of sight in the decider's own status comment as well.

Until a gate is decided, anyone who can push to the ledger can delete its list of objections, or
restore an earlier one, and what was said may be gone from the page. Only the decider can write in
its comment as itself, so it puts back what its comment has and the ledger lacks.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from bridge.core.errors import LedgerCorrupt
from bridge.core.evaluation import Objection
from bridge.core.model import Standing
from bridge.core.records import objections_in, objections_out
from bridge.pages import status_comment
from bridge.pages.marker import Part, seal_of
from bridge.pages.model import Look, Page, Voices
from bridge.policy.approvers import identity
from bridge.policy.objections import key

_FORM: Final = re.compile(r"<!-- approval-bridge objections ([A-Za-z0-9+/=]+) -->")
#: One objection of a person holds the gate. GitHub takes 65,536 characters, of which each takes
#: about 500.
_MOST: Final = 40
_LONGEST_REASON: Final = 100


def line(gate_id: str, objections: Iterable[Objection]) -> str:
    """What the status comment has above its marker; nothing if no objection holds."""
    latest = {
        identity(each.who): replace(each, reason=each.reason[:_LONGEST_REASON])
        for each in sorted(objections, key=lambda each: each.at)
        if each.lifted is None
    }
    if not latest:
        return ""
    some = tuple(latest.values())[-_MOST:]
    return f"<!-- approval-bridge objections {_packed(gate_id, some)} -->"


def _packed(gate_id: str, objections: tuple[Objection, ...]) -> str:
    return b64encode(objections_out(gate_id, objections).encode()).decode()


def missing(standing: Standing, look: Look) -> tuple[Objection, ...]:
    """What the decider's comments on this gate's pages have, and the ledger lacks."""
    known = {key(each) for each in standing.objections}
    gate_id, voices = standing.request.gate.id, look.site.voices
    kept = (each for page in look.pages for each in _kept(page, gate_id, voices))
    return tuple(each for each in kept if key(each) not in known)


def _kept(page: Page, gate_id: str, voices: Voices) -> Iterable[Objection]:
    for comment in status_comment.every(page, voices):
        seal = seal_of(comment.body)
        of_gate = seal and seal.part is Part.STATUS and seal.gate_id == gate_id
        if of_gate and status_comment.is_mine(comment, voices):
            yield from _objections(comment.body, gate_id)


def _objections(text: str, gate_id: str) -> tuple[Objection, ...]:
    # The line above the marker alone: all before it may repeat what a stranger wrote.
    lines = text.rstrip().splitlines()
    found = _FORM.fullmatch(lines[-2].strip()) if len(lines) > 1 else None
    if found is None:
        return ()
    try:
        kept = objections_in(b64decode(found[1], validate=True).decode(), "the status comment")
    except (ValueError, LedgerCorrupt):  # another version of the bridge wrote it
        return ()
    return kept.objections if kept.gate_id == gate_id else ()
