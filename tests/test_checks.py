"""Checks of the commit under approval: whatever is not surely green keeps the gate open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.evaluation import Condition, Evidence, Outcome
from bridge.core.facts import Fact, Source
from bridge.core.model import Artifact
from bridge.core.rules import Actors, Approvals, Facts, OnTimeout, Policy
from bridge.policy.checks import check_fact
from bridge.policy.evaluate import evaluate
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.github.repository import CheckRun, Status
from tests.test_evaluate import ANN, HOUR, OPENED, asked, no, vote
from tests.test_github_job import COMMIT, POLICY, Ci

RULE = Approvals(Actors(names=("ann", "ml")))
ASKS = replace(
    asked(RULE),
    policy=Policy(RULE, checks=("build", "security scan")),
    artifacts=(Artifact("commit", "str", "sha256:00", value=COMMIT),),
)
GREEN = (check_fact(COMMIT, "build", "success"), check_fact(COMMIT, "security scan", "success"))
APPROVED = (vote(ASKS, ANN),)


def outcome(facts: tuple[Fact, ...], request: Any = ASKS, votes: Any = APPROVED) -> Any:
    return evaluate(request, Evidence(OPENED + 2 * HOUR, votes, facts=facts))


def test_with_every_check_green_an_approval_approves() -> None:
    assert outcome(GREEN).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ((), "the check build of commit 0123456 is not green: not known yet"),
        (GREEN[:1], "the check security scan of commit 0123456 is not green: not known yet"),
        ((*GREEN[1:], check_fact(COMMIT, "build", "pending")), "is not green: pending"),
        ((*GREEN, check_fact(COMMIT, "build", "failure")), "is not green: failure, success"),
        ((*GREEN[1:], check_fact("f" * 40, "build", "success")), "not known yet"),
        ((*GREEN[1:], replace(GREEN[0], proven=False, source=Source.RUN)), "not known yet"),
        ((*GREEN[1:], check_fact(COMMIT, "Build", "success")), "not known yet"),
        ((*GREEN[1:], check_fact(COMMIT, "build", "skipped")), "is not green: skipped"),
    ],
)
def test_a_check_that_is_not_surely_green_keeps_the_gate_open(
    facts: tuple[Fact, ...], says: str
) -> None:
    found = outcome(facts)
    assert found.outcome is Outcome.PENDING
    assert says in found.reason


@pytest.mark.parametrize("value", [None, "main", COMMIT[:7], f"{COMMIT} "])
def test_a_request_that_names_no_whole_commit_waits(value: str | None) -> None:
    named = replace(ASKS, artifacts=(Artifact("commit", "str", "sha256:00", value=value),))
    other = Artifact("commit", "str", "sha256:01", value="f" * 40)
    two = replace(ASKS, artifacts=(*ASKS.artifacts, other))
    for request in (named, two, replace(ASKS, artifacts=())):
        found = outcome(GREEN, request, (vote(request, ANN),))
        assert found.outcome is Outcome.PENDING
        assert "this request names no commit" in found.reason


def test_a_file_of_that_name_beside_the_commit_changes_nothing() -> None:
    file = Artifact("commit", "file", "sha256:01", 41)
    request = replace(ASKS, artifacts=(file, *ASKS.artifacts))
    assert outcome(GREEN, request, (vote(request, ANN),)).outcome is Outcome.APPROVED


def test_neither_the_clock_nor_a_condition_approves_before_the_checks_are_green() -> None:
    policy = replace(
        ASKS.policy,
        timeout=3600,
        on_timeout=OnTimeout.APPROVE,
        auto_approve_if="accuracy > 0",
        facts=Facts.CLAIMED,
    )
    request = replace(ASKS, policy=policy)
    holds = Condition("accuracy > 0", seen={"accuracy": 1}, holds=True)
    for evidence in (
        Evidence(OPENED + 2 * HOUR),
        Evidence(OPENED + 0 * HOUR, condition=holds),
    ):
        assert evaluate(request, evidence).outcome is Outcome.PENDING
        green = replace(evidence, facts=GREEN)
        assert evaluate(request, green).outcome is Outcome.APPROVED


def test_a_no_counts_whatever_the_checks_say() -> None:
    assert outcome((), votes=(no(ASKS, ANN),)).outcome is Outcome.REJECTED


def test_a_deadline_that_rejects_goes_on() -> None:
    request = replace(ASKS, policy=replace(ASKS.policy, timeout=3600))
    assert outcome((), request, ()).outcome is Outcome.EXPIRED


# -- as GitHub tells -------------------------------------------------------------------------------


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Ci]:
    with GitHub() as github:
        made = Ci(github, tmp_path)
        made.write_policy(POLICY + "    checks: build\n")
        yield made


def set_status(at: Ci, sha: str, state: str) -> None:
    number, now = at.github.number(), at.now()
    at.repo.statuses.append(Status(number, sha, "build", state, None, None, at.bob, now))


def approved(at: Ci, pull: PullRequest) -> bool:
    assert at.runner.run(pull.number) == 0
    return at.recorded(pull) is not None


def said(at: Ci, pull: PullRequest) -> str:
    """The status comment, without what keeps GitHub from making links of hashes."""
    return at.status(pull).replace("&#8203;", "")


def asked_of_main(at: Ci) -> tuple[PullRequest, str]:
    sha = at.repo.branch("main") or ""
    pull = at.ask(GITHUB_SHA=sha)
    pull.review(at.alice, "APPROVED")
    return pull, sha


def test_a_job_deploys_only_a_commit_whose_build_is_green(at: Ci) -> None:
    pull, sha = asked_of_main(at)
    assert not approved(at, pull)
    assert f"check build of commit {sha[:7]} is not green: absent" in said(at, pull)
    set_status(at, sha, "pending")
    assert not approved(at, pull)
    # A check run of that name counts too, and each must be green.
    facts = {"name": "build", "status": "in_progress", "conclusion": None}
    run = CheckRun(at.github.number(), sha, facts, at.decider, at.now())
    at.repo.check_runs.append(run)
    set_status(at, sha, "success")
    assert not approved(at, pull)
    assert "is not green: in_progress" in said(at, pull)
    facts |= {"status": "completed", "conclusion": "success"}
    assert approved(at, pull)
    # The job behind the gate judges the record again, and needs nothing but it.
    assert at.verify(at.standing(pull).request.gate.id) == 0


def test_checks_cost_one_request_and_one_for_each_of_them(at: Ci) -> None:
    at.write_policy(POLICY + "    checks: [build, scan]\n")
    pull, sha = asked_of_main(at)
    at.github.forget_requests()
    assert not approved(at, pull)
    read = [each.path for each in at.github.requests if f"/commits/{sha}/" in each.path]
    assert len(read) == 3


def test_a_check_that_cannot_be_read_is_not_green(at: Ci) -> None:
    pull, sha = asked_of_main(at)
    set_status(at, sha, "success")
    at.github.faults.answer(403, when=lambda request: "/check-runs" in request.path, times=None)
    assert not approved(at, pull)
    assert "is not green: unreadable" in said(at, pull)
    at.github.faults.clear()
    assert approved(at, pull)
