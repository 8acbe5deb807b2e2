"""The adapter against the test GitHub: all of a page, whose it is, and what each identity may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.errors import BridgeError, ForgeUnavailable, LedgerUnavailable
from bridge.core.evaluation import Actor, Answer, Outcome, Question
from bridge.core.rules import Group, GroupKind
from bridge.gates.open_page import ask
from bridge.gates.process_page import tend
from bridge.github.client import GitHub
from bridge.pages.model import Page, State
from tests.forge import POLICY, World, world
from tests.github.accounts import Account
from tests.github.conversation import Issue


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def question(who: Account, kind: GroupKind, name: str) -> Question:
    return Question(Actor(who.login, login=who.login, id=who.id, proven=True), Group(kind, name))


# -- all of a page ---------------------------------------------------------------------------------


def test_a_hundred_edits_do_not_hide_what_was_shown_when_somebody_voted(at: World) -> None:
    pull = at.open()
    true = pull.body
    at.github.clock.advance(minutes=1)
    pull.edit(at.mallory, "Deploy nothing at all?")
    at.github.clock.advance(minutes=1)
    pull.comment(at.alice, "/approve")
    at.github.clock.advance(minutes=1)
    for turn in range(101):
        pull.edit(at.mallory, true if turn % 2 == 0 else f"{true} ")
    pull.edit(at.decider.bot, true)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "changed the text" in at.status(pull)


def test_a_hundred_closes_do_not_hide_who_dismissed_a_review(at: World) -> None:
    at.write_policy(
        "gates:\n  - name: deploy\n    require: {users: [alice, bob]}\n"
        "    bar: {initiator: false}\n    dismissed_reviews: deciders\n"
    )
    pull = at.open()
    pull.review(at.bob, "CHANGES_REQUESTED", "wait").dismiss(at.mallory, "no reason")
    for _ in range(51):
        pull.close(at.mallory)
        pull.reopen(at.mallory)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "held by bob" in at.status(pull)


def test_the_hundred_and_first_comment_and_review_count_too(at: World) -> None:
    pull = at.open()
    for number in range(100):
        pull.comment(at.mallory, f"chatter {number}")
        pull.review(at.mallory, "COMMENTED", f"remark {number}")
    pull.comment(at.alice, "/approve")
    at.tend(pull)
    assert at.recorded(pull)


def read(at: World, page: Issue) -> Page:
    (found,) = GitHub(at.settings(at.decider)).look(page.number).pages
    return found


def test_an_edited_comment_and_review_carry_what_each_editor_wrote(at: World) -> None:
    pull = at.open()
    comment = pull.comment(at.alice, "/hold")
    comment.edit("/hold wait", at.mallory)
    pull.review(at.bob, "CHANGES_REQUESTED", "too low").edit("too low.")
    pull.comment(at.bob, "hello")
    found = read(at, pull)
    assert [(each.by.login, each.text) for each in found.comments[-2].revisions if each.by] == [
        ("alice", "/hold"),
        ("mallory", "/hold wait"),
    ]
    assert [each.text for each in found.reviews[0].revisions] == ["too low", "too low."]
    assert found.comments[-1].revisions == ()


def test_a_deleted_revision_says_who_wrote_it_and_no_text(at: World) -> None:
    pull = at.open()
    comment = pull.comment(at.alice, "/hold")
    comment.edit("never mind", at.mallory)
    comment.delete_revision(0, at.alice)
    first, last = read(at, pull).comments[-1].revisions
    assert first.by
    assert (first.by.login, first.text) == ("alice", None)
    assert last.text == "never mind"


@pytest.mark.parametrize("via", ["pull_request", "issue"])
def test_a_deleted_comment_leaves_whose_it_was_and_who_deleted_it(at: World, via: str) -> None:
    at.write_policy(POLICY + f"    via: {via}\n")
    _, page = ask(at.desk(at.opener), at.request().draft)
    assert page
    issue = at.repo.issues[page.number]
    issue.comment(at.alice, "/hold").delete(at.mallory)
    (deletion,) = read(at, issue).deletions
    assert deletion.of
    assert deletion.by
    assert (deletion.of.login, deletion.by.login) == ("alice", "mallory")


def test_inline_comments_are_read_with_their_revisions(at: World) -> None:
    pull = at.open()
    first = pull.comment_inline(at.alice, "/hold")
    pull.comment_inline(at.bob, "why?", reply_to=first)
    first.edit("never mind", at.mallory)
    found = read(at, pull).inline
    assert [each.body for each in found] == ["never mind", "why?"]
    assert [each.text for each in found[0].revisions] == ["/hold", "never mind"]


def test_a_hundred_edited_texts_take_one_request_more(at: World) -> None:
    pull = at.open()
    for number in range(100):
        pull.comment(at.mallory, f"chatter {number}").edit("chatter")
    at.github.forget_requests()
    assert len(read(at, pull).comments[-1].revisions) == 2
    assert at.github.counts["graphql"] == 3  # the page, its hundred and first comment, the edits


def test_pull_requests_from_forks_do_not_hide_the_bridges_own(at: World) -> None:
    pull = at.open()
    for number in range(4):
        fork = at.repo.fork(at.github.user(f"stranger{number}"))
        at.github.clock.advance(minutes=1)
        fork.commit(pull.head_ref, {"x": str(number)}, parents=[pull.head_sha])
        at.repo.open_pull_request(
            fork.owner, f"{fork.owner.login}:{pull.head_ref}", base="approvals"
        )
    pull.review(at.alice, "APPROVED")
    at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.APPROVED


# -- a page that is there already ------------------------------------------------------------------


def test_a_pull_request_that_another_run_has_just_opened_is_taken(at: World) -> None:
    seen = at.desk(at.opener)
    at.github.faults.cut(method="POST", path="*/pulls", after=True)
    with pytest.raises(ForgeUnavailable, match="cannot be reached"):
        ask(seen, at.request().draft)
    assert at.repo.pulls[0].head_ref == at.request().gate.branch
    forge = GitHub(at.settings(at.opener))
    page = forge.create(at.request(), "Deploy?", "body")
    assert (page.number, page.state) == (at.repo.pulls[0].number, State.OPEN)


def test_a_strangers_pull_request_from_the_gates_branch_is_named(at: World) -> None:
    pull = at.open()
    pull.close(at.decider.bot)
    other = at.repo.open_pull_request(at.bob, pull.head_ref, base="approvals")
    with pytest.raises(ForgeUnavailable) as told:
        GitHub(at.settings(at.opener)).create(at.request(), "Deploy?", "body")
    assert f"/pull/{other.number} is open from {pull.head_ref} and not the bridge's own" in str(
        told.value
    )


# -- who may what ----------------------------------------------------------------------------------


def protect(at: World) -> None:
    """The rulesets of a safe installation."""
    ledger = ["refs/heads/approvals"]
    at.repo.ruleset("ledger", "deletion", "non_fast_forward", branches=ledger)
    at.repo.ruleset("ledger writes", "update", branches=ledger, bypass=[at.decider])
    at.repo.ruleset(
        "gates",
        "creation",
        "update",
        "deletion",
        branches=["refs/heads/gate/**/*"],
        bypass=[at.opener, at.decider],
    )


def test_in_a_safe_installation_the_opener_opens_and_the_decider_alone_decides(at: World) -> None:
    at.open("Train/1/deploy/1")
    protect(at)
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    with pytest.raises(LedgerUnavailable, match="rule violations"):
        tend(at.desk(at.opener), pull.number)
    assert at.recorded(pull) is None
    at.tend(pull)
    assert at.recorded(pull)


def test_an_inherited_rule_that_forbids_merges_is_told_and_nothing_is_recorded(at: World) -> None:
    at.open("Train/1/deploy/1")
    at.github.add_organisation_ruleset(
        at.github.organisation("acme"), "house", "required_linear_history", branches=["~ALL"]
    )
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    with pytest.raises(LedgerUnavailable, match="rule violations"):
        at.tend(pull)
    assert at.recorded(pull) is None


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("contents", "cannot be used"),
        ("statuses", "the commit status cannot be set: GitHub answers 403"),
        ("pull_requests", None),  # either of the two lets it comment
        ("issues", None),
    ],
)
def test_an_app_that_lacks_a_permission_is_told_in_one_sentence(
    at: World, missing: str, words: str | None
) -> None:
    pull = at.open()
    pull.comment(at.alice, "/approve")
    found = at.decider.installations[0]
    found.permissions = {**found.permissions, missing: "read"}
    at.tokens[at.decider] = str(at.github.installation_token(found))
    if words is None:
        at.tend(pull)
        return
    with pytest.raises(BridgeError, match=words) as told:
        at.tend(pull)
    assert "\n" not in str(told.value)
    assert at.tokens[at.decider] not in str(told.value)


def test_a_team_is_a_member_a_no_or_unknown_but_never_guessed(at: World) -> None:
    at.github.organisation("acme").team("ml", at.alice)
    asked = [question(who, GroupKind.TEAM, "acme/ml") for who in (at.alice, at.bob)]
    sees = GitHub(at.settings(at.decider)).memberships(asked)
    assert [each.answer for each in sees] == [Answer.MEMBER, Answer.UNKNOWN]
    blind = str(at.github.actions_token(at.repo, {"contents": "write"}))
    told = GitHub(replace(at.settings(at.decider), token=blind)).memberships(asked)
    assert [each.answer for each in told] == [Answer.UNKNOWN, Answer.UNKNOWN]
    assert "may not see it" in told[0].why


def test_a_team_written_in_other_letters_is_the_same_team(at: World) -> None:
    at.github.organisation("acme").team("ml", at.alice)
    (found,) = GitHub(at.settings(at.decider)).memberships(
        [question(at.alice, GroupKind.TEAM, "ACME/ML")]
    )
    assert found.answer is Answer.MEMBER


def test_permission_works_with_the_token_of_actions_and_knows_custom_roles(at: World) -> None:
    at.repo.grant(at.bob, "write", role_name="release-manager")
    token = str(at.github.actions_token(at.repo, {"contents": "read"}))
    forge = GitHub(replace(at.settings(at.decider), token=token))
    asked = [
        question(at.alice, GroupKind.PERMISSION, "write"),
        question(at.alice, GroupKind.PERMISSION, "maintain"),
        question(at.bob, GroupKind.ROLE, "release-manager"),
        question(at.mallory, GroupKind.PERMISSION, "write"),
    ]
    answers = [each.answer for each in forge.memberships(asked)]
    assert answers == [Answer.MEMBER, Answer.NOT, Answer.MEMBER, Answer.NOT]
    assert at.github.counts["rest"] == 3


def test_whoever_cannot_be_asked_for_a_review_is_left_out_and_the_gate_opens(at: World) -> None:
    at.write_policy(
        "gates:\n  - name: deploy\n    require: {users: [alice, nobody], teams: [acme/ml]}\n"
        "    bar: {initiator: false}\n"
    )
    assert at.open().requested == [at.alice]


def test_a_fine_grained_token_and_the_token_of_actions_open_and_decide(at: World) -> None:
    boss = at.github.user("boss")
    at.repo.grant(boss, "admin")
    at.repo.actions_may_open_pull_requests = True
    rights = {
        "contents": "write",
        "pull_requests": "write",
        "issues": "write",
        "statuses": "write",
    }
    tokens = [at.github.token(boss, rights), at.github.actions_token(at.repo, rights)]
    for number, token in enumerate(tokens):
        at.tokens[at.opener] = at.tokens[at.decider] = str(token)
        pull = at.open(f"Train/{number}/deploy/1")
        pull.review(at.alice, "APPROVED")
        at.tend(pull)
        assert at.recorded(pull)
