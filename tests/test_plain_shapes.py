"""Plain workflows of every shape, exactly as `hitl argo inject` prints them, each to its end.

The controller is a stand-in. The pods of a gate run in this process, with the command and the
environment that the manifest gives them; a user's container is a line of shell.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from jsonpatch import apply_patch

from bridge import wiring
from bridge.argo.annotations import injected
from bridge.argo.inject import LABEL
from bridge.argo.nodes import json_patch, waiting
from bridge.argo.pod_settings import Pods
from bridge.cli import main as cli
from bridge.core.delivery import Move, Workflow
from bridge.core.errors import Faults
from bridge.core.settings import from_environment
from bridge.entrypoints import argo_pod
from bridge.gates.deliver import deliver
from bridge.ledger.git_ledger import GitLedger
from tests.argo.controller import Controller, node_id
from tests.argo.submit import submitted

PLACE = "{{workflow.namespace}}/{{workflow.name}}/{{workflow.uid}}"
UI = "https://argo.example"
PODS = Pods(env={"HITL_WORKFLOW": PLACE, "METAFLOW_HITL_ARGO_UI_URL": UI}, image="x")
VERBS = {f"python -P -m bridge.entrypoints.argo_pod {verb}": verb for verb in ("open", "verify")}

LEAF = "{name: deploy, container: {image: x, command: [echo, 'ran {{workflow.uid}}']}}"
GATE = 'annotations: {approval-bridge/deploy: "message: Deploy?"}'
API = "apiVersion: argoproj.io/v1alpha1"
DAG = "{name: main, dag: {tasks: [{name: deploy, template: deploy}]}}"


def manifest(*templates: str, kind: str = "Workflow", name: str = "wf", more: str = "") -> str:
    listed = "".join(f"\n  - {each}" for each in templates)
    head = f"{API}\nkind: {kind}\nmetadata: {{name: {name}, {GATE}}}\nspec:\n"
    return f"{head}  entrypoint: main\n{more}  templates:{listed}\n"


def lent(kind: str) -> str:
    """A template with a gate, and a workflow that borrows it by `templateRef`."""
    cluster = ", clusterScope: true" if kind.startswith("Cluster") else ""
    call = f"{{name: release, templateRef: {{name: shared, template: main{cluster}}}}}"
    borrower = manifest(f"{{name: main, dag: {{tasks: [{call}]}}}}").replace(f", {GATE}", "")
    return f"{manifest(DAG, LEAF, kind=kind, name='shared')}---\n{borrower}"


def whole(kind: str) -> str:
    """The same by `workflowTemplateRef`."""
    cluster = ", clusterScope: true" if kind.startswith("Cluster") else ""
    reference = f"  workflowTemplateRef: {{name: shared{cluster}}}\n"
    borrower = f"{API}\nkind: Workflow\nmetadata: {{name: wf}}\nspec:\n{reference}"
    return f"{manifest(DAG, LEAF, kind=kind, name='shared')}---\n{borrower}"


def cron() -> str:
    inner = "".join(f"\n    - {each}" for each in (DAG, LEAF))
    head = f"{API}\nkind: CronWorkflow\nmetadata: {{name: nightly, {GATE}}}\nspec:\n"
    body = "  schedules: ['0 1 * * *']\n  workflowSpec:\n    entrypoint: main\n    templates:"
    return f"{head}{body}{inner}\n"


def of_kind(template: str) -> str:
    return manifest(DAG, template)


QUIET = "{name: quiet, container: {image: x, command: ['true']}}"
IDLE = "{name: main, dag: {tasks: [{name: idle, template: quiet}]}}"
STEPS = "{name: main, steps: [[{name: idle, template: quiet}], [{name: deploy, template: deploy}]]}"
INNER = "{name: inner, dag: {tasks: [{name: deploy, template: deploy}]}}"
#: A hook of any name runs as soon as its expression holds.
WHILE = (
    '{{running: {{expression: \'{0}.status == "Running" || {0}.status == "Succeeded"\','
    " template: inner}}}}"
)
ITEMS = "withItems: [eu, us]"

SHAPES = {
    "dag": manifest(DAG, LEAF),
    "steps": manifest(STEPS, LEAF, QUIET),
    "cron": cron(),
    "submitted from a WorkflowTemplate": manifest(DAG, LEAF, kind="WorkflowTemplate"),
    "templateRef": lent("WorkflowTemplate"),
    "templateRef to the cluster's": lent("ClusterWorkflowTemplate"),
    "workflowTemplateRef": whole("WorkflowTemplate"),
    "workflowTemplateRef to the cluster's": whole("ClusterWorkflowTemplate"),
    "exit handler": manifest(IDLE, QUIET, INNER, LEAF, more="  onExit: inner\n"),
    "hook of the workflow": manifest(
        IDLE, QUIET, INNER, LEAF, more="  hooks: {exit: {template: inner}}\n"
    ),
    "hook of a task": manifest(
        "{name: main, dag: {tasks: [{name: idle, template: quiet,"
        " hooks: {exit: {template: inner}}}]}}",
        QUIET,
        INNER,
        LEAF,
    ),
    "hook while the workflow runs": manifest(
        IDLE, QUIET, INNER, LEAF, more=f"  hooks: {WHILE.format('workflow')}\n"
    ),
    "hook while a task runs": manifest(
        f"{{name: main, dag: {{tasks: [{{name: idle, template: quiet,"
        f" hooks: {WHILE.format('tasks.idle')}}}]}}}}",
        QUIET,
        INNER,
        LEAF,
    ),
    "loop": manifest(
        f"{{name: main, dag: {{tasks: [{{name: each, template: inner, {ITEMS}}}]}}}}", INNER, LEAF
    ),
    "nested": manifest(
        "{name: main, dag: {tasks: [{name: outer, template: outer}]}}",
        "{name: outer, steps: [[{name: more, template: inner}]]}",
        INNER,
        LEAF,
    ),
    "several gates": manifest(
        "{name: main, dag: {tasks: [{name: deploy, template: deploy},"
        " {name: after, template: deploy, depends: deploy.Succeeded}]}}",
        LEAF,
    ).replace(
        'deploy: "message: Deploy?"', 'deploy: "timeout: 1h", approval-bridge/after: "timeout: 1h"'
    ),
    "script": of_kind(
        "{name: deploy, script: {image: x, command: [sh], source: 'echo ran {{workflow.uid}}'}}"
    ),
    "containerSet": of_kind(
        "{name: deploy, containerSet: {containers:"
        " [{name: main, image: x, command: [echo, 'ran {{workflow.uid}}']}]}}"
    ),
    "resource": of_kind(
        "{name: deploy, resource: {action: apply, manifest: 'ran {{workflow.uid}}'}}"
    ),
    "guarded dag": manifest(
        DAG,
        "{name: deploy, dag: {tasks: [{name: one, template: one}]}}",
        "{name: one, steps: [[{name: two, template: two}]]}",
        LEAF.replace("name: deploy", "name: two"),
    ),
}
#: How many gates each asks, if it is not one.
GATES = {"loop": 2, "several gates": 2}
#: Those that `make test` runs; `make test-argo-shapes` runs all of them.
FEW = ("hook of a task", "templateRef", "guarded dag")


@dataclass
class Pod:
    """A pod that ran to its end when it was started."""

    folder: Path
    code: int = 0
    refused: str | None = None
    said: str = ""

    def poll(self) -> int:
        return self.code

    def output(self, path: str) -> str | None:
        own = self.folder / Path(path).name
        return own.read_text() if own.is_file() else None

    def run(self, template: Any) -> None:
        for container in template.get("initContainers", ()):
            log = self._runs(container)
            if self.code:
                said = f"{container['name']}: Error (exit code {self.code}): {log}"
                self.refused = said
                return
        for container in _own(template):
            self.said += self._runs(container)

    def _runs(self, container: Any) -> str:
        command = container["command"]
        given = {each["name"]: each["value"] for each in container.get("env", ())}
        assert "{{" not in str([command, given])
        verb = VERBS.get(command[-1])
        if verb is None:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        log = StringIO()
        with patch.dict(os.environ, {**given, "HITL_OUT": str(self.folder)}), redirect_stderr(log):
            self.code = argo_pod.main([verb])
        return log.getvalue()


def _own(template: Any) -> list[Any]:
    """The template's own containers. A resource is applied by kubectl: here it is printed."""
    if "script" in template:
        return [{"command": [*template["script"]["command"], "-c", template["script"]["source"]]}]
    if "containerSet" in template:
        return list(template["containerSet"]["containers"])
    if "resource" in template:
        return [{"command": ["echo", template["resource"]["manifest"]]}]
    return [template["container"]]


