"""Reconcile: finish what the clock or a crash left, for the next command that sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bridge.core.errors import LostRequest
from bridge.core.evaluation import Evidence
from bridge.core.model import OpenGate, Standing
from bridge.gates.decide import decide
from bridge.gates.ports import Ledger, Notices
from bridge.policy.evaluate import overdue


def settle(ledger: Ledger, notices: Notices, standing: Standing, now: datetime) -> Standing:
    """The gate after the clock had its say, and without a branch that outlived its decision.

    Doing it twice is doing it once. A gate that waits on past its deadline (`notify`) waits on.
    """
    # On a forge the clock is the decider's alone to read: whoever is here may not push the record.
    if standing.decision is None and overdue(standing.request, now) and not standing.request.forge:
        try:
            _, standing = decide(ledger, notices, standing, Evidence(now))
        except LostRequest:
            return ledger.read(standing.request.gate.id) or standing
    if standing.decision and standing.head and not standing.request.forge:
        ledger.settle(standing.request.gate.id)
    return standing


def settle_overdue(
    ledger: Ledger, notices: Notices, gates: tuple[OpenGate, ...], now: datetime
) -> Iterator[Standing]:
    """Settle those of these gates whose deadline has passed; yields the ones this decided."""
    for gate in gates:
        if gate.expires_at and gate.expires_at <= now:
            yield from _settled(ledger, notices, gate, now)


def reconcile(ledger: Ledger, notices: Notices, now: datetime) -> Iterator[Standing]:
    """Settle every open gate of the ledger; yields those that are open no more."""
    for gate in ledger.listing():
        yield from _settled(ledger, notices, gate, now)


def _settled(ledger: Ledger, notices: Notices, gate: OpenGate, now: datetime) -> Iterator[Standing]:
    standing = ledger.read(gate.id)
    if standing:
        after = settle(ledger, notices, standing, now)
        if after.decision:
            yield after
