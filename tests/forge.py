"""A gate on a test GitHub: the repository, its policy, its Apps, and a desk to tend it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.core.model import (
    ApprovalRequest,
    Decision,
    Declared,
    Gate,
    Standing,
    Subject,
)
from bridge.core.rules import Actors, Approvals, Policy
from bridge.core.settings import GitHubSettings
from bridge.gates.finish_page import Tended
from bridge.gates.on_github import OnGitHub
from bridge.gates.open_page import Desk, ask
from bridge.gates.process_page import sweep, tend
from bridge.github.client import GitHub
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from tests.github import GitHub as TestGitHub
from tests.github.conversation import Issue
from tests.github.pulls import PullRequest

POLICY = """\
gates:
  - name: deploy
    require: {users: [alice, bob]}
    bar: {initiator: false}
"""
OPENER = {"contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write"}
DECIDER = {**OPENER, "members": "read"}


class World:
    """One repository. `opener` and `decider` are two Apps, as in a safe installation."""

    def __init__(self, github: TestGitHub, folder: Path, policy: str | None = POLICY) -> None:
        self.github = github
        self.folder = folder
        self.waits: list[float] = []  # the pauses that the forge made; nobody really waits
        self.repo = github.repository("acme/models")
        self.alice, self.bob = github.user("alice"), github.user("bob")
        self.mallory = github.user("mallory")
        for each in (self.alice, self.bob):
            self.repo.grant(each, "write")
        self.write_policy(policy)
        self.opener = github.app("approval-opener", OPENER)
        self.decider = github.app("approval-decider", DECIDER)
        for each in (self.opener, self.decider):
            each.install(self.repo.owner)
        self.mint()

    def mint(self) -> None:
        """Minting is the adapter's test; here tokens are given: no test waits for a key pair."""
        self.tokens = {
            app: str(self.github.installation_token(app.installations[0]))
            for app in (self.opener, self.decider)
        }

    def write_policy(self, text: str | None) -> None:
        if text is not None:
            self.repo.commit("main", {".github/approvals.yml": text}, "Say who decides")

    def settings(self, app: Any) -> GitHubSettings:
        return GitHubSettings(
            repository=self.repo.full_name,
            api_url=self.github.api_url,
            graphql_url=self.github.graphql_url,
            server_url=self.github.url,
            token=self.tokens[app],
            voices=("approval-opener[bot]", "approval-decider[bot]"),
        )

    def desk(self, app: Any = None) -> Desk:
        forge = GitHub(self.settings(app or self.decider), self.waits.append)
        ledger = GitLedger(forge.git_url(), self.folder / "cache")
        return Desk(forge, ledger, Silent(), self.now)

    def venue(self, app: Any = None) -> OnGitHub:
        desk = self.desk(app or self.opener)
        return OnGitHub(desk.forge.place, desk.ledger, desk.notices, self.now, lambda: desk.forge)

    def now(self) -> datetime:
        return self.github.clock.now()

    def request(self, key: str = "Train/7/deploy/12", **changes: Any) -> ApprovalRequest:
        made = ApprovalRequest(
            gate=Gate("https://metadata.test", key),
            message="Deploy the model with accuracy 93 %?",
            policy=Policy(Approvals(Actors(anyone=True))),
            opened_at=self.now(),
            subject=Subject("Train", "deploy"),
            declared=Declared(),
        )
        return replace(made, **changes)

    def open(self, key: str = "Train/7/deploy/12", **changes: Any) -> PullRequest:
        _, page = ask(self.desk(self.opener), self.request(key, **changes).draft)
        assert page
        return self.repo.pull(page.number)

    def tend(self, pull: Issue) -> Tended:
        return tend(self.desk(), pull.number)

    def sweep(self) -> tuple[Tended, ...]:
        return sweep(self.desk())

    def standing(self, pull: PullRequest) -> Standing:
        found = self.desk().ledger.read(pull.head_ref.removeprefix("gate/"))
        assert found
        return found

    def recorded(self, pull: PullRequest) -> Decision | None:
        return self.standing(pull).decision

    def notes(self, pull: Issue) -> list[str]:
        """What the bridge wrote beside its status comment."""
        own = {self.opener.bot, self.decider.bot}
        said = [each.body for each in pull.comments if each.author in own]
        return [each for each in said if "approval-bridge status" not in each]

    def status(self, pull: Issue) -> str:
        own = [each for each in pull.comments if "approval-bridge status" in each.body]
        assert len(own) == 1, [each.body for each in own]
        return own[0].body

    def statuses(self, pull: PullRequest) -> Mapping[str, str]:
        return {
            each.context: each.state for each in self.repo.statuses if each.sha == pull.head_sha
        }


@contextmanager
def world(folder: Path, policy: str = POLICY) -> Iterator[World]:
    with TestGitHub() as github:
        yield World(github, folder, policy)
