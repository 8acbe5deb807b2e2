"""A gate of a GitHub Actions run: asked by a job that ends, proven by the run that it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main as hitl
from bridge.core.delivery import Workflow
from bridge.core.evaluation import Outcome
from bridge.core.facts import About, Fact, Source
from bridge.core.model import Declared, Kind, Subject
from bridge.entrypoints import github_job
from bridge.gates.open_page import ask
from tests.forge import World
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.github.runs import Run
from tests.test_github_action import Runner

COMMIT = "0123456789" * 4
DEPLOY = ".github/workflows/deploy.yml"
POLICY = """\
gates:
  - name: deploy
    when: {flow: deploy.yml, step: production}
    require: {users: [alice, bob]}
"""


class Ci(World):
    """A repository whose `deploy.yml` asks before it goes on."""

    def __init__(self, github: GitHub, folder: Path) -> None:
        super().__init__(github, folder, POLICY)
        self.runner = Runner(self, folder)
        self.model = folder / "model.bin"
        self.model.write_bytes(b"weights")
        self.runner.env |= {
            "GITHUB_WORKFLOW_REF": "acme/models/.github/workflows/deploy.yml@refs/heads/main",
            "GITHUB_RUN_ID": "77",
            "GITHUB_SHA": COMMIT,
            "GITHUB_ACTOR": "mallory",
            "HITL_GATE": "production",
        }
        self.run_of({})

    def run_of(self, env: Mapping[str, str]) -> Run:
        """The run that a job's environment is of, as GitHub shows it."""
        env = self.runner.env | dict(env)
        path = env["GITHUB_WORKFLOW_REF"].split("/", 2)[2].split("@")[0]
        by = self.github.user(env["GITHUB_ACTOR"])
        number = int(env["GITHUB_RUN_ID"])
        run = self.repo.run(path, by, sha=env["GITHUB_SHA"], number=number)
        run.attempts[0].by = self.github.user(env.get("GITHUB_TRIGGERING_ACTOR", by.login))
        return run

    def ask(self, **env: str) -> PullRequest:
        token = {"HITL_TOKEN": self.tokens[self.opener]}
        self.run_of(env)
        assert self.runner.run(HITL_MODE="open", **{**token, **env}) == 0
        assert self.runner.outputs["outcome"] == "pending"
        return self.repo.pulls[-1]

    def approve(self, pull: PullRequest, body: str = "") -> None:
        pull.review(self.alice, "APPROVED", body)
        assert self.runner.run(pull.number) == 0

    def verify(self, gate: str, **env: str) -> int:
        # As the run that an approval starts: of the default branch, with a token that only reads.
        token = str(self.github.actions_token(self.repo, {"contents": "read"}))
        now = {"HITL_TOKEN": token, "GITHUB_RUN_ID": "78", "GITHUB_SHA": "f" * 40}
        now |= {"HITL_ENVIRONMENT": "none"}
        return self.runner.run(HITL_MODE="verify", HITL_GATE_ID=gate, **{**now, **env})


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Ci]:
    with GitHub() as github:
        yield Ci(github, tmp_path)


# -- asking ----------------------------------------------------------------------------------------


def test_a_job_asks_and_ends(at: Ci) -> None:
    pull = at.ask(
        HITL_MESSAGE="Deploy the model?", HITL_VALUES="accuracy: 0.93", HITL_FILES=str(at.model)
    )
    assert pull.title == "Approve deploy.yml/77/production: Deploy the model?"
    for shown in ("accuracy", "0.93", "model.bin", "commit", COMMIT[:7], "/actions/runs/77"):
        assert shown in pull.body.replace("&#8203;", ""), shown
    assert at.runner.outputs["url"] == f"{at.repo.url}/pull/{pull.number}"


