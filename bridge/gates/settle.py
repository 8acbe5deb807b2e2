"""Reconcile: finish what the clock or a crash left, for the next command that sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bridge.core.listing import OpenGate
from bridge.core.model import Standing
from bridge.gates.ports import Ledger
from bridge.gates.venue import Venue, VenueOf


def settle_overdue(
    ledger: Ledger, venue_of: VenueOf, gates: Iterable[OpenGate], now: datetime
) -> Iterator[Standing]:
    """Settle those of these gates whose deadline has passed; yields the ones that are decided."""
    for gate in gates:
        if gate.expires_at and gate.expires_at <= now:
            yield from _settled(ledger, venue_of, gate)


def reconcile(venue: Venue, venue_of: VenueOf) -> Iterator[Standing]:
    """Settle every open gate of the venue; yields those that are open no more."""
    for gate in venue.unsettled():
        yield from _settled(venue.ledger, venue_of, gate)


def _settled(ledger: Ledger, venue_of: VenueOf, gate: OpenGate) -> Iterator[Standing]:
    standing = ledger.read(gate.id)
    if standing:
        after = venue_of(standing.request).settle(standing)
        if after.decision:
            yield after
