"""The action's thin top: what the runner gives, and what it gets back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.core.errors import LedgerUnavailable
from bridge.core.evaluation import Outcome
from bridge.entrypoints.github_action import main
from tests.actions import ROOT
from tests.forge import DECIDER, POLICY, World
from tests.github import GitHub
from tests.github.shapes import node_id


class Runner:
    """A runner with its files, in a folder of its own."""

    def __init__(self, at: World, folder: Path) -> None:
        self._at = at
        self._folder = folder
        self.env = {
            **at.github.environment(at.repo),
            "HITL_CACHE": str(folder / "cache"),
            "HITL_VOICES": "approval-opener[bot]",
            "HITL_TOKEN": at.tokens[at.decider],
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_OUTPUT": str(folder / "output"),
        }

    def run(self, number: int | str = "", **env: str) -> int:
        for name in ("summary", "output"):
            (self._folder / name).write_text("")
        return main(self.env | {"HITL_NUMBER": str(number)} | env)

    @property
    def summary(self) -> str:
        return (self._folder / "summary").read_text()

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self._folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with GitHub() as github:
        yield World(github, tmp_path)


@pytest.fixture
def runner(at: World, tmp_path: Path) -> Runner:
    return Runner(at, tmp_path)


# -- what it came to -------------------------------------------------------------------------------


def test_a_decision_is_told_in_outputs_and_summary(at: World, runner: Runner) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    assert runner.run(pull.number) == 0
    gate = at.standing(pull).request.gate.id
    url = f"{at.repo.url}/pull/{pull.number}"
    assert runner.outputs == {"outcome": "approved", "gate": gate, "url": url}
    assert f"### ✅ [Train/7/deploy/12]({url})" in runner.summary
    assert "approved by alice" in runner.summary


def test_a_gate_that_waits_on_is_green_and_its_summary_is_the_tree_of_reasons(
    at: World, runner: Runner
) -> None:
    pull = at.open()
    pull.comment(at.mallory, "/approve")
    assert runner.run(pull.number) == 0
    assert runner.outputs["outcome"] == "pending"
    assert "- ⬜ 0 of 1 approval" in runner.summary
    assert "mallory is not among those who may decide" in runner.summary


def test_a_number_that_is_no_gate_is_nothing_to_do_and_green(
    at: World, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    issue = at.repo.open_issue(at.alice)
    for number in (issue.number, 4711):
        assert runner.run(number) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert runner.outputs == {"outcome": "", "gate": "", "url": ""}


def test_a_sweep_of_nothing_says_so_and_is_green(
    at: World, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.run() == 0
    assert "nothing waits" in capsys.readouterr().out
    assert "Nothing waits" in runner.summary


def test_a_sweep_tells_of_every_gate(at: World, runner: Runner) -> None:
    for number in (1, 2):
        at.open(f"Train/{number}/deploy/1")
    assert runner.run() == 0
    assert all(f"Train/{number}/deploy/1" in runner.summary for number in (1, 2))
    assert runner.outputs == {}


def test_an_event_at_one_gate_also_settles_another_whose_time_is_up(
    at: World, runner: Runner
) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    at.github.clock.advance(minutes=-40)
    late = at.open("Train/1/deploy/1")
    at.github.clock.advance(minutes=40)
    waiting, own = at.open("Train/2/deploy/1"), at.open("Train/3/deploy/1")
    own.review(at.alice, "APPROVED")
    assert runner.run(own.number) == 0
    assert at.recorded(own)
    expired = at.recorded(late)
    assert expired
    assert expired.outcome is Outcome.EXPIRED
    assert runner.outputs["outcome"] == "approved"
    assert "Train/1/deploy/1" in runner.summary
    assert "Train/2/deploy/1" not in runner.summary
    assert at.recorded(waiting) is None


def test_a_gate_that_only_reminds_is_not_processed_at_each_event(at: World, runner: Runner) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n    on_timeout: notify\n")
    at.github.clock.advance(minutes=-40)
    at.open("Train/1/deploy/1")
    at.github.clock.advance(minutes=40)
    own = at.open("Train/3/deploy/1")
    assert runner.run(own.number) == 0
    assert "Train/1/deploy/1" not in runner.summary


def test_if_other_gates_cannot_be_listed_the_event_counts_all_the_same(
    at: World, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise LedgerUnavailable("the ledger does not answer")

    monkeypatch.setattr("bridge.ledger.git_ledger.GitLedger.listing", failing)
    own = at.open()
    own.review(at.alice, "APPROVED")
    assert runner.run(own.number) == 0
    assert at.recorded(own)
    assert "whether other gates are due is not known" in runner.summary


def test_a_sweep_in_which_one_gate_fails_is_red_and_tells_of_the_others(
    at: World, runner: Runner
) -> None:
    first, second = (at.open(f"Train/{number}/deploy/1") for number in (1, 2))
    said = first.comment(at.alice, "/approve")
    second.comment(at.alice, "/approve")
    at.github.faults.answer(422, containing=node_id(said), times=None)
    assert runner.run() == 1
    assert "🔥" in runner.summary
    assert at.recorded(second)


def test_nothing_that_a_gate_holds_commands_the_runner(
    at: World, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = at.open("::error::Train/7/\n::add-mask::x/12")
    runner.run(pull.number)
    first, *_, last = capsys.readouterr().out.splitlines()
    word = first.removeprefix("::stop-commands::")
    assert len(word) == 32
    assert last == f"::{word}::"
    runner.run(pull.number)
    assert word not in capsys.readouterr().out


# -- credentials -----------------------------------------------------------------------------------


def test_an_app_decides_with_its_key(at: World, runner: Runner) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    app = {"HITL_APP_ID": str(at.decider.id), "HITL_APP_KEY": at.decider.key, "HITL_TOKEN": ""}
    assert runner.run(pull.number, **app) == 0
    assert at.recorded(pull)


def test_the_runs_own_token_is_enough_to_try_it_out(at: World, runner: Runner) -> None:
    pull = at.open()
    pull.comment(at.alice, "/approve")
    granted = {
        "contents": "write",
        "pull-requests": "write",
        "issues": "write",
        "statuses": "write",
    }
    token = at.github.actions_token(at.repo, {k.replace("-", "_"): v for k, v in granted.items()})
    assert runner.run(pull.number, HITL_TOKEN=str(token)) == 0
    assert at.recorded(pull)


def test_a_fine_grained_token_decides(at: World, runner: Runner) -> None:
    carol = at.github.user("carol")
    at.repo.grant(carol, "write")
    pull = at.open()
    pull.comment(at.alice, "/approve")
    permissions = {k: v for k, v in DECIDER.items() if k != "members"}
    assert runner.run(pull.number, HITL_TOKEN=str(at.github.token(carol, permissions))) == 0
    assert at.recorded(pull)


@pytest.mark.parametrize("enterprise", [True, False])
def test_every_address_is_the_runners_own(tmp_path: Path, enterprise: bool) -> None:
    with GitHub(enterprise=enterprise) as github:
        at = World(github, tmp_path)
        pull = at.open()
        pull.review(at.alice, "APPROVED")
        assert Runner(at, tmp_path).run(pull.number) == 0
        assert at.recorded(pull)


# -- red, with the one fix -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "fix"),
    [
        ({"HITL_APP_ID": "7", "HITL_TOKEN": ""}, "set the secret HITL_APP_KEY in the environment"),
        ({"HITL_APP_KEY": "k", "HITL_TOKEN": ""}, "set the variable HITL_APP_ID"),
        ({"HITL_TOKEN": ""}, "give `app-id` and `app-key`"),
        ({"HITL_NUMBER": "12; rm -rf /"}, "`number` is the number of"),
        ({"HITL_NUMBER": "١٢"}, "`number` is the number of"),
        ({"HITL_NUMBER": "0"}, "`number` is the number of"),
        ({"HITL_TOKEN": "ghs_wrong"}, "refuses the credential: give a good one"),
        ({"HITL_TOKEN": "ghs_wrong", "HITL_NUMBER": "1"}, "the credential is wrong or has expired"),
        ({"GITHUB_REPOSITORY": "models"}, "GITHUB_REPOSITORY must name the repository"),
        ({"GITHUB_REPOSITORY": "acme/gone"}, "there is no git repository at that place"),
        (
            {"HITL_APP_ID": "7", "HITL_APP_KEY": "no pem at all", "HITL_TOKEN": ""},
            "HITL_APP_KEY",
        ),
    ],
)
def test_a_misconfiguration_is_red_and_says_the_one_thing_to_do(
    runner: Runner, capsys: pytest.CaptureFixture[str], env: dict[str, str], fix: str
) -> None:
    assert runner.run(**env) == 1
    said = capsys.readouterr().out
    assert said.startswith("::error title=Approval bridge::")
    assert len(said.splitlines()) == 1
    assert fix in said
    assert fix.replace("`", "")[:12] in runner.summary.replace("&#96;", "")
    assert "bug" not in said


def test_a_server_that_cannot_be_reached_is_red_and_holds_no_secret(
    at: World, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.run(GITHUB_SERVER_URL="http://127.0.0.1:9") == 1
    said = capsys.readouterr().out + runner.summary
    assert "cannot be reached" in said
    assert at.tokens[at.decider] not in said


def test_a_bug_is_one_sentence_without_a_traceback_or_a_secret(
    at: World,
    runner: Runner,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError(f"met {at.tokens[at.decider]}")

    monkeypatch.setattr("bridge.entrypoints.github_action.sweep", broken)
    assert runner.run() == 1
    said = capsys.readouterr().out
    assert "a bug of the bridge" in said
    assert "Traceback" not in said
    assert at.tokens[at.decider] not in said + runner.summary


# -- start-up --------------------------------------------------------------------------------------


def test_nothing_is_imported_that_a_decision_does_not_need() -> None:
    script = (
        "import sys, bridge.entrypoints.github_action;"
        " print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    needless = {
        "click",
        "apprise",
        "metaflow",
        "flowyml",
        "jsonschema",
        "numpy",
        "pandas",
        "github",
    }
    assert not needless & set(done.stdout.split())
