"""A gate that is asked as an issue: the same life, without a head to bind an approval to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.digest import digest_of
from bridge.core.evaluation import Outcome
from bridge.core.model import Artifact, Decision, Gate, Standing
from bridge.gates.open_page import ask
from bridge.pages.marker import short
from tests.forge import POLICY, World, world
from tests.github.conversation import Issue
from tests.ledgers import git

ON_ISSUES = POLICY + "    via: issue\n"
KEY = "Train/7/deploy/12"
INPUT = {
    "type": "object",
    "properties": {"target": {"type": "string"}},
    "required": ["target"],
    "additionalProperties": False,
}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, ON_ISSUES) as made:
        yield made


def opened(at: World, key: str = KEY, **changes: Any) -> Issue:
    _, page = ask(at.desk(at.opener), at.request(key, **changes).draft)
    assert page
    return at.repo.issue(page.number)


def tend(at: World, issue: Issue) -> str:
    return at.tend(issue).says


def standing(at: World, key: str = KEY) -> Standing:
    found = at.desk().ledger.read(Gate("https://metadata.test", key).id)
    assert found
    return found


def recorded(at: World, key: str = KEY) -> Decision | None:
    return standing(at, key).decision


def approve(at: World, key: str = KEY) -> str:
    return f"/approve {short(digest_of(standing(at, key).request))}"


def branch(at: World, key: str = KEY) -> str | None:
    return at.repo.branch(Gate("https://metadata.test", key).branch)


def reactions(said: Any) -> set[str]:
    return {each.content for each in said.reactions}


# -- open ------------------------------------------------------------------------------------------


def test_a_gate_of_a_policy_that_says_so_is_an_issue_and_its_request_is_on_the_gates_branch(
    at: World,
) -> None:
    issue = opened(at, schema=INPUT)
    assert not at.repo.pulls
    assert issue.title == f"Approve {KEY}: Deploy the model with accuracy 93 %?"
    assert issue.labels == ["gate:pending"]
    assert f"{approve(at)} target=…\n" in issue.body
    assert "Asked: @alice @bob" in issue.body
    assert "review" not in issue.body
    assert "0 of 1 approval from alice or bob" in at.status(issue)
    assert branch(at) == standing(at).head


def test_opening_twice_finds_the_first_issue(at: World) -> None:
    opened_at = at.now()
    issue = opened(at, opened_at=opened_at)
    assert opened(at, opened_at=opened_at) is issue
    assert len(at.repo.issues) == 1
    at.status(issue)


def test_opening_again_finds_an_issue_that_lost_its_label(at: World) -> None:
    issue = opened(at)
    issue.labels.clear()
    at.github.clock.advance(days=3)
    at.mint()
    assert opened(at, message="Deploy another one?").number == issue.number


def test_opening_again_finds_the_issue_of_a_run_that_stopped_before_it_said_so(at: World) -> None:
    issue = opened(at)
    at.github.clock.advance(days=3)
    at.mint()
    desk = at.desk(at.opener)
    asked = replace(standing(at).request, message="Deploy another one?", opened_at=at.now())
    desk.ledger.open(asked, "asked, but not yet on the page")
    assert opened(at, message="Deploy another one?").number == issue.number
    assert "Deploy another one?" in issue.body


def test_opening_an_issue_takes_five_requests_and_deciding_takes_six(at: World) -> None:
    at.repo.label("gate:pending")
    at.repo.label("gate:approved")
    at.github.forget_requests()
    issue = opened(at)
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 5
    issue.comment(at.alice, approve(at))
    at.github.forget_requests()
    tend(at, issue)
    assert recorded(at)
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 6


# -- decide ----------------------------------------------------------------------------------------


def test_a_comment_with_the_digest_approves_and_the_issue_is_closed_as_done(at: World) -> None:
    issue = opened(at, schema=INPUT)
    said = issue.comment(at.alice, f"{approve(at)} target=prod")
    tend(at, issue)
    decision = recorded(at)
    assert decision
    assert (decision.outcome, decision.inputs) == (Outcome.APPROVED, {"target": "prod"})
    assert reactions(said) == {"eyes", "rocket"}
    assert (issue.state, issue.state_reason) == ("closed", "completed")
    assert issue.labels == ["gate:approved"]
    assert "✅ Approved by alice" in at.status(issue)
    assert branch(at) is None


def test_an_approval_without_the_digest_does_not_count_and_is_told_what_to_write(
    at: World,
) -> None:
    issue = opened(at)
    said = issue.comment(at.alice, "/approve")
    tend(at, issue)
    assert recorded(at) is None
    assert reactions(said) == {"eyes", "-1"}
    assert "it does not say of which version it is" in at.status(issue)
    assert f"To approve: `{approve(at)}`" in at.status(issue)


def test_an_approval_with_the_digest_of_another_version_does_not_count(at: World) -> None:
    issue = opened(at, artifacts=(Artifact("model", "Model", "sha256:" + "a" * 64),))
    before = approve(at)
    at.github.clock.advance(minutes=1)
    assert opened(at, artifacts=(Artifact("model", "Model", "sha256:" + "b" * 64),)) is issue
    assert any("other contents" in note for note in at.notes(issue))
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, before)
    tend(at, issue)
    assert recorded(at) is None
    assert "another version" in at.status(issue)
    assert approve(at) in issue.body
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    assert recorded(at)


def test_a_rejection_and_a_hold_need_no_digest(at: World) -> None:
    held, rejected = opened(at), opened(at, "Train/8/deploy/12")
    held.comment(at.bob, "/hold")
    held.comment(at.alice, approve(at))
    rejected.comment(at.bob, "/reject no")
    at.sweep()
    assert recorded(at) is None
    assert "held by bob" in at.status(held)
    decision = recorded(at, "Train/8/deploy/12")
    assert decision
    assert decision.outcome is Outcome.REJECTED
    assert (rejected.state, rejected.state_reason) == ("closed", "not_planned")


@pytest.mark.parametrize("word", ["/reject too low", "/approve"])
def test_the_addresses_on_an_issue_hold_after_the_decision(at: World, word: str) -> None:
    """GitHub keeps a deleted branch's commit for a pull request, and not for an issue."""
    issue = opened(at)
    head = branch(at)
    assert head
    assert f"/blob/{head}/" in issue.body
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, approve(at) if word == "/approve" else word)
    tend(at, issue)
    assert recorded(at)
    assert branch(at) is None
    named = re.findall(r"/blob/([0-9a-f]{40})/([^)?\"\s]+)", issue.body)
    assert named
    kept = git(at.repo.bare.path, "rev-list", standing(at).request.shard).split()
    for commit, path in named:
        assert commit in kept
        assert at.repo.file(path, commit)


