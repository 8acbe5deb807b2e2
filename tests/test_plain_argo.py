"""Plain workflows with gates, run to their end exactly as `hitl argo inject` and the templates say.

The controller is a stand-in (see `argo/`); the pods' commands and environment, the ledger and the
delivery are the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.argo import nodes as argo
from bridge.cli import main as cli
from bridge.ledger.git_ledger import create
from tests.argo import api
from tests.argo.controller import Controller
from tests.githttp import serving
from tests.ledgers import GITCONFIG

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "templates" / "argo" / "approval-gate.yaml"
HERA = ROOT / "examples" / "hera_gate.py"

WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: plain
  annotations:
    approval-bridge/deploy: |
      message: Deploy {{tasks.train.outputs.parameters.accuracy}}?
      timeout: 2h
      input: {target: str}
      artifacts: {accuracy: "{{tasks.train.outputs.parameters.accuracy}}"}
spec:
  entrypoint: main
  arguments: {parameters: [{name: target, value: staging}]}
  templates:
  - name: main
    dag:
      tasks:
      - {name: train, template: train}
      - name: deploy
        template: deploy
        depends: train.Succeeded
  - name: train
    outputs: {parameters: [{name: accuracy, valueFrom: {path: /mnt/accuracy}}]}
    container: {image: x, command: [sh, -c, echo 0.93 > /mnt/accuracy]}
  - name: deploy
    retryStrategy: {limit: 3}
    container: {image: x, command: [sh, -c, "echo deployed to {{workflow.parameters.target}}"]}
"""


class Pod:
    """The containers of a pod as processes, one after the other: first those that check the gate.

    The folders that a container has for itself are its own here.
    """

    def __init__(self, folder: Path, template: Any) -> None:
        self._name = template["name"]
        self._folder = folder
        folder.mkdir(parents=True)
        first = template.get("initContainers") or []
        self._left = [*first, *_main_containers(folder, template)]
        self._first = [each["name"] for each in first]
        self.said = ""
        self.refused: str | None = None
        self._next()

    def _next(self) -> None:
        self._container = self._left.pop(0)
        given = {each["name"]: each["value"] for each in self._container.get("env", ())}
        command = [each.replace("/mnt", str(self._folder)) for each in self._container["command"]]
        assert "{{" not in str([*command, *given.values()]), self._name
        own = {"HITL_CACHE": str(self._folder / "cache"), "HITL_OUT": str(self._folder)}
        self._process = subprocess.Popen(
            command,
            cwd=self._folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HOME": str(self._folder),
                "GIT_CONFIG_GLOBAL": str(GITCONFIG),
                "HITL_LEDGER": os.environ["HITL_LEDGER"],  # as a ConfigMap gives it
                **given,
                **own,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def poll(self) -> int | None:
        code = self._process.poll()
        assert self._process.stdout
        if code is None or self._process.stdout.closed:
            return code
        log, _ = self._process.communicate()
        name = self._container.get("name")
        if name in self._first:
            if code:
                self.refused = f"{name}: Error (exit code {code}): {log}"
        else:
            self.said += log
        if code or not self._left:
            return code
        self._next()
        return None

    def output(self, path: str) -> str | None:
        own = self._folder / Path(path).name
        return own.read_text() if own.is_file() else None


def _main_containers(folder: Path, template: Any) -> list[Any]:
    """What the template itself runs. A resource is applied by kubectl: here it is printed."""
    if "script" in template:
        source = folder / "source"
        source.write_text(template["script"]["source"])
        command = [*template["script"]["command"], str(source)]
        return [{**template["script"], "command": command}]
    if "containerSet" in template:
        return list(template["containerSet"]["containers"])
    if "resource" in template:
        return [{"command": ["echo", template["resource"]["manifest"]]}]
    return [template["container"]]


class Run:
    """One workflow in a cluster."""

    def __init__(self, folder: Path, cluster: api.Cluster, workflow: Any) -> None:
        self.pods: dict[str, Pod] = {}
        self._folder = folder / "pods"
        workflow["metadata"] |= {
            "name": "run-1",
            "namespace": "argo",
            "uid": "u-1",
            "creationTimestamp": "2026-11-24T00:00:00Z",
        }
        self.cluster = cluster
        self.workflow = workflow
        self.controller = Controller(workflow, self._start)
        cluster.submit(workflow)

    def _start(self, template: Any, node: Any) -> Pod:
        name = node["name"].replace("(0)", "").removeprefix("run-1.")
        self.pods[name] = Pod(self._folder / name, template)
        return self.pods[name]

    def retried(self, name: str, **parameters: str) -> None:
        """As `argo retry -p` does it: this task runs again, with other parameters."""
        given = [{"name": key, "value": value} for key, value in parameters.items()]
        self.workflow["spec"]["arguments"] = {"parameters": given}
        nodes = self.controller.nodes
        for key, node in list(nodes.items()):
            if f".{name}" in node["name"].replace("(0)", ""):
                del nodes[key]
            elif node["type"] in ("DAG", "Retry") and node["name"].count(".") == 0:
                node["phase"] = "Running"
        self.workflow["status"]["phase"] = "Running"
        self._folder = self._folder.with_name("pods again")
        self.controller = Controller(self.workflow, self._start)

    def resumed_by_a_stranger(self) -> None:
        """As `argo resume` does it, which moves every suspended node."""
        for node in self.controller.waiting():
            node["phase"] = "Succeeded"

    def message(self, name: str) -> str:
        node = self.controller.at(name)
        assert node
        said: str = node["message"]
        return said

    def settle(self) -> str:
        self.cluster.settle(self.controller)
        phase: str = self.controller.status["phase"]
        return phase

    def said(self) -> str:
        return "\n".join(f"{name}: {pod.said}" for name, pod in self.pods.items())

    def gate(self) -> str:
        (gate,) = argo.waiting(self.controller.workflow)
        return str(gate)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Cluster]:
    create(tmp_path / "l.git")
    with serving(tmp_path) as git, api.serving() as found:
        monkeypatch.setenv("HITL_LEDGER", git.of("l.git"))
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig(tmp_path)))
        yield found