def test_the_page_shows_what_changed_in_a_text_and_the_new_run_proves_the_whole_of_it(
    at: Ci,
) -> None:
    values = 'prompt: "Answer kindly.\\nBe short.\\n{}"'
    first = at.ask(HITL_VALUES=values.format("Ask back."))
    at.approve(first)
    gate = first.head_ref.removeprefix("gate/")
    assert at.verify(gate, HITL_VALUES=values.format("Ask back.")) == 0
    assert at.verify(gate, HITL_VALUES=values.format("Never ask.")) == 1
    second = at.ask(HITL_VALUES=values.format("Never ask."), GITHUB_RUN_ID="79")
    assert "What changed in prompt" in second.body
    assert "-Ask back.\n+Never ask." in second.body


def test_asking_twice_finds_the_first(at: Ci) -> None:
    pull = at.ask()
    assert at.ask() is pull
    assert len(at.repo.pulls) == 1


def test_who_started_the_run_cannot_approve_it(at: Ci) -> None:
    pull = at.ask(GITHUB_ACTOR="alice")
    pull.review(at.alice, "APPROVED")
    assert at.runner.run(pull.number) == 0
    assert at.recorded(pull) is None
    assert "alice" in at.status(pull)
    assert not at.repo.repository_dispatches


def test_who_ran_it_again_started_it(at: Ci) -> None:
    pull = at.ask(GITHUB_TRIGGERING_ACTOR="alice")
    assert at.standing(pull).request.initiator == "@alice"


def test_what_a_commit_is_titled_is_no_markup_and_no_command(at: Ci) -> None:
    pull = at.ask(HITL_MESSAGE="Fixes #1 @alice <img src=x>\n/approve")
    assert "Fixes #1" not in pull.body
    assert "@alice" not in pull.body
    assert "<img" not in pull.body
    assert at.recorded(pull) is None


