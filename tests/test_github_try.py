"""`hitl github try`: a scratch repository, decided by the workflow's own token, *not protected*."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.core.settings import from_environment, github_from_environment
from bridge.entrypoints.github_action import main as action
from bridge.policy.policy_file import parse
from bridge.setup.checks import Level
from bridge.setup.workflow_files import MAIN, POLICY, SCHEDULE, TRIAL, workflow_to_try
from bridge.wiring import desk
from tests.actions import USED, load
from tests.github import GitHub
from tests.github.runs import Run
from tests.test_github_setup import SETUP, Acme

TRY = ["github", "try", "--yes", "--action", USED]


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Acme]:
    monkeypatch.chdir(tmp_path)
    with GitHub() as github:
        github.logged_in = github.user("root")
        yield Acme(github, monkeypatch, "root/scratch")


class Jobs:
    """The jobs of the workflows that were merged, with the token that their permissions give."""

    def __init__(self, acme: Acme, folder: Path) -> None:
        self.acme, self.folder = acme, folder

    def run(self, path: str, job: str, run: Run, event: str, payload: Mapping[str, Any]) -> int:
        repo, github = self.acme.repo, self.acme.github
        about = load(repo.file(path) or "")["jobs"][job]
        granted = {name.replace("-", "_"): each for name, each in about["permissions"].items()}
        values = {
            "github.token": str(github.actions_token(repo, granted)),
            "github.event.client_payload.gate": payload.get("client_payload", {}).get("gate", ""),
        }
        given = {
            f"HITL_{name.upper().replace('-', '_')}": re.sub(
                r"\$\{\{ (.*?) \}\}", lambda found: values.get(found[1], ""), text
            )
            for name, text in about["steps"][0]["with"].items()
        }
        if given.get("HITL_KEYS") == "none":
            del given["HITL_KEYS"]
        (self.folder / "event.json").write_text(json.dumps(payload))
        env = {
            **github.environment(repo),
            **(github.issuer.job(run) if granted.get("id_token") else {}),
            **given,
            "HITL_CACHE": str(self.folder / "cache"),
            "HITL_NUMBER": str(payload.get("inputs", {}).get("number", "")),
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_WORKFLOW_REF": run.workflow_ref,
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_SHA": run.sha,
            "GITHUB_REF": run.ref,
            "GITHUB_ACTOR": run.actor.login,
        }
        return action(env)


def test_from_nothing_to_the_first_recorded_decision(
    acme: Acme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(TRY) == 0
    told = capsys.readouterr().out
    assert "NOT PROTECTED" in told
    assert f"{acme.repo.url}/actions/workflows/try-a-gate.yml" in told
    assert (acme.github.apps.keys() & {"decider", "opener"}, acme.shown) == (set(), [])
    acme.merge()
    jobs = Jobs(acme, tmp_path)

    # Run workflow: the job asks, and the workflow's own token opens the page.
    asks = acme.repo.run(TRIAL, acme.admin, event="workflow_dispatch")
    assert jobs.run(TRIAL, "ask", asks, "workflow_dispatch", {}) == 0
    _, _, inputs = acme.repo.dispatches[-1]
    decider = acme.repo.run(MAIN, acme.github.actions.bot, event="workflow_dispatch")
    assert jobs.run(MAIN, "tend", decider, "workflow_dispatch", {"inputs": inputs}) == 0
    (pull,) = acme.repo.open_pulls()
    (status,) = [each for each in pull.comments if "approval-bridge status" in each.body]
    assert "**Not protected:**" in status.body

    # Whoever started it may approve it here, since a scratch repository has one person.
    pull.review(acme.admin, "APPROVED")
    number = {"inputs": {"number": str(pull.number)}}
    assert jobs.run(MAIN, "tend", decider, "workflow_dispatch", number) == 0
    assert "**Not protected:**" in status.body
    reads = {**acme.github.environment(acme.repo), "HITL_TOKEN": str(acme.token)}
    reads["HITL_CACHE"] = str(tmp_path / "reader")
    ledger = desk(from_environment(reads), github_from_environment(reads)).ledger
    standing = ledger.read(pull.head_ref.removeprefix("gate/"))
    assert standing
    assert standing.decision
    assert (standing.decision.outcome, standing.decision.votes[0].actor.login) == (
        "approved",
        "root",
    )

    # The approval starts the workflow again, which goes on with the record.
    kind, sent = acme.repo.repository_dispatches[-1]
    assert kind == "approved-try"
    goes_on = acme.repo.run(TRIAL, acme.github.actions.bot, event="repository_dispatch")
    goes_on.title = f"Go on with gate {sent['gate']}"
    assert jobs.run(TRIAL, "go-on", goes_on, "repository_dispatch", {"client_payload": sent}) == 0
    assert "the record is valid" in capsys.readouterr().out


def test_run_twice_it_changes_nothing(acme: Acme, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRY, "--dry-run"]) == 0
    assert acme.writes() == []
    assert main(TRY) == 0
    for _ in ("before the merge", "after it"):
        acme.github.forget_requests()
        assert main(TRY) == 0
        assert acme.writes() == []
        assert "nothing is left to do" in capsys.readouterr().out
        if acme.repo.open_pulls():
            acme.merge()


def test_the_doctor_calls_it_unprotected(acme: Acme) -> None:
    assert main(TRY) == 0
    acme.merge()
    said = {
        says for name, level, says in acme.ailing() if (name, level) == ("workflow", Level.FAULT)
    }
    assert len(said) == 1
    assert said.pop().startswith("unprotected")


@pytest.mark.parametrize("merged", [False, True], ids=["not merged", "merged"])
def test_setup_makes_it_safe_and_leaves_nothing_of_the_trial_that_decides(
    acme: Acme, merged: bool
) -> None:
    assert main(TRY) == 0
    if merged:
        acme.merge()
    assert main(SETUP) == 0
    acme.merge()
    assert "github.token" not in (acme.repo.file(MAIN) or "")
    assert acme.signs()
    (entry,) = parse(acme.repo.file(POLICY) or "").entries
    assert entry.selected.policy.bars.initiator
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []
    acme.github.forget_requests()
    assert main(SETUP) == 0
    assert acme.writes() == []


def test_it_never_takes_the_protection_of_a_real_installation_away(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SETUP) == 0
    for then in (acme.repo.rulesets.clear, acme.merge, lambda: None):  # only proposed, and merged
        acme.github.forget_requests()
        assert main(TRY) == 1
        assert "this would take its protection away" in capsys.readouterr().err
        assert acme.writes() == []
        then()


def test_it_is_taken_back(acme: Acme) -> None:
    assert main(TRY) == 0
    acme.merge()
    assert main(["github", "remove", "--yes"]) == 0
    acme.merge()
    assert [acme.repo.file(each) for each in (MAIN, SCHEDULE, POLICY, TRIAL)] == [None] * 4


def test_a_private_repository_on_the_free_plan_can_try_it(acme: Acme) -> None:
    acme.repo.private, acme.repo.paid = True, False
    assert main(TRY) == 0
    acme.merge()
    assert acme.repo.file(TRIAL)


def test_the_workflow_has_no_key_no_environment_and_the_permissions_that_a_decision_takes() -> None:
    job = load(workflow_to_try(USED))["jobs"]["tend"]
    assert "environment" not in job
    assert "secrets.HITL_APP_KEY" not in workflow_to_try(USED)
    assert job["permissions"] == {
        "actions": "read",
        "contents": "write",
        "issues": "write",
        "pull-requests": "write",
        "statuses": "write",
    }
    (step,) = job["steps"]
    assert (step["with"]["token"], step["with"]["voices"]) == (
        "${{ github.token }}",
        "github-actions[bot]",
    )
