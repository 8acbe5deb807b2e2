"""Gated flows on Argo from `create` to the end: compiled by stock Metaflow, run pod by pod.

The controller is a stand-in (see `argo/`); commands, code package, artifacts, ledger and gates are
the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge import cli
from bridge.gitledger import GitLedger, create
from bridge.model import Decider
from tests import objectstore
from tests.argo.controller import Controller
from tests.argo.pods import Pods
from tests.githttp import GitServer, serving
from tests.metaflows import Project


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    with objectstore.serving() as env:
        yield env


@dataclass
class Run:
    """One run of a flow on Argo."""

    project: Project
    controller: Controller
    pods: Pods
    ledger: GitLedger

    def settle(self) -> str:
        self.controller.settle()
        phase: str = self.controller.status["phase"]
        return phase

    def asked(self) -> list[str]:
        """What the nodes that wait ask."""
        found = []
        for node in self.controller.waiting():
            standing = self.ledger.read(self.gate(node))
            assert standing
            assert standing.decision is None
            found.append(standing.request.message)
        return found

    @staticmethod
    def gate(node: Any) -> str:
        [parameter] = node["inputs"]["parameters"]
        gate: str = parameter["value"]
        return gate

    def deliver(self, phase: str, message: str = "") -> None:
        """What a deliverer, or a stranger with `argo resume`, does to every node that waits."""
        for node in self.controller.waiting():
            node |= {"phase": phase, "message": message}

    def approve(self) -> None:
        for node in self.controller.waiting():
            assert cli.main(["approve", self.gate(node)]) == 0
        self.deliver("Succeeded")

    def phase(self, name: str) -> str:
        node = self.controller.node(f"run-1.{name}")
        assert node
        phase: str = node["phase"]
        return phase


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    create(tmp_path / "l.git")
    with serving(tmp_path) as git:
        yield git


@pytest.fixture
def started(
    tmp_path: Path,
    store: dict[str, str],
    server: GitServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    url = server.of("l.git")
    monkeypatch.setenv("HITL_LEDGER", url)

    def start(flow: str, **env: str) -> Run:
        project = Project(tmp_path / "project")
        options = ("--no-pylint", "argo-workflows", "create", "--only-json")
        made = project.flow(
            flow, *options, "--no-enable-error-msg-capture", **store, HITL_LEDGER=url, **env
        )
        assert made.code == 0, made.said
        workflow = json.loads(made.said[made.said.index("\n{") :])
        workflow["kind"] = "Workflow"
        workflow["metadata"] = {
            "name": "run-1",
            "namespace": "argo",
            "uid": "u-1",
            "creationTimestamp": "2026-11-24T00:00:00Z",
        }
        package = objectstore.content(store, code_url(workflow))
        pods = Pods(tmp_path / "pods", store, package, MARKS=str(project.marks))
        ledger = GitLedger(url, tmp_path / "own-cache")
        return Run(project, Controller(workflow, pods.start), pods, ledger)

    return start


def code_url(workflow: Any) -> str:
    return next(
        each["value"]
        for template in workflow["spec"]["templates"]
        if "container" in template
        for each in template["container"]["env"]
        if each["name"] == "METAFLOW_CODE_URL"
    )


def test_each_round_asks_waits_without_a_pod_and_runs_once_approved(started: Any) -> None:
    run = started("rounds.py")
    assert run.settle() == "Running"
    assert run.asked() == ["Round 0?"]
    assert not run.controller.pods
    run.approve()
    run.settle()
    assert run.asked() == ["Round 1?"]
    assert [each["rounds"] for each in run.project.ran("loop")] == [0]  # the second waits
    run.approve()
    run.settle()
    assert run.asked() == ["End after 2?"]
    run.approve()
    assert run.settle() == "Succeeded"
    assert [each["given"] for each in run.project.ran("end")] == [{"target": "none"}]


def test_a_rejected_run_ends_without_starting_the_gated_pod(started: Any) -> None:
    run = started("rounds.py")
    run.settle()
    [node] = run.controller.waiting()
    assert cli.main(["reject", run.gate(node), "--reason", "not yet"]) == 0
    before = list(run.pods.started)
    run.deliver("Failed", "rejected: not yet")
    assert run.settle() == "Failed"
    assert run.pods.started == before
    assert not run.project.ran("loop")


def test_a_node_that_a_stranger_resumed_starts_the_pod_and_the_step_stays_shut(
    started: Any,
) -> None:
    run = started("rounds.py")
    run.settle()
    run.deliver("Succeeded")
    assert run.settle() == "Failed"
    [gated] = [name for name in run.pods.started if "loop-internal" in name]
    assert "it is still waiting for a decision" in run.pods.said(gated)
    node = run.controller.node(gated)
    assert node
    assert node["message"] == "main: Error (exit code 202)"
    assert not run.project.ran("loop")


def test_a_condition_that_holds_is_recorded_by_the_pod_that_opens_where_no_forge_decides(
    started: Any,
) -> None:
    run = started("deploy.py", HITL_ENVIRONMENT="dev")
    run.settle()
    [node] = run.controller.waiting()
    standing = run.ledger.read(run.gate(node))
    assert standing
    assert standing.decision
    assert standing.decision.by is Decider.CONDITION
    assert standing.decision.condition
    assert standing.decision.condition.seen == {"environment": "dev"}
    run.deliver("Succeeded")
    assert run.settle() == "Succeeded"
    assert [each["given"] for each in run.project.ran("deploy")] == [{"target": "staging"}]


def test_every_shape_of_a_step_asks_and_runs_as_far_as_stock_metaflow_gets(started: Any) -> None:
    run = started("shapes.py")
    asked: list[str] = []
    while run.settle() == "Running":
        asked += run.asked()
        run.approve()
    assert sorted(asked) == sorted(
        [
            "Start fir of the forest?",
            "First: 90.0%, fir?",
            "Second in a row, 0.9?",
            "Left?",
            "Join 1 and 2 of fir?",
            "Fork?",
            "Part 0 is oak?",
            "Part 1 is elm?",
            "Ring 1?",
            "Ring 2?",
            "Ring 3?",
            "After ring 1: 10?",
            "After ring 2: 20?",
            "After ring 3: 30?",
            "Widths 20 and 30?",
            "Choose taken?",
            "Taken?",
        ]
    )
    assert run.phase("taken") == "Succeeded"
    assert run.phase("hitl-notify-left-out") == "Skipped"
    assert run.phase("left-out") == "Omitted"
    assert not run.project.ran("left_out")
    # The step after a switch is given the output of a branch that never ran: Metaflow's own fault,
    # gate or no gate.
    node = run.controller.node("run-1.loop")
    assert node
    assert node["message"] == "unable to substitute tasks.left-out: output is an absent optional"