@dataclass
class Run:
    """The run of a file of manifests, with its gates in a ledger."""

    folder: Path
    ledger: GitLedger
    object: dict[str, Any]
    name: str = ""
    pods: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.controller = Controller(self.object, self._start)

    def _start(self, template: Any, node: Any) -> Pod:
        pod = Pod(self.folder / str(len(self.pods)))
        pod.folder.mkdir(parents=True)
        pod.run(template)
        self.pods.append(pod)
        return pod

    def gates(self) -> list[str]:
        """Those that wait now."""
        self.controller.settle()
        return sorted(waiting(self.object))

    def shows_where_it_waits(self, gate: str) -> None:
        """Argo shows where to decide, and the page where it waits in Argo."""
        waits = self.controller.nodes[waiting(self.object)[gate]]
        given = {each["name"]: each["value"] for each in waits["inputs"]["parameters"]}
        assert f"approve {gate}" in given["page"]
        standing = self.ledger.read(gate)
        assert standing
        [link] = standing.request.links
        name = self.object["metadata"]["name"]
        node = node_id(name, waits["name"].removesuffix("(0)"))
        assert link.url == f"{UI}/workflows/argo/{name}?tab=workflow&uid=u-1&nodeId={node}"

    def decide(self, gate: str, verb: str) -> None:
        assert cli.main([verb, gate, *(["--reason", "no"] if verb == "reject" else [])]) == 0
        self.deliver(gate)

    def deliver(self, gate: str) -> None:
        standing = self.ledger.read(gate)
        assert standing
        deliver(self, standing, wiring.clock())

    def ran(self) -> int:
        """How often the guarded template ran."""
        self.controller.settle()
        return sum(pod.said.startswith("ran u-1") for pod in self.pods)

    @property
    def phase(self) -> str:
        return str(self.controller.status["phase"])

    # -- as a cluster --

    def workflow(self, named: Workflow) -> dict[str, Any]:
        return self.object

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        apply_patch(self.object, json_patch(seen, move), in_place=True)
        return True


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, ledger: Path) -> Run:
    made = injected(SHAPES[request.param], "wf.yaml", PODS)
    assert not made.warnings
    workflow = submitted(list(yaml.safe_load_all(made.text)))
    assert workflow["metadata"]["labels"] == {LABEL: "true"}
    cache = from_environment({"HOME": str(tmp_path)}).cache
    return Run(tmp_path / "pods", GitLedger(str(ledger), cache), workflow)


