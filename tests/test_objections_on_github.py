"""A no outlives its page: alice and bob may decide, mallory has write access and may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bridge.core.evaluation import Lifted, Objection, Outcome
from bridge.core.facts import started_by
from bridge.core.model import Standing
from bridge.core.records import objections_out
from bridge.gates.audit import audit
from bridge.gates.open_page import ask
from bridge.gates.verify import verify
from bridge.github.client import GitHub
from bridge.pages.kept_objections import missing
from bridge.pages.marker import seal_of
from bridge.pages.model import Page, React, Reaction, Site, Write
from bridge.policy.objections import standing as unlifted
from tests.forge import POLICY, World, world
from tests.github.conversation import Issue

ISSUE = POLICY + "    via: issue\n"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.repo.grant(made.mallory, "write")
        yield made


@pytest.fixture(params=["pull request", "issue"])
def page(request: pytest.FixtureRequest, at: World) -> Issue:
    """A gate's page, of either kind."""
    if request.param == "issue":
        at.write_policy(ISSUE)
    return opened(at)


def opened(at: World, **changes: object) -> Issue:
    _, page = ask(at.desk(at.opener), at.request(**changes).draft)
    assert page
    return at.repo.issues[page.number]


def approves(at: World, page: Issue, who: str = "bob") -> None:
    """They approve what the page shows now, and the decider looks."""
    at.github.clock.advance(minutes=1)
    sealed = seal_of(page.body)
    assert sealed
    page.comment(getattr(at, who), f"/approve {sealed.digest.removeprefix('sha256:')}")
    at.tend(page)


def gate(at: World, page: Issue) -> Standing:
    sealed = seal_of(page.body)
    assert sealed
    found = at.desk().ledger.read(sealed.gate_id)
    assert found
    return found


def outcome(at: World, page: Issue) -> Outcome | None:
    found = gate(at, page)
    if found.decision is None:
        return None
    assert audit(at.desk().ledger).faults == ()
    return found.decision.outcome


def held(at: World, page: Issue) -> list[str]:
    """Who holds the gate, by the ledger; the page says the same, and nothing is decided."""
    found = gate(at, page)
    assert found.decision is None
    names = [each.who.name for each in unlifted(found.objections)]
    status = at.status(page)
    assert all(f"held by {name}" in status for name in names)
    assert audit(at.desk().ledger).faults == ()
    return names


def lifting(at: World, page: Issue) -> Objection:
    decision = gate(at, page).decision
    assert decision
    (objection,) = decision.objections
    assert objection.lifted
    return objection


# -- what takes no objection away ------------------------------------------------------------------


