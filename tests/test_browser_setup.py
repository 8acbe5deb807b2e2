"""`hitl github setup` with a person who has Chromium, from nothing to the first recorded decision.

`make test-browser` runs this; it needs Chromium.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from bridge.cli.main import main
from tests.chromium import chromium
from tests.github import GitHub
from tests.test_github_setup import SETUP, Acme, decides_a_first_gate


class Person:
    """The administrator's browser: each page that the command opens, with its button pressed."""

    def __init__(self, acme: Acme, page: Page) -> None:
        self.acme, self.page = acme, page
        self.buttons: list[str] = []
        self.ends: list[str] = []

    def opens(self, address: str) -> bool:
        self.page.goto(address)
        if address.startswith(self.acme.github.url):
            self.page.get_by_label("Only select repositories").check()
            self.page.get_by_label(self.acme.repo.full_name).check()
            self._press("Install")
        else:
            self._press("Go on to GitHub")
            self._press(f"Create GitHub App for {self.acme.repo.owner.login}")
        self.ends.append(self.page.inner_text("body"))
        return True

    def _press(self, name: str) -> None:
        self.buttons.append(name)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).click()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def test_setup_in_a_browser_from_nothing_to_the_first_recorded_decision(
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with GitHub() as github:
        acme = Acme(github, monkeypatch)
        person = Person(acme, browser.new_page())
        monkeypatch.setattr("webbrowser.open", person.opens)
        assert main([*SETUP, "--opener", "opener.pem"]) == 0, capsys.readouterr().err
        clicks = ["Go on to GitHub", "Create GitHub App for acme", "Install"]
        assert person.buttons == clicks * 2
        assert "The App is registered. Go back to the terminal." in person.ends[0]
        acme.merge()
        assert acme.ailing() == []
        for app in acme.github.apps.values():
            for each in app.installations:
                assert each.repositories == [acme.repo]
        decides_a_first_gate(acme, tmp_path, capsys.readouterr().out)
        person.page.close()
