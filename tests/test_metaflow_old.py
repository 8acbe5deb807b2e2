"""Beside a Metaflow older than 2.19 the extension stays inert, and a gate says what it needs.

HITL_OLD_METAFLOW names a Python with such a Metaflow and the bridge's dependencies. Without it,
this environment's Metaflow stands in, with the names of `spin` taken out, which came with 2.19.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.metaflows import CHECKOUT

#: Loaded by each Python that the flow starts, before anything else.
WITHOUT_SPIN = """
from importlib.machinery import SourceFileLoader
import re

NAMES = {
    "metaflow.metaflow_config": (r"(?m)^SPIN_DISALLOWED_DECORATORS = from_conf\\([^)]*\\)\\n", ""),
    "metaflow.runtime": (r"SPIN_DISALLOWED_DECORATORS", "DEFAULT_METADATA"),
    "metaflow.version": (r"[0-9]+\\.[0-9]+\\.[0-9]+", "2.18.13"),
}
stock = SourceFileLoader.get_code

def get_code(loader, name):
    if name not in NAMES:
        return stock(loader, name)
    source, found = re.subn(*NAMES[name], loader.get_source(name))
    assert found, f"{name} of this Metaflow is another than the stand-in was made for"
    return compile(source, loader.path, "exec")

SourceFileLoader.get_code = get_code
"""

FLOW = """\
from metaflow import FlowSpec, step
{how}

class Flow(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    {gate}
    @step
    def end(self):
        print("the last step ran")

if __name__ == "__main__":
    Flow()
"""

SENTENCE = "@hitl needs Metaflow 2.19 or newer, and this is Metaflow 2."


class Ran:
    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.said = process.stdout + process.stderr


def run(folder: Path, *arguments: str) -> Ran:
    old = os.environ.get("HITL_OLD_METAFLOW")
    if not old:
        (folder / "without_spin").mkdir()
        (folder / "without_spin" / "sitecustomize.py").write_text(WITHOUT_SPIN)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "USERNAME": "ann",
        "PYTHONPATH": os.pathsep.join([str(folder / "without_spin"), str(CHECKOUT)]),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
    }
    command = [old or sys.executable, *arguments]
    return Ran(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True))


def flow(folder: Path, *, how: str = "", gate: str = "") -> str:
    (folder / "flow.py").write_text(FLOW.format(how=how, gate=gate))
    return "flow.py"


def test_metaflow_is_imported_as_if_the_extension_were_not_there(tmp_path: Path) -> None:
    shown = run(tmp_path, "-c", "import metaflow; print(metaflow.__version__)")
    assert shown.code == 0, shown.said
    assert "2.19" not in shown.said
    assert "WARNING" not in shown.said


def test_a_flow_without_a_gate_runs(tmp_path: Path) -> None:
    ran = run(tmp_path, flow(tmp_path), "run")
    assert ran.code == 0, ran.said
    assert "the last step ran" in ran.said


@pytest.mark.parametrize(
    "how",
    [
        "from metaflow import hitl",
        "from metaflow_extensions.hitl.plugins.hitl_decorator import hitl",
    ],
)
@pytest.mark.parametrize("gate", ["@hitl", "@hitl(message='Deploy?')"])
def test_a_gate_stops_the_flow_with_one_sentence(tmp_path: Path, how: str, gate: str) -> None:
    ran = run(tmp_path, flow(tmp_path, how=how, gate=gate), "run")
    assert ran.code == 1
    assert ran.said.startswith(SENTENCE)
    assert len(ran.said.splitlines()) == 1


def test_a_gate_from_the_command_line_stops_the_flow_too(tmp_path: Path) -> None:
    ran = run(tmp_path, flow(tmp_path), "run", "--with", "hitl")
    assert ran.code == 1
    assert ran.said.splitlines()[-1].startswith(SENTENCE)
    assert "the last step ran" not in ran.said
    assert "Traceback" not in ran.said
