"""docs/cli.md and `hitl --help` say what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from bridge.cli import main as cli
from bridge.core import crash_report, errors, settings

from .gates import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def verbs(group: click.Group, before: str = "hitl") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def options(command: click.Command) -> set[str]:
    found = [each for each in command.params if isinstance(each, click.Option)]
    return {name for each in found for name in each.opts}


COMMANDS = dict(verbs(cli.hitl))


def documented() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for said, _, given in rows("Verbs"):
        words = [word for word in said.strip("`").split() if word.islower()]
        found.setdefault(" ".join(words), set()).update(re.findall(r"`(-[-\w]+)`", given))
    return found


def test_the_page_has_every_verb_and_no_other() -> None:
    assert documented().keys() == COMMANDS.keys()


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "hitl policy simulate"])
def test_the_page_has_every_option_of_a_verb_and_no_other(verb: str) -> None:
    assert documented()[verb] == options(COMMANDS[verb])


def test_the_options_before_a_verb_are_told() -> None:
    for option in options(cli.hitl):
        assert re.search(rf"`[^`]*{option}\b[^`]*`", section("Verbs")), option


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_every_verb_has_an_example_and_fits_a_terminal(verb: str) -> None:
    context = click.Context(COMMANDS[verb], info_name=verb, terminal_width=80)
    help_ = COMMANDS[verb].get_help(context)
    assert re.search(rf"(?m)^  .*\b{verb}\b", help_), help_
    assert [line for line in help_.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("verb", ["", "github", "argo", "ledger", "policy"])
def test_no_summary_in_a_list_of_commands_is_cut(verb: str) -> None:
    group = cli.hitl.commands[verb] if verb else cli.hitl
    help_ = group.get_help(click.Context(group, info_name=verb, terminal_width=80))
    _, *lines = help_.splitlines()
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == []


def codes() -> set[int]:
    def beneath(kind: type[errors.BridgeError]) -> Iterator[int]:
        yield kind.exit_code
        for each in kind.__subclasses__():
            yield from beneath(each)

    return {0, cli._INTERRUPTED, crash_report.EXIT_BUG, *beneath(errors.BridgeError)}


def test_the_page_has_every_exit_code() -> None:
    assert {int(code) for code, _ in rows("Exit codes")} == codes()


def test_the_help_has_every_exit_code() -> None:
    epilog = cli.hitl.epilog or ""
    assert {int(code) for code in re.findall(r"(?:^|\s)(\d+)  ", epilog)} == codes()


def test_the_page_has_every_variable_of_a_shell_and_no_other() -> None:
    of_a_shell = {
        settings.LEDGER,
        settings.CACHE,
        settings.ENVIRONMENT,
        settings.CLUSTER,
        settings.SIGN,
        settings.KEYS,
        settings.SIGNING_KEY,
        settings.LOG,
        settings.APPRISE_URLS,
        settings.SLACK_WEBHOOK,
        settings.ARGO_UI_URL,
        settings.ARGO_NAMESPACE,
        *settings.TOKENS,
        "NO_COLOR",
    }
    told = {name for names, *_ in rows("Environment") for name in re.findall(r"\w+", names)}
    assert told == of_a_shell


def test_every_variable_of_the_bridge_is_told_somewhere() -> None:
    pages = "".join(each.read_text(encoding="utf-8") for each in (ROOT / "docs").glob("*.md"))
    known = {value for value in vars(settings).values() if str(value).startswith(("HITL_", "META"))}
    assert {name for name in known - settings.INTERNAL if name not in pages} == set()


def test_every_link_of_the_page_leads_somewhere() -> None:
    for path, title in re.findall(r"\]\((?!http)([\w.]+)(?:#([\w-]+))?\)", PAGE):
        text = (ROOT / "docs" / path).read_text(encoding="utf-8")
        assert not title or f"\n## {title.replace('-', ' ')}\n" in text.lower()


def test_nothing_that_we_write_installs_the_bridge_by_a_name_that_anybody_could_take() -> None:
    folders = [ROOT / each for each in ("docs", "examples", "templates", "action", "bridge")]
    files = [ROOT / "README.md", *(each for folder in folders for each in folder.rglob("*.*"))]
    by_name = re.compile(r"pip install\b.*[\s'\"]approval-bridge(?!\s*@)")
    assert by_name.search("pip install 'approval-bridge[flowyml]'")
    texts = [each for each in files if each.suffix in {".md", ".py", ".yml", ".yaml", ".sh"}]
    assert [each for each in texts if by_name.search(each.read_text("utf-8"))] == []
