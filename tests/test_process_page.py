"""A gate's life on GitHub, from the opened pull request to the recorded decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.digest import digest_of
from bridge.core.errors import GateShut, NoPolicy
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Artifact, Declared, Link, Subject
from bridge.core.rules import OnTimeout
from bridge.gates import whose_page
from bridge.gates.open_page import ask
from bridge.gates.recording import record_now
from bridge.gates.wait import Run, pass_gate
from bridge.ledger.clone import GitClone
from bridge.pages import votes
from bridge.pages.marker import short
from bridge.pages.model import LONGEST_BODY, Page
from tests.forge import POLICY, World, world
from tests.gates import this_machine

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


def named(at: World, pull: Any) -> str:
    """The command that approves what the page shows now; the page itself has it."""
    command = f"/approve {short(digest_of(at.standing(pull).request))}"
    assert command in pull.body
    assert f"`{command}`" in at.status(pull)
    return command


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


def test_a_gate_that_was_open_when_its_repository_was_renamed_is_decided(at: World) -> None:
    draft, pull = at.request().draft, at.open()
    before = at.venue()
    assert at.standing(pull).request.venue.repository_id == at.repo.id
    at.github.rename_repository(at.repo, "ml-models")
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)
    # The step that waits has the former name, which leads to the same ledger.
    assert before.verify(draft.gate, lambda _: draft).outcome is Outcome.APPROVED
    with pytest.raises(GateShut, match="was asked on github:acme/models, and this step expects"):
        at.venue().verify(draft.gate, lambda _: draft)


def test_a_request_that_names_another_repository_with_this_ones_number_is_not_decided(
    at: World,
) -> None:
    at.github.repository("acme/production")
    pull = at.open()
    request = at.standing(pull).request
    forged = replace(request, venue=replace(request.venue, repository="acme/production"))
    at.desk(at.opener).ledger.open(forged, forged.message)
    pull.review(at.alice, "APPROVED")
    told = at.tend(pull)
    assert told.failed
    assert "its request names github:acme/production" in told.says
    assert not at.recorded(pull)


def test_a_page_says_what_to_do_if_the_former_name_belongs_to_another_repository_now(
    at: World,
) -> None:
    pull = at.open()
    at.github.rename_repository(at.repo, "ml-models")
    at.github.repository("acme/models")
    pull.review(at.alice, "APPROVED")
    assert at.tend(pull).failed
    assert "its request names github:acme/models; to decide it here, ask again in a new run" in (
        at.status(pull)
    )
    assert not at.recorded(pull)


def test_without_a_policy_file_nothing_is_opened(at: World) -> None:
    at.repo.commit("main", {".github/approvals.yml": None}, "No policy")
    with pytest.raises(NoPolicy, match=r"has no \.github/approvals\.yml"):
        at.open()
    assert not at.repo.pulls


def test_opening_takes_five_requests_and_deciding_takes_six(at: World) -> None:
    at.repo.label("gate:pending")
    at.repo.label("gate:approved")
    at.github.forget_requests()
    pull = at.open()
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 5
    pull.review(at.alice, "APPROVED", "/approve")
    at.github.forget_requests()
    at.tend(pull)
    assert at.recorded(pull)
    assert at.github.counts["rest"] + at.github.counts["graphql"] <= 6


def test_the_page_says_once_what_is_asked_until_when_of_whom_and_how_to_answer(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 1d\n")
    pull = at.open(
        schema=INPUT,
        facts=started_by("carol"),
        artifacts=(Artifact("accuracy", "float", "sha256:" + "a" * 64, 8, "0.93"),),
        links=(Link("Run", "https://metadata.test/Train/7"),),
    )
    until = at.standing(pull).request.expires_at
    assert pull.body.startswith("> Deploy the model with accuracy 93 %?")
    for once in (
        f"**Decide by {until:%Y-%m-%d %H:%M} UTC.**",
        "| accuracy | 0.93 |",
        "It takes 1 approval from alice or bob. The run was started by carol, as the run says.",
        "/approve target=…\n",
        "/reject your reason",
        "[Run](<https://metadata.test/Train/7>)",
        "- `share` (float, optional)",
    ):
        assert pull.body.count(once) == 1, once
    assert "0 of 1 approval from alice or bob" in at.status(pull)


def test_two_gates_are_told_apart_by_their_titles(at: World) -> None:
    one, two = at.open("Train/7/deploy/1"), at.open("Train/8/deploy/1", message="Ship <it> @all?")
    assert one.title != two.title
    assert two.title.replace("\u200b", "") == "Approve Train/8/deploy/1: Ship <it> @all?"
    assert "@all" not in two.title


def test_what_does_not_fit_a_body_is_in_the_committed_page_that_it_links_to(at: World) -> None:
    wide = tuple(
        Artifact(f"table{n}", "DataFrame", "sha256:" + "a" * 64, 9, "x" * 300, head="é" * 4_000)
        for n in range(90)
    )
    long = "Deploy?\n\n" + "& and again " * 25_000
    pull = at.open(artifacts=wide, message=long)
    assert len(pull.body) <= LONGEST_BODY
    link = f"/blob/{pull.head_sha}/{at.standing(pull).request.gate.folder}/request.md"
    assert f"[the whole request]({at.repo.url}{link})" in pull.body
    assert "the rest is in `request.md`" in pull.body
    assert "more are in `request.md`" in pull.body
    whole = at.repo.file(link.split("/", 3)[3], pull.head_sha)
    assert whole
    values, details = whole.split("<details><summary>Types", 1)
    assert values.count("| table") == details.count("| table") == 90
    assert whole.count("First rows of table") == 90
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_whoever_cannot_be_asked_for_a_review_leaves_the_others_asked(at: World) -> None:
    at.write_policy(POLICY.replace("[alice, bob]", "[alice, nobody-here, bob], teams: [acme/x]"))
    pull = at.open()
    assert pull.requested == [at.alice, at.bob]


def test_opening_again_with_other_artifacts_asks_anew_and_votes_start_anew(at: World) -> None:
    model = Artifact("model", "Model", "sha256:" + "a" * 64, 9, "one")
    pull = at.open(artifacts=(model,))
    pull.review(at.alice, "APPROVED")
    pull.comment(at.bob, "/approve")
    at.github.clock.advance(minutes=1)
    again = at.open(artifacts=(Artifact("model", "Model", "sha256:" + "b" * 64, 9, "two"),))
    assert again is pull
    assert "two" in pull.body
    assert any("other contents" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "older version" in at.status(pull)
    assert "before this version" in at.status(pull)
    at.github.clock.advance(minutes=1)
    pull.review(at.bob, "APPROVED", named(at, pull))
    at.tend(pull)
    assert at.recorded(pull)


def test_a_run_that_asks_again_finds_its_old_decision(at: World) -> None:
    pull = at.open()
    pull.comment(at.alice, "/reject no")
    at.tend(pull)
    standing, page = ask(at.desk(at.opener), at.request().draft)
    assert page is None
    assert standing.decision
    assert standing.decision.outcome is Outcome.REJECTED
    assert len(at.repo.pulls) == 1


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
    assert f"/blob/{at.repo.branch('main')}/.github/approvals.yml)" in at.status(pull)
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
    assert at.github.counts["graphql"] == 2  # this page, and whether the gate has others


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


def test_an_approving_review_without_the_input_is_told_what_is_missing_and_the_gate_waits(
    at: World,
) -> None:
    pull = at.open(schema=INPUT)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "target: is missing" in at.status(pull)
    assert "To approve: `/approve target=…`" in at.status(pull)
    assert f"[your review]({pull.url}/files#submit-review)" in at.status(pull)
    pull.review(at.alice, "APPROVED", "/approve target=prod")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"target": "prod"}


def test_a_block_of_yaml_under_the_command_is_the_input(at: World) -> None:
    pull = at.open(schema=INPUT)
    pull.comment(at.alice, "/approve\n```yaml\ntarget: prod\nshare: 0.5\n```")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"target": "prod", "share": 0.5}


def test_every_field_that_is_wrong_is_told_in_one_answer_and_the_gate_waits(at: World) -> None:
    pull = at.open(schema=INPUT)
    said = pull.comment(at.alice, "/approve target=prod share=many colour=red")
    at.tend(pull)
    assert at.recorded(pull) is None
    (line,) = [each for each in at.status(pull).splitlines() if "share" in each]
    assert "colour" in line
    assert reactions(said) == {"eyes", "-1"}


def test_an_edited_review_does_not_count(at: World) -> None:
    pull = at.open(schema=INPUT)
    pull.review(at.alice, "APPROVED", "/approve target=staging").edit("/approve target=prod")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "edited" in at.status(pull)


def test_whoever_asks_for_the_status_is_answered(at: World) -> None:
    pull = at.open()
    said = pull.comment(at.mallory, "/status")
    at.tend(pull)
    assert reactions(said) == {"eyes", "rocket"}
    assert "0 of 1 approval from alice or bob" in at.status(pull)


def test_a_hold_by_somebody_who_may_not_decide_holds_nothing(at: World) -> None:
    pull = at.open()
    held = pull.comment(at.mallory, "/hold")
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)
    assert reactions(held) == {"eyes", "-1"}


def test_an_unhold_by_somebody_who_may_not_decide_releases_nothing(at: World) -> None:
    pull = at.open()
    pull.comment(at.bob, "/hold")
    at.github.clock.advance(minutes=1)
    pull.comment(at.mallory, "/unhold")
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "held by bob" in at.status(pull)


def test_where_the_policy_says_so_requested_changes_reject(at: World) -> None:
    at.write_policy(POLICY + "    request_changes: reject\n")
    pull = at.open()
    pull.review(at.alice, "CHANGES_REQUESTED", "the data is stale")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == (Outcome.REJECTED, "the data is stale")


def test_requested_changes_are_lifted_by_the_dismissal_of_somebody_who_may_decide(
    at: World,
) -> None:
    pull = at.open()
    review = pull.review(at.alice, "CHANGES_REQUESTED", "the data is stale")
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    review.dismiss(at.bob, "it is not")
    at.tend(pull)
    assert at.recorded(pull)


def test_requested_changes_go_on_holding_where_somebody_else_dismisses_them(at: World) -> None:
    at.repo.grant(at.mallory, "write")
    pull = at.open()
    pull.review(at.alice, "CHANGES_REQUESTED", "the data is stale").dismiss(at.mallory, "no")
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "held by alice" in at.status(pull)


def test_where_the_policy_says_so_only_a_deciders_dismissal_takes_an_approval_away(
    at: World,
) -> None:
    at.repo.grant(at.mallory, "write")
    at.write_policy(POLICY + "    dismissed_reviews: deciders\n")
    kept, gone = at.open("Train/1/deploy/1"), at.open("Train/2/deploy/1")
    kept.review(at.alice, "APPROVED").dismiss(at.mallory, "no")
    gone.review(at.alice, "APPROVED").dismiss(at.bob, "not yet")
    at.sweep()
    assert at.recorded(kept)
    assert at.recorded(gone) is None
    assert "dismissed" in at.status(gone)


def test_a_reason_longer_than_a_comment_is_recorded_whole_and_shown_cut(at: World) -> None:
    pull = at.open()
    pull.comment(at.alice, "/reject " + "no " * 20_000)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert len(decision.votes[0].reason) > 50_000
    assert len(at.status(pull)) < 5_000
    assert pull.labels == ["gate:rejected"]


# -- the clock, a condition, the run ---------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_the_clock_approves_only_where_the_policy_names_it(at: World, wanted: bool) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n" + "    on_timeout: approve\n" * wanted)
    pull = at.open(declared=Declared(timeout=60, on_timeout=OnTimeout.APPROVE))
    at.github.clock.advance(minutes=31)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.by is Decider.CLOCK
    assert (decision.outcome is Outcome.APPROVED) is wanted
    assert ("**If nobody does, it is approved.**" in pull.body) is wanted


def test_past_its_deadline_a_gate_that_only_reminds_says_so_once_and_waits_on(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n    on_timeout: notify\n")
    pull = at.open()
    at.tend(pull)
    assert not at.notes(pull)
    at.github.clock.advance(minutes=31)
    for _ in range(2):
        at.tend(pull)
        assert at.recorded(pull) is None
        (note,) = at.notes(pull)
        assert "Still waiting" in note
        assert "@alice @bob" in note
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


@pytest.mark.parametrize(
    ("allowed", "accuracy", "outcome"),
    [(True, 0.95, Outcome.APPROVED), (True, 0.5, None), (False, 0.95, None), (True, None, None)],
)
def test_a_condition_approves_only_where_the_policy_allows_it_and_it_holds(
    at: World, allowed: bool, accuracy: float | None, outcome: Outcome | None
) -> None:
    at.write_policy(
        POLICY + ("    auto_approve_if: accuracy >= 0.9\n    facts: claimed\n") * allowed
    )
    values = {} if accuracy is None else {"accuracy": accuracy}
    pull = at.open(
        subject=Subject("Train", "deploy", artifacts=values),
        declared=Declared(auto_approve_if="accuracy >= 0.9"),
    )
    assert at.recorded(pull) is None, "the opener records nothing"
    at.sweep()
    decision = at.recorded(pull)
    assert (decision.outcome if decision else None) is outcome
    if decision:
        assert decision.by is Decider.CONDITION
        assert decision.condition
        assert decision.condition.seen == {"accuracy": 0.95}


def test_a_shell_that_finds_the_deadline_passed_leaves_it_to_the_decider(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    pull = at.open()
    at.github.clock.advance(minutes=31)
    record_now(at.desk().ledger, at.venue().settle(at.standing(pull)))
    assert at.recorded(pull) is None


def test_a_step_that_waits_here_records_neither_the_clocks_decision_nor_its_own_end(
    at: World,
) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    pull = at.open()
    at.github.clock.advance(minutes=31)
    looks = iter([True, True])
    run = Run(alive=lambda: next(looks, False), pause=lambda _: None)
    with pytest.raises(GateShut, match="stays open"):
        pass_gate(at.venue(), run, at.request().draft)
    assert at.recorded(pull) is None


def test_a_withdrawn_gate_closes_its_pull_request_and_the_branch_goes(at: World) -> None:
    pull = at.open()
    this_machine(at.desk().ledger, clock=at.now).withdraw(at.standing(pull), "the run ended")
    at.tend(pull)
    assert (pull.state, pull.merged, pull.labels) == ("closed", False, ["gate:withdrawn"])
    assert "🚫 Withdrawn: the run ended" in at.status(pull)
    assert at.repo.branch(pull.head_ref) is None


def test_an_answer_that_comes_after_the_decision_is_refused_and_changes_nothing(at: World) -> None:
    pull = at.open()
    pull.comment(at.alice, "/reject no")
    at.tend(pull)
    first = at.recorded(pull)
    at.github.clock.advance(minutes=1)
    late = pull.comment(at.bob, "/approve")
    at.tend(pull)
    assert at.recorded(pull) == first
    assert reactions(late) == {"-1"}
    assert "❌ Rejected by alice" in at.status(pull)


def test_the_label_says_where_the_gate_stands_whatever_somebody_makes_of_it(at: World) -> None:
    pull = at.open()
    pull.label(at.mallory, "gate:approved")
    pull.unlabel(at.mallory, "gate:pending")
    at.tend(pull)
    assert pull.labels == ["gate:pending"]
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
    assert any("someone pushed" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_page_closed_by_a_stranger_whose_branch_was_moved_is_asked_under_a_new_one(
    at: World,
) -> None:
    pull = at.open()
    pull.close(at.mallory)
    at.repo.commit(pull.head_ref, {"extra": "x"}, "Sneak it in", by=at.mallory)
    at.tend(pull)
    assert at.recorded(pull) is None
    new = at.repo.pulls[-1]
    assert (new is pull, new.state, pull.labels) == (False, "open", ["gate:withdrawn"])
    new.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(new)


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


def test_pages_of_old_runs_that_cannot_be_read_hide_no_gate_whose_branch_is_gone(
    at: World,
) -> None:
    pull = at.open()
    at.repo.push(at.bob, f"refs/heads/{pull.head_ref}", None)
    refused = b'{"data": null, "errors": [{"type": "INTERNAL", "message": "too much"}]}'
    at.github.faults.answer(200, refused, kind="graphql", containing="approvedPulls")
    said = at.sweep()
    assert pull.labels == ["gate:withdrawn"]
    assert any("whether resumed runs have ended is not known" in each.says for each in said)


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
    assert any("was replaced" in note for note in at.notes(pull))
    at.tend(pull)
    assert at.recorded(pull) is None
    at.github.clock.advance(minutes=1)
    pull.review(at.bob, "APPROVED", named(at, pull))
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


def test_a_sweep_records_by_one_push_what_it_decides_and_answers_nobody_before(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls = [at.open(f"Train/{number}/deploy/1") for number in range(3)]
    for pull in pulls[:2]:
        pull.review(at.alice, "APPROVED", "/approve")
    pushed: list[int] = []
    push = GitClone.push

    def counted(self: GitClone, refs: Any, lease: Any) -> None:
        pushed.append(len(refs))
        assert [each.labels for each in pulls] == [["gate:pending"]] * 3
        push(self, refs, lease)

    monkeypatch.setattr(GitClone, "push", counted)
    at.sweep()
    assert pushed == [3]
    assert [each.labels for each in pulls] == [
        ["gate:approved"],
        ["gate:approved"],
        ["gate:pending"],
    ]
    assert all(at.recorded(each) for each in pulls[:2])


def test_a_sweep_deletes_by_one_push_the_branches_of_what_is_over(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls = [at.open(f"Train/{number}/deploy/1") for number in range(3)]
    for pull in pulls[:2]:
        pull.review(at.alice, "APPROVED", "/approve")
    at.sweep()
    at.github.tick()
    pushed: list[list[str]] = []
    push = GitClone.push

    def counted(self: GitClone, refs: Any, lease: Any) -> None:
        pushed.append(sorted(refs))
        push(self, refs, lease)

    monkeypatch.setattr(GitClone, "push", counted)
    at.sweep()
    assert pushed == [sorted(f"refs/heads/{each.head_ref}" for each in pulls[:2])]


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


def test_a_strangers_comment_that_no_yaml_reader_understands_stops_no_gate(at: World) -> None:
    """`!!bool maybe` made the YAML library raise an error of a kind that nobody expected."""
    first, second = at.open("Train/1/deploy/1"), at.open("Train/2/deploy/1")
    for value in ("!!bool maybe", "!!timestamp soon", "!!int ''", "!!float x"):
        first.comment(at.mallory, f"/approve\n```yaml\nx: {value}\n```")
    for each in (first, second):
        each.review(at.alice, "APPROVED")
    at.sweep()
    assert at.recorded(first)
    assert at.recorded(second)


def test_a_bug_that_one_page_sets_off_makes_that_gate_red_and_stops_no_other(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = at.open("Train/1/deploy/1"), at.open("Train/2/deploy/1")
    read = votes.gather

    def stumbling(request: ApprovalRequest, *rest: Any) -> Any:
        if request.gate.key == "Train/1/deploy/1":
            raise KeyError("nobody thought of this")
        return read(request, *rest)

    monkeypatch.setattr(votes, "gather", stumbling)
    for each in (first, second):
        each.review(at.alice, "APPROVED")
    done = at.sweep()
    assert at.recorded(second)
    assert at.recorded(first) is None
    (red,) = [each for each in done if each.failed]
    assert "a bug of the bridge stopped this" in red.says
    assert "KeyError" in red.says


@pytest.mark.parametrize("via", ["", "    via: issue\n"], ids=["pull request", "issue"])
def test_a_page_that_nobody_can_place_makes_its_gate_red_and_drops_no_objection(
    at: World, monkeypatch: pytest.MonkeyPatch, via: str
) -> None:
    at.write_policy(POLICY + via)
    pages = [
        ask(at.desk(at.opener), at.request(f"Train/{number}/deploy/1").draft)[1]
        for number in range(2)
    ]
    first, second = (at.repo.issues[each.number] for each in pages if each)
    read = whose_page.gate_of

    def stumbling(page: Page, site: Any) -> Any:
        if page.number == first.number:
            raise KeyError("nobody thought of this")
        return read(page, site)

    monkeypatch.setattr(whose_page, "gate_of", stumbling)
    first.comment(at.alice, "/hold")
    second.comment(at.alice, "/reject too low")
    done = at.sweep()
    assert first.labels == ["gate:pending"]
    assert second.labels == ["gate:rejected"]
    assert len(at.repo.issues) == 2  # nothing was asked again beside what could not be read
    (red,) = [each for each in done if each.failed]
    assert f"{first.url} cannot be read" in red.says


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
