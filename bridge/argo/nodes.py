"""Argo's workflow objects as values: which node waits for a gate, and the patch that moves it.

Who may write a workflow writes the object, so it is checked as it is read: one that is not as Argo
writes it raises `UnreadableWorkflow`, and stops no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.argo.compressed_nodes import UnreadableWorkflow, packed_again, unpacked
from bridge.argo.inject import GATE
from bridge.core.delivery import Delivery, Move, Resumption, Workflow
from bridge.core.sanitize import shortened
from bridge.core.timestamps import moment_out

Json = dict[str, Any]

#: How the controller words it when a person ran `argo stop` or `argo terminate`.
_STOPPED: Final = "Stopped with strategy"

_ENDED: Final = ("Succeeded", "Failed", "Error")
_BAD: Final = ("Failed", "Error")
#: Characters of a message that are shown: a node may hold a megabyte.
_SHOWN: Final = 300


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow object without its nodes."""

    named: Workflow
    phase: str
    message: str
    offloaded: bool  # the nodes are in the controller's database
    version: str  # resourceVersion

    @property
    def place(self) -> str:
        return f"{self.named.namespace}/{self.named.name}"

    @property
    def ended(self) -> bool:
        return self.phase in _ENDED


@dataclass(frozen=True, slots=True)
class Output:
    """An output parameter of a node; it has a source until it has its value."""

    name: str
    has_source: bool


@dataclass(frozen=True, slots=True)
class Node:
    """What the bridge reads of a node. `gate`: the gate that it waits for, if it is one of ours."""

    id: str
    type: str
    phase: str
    name: str
    message: str
    finished_at: str
    children: tuple[str, ...]
    gate: str | None
    exit_code: str
    outputs: tuple[Output, ...]


def named(workflow: object) -> Workflow:
    """Which workflow the object is of. Raises `UnreadableWorkflow`."""
    own = _metadata(workflow)
    namespace, name, uid = (
        _text(own.get(key), f"metadata.{key}") for key in ("namespace", "name", "uid")
    )
    if not (namespace and name and uid):
        raise UnreadableWorkflow("metadata has no namespace, name or uid")
    return Workflow(namespace, name, uid)


def version_of(workflow: object) -> str:
    """Its `resourceVersion`; empty if it has none. Raises `UnreadableWorkflow`."""
    return _text(_metadata(workflow).get("resourceVersion"), "metadata.resourceVersion")


def _metadata(workflow: object) -> Mapping[str, Any]:
    return _mapping(_mapping(workflow, "the object").get("metadata"), "metadata")


def run_of(workflow: Mapping[str, Any]) -> Run:
    """Raises `UnreadableWorkflow`."""
    own = named(workflow)
    status = _status(workflow)
    return Run(
        own,
        _text(status.get("phase"), "status.phase"),
        _text(status.get("message"), "status.message"),
        bool(status.get("offloadNodeStatusVersion")),
        version_of(workflow),
    )


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Json]:
    """The nodes by id as Argo has them, unpacked if they are compressed.

    Raises `UnreadableWorkflow`.
    """
    status = _status(workflow)
    packed = status.get("compressedNodes")
    nodes = unpacked(packed) if packed else _mapping(status.get("nodes"), "status.nodes")
    found = {key: _node(node, key) for key, node in nodes.items()}
    for key in found:
        _text(key, "the id of a node")
    return found


def _node(found: object, key: str) -> Json:
    if not isinstance(key, str):
        raise UnreadableWorkflow("the id of a node is not text")
    if not isinstance(found, dict):
        raise UnreadableWorkflow(f"the node {_quoted(key)} is not a mapping")
    if found.get("id", key) != key:
        raise UnreadableWorkflow(f"the node {_quoted(key)} has another id")
    return found


def read_nodes(workflow: Mapping[str, Any]) -> dict[str, Node]:
    return {key: _read(key, node) for key, node in nodes_of(workflow).items()}


def _read(key: str, node: Json) -> Node:
    at = f"the node {_quoted(key)}: "
    words = ("type", "phase", "displayName", "message", "finishedAt")
    kind, phase, name, message, finished = (_text(node.get(each), at + each) for each in words)
    given = _parameters(node.get("inputs"), f"{at}inputs")
    value = next((each.get("value") for each in given if each.get("name") == GATE), None)
    return Node(
        id=key,
        type=kind,
        phase=phase,
        name=name,
        message=message,
        finished_at=finished,
        children=tuple(
            _text(each, f"{at}children") for each in _list(node.get("children"), f"{at}children")
        ),
        gate=_text(value, f"{at}the value of {GATE}") or None,
        exit_code=_text(_mapping(node.get("outputs"), f"{at}outputs").get("exitCode"), at),
        outputs=tuple(
            Output(_text(each.get("name"), f"{at}outputs"), "valueFrom" in each)
            for each in _parameters(node.get("outputs"), f"{at}outputs")
        ),
    )


