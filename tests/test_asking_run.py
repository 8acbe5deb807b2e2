"""The run that asks: its token and the Actions API must tell of one and the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core.facts import About, Source
from bridge.github.asking_run import differences, facts, read_run
from bridge.pages.model import Account, Kind, Run
from tests.test_oidc import GOOD

BOB, ALICE = Account(5, "bob", Kind.USER), Account(6, "alice", Kind.USER)
SHOWN = Run(99, 2, 7, GOOD.workflow, "main", GOOD.sha, "push", BOB, ALICE)


def test_token_and_api_together_prove_who_started_the_run_and_who_ran_it_again() -> None:
    assert differences(GOOD, SHOWN) == []
    proven = {each.name: each.value for each in facts(GOOD, SHOWN)}
    assert proven == {
        About.INITIATOR: "@alice#6",
        About.ACTOR: "@bob#5",
        About.WORKFLOW: ".github/workflows/deploy.yml",
        About.REF: "refs/heads/main",
        About.SHA: GOOD.sha,
        About.EVENT: "push",
        About.RUN: "99/2",
    }
    assert all(each.proven and each.source is Source.OIDC for each in facts(GOOD, SHOWN))


def test_the_environment_of_the_job_is_proven_if_it_has_one() -> None:
    proven = facts(replace(GOOD, environment="staging"), SHOWN)
    assert ("environment", "staging") in {(each.name, each.value) for each in proven}


@pytest.mark.parametrize(
    "shown",
    [
        replace(SHOWN, number=98),
        replace(SHOWN, attempt=1),
        replace(SHOWN, repository_id=8),
        replace(SHOWN, path=".github/workflows/lint.yml"),
        replace(SHOWN, branch="evil"),
        replace(SHOWN, commit="f" * 40),
        replace(SHOWN, event="pull_request"),
        replace(SHOWN, actor=ALICE),
        replace(SHOWN, actor=None),
    ],
)
def test_a_run_that_is_another_is_named_with_what_differs(shown: Run) -> None:
    (difference,) = differences(GOOD, shown)
    assert "GitHub's Actions API shows" in difference


def test_the_run_of_a_pull_request_has_the_head_of_its_branch_in_the_api() -> None:
    merge = replace(GOOD, event="pull_request", ref="refs/pull/5/merge", head_ref="feature")
    shown = replace(SHOWN, event="pull_request", branch="feature", commit="f" * 40)
    assert differences(merge, shown) == []
    assert len(differences(merge, replace(shown, branch="other"))) == 1


def test_the_run_of_a_tag_has_the_tags_name_in_the_api() -> None:
    assert not differences(replace(GOOD, ref="refs/tags/v1"), replace(SHOWN, branch="v1"))


def test_a_bot_is_no_initiator_because_somebody_made_it_start_the_run() -> None:
    bot = Account(41898282, "github-actions[bot]", Kind.BOT)
    found = facts(GOOD, replace(SHOWN, actor=bot, started_by=bot))
    assert not {each.name for each in found if each.proven} & {About.INITIATOR, About.ACTOR}


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/deploy.yml",
        ".github/workflows/deploy.yml@main",
        "acme/models/.github/workflows/deploy.yml@refs/heads/main",
    ],
)
def test_the_api_names_the_file_with_or_without_repository_and_ref(path: str) -> None:
    account = {"id": 5, "login": "bob", "type": "User"}
    found = {
        "id": 99,
        "run_attempt": 2,
        "repository": {"id": 7, "full_name": "acme/models"},
        "path": path,
        "head_branch": "main",
        "head_sha": GOOD.sha,
        "event": "push",
        "actor": account,
        "triggering_actor": {**account, "id": 6, "login": "alice"},
    }
    assert read_run(found) == SHOWN
