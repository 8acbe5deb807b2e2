"""Ways to get a gate approved that should not be, or to shut one for good. `docs/security.md`
tells them as a table, a row for each test here.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.core.digest import digest_of
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Actor, Decider, Objection, Outcome, ReasonCode, Verdict
from bridge.core.facts import About, Source, started_by
from bridge.core.model import Artifact, Declared, Subject
from bridge.core.records import objections_out, request_out
from bridge.core.rules import Actors, Approvals
from bridge.core.timestamps import moment_out
from bridge.gates.audit import audit
from bridge.gates.open_page import Desk, ask, place_on, policy_for, put_up
from bridge.gates.process_page import tend
from bridge.github.client import GitHub
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from bridge.pages.marker import short
from bridge.pages.model import LONGEST_BODY
from bridge.render.request import is_request_md, request_md
from tests.forge import OPENER, POLICY, World, world
from tests.github.conversation import Review
from tests.github.pulls import PullRequest

SHA = "sha256:" + "a" * 64


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def why_not(at: World, pull: PullRequest) -> str:
    """Look at the page; what the status comment says of a gate that is still open."""
    at.tend(pull)
    assert at.recorded(pull) is None
    own = {at.opener.bot, at.decider.bot}
    (status,) = [e for e in pull.comments if "bridge status" in e.body and e.author in own]
    return status.body


# -- who -------------------------------------------------------------------------------------------


def test_an_outsiders_approval_does_not_count(at: World) -> None:
    pull = at.open()
    pull.review(at.mallory, "APPROVED")
    assert "mallory is not among those who may decide" in why_not(at, pull)


def test_a_login_that_looks_like_an_approvers_is_somebody_elses(at: World) -> None:
    pull = at.open()
    for login in ("a1ice", "alice-", "alice1"):
        at.github.clock.advance(minutes=1)
        pull.review(at.github.user(login), "APPROVED")
        assert f"{login} is not among those who may decide" in why_not(at, pull)


def test_a_login_that_was_given_up_and_taken_by_another_account_does_not_count(at: World) -> None:
    at.write_policy(POLICY.replace("alice", f"alice#{at.alice.id}"))
    pull = at.open()
    at.github.rename(at.alice, "alice-was-here")
    taken = at.github.user("alice")
    pull.review(taken, "APPROVED")
    assert f"with the number {at.alice.id}, and you are {taken.id}" in why_not(at, pull)
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_bots_approval_does_not_count_whatever_it_may_do(at: World) -> None:
    at.write_policy(POLICY.replace("users: [alice, bob]", "permission: write"))
    bot = at.github.bot("helper[bot]")
    at.repo.grant(bot, "admin")
    pull = at.open()
    pull.review(bot, "APPROVED")
    assert "a bot&#39;s answer" in why_not(at, pull) or "a bot's answer" in why_not(at, pull)


def test_whoever_started_the_run_does_not_count(at: World) -> None:
    at.write_policy(
        "identities: {carol: alice}\n" + POLICY.replace("    bar: {initiator: false}\n", "")
    )
    pull = at.open(facts=started_by("carol"))
    pull.review(at.alice, "APPROVED")
    assert "you started this run; someone else must approve" in why_not(at, pull)


def test_while_nobody_knows_which_account_started_the_run_no_approval_counts(at: World) -> None:
    at.write_policy(POLICY.replace("    bar: {initiator: false}\n", ""))
    pull = at.open(facts=started_by("somebody"))
    pull.review(at.alice, "APPROVED")
    assert "it is not known which account" in why_not(at, pull)


def test_whoever_opened_the_request_does_not_count(at: World) -> None:
    carol = at.github.user("carol")
    at.repo.grant(carol, "write")
    at.write_policy(POLICY.replace("alice", "carol"))
    token = str(at.github.token(carol, OPENER))
    hers = GitHub(replace(at.settings(at.opener), token=token))
    desk = Desk(hers, GitLedger(hers.git_url(), at.folder / "hers"), Silent(), at.now)
    _, page = ask(desk, at.request().draft)
    assert page
    pull = at.repo.pull(page.number)
    assert pull.author is carol
    pull.comment(carol, "/approve")
    theirs = GitHub(replace(at.settings(at.decider), voices=("carol",)))
    tend(replace(at.desk(), forge=theirs), pull.number)
    assert at.recorded(pull) is None


def test_whoever_opened_a_gate_with_their_own_token_started_it_whomever_the_run_names(
    at: World,
) -> None:
    carol = at.github.user("carol")
    at.repo.grant(carol, "write")
    at.write_policy(
        "initiator: proven\nidentities: {bob: bob}\n"
        + POLICY.replace("alice", "carol").replace("initiator: false", "author: false")
    )
    token = str(at.github.token(carol, OPENER))
    hers = GitHub(replace(at.settings(at.opener), token=token))
    desk = Desk(hers, GitLedger(hers.git_url(), at.folder / "hers"), Silent(), at.now)
    _, page = ask(desk, at.request(facts=started_by("bob")).draft)
    assert page
    pull = at.repo.pull(page.number)
    theirs = GitHub(replace(at.settings(at.decider), voices=(f"carol#{carol.id}",)))
    decider = replace(at.desk(), forge=theirs)
    pull.comment(carol, "/approve")
    tend(decider, pull.number)
    assert at.recorded(pull) is None
    (status,) = [each.body for each in pull.comments if "bridge status" in each.body]
    assert "you started this run; someone else must approve" in status
    assert "**Started by:** carol, proven by the account that opened the page" in status
    pull.comment(carol, "/hold one more test")
    tend(decider, pull.number)
    assert [each.who.login for each in at.standing(pull).objections] == ["carol"]
    at.github.clock.advance(minutes=1)
    pull.comment(carol, "/unhold")
    pull.review(at.bob, "APPROVED")
    tend(decider, pull.number)
    decision = at.recorded(pull)
    assert decision
    proven = [each for each in decision.facts if each.name is About.INITIATOR]
    assert [(each.value, each.proven) for each in proven] == [
        (f"@carol#{carol.id}", True),
        ("bob", False),
    ]


def test_a_team_that_cannot_be_read_approves_nothing(at: World) -> None:
    team = at.github.organisation("acme").team("ml", at.bob)
    at.repo.grant(team, "write")
    at.write_policy(POLICY.replace("users: [alice, bob]", "teams: [acme/ml]"))
    blind = at.github.installation_token(at.decider.installations[0], OPENER)
    at.tokens[at.decider] = str(blind)
    pull = at.open()
    pull.review(at.bob, "APPROVED")
    assert "it could not be read whether bob is in acme/ml" in why_not(at, pull)


def test_whoever_may_not_decide_lifts_no_hold_by_dismissing_it(at: World) -> None:
    at.repo.grant(at.mallory, "admin")
    pull = at.open()
    pull.review(at.alice, "CHANGES_REQUESTED", "wait").dismiss(at.mallory, "no")
    pull.review(at.bob, "APPROVED")
    assert "held by alice" in why_not(at, pull)


# -- what ------------------------------------------------------------------------------------------


def test_a_comment_that_was_edited_does_not_count(at: World) -> None:
    at.repo.grant(at.mallory, "admin")
    pull = at.open()
    pull.comment(at.alice, "not like this").edit("/approve", at.mallory)
    assert "it was edited after it was written" in why_not(at, pull)


def test_a_review_whose_text_was_edited_does_not_count(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "COMMENTED", "hm").edit("/approve", at.mallory)
    assert "it was edited after it was written" in why_not(at, pull)


def test_a_review_of_an_older_head_does_not_count(at: World) -> None:
    pull = at.open(artifacts=(Artifact("model", "Model", SHA),))
    old = pull.head_sha
    at.github.clock.advance(minutes=1)
    at.open(artifacts=(Artifact("model", "Model", SHA.replace("a", "b")),))
    at.repo.bare.set_ref(f"refs/kept/{old}", old)
    pull.reviews.append(_review_of(at, pull, old))
    assert f"it reviewed {old[:8]}" in why_not(at, pull).replace("&#8203;", "")


def _review_of(at: World, pull: PullRequest, commit: str) -> Review:
    """A review begun before the branch moved, and sent after it."""
    made = pull.review(at.alice, "COMMENTED", "LGTM")
    made.state, made.commit = "APPROVED", commit
    pull.reviews.remove(made)
    return made


def test_a_request_that_dates_itself_back_is_not_approved_by_the_clock_at_once(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 10m\n    on_timeout: approve\n")
    liar = replace(at.desk(at.opener), clock=lambda: at.now() - timedelta(days=2))
    opened = at.now()
    _, page = ask(liar, at.request().draft)
    assert page
    pull = at.repo.pull(page.number)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert f"Decide by {pull.created_at + timedelta(minutes=10):%Y-%m-%d %H:%M} UTC" in pull.body
    at.github.clock.advance(minutes=8)
    at.tend(pull)
    assert at.recorded(pull) is None
    at.github.clock.advance(minutes=5)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.by is Decider.CLOCK
    (asked,) = [each for each in decision.facts if each.name is About.ASKED_AT]
    assert (asked.source, asked.proven) == (Source.GITHUB, True)
    assert asked.value >= moment_out(opened)
    assert audit(at.desk().ledger).faults == ()


@pytest.mark.parametrize("via", ["pull_request", "issue"])
@pytest.mark.parametrize("how", ["close", "lock"])
def test_the_clock_approves_nothing_by_the_time_in_which_a_page_was_shut(
    at: World, via: str, how: str
) -> None:
    at.write_policy(POLICY + f"    timeout: 30m\n    on_timeout: approve\n    via: {via}\n")
    standing, opened = ask(at.desk(at.opener), at.request().draft)
    assert opened
    page = at.repo.issues[opened.number]
    page.close(at.opener.bot) if how == "close" else page.lock(at.opener.bot)
    at.github.clock.advance(minutes=40)
    at.tend(page)  # which reopens it
    if how == "lock":
        page.unlock(at.opener.bot)
    at.github.clock.advance(minutes=20)
    at.mint()
    at.tend(page)
    ledger = at.desk().ledger
    assert (found := ledger.read(standing.request.gate.id))
    assert found.decision is None
    at.github.clock.advance(minutes=11)
    at.mint()
    at.tend(page)
    assert (found := at.desk().ledger.read(standing.request.gate.id))
    assert found.decision
    assert found.decision.by is Decider.CLOCK
    assert audit(at.desk().ledger).faults == ()


def test_a_page_that_is_shut_puts_off_no_deadline_that_rejects(at: World) -> None:
    at.write_policy(POLICY + "    timeout: 30m\n")
    pull = at.open()
    pull.close(at.opener.bot)
    at.github.clock.advance(minutes=40)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.by is Decider.CLOCK
    assert decision.outcome is Outcome.EXPIRED


def test_a_condition_that_the_asker_makes_true_approves_nothing(at: World) -> None:
    """A run that says `environment: x` asks to be approved if the environment is x."""
    at.write_policy(POLICY + "    auto_approve_if: environment != production\n")
    harmless = Subject("deploy.yml", "production", environment="x")
    own = at.open(declared=Declared(auto_approve_if="environment == x"), subject=harmless)
    assert "0 of 1 approval" in why_not(at, own)
    named = at.open(
        "Train/8/deploy/12",
        declared=Declared(auto_approve_if="environment != production"),
        subject=harmless,
    )
    assert "only the run says its environment" in why_not(at, named)


def test_an_approval_from_an_old_mail_is_none_of_the_request_that_replaced_it(at: World) -> None:
    at.open()
    at.github.clock.advance(minutes=1)
    pull = at.open(message="Deploy another model?")
    at.github.clock.advance(minutes=1)
    pull.comment(at.alice, "/approve")
    pull.review(at.bob, "APPROVED")
    assert why_not(at, pull).count("does not say of which version it is") == 2
    pull.comment(at.alice, f"/approve {short(digest_of(at.standing(pull).request))}")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_commit_pushed_after_an_approval_voids_it_and_is_put_back(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    pushed = at.repo.commit(pull.head_ref, {"x": "x"}, "One more thing", by=at.mallory)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert at.repo.branch(pull.head_ref) != pushed
    assert "older version" in why_not(at, pull)


def test_a_policy_written_into_the_gates_branch_is_not_read(at: World) -> None:
    pull = at.open()
    request = at.standing(pull).request
    hers = replace(request.policy, require=Approvals(Actors(users=("mallory",))))
    mine = {
        ".github/approvals.yml": POLICY.replace("alice", "mallory"),
        f"{request.gate.folder}/request.yaml": request_out(replace(request, policy=hers)),
    }
    at.repo.commit(pull.head_ref, mine, "Let me", by=at.mallory)
    pull.review(at.mallory, "APPROVED")
    at.tend(pull)
    at.github.clock.advance(minutes=1)
    pull.review(at.mallory, "APPROVED")
    assert "mallory is not among those who may decide" in why_not(at, pull)


def test_what_is_no_request_on_the_gates_branch_is_put_back_and_stops_nothing(at: World) -> None:
    pull = at.open()
    path = f"{at.standing(pull).request.gate.folder}/request.yaml"
    at.repo.commit(pull.head_ref, {path: "[" * 60_000}, "Stop it", by=at.mallory)
    at.sweep()
    assert any("someone pushed" in note for note in at.notes(pull))
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.sweep()
    assert at.recorded(pull)


def test_a_label_put_on_by_hand_chooses_no_policy(at: World) -> None:
    mild = POLICY.replace("deploy", "mild").replace("alice", "mallory")
    at.write_policy(mild + "    when: {label: trivial}\n" + POLICY.removeprefix("gates:\n"))
    pull = at.open(subject=Subject("Train", "deploy"))
    pull.label(at.mallory, "trivial")
    pull.review(at.mallory, "APPROVED")
    assert "mallory is not among those who may decide" in why_not(at, pull)


def test_an_approval_of_words_that_somebody_put_in_their_place_does_not_count(at: World) -> None:
    pull = at.open()
    true = pull.body
    at.github.clock.advance(minutes=1)
    pull.edit(at.mallory, true.replace("Deploy the model", "Delete the old model"))
    pull.comment(at.alice, "/approve")
    at.tend(pull)
    assert pull.body == true
    assert "changed the text of the request" in why_not(at, pull)


def test_an_approval_under_a_title_that_somebody_changed_does_not_count(at: World) -> None:
    pull = at.open()
    true = pull.title
    at.github.clock.advance(minutes=1)
    pull.edit(at.mallory, title="Deploy the docs")
    pull.review(at.alice, "APPROVED", "/approve")
    at.tend(pull)
    assert pull.title == true
    assert "changed the text of the request" in why_not(at, pull)
    assert "`mallory` changed the text" in at.notes(pull)[-1]


@pytest.mark.parametrize("what", ["title", "body"])
def test_an_approval_of_other_words_by_the_opener_than_its_request_says_does_not_count(
    at: World, what: str
) -> None:
    pull = at.open()
    true = getattr(pull, what)
    lie = true.replace("93 %", "99 %")  # not in a digest
    for text in (lie, true):  # put right again before anybody looks
        at.github.clock.advance(minutes=1)
        pull.edit(at.opener.bot, **{what: text})
        if text == lie:
            at.github.clock.advance(minutes=1)
            pull.review(at.alice, "APPROVED", "/approve")
            pull.comment(at.bob, "/hold not yet")
    status = why_not(at, pull)
    assert "the page showed other words than its request says" in status
    assert "bob" in status
    at.github.clock.advance(minutes=1)
    pull.comment(at.bob, "/unhold")
    pull.review(at.alice, "APPROVED", "/approve")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert ReasonCode.OTHER_WORDS in [each.code for each in decision.considered]


def test_words_that_the_opener_wrote_in_the_place_of_its_requests_are_written_anew_by_the_decider(
    at: World,
) -> None:
    pull = at.open()
    true = pull.body
    pull.author, pull.body = at.opener.bot, "An older bridge: " + true  # as it was made
    pull.review(at.alice, "APPROVED")
    assert "other words than its request says" in why_not(at, pull)
    assert pull.body == true
    (note,) = at.notes(pull)
    assert "showed other words than its request says**, and the bridge corrected it" in note
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


@pytest.mark.parametrize("lifts", ["own", "another's"])
def test_a_hold_that_a_push_to_the_ledger_dates_into_the_future_holds_until_it_is_lifted(
    at: World, lifts: str
) -> None:
    pull = at.open()
    gate = at.standing(pull).request.gate
    alice = Actor("alice", login="alice", id=at.alice.id, proven=True)
    forged = Objection(alice, Verdict.HOLD, datetime(9999, 12, 31, tzinfo=UTC), SHA)
    text = objections_out(gate.id, (forged,))
    at.repo.commit("approvals", {f"{gate.folder}/objections.yaml": text}, "Never", by=at.mallory)
    if lifts == "another's":
        pull.review(at.bob, "APPROVED")
        assert "held by alice" in why_not(at, pull)
        pull.comment(at.bob, "/unhold @alice nobody said that")
    else:
        pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.APPROVED
    assert audit(at.desk().ledger).faults == ()


def test_a_request_md_that_says_something_else_than_its_request_is_written_anew(
    at: World,
) -> None:
    opener = at.desk(at.opener)
    look = opener.forge.find([])
    draft = at.request(message="Deploy? " + "x" * 20_000 + " Or not.").draft
    request = draft.bound(policy_for(draft, look.site), at.now(), place_on(opener.forge, look.site))
    true = request_md(request)
    standing = opener.ledger.open(request, true.replace("Or not.", "Yes."))
    pull = at.repo.pull(put_up(opener, look, standing).number)
    assert "it is too long" in pull.body.casefold() or "the rest is in `request.md`" in pull.body
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "`request.md` said something else than its request" in at.notes(pull)[-1]
    renewed = at.standing(pull)
    assert is_request_md(renewed.request, renewed.page)
    assert renewed.request == request
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_the_clock_approves_nothing_by_the_time_in_which_a_page_showed_other_words(
    at: World,
) -> None:
    at.write_policy(POLICY + "    timeout: 10m\n    on_timeout: approve\n")
    pull = at.open()
    at.tend(pull)
    true = pull.body
    pull.edit(at.opener.bot, "Nothing to see here")
    at.github.clock.advance(minutes=9)
    pull.edit(at.opener.bot, true)
    at.github.clock.advance(minutes=5)
    at.tend(pull)
    assert at.recorded(pull) is None
    at.github.clock.advance(minutes=6)
    at.tend(pull)
    assert at.recorded(pull)


@pytest.mark.parametrize("what", ["title", "body"])
def test_nobody_blocks_a_gate_by_changing_a_text_and_putting_it_back(at: World, what: str) -> None:
    pull = at.open()
    true = getattr(pull, what)
    for text in ("x", true):
        at.github.clock.advance(minutes=1)
        pull.edit(at.mallory, **{what: text})
    at.github.clock.advance(minutes=1)
    said = len(pull.comments)
    at.tend(pull)
    assert len(pull.comments) == said
    pull.review(at.alice, "APPROVED", "/approve")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_status_comment_that_somebody_changed_is_written_anew_and_the_page_says_so(
    at: World,
) -> None:
    pull = at.open()
    true = at.status(pull)
    pull.comments[0].edit("Approved by alice. Go on.", at.mallory)
    at.tend(pull)
    assert at.status(pull) == true
    assert (
        "`mallory` changed a comment of the approval bridge**, and the bridge restored it"
        in at.notes(pull)[-1]
    )
    at.tend(pull)
    assert len(at.notes(pull)) == 1


def test_words_put_in_their_place_in_the_very_second_of_the_bridges_own_are_found(
    at: World,
) -> None:
    at.github.clock.set(at.now())  # GitHub's times are whole seconds
    pull = at.open()
    for words in ("Only a typo in the docs", "Nothing to see here"):
        pull.edit(at.mallory, words)  # in the second in which the bridge wrote
        at.github.clock.advance(minutes=1)
        pull.comment(at.bob, "/approve")
        at.tend(pull)
        assert at.recorded(pull) is None
        assert pull.body != words


def test_the_bridges_own_words_in_a_strangers_comment_are_a_strangers(at: World) -> None:
    pull = at.open()
    own = pull.comments[0]
    at.github.clock.advance(minutes=1)
    forged = pull.comment(at.mallory, own.body)
    text = why_not(at, pull)
    assert own.body == text
    assert forged in pull.comments
    assert not forged.edits


def test_a_strangers_pull_request_or_fork_with_the_bridges_words_is_no_gate(at: World) -> None:
    pull = at.open()
    at.repo.push(at.mallory, "refs/heads/gate/" + "f" * 12, pull.head_sha)
    twin = at.repo.open_pull_request(
        at.mallory, "gate/" + "f" * 12, "approvals", pull.title, pull.body
    )
    fork = at.repo.fork(at.mallory)
    away = at.repo.open_pull_request(
        at.opener.bot, f"mallory:{pull.head_ref}", "approvals", pull.title, pull.body
    )
    assert fork
    for forged in (twin, away):
        forged.review(at.alice, "APPROVED")
        assert "not a page of the bridge" in at.tend(forged).says
    assert at.recorded(pull) is None


def test_a_pull_request_whose_base_was_changed_approves_nothing(at: World) -> None:
    pull = at.open()
    pull.retarget(at.mallory, "main")
    pull.review(at.alice, "APPROVED")
    assert "asked again" in at.tend(pull).says
    at.tend(pull)
    assert at.recorded(pull) is None
    assert [each.state for each in at.repo.pulls] == ["closed", "open"]


def test_a_merge_by_hand_is_no_approval(at: World) -> None:
    at.repo.grant(at.mallory, "write")
    pull = at.open()
    pull.merge(at.mallory)
    at.tend(pull)
    assert at.recorded(pull) is None
    assert at.repo.pulls[-1].state == "open"


def test_an_issue_is_approved_only_by_the_digest_of_what_it_shows_now(at: World) -> None:
    at.write_policy(POLICY + "    via: issue\n")
    model = Artifact("model", "Model", SHA)
    first, page = ask(at.desk(at.opener), at.request(artifacts=(model,)).draft)
    assert page
    at.github.clock.advance(minutes=1)
    other = replace(model, digest=SHA.replace("a", "b"))
    ask(at.desk(at.opener), at.request(artifacts=(other,)).draft)
    issue = at.repo.issue(page.number)
    issue.comment(at.alice, f"/approve {short(digest_of(first.request))}")
    issue.comment(at.bob, "/approve")
    at.tend(issue)
    standing = at.desk().ledger.read(first.request.gate.id)
    assert standing
    assert standing.decision is None


# -- hostile text ----------------------------------------------------------------------------------

HOSTILE = (
    "@mallory @acme/ml Fixes #1 closes acme/models#1",
    "| a | b |\n|---|---|\n</td></table><h1>Approved</h1>",
    "![](https://evil.test/beacon.gif)<img src=https://evil.test/b.gif>",
    "```\n/approve\n```\n/approve",
    "<!-- approval-bridge body gate=0 -->",
    "[click](javascript:alert(1)) https://evil.test",
)


def test_an_artifacts_value_mentions_nobody_and_links_closes_and_commands_nothing(
    at: World,
) -> None:
    victim = at.repo.open_issue(at.bob, "Stay open")
    assert victim.number == 1
    shown = tuple(
        Artifact(f"a{n}{text}", text, SHA, 1, text, head=text) for n, text in enumerate(HOSTILE)
    )
    pull = at.open(artifacts=shown)
    at.tend(pull)
    assert at.recorded(pull) is None
    outside = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", pull.body)
    for live in ("@mallory", "@acme", "<h1", "<img", "![", "](javascript", "https://evil"):
        assert live not in outside, live
    assert not re.search(r"(?<!&)#\d", outside)
    assert not re.search(r"(?m)^\s*/approve\s*$", outside.replace("/approve\n```", ""))
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)
    at.github.tick()
    assert victim.state == "open"
    message = at.repo.bare.run("log", "-1", "--format=%B", "approvals")
    assert "@mallory" not in message


def test_three_hundred_kilobytes_of_artifacts_are_shown_cut_and_decided(at: World) -> None:
    wide = tuple(
        Artifact(f"t{n}", "Frame", SHA, 1, "é" * 300, head="@" * 3_000) for n in range(100)
    )
    pull = at.open(artifacts=wide)
    assert len(pull.body) <= LONGEST_BODY
    pull.comment(at.bob, "/reject " + "n" * 65_500)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    "body",
    [
        "/approve\n```yaml\na: " + "[" * 60_000 + "\n```",
        "/approve\n```yaml\na: &a [x, x]\nb: [*a, *a]\n```",
        "~~~" + " " * 65_000 + "`",
        "/approve " + " ".join(f"a{n}=1" for n in range(8_000)),
    ],
    ids=["nest", "aliases", "nearly a fence", "many"],
)
def test_a_comment_made_to_stop_the_reader_stops_nobody_elses_answer(at: World, body: str) -> None:
    pull = at.open()
    pull.comment(at.mallory, body)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


# -- credentials -----------------------------------------------------------------------------------


def test_no_secret_is_in_an_error_whatever_fails(at: World) -> None:
    pull = at.open()
    desk = at.desk()
    for token in at.github.tokens.values():
        token.revoke()
    told = [repr(desk), repr(at.settings(at.decider))]
    for call in (lambda: tend(desk, pull.number), lambda: desk.ledger.read("0" * 12)):
        with pytest.raises(BridgeError) as caught:
            call()
        told += [str(caught.value), "".join(traceback.format_exception(caught.value))]
    assert len(told) == 6
    for secret in at.github.secrets:
        assert not any(secret in each for each in told)


def test_whoever_holds_the_openers_credential_cannot_write_a_decision(at: World) -> None:
    at.repo.ruleset("ledger", "update", branches=["refs/heads/approvals"], bypass=[at.decider])
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    with pytest.raises(BridgeError):
        tend(at.desk(at.opener), pull.number)
    assert at.recorded(pull) is None
    at.tend(pull)
    assert at.recorded(pull)


# -- the table -------------------------------------------------------------------------------------


def test_the_table_of_attacks_names_every_test_here_and_none_that_is_nowhere() -> None:
    page = Path(__file__).parent.parent / "docs" / "security.md"
    rows = re.findall(r"(?m)^\|.*\| `(test_\w+)` \|$", page.read_text())
    here = {name for name in vars(sys.modules[__name__]) if name.startswith("test_")}
    here -= {"test_the_table_of_attacks_names_every_test_here_and_none_that_is_nowhere"}
    assert len(rows) == len(set(rows))
    assert here <= set(rows)
    others = "".join(each.read_text() for each in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in rows if f"def {name}(" not in others] == []
