"""What ends a gate's node on Argo, and what its task then does: the table of `docs/argo.md`.

The manifest is as `hitl argo inject` writes it, on a stand-in for the controller. Its pods end at
once: the guarded one as its check would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonpatch import apply_patch

from bridge.argo.annotations import injected
from bridge.argo.nodes import json_patch, waiting
from bridge.core.delivery import Move, Workflow
from bridge.core.evaluation import Evidence, Outcome
from bridge.core.model import Standing
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.gates.deliver import deliver
from bridge.policy.evaluate import evaluate
from tests.argo.controller import Controller
from tests.ledgers import NOON, a_decision, a_rejection, a_request
from tests.test_inject import PODS

PAGE = Path(__file__).parents[1] / "docs" / "argo.md"
HOUR = 3600
UID = "u-1"


@dataclass
class Pod:
    """It has ended. The guarded one is refused unless the gate is approved."""

    approved: bool
    gate: str
    refused: str | None = None

    def poll(self) -> int:
        return 0 if self.approved else 1

    def output(self, path: str) -> str:
        return self.gate


class Run:
    """A workflow with one gate of an hour, whose node waits."""

    name = ""

    def __init__(self, on_timeout: OnTimeout) -> None:
        made = yaml.safe_load(injected(manifest(on_timeout), "wf.yaml", PODS).text)
        made["metadata"] |= {"namespace": "argo", "uid": UID, "creationTimestamp": "x"}
        made["spec"]["templateDefaults"] = {"suspend": {"duration": "60"}}
        self.object: dict[str, Any] = made
        named = Workflow("argo", "wf", UID)
        policy = Policy(Approvals(Actors(anyone=True)), HOUR, on_timeout)
        self.request = a_request("argo/wf/deploy", workflow=named, policy=policy)
        self.recorded: Outcome | None = None
        self.controller = Controller(made, self._start)
        self.controller.settle()
        assert list(waiting(made)) == [self.request.gate.id]

    def _start(self, template: Any, node: Any) -> Pod:
        guarded = bool(template.get("initContainers"))
        passes = not guarded or self.recorded is Outcome.APPROVED
        refused = None if passes else "hitl-verify: Error (exit code 202): hitl: not approved"
        return Pod(passes, self.request.gate.id, refused)

    # -- as a cluster --

    def workflow(self, named: Workflow) -> dict[str, Any]:
        return self.object

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        apply_patch(self.object, json_patch(seen, move), in_place=True)
        return True

    # -- what ends it --

    def an_approval(self) -> None:
        self._deliver(a_decision(self.request))

    def a_rejection(self) -> None:
        self._deliver(a_rejection(self.request))

    def the_timeout(self) -> None:
        """The bridge looks after the deadline, and records what the clock decided."""
        self._passes(HOUR + 1)
        after = self.request.opened_at + timedelta(seconds=HOUR + 1)
        found = evaluate(self.request, Evidence(now=after, votes=()))
        if found.outcome is not Outcome.PENDING:
            assert found.by
            decided = a_decision(self.request, outcome=found.outcome, by=found.by, considered=())
            self._deliver(decided)

    def no_look(self) -> None:
        """Ten minutes later nobody has looked."""
        self._passes(HOUR + 601)

    def the_workflows_deadline(self) -> None:
        self.object["spec"]["activeDeadlineSeconds"] = HOUR + 300
        self._passes(HOUR + 301)

    def a_stop(self) -> None:
        self.object["spec"]["shutdown"] = "Stop"

    def a_termination(self) -> None:
        self.object["spec"]["shutdown"] = "Terminate"

    def a_resume(self) -> None:
        for node in self.controller.waiting():
            node["phase"] = "Succeeded"

    def _deliver(self, decision: Any) -> None:
        self.recorded = decision.outcome
        deliver(self, Standing(self.request, decision, "c" * 40, None), NOON)

    def _passes(self, seconds: int) -> None:
        self.controller.now += seconds

    def came_of_it(self) -> str:
        self.controller.settle()
        at = self.controller.at
        node, task = at("hitl-suspend-deploy"), at("deploy")
        assert node
        does = {None: "waits", "Omitted": "doesn't start", "Succeeded": "runs"}
        does |= {"Failed": "starts, and its check fails"}
        return f"{node['phase']}: the task {does[task and task['phase']]}"


def manifest(on_timeout: OnTimeout) -> str:
    return f"""
kind: Workflow
metadata:
  name: wf
  annotations:
    approval-bridge/deploy: "{{message: Go?, timeout: 1h, on_timeout: {on_timeout}}}"
spec:
  entrypoint: main
  templates:
  - {{name: main, dag: {{tasks: [{{name: deploy, template: deploy}}]}}}}
  - {{name: deploy, container: {{image: x, command: [deploy]}}}}
"""


ENDS = {
    "an approver approves": Run.an_approval,
    "an approver rejects": Run.a_rejection,
    "the timeout passes": Run.the_timeout,
    "it passes, and for ten minutes the bridge doesn't look": Run.no_look,
    "the workflow's `activeDeadlineSeconds` pass": Run.the_workflows_deadline,
    "`argo stop`": Run.a_stop,
    "`argo terminate`": Run.a_termination,
    "`argo resume`, by anybody": Run.a_resume,
}


def cells() -> list[tuple[str, OnTimeout, str]]:
    """What the page says: what ends it, `on_timeout`, and what comes of it."""
    text = PAGE.read_text()
    table = text[text.index("| what happens | `reject` | `approve` | `notify` |") :]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", table.split("\n\n")[0], re.M)
    columns = (OnTimeout.REJECT, OnTimeout.APPROVE, OnTimeout.NOTIFY)
    return [
        (row[0], column, cell)
        for row in rows[1:]
        if row[0] != "---"
        for column, cell in zip(columns, row[1:], strict=True)
    ]


CELLS = cells()


@pytest.mark.parametrize(("what", "on_timeout", "says"), CELLS)
def test_what_ends_the_node_and_what_the_task_does(
    what: str, on_timeout: OnTimeout, says: str
) -> None:
    run = Run(on_timeout)
    ENDS[what](run)
    assert run.came_of_it() == says


def test_the_table_has_a_row_for_everything_that_ends_a_node() -> None:
    assert {what for what, _, _ in CELLS} == ENDS.keys()
