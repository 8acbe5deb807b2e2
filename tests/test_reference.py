"""The reference pages that the site makes from the code have every command, variable and key."""

from __future__ import annotations

import inspect
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import click
import pytest

import bridge
from bridge.cli.main import hitl
from bridge.cli.session import Session
from bridge.core import settings
from bridge.entrypoints import flowyml
from bridge.policy.policy_file import KEYS
from tests.gates import ROOT

Pages = dict[str, Callable[[], str]]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    """The functions of docs/hooks.py that make them. mkdocs has an environment of its own."""
    for module, names in (
        ("mkdocs", ""),
        ("mkdocs.config", ""),
        ("mkdocs.config.defaults", "MkDocsConfig"),
        ("mkdocs.structure", ""),
        ("mkdocs.structure.files", "File Files"),
        ("mkdocs.structure.pages", "Page"),
    ):
        made = ModuleType(module)
        for name in names.split():
            setattr(made, name, object)
        monkeypatch.setitem(sys.modules, module, made)
    return runpy.run_path(str(ROOT / "docs" / "hooks.py"))


def below(group: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            if not command.hidden:
                yield from below(command, f"{path} {name}")


def test_the_page_of_commands_has_the_help_of_each_as_it_is_printed(
    pages: Pages, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = dict(re.findall(r"(?ms)^## `(.*?)`\n\n```text\n(.*?)\n```$", pages["commands"]()))
    assert sorted(shown) == sorted(below(hitl, "hitl"))
    for path, help_ in shown.items():
        words = [*path.split()[1:], "--help"]
        hitl.main(words, "hitl", standalone_mode=False, terminal_width=80, obj=Session())
        assert capsys.readouterr().out == f"{help_}\n"


def test_the_page_of_variables_has_each_that_a_shell_or_the_bridge_sets(pages: Pages) -> None:
    page = pages["settings"]()
    shell = {settings.LEDGER, settings.CACHE, settings.KEYS, settings.SIGNING_KEY, settings.LOG}
    assert {name for name in settings.INTERNAL | shell if f"`{name}`" not in page} == set()


def test_the_page_of_the_policy_has_every_key(pages: Pages) -> None:
    rows = set(re.findall(r"(?m)^\| `(\w+)` \|", pages["policy"]()))
    assert {key for keys in KEYS.values() for key in keys} <= rows


def test_the_page_of_python_has_every_public_function_as_it_is_called(pages: Pages) -> None:
    page = pages["python"]()
    for function in (*(getattr(bridge, name) for name in bridge.__all__), flowyml.approval):
        assert f"## `{function.__module__}.{function.__qualname__}`" in page
        assert f"{function.__name__}{inspect.signature(function)}" in page
        assert inspect.getdoc(function) in page
