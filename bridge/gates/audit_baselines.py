"""Audit the baselines: each approval writes the file of its kind, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.core.comparison import baseline_of, path_of, with_newest
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Baseline, Decision, Entry
from bridge.core.records import baselines_in

FOLDER: Final = "baselines/"


class Decided(NamedTuple):
    """What an entry of the ledger decides."""

    request: ApprovalRequest
    decision: Decision


class KindFiles:
    """The files of all kinds, as the entries up to here have left them."""

    def __init__(self) -> None:
        self._approved: dict[str, tuple[Baseline, ...]] = {}

    def faults_of(self, entry: Entry, decided: Decided | None) -> Iterator[str]:
        due = self._due(decided)
        for change in entry.changes:
            if change.path.startswith(FOLDER) and (due is None or change.path != due[0]):
                yield f"{change.path} is not the file of a kind that is approved here"
        if due:
            path, expected = due
            found = _approved(entry.texts.get(path))
            if found != expected:
                yield f"{path} does not say what was approved last"
            self._approved[path] = expected

    def _due(self, decided: Decided | None) -> tuple[str, tuple[Baseline, ...]] | None:
        if decided is None or decided.decision.outcome is not Outcome.APPROVED:
            return None
        path = path_of(decided.request)
        if path is None:
            return None
        return path, with_newest(self._approved.get(path, ()), baseline_of(*decided))


def _approved(text: str | None) -> tuple[Baseline, ...] | None:
    try:
        return baselines_in(text, "").approved if text is not None else None
    except BridgeError:
        return None