def test_the_page_of_a_run_that_failed_afterwards_says_so_as_a_claim(at: World) -> None:
    issue = opened(at)
    at.github.tick()
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    at.venue().say_ended([Gate("https://metadata.test", KEY).id, "0" * 16], well=False)
    at.sweep()
    assert "**Failed:** the run's own side says that it failed. Nothing" in at.status(issue)
    assert at.notes(issue) == []


def test_looking_again_at_a_decided_issue_writes_nothing(at: World) -> None:
    issue = opened(at)
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    at.github.forget_requests()
    tend(at, issue)
    assert (at.github.counts["rest"], at.github.counts["graphql"]) == (0, 1)


def test_an_outsiders_approval_of_an_issue_is_refused(at: World) -> None:
    issue = opened(at)
    issue.comment(at.mallory, approve(at))
    tend(at, issue)
    assert recorded(at) is None
    assert "mallory is not among those who may decide" in at.status(issue)


# -- closing, editing, deleting --------------------------------------------------------------------


def test_an_eligible_persons_close_rejects_and_anyone_elses_is_undone(at: World) -> None:
    issue = opened(at)
    issue.close(at.mallory)
    tend(at, issue)
    assert (issue.state, recorded(at)) == ("open", None)
    assert any("`mallory` closed this" in note for note in at.notes(issue))
    issue.close(at.bob)
    tend(at, issue)
    decision = recorded(at)
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == (Outcome.REJECTED, "closed the issue")


def test_a_commit_elsewhere_that_fixes_the_issue_decides_nothing(at: World) -> None:
    issue = opened(at)
    at.repo.commit("main", {"x": "x"}, f"Fixes #{issue.number}", by=at.alice)
    assert issue.state == "closed"
    tend(at, issue)
    assert (issue.state, recorded(at)) == ("open", None)


def test_a_body_that_somebody_changed_is_put_back_and_votes_meanwhile_are_void(at: World) -> None:
    issue = opened(at)
    true = issue.body
    at.github.clock.advance(minutes=1)
    issue.edit(at.mallory, "Deploy nothing at all?")
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, approve(at))
    at.github.clock.advance(minutes=1)
    tend(at, issue)
    assert (issue.body, recorded(at)) == (true, None)
    tend(at, issue)
    assert recorded(at) is None
    assert "changed the text" in at.status(issue)


def test_a_commit_pushed_to_the_gates_branch_is_put_back_and_votes_start_anew(at: World) -> None:
    issue = opened(at)
    issue.comment(at.alice, approve(at))
    gate = standing(at).request.gate.branch
    at.repo.commit(gate, {"extra": "x"}, "Sneak it in", by=at.mallory)
    at.github.clock.advance(minutes=1)
    tend(at, issue)
    tend(at, issue)
    assert recorded(at) is None
    assert any("someone pushed" in note for note in at.notes(issue))
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    assert recorded(at)


