"""Reconcile: finish what the clock or a crash left, for the next command that sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime

from bridge.core.crash_report import report_once
from bridge.core.errors import BridgeError, LedgerUnavailable
from bridge.core.listing import OpenGate, Unreadable
from bridge.core.model import Standing
from bridge.gates.ports import Ledger
from bridge.gates.venue import Venue, VenueOf


def settle_overdue(
    ledger: Ledger, venue_of: VenueOf, gates: Iterable[OpenGate], now: datetime
) -> Iterator[Standing | Unreadable]:
    """Settle those of these gates whose deadline has passed; yields the ones that are decided.

    What fails at one gate is yielded with its reason, and stops no other. Raises
    `LedgerUnavailable`, which is the same for all of them.
    """
    for gate in gates:
        if gate.expires_at and gate.expires_at <= now:
            yield from _settled(ledger, venue_of, gate)


def reconcile(venue: Venue, venue_of: VenueOf) -> Iterator[Standing | Unreadable]:
    """The same for every open gate of the venue."""
    for gate in venue.unsettled():
        yield from _settled(venue.ledger, venue_of, gate)


def _settled(ledger: Ledger, venue_of: VenueOf, gate: OpenGate) -> Iterator[Standing | Unreadable]:
    try:
        standing = ledger.read(gate.id)
        after = venue_of(standing.request).settle(standing) if standing else None
    except LedgerUnavailable:
        raise
    except BridgeError as error:
        yield Unreadable(gate.id, f"gate {gate.id}: {error}")
        return
    except Exception as error:  # noqa: BLE001 - a bug that one gate sets off is that gate's alone
        yield Unreadable(gate.id, f"gate {gate.id}: {report_once(error, os.environ)}")
        return
    if after and after.decision:
        yield after
