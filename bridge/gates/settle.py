"""Reconcile: finish what the clock or a crash left, for the next command that sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from bridge.core.crash_report import report_once
from bridge.core.errors import BridgeError, LedgerUnavailable
from bridge.core.listing import OpenGate, Unreadable
from bridge.core.model import Standing
from bridge.gates.ports import Ledger
from bridge.gates.recording import Deciding, record_each
from bridge.gates.venue import Venue, VenueOf


def settle_overdue(
    ledger: Ledger, venue_of: VenueOf, gates: Iterable[OpenGate], now: datetime
) -> Iterator[Standing | Unreadable]:
    """Settle those of these gates whose deadline has passed; yields the ones that are decided.

    What fails at one gate is yielded with its reason, and stops no other. Raises
    `LedgerUnavailable`, which is the same for all of them.
    """
    return _settled(ledger, venue_of, [gate.id for gate in gates if _is_overdue(gate, now)])


def reconcile(venue: Venue, venue_of: VenueOf) -> Iterator[Standing | Unreadable]:
    """The same for every open gate of the venue, and for the branches that outlived a decision."""
    gates, now = venue.unsettled(), venue.clock()
    recorded = venue.ledger.recorded([gate.id for gate in gates])
    due = [gate.id for gate in gates if gate.id in recorded or _is_overdue(gate, now)]
    return _settled(venue.ledger, venue_of, due)


def _is_overdue(gate: OpenGate, now: datetime) -> bool:
    return gate.expires_at is not None and gate.expires_at <= now


def _settled(
    ledger: Ledger, venue_of: VenueOf, due: Sequence[str]
) -> Iterator[Standing | Unreadable]:
    known = ledger.read_all(due) if due else {}
    verbs = [_settle(ledger, venue_of, gate_id, known.get(gate_id)) for gate_id in due]
    done = record_each(ledger, verbs)
    if done and all(isinstance(each, LedgerUnavailable) for each in done):
        raise LedgerUnavailable(str(done[0]))
    for gate_id, found in zip(due, done, strict=True):
        if isinstance(found, Exception):
            bug = None if isinstance(found, BridgeError) else report_once(found, os.environ)
            yield Unreadable(gate_id, f"gate {gate_id}: {bug or found}")
        elif found and found.decision:
            yield found


def _settle(
    ledger: Ledger, venue_of: VenueOf, gate_id: str, known: Standing | None
) -> Deciding[Standing | None]:
    standing = known or ledger.read(gate_id)  # which says what is wrong with it
    if standing is None:
        return None
    return (yield from venue_of(standing.request).settle(standing))
