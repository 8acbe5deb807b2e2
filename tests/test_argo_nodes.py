"""Reading, classifying and patching workflow objects, against what the real controller left."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from jsonpatch import apply_patch

from bridge.argo import compressed_nodes
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
    after = compressed_nodes.unpacked(patch["status"]["compressedNodes"])
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


WRONG: tuple[Any, ...] = (5, "text", True, ["a"], {"a": 5}, [{"a": 5}], [[]], {"parameters": 5})


def with_each_wrong(value: Any) -> Iterator[Any]:
    """The value with each part of it, at each depth, replaced by each wrong one."""
    yield from WRONG
    if isinstance(value, dict):
        for key, part in value.items():
            for wrong in with_each_wrong(part):
                yield {**value, key: wrong}
    if isinstance(value, list):
        for index, part in enumerate(value):
            for wrong in with_each_wrong(part):
                yield [*value[:index], wrong, *value[index + 1 :]]


def test_an_object_with_a_wrong_type_at_any_depth_is_read_or_refused_in_one_sentence() -> None:
    node = {
        "id": "a",
        "type": "Suspend",
        "phase": "Running",
        "displayName": "wait",
        "finishedAt": None,
        "children": ["b"],
        "inputs": {"parameters": [{"name": "gate", "value": "g1"}]},
        "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
    }
    own = {"namespace": "argo", "name": "run", "uid": "u", "resourceVersion": "1", "labels": {}}
    whole = {"metadata": own, "status": {"phase": "Running", "nodes": {"a": node}}}
    named = Workflow("argo", "run", "u")
    move = Move("a", "g1", "Succeeded", Outcome.APPROVED, "approved @1", NOW)
    read, refused = 0, set()
    for wrong in with_each_wrong(whole):
        try:
            argo.waiting(wrong)
            argo.lost(wrong)
            argo.ended(wrong, named)
            if argo.classify(wrong, named, "g1").delivery is Delivery.WAITING:
                argo.merge_patch(wrong, move)
                argo.json_patch(wrong, move)
            read += 1
        except compressed_nodes.UnreadableWorkflow as error:
            refused.add(str(error))
    assert read > 10
    assert {"status.nodes is not a mapping", "the node a is not a mapping"} <= refused
    assert "the node a: inputs.parameters is not a list" in refused
    assert not [each for each in refused if "\n" in each]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 50_000, "nested too deep"),
        (b'{"a":' * 50_000, "nested too deep"),
        (b'{"a": {"id": "a", "x": NaN}}', "NaN is not a number"),
        (b"[" + b"{}," * 2_000_000 + b"{}]", "more than 2000000 values"),
        (b"[]", "not a mapping"),
        (b"\xff", "cannot be read"),
    ],
)
def test_compressed_nodes_that_would_harm_their_reader_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(compressed_nodes.UnreadableWorkflow, match=why):
        compressed_nodes.unpacked(base64.b64encode(gzip.compress(data)).decode())


def test_a_message_of_a_megabyte_is_shown_in_short() -> None:
    found = with_gate(read(DATA / "linear-approved/03-settled.json"))
    for node in found["status"]["nodes"].values():
        node["message"] = "x\n" * 500_000
    named = Workflow("argo", "linear-approved", found["metadata"]["uid"])
    says = argo.classify(found, named, "g1").says
    assert len(says) < 1000
    assert "\n" not in says


@pytest.mark.parametrize("pack", [brotli.compress, gzip.compress, zstandard.compress])
def test_nodes_that_unpack_to_more_than_memory_should_hold_are_refused(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_nodes, "_UNPACKED_AT_MOST", 1000)
    bomb = base64.b64encode(pack(b" " * 1_000_000 + b"{}")).decode()
    with pytest.raises(compressed_nodes.UnreadableWorkflow, match="more than 1000 bytes"):
        compressed_nodes.unpacked(bomb)


def test_brotli_that_is_cut_off_is_refused() -> None:
    packed = brotli.compress(json.dumps(list(range(1000))).encode())
    with pytest.raises(compressed_nodes.UnreadableWorkflow, match="cut off"):
        compressed_nodes.unpacked(base64.b64encode(packed[:-20]).decode())