def test_a_deleted_branch_decides_nothing_and_is_restored_under_the_same_issue(at: World) -> None:
    issue = opened(at)
    at.repo.push(at.bob, f"refs/heads/{standing(at).request.gate.branch}", None)
    at.sweep()
    assert branch(at)
    assert recorded(at) is None
    assert len(at.repo.issues) == 1
    assert any("branch" in note for note in at.notes(issue))
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    assert recorded(at)


def test_a_strangers_issue_with_the_bridges_words_is_left_alone(at: World) -> None:
    issue = opened(at)
    forged = at.repo.open_issue(at.mallory, issue.title, issue.body)
    forged.label(at.mallory, "gate:pending")
    forged.comment(at.alice, approve(at))
    assert "not a page of the bridge" in tend(at, forged)
    at.sweep()
    assert len(forged.comments) == 1
    assert recorded(at) is None


# -- the sweep, and a policy that changes its mind -------------------------------------------------


def test_a_sweep_decides_what_every_lost_event_left_and_opens_nothing_twice(at: World) -> None:
    approved, closed, waiting = (opened(at, f"Train/{n}/deploy/1") for n in (1, 2, 3))
    approved.comment(at.alice, approve(at, "Train/1/deploy/1"))
    closed.close(at.bob)
    at.sweep()
    outcomes = [
        d.outcome if (d := recorded(at, f"Train/{n}/deploy/1")) else None for n in (1, 2, 3)
    ]
    assert outcomes == [Outcome.APPROVED, Outcome.REJECTED, None]
    assert waiting.state == "open"
    at.sweep()
    assert len(at.repo.issues) == 3


def test_a_gate_that_never_got_its_issue_gets_it_at_the_sweep(at: World) -> None:
    issue = opened(at)
    del at.repo.issues[issue.number]
    at.sweep()
    (new,) = at.repo.issues.values()
    assert new.labels == ["gate:pending"]


def test_a_policy_that_says_issue_now_closes_the_pull_request_and_asks_there(at: World) -> None:
    at.write_policy(POLICY)
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    at.write_policy(ON_ISSUES)
    at.sweep()
    assert recorded(at) is None
    assert (pull.state, pull.labels) == ("closed", ["gate:withdrawn"])
    (issue,) = [each for each in at.repo.issues.values() if each is not pull]
    assert any(issue.url in note for note in at.notes(pull))
    at.sweep()
    at.tend(pull)
    assert len(at.repo.issues) == 2
    at.github.clock.advance(minutes=1)
    issue.comment(at.bob, approve(at))
    at.sweep()
    assert recorded(at)
    assert branch(at) is None


def test_a_policy_that_says_pull_request_now_closes_the_issue_and_asks_there(at: World) -> None:
    issue = opened(at)
    at.write_policy(POLICY)
    at.sweep()
    assert (issue.state, issue.labels) == ("closed", ["gate:withdrawn"])
    (pull,) = at.repo.pulls
    at.sweep()
    assert len(at.repo.issues) == 2
    pull.review(at.alice, "APPROVED")
    at.sweep()
    assert recorded(at)


def test_a_page_that_the_policy_left_does_not_hide_that_the_new_one_was_taken_away(
    at: World,
) -> None:
    issue = opened(at)
    at.write_policy(POLICY)
    at.sweep()
    (pull,) = at.repo.pulls
    pull.retarget(at.mallory, "main")  # and the event of it is lost
    at.sweep()
    assert pull.state == "closed"
    _, new = at.repo.pulls
    new.review(at.alice, "APPROVED")
    at.sweep()
    assert recorded(at)
    assert issue.labels == ["gate:withdrawn"]


def test_a_page_that_the_policy_left_does_not_hide_that_the_new_one_was_deleted(at: World) -> None:
    at.write_policy(POLICY)
    pull = opened(at)
    at.write_policy(ON_ISSUES)
    at.sweep()
    at.repo.issues.pop(max(at.repo.issues))
    at.sweep()
    issue = at.repo.issues[max(at.repo.issues)]
    assert issue is not pull
    issue.comment(at.alice, approve(at))
    at.sweep()
    assert recorded(at)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["kept", "deleted"])
def test_an_approval_of_an_issue_that_showed_other_words_than_its_request_does_not_count(
    at: World, is_deleted: bool
) -> None:
    issue = opened(at)
    true = issue.body
    for text in (true.replace("93 %", "99 %"), true):
        at.github.clock.advance(minutes=1)
        issue.edit(at.opener.bot, text)
        if text != true:
            at.github.clock.advance(minutes=1)
            issue.comment(at.alice, approve(at))
    if is_deleted:
        issue.delete_revision(-2, at.opener.bot)
    at.github.clock.advance(minutes=1)
    tend(at, issue)
    assert recorded(at) is None
    why = "before this version of the request was shown" if is_deleted else "showed other words"
    assert why in at.status(issue)
    issue.comment(at.alice, approve(at))
    tend(at, issue)
    assert recorded(at)