def _parameters(found: object, where: str) -> list[Mapping[str, Any]]:
    at = f"{where}.parameters"
    listed = _list(_mapping(found, where).get("parameters"), at)
    return [_mapping(each, f"one of {at}") for each in listed]


def _status(workflow: object) -> Mapping[str, Any]:
    return _mapping(_mapping(workflow, "the object").get("status"), "status")


def _mapping(found: object, where: str) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise UnreadableWorkflow(f"{where} is not a mapping")
    return found


def _list(found: object, where: str) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise UnreadableWorkflow(f"{where} is not a list")
    return found


def _text(found: object, where: str) -> str:
    if found is None:
        return ""
    if not isinstance(found, str):
        raise UnreadableWorkflow(f"{where} is not text")
    try:
        found.encode()
    except UnicodeEncodeError:  # nothing can print or store it
        raise UnreadableWorkflow(f"{where} contains an unpaired surrogate") from None
    return found


def _quoted(text: str) -> str:
    return shortened(text, 80)


def waiting(workflow: Mapping[str, Any]) -> dict[str, str]:
    """The suspended nodes of ours, node id by gate id. Raises `UnreadableWorkflow`."""
    return {
        node.gate: node.id
        for node in read_nodes(workflow).values()
        if node.type == "Suspend" and node.phase == "Running" and node.gate
    }


def gates_of(workflow: Mapping[str, Any]) -> tuple[str, ...]:
    """The gates that any suspended node is or was for. Raises `UnreadableWorkflow`."""
    every = read_nodes(workflow).values()
    return tuple(dict.fromkeys(node.gate for node in every if node.type == "Suspend" and node.gate))


def classify(workflow: Mapping[str, Any] | None, named: Workflow, gate: str) -> Resumption:
    """Where the node of this gate stands, in an object as the API has it (None: not found).

    Raises `UnreadableWorkflow`.
    """
    place = f"{named.namespace}/{named.name}"
    if workflow is None:
        return Resumption(Delivery.GONE, f"the workflow {place} is gone")
    run = run_of(workflow)
    if run.named.uid != named.uid:
        return Resumption(
            Delivery.OTHER_RUN,
            f"{place} is another run of that name: the one that asked is gone",
        )
    if run.offloaded:
        return Resumption(
            Delivery.OFFLOADED,
            f"{place} keeps its nodes in the controller's database, which only Argo Server"
            " can reach: deliver through it (HITL_ARGO_SERVER)",
        )
    of_gate = [
        node
        for node in read_nodes(workflow).values()
        if node.type == "Suspend" and node.gate == gate
    ]
    # `argo retry --restart-successful` and inherited retries suspend a gate afresh, beside the
    # node that was delivered before.
    running = [node for node in of_gate if node.phase == "Running"]
    return _of_node(run, (running or sorted(of_gate, key=lambda node: node.finished_at))[-1:])


def _of_node(run: Run, found: list[Node]) -> Resumption:
    place = run.place
    says = f"{place} ended {run.phase}" if run.ended else f"{place} runs"
    if not found:
        missing = f"{says}, and no node of it has this gate"
        return Resumption(Delivery.ENDED if run.ended else Delivery.NO_NODE, missing)
    node = found[0]
    if node.phase == "Running":
        if run.ended:
            return Resumption(Delivery.ENDED, f"{says} while the node waited", node.id)
        return Resumption(Delivery.WAITING, f"{place} waits at the node {node.id}", node.id)
    if node.phase != "Succeeded" and node.message.startswith(_STOPPED):
        return Resumption(Delivery.STOPPED, f"{place} was stopped while the node waited", node.id)
    phase, message = shortened(node.phase, _SHOWN), shortened(node.message, _SHOWN)
    says = f"the node {node.id} of {place} is {phase} already{message and f' ({message})'}"
    return Resumption(Delivery.ALREADY, says, node.id, node.phase, node.message)


def ended(workflow: Mapping[str, Any] | None, named: Workflow) -> str | None:
    """Why nothing can wait in this run any more; None if it goes on.

    Raises `UnreadableWorkflow`.
    """
    place = f"{named.namespace}/{named.name}"
    if workflow is None:
        return f"the run {place} is gone"
    run = run_of(workflow)
    if run.named.uid != named.uid:
        return f"the run {place} is gone, and another has its name"
    if not run.ended:
        return None
    message = shortened(run.message, _SHOWN)
    return f"the run {place} ended {run.phase}{message and f' ({message})'}"


