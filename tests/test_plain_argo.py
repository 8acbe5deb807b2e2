"""Plain workflows with gates, run to their end exactly as `hitl inject` and the templates say.

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
    container: {image: x, command: [sh, -c, echo deployed]}
"""


class Pod:
    """A container as a process: the folders that a container has for itself are its own here."""

    def __init__(self, folder: Path, template: Any) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        container = template["container"]
        given = {each["name"]: each["value"] for each in container.get("env", ())}
        command = [each.replace("/mnt", str(folder)) for each in container["command"]]
        assert "{{" not in str([*command, *given.values()]), template["name"]
        own = {"HITL_CACHE": str(folder / "cache"), "HITL_OUT": str(folder)}
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HOME": str(folder),
                "GIT_CONFIG_GLOBAL": os.devnull,
                "HITL_LEDGER": os.environ["HITL_LEDGER"],  # as a ConfigMap gives it
                **given,
                **own,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def poll(self) -> int | None:
        code = self._process.poll()
        assert self._process.stdout
        if code is not None and not self._process.stdout.closed:
            self.said, _ = self._process.communicate()
        return code

    def output(self, path: str) -> str | None:
        own = self._folder / Path(path).name
        return own.read_text() if own.is_file() else None


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
        self.controller = Controller(workflow, self._start)
        cluster.submit(workflow)

    def _start(self, template: Any, node: Any) -> Pod:
        name = node["name"].removeprefix("run-1.").partition("(")[0]
        self.pods[name] = Pod(self._folder / name, template)
        return self.pods[name]

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
    assert cli.main(["inject", "--no-setup", "--image", "x", str(path)]) == 0
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
    assert cli.main(["approve", run.gate(), "-i", "target=staging"]) == 0
    assert cli.main(["resume", run.gate()]) == 0
    assert run.settle() == "Succeeded", run.said()
    assert run.pods["deploy"].said == "deployed\n"


def test_an_injected_gate_that_is_rejected_runs_nothing(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, cluster, injected(tmp_path, capsys))
    assert run.settle() == "Running", run.said()
    assert cli.main(["reject", run.gate(), "--reason", "not yet"]) == 0
    assert cli.main(["resume", run.gate()]) == 0
    assert run.settle() == "Failed"
    assert set(run.pods) == {"train", "hitl-notify-deploy"}


@pytest.mark.parametrize("written", ["2h", "7200", "90s", "null"])
def test_every_way_to_write_a_timeout_opens_the_gate(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str], written: str
) -> None:
    text = WORKFLOW.replace("timeout: 2h", f"timeout: {written}")
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
