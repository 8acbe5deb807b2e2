"""docs/first-gate.md, followed to the letter: each command runs, and prints what the page shows."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge.cli.main import main
from bridge.setup.checks import Level
from bridge.setup.workflow_files import MAIN, TRIAL
from tests.gates import ROOT
from tests.github import GitHub
from tests.test_github_setup import Acme
from tests.test_tutorials import blocks, commands

PAGE = (ROOT / "docs" / "first-gate.md").read_text("utf-8")
SHOWN = dict(commands("".join(blocks(PAGE, "console"))))
#: In the order in which somebody would run them.
RUN = (
    "hitl github try",
    "hitl github setup --only ledger --only environment --only apps",
    "hitl github setup",
    "hitl doctor",
    "hitl doctor --fix",
    "hitl github remove",
)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Page]:
    monkeypatch.chdir(tmp_path)
    with GitHub() as github:
        yield Page(github, monkeypatch)


class Page:
    """Somebody who installed the bridge as the page says, and follows it."""

    def __init__(self, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.github, self._monkeypatch = github, monkeypatch
        (address, commit), *_ = re.findall(r"(?m)^pip install git\+(\S+)@([0-9a-f]{40})$", PAGE)
        parts = urlsplit(address)
        here = parts._replace(netloc=urlsplit(github.url).netloc).geturl()
        told = json.dumps({"url": here, "vcs_info": {"vcs": "git", "commit_id": commit}})
        monkeypatch.setattr("bridge.setup.action_address._installed", lambda: (told, []))
        self.action = f"{parts.path.strip('/')}/action@{commit}"

    def repository(self, name: str) -> Acme:
        return Acme(self.github, self._monkeypatch, name)

    def runs(self, command: str, capsys: pytest.CaptureFixture[str]) -> str:
        """Run it, and answer its question with yes."""
        assert command in RUN
        capsys.readouterr()
        self._monkeypatch.setattr("sys.stdin", StringIO("y\n"))
        code = main(shlex.split(command)[1:])
        told = capsys.readouterr()
        assert code == 0, told.err
        for each in SHOWN.get(command, ()):
            assert each.removesuffix("y") in told.out, told.out
        return told.out


def test_the_page_names_no_command_that_is_not_run_here() -> None:
    named = re.findall(r"`(hitl [^`\n]*)`", PAGE)
    named += [line for each in blocks(PAGE, "sh") for line in each.splitlines()]
    found = {*SHOWN, *(each for each in named if each.startswith("hitl "))}
    assert found == set(RUN)


def test_the_first_gate_is_set_up_and_taken_back_as_the_page_says(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    acme = page.repository("acme/models")
    told = page.runs("hitl github setup", capsys)
    assert re.search(r"(?m)^  HITL_KEYS=ssh-ed25519 ", told)
    acme.merge()
    assert f"uses: {page.action}\n" in (acme.repo.file(MAIN) or "")
    page.runs("hitl doctor", capsys)
    assert [name for name, level, _ in acme.ailing() if level is Level.FAULT] == []
    acme.github.forget_requests()
    page.runs("hitl doctor --fix", capsys)
    assert acme.writes() == []
    assert "/settings/apps/" in page.runs("hitl github remove", capsys)


def test_in_an_organization_an_owner_does_a_part_as_the_page_says(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    acme = page.repository("acme/parts")
    page.runs("hitl github setup --only ledger --only environment --only apps", capsys)
    assert acme.repo.pulls == []
    assert acme.repo.environments["approvals"].secrets == {"HITL_APP_KEY"}


def test_a_trial_prints_what_the_page_shows(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    scratch = page.repository("acme/scratch")
    page.runs("hitl github try", capsys)
    scratch.merge()
    assert f"uses: {page.action}\n" in (scratch.repo.file(TRIAL) or "")
