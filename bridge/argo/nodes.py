"""Argo's workflow objects as values: which node waits for a gate, and the patch that moves it."""

from __future__ import annotations

import base64
import binascii
import copy
import gzip
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from bridge.argo.inject import GATE
from bridge.core.delivery import Delivery, Move, Resumption, Workflow
from bridge.core.errors import ClusterUnavailable
from bridge.core.timestamps import moment_out

Json = dict[str, Any]

#: What a node's nodes may come to when they are unpacked: etcd holds 1.5 MB packed, and a bomb
#: must not fill the reconciler's memory.
_UNPACKED_AT_MOST: Final = 64 * 1024 * 1024

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"

#: How the controller words it when a person ran `argo stop` or `argo terminate`.
_STOPPED: Final = "Stopped with strategy"

_ENDED: Final = ("Succeeded", "Failed", "Error")
_BAD: Final = ("Failed", "Error")


class UnreadableNodes(ClusterUnavailable):
    """The workflow's nodes are packed in a way that cannot be read here."""


# -- reading -------------------------------------------------------------------------------------


def nodes_of(workflow: Mapping[str, Any]) -> Json:
    """The nodes by id, unpacked where they are compressed. Raises `UnreadableNodes`."""
    status = workflow.get("status") or {}
    packed = status.get("compressedNodes")
    nodes: Json = unpacked(packed) if packed else status.get("nodes") or {}
    return nodes


def unpacked(packed: str) -> Json:
    """`status.compressedNodes`: base64 of gzip, zstd or brotli. Raises `UnreadableNodes`."""
    try:
        raw = base64.b64decode(packed, validate=True)
        found = json.loads(_decompressed(raw))
    except (binascii.Error, ValueError, EOFError, OSError, zlib.error) as error:
        raise UnreadableNodes(f"the compressed nodes cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableNodes("the compressed nodes are not a mapping")
    return found


def _decompressed(raw: bytes) -> bytes:
    if raw.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return _bounded(file.read(_UNPACKED_AT_MOST + 1))
    if raw.startswith(_ZSTD):
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(raw) as reader:
                return _bounded(reader.read(_UNPACKED_AT_MOST + 1))
        except zstandard.ZstdError as error:
            raise ValueError(error) from None
    import brotli  # it has no mark of its own: what is neither of the others

    try:
        reader = brotli.Decompressor()
        data: bytes = reader.process(raw, output_buffer_limit=_UNPACKED_AT_MOST + 1)
    except brotli.error as error:
        raise ValueError(f"neither gzip, zstd nor brotli ({error})") from None
    _bounded(data)
    if not reader.is_finished():
        raise ValueError("they are cut off")
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) > _UNPACKED_AT_MOST:
        raise ValueError(f"they come to more than {_UNPACKED_AT_MOST} bytes")
    return data


def packed_again(nodes: Mapping[str, Any]) -> str:
    """In gzip, which every version of the controller reads."""
    text = json.dumps(nodes, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(text, mtime=0)).decode()


def waiting(workflow: Mapping[str, Any]) -> dict[str, str]:
    """The suspended nodes of ours, node id by gate id."""
    return {
        gate: str(node["id"])
        for node in nodes_of(workflow).values()
        if node.get("type") == "Suspend" and node.get("phase") == "Running"
        for gate in [gate_of(node)]
        if gate
    }


def gate_of(node: Mapping[str, Any]) -> str | None:
    """The gate that the node was given; None: it is no gate of ours."""
    for each in (node.get("inputs") or {}).get("parameters") or ():
        if each.get("name") == GATE:
            return each.get("value") or None
    return None


def classify(workflow: Mapping[str, Any] | None, named: Workflow, gate: str) -> Resumption:
    """Where the node of this gate stands, in an object as the API has it (None: not found)."""
    place = f"{named.namespace}/{named.name}"
    if workflow is None:
        return Resumption(Delivery.GONE, f"the workflow {place} is gone")
    if workflow["metadata"]["uid"] != named.uid:
        return Resumption(
            Delivery.OTHER_RUN,
            f"{place} is another run of that name: the one that asked is gone",
        )
    status = workflow.get("status") or {}
    if status.get("offloadNodeStatusVersion"):
        return Resumption(
            Delivery.OFFLOADED,
            f"{place} keeps its nodes in the controller's database, which only Argo Server"
            " can reach: deliver through it (HITL_ARGO_SERVER)",
        )
    of_gate = [
        node
        for node in nodes_of(workflow).values()
        if node.get("type") == "Suspend" and gate_of(node) == gate
    ]
    # `argo retry --restart-successful` and inherited retries suspend a gate afresh, beside the
    # node that was delivered before.
    running = [node for node in of_gate if node.get("phase") == "Running"]
    return _of_node(place, status, (running or sorted(of_gate, key=_ended_at))[-1:])


def _ended_at(node: Mapping[str, Any]) -> str:
    return str(node.get("finishedAt") or "")


