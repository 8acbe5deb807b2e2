"""Hold what workflows of Argo ran behind their gates against the ledger's decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bridge.argo.ran import Guarded
from bridge.core.coverage import Coverage, Found, TaskRun, cover
from bridge.core.model import Standing
from bridge.gates.ports import Ledger


def argo_coverage(ledger: Ledger, nodes: Sequence[Guarded]) -> Iterator[Coverage]:
    """Each node with the decision of its gate, in the order of `nodes`."""
    asked = dict.fromkeys(each.gate for each in nodes if each.gate)
    records = ledger.decided(asked)
    counted = _not_counted(ledger, asked, records)
    for node in nodes:
        yield _covered(node, records.get(node.gate or ""), unreadable=node.gate in counted)


def _not_counted(
    ledger: Ledger, asked: Iterable[str], records: Mapping[str, Standing]
) -> frozenset[str]:
    return ledger.recorded([each for each in asked if each not in records])


def _covered(node: Guarded, standing: Standing | None, *, unreadable: bool) -> Coverage:
    workflow = node.workflow
    place = f"{workflow.namespace}/{workflow.name}/{node.name}"
    asked = standing.request.workflow if standing else None
    if standing and node.ran and (asked is None or asked.uid != workflow.uid):
        task = TaskRun(place, True, node.ran, finished_at=node.finished_at)
        says = "it ran, and its gate is of another run: it was submitted again with memoized steps"
        return Coverage(Found.GAP, task, says, node.gate)
    # The gate's own key, so that the decision is looked up by what was asked.
    key = standing.request.gate.key if standing else place
    task = TaskRun(key, node.gate is not None, node.ran, finished_at=node.finished_at)
    found = cover(task, [standing] if standing else [], unreadable=unreadable)
    return Coverage(found.found, TaskRun(
        place, task.gated, task.ran, finished_at=task.finished_at
    ), found.why, found.gate_id or node.gate, found.decided_at)  # fmt: skip
