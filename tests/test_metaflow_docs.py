"""docs/metaflow.md says what the code does."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.core import settings
from tests.metaflows import CHECKOUT, FLOWS, Project

from .test_metaflow_fail_closed import waiting
from .test_tutorials import alike, blocks, commands

PAGE = (CHECKOUT / "docs" / "metaflow.md").read_text(encoding="utf-8")
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


#: Where variables are told that no flow's author needs.
PAGES = ("argo.md", "argo-delivery.md", "github.md")


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def cells(title: str) -> dict[str, str]:
    """The first two columns of a section's table."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section(title), re.MULTILINE)
    return {name: said.strip("`") for name, said in rows}


def test_every_parameter_is_listed_with_its_default() -> None:
    code = "from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator as d;"
    shown = subprocess.run([sys.executable, "-c", f"{code} print(d.defaults)"], cwd=CHECKOUT,
                           capture_output=True, text=True, check=True)  # fmt: skip
    defaults = ast.literal_eval(shown.stdout)
    assert {name: ast.literal_eval(said) for name, said in cells("Parameters").items()} == defaults


def test_every_variable_is_listed() -> None:
    values = {str(each) for each in vars(settings).values()} - settings.INTERNAL
    known = {each for each in values if each.startswith(("HITL_", "META"))}
    elsewhere = "".join((CHECKOUT / "docs" / name).read_text() for name in PAGES)
    named = set(re.findall(r"`(\w+)`", section("Variables") + elsewhere))
    assert known <= named
    assert set(cells("Variables")) <= known


def checked(folder: Path, *changes: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    """`check` on the flow at the top of the page."""
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    flow = found[1]
    for old, new in changes:
        flow = flow.replace(old, new, 1)
    file = folder / "flow.py"
    file.write_text(flow + "\n\nif __name__ == '__main__':\n    TrainAndDeploy()\n")
    return subprocess.run([sys.executable, str(file), "check"], cwd=folder, text=True,
                          env=Project(folder).env, capture_output=True)  # fmt: skip


def test_the_flow_at_the_top_passes_its_check(tmp_path: Path) -> None:
    done = checked(tmp_path)
    assert done.returncode == 0, done.stderr


def statements(code: str) -> dict[str, list[str]]:
    """Each function's statements, without which step is next; and what its gate is given."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef):
            body = [ast.unparse(each) for each in node.body]
            given = [ast.unparse(word) for each in node.decorator_list
                     if isinstance(each, ast.Call) for word in each.keywords]  # fmt: skip
            found[node.name] = [each for each in body if not each.startswith("self.next(")] + given
    return found


@pytest.mark.parametrize(
    ("said", "flow"), [("inputs.left.hitl_input", "branches.py"), ("each.planted", "skips.py")]
)
def test_a_part_of_a_flow_that_is_shown_is_in_a_flow_that_tests_run(said: str, flow: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (shown,) = [each for each in blocks if said in each]
    run = statements((FLOWS / flow).read_text(encoding="utf-8"))
    parts = statements(shown)
    assert any(parts.values())
    assert {name: [each for each in part if each not in run[name]]
            for name, part in parts.items()} == {name: [] for name in parts}  # fmt: skip


def test_the_flow_of_the_readme_runs_with_the_commands_below_it(
    tmp_path: Path,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shown = README.partition("## Thirty seconds")[2].partition("\n## ")[0]
    (flow,) = re.findall(r"```python\n(.*?)```", shown, re.DOTALL)
    session = commands("".join(blocks(shown, "console")))
    project = Project(tmp_path, clouds=False)
    (tmp_path / "flow.py").write_text(flow)
    process = project.python(str(tmp_path / "flow.py"), "run")
    _, key, _ = waiting(process)
    gate = project.gate(key)
    assert gate
    monkeypatch.chdir(tmp_path)
    for command, lines in session:
        args = shlex.split(command.replace("3fa9", gate.request.gate.id[:4]))
        if args[0] == "hitl":
            main(args[1:])
        else:
            subprocess.run(args, check=True)
        printed = alike(capfd.readouterr().out)
        assert lines
        assert [line for line in lines if line != "…" and alike(line) not in printed] == []
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "deploying to staging" in said


def test_the_faults_shown_are_those_that_are_told(tmp_path: Path) -> None:
    shown = re.search(r"```text\n(Approval gate.*?)```", PAGE, re.DOTALL)
    assert shown
    wrong = checked(tmp_path, ("self.accuracy:", "self.acuracy:"), ('"24h"', '"soon"'))
    said = [line.strip() for line in wrong.stderr.splitlines()]
    assert [line.strip() for line in shown[1].splitlines() if line.strip() not in said] == []


@functools.cache
def sentences() -> list[str]:
    """Every text in the source; `…` replaces what the code fills in at run time."""
    return list(texts())


def texts() -> Iterator[str]:
    for folder in ("bridge", "metaflow_extensions"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(each.value) if isinstance(each, ast.Constant) else "…"
                        for each in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


METAFLOWS_OWN = ("Unknown user", "Spinning steps", "Step joined cannot merge")
QUOTED = re.findall(r"^\*\*`(.+?)`\*\*", section("When something is wrong"), re.MULTILINE)


@pytest.mark.parametrize("quoted", [each for each in QUOTED if not each.startswith(METAFLOWS_OWN)])
def test_every_sentence_that_is_explained_is_one_the_code_says(quoted: str) -> None:
    parts = [part for part in quoted.split("…") if len(part) > 2]
    assert parts
    for part in parts:
        assert any(part in each for each in sentences()), part
