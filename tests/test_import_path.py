"""The folder that a command is run in holds what anybody put there: nothing is imported from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.actions import ROOT, load

#: What Python, pip, the action, the pods and the command line import first.
DECOYS = (
    "bridge", "click", "git", "json", "pip", "re", "sitecustomize", "usercustomize", "venv", "yaml",
)  # fmt: skip

#: In the place of `python3`: it does what it is told, but installs nothing.
PYTHON = """#!/bin/bash
args=()
for each in "$@"; do
  [ "$each" = install ] && exec {python} "${{args[@]}}" --version
  args+=("$each")
done
exec {python} "${{args[@]}}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder, full of modules that leave a mark if they are imported."""
    made = tmp_path / "job"
    made.mkdir()
    for name in DECOYS:
        (made / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})"
        )
    return made


def ran(command: Sequence[str], folder: Path, **env: str) -> str:
    """What the command says. Fails if it imported anything of the folder."""
    home = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    home |= {"HOME": str(folder.parent), "RUNNER_TEMP": str(folder.parent / "temp"),
             "GITHUB_ACTION_PATH": str(ROOT / "action")}  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=home | env, capture_output=True, text=True, check=False
    )
    mark = folder.parent / "imported"
    assert not mark.exists(), mark.read_text()
    return done.stdout + done.stderr


def test_the_action_imports_nothing_of_the_jobs_folder_when_it_installs(folder: Path) -> None:
    tools = folder.parent / "tools"
    tools.mkdir()
    (tools / "python3").write_text(PYTHON.format(python=sys.executable))
    (tools / "python3").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    said = ran(["bash", str(ROOT / "action" / "install.sh")], folder,
               PATH=path, PYTHONPATH=str(folder), PYTHONHOME="", PIP_NO_INDEX="1")  # fmt: skip
    assert "pip is configured with no-index" in said
    assert (folder.parent / "temp" / "approval-bridge" / "ready").exists(), said


def test_the_action_imports_nothing_of_the_jobs_folder_when_it_runs(folder: Path) -> None:
    run = load((ROOT / "action" / "action.yml").read_text())["runs"]["steps"][1]["run"]
    venv = folder.parent / "temp" / "approval-bridge" / "venv"
    venv.parent.mkdir(parents=True)
    venv.symlink_to(sys.prefix)
    said = ran(["bash", "-c", run], folder, PYTHONPATH=str(folder), HITL_MODE="sing")
    assert "`mode` is" in said


def test_the_command_line_imports_nothing_of_its_folder(folder: Path) -> None:
    command = Path(sys.executable).with_name("hitl")
    assert "no ledger in" in ran([str(command), "list"], folder)


def test_a_pod_imports_nothing_of_its_folder(folder: Path) -> None:
    command = [sys.executable, "-P", "-m", "bridge.entrypoints.argo_pod", "verify"]
    assert "this runs in a pod of Argo" in ran(command, folder)
