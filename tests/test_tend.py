"""A gate's life on GitHub, from the opened pull request to the recorded decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import NoPolicy
from bridge.model import Outcome
from tests.forge import POLICY, World, world

INPUT = {
    "type": "object",
    "properties": {"target": {"type": "string"}, "share": {"type": "number"}},
    "required": ["target"],
    "additionalProperties": False,
}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def reactions(said: Any) -> set[str]:
    return {each.content for each in said.reactions}


# -- open ------------------------------------------------------------------------------------------


def test_an_opened_gate_is_a_pull_request_that_says_what_is_asked_of_whom(at: World) -> None:
    pull = at.open(schema=INPUT)
    assert pull.title == "Approve Train/7/deploy/12: Deploy the model with accuracy 93 %?"
    assert (pull.base_ref, pull.author) == ("approvals", at.opener.bot)
    assert "alice or bob" in pull.body
    assert "/approve target=…" in pull.body
    assert pull.labels == ["gate:pending"]
    assert at.statuses(pull) == {"approval": "pending"}
    assert pull.requested == [at.alice, at.bob]
    assert "⏳" in at.status(pull)


def test_opening_twice_finds_the_first(at: World) -> None:
    opened_at = at.now()
    pull = at.open(opened_at=opened_at)
    assert at.open(opened_at=opened_at) is pull
    assert len(at.repo.pulls) == 1
    at.status(pull)


def test_without_a_policy_file_nothing_is_opened(at: World) -> None:
    at.repo.commit("main", {".github/approvals.yml": None}, "No policy")
    with pytest.raises(NoPolicy, match=r"has no \.github/approvals\.yml"):
        at.open()
    assert not at.repo.pulls


def test_opening_takes_five_requests_and_deciding_takes_five(at: World) -> None:
    at.repo.label("gate:pending")
    at.repo.label("gate:approved")
    at.github.forget_requests()
    pull = at.open()
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 5
    pull.review(at.alice, "APPROVED", "/approve")
    at.github.forget_requests()
    at.tend(pull)
    assert at.recorded(pull)
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 5


# -- decide ----------------------------------------------------------------------------------------


def test_one_eligible_review_approves_and_github_shows_the_pull_request_merged(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.APPROVED
    assert decision.votes[0].actor.id == at.alice.id
    assert ".github/approvals.yml at " in decision.policy_source
    at.github.tick()
    assert pull.merged
    assert "✅ Approved by alice" in at.status(pull)
    assert pull.labels == ["gate:approved"]
    assert at.statuses(pull) == {"approval": "success"}
    at.tend(pull)
    assert at.repo.branch(pull.head_ref) is None


def test_a_comment_approves_with_input_and_is_answered_with_a_rocket(at: World) -> None:
    pull = at.open(schema=INPUT)
    said = pull.comment(at.alice, "Fine by me.\r\n\r\n/approve target=staging")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"target": "staging"}
    assert reactions(said) == {"eyes", "rocket"}


def test_a_rejection_closes_the_pull_request_and_the_reason_is_recorded(at: World) -> None:
    pull = at.open()
    pull.comment(at.bob, "/reject the loss explodes")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == (
        Outcome.REJECTED,
        "the loss explodes",
    )
    assert (pull.state, pull.merged, pull.labels) == ("closed", False, ["gate:rejected"])
    assert at.statuses(pull) == {"approval": "failure"}
    assert "the loss explodes" in at.status(pull)
    at.tend(pull)
    assert at.repo.branch(pull.head_ref) is None


def test_an_outsiders_approval_is_refused_in_words(at: World) -> None:
    pull = at.open()
    said = pull.comment(at.mallory, "/approve")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert reactions(said) == {"eyes", "-1"}
    assert "mallory is not among those who may decide" in at.status(pull)


def test_looking_again_at_an_unchanged_gate_writes_nothing(at: World) -> None:
    pull = at.open()
    pull.comment(at.mallory, "/approve")
    pull.comment(at.alice, "/aprove")
    at.tend(pull)
    at.github.forget_requests()
    at.tend(pull)
    assert at.github.counts["rest"] == 0
    assert at.github.counts["graphql"] == 1


def test_a_command_that_cannot_be_read_is_answered_with_what_was_meant(at: World) -> None:
    pull = at.open()
    said = pull.comment(at.alice, "/aprove")
    at.tend(pull)
    assert reactions(said) == {"eyes", "confused"}
    assert "did you mean `/approve`?" in at.status(pull)


def test_requested_changes_hold_until_that_person_approves(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "CHANGES_REQUESTED", "the data is stale")
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "held by alice" in at.status(pull)
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_hold_stops_the_decision_and_unhold_releases_it(at: World) -> None:
    pull = at.open()
    held = pull.comment(at.bob, "/hold until the audit is done")
    at.tend(pull)
    pull.comment(at.alice, "/approve")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert reactions(held) == {"eyes", "rocket"}
    assert "until the audit is done" in at.status(pull)
    at.github.clock.advance(minutes=1)
    pull.comment(at.bob, "/unhold")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_dismissed_approval_is_no_vote(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED").dismiss(at.bob, "not yet")
    at.tend(pull)
    assert at.recorded(pull) is None


# -- closing, merging, pushing, deleting -----------------------------------------------------------


def test_an_eligible_persons_close_rejects(at: World) -> None:
    pull = at.open()
    pull.close(at.bob)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].actor.login) == (Outcome.REJECTED, "bob")
    assert pull.labels == ["gate:rejected"]


def test_anyone_elses_close_is_undone_with_a_word_why(at: World) -> None:
    pull = at.open()
    pull.close(at.mallory)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert pull.state == "open"
    (note,) = at.notes(pull)
    assert "`mallory` closed this" in note
    at.tend(pull)
    assert len(at.notes(pull)) == 1


def test_a_hand_made_merge_is_no_approval_and_asks_again_under_a_new_pull_request(
    at: World,
) -> None:
    pull = at.open()
    pull.merge(at.alice)
    at.tend(pull)
    assert at.recorded(pull) is None
    new = at.repo.pulls[-1]
    assert new is not pull
    assert new.state == "open"
    assert any("merged by hand" in note for note in at.notes(new))
    at.tend(pull)
    assert len(at.repo.pulls) == 2
    new.review(at.bob, "APPROVED")
    at.tend(new)
    assert at.recorded(new)


def test_a_merge_after_which_the_branch_is_deleted_asks_again_too(at: World) -> None:
    at.repo.delete_branch_on_merge = True
    pull = at.open()
    pull.merge(at.alice)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert at.repo.pulls[-1].state == "open"
    assert at.repo.pulls[-1] is not pull


def test_a_deleted_branch_decides_nothing_and_is_asked_again(at: World) -> None:
    pull = at.open()
    at.repo.push(at.bob, f"refs/heads/{pull.head_ref}", None)
    at.tend(pull)
    assert at.recorded(pull) is None
    new = at.repo.pulls[-1]
    assert (new.state, at.repo.branch(new.head_ref)) == ("open", new.head_sha)


def test_a_push_to_the_gates_branch_is_put_back_and_votes_start_anew(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    sneaked = at.repo.commit(pull.head_ref, {"deep/er/extra": "x"}, "Sneak it in", by=at.mallory)
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert pull.head_sha != sneaked
    assert any("somebody pushed" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


@pytest.mark.parametrize("how", ["merged", "deleted"])
def test_a_sweep_finds_a_gate_whose_branch_is_gone(at: World, how: str) -> None:
    pull = at.open()
    if how == "merged":
        pull.merge(at.alice)
    at.repo.push(at.bob, f"refs/heads/{pull.head_ref}", None)
    at.sweep()
    new = at.repo.pulls[-1]
    assert (new.state, new is pull, pull.labels) == ("open", False, ["gate:withdrawn"])
    at.sweep()
    assert len(at.repo.pulls) == 2


# -- what was shown --------------------------------------------------------------------------------


def test_an_edited_comment_does_not_count(at: World) -> None:
    pull = at.open()
    said = pull.comment(at.alice, "looks odd")
    said.edit("/approve", at.mallory)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "edited" in at.status(pull)


def test_a_body_that_somebody_changed_is_put_back_and_votes_meanwhile_are_void(at: World) -> None:
    pull = at.open()
    true = pull.body
    at.github.clock.advance(minutes=1)
    pull.edit(at.mallory, "Deploy nothing at all?")
    at.github.clock.advance(minutes=1)
    pull.comment(at.alice, "/approve")
    at.github.clock.advance(minutes=1)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert pull.body == true
    assert any("`mallory`" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "changed the text" in at.status(pull)
    at.github.clock.advance(minutes=1)
    pull.comment(at.alice, "/approve")
    at.tend(pull)
    assert at.recorded(pull)


def test_another_policy_on_the_default_branch_asks_anew_and_votes_start_anew(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    before = at.standing(pull).request
    at.write_policy(POLICY.replace("[alice, bob]", "[bob]"))
    at.tend(pull)
    assert at.recorded(pull) is None
    after = at.standing(pull).request
    assert after.policy != before.policy
    assert any("asked anew" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_policy_that_cannot_be_read_leaves_the_gate_waiting_and_says_so(at: World) -> None:
    pull = at.open()
    at.write_policy("gates: nothing")
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "approvals.yml" in at.status(pull)
    at.write_policy(POLICY)
    at.tend(pull)
    assert at.recorded(pull)


def test_a_status_comment_that_somebody_deleted_is_written_again(at: World) -> None:
    pull = at.open()
    pull.comments[0].delete(at.mallory)
    at.tend(pull)
    assert "⏳" in at.status(pull)


def test_a_status_comment_that_somebody_changed_is_replaced(at: World) -> None:
    pull = at.open()
    pull.comments[0].edit("### ✅ Approved by everyone", at.mallory)
    at.tend(pull)
    assert "⏳" in at.status(pull)
    assert not any("everyone" in each.body for each in pull.comments)


# -- the sweep -------------------------------------------------------------------------------------


def test_a_sweep_decides_what_every_lost_event_left(at: World) -> None:
    approved, rejected, waiting = (at.open(f"Train/{n}/deploy/1") for n in (1, 2, 3))
    approved.review(at.alice, "APPROVED")
    rejected.comment(at.bob, "/reject no")
    at.sweep()
    outcomes = [d.outcome if (d := at.recorded(p)) else None for p in (approved, rejected)]
    assert outcomes == [Outcome.APPROVED, Outcome.REJECTED]
    assert at.recorded(waiting) is None
    at.github.tick()
    at.sweep()
    assert at.repo.branch(approved.head_ref) is None
    assert at.repo.branch(rejected.head_ref) is None
    assert at.repo.branch(waiting.head_ref)


def test_a_gate_of_which_the_clock_has_run_out_expires_at_the_sweep(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    pull = at.open()
    at.github.clock.advance(minutes=31)
    at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.EXPIRED
    assert pull.labels == ["gate:expired"]


def test_junk_on_a_gate_branch_stops_no_other_gate(at: World) -> None:
    pull = at.open()
    at.repo.commit("gate/" + "0" * 12, {"junk": "x"}, "junk", by=at.mallory)
    pull.review(at.alice, "APPROVED")
    at.sweep()
    assert at.recorded(pull)


def test_a_strangers_pull_request_into_the_ledger_is_left_alone(at: World) -> None:
    pull = at.open()
    branch = "gate/" + "f" * 12
    at.repo.commit(branch, {"x": "x"}, "Look alike", by=at.mallory, parents=[pull.head_sha])
    forged = at.repo.open_pull_request(
        at.mallory, branch, base="approvals", body=pull.body, title=pull.title
    )
    forged.review(at.alice, "APPROVED")
    assert "not a page of the bridge" in at.tend(forged).says
    assert not forged.comments
    assert at.recorded(pull) is None
