"""Each block of code on a page: its commands, YAML and Python are read by what would run them.

Other tests run what can run here: `test_tutorials.py`, `test_policy_cli.py`, `test_flowyml.py` and
the tests of each page. This one knows every block, so a new one cannot escape.
"""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import pytest
import yaml
from click.exceptions import NoArgsIsHelpError

from bridge.argo.annotations import injected
from bridge.argo.pod_settings import Pods
from bridge.cli.main import hitl
from bridge.core.message_template import Known
from bridge.core.yaml_text import dump
from bridge.policy.policy_file import parse
from tests.gates import ROOT

PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(hitl [^`]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(str(page.relative_to(ROOT)), line, found[2], dedent(found[3]))


BLOCKS = list(blocks())


def of(*kinds: str) -> Any:
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in kinds], ids=str)


def test_every_block_says_what_it_is() -> None:
    known = {"console", "python", "sh", "text", "yaml"}
    assert [str(block) for block in BLOCKS if block.kind not in known] == []


# -- commands --------------------------------------------------------------------------------------


def commands(block: Block) -> Iterator[str]:
    """Its command lines, without what they print."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind == "console":
        yield from (line[2:] for line in lines if line.startswith("$ "))
    else:
        yield from (line for line in lines if line.strip())


@pytest.fixture(autouse=True)
def workflow(hermetic: Path) -> None:
    """The files that commands are given."""
    (hermetic / "workflow.yaml").touch()


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each `hitl` in a line of shell."""
    for found in re.finditer(r"(?:^|\$\(|\| |flow\.py )(?:\w+=\S+ )*hitl\b([^|)]*)", line):
        words = shlex.split(found[1], comments=True)
        yield words[: words.index(">")] if ">" in words else words


def understood(args: list[str]) -> None:
    """Raises what the command line says of a mistake; runs nothing."""
    group: click.Command = hitl
    with ExitStack() as files:
        context = files.enter_context(group.make_context("hitl", list(args)))
        while isinstance(group, click.Group):
            rest = [*context._protected_args, *context.args]
            if not rest:
                return
            if rest[0] not in group.commands:  # a former name goes on working: no page shows it
                raise click.UsageError(f"{rest[0]} is no command of today")
            name, found, rest = group.resolve_command(context, rest)
            assert found
            group = found
            context = files.enter_context(found.make_context(name, rest, parent=context))


@of("console", "sh")
def test_a_shown_command_is_one_that_the_command_line_takes(block: Block) -> None:
    for line in commands(block):
        for call in calls(line):
            assert call, line
            understood(call)


@of("sh")
def test_a_shown_script_is_one_that_a_shell_takes(block: Block) -> None:
    # `<id>` on the page of the ledger stands for what a reader fills in.
    text = re.sub(r"<(\w+)>", r"\1", block.text)
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


#: What a reader fills in.
FILLED = {"SHELL": "bash", "NUMBER": "12", "FILE…": "-"}


def refusal(said: str) -> str | None:
    """What the command line says of a command that a sentence names."""
    try:
        understood([FILLED.get(word, word) for word in shlex.split(said)[1:]])
    except (click.MissingParameter, click.BadOptionUsage, NoArgsIsHelpError):
        return None  # a sentence names a command; it need not give all that it takes
    except click.UsageError as error:
        return f"`{said}`: {error.format_message()}"
    except click.exceptions.Exit:
        return None  # `--help` and `--version`
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_sentence_is_one_that_the_command_line_takes(page: Path) -> None:
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    assert [said for said in map(refusal, _INLINE.findall(prose)) if said] == []


# -- YAML ------------------------------------------------------------------------------------------

ACTION = yaml.safe_load((ROOT / "action" / "action.yml").read_text(encoding="utf-8"))
PERMISSIONS = {"actions", "contents", "id-token", "issues", "pull-requests", "statuses"}


def manifest(annotations: dict[str, str]) -> str:
    """A workflow with the tasks that the annotations of a page name."""
    tasks = [{"name": "train", "template": "train"}]
    for each in annotations:
        name = each.removeprefix("approval-bridge/")
        tasks.append({"name": name, "template": name, "depends": "train"})
    templates: list[dict[str, Any]] = [{"name": "all", "dag": {"tasks": tasks}}]
    templates += [{"name": t["name"], "container": {"image": "python:3.12"}} for t in tasks]
    return dump(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"generateName": "shown-", "annotations": annotations},
            "spec": {"entrypoint": "all", "templates": templates},
        }
    )


def check_workflow(shown: dict[str, Any]) -> None:
    """A part of a workflow file on GitHub: its permissions, and each use of the action."""
    assert set(shown) <= {"permissions", "steps", "run-name"}
    assert set(shown.get("permissions", ())) <= PERMISSIONS
    for step in shown.get("steps", ()):
        assert step["uses"].startswith("acme/approval-bridge/action@")
        assert set(step["with"]) <= set(ACTION["inputs"])
        assert step["with"]["mode"] in {"tend", "open", "verify"}


@of("yaml")
def test_shown_yaml_is_a_policy_a_workflow_or_a_manifest(block: Block) -> None:
    # What GitHub reads is read as GitHub does; the rest by the parsers of the bridge.
    shown = yaml.safe_load(block.text)
    if isinstance(shown, list):
        shown = {"steps": shown} if "uses" in shown[0] else {"gates": shown}
    if "gates" in shown:
        parse(block.text if "gates:" in block.text else f"gates:\n{block.text}")
    elif "metadata" in shown:
        made = injected(manifest(shown["metadata"]["annotations"]), str(block), Pods(image="b:1"))
        assert made.gates == 1
    else:
        check_workflow(shown)


# -- Python ----------------------------------------------------------------------------------------


#: The module alone: its package imports Metaflow, which warns.
DECLARATION = ROOT / "metaflow_extensions" / "hitl" / "plugins" / "declaration.py"
declare = runpy.run_path(str(DECLARATION))["declare"]


def declarations(tree: ast.Module) -> Iterator[dict[str, Any]]:
    """What each `@hitl(...)` of a block is given."""
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if called and node.func.id == "hitl":
            yield {each.arg or "": ast.literal_eval(each.value) for each in node.keywords}


@of("python")
def test_a_shown_declaration_is_one_that_hitl_takes(block: Block) -> None:
    # The lines of a table of forms decorate nothing, each for itself.
    forms = re.sub(r"(?m)^@(?=hitl)", "", block.text) if "def " not in block.text else block.text
    names = "accuracy confusion input loss losses model_name threshold"
    attributes = frozenset(names.split())
    for given in declarations(ast.parse(forms)):
        declare(given, "deploy", Known(attributes))