def test_a_hold_that_somebody_else_edits_still_holds(at: World, page: Issue) -> None:
    comment = page.comment(at.alice, "/hold wait")
    comment.edit("/hold wait.", at.mallory)
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_that_somebody_else_edits_away_still_holds(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold wait").edit("looks good", at.mallory)
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_requested_changes_whose_text_somebody_else_edits_still_hold(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "CHANGES_REQUESTED", "the data is stale").edit("fine", at.mallory)
    approves(at, pull)
    assert held(at, pull) == ["alice"]
    assert "the data is stale" in at.status(pull)


def test_a_rejection_that_its_author_corrects_holds_and_never_approves(
    at: World, page: Issue
) -> None:
    comment = page.comment(at.alice, "/reject to low")
    at.github.clock.advance(seconds=2)
    comment.edit("/reject too low")
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_cast_while_the_text_was_changed_still_holds(at: World, page: Issue) -> None:
    page.edit(at.mallory, "Give me money")
    page.comment(at.alice, "/hold")
    at.tend(page)
    approves(at, page)
    assert held(at, page) == ["alice"]


@pytest.mark.parametrize("seen", [True, False])
def test_a_hold_outlives_a_push_to_the_gates_branch(at: World, page: Issue, seen: bool) -> None:
    page.comment(at.alice, "/hold")
    if seen:
        at.tend(page)
    branch = f"gate/{gate(at, page).request.gate.id}"
    at.repo.commit(branch, {"x": "y"}, "Something else")
    at.tend(page)
    approves(at, page)
    assert held(at, page) == ["alice"]


@pytest.mark.parametrize("who", ["alice", "mallory"])
def test_a_hold_that_was_answered_outlives_its_comment(at: World, page: Issue, who: str) -> None:
    comment = page.comment(at.alice, "/hold")
    at.tend(page)
    comment.delete(getattr(at, who))
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_that_was_answered_outlives_its_comment_and_stops_the_clock(
    at: World, page: Issue
) -> None:
    policy = ISSUE if not page.is_pull_request else POLICY
    at.write_policy(policy + "    timeout: 1h\n    on_timeout: approve\n")
    at.tend(page)  # under the new policy
    comment = page.comment(at.alice, "/hold")
    at.tend(page)
    comment.delete(at.mallory)
    at.github.clock.advance(hours=2)
    at.mint()
    at.tend(page)
    assert held(at, page) == ["alice"]
    page.comment(at.alice, "/unhold")
    at.tend(page)
    assert outcome(at, page) is Outcome.APPROVED


def test_a_comment_of_an_objector_that_somebody_else_deletes_unread_holds(
    at: World, page: Issue
) -> None:
    page.comment(at.alice, "/hold").delete(at.mallory)
    approves(at, page)
    assert held(at, page) == ["alice"]
    assert "mallory deleted a comment of alice" in at.status(page)


def test_a_comment_of_an_outsider_that_somebody_deletes_holds_nothing(
    at: World, page: Issue
) -> None:
    page.comment(at.mallory, "/hold").delete(at.bob)
    approves(at, page)
    assert outcome(at, page) is Outcome.APPROVED


def test_a_deleted_revision_of_an_objectors_text_holds(at: World, page: Issue) -> None:
    comment = page.comment(at.alice, "/hold")
    comment.edit("never mind", at.mallory)
    comment.delete_revision(0, at.mallory)
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_what_somebody_else_edits_into_a_text_is_nobodys_word(at: World, page: Issue) -> None:
    page.comment(at.alice, "hello").edit("/hold", at.mallory)
    approves(at, page)
    assert outcome(at, page) is Outcome.APPROVED


def test_a_hold_on_an_older_page_of_the_gate_holds(at: World) -> None:
    older = opened(at)
    older.close(at.mallory)
    newer = opened(at, message="Deploy another model?")
    assert newer is not older
    older.comment(at.alice, "/hold")
    approves(at, newer)
    assert held(at, newer) == ["alice"]


def test_a_hold_on_an_issue_that_the_policy_left_for_a_pull_request_holds(at: World) -> None:
    at.write_policy(ISSUE)
    issue = opened(at)
    at.write_policy(POLICY)
    at.tend(issue)
    (pull,) = at.repo.pulls
    issue.comment(at.alice, "/hold")
    at.tend(issue)
    approves(at, pull)
    assert held(at, pull) == ["alice"]


def test_a_hold_outlives_being_asked_again_with_other_values_and_with_the_first(
    at: World, page: Issue
) -> None:
    page.comment(at.alice, "/hold")
    page.comment(at.alice, "/reject no")
    for message in ("Deploy another?", "Deploy the model with accuracy 93 %?"):
        at.github.clock.advance(minutes=1)
        ask(at.desk(at.opener), at.request(message=message).draft)
    approves(at, page)
    assert set(held(at, page)) == {"alice"}


def test_a_hold_outlives_a_policy_that_no_longer_names_its_author(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold")
    policy = POLICY if page.is_pull_request else ISSUE
    at.write_policy(policy.replace("[alice, bob]", "[bob]"))
    at.tend(page)
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_outlives_a_merge_by_hand(at: World) -> None:
    pull = at.open()
    pull.comment(at.alice, "/hold")
    pull.merge(at.mallory)
    at.tend(pull)
    new = at.repo.pulls[-1]
    assert new is not pull
    approves(at, new)
    assert held(at, new) == ["alice"]


@pytest.mark.parametrize("seen", [True, False])
def test_a_hold_outlives_a_change_of_the_base_branch(at: World, seen: bool) -> None:
    pull = at.open()
    if seen:
        pull.comment(at.alice, "/hold")
    pull.retarget(at.mallory, "main")
    at.sweep()
    new = at.repo.pulls[-1]
    assert new is not pull
    if not seen:
        pull.comment(at.alice, "/hold")
    approves(at, new)
    assert held(at, new) == ["alice"]
    at.tend(pull)
    assert len(at.repo.pulls) == 2


@pytest.mark.parametrize("act", ["edited", "deleted"])
def test_a_hold_outlives_a_change_of_all_that_proves_whose_page_it_is(at: World, act: str) -> None:
    at.write_policy(ISSUE)
    issue = opened(at)
    at.tend(issue)
    issue.comment(at.alice, "/hold")
    issue.edit(at.mallory, "nothing")
    for comment in list(issue.comments):
        if "approval-bridge status" in comment.body:
            comment.edit("nothing", at.mallory) if act == "edited" else comment.delete(at.mallory)
    at.sweep()
    assert len(at.repo.issues) == 1  # the page is restored
    approves(at, issue)
    assert held(at, issue) == ["alice"]


def test_a_hold_on_a_page_that_the_openers_key_made_show_another_gate_holds(at: World) -> None:
    at.write_policy(ISSUE)
    issue = opened(at)
    other = opened(at, gate=at.request("Train/8/deploy/1").gate)
    issue.comment(at.alice, "/hold")
    issue.edit(at.opener.bot, other.body)
    at.sweep()
    new = list(at.repo.issues.values())[-1]
    assert new not in (issue, other)
    approves(at, new)
    assert held(at, new) == ["alice"]


def test_a_hold_on_one_of_two_issues_of_a_gate_holds(at: World) -> None:
    at.write_policy(ISSUE)
    first = opened(at)
    second = at.repo.open_issue(at.opener.bot, first.title, first.body)
    second.label(at.opener.bot, "gate:pending")
    first.comment(at.alice, "/hold")
    at.tend(second)
    approves(at, second)
    assert held(at, second) == ["alice"]


@pytest.mark.parametrize("first", ["hold", "unlabel"])
def test_a_hold_on_an_issue_whose_label_was_taken_off_holds(at: World, first: str) -> None:
    at.write_policy(ISSUE)
    issue = opened(at)
    if first == "hold":
        issue.comment(at.alice, "/hold")
    issue.unlabel(at.mallory, "gate:pending")
    if first == "unlabel":
        issue.comment(at.alice, "/hold")
    at.sweep()
    assert len(at.repo.issues) == 1
    assert issue.labels == ["gate:pending"]
    approves(at, issue)
    assert held(at, issue) == ["alice"]


def test_an_unread_hold_on_an_issue_without_its_label_holds_a_second_issue(at: World) -> None:
    at.write_policy(ISSUE)
    first = opened(at)
    first.comment(at.alice, "/hold")
    first.unlabel(at.mallory, "gate:pending")
    at.github.clock.advance(minutes=1)
    second = at.repo.open_issue(at.opener.bot, first.title, first.body)
    approves(at, second)
    assert held(at, second) == ["alice"]


@pytest.mark.parametrize("how", ["event", "sweep"])
def test_a_hold_whose_event_was_lost_on_an_issue_that_the_policy_left_holds(
    at: World, how: str
) -> None:
    at.write_policy(ISSUE)
    issue = opened(at)
    at.write_policy(POLICY)
    at.tend(issue)
    (pull,) = at.repo.pulls
    issue.comment(at.alice, "/hold")
    at.github.clock.advance(minutes=1)
    pull.review(at.bob, "APPROVED")
    at.tend(pull) if how == "event" else at.sweep()
    assert held(at, pull) == ["alice"]


def test_a_hold_on_an_issue_that_was_made_before_for_another_gate_holds(at: World) -> None:
    at.write_policy(ISSUE)
    made = at.repo.open_issue(at.opener.bot, "x", "x")
    at.github.clock.advance(days=2)
    at.mint()
    issue = opened(at)
    made.edit(at.opener.bot, issue.body)
    made.comment(at.alice, "/hold")
    made.edit(at.opener.bot, "x")
    approves(at, issue)
    assert held(at, issue) == ["alice"]


def test_a_hold_outlives_leaving_the_team(at: World) -> None:
    team = at.github.organisation("acme").team("ml", at.alice, at.bob)
    at.write_policy(POLICY.replace("users: [alice, bob]", "teams: [acme/ml]"))
    pull = at.open()
    pull.comment(at.alice, "/hold")
    at.tend(pull)
    team.remove(at.alice)
    approves(at, pull)
    assert held(at, pull) == ["alice"]


def test_a_hold_on_a_line_of_the_change_holds(at: World) -> None:
    pull = at.open()
    inline = pull.comment_inline(at.alice, "/hold")
    approves(at, pull)
    assert held(at, pull) == ["alice"]
    assert ("approval-decider[bot]", "rocket") in inline.reacted


def test_an_approval_on_a_line_of_the_change_approves_nothing(at: World) -> None:
    pull = at.open()
    pull.comment_inline(at.alice, "/approve")
    at.tend(pull)
    assert outcome(at, pull) is None
    assert "a comment on a line does not approve" in at.status(pull)


def test_the_initiator_of_a_run_may_hold_it_and_reject_nothing(at: World) -> None:
    at.write_policy(
        "gates:\n  - name: deploy\n    require: {users: [alice, bob]}\n"
        "identities: {alice@corp: alice}\n"
    )
    pull = at.repo.pull(opened(at, facts=started_by("alice@corp")).number)
    pull.comment(at.alice, "/reject not yet")
    approves(at, pull)
    assert held(at, pull) == ["alice"]
    pull.comment(at.alice, "/unhold")
    at.tend(pull)
    assert outcome(at, pull) is Outcome.APPROVED


# -- an approval that was taken back ---------------------------------------------------------------


@pytest.mark.parametrize(("count", "says"), [(1, "0 of 1"), (2, "0 of 2")])
def test_an_approval_that_its_author_superseded_never_returns(
    at: World, count: int, says: str
) -> None:
    at.write_policy(POLICY.replace("bob]}", f"bob], count: {count}}}"))
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    at.github.clock.advance(minutes=1)
    review = pull.review(at.alice, "CHANGES_REQUESTED", "wait")
    at.github.clock.advance(minutes=1)
    review.dismiss(at.bob, "it was about another gate")
    at.tend(pull)
    assert outcome(at, pull) is None
    assert f"{says} approval" in at.status(pull)
    if count == 2:
        approves(at, pull)
        assert outcome(at, pull) is None
        assert "1 of 2 approvals" in at.status(pull)
        assert "**Yours would be the last approval needed**, if it counts for" in at.status(pull)


# -- what lifts one --------------------------------------------------------------------------------


LIFTS: list[tuple[str, str, Callable[[World, Issue], object]]] = [
    ("alice", "unhold", lambda at, page: page.comment(at.alice, "/unhold")),
    ("bob", "unhold", lambda at, page: page.comment(at.bob, "/unhold @alice the tests are green")),
]


@pytest.mark.parametrize(("by", "how", "act"), LIFTS, ids=["its author", "another approver"])
def test_a_hold_is_lifted_by(
    at: World, page: Issue, by: str, how: str, act: Callable[[World, Issue], object]
) -> None:
    page.comment(at.alice, "/hold")
    at.tend(page)
    assert held(at, page) == ["alice"]
    at.github.clock.advance(minutes=1)
    act(at, page)
    at.tend(page)
    assert held(at, page) == []
    approves(at, page)
    assert outcome(at, page) is Outcome.APPROVED
    lifted = lifting(at, page).lifted
    assert lifted
    assert (lifted.by.name, lifted.how) == (by, Lifted(how))
    assert (
        verify(at.desk().ledger, at.request().draft, gate(at, page).request.venue).outcome
        is Outcome.APPROVED
    )


@pytest.mark.parametrize(
    "text",
    [
        "/unhold \u200b@\u200balice the tests are green",  # copied from the page
        "/unhold `@alice` the tests are green",
        "/unhold **@alice**: the tests are green",
        "/unhold @alice. the tests are green",
        "/unhold @alice\n\nthe tests are green",
    ],
)
def test_whose_hold_is_lifted_and_why_is_read_in_every_dress(
    at: World, page: Issue, text: str
) -> None:
    page.comment(at.alice, "/hold wait")
    at.tend(page)
    at.github.clock.advance(minutes=1)
    page.comment(at.bob, text)
    approves(at, page)
    lifted = lifting(at, page)
    assert lifted.lifted
    assert (lifted.who.name, lifted.lifted.by.name) == ("alice", "bob")
    assert lifted.lifted.reason == "the tests are green"


def test_a_name_below_a_bare_unhold_is_nobody_whose_hold_is_lifted(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold wait")
    at.tend(page)
    at.github.clock.advance(minutes=1)
    page.comment(at.bob, "/unhold\n\n@alice please look again")
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_is_lifted_by_its_authors_own_approval(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold")
    at.tend(page)
    approves(at, page, "alice")
    assert outcome(at, page) is Outcome.APPROVED
    assert (lifted := lifting(at, page).lifted)
    assert lifted.how is Lifted.APPROVAL


def test_a_lifted_hold_stays_lifted_if_the_word_that_lifted_it_is_deleted(
    at: World, page: Issue
) -> None:
    page.comment(at.alice, "/hold")
    at.github.clock.advance(minutes=1)
    release = page.comment(at.bob, "/unhold @alice it is fine")
    at.tend(page)
    at.github.clock.advance(minutes=1)
    release.delete(at.bob)
    approves(at, page)
    assert outcome(at, page) is Outcome.APPROVED


@pytest.mark.parametrize(
    ("who", "text", "why"),
    [
        ("mallory", "/unhold @alice it is fine", "mallory is not among"),
        ("bob", "/unhold", "you have no objection here"),
        ("bob", "/unhold @alice", "say why"),
    ],
)
def test_who_may_not_lift_a_hold_is_answered_with_the_reason(
    at: World, page: Issue, who: str, text: str, why: str
) -> None:
    page.comment(at.alice, "/hold")
    at.github.clock.advance(minutes=1)
    said = page.comment(getattr(at, who), text)
    approves(at, page)
    assert held(at, page) == ["alice"]
    assert why in at.status(page)
    assert ("approval-decider[bot]", "-1") in said.reacted


def test_an_unhold_that_somebody_edited_lifts_nothing(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold")
    at.github.clock.advance(minutes=1)
    page.comment(at.alice, "hello").edit("/unhold", at.mallory)
    approves(at, page)
    assert held(at, page) == ["alice"]


def test_a_hold_is_on_record_before_it_is_answered(
    at: World, page: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.comment(at.alice, "/hold")
    recorded: list[bool] = []
    write = GitHub.write

    def watch(self: GitHub, site: Site, shown: Page, writes: Sequence[Write]) -> None:
        if any(
            not isinstance(each, React) or each.with_ is not Reaction.SEEN for each in writes
        ):  # 👀 only says that it was seen
            recorded.append(bool(unlifted(gate(at, page).objections)))
        write(self, site, shown, writes)

    monkeypatch.setattr(GitHub, "write", watch)
    at.tend(page)
    assert recorded == [True]


def test_a_deadline_that_rejects_ends_a_gate_that_is_held(at: World, page: Issue) -> None:
    policy = POLICY if page.is_pull_request else ISSUE
    at.write_policy(policy + "    timeout: 1h\n")
    at.tend(page)
    page.comment(at.alice, "/hold")
    approves(at, page)
    assert held(at, page) == ["alice"]
    at.github.clock.advance(hours=2)
    at.mint()
    at.tend(page)
    assert outcome(at, page) is Outcome.EXPIRED


# -- what a push takes out of the ledger -----------------------------------------------------------


def emptied(at: World, page: Issue) -> None:
    """Somebody who can push to the ledger puts an earlier list back, on which nobody objected."""
    request = gate(at, page).request
    files = {f"{request.gate.folder}/objections.yaml": objections_out(request.gate.id, ())}
    at.repo.commit("approvals", files, "Never", by=at.mallory)
    assert gate(at, page).objections == ()


def test_a_no_that_a_push_takes_out_of_the_ledger_is_put_back_and_can_be_lifted(
    at: World, page: Issue
) -> None:
    said = page.comment(at.alice, "/hold the numbers are odd")
    at.tend(page)
    said.delete(at.alice)
    emptied(at, page)
    approves(at, page)
    found = gate(at, page)
    assert found.decision is None
    [held_by] = found.objections
    assert (held_by.who.id, held_by.reason, held_by.lifted) == (
        at.alice.id, "the numbers are odd", None,
    )  # fmt: skip
    assert "held by alice" in at.status(page)
    at.github.clock.advance(minutes=1)
    page.comment(at.bob, "/unhold @alice they are right")
    at.tend(page)
    decision = gate(at, page).decision
    assert decision
    assert decision.outcome is Outcome.APPROVED


def test_what_others_write_into_a_status_comment_is_no_objection(at: World, page: Issue) -> None:
    page.comment(at.alice, "/hold the numbers are odd")
    at.tend(page)
    emptied(at, page)
    look = at.desk().forge.look(page.number)
    assert [each.who.id for each in missing(gate(at, page), look)] == [at.alice.id]
    [status] = [each for each in page.comments if "approval-bridge status" in each.body]
    status.edit(status.body + "\n", at.mallory)
    assert missing(gate(at, page), at.desk().forge.look(page.number)) == ()
