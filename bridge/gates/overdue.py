"""Each event also settles the gates whose deadline has passed: a schedule can come hours late.

A branch's commit says when its gate ends. That is the opener's word, so it says only where to look:
whether the time has passed is judged as always, from GitHub's own times.
"""

from __future__ import annotations

from typing import Final

from bridge.core.model import Standing
from bridge.core.rules import OnTimeout
from bridge.gates.finish_page import Tended
from bridge.gates.gate_issues import asked_since
from bridge.gates.open_page import Desk
from bridge.gates.process_page import process_each, when_due
from bridge.gates.whose_page import sorted_by_gate
from bridge.pages.model import GATE_BRANCH

#: In one run, the oldest first: somebody waits for the event that started it.
_MOST: Final = 10
#: How many are read: of some, the clock has nothing to say.
_READ: Final = 50


def settle_overdue_pages(desk: Desk, but: str | None) -> tuple[Tended, ...]:
    """Process those that are due, without the gate that this run has looked at already."""
    now = desk.clock()
    due = [
        gate.id
        for gate in desk.ledger.listing().gates
        if gate.expires_at is not None and gate.expires_at <= now and gate.id != but
    ][:_READ]
    known = desk.ledger.read_all(due) if due else {}
    due = [each for each in due if not _only_reminds(known.get(each))][:_MOST]
    if not due:
        return ()
    since = asked_since([known[each] for each in due if each in known], (), now)
    found = desk.forge.find([f"{GATE_BRANCH}{each}" for each in due], since)
    whose = sorted_by_gate(found, due)
    readable = [each for each in due if each not in whose.unread]
    verbs = {each: when_due(desk, whose.of(each), each, known.get(each)) for each in readable}
    return process_each(desk, verbs)


def _only_reminds(standing: Standing | None) -> bool:
    """It waits on, for good: each event would process it again."""
    if standing is None or standing.decision is not None:
        return False
    return standing.request.policy.on_timeout is OnTimeout.NOTIFY
