"""A gated flow on stock Metaflow whose gate is on GitHub: real processes, real git, a test GitHub."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.decide import decide
from bridge.gitledger import GitLedger
from bridge.model import Actors, Approvals, Channel, Evidence, Outcome, Policy, Verdict, Via, Vote
from bridge.model import Actor, Standing
from bridge.notices import Silent
from bridge.records import digest_of
from tests.forge import World
from tests.github import GitHub
from tests.github.conversation import Issue
from tests.metaflows import FLOWS, Outcome as Ended
from tests.metaflows import Project

POLICY = """\
identities:
  ann: mallory
gates:
  - name: production
    when: {flow: TrainAndDeploy, environment: production, artifacts: accuracy < 0.9}
    require: {users: [bob]}
  - name: deploy
    when: {flow: TrainAndDeploy, step: deploy}
    require: {users: [alice, mallory]}
"""


class Flows(World):
    """A repository where the gates of a flow are asked, and the folder that the flow runs in."""

    def __init__(self, github: GitHub, folder: Path, policy: str = POLICY) -> None:
        super().__init__(github, folder, policy)
        self.project = Project(folder / "project")
        self.project.env |= {
            "HITL_LEDGER": "github:acme/models",
            "HITL_TOKEN": self.tokens[self.opener],
            "HITL_VOICES": "approval-opener[bot],approval-decider[bot]",
            "GITHUB_API_URL": github.api_url,
            "GITHUB_GRAPHQL_URL": github.graphql_url,
            "GITHUB_SERVER_URL": github.url,
            # of the Actions job that may run this: not where the gates are
            "GITHUB_REPOSITORY": "somebody/else",
        }

    def run(self, **env: str) -> Running:
        return Running(self, self.project.start("deploy.py", "run", **env))


class Running:
    """A flow that runs, up to its gate and on."""

    def __init__(self, at: Flows, process: subprocess.Popen[str]) -> None:
        self._at, self._process = at, process
        self.said = ""

    def waits(self) -> Issue:
        """Its page, as soon as it says that it waits."""
        assert self._process.stdout
        for line in self._process.stdout:
            self.said += line
            found = re.search(r"waits for .*; to decide: (\S+/(?:pull|issues)/(\d+))", line)
            if found:
                number = int(found[2])
                assert found[1].startswith(f"{self._at.github.url}/acme/models/")
                return next(each for each in self._at.repo.issues if each.number == number)
        raise AssertionError(self.said)

    def ends(self) -> Ended:
        rest, _ = self._process.communicate(timeout=60)
        return Ended(self._process.returncode, self.said + rest)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Flows]:
    with GitHub() as github:
        yield Flows(github, tmp_path)


def test_a_step_asks_on_a_pull_request_and_goes_on_with_what_the_review_gave(at: Flows) -> None:
    run = at.run()
    run.waits()
    pull = at.repo.pulls[-1]
    assert "Accuracy 94.0%: deploy?" in pull.title.replace("​", "")
    for shown in ("accuracy", "0.94", "resnet"):
        assert shown in pull.body
    assert "do-not-show" not in pull.body + str(at.standing(pull).request)
    pull.review(at.alice, "APPROVED", "/approve target=production")
    at.tend(pull)
    ended = run.ends()
    assert ended.code == 0, ended.said
    assert [each["given"] for each in at.project.ran("deploy")] == [{"target": "production"}]
    decision = at.recorded(pull)
    assert decision
    assert [vote.actor.login for vote in decision.votes] == ["alice"]
    assert at.tokens[at.opener] not in ended.said
