"""A gate of a plain Argo workflow that is asked on GitHub: what its two pods do there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.model import Subject
from tests.forge import World
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.test_annotations import Pod

POLICY = """\
identities:
  carl: mallory
gates:
  - name: weak
    when: {flow: train, artifacts: accuracy < 0.9}
    require: {users: [bob]}
  - name: deploy
    when: {flow: train, step: deploy, environment: production, label: eu}
    require: {users: [alice, mallory]}
"""
LABELS = {
    "workflows.argoproj.io/workflow-template": "train",
    "workflows.argoproj.io/creator-preferred-username": "carl",
    "workflows.argoproj.io/creator": "0123-4567",
}


class Node(Pod):
    """A node of a workflow; the pod that opens has a credential, the one that verifies another."""

    def __init__(self, github: GitHub, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = patch
        self.world = World(github, folder, POLICY)
        told = {
            "HITL_LEDGER": "github:acme/models",
            "HITL_VOICES": "approval-opener[bot],approval-decider[bot]",
            "HITL_ENVIRONMENT": "production",
            "HITL_LABELS": "eu, nightly",
            "HITL_WORKFLOW_LABELS": json.dumps(LABELS),
            "GITHUB_API_URL": github.api_url,
            "GITHUB_GRAPHQL_URL": github.graphql_url,
            "GITHUB_SERVER_URL": github.url,
        }
        for name, value in told.items():
            patch.setenv(name, value)

    def opens(self, **parameters: str) -> PullRequest:
        self._patch.setenv("HITL_TOKEN", self.world.tokens[self.world.opener])
        assert self.run("open", approvers="", artifact_accuracy="0.93", **parameters) == 0
        return self.world.repo.pulls[-1]

    def verifies(self, accuracy: str = "0.93") -> int:
        github, repo = self.world.github, self.world.repo
        reads = str(github.actions_token(repo, {"contents": "read"}))
        self._patch.setenv("HITL_TOKEN", reads)
        return self.run("verify", approvers="", artifact_accuracy=accuracy)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with GitHub() as github:
        yield Node(github, tmp_path, monkeypatch)


def test_a_review_approves_what_a_workflow_asks_and_the_verifying_pod_hands_it_on(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = node.opens()
    assert capsys.readouterr().out.strip().endswith(f"/acme/models/pull/{pull.number}")
    assert node.out("gate") == pull.head_ref.removeprefix("gate/")
    assert node.verifies() == 202
    pull.review(node.world.alice, "APPROVED")
    node.world.tend(pull)
    assert node.verifies() == 0
    assert node.out("decision") == "approved"


def test_a_policy_chooses_by_template_environment_labels_and_numbers(node: Node) -> None:
    request = node.world.standing(node.opens()).request
    assert request.subject == Subject(
        "train", "deploy", "production", ("eu", "nightly"), {"accuracy": 0.93}
    )


def test_whoever_submitted_the_workflow_cannot_approve_it(node: Node) -> None:
    pull = node.opens()
    assert node.world.standing(pull).request.initiator == "carl"
    pull.review(node.world.mallory, "APPROVED")
    node.world.tend(pull)
    assert node.world.recorded(pull) is None
    assert "mallory" in node.world.status(pull)


def test_an_approval_under_another_environment_or_of_another_value_is_none(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = node.opens()
    pull.review(node.world.alice, "APPROVED")
    node.world.tend(pull)
    assert node.verifies("0.12") == 202
    monkeypatch.setenv("HITL_ENVIRONMENT", "staging")
    assert node.verifies() == 202


def test_a_pod_without_a_credential_says_which_one_it_lacks(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run("open") == 202
    assert "set HITL_APP_ID and HITL_APP_KEY, or HITL_TOKEN" in capsys.readouterr().err
    assert not node.world.repo.pulls
