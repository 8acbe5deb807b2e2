"""`hitl ledger coverage --workflows`: what Argo ran behind a gate, and what without one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.argo.ran import Guarded, guarded, workflows
from bridge.cli import main as cli
from bridge.core.coverage import Coverage, Found
from bridge.core.delivery import Workflow
from bridge.core.errors import Faults
from bridge.core.model import Standing
from bridge.gates.argo_coverage import argo_coverage
from bridge.gates.ports import Ledger
from tests.ledgers import a_decision, a_rejection, a_request

DATA = Path(__file__).parent / "data" / "argo"
RUN = Workflow("ml", "run-1", "u-1")
RAN = Guarded(RUN, "deploy", "3fa9", True, None)


def recorded(name: str) -> Any:
    """The workflow as the real controller left it. There no suspended node had a gate's id yet."""
    found = json.loads(max((DATA / name).glob("*-settled.json")).read_text())
    for node in found["status"]["nodes"].values():
        if node["type"] == "Suspend":
            node["inputs"] = {"parameters": [{"name": "gate", "value": "3fa9"}]}
    return found


def behind(name: str, *names: str) -> list[tuple[str, bool, bool]]:
    """Each guarded node: its name, whether a gate is in front of it, and whether it ran."""
    found = guarded(recorded(name), names)
    return sorted((each.name, each.gate is not None, each.ran) for each in found)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("linear-approved", [("gate", True, True)]),
        ("linear-rejected", [("gate", True, False)]),
        ("steps-template", [("gate", True, True)]),
        ("fan-out", [("gate", True, True)] * 3),
        ("two-gates-in-a-row", [("gate", True, True), ("second", True, True)]),
        ("gate-exits-202-with-retry", [("gate", True, False)]),
    ],
)
def test_the_node_behind_a_gate_is_found_in_what_the_controller_left(
    name: str, found: list[tuple[str, bool, bool]]
) -> None:
    assert behind(name) == found


def test_a_node_of_a_given_name_without_a_gate_is_listed() -> None:
    assert behind("linear-approved", "train") == [("gate", True, True), ("train", False, True)]
    assert behind("linear-approved", "gate") == [("gate", True, True)]


def test_groups_that_follow_each_other_in_a_circle_or_many_ways_are_looked_at_once() -> None:
    gate = {"type": "Suspend", "inputs": {"parameters": [{"name": "gate", "value": "3fa9"}]}}
    levels = 2_000
    nodes: dict[str, Any] = {"gate": {**gate, "children": ["0a", "0b"]}}
    for level in range(levels):
        after = [f"{level + 1}a", f"{level + 1}b"]
        nodes |= {f"{level}{way}": {"type": "StepGroup", "children": after} for way in "ab"}
    nodes[f"{levels}a"] = {"type": "StepGroup", "children": ["0a", "gate", "ran"]}
    nodes["ran"] = {"type": "Pod", "displayName": "deploy", "phase": "Succeeded"}
    metadata = {"namespace": "ml", "name": "run-1", "uid": "u-1"}
    (found,) = guarded({"metadata": metadata, "status": {"nodes": nodes}}, ())
    assert found == RAN


class Record:
    """As much of the `Ledger` port as coverage reads."""

    def __init__(self, *standings: Standing, unread: Iterable[str] = ()) -> None:
        self._standings = dict(zip(["3fa9"], standings, strict=False))
        self._unread = frozenset(unread)

    def decided(self, ids: Iterable[str]) -> Mapping[str, Standing]:
        return {each: self._standings[each] for each in ids if each in self._standings}

    def recorded(self, ids: Iterable[str]) -> frozenset[str]:
        return self._unread.intersection(ids)


def covered(node: Guarded, *standings: Standing, unread: Iterable[str] = ()) -> Coverage:
    [found] = argo_coverage(cast(Ledger, Record(*standings, unread=unread)), [node])
    return found


REQUEST = replace(a_request(), workflow=RUN)
APPROVED = Standing(REQUEST, a_decision(REQUEST), "c")
REJECTED = Standing(REQUEST, a_rejection(REQUEST), "c")


def test_an_approval_of_this_run_covers_it() -> None:
    found = covered(RAN, APPROVED)
    assert (found.found, found.task.key) == (Found.COVERED, "ml/run-1/deploy")


def test_what_ran_without_a_gate_or_an_approval_is_a_gap() -> None:
    assert covered(RAN).why == "it ran, and the ledger has no decision"
    assert "the ledger says rejected" in covered(RAN, REJECTED).why
    assert "it ran without a gate" in covered(replace(RAN, gate=None)).why
    assert "its decision does not count" in covered(RAN, unread=["3fa9"]).why
    for node in (covered(RAN), covered(RAN, REJECTED), covered(replace(RAN, gate=None))):
        assert node.found is Found.GAP


def test_an_approval_of_another_run_covers_nothing() -> None:
    again = replace(RAN, workflow=replace(RUN, uid="u-2"))
    found = covered(again, APPROVED)
    assert (found.found, "its gate is of another run" in found.why) == (Found.GAP, True)


def test_a_step_that_was_stopped_at_its_gate_is_no_gap() -> None:
    assert covered(replace(RAN, ran=False), REJECTED).found is Found.NOT_RUN


@pytest.mark.parametrize("text", ["{", "7", '["a"]', '{"items": 3}'])
def test_a_file_without_workflows_is_refused(text: str) -> None:
    with pytest.raises(Faults):
        workflows(text, "runs.json")


def test_one_workflow_that_cannot_be_read_is_named_and_stops_no_other(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs.json"
    items = [{"metadata": 7}, recorded("linear-approved")]
    file.write_text(json.dumps({"kind": "List", "items": items}))
    assert cli.main(["ledger", "coverage", "--workflows", str(file)]) == 1
    said = capsys.readouterr()
    assert "not read: workflow 1 of" in said.err
    assert "gap" in said.out
    assert "argo/linear-approved/gate" in said.out
    assert "1 gap, 0 covered, 0 did not run" in said.out
    assert cli.main(["ledger", "coverage", "--workflows", str(file), "--flow", "F"]) == 2
