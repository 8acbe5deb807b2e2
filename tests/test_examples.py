"""Every example runs to its end, and every policy beside one is valid and covers its gates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bridge.cli import main as cli
from tests.argo import api
from tests.test_plain_argo import Run, cluster, injected

__all__ = ["cluster"]
pytestmark = pytest.mark.examples

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
POLICIES = sorted((EXAMPLES / "policies").glob("*.yml"))


class Project:
    """A folder of a person, Ann, who runs an example and answers from another shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
        bin_ = Path(sys.executable).parent
        self.env = {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "USERNAME": "ann",
        }

    def hitl(self, *args: str) -> None:
        subprocess.run(["hitl", *args], cwd=self.folder, env=self.env, check=True)

    def open_gates(self) -> list[str]:
        """Asked of git alone, so that nothing is settled by looking."""
        ledger = self.folder / ".hitl" / "ledger.git"
        if not ledger.exists():
            return []
        shown = subprocess.run(
            [
                *("git", "-C", str(ledger), "for-each-ref"),
                *("--format=%(refname:lstrip=3)", "refs/heads/gate"),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        return shown.stdout.split()

    def run(self, name: str, *args: str, answers: Sequence[Mapping[str, str]] = ()) -> str:
        """Run it, approve each gate with the next of `answers`, and return what it printed."""
        output = self.folder / "out.txt"
        with output.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / name), *args],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        left, answered = list(answers), set[str]()
        try:
            while process.poll() is None:
                for gate in self.open_gates():
                    if gate not in answered and left:
                        given = left.pop(0)
                        inputs = [f"-i{key}={value}" for key, value in given.items()]
                        self.hitl("approve", gate, *inputs)
                        answered.add(gate)
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        told = output.read_text()
        assert process.returncode == 0, told
        assert not left, told
        return told


@pytest.fixture
def ann(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_train_and_deploy(ann: Project) -> None:
    told = ann.run(
        "train_and_deploy.py", "run", answers=[{"deploy_target": "staging", "notes": "fine"}]
    )
    assert "ripeness goes to staging. Notes: fine" in told


def test_multi_stage(ann: Project) -> None:
    told = ann.run("multi_stage.py", "run", answers=[{}, {"share": "0.1"}])
    assert "deployed to production, for 10% of the traffic" in told
    assert "approved by Ann" in told


def test_a_cheap_run_of_the_cost_gate_asks_nobody(ann: Project) -> None:
    told = ann.run("cost_gate.py", "run", "--gpus", "2")
    assert "training for 38.4 dollars, approved by a condition" in told


def test_an_expensive_run_of_the_cost_gate_asks(ann: Project) -> None:
    told = ann.run("cost_gate.py", "run", "--gpus", "40", answers=[{}])
    assert "training for 768.0 dollars, approved by a person" in told


def test_review_foreach(ann: Project) -> None:
    told = ann.run("review_foreach.py", "run", answers=[{}, {}])
    assert "published: de, fr" in told


def test_plain_python(ann: Project) -> None:
    told = ann.run("plain_python.py", answers=[{"batch": "100"}])
    assert "migrating 1,200,431 rows, 100 at a time" in told


def test_flowyml_pipeline(ann: Project) -> None:
    assert "deployed churn" in ann.run("flowyml_pipeline.py", answers=[{}])


def test_an_argo_workflow(
    tmp_path: Path, cluster: api.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / "argo_workflow.yaml").read_text()
    run = Run(tmp_path, cluster, injected(tmp_path, capsys, text))
    assert run.settle() == "Running", run.said()
    assert cli.main(["approve", run.gate(), "-i", "target=staging"]) == 0
    assert cli.main(["resume", run.gate()]) == 0
    assert run.settle() == "Succeeded", run.said()
    assert run.pods["deploy"].said == "deployed to eu-west-1\n"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_its_policy_is_valid(ann: Project, policy: Path) -> None:
    (ann.folder / ".github").mkdir()
    shutil.copy(policy, ann.folder / ".github" / "approvals.yml")
    ann.hitl("policy", "validate")


def test_the_readme_names_every_example_and_policy() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    shown = [
        *EXAMPLES.glob("*.py"),
        *EXAMPLES.glob("*.yaml"),
        *EXAMPLES.glob("github/*"),
        *POLICIES,
    ]
    missing = {str(each.relative_to(EXAMPLES)) for each in shown} - {"demo.py"}
    missing = {each for each in missing if f"({each})" not in readme}
    assert not missing
