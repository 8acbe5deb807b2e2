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
    for gate_id in due:
        yield from _settled_one(ledger, venue_of, gate_id, known.get(gate_id))


def _settled_one(
    ledger: Ledger, venue_of: VenueOf, gate_id: str, known: Standing | None
) -> Iterator[Standing | Unreadable]:
    try:
        standing = known or ledger.read(gate_id)  # which says what is wrong with it
        after = venue_of(standing.request).settle(standing) if standing else None
    except LedgerUnavailable:
        raise
    except BridgeError as error:
        yield Unreadable(gate_id, f"gate {gate_id}: {error}")
        return
    except Exception as error:  # noqa: BLE001 - a bug that one gate sets off is that gate's alone
        yield Unreadable(gate_id, f"gate {gate_id}: {report_once(error, os.environ)}")
        return
    if after and after.decision:
        yield after