SHAPED = pytest.mark.parametrize(
    "run",
    [pytest.param(each, marks=() if each in FEW else pytest.mark.argo_shapes) for each in SHAPES],
    indirect=True,
)


@SHAPED
def test_each_shape_runs_once_approved(run: Run, request: pytest.FixtureRequest) -> None:
    shape = request.node.callspec.params["run"]
    asked: list[str] = []
    while found := run.gates():
        assert run.ran() == len(asked)
        asked += found
        for gate in found:
            run.shows_where_it_waits(gate)
            run.decide(gate, "approve")
    assert run.phase == "Succeeded"
    assert run.ran() == len(asked) == GATES.get(shape, 1)


@SHAPED
def test_each_shape_is_refused_by_its_pod_if_a_stranger_resumes_it(run: Run) -> None:
    run.gates()
    for node in run.controller.waiting():
        node["phase"] = "Succeeded"
    assert run.ran() == 0
    refused = [pod.refused for pod in run.pods if pod.refused]
    assert refused
    assert all("it is still waiting for a decision" in each for each in refused)


@SHAPED
def test_each_shape_that_is_rejected_runs_nothing(run: Run) -> None:
    for gate in run.gates():
        run.decide(gate, "reject")
    assert run.ran() == 0
    assert not run.gates()
    assert not [pod for pod in run.pods if pod.refused]


@SHAPED
def test_each_shape_that_expired_runs_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = run.gates()
    later = wiring.clock() + timedelta(days=1, minutes=1)
    monkeypatch.setattr(wiring, "clock", lambda: later)
    assert cli.main(["reconcile"]) == 0
    for gate in asked:
        run.deliver(gate)
    assert run.ran() == 0
    assert not run.gates()


def test_a_workflow_inside_a_sensor_is_refused_with_the_way_to_write_it() -> None:
    inner = yaml.safe_load(SHAPES["dag"])
    source = {"argoWorkflow": {"operation": "submit", "source": {"resource": inner}}}
    sensor = {"kind": "Sensor", "spec": {"triggers": [{"template": source}]}}
    with pytest.raises(Faults) as raised:
        injected(yaml.safe_dump(sensor), "sensor.yaml", PODS)
    [fault] = raised.value.faults
    assert "let the Sensor submit a Workflow with a workflowTemplateRef to it" in fault
