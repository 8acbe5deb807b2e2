"""Reading, classifying and patching workflow objects, against what the real controller left."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from jsonpatch import apply_patch

from bridge.argo import nodes as argo
from bridge.core.delivery import Delivery, Move, Workflow
from bridge.core.evaluation import Outcome

DATA = Path(__file__).parent / "data" / "argo"
PATCHES = sorted(DATA.glob("*/*-patch.json"))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def before(patch: Path) -> Any:
    """The object that the patch was sent to: the state recorded last."""
    states = [*patch.parent.glob("*-settled.json"), *patch.parent.glob("*-patched.json")]
    return read(max(each for each in states if each.name[:2] < patch.name[:2]))


def asked_in(patch: list[Any]) -> Move:
    """What a recorded JSON Patch moved."""
    by = {
        each["path"].split("/", 4)[-1]: each.get("value") for each in patch if each["op"] != "test"
    }
    at = datetime.strptime(by["finishedAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    decision = next((by[each] for each in by if each.endswith("/value")), "approved")
    node = patch[1]["path"].split("/")[3]
    return Move(node, "g1", by["phase"], Outcome(decision), by["message"], at)


ACCEPTED = [
    each
    for each in PATCHES
    if each.parent.name != "output-not-supplied"  # to see what comes of it: ours supplies it
    and isinstance(read(each), list)
    and read(each)[0]["path"] == "/metadata/uid"  # not `argo stop`, which is no delivery
    and each.with_name(each.name.replace("-patch.", "-patched.")).exists()
]


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_our_patch_does_what_the_accepted_one_did(path: Path) -> None:
    recorded, state = read(path), before(path)
    ours = argo.json_patch(state, asked_in(recorded))
    assert apply_patch(state, ours) == apply_patch(state, recorded)


def test_there_are_accepted_patches_to_agree_with() -> None:
    assert len(ACCEPTED) >= 10


@pytest.mark.parametrize("packing", ["gzip", "zstd", "brotli"])
def test_compressed_nodes_are_read_and_written_as_gzip(packing: str) -> None:
    state = read(DATA / f"compressed-{packing}" / "01-settled.json")
    nodes = argo.nodes_of(state)
    [node] = [each for each in nodes.values() if each["type"] == "Suspend"]
    patch = argo.merge_patch(
        state, Move(node["id"], "g1", "Succeeded", Outcome.APPROVED, "approved @1", NOW)
    )
    assert set(patch["status"]) == {"compressedNodes"}
    after = argo.unpacked(patch["status"]["compressedNodes"])
    assert after[node["id"]]["phase"] == "Succeeded"
    assert after[node["id"]]["outputs"]["parameters"] == [{"name": "decision", "value": "approved"}]
    assert {key: after[key] for key in after if key != node["id"]} == {
        key: nodes[key] for key in nodes if key != node["id"]
    }


def with_gate(state: Any) -> Any:
    """The recordings are older than the input parameter by which a gate's node is known."""
    for node in state["status"].get("nodes", {}).values():
        if node["type"] == "Suspend":
            node["inputs"] = {"parameters": [{"name": "gate", "value": "g1"}]}
    return state


STATES = [each for kind in ("settled", "patched") for each in sorted(DATA.glob(f"*/*-{kind}.json"))]
SHUT_DOWN = {"stopped", "terminated"}  # by `argo stop` and `argo terminate`


@pytest.mark.parametrize("path", STATES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_node_that_waits_in_a_recorded_state_is_found_and_no_other(path: Path) -> None:
    state = read(path)
    own = state["metadata"]
    named = Workflow(own["namespace"], own["name"], own["uid"])
    nodes = argo.nodes_of(state)
    assert nodes
    for node_id, node in nodes.items():
        if node["type"] != "Suspend":
            continue
        gates = {"parameters": [{"name": "gate", "value": "g1"}]}
        others = {key: {**each, "inputs": {}} for key, each in nodes.items()}
        status = {**state["status"], "nodes": {**others, node_id: {**node, "inputs": gates}}}
        status.pop("compressedNodes", None)
        found = argo.classify({**state, "status": status}, named, "g1")
        assert found.node == node_id
        if node["phase"] == "Running":
            assert found.delivery is Delivery.WAITING
        elif path.parent.name in SHUT_DOWN and node["phase"] == "Failed":
            assert found.delivery is Delivery.STOPPED
        else:
            assert (found.delivery, found.phase) == (Delivery.ALREADY, node["phase"])


@pytest.mark.parametrize(
    ("state", "delivery"),
    [
        ("linear-approved/01-settled", Delivery.WAITING),
        ("linear-approved/02-patched", Delivery.ALREADY),
        ("linear-approved/03-settled", Delivery.ALREADY),
        ("linear-rejected/03-settled", Delivery.ALREADY),
        ("duration-with-default/02-settled", Delivery.ALREADY),
        ("stopped/03-settled", Delivery.STOPPED),
        ("terminated/03-settled", Delivery.STOPPED),
    ],
)
def test_a_recorded_state_is_classified(state: str, delivery: Delivery) -> None:
    found = with_gate(read(DATA / f"{state}.json"))
    own = found["metadata"]
    named = Workflow(own["namespace"], own["name"], own["uid"])
    assert argo.classify(found, named, "g1").delivery is delivery


def test_a_workflow_made_again_under_the_name_is_not_the_one_that_asked() -> None:
    found = with_gate(read(DATA / "linear-approved/01-settled.json"))
    named = Workflow("argo", "linear-approved", "another")
    assert argo.classify(found, named, "g1").delivery is Delivery.OTHER_RUN
    assert argo.classify(None, named, "g1").delivery is Delivery.GONE


def test_offloaded_nodes_are_refused_and_argo_server_is_named() -> None:
    found = with_gate(read(DATA / "linear-approved/01-settled.json"))
    found["status"]["offloadNodeStatusVersion"] = "fnv:1"
    named = Workflow("argo", "linear-approved", found["metadata"]["uid"])
    result = argo.classify(found, named, "g1")
    assert result.delivery is Delivery.OFFLOADED
    assert "Argo Server" in result.says


@pytest.mark.parametrize("pack", [brotli.compress, gzip.compress, zstandard.compress])
def test_nodes_that_unpack_to_more_than_memory_should_hold_are_refused(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argo, "_UNPACKED_AT_MOST", 1000)
    bomb = base64.b64encode(pack(b" " * 1_000_000 + b"{}")).decode()
    with pytest.raises(argo.UnreadableNodes, match="more than 1000 bytes"):
        argo.unpacked(bomb)


def test_brotli_that_is_cut_off_is_refused() -> None:
    packed = brotli.compress(json.dumps(list(range(1000))).encode())
    with pytest.raises(argo.UnreadableNodes, match="cut off"):
        argo.unpacked(base64.b64encode(packed[:-20]).decode())
