"""Whether the admission policies of a cluster hold for an account, tried by dry runs as it.

Nothing is written: the API server admits a dry run as it admits a write, and then stores nothing.
https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.argo.compressed_nodes import UnreadableWorkflow
from bridge.argo.nodes import patch_of, waiting
from bridge.core.delivery import Move
from bridge.core.evaluation import Outcome

Json = dict[str, Any]

#: Whether the API server would take this patch of a workflow; None: somebody wrote meanwhile.
Tries = Callable[[Json, list[Json] | Json], bool | None]

#: What no delivery writes. It would change nothing that runs, if it were ever stored.
_REWRITE = {"metadata": {"annotations": {"approval-bridge-doctor": "dry run"}}}


@dataclass(frozen=True, slots=True)
class Admission:
    """What a dry run as the account showed; None: there was nothing to try it on."""

    rewrites: bool | None = None  # whether it could change what is no delivery's
    delivers: bool | None = None  # whether it could move the node of a gate


def admission(runs: Iterable[Json], tries: Tries) -> Admission:
    """Tried on the first of these runs that waits, else on the first there is."""
    first: Json | None = None
    for run in runs:
        first = first or run
        patch = _delivery(run)
        if patch:
            return Admission(tries(run, _REWRITE), tries(run, patch))
    return Admission(tries(first, _REWRITE)) if first else Admission()


def _delivery(run: Mapping[str, Any]) -> list[Json] | Json | None:
    try:
        for gate, node in waiting(run).items():
            move = Move(node, gate, "Succeeded", Outcome.APPROVED, "a dry run", datetime.now(UTC))
            return patch_of(run, move)
    except UnreadableWorkflow:
        pass  # the reconciler names it; another run may do
    return None
