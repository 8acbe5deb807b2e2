"""Gated flows on Argo from `create` to the end: compiled by stock Metaflow, run pod by pod.

The controller is a stand-in (see `argo/`); commands, code package, artifacts, ledger and gates are
the real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge import wiring
from bridge.argo import nodes as argo
from bridge.argo.templates import GRACE
from bridge.cli import main as cli
from bridge.core.branches import branches_of
from bridge.core.delivery import Move
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import Standing
from bridge.ledger.git_ledger import GitLedger, create
from tests import objectstore
from tests.argo import api
from tests.argo.controller import Controller
from tests.argo.pods import Pods, created
from tests.githttp import GitServer, serving
from tests.metaflows import Project


@dataclass
class Run:
    """One run of a flow on Argo."""

    project: Project
    cluster: api.Cluster
    controller: Controller
    pods: Pods
    ledger: GitLedger

    def settle(self) -> str:
        self.cluster.settle(self.controller)
        phase: str = self.controller.status["phase"]
        return phase

    def fork(self) -> Run:
        """The same run a second time, to see what would come of it; the ledger is the same."""
        cluster, controller = api.Cluster(), self.controller.fork()
        cluster.submit(controller.workflow)
        return replace(self, cluster=cluster, controller=controller)

    def pass_by(self, seconds: int) -> None:
        """The controller's clock goes on, a second a pass."""
        for _ in range(seconds):
            self.controller.now += 1
            self.cluster.step(self.controller)

    def gates(self) -> list[tuple[str, Standing]]:
        """The nodes that wait, each with its gate as the ledger has it."""
        found = []
        for gate, node in sorted(argo.waiting(self.controller.workflow).items()):
            standing = self.ledger.read(gate)
            assert standing
            found.append((node, standing))
        return found

    def asked(self) -> list[str]:
        """What the nodes that wait ask."""
        return sorted(each.request.message for _, each in self.gates() if not each.decision)

    def move(self, node: str, phase: str, says: str = "") -> None:
        """What a deliverer does, or a stranger who can patch workflows."""
        decision = Outcome.APPROVED if phase == "Succeeded" else Outcome.REJECTED
        move = Move(node, "", phase, decision, says, wiring.clock())
        patch = argo.json_patch(self.controller.workflow, move)
        self.cluster.patch("argo", "run-1", api.JSON_PATCH, patch)

    def deliver(self) -> None:
        """What is recorded, to the nodes that wait for it."""
        for _, standing in self.gates():
            if standing.decision:
                assert cli.main(["resume", standing.request.gate.id]) == 0

    def approve(self) -> None:
        for _, standing in self.gates():
            assert cli.main(["approve", standing.request.gate.id]) == 0
        self.deliver()

    def phase(self, name: str) -> str:
        node = self.controller.at(name)
        assert node
        phase: str = node["phase"]
        return phase

    def stops(self) -> str:
        """What the one pod says that starts now, and stops, for its gate is shut."""
        before = len(self.pods.started)
        self.settle()
        [pod] = self.pods.started[before:]
        gated = self.controller.node(pod)
        assert gated
        assert gated["message"] == "main: Error (exit code 202)"
        return self.pods.said(pod)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    create(tmp_path / "l.git")
    with serving(tmp_path) as git:
        yield git


@pytest.fixture
def cluster() -> Iterator[api.Cluster]:
    with api.serving() as found:
        yield found


@pytest.fixture
def started(
    tmp_path: Path,
    store: dict[str, str],
    server: GitServer,
    cluster: api.Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    url = server.of("l.git")
    monkeypatch.setenv("HITL_LEDGER", url)

    def start(flow: str, compared: Path | None = None, **env: str) -> Run:
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
            "creationTimestamp": created(),
        }
        package = objectstore.content(store, code_url(workflow))
        told = {"POD_BOTH": str(compared)} if compared else {}
        pods = Pods(tmp_path / "pods", store, package, MARKS=str(project.marks), **told)
        ledger = GitLedger(url, tmp_path / "own-cache")
        controller = Controller(workflow, pods.start)
        cluster.submit(workflow)
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        return Run(project, cluster, controller, pods, ledger)

    return start


def code_url(workflow: Any) -> str:
    return next(
        each["value"]
        for template in workflow["spec"]["templates"]
        if "container" in template
        for each in template["container"]["env"]
        if each["name"] == "METAFLOW_CODE_URL"
    )


def test_each_round_asks_and_runs_once_approved_and_warm_pythons_do_what_others_do(
    started: Any, tmp_path: Path
) -> None:
    compared = tmp_path / "compared"
    compared.mkdir()
    run = started("rounds.py", compared)
    assert run.settle() == "Running"
    assert run.asked() == ["Round 0?"]
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

    kinds = {each.name for each in compared.iterdir()}
    parts = {"set_parameters", "dump", "init", "open", "conditional_input_paths"}
    assert kinds == parts | {"step start", "step loop"}
    for kind in kinds:
        own, warm = ((compared / kind / f"{each}.json").read_text() for each in ("own", "warm"))
        # Each pod has its own link to the code.
        assert re.sub(r'[^" ]+/.mf_code', "", warm) == re.sub(r'[^" ]+/.mf_code', "", own), kind