def test_a_gate_that_no_policy_covers_is_not_asked_and_the_job_is_red(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at.runner.run(HITL_MODE="open", HITL_GATE="staging") == 1
    assert "no policy covers this gate" in capsys.readouterr().out
    assert not at.repo.pulls


@pytest.mark.parametrize(
    ("env", "fault"),
    [
        ({"HITL_GATE": ""}, "`gate` is a name"),
        ({"HITL_GATE": "a/b"}, "`gate` is a name"),
        ({"HITL_FILES": "no/such.bin"}, "there is no file no/such.bin"),
        ({"HITL_VALUES": "commit: abc"}, "commit is the run's own"),
        ({"HITL_VALUES": "Commit: abc"}, "commit is the run's own"),
        ({"HITL_VALUES": "c\u043emmit: abc"}, "commit is the run's own"),  # the Cyrillic letter
        (
            {"HITL_VALUES": f"{__file__}: x", "HITL_FILES": __file__},
            "is there twice among `values` and `files`",
        ),
        ({"HITL_VALUES": "a: .nan"}, "values"),
        ({"HITL_VALUES": "[1"}, "`values` cannot be read as YAML"),
        ({"HITL_INPUTS": "target: colour"}, "`inputs`: target: 'colour' is not a type"),
        ({"HITL_VALUES": "seed: 010"}, "`values`: seed: 010 is ambiguous"),
        ({"GITHUB_WORKFLOW_REF": "deploy.yml"}, "names no workflow file"),
        ({"GITHUB_RUN_ID": ""}, "this runs in a job of GitHub Actions"),
        ({"HITL_MODE": "opne"}, "`mode` is one of tend, open, verify"),
    ],
)
def test_what_a_job_wrote_wrong_is_red_and_nothing_is_asked(
    at: Ci, capsys: pytest.CaptureFixture[str], env: dict[str, str], fault: str
) -> None:
    assert at.runner.run(**{"HITL_MODE": "open", **env}) == 1
    said = capsys.readouterr().out
    assert fault in said
    assert "bug" not in said
    assert not at.repo.pulls


# -- going on --------------------------------------------------------------------------------------


def test_an_approval_starts_one_run_with_the_gate_and_the_commit(at: Ci) -> None:
    pull = at.ask()
    at.approve(pull)
    gate = at.standing(pull).request.gate.id
    told = {"gate": gate, "workflow": "deploy.yml", "run": "77", "commit": COMMIT}
    assert at.repo.repository_dispatches == [("approved-production", told)]
    assert "**Resumed:** GitHub Actions starts [`deploy.yml`]" in at.status(pull)
    for _ in range(2):
        at.github.tick()
        assert at.runner.run(pull.number) == 0
        assert at.runner.run() == 0
    assert len(at.repo.repository_dispatches) == 1


def test_a_rejection_starts_nothing(at: Ci) -> None:
    pull = at.ask()
    pull.comment(at.bob, "/reject no")
    assert at.runner.run(pull.number) == 0
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.REJECTED
    assert not at.repo.repository_dispatches


def test_the_approval_of_another_kind_of_gate_starts_nothing(at: Ci) -> None:
    at.write_policy("gates: [{name: all, require: {users: [alice]}, bar: {initiator: false}}]")
    pull = at.open()
    at.approve(pull)
    assert at.recorded(pull)
    assert not at.repo.repository_dispatches


def test_a_run_that_could_not_be_started_is_started_by_the_next_sweep_and_only_then_told(
    at: Ci,
) -> None:
    pull = at.ask()
    fault = at.github.faults.answer(403, path="*/dispatches")
    pull.review(at.alice, "APPROVED")
    assert at.runner.run(pull.number) == 1
    assert at.recorded(pull), "recorded first"
    assert "✅" not in at.status(pull)
    assert fault
    assert at.runner.run() == 0
    assert len(at.repo.repository_dispatches) == 1
    assert "✅" in at.status(pull)


# -- proving ---------------------------------------------------------------------------------------


def test_the_new_run_proves_the_approval_and_learns_what_was_approved(at: Ci) -> None:
    pull = at.ask(HITL_INPUTS="target: str", HITL_FILES=str(at.model))
    at.approve(pull, "/approve target=staging")
    assert at.verify(at.standing(pull).request.gate.id, HITL_FILES=str(at.model)) == 0
    out = at.runner.outputs
    assert (out["outcome"], out["commit"], out["run"]) == ("approved", COMMIT, "77")
    assert json.loads(out["answer"]) == {"target": "staging"}


def test_a_run_without_a_gate_proves_nothing(at: Ci, capsys: pytest.CaptureFixture[str]) -> None:
    at.approve(at.ask())
    assert at.verify("") == 1
    assert "no approved gate was named" in capsys.readouterr().out
    assert at.runner.outputs == {}


def test_a_gate_that_waits_or_was_rejected_or_never_was_proves_nothing(at: Ci) -> None:
    waiting, rejected = at.ask(), at.ask(GITHUB_RUN_ID="79")
    rejected.comment(at.bob, "/reject no")
    assert at.runner.run(rejected.number) == 0
    for gate in (at.standing(waiting).request.gate.id, at.standing(rejected).request.gate.id):
        assert at.verify(gate) == 1
    assert at.verify("0" * 12) == 1
    assert at.runner.outputs == {}


def test_the_approval_of_another_gate_or_workflow_or_repository_proves_nothing(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    at.write_policy("gates: [{name: all, require: {users: [alice]}}]")
    pull = at.ask(HITL_GATE="staging")
    at.approve(pull)
    gate = at.standing(pull).request.gate.id
    assert at.verify(gate, HITL_GATE="staging") == 0
    assert at.verify(gate, HITL_GATE="production") == 1
    ref = "acme/models/.github/workflows/other.yml@refs/heads/main"
    assert at.verify(gate, HITL_GATE="staging", GITHUB_WORKFLOW_REF=ref) == 1
    assert capsys.readouterr().out.count("its approval is for something else") == 2


def test_a_gate_is_proven_after_its_repository_was_renamed(at: Ci) -> None:
    pull = at.ask()
    at.github.rename_repository(at.repo, "ml-models")
    at.runner.env |= at.github.environment(at.repo) | {
        "GITHUB_WORKFLOW_REF": "acme/ml-models/.github/workflows/deploy.yml@refs/heads/main"
    }
    at.approve(pull)
    [(_, told)] = at.repo.repository_dispatches
    assert at.verify(told["gate"]) == 0
    assert at.verify(told["gate"], GITHUB_REPOSITORY_ID="1") == 1


def test_a_file_that_is_not_the_one_approved_stops_the_run(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = at.ask(HITL_FILES=str(at.model))
    at.approve(pull)
    at.model.write_bytes(b"other weights")
    assert at.verify(at.standing(pull).request.gate.id, HITL_FILES=str(at.model)) == 1
    assert "what was approved is not what is here now" in capsys.readouterr().out


def test_a_value_that_nobody_was_shown_stops_the_run(at: Ci) -> None:
    pull = at.ask()
    at.approve(pull)
    gate = at.standing(pull).request.gate.id
    assert at.verify(gate, HITL_VALUES="accuracy: 1") == 1
    assert at.verify(gate) == 0


def test_the_command_proves_nothing_for_a_gate_that_was_not_named(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    at.approve(at.ask())
    # With "$GATE" of a variable that is not set, it must not prove the ledger instead.
    assert hitl(["--ledger", str(at.repo.bare.path), "ledger", "verify-gate", ""]) != 0
    assert hitl(["--ledger", str(at.repo.bare.path), "verify", ""]) != 0
    assert "no gate is called ''" in capsys.readouterr().err


def test_the_command_asks_as_the_action_does(
    at: Ci, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in at.runner.env.items():
        monkeypatch.setenv(name, value)
    assert (
        hitl(["github", "open", "production", "--message", "Deploy?", "--file", str(at.model)]) == 0
    )
    (pull,) = at.repo.pulls
    assert f"{at.repo.url}/pull/{pull.number}" in capsys.readouterr().out
    pull.review(at.alice, "APPROVED")
    assert hitl(["github", "tend", str(pull.number)]) == 0
    assert "approved by alice" in capsys.readouterr().out
    assert hitl(["github", "sweep"]) == 0
    assert len(at.repo.repository_dispatches) == 1


def test_a_commit_that_was_shown_but_is_not_the_one_bound_stops_the_run(at: Ci) -> None:
    # The opener runs beside the code of whoever started the run, and may write any request.
    env = at.runner.env
    honest = github_job.draft(github_job.job_of(env), github_job.asked_by(env))
    shown = tuple(replace(each, value="f" * 40) for each in honest.artifacts)
    _, page = ask(at.desk(at.opener), replace(honest, artifacts=shown))
    assert page
    pull = at.repo.pull(page.number)
    at.approve(pull)
    assert at.recorded(pull) is None
    assert "it says commit ffff" in at.status(pull)
    assert at.verify(at.standing(pull).request.gate.id) == 1
    assert at.runner.outputs == {}


# -- in the name of another run --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"GITHUB_RUN_ID": "78"}, "GitHub shows no run 78"),
        (
            {"GITHUB_WORKFLOW_REF": "acme/models/.github/workflows/lint.yml@refs/heads/main"},
            "it says workflow lint.yml, and GitHub shows deploy.yml",
        ),
        ({"GITHUB_REF": "refs/heads/release"}, "it says ref release, and GitHub shows main"),
        ({"GITHUB_EVENT_NAME": "schedule"}, "it says event schedule, and GitHub shows push"),
        ({"GITHUB_ACTOR": "bob"}, "it says actor bob, and GitHub shows mallory"),
        ({"GITHUB_TRIGGERING_ACTOR": "bob"}, "it says initiator bob, and GitHub shows mallory"),
        ({"GITHUB_SHA": "f" * 40}, "it says commit ffff"),
    ],
)
def test_a_request_of_another_run_than_github_shows_cannot_be_approved_and_can_be_rejected(
    at: Ci, env: dict[str, str], why: str
) -> None:
    at.write_policy("gates: [{name: all, require: {users: [alice, bob]}}]")
    token = {"HITL_TOKEN": at.tokens[at.opener]}
    assert at.runner.run(HITL_MODE="open", **{**token, **env}) == 0
    pull = at.repo.pulls[-1]
    pull.review(at.alice, "APPROVED")
    assert at.runner.run(pull.number) == 0
    assert at.recorded(pull) is None
    assert why in at.status(pull).replace("\u200b", "")
    assert why in at.runner.summary.replace("\u200b", "")
    pull.comment(at.alice, "/reject it lies")
    assert at.runner.run(pull.number) == 0
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.REJECTED
    assert not at.repo.repository_dispatches


@pytest.mark.parametrize("run", ["077", "1" * 20, "77"])
def test_a_request_in_a_form_that_no_job_writes_can_only_be_rejected(at: Ci, run: str) -> None:
    env = at.runner.env | {"GITHUB_ACTOR": "bob"}  # it was mallory
    asked = github_job.draft(github_job.job_of(env), github_job.asked_by(env))
    asked = replace(asked, gate=replace(asked.gate, key=f"deploy.yml/{run}/production"))
    if run == "77":
        asked = replace(asked, workflow=Workflow("argo", "train", "0-1"))
    _, page = ask(at.desk(at.opener), asked)
    assert page
    pull = at.repo.pull(page.number)
    at.approve(pull)
    assert at.recorded(pull) is None
    assert "not one that a job of GitHub Actions writes" in at.status(pull)
    assert at.verify(at.standing(pull).request.gate.id) == 1
    assert at.runner.outputs == {}
    pull.comment(at.alice, "/reject it lies")
    assert at.runner.run(pull.number) == 0
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.REJECTED


def test_what_the_runs_own_token_proved_is_not_asked_again(at: Ci) -> None:
    pull = at.ask()
    proof = Fact(About.RUN, "77/1", Source.OIDC, proven=True)
    at.desk().ledger.hold(at.standing(pull).request.gate.id, facts=(proof,))
    at.github.forget_requests()
    assert at.runner.run(pull.number) == 0
    assert not [each for each in at.github.requests if "/actions/runs/" in each.path]


# -- what the policy was chosen by -----------------------------------------------------------------


def test_a_run_that_goes_on_says_for_which_environment(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = at.ask(HITL_ENVIRONMENT="Production")
    at.approve(pull)
    gate = at.standing(pull).request.gate.id
    assert at.verify(gate, HITL_ENVIRONMENT="") == 1
    assert "`environment` is empty" in capsys.readouterr().out
    for other in ("none", "staging"):
        assert at.verify(gate, HITL_ENVIRONMENT=other) == 1
        assert "approved for the environment Production" in capsys.readouterr().out
    assert at.verify(gate, HITL_ENVIRONMENT="production") == 0


def _forged(at: Ci, **changes: Any) -> str:
    """The gate of a request that an opener wrote by hand, and that was approved as it is."""
    env = at.runner.env | {"HITL_VALUES": "accuracy: 0.5"}
    honest = github_job.draft(github_job.job_of(env), github_job.asked_by(env))
    _, page = ask(at.desk(at.opener), replace(honest, **changes))
    assert page
    pull = at.repo.pull(page.number)
    at.approve(pull)
    assert at.recorded(pull)
    return at.standing(pull).request.gate.id


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"declared": Declared(auto_approve_if="environment == x")}, "does not run"),
        ({"declared": Declared(timeout=60)}, "does not run"),
        (
            {"subject": Subject("deploy.yml", "production", artifacts={"accuracy": 0.99})},
            "other values than people were shown: accuracy",
        ),
        (
            {"subject": Subject("deploy.yml", "production")},
            "other values than people were shown: accuracy",
        ),
        (
            {
                "subject": Subject("deploy.yml", "production", "x", artifacts={"accuracy": 0.5}),
                "kind": Kind("deploy.yml", "production", "x"),
            },
            "approved for the environment x",
        ),
        (
            {"subject": Subject("deploy.yml", "production", None, ("safe",), {"accuracy": 0.5})},
            "what was approved is not what is here now",
        ),
    ],
)
def test_a_request_that_chose_its_own_policy_lets_no_run_go_on(
    at: Ci, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], why: str
) -> None:
    gate = _forged(at, **changes)
    assert at.verify(gate) == 1
    assert why in capsys.readouterr().out
    assert at.runner.outputs == {}


