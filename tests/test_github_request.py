"""A job without a key hands its request to the decider, with a token that says whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from bridge.core.digest import asked_digest
from bridge.core.errors import Faults
from bridge.core.evaluation import Outcome
from bridge.core.facts import About
from bridge.core.settings import GATE, MESSAGE
from bridge.entrypoints.github_job import asked_by
from bridge.entrypoints.github_request import packed, unpacked
from bridge.setup.workflow_files import MAIN
from tests.actions import written
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.github.runs import Run
from tests.test_github_job import DEPLOY, Ci


class Keyless(Ci):
    """The repository has no opener: its jobs hand their requests over."""

    def __init__(self, github: GitHub, folder: Path) -> None:
        super().__init__(github, folder)
        self.repo.commit("main", {MAIN: written(MAIN), DEPLOY: "on: push"})
        self.bob_runs = self.repo.run(DEPLOY, self.bob)

    def job(self, run: Run, **env: str) -> dict[str, str]:
        """The environment of a job that may have a token and start workflows."""
        granted = {"actions": "write", "id_token": "write"}
        return {
            **self.github.issuer.job(run),
            "HITL_MODE": "open",
            "HITL_TOKEN": str(self.github.actions_token(self.repo, granted)),
            "GITHUB_WORKFLOW_REF": run.workflow_ref,
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_RUN_ATTEMPT": str(run.attempts[-1].number),
            "GITHUB_SHA": run.sha,
            "GITHUB_REF": run.ref,
            "GITHUB_EVENT_NAME": run.event,
            "GITHUB_ACTOR": run.actor.login,
            **env,
        }

    def hand_over(self, run: Run, **env: str) -> dict[str, Any]:
        """What the job's dispatch brings to the decider."""
        assert self.runner.run(**self.job(run, **env)) == 0
        workflow, ref, inputs = self.repo.dispatches[-1]
        assert (workflow, ref) == ("approvals.yml", "main")
        return inputs

    def decide(self, inputs: dict[str, Any]) -> int:
        """The decider's run that a dispatch started."""
        event = self.folder / "event.json"
        event.write_text(json.dumps({"inputs": inputs}))
        return self.runner.run(
            inputs.get("number", ""),
            GITHUB_EVENT_NAME="workflow_dispatch",
            GITHUB_EVENT_PATH=str(event),
            GITHUB_RUN_ID="1",
        )

    def proven(self, pull: PullRequest) -> dict[str, str]:
        return {each.name.value: each.value for each in self.standing(pull).facts if each.proven}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Keyless]:
    with GitHub() as github:
        yield Keyless(github, tmp_path)


# -- the way of a request --------------------------------------------------------------------------


def test_a_job_without_a_key_asks_and_the_decider_opens_the_page_with_what_is_proven(
    at: Keyless,
) -> None:
    inputs = at.hand_over(
        at.bob_runs, HITL_MESSAGE="Deploy?", HITL_VALUES="accuracy: 0.93", HITL_FILES=str(at.model)
    )
    asked = dict(at.runner.outputs)
    assert (asked["outcome"], asked["url"]) == ("pending", "")
    assert not at.repo.pulls, "the job cannot open a page"
    assert at.decide(inputs) == 0
    (pull,) = at.repo.pulls
    assert pull.author is at.decider.bot
    assert at.runner.outputs == asked | {"url": f"{at.repo.url}/pull/{pull.number}"}
    for shown in ("Deploy?", "accuracy", "0.93", "model.bin", f"/actions/runs/{at.bob_runs.id}"):
        assert shown in pull.body.replace("&#8203;", ""), shown
    assert at.proven(pull) == {
        "initiator": f"@bob#{at.bob.id}",
        "actor": f"@bob#{at.bob.id}",
        "workflow": DEPLOY,
        "ref": "refs/heads/main",
        "sha": at.bob_runs.sha,
        "event": "push",
        "run": f"{at.bob_runs.id}/1",
    }