def test_a_rejected_run_ends_without_starting_the_gated_pod(started: Any) -> None:
    run = started("rounds.py")
    run.settle()
    [(_, standing)] = run.gates()
    assert cli.main(["reject", standing.request.gate.id, "--reason", "not yet"]) == 0
    before = list(run.pods.started)
    run.deliver()
    assert run.settle() == "Failed"
    assert run.pods.started == before
    assert not run.project.ran("loop")


def test_nothing_runs_and_nothing_is_asked_while_it_waits_and_a_stranger_runs_nothing(
    started: Any, server: GitServer, store: dict[str, str]
) -> None:
    run = started("rounds.py")
    run.settle()
    before = run.pods.started[:], server.requests[:], objectstore.requests(store)
    run.pass_by(60)
    assert not run.controller.pods
    assert run.controller.waiting()
    assert (run.pods.started, server.requests, objectstore.requests(store)) == before
    assert not run.cluster.requests

    [(node, standing)] = run.gates()
    run.move(node, "Succeeded", "approved @f00")
    said = run.stops()
    assert f"{standing.request.gate.key} does not run: it is still waiting for a decision" in said
    assert run.settle() == "Failed"
    assert not run.project.ran("loop")


def test_a_condition_that_holds_is_recorded_by_the_pod_that_opens_where_no_forge_decides(
    started: Any,
) -> None:
    run = started("deploy.py", HITL_ENVIRONMENT="dev")
    run.settle()
    [(_, standing)] = run.gates()
    assert standing.decision
    assert standing.decision.by is Decider.CONDITION
    assert standing.decision.condition
    assert standing.decision.condition.seen == {"environment": "dev"}
    run.deliver()
    assert run.settle() == "Succeeded"
    assert [each["given"] for each in run.project.ran("deploy")] == [{"target": "staging"}]


def test_past_a_deadline_only_a_recorded_decision_of_the_clock_runs_the_step(
    started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started("deadlines.py")
    run.settle()
    assert run.asked() == ["Passes?", "Shuts?", "Waits?"]

    unswept = run.fork()  # nobody records what the clock decided
    unswept.controller.now += 3600 + GRACE + 1
    unswept.settle()
    assert unswept.phase("shuts") == "Failed"
    assert unswept.asked() == ["Passes?", "Waits?"]

    later = wiring.clock() + timedelta(hours=1, minutes=1)
    monkeypatch.setattr(wiring, "clock", lambda: later)
    assert cli.main(["reconcile"]) == 0
    before = len(run.pods.started)
    run.deliver()
    run.settle()
    assert run.pods.started[before:] == ["run-1(0).passes"]
    assert run.phase("hitl-suspend-shuts") == "Failed"
    assert run.phase("shuts") == "Omitted"
    assert run.phase("passes") == "Succeeded"
    assert run.asked() == ["Waits?"]
    assert not run.project.ran("shuts")
    assert not run.project.ran("waits")


def test_a_rejected_split_runs_no_body_and_a_join_gets_the_kept_ones(started: Any) -> None:
    run = started("picks.py")
    run.settle()
    gates = {standing.request.message: standing for _, standing in run.gates()}
    assert gates.keys() == {"Plant oak?", "Plant elm?", "Plant ash?"}
    assert gates["Plant ash?"].decision  # its condition holds
    oak, elm = (gates[f"Plant {tree}?"].request.gate.id for tree in ("oak", "elm"))
    assert cli.main(["approve", oak]) == 0
    assert cli.main(["reject", elm, "--reason", "sick"]) == 0
    run.deliver()
    run.settle()
    assert {each["tree"] for each in run.project.ran("plant")} == {"oak", "ash"}

    joins = {branches_of(standing.request): standing.request for _, standing in run.gates()}
    assert joins.keys() == {("oak", "elm"), ("ash",)}
    shown = {each.name for each in joins["oak", "elm"].artifacts}
    assert "plant[oak].planted" in shown
    assert "plant[elm].planted" not in shown
    assert cli.main(["approve", joins["ash",].gate.id]) == 0
    assert cli.main(["approve", joins["oak", "elm"].gate.id, "-i", "keep=all-except-oak"]) == 0
    run.deliver()
    assert run.settle() == "Succeeded"
    kept = {*(each["said"]["keep"][0] for each in run.project.ran("grown"))}
    assert kept == {"elm", "ash"}
    assert run.project.ran("end")[0]["kept"] == ["nothing", "ash"]