def passed(workflow: Mapping[str, Any] | None, named: Workflow, gate: str) -> str | None:
    """Why this gate can't wait any more: its run ended, or its node did; None if it may.

    A run whose node is not there yet may wait. Raises `UnreadableWorkflow`.
    """
    why = ended(workflow, named)
    if why:
        return why
    found = classify(workflow, named, gate)
    if found.delivery is Delivery.STOPPED:
        return f"the run {named.namespace}/{named.name} was stopped"
    if found.delivery is not Delivery.ALREADY:
        return None
    says = shortened(found.message, _SHOWN)
    at = f"the node {found.node} of {named.namespace}/{named.name}"
    return f"{at} became {shortened(found.phase or '', _SHOWN)}{says and f' ({says})'}"


def lost(workflow: Mapping[str, Any]) -> str | None:
    """A step that failed for good while others go on: then an approval seldom saves the run."""
    nodes = read_nodes(workflow)
    tried = {child for node in nodes.values() if node.type == "Retry" for child in node.children}
    failed = (
        shortened(node.name or node.id, _SHOWN)
        for node in nodes.values()
        if node.type in ("Pod", "Retry", "Suspend") and node.phase in _BAD and node.id not in tried
    )
    return next(failed, None)


# -- writing -------------------------------------------------------------------------------------


def patch_of(workflow: Mapping[str, Any], move: Move) -> list[Json] | Json:
    """The patch that moves one node: a JSON Patch, or a merge patch if nodes are compressed."""
    packed = _status(workflow).get("compressedNodes")
    return merge_patch(workflow, move) if packed else json_patch(workflow, move)


def outputs(workflow: Mapping[str, Any], node_id: str) -> tuple[Output, ...]:
    """The output parameters of a node."""
    return _read(node_id, nodes_of(workflow)[node_id]).outputs


def json_patch(workflow: Mapping[str, Any], move: Move) -> list[Json]:
    """For nodes that stand as they are. Its tests make a patch of anything else a conflict."""
    at_node = "/status/nodes/" + move.node.replace("~", "~0").replace("/", "~1")
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": run_of(workflow).named.uid},
        {"op": "test", "path": f"{at_node}/type", "value": "Suspend"},
        {"op": "test", "path": f"{at_node}/phase", "value": "Running"},
    ]
    for index, each in enumerate(outputs(workflow, move.node)):
        if each.name != "decision":
            continue
        path = f"{at_node}/outputs/parameters/{index}"
        patch.append({"op": "test", "path": f"{path}/name", "value": "decision"})
        patch.append({"op": "add", "path": f"{path}/value", "value": str(move.decision)})
        if each.has_source:
            patch.append({"op": "remove", "path": f"{path}/valueFrom"})
    return [
        *patch,
        {"op": "add", "path": f"{at_node}/message", "value": move.message},
        {"op": "add", "path": f"{at_node}/finishedAt", "value": moment_out(move.at)},
        {"op": "replace", "path": f"{at_node}/phase", "value": move.phase},
    ]


def merge_patch(workflow: Mapping[str, Any], move: Move) -> Json:
    """For compressed nodes: all of them, packed again. A write meanwhile makes it a conflict."""
    run = run_of(workflow)
    if not run.version:  # without it, a write meanwhile would be lost
        raise UnreadableWorkflow(f"{run.place} has no resourceVersion")
    nodes = nodes_of(workflow)
    nodes = {**nodes, move.node: _moved(nodes[move.node], move)}
    return {
        "metadata": {"uid": run.named.uid, "resourceVersion": run.version},
        # Never status.nodes: the controller would take it for all there are, and lose the rest.
        "status": {"compressedNodes": packed_again(nodes)},
    }


def _moved(node: Json, move: Move) -> Json:
    after = {
        **node,
        "message": move.message,
        "finishedAt": moment_out(move.at),
        "phase": move.phase,
    }
    given = _parameters(node.get("outputs"), "outputs")
    if given:
        after["outputs"] = {**node["outputs"], "parameters": [_given(each, move) for each in given]}
    return after


def _given(output: Mapping[str, Any], move: Move) -> Json:
    if output.get("name") != "decision":
        return dict(output)
    without = {key: value for key, value in output.items() if key != "valueFrom"}
    return {**without, "value": str(move.decision)}
