"""The whole way once, as the README's first paragraph tells it.

A flow for Argo Workflows, compiled by stock Metaflow, asks for its approval on GitHub; nothing runs
while people think; a review approves; the decision is a commit; exactly its node goes on, and the
step reads the record before its first line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import objectstore
from tests.argo.controller import Controller
from tests.argo.pods import Pods, created
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.test_argo_flows import code_url
from tests.test_metaflow_github import Flows

SECRETS = {"HITL_OPENER_SECRET": "hitl-opener", "HITL_READER_SECRET": "hitl-reader"}


class WithSecrets(Pods):
    """Pods that are given the keys of the Kubernetes Secrets which their template names."""

    secrets: Mapping[str, Mapping[str, str]]

    def environment(self, slot: Path, container: Any) -> dict[str, str]:
        named = [each["secretRef"]["name"] for each in container.get("envFrom", ())]
        own = {key: value for name in named for key, value in self.secrets[name].items()}
        return own | super().environment(slot, container)


class OnArgo(Flows):
    """The same repository, and the flow deployed to Argo."""

    def deploy(self, store: Mapping[str, str], flow: str = "deploy.py") -> None:
        self.project.configure()  # every plugin of Metaflow, Argo's too
        told = {**store, **SECRETS, "HITL_TOKEN": "", "METAFLOW_OWNER": "ann"}
        options = ("--no-pylint", "argo-workflows", "create", "--only-json")
        made = self.project.flow(flow, *options, "--no-enable-error-msg-capture", **told)
        assert made.code == 0, made.said
        self.manifest = made.said[made.said.index("\n{") :]
        workflow = json.loads(self.manifest)
        workflow["kind"] = "Workflow"
        workflow["metadata"] = {
            "name": "run-1",
            "namespace": "argo",
            "uid": "u-1",
            "creationTimestamp": created(),
            "labels": workflow["spec"]["workflowMetadata"]["labels"],  # as Argo does
        }
        package = objectstore.content(dict(store), code_url(workflow))
        self.pods = WithSecrets(self.folder / "pods", store, package, MARKS=str(self.project.marks))
        self.give_secrets()
        self.controller = Controller(workflow, self.pods.start)

    def give_secrets(self) -> None:
        reads = self.github.actions_token(self.repo, {"contents": "read"})
        self.pods.secrets = {
            "hitl-opener": {"HITL_TOKEN": self.tokens[self.opener]},
            "hitl-reader": {"HITL_TOKEN": str(reads)},
        }

    def settle(self) -> str:
        self.controller.settle()
        phase: str = self.controller.status["phase"]
        return phase

    def gate(self) -> str:
        [node] = self.controller.waiting()
        given = {each["name"]: each["value"] for each in node["inputs"]["parameters"]}
        assert "/pull/" in given["page"]  # Argo's UI shows where people decide
        gate: str = given["gate"]
        return gate

    def resume(self, phase: str = "Succeeded") -> None:
        [node] = self.controller.waiting()
        node |= {"phase": phase}

    def pull(self) -> PullRequest:
        [pull] = self.repo.pulls
        return pull

    def has_shown_no_secret(self) -> None:
        said = "".join(self.pods.said(name) for name in self.pods.started)
        assert f"{self.repo.url}/pull/" in said
        for secret in self.github.secrets:
            assert secret not in self.manifest
            assert secret not in said

    def has_installed_what_speaks_to_github_in_one_pod_alone(self) -> None:
        templates = json.loads(self.manifest)["spec"]["templates"]
        commands = {
            each["name"]: str(each["container"]["command"])
            for each in templates
            if "container" in each
        }
        found = [name for name in commands if "PyGithub==" in commands[name]]
        assert found == ["hitl-notify-deploy"]


@pytest.fixture
def at(tmp_path: Path, store: dict[str, str]) -> Iterator[OnArgo]:
    with GitHub() as github:
        world = OnArgo(github, tmp_path)
        world.deploy(store)
        yield world


def test_a_flow_on_argo_waits_for_a_review_on_github_and_goes_on_with_its_record(
    at: OnArgo,
) -> None:
    # It trains; then the notify pod opens a pull request, and ends.
    assert at.settle() == "Running"
    assert len(at.project.ran("start")) == 1
    pull = at.pull()
    assert "Accuracy 94.0%: deploy?" in pull.title.replace("​", "")
    assert "resnet" in pull.body
    assert pull.head_ref == f"gate/{at.gate()}"

    # Nothing runs while people think, and nothing is asked of GitHub.
    assert not at.controller.pods
    at.github.forget_requests()
    assert at.settle() == "Running"
    assert not at.github.requests

    # Who started the run cannot approve it; who may does, with the input.
    pull.review(at.mallory, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    pull.review(at.alice, "APPROVED", "/approve target=production")
    at.tend(pull)

    # The decision is a commit of the repository's ledger, with the vote it came from.
    at.github.tick()
    assert pull.merged
    decision = at.recorded(pull)
    assert decision
    assert [vote.actor.login for vote in decision.votes] == ["alice"]

    # Its node resumes; the step verifies the record with a credential that only reads, and runs.
    at.resume()
    assert at.settle() == "Succeeded"
    assert [each["given"] for each in at.project.ran("deploy")] == [{"target": "production"}]
    assert len(at.project.ran("end")) == 1
    at.has_shown_no_secret()
    at.has_installed_what_speaks_to_github_in_one_pod_alone()


def test_a_node_that_was_resumed_without_a_decision_starts_a_pod_that_stays_shut(
    at: OnArgo,
) -> None:
    at.settle()
    pull = at.pull()
    at.resume()
    assert at.settle() == "Failed"
    gated = at.pods.started[-1]
    assert "it is still waiting for a decision" in at.pods.said(gated)
    assert not at.project.ran("deploy")
    assert at.recorded(pull) is None


def test_a_gate_that_no_policy_covers_is_not_asked_again_and_again(at: OnArgo) -> None:
    at.write_policy(
        "gates:\n  - name: other\n    when: {flow: Other}\n    require: {users: [bob]}\n"
    )
    assert at.settle() == "Failed"
    _, notify = at.pods.started
    assert "no policy covers this gate" in at.pods.said(notify)
    assert not at.repo.pulls
    assert not at.project.ran("deploy")
