"""Runs that a watch saw end, until the pages of their gates say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.argo.compressed_nodes import UnreadableWorkflow
from bridge.argo.nodes import gates_of, run_of
from bridge.core.errors import BridgeError
from bridge.gates.venue import Venue

#: How often it is tried, and in one look for how many runs: deliveries wait for it.
_TRIES: Final = 3
_AT_ONCE: Final = 10
#: Runs that are remembered: of one that ended, several events tell.
_REMEMBERED: Final = 10_000


@dataclass
class _Ended:
    gates: tuple[str, ...]
    well: bool
    tries: int = 0


@dataclass
class EndedRuns:
    """By uid. What is forgotten costs a line on a page."""

    _due: dict[str, _Ended] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)

    def saw(self, workflow: Mapping[str, Any]) -> None:
        """As the cluster has it now. A workflow that is unreadable says nothing."""
        try:
            run, gates = run_of(workflow), gates_of(workflow)
        except UnreadableWorkflow:
            return
        uid = run.named.uid
        if not run.ended or not gates or uid in self._seen:
            return
        if len(self._seen) >= _REMEMBERED:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._due.pop(oldest, None)
        self._seen[uid] = None
        self._due[uid] = _Ended(gates, run.phase == "Succeeded")

    def say(self, venue: Venue) -> BridgeError | None:
        """Say so on the pages; the last reason why that failed."""
        failed = None
        for uid, ended in list(self._due.items())[:_AT_ONCE]:
            del self._due[uid]
            ended.tries += 1
            try:
                venue.say_ended(ended.gates, well=ended.well, uid=uid)
            except BridgeError as error:
                failed = error
                if ended.tries < _TRIES:
                    self._due[uid] = ended  # behind the others
        return failed
