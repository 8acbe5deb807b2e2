"""Audit the baselines: each approval writes the file of its kind, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.core.comparison import baseline_of, path_of
from bridge.core.entry import Entry
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Outcome
from bridge.core.model import (
    ApprovalRequest,
    Decision,
)
from bridge.core.records import baselines_in

FOLDER: Final = "baselines/"


class Decided(NamedTuple):
    """What an entry of the ledger decides."""

    request: ApprovalRequest
    decision: Decision


def baseline_faults(entry: Entry, decided: Decided | None) -> Iterator[str]:
    """What the entry does to the files of kinds, beside putting its own approval first.

    The approvals behind that one may be of another branch, so they are not looked at. A commit that
    only changes such a file is a fault of its own.
    """
    approves = decided is not None and decided.decision.outcome is Outcome.APPROVED
    own = path_of(decided.request) if decided and approves else None
    for change in entry.changes:
        if change.path.startswith(FOLDER) and change.path != own:
            yield f"{change.path} is not the file of a kind that is approved here"
    if decided and own and not _begins_with(entry.texts.get(own), decided):
        yield f"{own} does not say what was approved last"


def _begins_with(text: str | None, decided: Decided) -> bool:
    newest = baseline_of(*decided)
    try:
        found = baselines_in(text, "") if text is not None else None
    except BridgeError:
        return False
    if found is None or not found.listed:
        return False
    listed = found.listed[0]
    return (found.approved[:1], listed.gate, listed.key, listed.decided_at) == (
        (newest,),
        newest.gate,
        newest.key,
        newest.decided_at,
    )
