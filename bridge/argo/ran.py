"""What a workflow of Argo ran behind its gates, as its object says it. Values in, values out.

Who may write workflows can write all of this, so it is a claim, as what Metaflow keeps.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bridge.argo.nodes import Node, named, read_nodes, run_of
from bridge.core.delivery import Workflow
from bridge.core.errors import Faults
from bridge.core.timestamps import moment

_STARTED: Final = ("Running", "Succeeded", "Failed", "Error")
#: What the check of a gate in front of another template is called.
_VERIFY: Final = "hitl-verify-"
_POST: Final = "hitl-"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A node that has to be approved. `gate` is None if no gate is in front of it."""

    workflow: Workflow
    name: str
    gate: str | None
    ran: bool
    finished_at: datetime | None


def workflows(text: str, where: str) -> list[Mapping[str, Any]]:
    """The objects of a file: one, a JSON array, or the `List` that kubectl and argo print.

    Raises `Faults`.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Faults(where, [f"it is not JSON: {error}"]) from None
    items = found.get("items", [found]) if isinstance(found, dict) else found
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise Faults(where, ["it holds no workflows: use `kubectl get workflows -o json`"])
    return items


def guarded(workflow: Mapping[str, Any], names: Collection[str]) -> Iterator[Guarded]:
    """Each node behind a gate, and each one of these names without one.

    Raises `UnreadableWorkflow`.
    """
    own, nodes = named(workflow), read_nodes(workflow)
    if run_of(workflow).offloaded and not nodes:
        yield Guarded(own, "its nodes are in the controller's database", None, True, None)
        return
    seen: set[str] = set()
    for gate in nodes.values():
        if gate.type == "Suspend" and gate.gate:
            for node in _behind(gate, nodes):
                seen |= {node.id, *node.children} if node.type == "Retry" else {node.id}
                yield _as_guarded(own, node, gate.gate)
    for node in nodes.values():
        alone = node.id not in seen and not node.name.startswith(_POST)
        if alone and node.name.partition("(")[0] in names and node.type in ("Pod", "Retry"):
            seen |= {node.id, *node.children} if node.type == "Retry" else {node.id}
            yield _as_guarded(own, node, None)


def _behind(gate: Node, nodes: Mapping[str, Node]) -> Iterator[Node]:
    """What starts next, past the groups of a steps template and the gate's own check.

    Each node once: who writes the object can let groups follow each other in a circle.
    """
    seen = {gate.id}
    left = [(each, False) for each in reversed(gate.children)]
    while left:
        key, is_within = left.pop()
        child = nodes.get(key)
        if child is None or key in seen:
            continue
        seen.add(key)
        if child.type == "StepGroup" or child.name.startswith(_VERIFY):
            left += [(each, True) for each in reversed(child.children)]
        elif not (is_within and child.name.startswith(_POST)):
            yield child


def _as_guarded(workflow: Workflow, node: Node, gate: str | None) -> Guarded:
    # The gated step's own check leaves with 202 before its body begins.
    ran = node.phase in _STARTED and node.exit_code != "202"
    try:
        finished = moment(node.finished_at) if node.finished_at else None
    except ValueError:
        finished = None
    return Guarded(workflow, node.name, gate, ran, finished)