def test_a_decided_gate_that_is_asked_again_for_other_values_fails(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    at.approve(at.ask(HITL_VALUES="accuracy: 0.93"))
    token = at.tokens[at.opener]
    same = {"HITL_MODE": "open", "HITL_TOKEN": token}
    assert at.runner.run(**same, HITL_VALUES="accuracy: 0.93") == 0
    assert at.runner.outputs["outcome"] == "approved"
    assert at.runner.run(**same, HITL_VALUES="accuracy: 0.1") == 1
    assert at.runner.outputs == {}
    assert "was approved for other values: a new run can ask again" in capsys.readouterr().out


# -- one run for one approval ----------------------------------------------------------------------


def _started(at: Ci, gate: str, title: str = "Deploy gate {}") -> dict[str, str]:
    """A run that the event of an approval started, as its job sees it."""
    run = at.repo.run(DEPLOY, at.decider.bot, event="repository_dispatch")
    run.title = title.format(gate)
    return {"GITHUB_RUN_ID": str(run.id), "GITHUB_EVENT_NAME": "repository_dispatch"}


def _approved(at: Ci) -> str:
    at.repo.commit("main", {DEPLOY: "on: repository_dispatch"})
    pull = at.ask()
    at.approve(pull)
    return at.standing(pull).request.gate.id


def test_six_events_of_one_approval_let_one_run_go_on_and_that_one_may_run_again(
    at: Ci, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = _approved(at)
    _started(at, "another gate")
    first, *later = [_started(at, gate) for _ in range(6)]
    for run in later[::2]:
        assert at.verify(gate, **run) == 1
        assert f"run {first['GITHUB_RUN_ID']} goes on for the approval" in capsys.readouterr().out
    for _ in range(2):
        assert at.verify(gate, **first) == 0


def test_the_page_says_how_the_first_run_of_its_approval_ended(at: Ci) -> None:
    gate = _approved(at)
    at.github.tick()
    before = at.status(at.repo.pulls[-1])
    first, second = (int(_started(at, gate)["GITHUB_RUN_ID"]) for _ in range(2))
    at.repo.runs[second].status = "completed"
    assert at.runner.run() == 0
    assert at.status(at.repo.pulls[-1]) == before
    at.repo.runs[first].status, at.repo.runs[first].conclusion = "completed", "failure"
    assert at.runner.run() == 0
    after = at.status(at.repo.pulls[-1])
    run = f"[run {first}]({at.repo.url}/actions/runs/{first})"
    assert f"**Failed:** {run} of GitHub Actions ended as `failure`." in after
    assert "Resumed" not in after
    assert after.splitlines()[:3] == before.splitlines()[:3]


def test_runs_whose_titles_do_not_name_the_gate_go_on_each(at: Ci) -> None:
    gate = _approved(at)
    for run in [_started(at, gate, title="Deploy") for _ in range(2)]:
        assert at.verify(gate, **run) == 0


def test_the_first_run_is_found_among_more_than_a_page_of_them(at: Ci) -> None:
    gate = _approved(at)
    _started(at, gate)
    for number in range(100):
        _started(at, f"{number:016x}")
    assert at.verify(gate, **_started(at, gate)) == 1