def test_who_started_the_run_cannot_approve_it_and_another_can(at: Keyless) -> None:
    assert at.decide(at.hand_over(at.bob_runs)) == 0
    (pull,) = at.repo.pulls
    pull.review(at.bob, "APPROVED")
    assert at.runner.run(pull.number) == 0
    assert at.recorded(pull) is None
    at.approve(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.APPROVED
    assert f"@bob#{at.bob.id}" in {
        each.value for each in decision.facts if each.proven and each.name is About.INITIATOR
    }
    gate = at.standing(pull).request.gate.id
    assert at.verify(gate) == 0


def test_asking_twice_finds_the_first_and_a_run_that_starts_late_still_asks(at: Keyless) -> None:
    inputs = at.hand_over(at.bob_runs)
    at.github.clock.advance(hours=20)
    at.mint()
    at.runner.env["HITL_TOKEN"] = at.tokens[at.decider]
    assert at.decide(inputs) == 0
    assert at.decide(inputs) == 0
    assert len(at.repo.pulls) == 1


def test_a_run_again_with_other_values_replaces_what_waits_and_the_older_attempt_cannot_return(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    first = at.hand_over(at.bob_runs, HITL_VALUES="accuracy: 0.93")
    assert at.decide(first) == 0
    at.bob_runs.again(at.alice)
    assert at.decide(at.hand_over(at.bob_runs, HITL_VALUES="accuracy: 0.5")) == 0
    (pull,) = at.repo.pulls
    assert "0.5" in pull.body
    assert at.decide(first) == 1
    assert "a later attempt of the run has asked since" in capsys.readouterr().out
    assert "0.5" in pull.body


# -- who would ask in another's name ---------------------------------------------------------------


def test_a_request_with_the_token_of_another_request_is_refused_in_one_sentence(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    other = packed({GATE: "production", MESSAGE: "Harmless?"}, asked_by({GATE: "x"}))
    forged = at.hand_over(at.bob_runs) | {"request": other}
    capsys.readouterr()
    assert at.decide(forged) == 1
    said = capsys.readouterr().out
    assert said == (
        "::error title=Approval bridge::nothing is asked: the token of the run:"
        " it is for another request\n"
    )
    assert not at.repo.pulls


def test_a_run_of_ones_own_branch_asks_in_its_own_name(at: Keyless) -> None:
    at.repo.commit("evil", {DEPLOY: "on: push # mine"}, by=at.alice)
    run = at.repo.run(DEPLOY, at.alice, ref="refs/heads/evil")
    # Everything that the job says of itself is forged; the token cannot be.
    names = {"GITHUB_RUN_ID": str(at.bob_runs.id), "GITHUB_ACTOR": "bob"}
    assert at.decide(at.hand_over(run, **names)) == 1
    assert at.decide(at.hand_over(run, GITHUB_ACTOR="bob", GITHUB_REF="refs/heads/main")) == 0
    (pull,) = at.repo.pulls
    proven = at.proven(pull)
    assert proven["initiator"] == proven["actor"] == f"@alice#{at.alice.id}"
    assert (proven["ref"], proven["run"]) == ("refs/heads/evil", f"{run.id}/1")
    pull.review(at.alice, "APPROVED")
    assert at.runner.run(pull.number) == 0
    assert at.recorded(pull) is None


def test_a_proof_is_of_one_request_and_not_of_what_an_opener_puts_in_its_place(
    at: Keyless,
) -> None:
    assert at.decide(at.hand_over(at.bob_runs)) == 0
    (pull,) = at.repo.pulls
    bobs = {"GITHUB_RUN_ID": str(at.bob_runs.id), "GITHUB_SHA": at.bob_runs.sha}
    both = "approval-opener[bot],approval-decider[bot]"
    at.ask(**bobs, GITHUB_ACTOR="bob", HITL_VALUES="accuracy: 1", HITL_VOICES=both)
    standing = at.standing(pull)
    assert "accuracy" in {each.name for each in standing.request.artifacts}
    assert not standing.facts
    assert {each.asked for each in standing.other_facts} != {asked_digest(standing.request)}
    assert "proven" not in pull.body


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token": ""}, "it is no token"),
        ({"token": "x.y.z"}, "it is no token"),
        ({"request": "{"}, "it is not JSON"),
        ({"request": "[]"}, "it holds something else"),
        ({"request": '{"format":1,"texts":{"HITL_LEDGER":"x"},"files":[]}'}, "its texts are not"),
        ({"request": '{"format":2,"texts":{},"files":[]}'}, "another version"),
        ({"request": '{"format":1,"texts":{},"files":[["a","b",1]]}'}, "a name, a digest"),
        (
            {"request": f'{{"format":1,"texts":{{}},"files":[["a","sha256:{"a" * 64}",{2**63}]]}}'},
            "a name, a digest",
        ),
        ({"request": '{"format":1,"texts":{},"files":[]}'}, "`gate` is a name"),
    ],
)
def test_what_is_no_request_or_no_token_is_red_with_one_sentence(
    at: Keyless, capsys: pytest.CaptureFixture[str], changes: dict[str, str], why: str
) -> None:
    inputs = at.hand_over(at.bob_runs)
    capsys.readouterr()
    assert at.decide(inputs | changes) == 1
    said = capsys.readouterr().out
    assert why in said
    assert len(said.splitlines()) == 1
    assert not at.repo.pulls


def test_the_api_must_know_the_run_as_the_token_does(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = at.hand_over(at.bob_runs)
    del at.repo.runs[at.bob_runs.id]
    assert at.decide(inputs) == 1
    assert f"acme/models has no run {at.bob_runs.id}" in capsys.readouterr().out
    at.bob_runs.path = ".github/workflows/lint.yml"
    at.repo.runs[at.bob_runs.id] = at.bob_runs
    assert at.decide(inputs) == 1
    assert "shows .github/workflows/lint.yml" in capsys.readouterr().out


def test_a_job_of_another_environment_than_it_asks_about_is_refused(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    job = at.github.issuer.job(at.bob_runs, environment="staging")
    inputs = at.hand_over(at.bob_runs, HITL_ENVIRONMENT="production", **job)
    assert at.decide(inputs) == 1
    assert "runs in the environment staging" in capsys.readouterr().out
    inputs = at.hand_over(at.bob_runs, HITL_ENVIRONMENT="Staging", **job)
    assert at.decide(inputs) == 0
    assert at.proven(at.repo.pulls[-1])["environment"] == "staging"


def test_a_token_of_another_repository_proves_nothing_here(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    other = at.github.repository("mallory/models")
    other.commit("main", {DEPLOY: "on: push"})
    run = other.run(DEPLOY, at.mallory, number=at.bob_runs.id)
    inputs = at.hand_over(at.bob_runs)
    audience = jwt.decode(inputs["token"], options={"verify_signature": False})["aud"]
    assert at.decide(inputs | {"token": at.github.issuer.token(run, audience)}) == 1
    assert "another repository" in capsys.readouterr().out
    assert not at.repo.pulls


# -- what does not fit, and who may not ------------------------------------------------------------


def test_a_request_that_is_too_large_says_what_takes_it(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    env = at.job(at.bob_runs, HITL_MESSAGE="x" * 66_000)
    assert at.runner.run(**env) == 1
    said = capsys.readouterr().out
    assert "a job can hand over 65,535" in said
    assert "`app-id`" in said
    assert not at.repo.dispatches


def test_a_job_that_may_start_no_workflow_is_told_the_permission(
    at: Keyless, capsys: pytest.CaptureFixture[str]
) -> None:
    token = str(at.github.actions_token(at.repo, {"contents": "read"}))
    assert at.runner.run(**at.job(at.bob_runs, HITL_TOKEN=token)) == 1
    assert "permissions: actions: write" in capsys.readouterr().out


def test_an_opener_may_send_the_token_after_its_page(at: Keyless) -> None:
    app = {"HITL_APP_ID": str(at.opener.id), "HITL_APP_KEY": at.opener.key}
    inputs = at.hand_over(at.bob_runs, **app)
    (pull,) = at.repo.pulls
    assert inputs["number"] == str(pull.number)
    assert at.proven(pull) == {}
    assert at.decide(inputs) == 0
    assert at.proven(pull)["initiator"] == f"@bob#{at.bob.id}"


def test_what_is_packed_is_unpacked_as_it_was(tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    env = {
        GATE: "production",
        MESSAGE: "Deploy “it”?\nNow",
        "HITL_VALUES": "a: 1\nb: [1, 2]",
        "HITL_INPUTS": "share: float = 0.5",
        "HITL_ENVIRONMENT": "production",
        "HITL_FILES": str(model),
    }
    assert unpacked(packed(env, asked_by(env))) == asked_by(env)


def test_a_request_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(Faults):
        unpacked("[" * 60_000)
