"""A flow on stock Metaflow whose gate is on GitHub: real processes, real git, a test GitHub."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.digest import digest_of
from bridge.core.evaluation import Actor, Channel, Decider, Outcome, Verdict, Vote
from bridge.core.model import Decision
from tests.forge import World
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.ledgers import judged
from tests.metaflows import Outcome as Ended
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

    def __init__(self, github: GitHub, folder: Path, policy: str | None = POLICY) -> None:
        super().__init__(github, folder, policy)
        self.running: Running | None = None
        self.project = Project(folder / "project", clouds=False)
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
        return self.start("run", **env)

    def start(self, *command: str, **env: str) -> Running:
        self.running = Running(self, self.project.start("deploy.py", *command, **env))
        return self.running


class Running:
    """A flow that runs, up to its gate and on."""

    def __init__(self, at: Flows, process: subprocess.Popen[str]) -> None:
        self._at, self._process = at, process
        self.said = ""

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def waits(self) -> PullRequest:
        """Its page, as soon as it says that it waits."""
        assert self._process.stdout
        for line in self._process.stdout:
            self.said += line
            found = re.search(r"waits for .*; to decide: (\S+/pull/(\d+))", line)
            if found:
                number = int(found[2])
                assert found[1].startswith(f"{self._at.github.url}/acme/models/")
                return self._at.repo.pull(number)
        raise AssertionError(self.said)

    def interrupt(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)

    def ends(self) -> Ended:
        rest, _ = self._process.communicate(timeout=60)
        return Ended(self._process.returncode, self.said + rest)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Flows]:
    with GitHub() as github:
        flows = Flows(github, tmp_path)
        yield flows
        if flows.running:
            flows.running.stop()


def test_a_step_asks_on_a_pull_request_and_goes_on_with_what_the_review_gave(at: Flows) -> None:
    run = at.run()
    pull = run.waits()
    assert "Accuracy 94.0%: deploy?" in pull.title.replace("​", "")
    for shown in ("accuracy", "0.94", "resnet"):
        assert shown in pull.body
    assert "do-not-show" not in pull.body + str(at.standing(pull).request)
    pull.review(at.alice, "APPROVED", "/approve target=production")
    at.tend(pull)
    ended = run.ends()
    assert ended.code == 0, ended.said
    assert [each["given"] for each in at.project.ran("deploy")] == [{"target": "production"}]
    at.github.tick()
    at.sweep()
    assert "**Finished:** the run's own side says that it ended well. Nothing" in at.status(pull)
    assert at.notes(pull) == []
    decision = at.recorded(pull)
    assert decision
    assert [vote.actor.login for vote in decision.votes] == ["alice"]
    assert at.tokens[at.opener] not in ended.said


def test_a_rejection_ends_the_run_with_its_reason(at: Flows) -> None:
    # As the App itself, whose tokens the step mints while it waits.
    run = at.run(HITL_TOKEN="", HITL_APP_ID=str(at.opener.id), HITL_APP_KEY=at.opener.key)
    pull = run.waits()
    pull.comment(at.alice, "/reject the test set leaked")
    at.tend(pull)
    ended = run.ends()
    assert ended.code != 0
    assert "rejected by alice: the test set leaked" in ended.said
    for secret in at.github.secrets:
        assert secret not in ended.said
    assert not at.project.ran("deploy")


def test_whose_run_it_is_cannot_approve_it(at: Flows) -> None:
    run = at.run()
    pull = run.waits()
    pull.review(at.mallory, "APPROVED")  # the policy's `identities` say that she is ann
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "mallory" in at.status(pull)


def test_the_condition_of_a_flow_approves_only_where_the_policy_lets_it(at: Flows) -> None:
    run = at.run(HITL_ENVIRONMENT="dev")
    pull = run.waits()
    at.tend(pull)
    assert at.recorded(pull) is None
    at.write_policy(POLICY + "    auto_approve_if: environment == dev\n    facts: claimed\n")
    at.tend(pull)  # asked anew, under the policy that holds now; the step waits on
    at.tend(pull)
    ended = run.ends()
    assert ended.code == 0, ended.said
    decision = at.recorded(pull)
    assert decision
    assert decision.condition
    assert decision.condition.seen == {"environment": "dev"}
    assert at.project.ran("deploy")


def test_a_decision_that_was_pushed_without_a_policy_does_not_open_the_step(at: Flows) -> None:
    run = at.run()
    pull = run.waits()
    standing, ledger = at.standing(pull), at.desk().ledger
    anyone = replace(standing.request, policy=replace(standing.request.policy, initiator=None))
    stranger = Vote(
        Actor("mallory", login="mallory", id=at.mallory.id, proven=True),
        Verdict.APPROVE,
        at.now(),
        digest_of(anyone),
        Channel.REVIEW,
    )
    forged = Decision(
        standing.request.gate.id,
        Outcome.APPROVED,
        Decider.PERSON,
        "approved by mallory",
        digest_of(standing.request),
        at.now(),
        considered=judged(stranger),
    )
    ledger.record(forged)
    ended = run.ends()
    assert ended.code != 0
    assert "what is recorded there does not carry it" in ended.said
    assert not at.project.ran("deploy")


def test_an_interrupted_run_leaves_its_gate_to_the_decider(at: Flows) -> None:
    run = at.run()
    pull = run.waits()
    run.interrupt()
    ended = run.ends()
    assert "it stays open there" in ended.said
    assert at.recorded(pull) is None
    assert at.repo.branch(pull.head_ref)


def test_the_process_that_launches_a_pod_waits_and_the_pod_reads_with_a_token_of_its_own(
    at: Flows,
) -> None:
    """The real commands of Metaflow, up to the cluster: no pod is run here."""
    base = at.run()
    base.waits()
    base.interrupt()  # it leaves the artifacts of `start`
    at.project.configure()  # every plugin of Metaflow, Kubernetes' too
    run_id = base.ends().run_id
    given = ["--run-id", run_id, "--task-id", "50", "--input-paths", f"{run_id}/start/1"]
    task = {"step": "deploy", "run_id": run_id, "task_id": "50", "split_index": None,
            "input_paths": [f"{run_id}/start/1"]}  # fmt: skip
    launcher = at.start("kubernetes", "step", "deploy", "{}", "sha", "url", *given,
                        HITL_METAFLOW_TASK=json.dumps(task))  # fmt: skip
    pull = launcher.waits()
    reads = str(at.github.actions_token(at.repo, {"contents": "read"}))

    def pod(**env: str) -> Ended:
        told = {"METAFLOW_KUBERNETES_WORKLOAD": "1", "HITL_TOKEN": reads, **env}
        return at.project.flow("deploy.py", "step", "deploy", *given, **told)

    assert "it is still waiting for a decision" in pod().said
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert "does not run" not in launcher.ends().said  # past the gate, and there is no cluster
    elsewhere = pod(HITL_ENVIRONMENT="dev")
    assert elsewhere.code == 202
    assert "what was approved is not what is here now" in elsewhere.said
    allowed = pod()
    assert allowed.code == 0, allowed.said
    assert [each["given"] for each in at.project.ran("deploy")] == [{"target": "staging"}]


@pytest.mark.parametrize(
    ("policy", "env", "says"),
    [
        (None, {}, "acme/models has no .github/approvals.yml on main"),
        ("gates:\n  - name: other\n    when: {flow: Other}\n    require: {users: [bob]}\n", {},
         "no policy covers this gate"),
        ("gates:\n  - name: x\n    require: {users: bob", {}, "approvals.yml"),
        (POLICY, {"HITL_TOKEN": ""}, "no credential to ask on github:acme/models with"),
        (POLICY, {"HITL_LEDGER": "github:acme"}, "HITL_LEDGER names no repository"),
        (POLICY, {"HITL_APP_ID": "1"}, "HITL_APP_ID and HITL_APP_KEY go together"),
    ],
    ids=["no policy", "none for it", "a broken one", "no credential", "no name", "half an App"],
)  # fmt: skip
def test_what_would_keep_the_gate_from_being_asked_is_said_before_the_first_step(
    tmp_path: Path, policy: str | None, env: dict[str, str], says: str
) -> None:
    with GitHub() as github:
        at = Flows(github, tmp_path, policy)
        ended = at.project.flow("deploy.py", "run", **env)
    assert ended.code == 1
    assert says in ended.said
    assert "Traceback" not in ended.said
    assert not at.project.ran("start")
    assert not at.repo.pulls
