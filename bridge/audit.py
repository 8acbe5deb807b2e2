"""Audit a ledger: prove from its commits alone that nothing in it was changed, lost or made up."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.ports import Ledger


@dataclass(frozen=True, slots=True)
class Audit:
    """What a whole ledger amounts to: how many decisions, and every fault, with commit and path."""

    decisions: int
    faults: tuple[str, ...]


def audit(ledger: Ledger, *, signed: bool = False) -> Audit:
    """Read every commit of the ledger once, oldest first, and judge it.

    `signed`: every decision from the first signed one on must carry a signature that git calls
    good (`gpg.ssh.allowedSignersFile`, or the GPG keyring, names whose). Raises `LedgerUnavailable`
    where the ledger cannot be read; an empty `faults` is the proof.
    """
    raise NotImplementedError