def injected(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str = WORKFLOW) -> Any:
    """What the command prints for this file, read as a cluster reads it."""
    path = tmp_path / "workflow.yaml"
    path.write_text(text)
    assert cli.main(["inject", "--image", "x", str(path)]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def hera() -> Any:
    """The example's workflow with the shipped templates put in, as a `templateRef` does."""
    said = subprocess.run(
        [sys.executable, str(HERA)], capture_output=True, text=True, check=True
    ).stdout
    workflow = yaml.safe_load(said)
    workflow["metadata"].pop("generateName")
    for template in workflow["spec"]["templates"]:
        for task in (template.get("dag") or {}).get("tasks", ()):
            if "templateRef" in task:
                assert task.pop("templateRef") == {"name": "approval-gate", "template": "gate"}
                task["template"] = "gate"
    workflow["spec"]["templates"] += yaml.safe_load(SHIPPED.read_text())["spec"]["templates"]
    return workflow


def test_an_injected_gate_opens_waits_and_runs_once_approved(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, cluster, injected(tmp_path, capsys))
    assert run.settle() == "Running", run.said()
    assert "deploy" not in run.pods
    (waits,) = run.controller.waiting()
    shown = {each["name"]: each["value"] for each in waits["inputs"]["parameters"]}
    assert shown["gate"] == run.gate()
    assert f"approve {run.gate()}" in shown["page"]
    assert cli.main(["approve", run.gate(), "-i", "target=staging"]) == 0
    assert cli.main(["resume", run.gate()]) == 0
    assert run.settle() == "Succeeded", run.said()
    assert run.pods["deploy"].said == "deployed to staging\n"

    run.retried("deploy", target="production")
    assert run.settle() == "Failed"
    assert run.pods["deploy"].said == ""
    assert "changed: workflow.parameters" in (run.pods["deploy"].refused or "")


def test_a_stranger_who_resumes_the_node_meets_a_pod_that_says_why_and_is_not_tried_again(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, cluster, injected(tmp_path, capsys))
    run.settle()
    run.resumed_by_a_stranger()
    assert run.settle() == "Failed"
    assert sorted(run.pods) == ["deploy", "hitl-notify-deploy", "train"]
    assert run.pods["deploy"].said == ""
    refused = run.pods["deploy"].refused or ""
    assert refused.startswith("hitl-verify: Error (exit code 202): hitl: ")
    assert "it is still waiting for a decision" in refused


def test_a_guarded_template_that_is_started_as_the_entrypoint_does_not_run(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """`argo submit --from … --entrypoint deploy -p target=production -p hitl-gate=deploy …`."""
    workflow = injected(tmp_path, capsys)
    said = {"gate": "deploy", "message": "Deploy 0.93?", "place": "run-1", "artifact-accuracy": "1"}
    given = {"target": "production", **{f"hitl-{key}": value for key, value in said.items()}}
    parameters = [{"name": key, "value": value} for key, value in given.items()]
    workflow["spec"] |= {"entrypoint": "deploy", "arguments": {"parameters": parameters}}
    run = Run(tmp_path, cluster, workflow)
    assert run.settle() == "Failed"
    assert run.pods["run-1"].said == ""
    assert "nobody was asked" in (run.pods["run-1"].refused or "")


def test_a_gate_without_a_timeout_opens(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WORKFLOW.replace("timeout: 2h", "timeout: null")
    run = Run(tmp_path, cluster, injected(tmp_path, capsys, text))
    assert run.settle() == "Running", run.said()


def test_the_shipped_template_as_the_hera_example_calls_it_runs_once_approved(
    tmp_path: Path, cluster: api.Cluster
) -> None:
    run = Run(tmp_path, cluster, hera())
    assert run.settle() == "Running", run.said()
    assert cli.main(["approve", run.gate(), "-i", "target=staging"]) == 0
    assert cli.main(["resume", run.gate()]) == 0
    assert run.settle() == "Succeeded", run.said()
    assert '{"target": "staging"}' in run.pods["deploy"].said