def _of_node(place: str, status: Mapping[str, Any], found: list[Json]) -> Resumption:
    ended = status.get("phase") in _ENDED
    run = f"{place} ended {status.get('phase')}" if ended else f"{place} runs"
    if not found:
        says = f"{run}, and no node of it has this gate"
        return Resumption(Delivery.ENDED if ended else Delivery.NO_NODE, says)
    node = found[0]
    node_id, phase, message = str(node["id"]), node.get("phase"), node.get("message") or ""
    if phase == "Running":
        if ended:
            return Resumption(Delivery.ENDED, f"{run} while the node waited", node_id)
        return Resumption(Delivery.WAITING, f"{place} waits at the node {node_id}", node_id)
    if phase != "Succeeded" and message.startswith(_STOPPED):
        return Resumption(Delivery.STOPPED, f"{place} was stopped while the node waited", node_id)
    says = f"the node {node_id} of {place} is {phase} already{message and f' ({message})'}"
    return Resumption(Delivery.ALREADY, says, node_id, phase, message)


def ended(workflow: Mapping[str, Any] | None, named: Workflow) -> str | None:
    """Why nothing can wait in this run any more; None where it goes on."""
    place = f"{named.namespace}/{named.name}"
    if workflow is None:
        return f"the run {place} is gone"
    if workflow["metadata"]["uid"] != named.uid:
        return f"the run {place} is gone, and another has its name"
    status = workflow.get("status") or {}
    if status.get("phase") not in _ENDED:
        return None
    says = status.get("message")
    return f"the run {place} ended {status['phase']}{f' ({says})' if says else ''}"


def lost(workflow: Mapping[str, Any]) -> str | None:
    """A step that failed for good while others go on: then an approval seldom saves the run."""
    nodes = nodes_of(workflow)
    tried = {
        child
        for node in nodes.values()
        if node.get("type") == "Retry"
        for child in node.get("children") or ()
    }
    failed = (
        str(node.get("displayName") or node_id)
        for node_id, node in nodes.items()
        if node.get("type") in ("Pod", "Retry", "Suspend")
        and node.get("phase") in _BAD
        and node_id not in tried
    )
    return next(failed, None)


# -- writing -------------------------------------------------------------------------------------


def patch_of(workflow: Mapping[str, Any], move: Move) -> list[Json] | Json:
    """The patch that moves one node: a JSON Patch, or a merge patch where nodes are compressed."""
    packed = (workflow.get("status") or {}).get("compressedNodes")
    return merge_patch(workflow, move) if packed else json_patch(workflow, move)


def _moved(node: Mapping[str, Any], move: Move) -> Json:
    node = copy.deepcopy(dict(node))
    for each in (node.get("outputs") or {}).get("parameters") or ():
        if each["name"] == "decision":
            each["value"] = str(move.decision)
            each.pop("valueFrom", None)
    return {
        **node,
        "message": move.message,
        "finishedAt": moment_out(move.at),
        "phase": move.phase,
    }


def json_patch(workflow: Mapping[str, Any], move: Move) -> list[Json]:
    """For nodes that stand as they are. Its tests make a patch of anything else a conflict."""
    node = workflow["status"]["nodes"][move.node]
    at_node = "/status/nodes/" + move.node.replace("~", "~0").replace("/", "~1")
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": workflow["metadata"]["uid"]},
        {"op": "test", "path": f"{at_node}/type", "value": "Suspend"},
        {"op": "test", "path": f"{at_node}/phase", "value": "Running"},
    ]
    parameters = (node.get("outputs") or {}).get("parameters") or ()
    for index, each in enumerate(parameters):
        if each["name"] != "decision":
            continue
        path = f"{at_node}/outputs/parameters/{index}"
        patch.append({"op": "test", "path": f"{path}/name", "value": "decision"})
        patch.append({"op": "add", "path": f"{path}/value", "value": str(move.decision)})
        if "valueFrom" in each:
            patch.append({"op": "remove", "path": f"{path}/valueFrom"})
    return [
        *patch,
        {"op": "add", "path": f"{at_node}/message", "value": move.message},
        {"op": "add", "path": f"{at_node}/finishedAt", "value": moment_out(move.at)},
        {"op": "replace", "path": f"{at_node}/phase", "value": move.phase},
    ]


def merge_patch(workflow: Mapping[str, Any], move: Move) -> Json:
    """For compressed nodes: all of them, packed again. A write meanwhile makes it a conflict."""
    nodes = nodes_of(workflow)
    nodes = {**nodes, move.node: _moved(nodes[move.node], move)}
    own = workflow["metadata"]
    return {
        "metadata": {"uid": own["uid"], "resourceVersion": own["resourceVersion"]},
        # Never status.nodes: the controller would take it for all there are, and lose the rest.
        "status": {"compressedNodes": packed_again(nodes)},
    }
