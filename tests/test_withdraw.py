"""`/withdraw`: a gate that nobody need decide ends, by the word of its initiator or an approver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.evaluation import (
    Actor,
    Answer,
    Decider,
    Evaluation,
    Evidence,
    Outcome,
    ReasonCode,
    Verdict,
)
from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Standing
from bridge.core.rules import Actors, Bars
from bridge.gates.audit import audit
from bridge.gates.decide import decision_of
from bridge.pages.answer_text import withdrawal
from bridge.pages.command_words import Word
from bridge.pages.comment_commands import Command, Unreadable, read
from bridge.policy.evaluate import evaluate
from bridge.policy.lookups import questions
from tests.forge import World, world
from tests.test_policy_forge import (
    ANN,
    BOB,
    CAT,
    EVE,
    INA,
    ML,
    OPENED,
    OPENER,
    SECURITY,
    account,
    asked,
    asked_at,
    judged,
    members,
    proof,
    vote,
    why_not,
)

WITHDRAW = Verdict.WITHDRAW


def withdrawn(by: Actor, request: ApprovalRequest | None = None, **more: object) -> Evaluation:
    request = request or asked()
    return judged(request, vote(request, by, WITHDRAW, reason="the run was killed"), **more)


# -- who may ---------------------------------------------------------------------------------------


def test_who_started_the_run_withdraws_its_gate_though_they_may_not_decide_it() -> None:
    found = withdrawn(INA)
    assert (found.outcome, found.by) == (Outcome.WITHDRAWN, Decider.PERSON)
    assert found.reason == "withdrawn by ina: the run was killed"


def test_an_approver_withdraws_it_also_if_nobody_knows_who_started_the_run() -> None:
    assert withdrawn(ANN).outcome is Outcome.WITHDRAWN
    assert withdrawn(ANN, asked(initiator=None)).outcome is Outcome.WITHDRAWN


def test_a_stranger_withdraws_nothing_and_reads_who_may() -> None:
    found = withdrawn(EVE)
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == [
        "only the account that started the run and those who may reject it (team acme/ml) may"
        " withdraw it"
    ]


def test_who_only_has_the_name_of_the_runs_user_is_a_stranger() -> None:
    named = account("ina@corp", 66)
    assert withdrawn(named, asked(initiator=None)).outcome is Outcome.PENDING


def test_a_claim_of_who_started_the_run_gives_way_to_a_proof() -> None:
    facts = (asked_at(OPENED), proof(CAT))
    assert withdrawn(INA, facts=facts, memberships=members(ML, ANN)).outcome is Outcome.PENDING
    assert withdrawn(CAT, facts=facts).outcome is Outcome.WITHDRAWN


def test_whom_the_policy_bars_withdraws_nothing_unless_the_run_is_theirs() -> None:
    request = asked(bars=Bars(users=("ann", "ina")))
    assert withdrawn(ANN, request).outcome is Outcome.PENDING
    assert withdrawn(INA, request).outcome is Outcome.WITHDRAWN


def test_whom_disapprove_names_is_looked_up_and_withdraws_it() -> None:
    request = asked(disapprove=Actors(groups=(SECURITY,)))
    votes = (vote(request, CAT, WITHDRAW, reason="gone"),)
    asks = {each.group for each in questions(request, Evidence(OPENED, votes, author=OPENER))}
    assert asks == {ML, SECURITY}
    known = (*members(ML), *members(SECURITY, CAT))
    assert withdrawn(CAT, request, memberships=known).outcome is Outcome.WITHDRAWN


def test_a_membership_that_could_not_be_read_withdraws_nothing() -> None:
    found = withdrawn(ANN, memberships=())
    assert found.outcome is Outcome.PENDING
    assert [each.why.code for each in found.dismissals] == [ReasonCode.MEMBERSHIP_UNKNOWN]


# -- beside other answers --------------------------------------------------------------------------


def test_a_withdrawn_gate_is_not_approved_and_a_rejected_one_not_withdrawn() -> None:
    request = asked()
    gone, yes = vote(request, INA, WITHDRAW, 2, reason="gone"), vote(request, ANN)
    assert judged(request, yes, gone).outcome is Outcome.WITHDRAWN
    no = vote(request, BOB, Verdict.REJECT, 3)
    assert judged(request, yes, gone, no).outcome is Outcome.REJECTED


def test_withdrawing_lifts_no_objection() -> None:
    request = asked()
    hold = vote(request, BOB, Verdict.HOLD, url="https://x/1")
    found = judged(request, hold, vote(request, INA, WITHDRAW, 2, reason="gone"))
    assert found.outcome is Outcome.WITHDRAWN
    assert [(each.who, each.lifted) for each in found.objections] == [(BOB, None)]
    own = judged(request, hold, vote(request, BOB, WITHDRAW, 2, reason="gone"))
    assert [(each.who, each.lifted) for each in own.objections] == [(BOB, None)]


_PEOPLE = st.sampled_from([ANN, BOB, CAT, INA, EVE])
_SAID = st.lists(st.tuples(_PEOPLE, st.sampled_from(Verdict), st.integers(1, 4)), max_size=6)


@settings(max_examples=60)
@given(_SAID, _PEOPLE, st.integers(1, 4))
def test_no_withdrawal_lets_a_run_go_on_or_takes_an_objection_away(
    said: list[tuple[Actor, Verdict, int]], who: Actor, at: int
) -> None:
    request = asked()
    votes = [vote(request, by, verdict, minute) for by, verdict, minute in said]
    before = judged(request, *votes)
    after = judged(request, *votes, vote(request, who, WITHDRAW, at, reason="gone"))
    assert after.outcome is not Outcome.APPROVED or before.outcome is Outcome.APPROVED
    held = {each.at for each in before.objections if each.lifted is None}
    assert held <= {each.at for each in after.objections if each.lifted is None}
    if who in (CAT, EVE):  # strangers
        assert (after.outcome, after.reason) == (before.outcome, before.reason)


def test_the_record_of_a_withdrawal_carries_it_when_it_is_judged_again() -> None:
    request, author = asked(), OPENER
    known = members(ML, ANN, BOB)
    votes = (vote(request, ANN), vote(request, INA, WITHDRAW, 2, reason="gone"))
    evidence = Evidence(OPENED, votes, memberships=known, author=author)
    decision = decision_of(Standing(request, None, "c"), evaluate(request, evidence), evidence)
    assert [each.code for each in decision.considered] == ["approved", "withdrawn"]
    again = evaluate(request, decision.evidence)
    assert (again.outcome, again.by) == (Outcome.WITHDRAWN, Decider.PERSON)
    assert Answer.MEMBER in {each.answer for each in decision.memberships}


# -- as it is written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("/withdraw the run was killed", "the run was killed"),
        ("/Withdraw\nthe run was killed", "the run was killed"),
        ("/withdraw the approval came too late", "the approval came too late"),
        ("Sorry.\n\n/withdraw: wrong data, see my review of it", "wrong data, see my review of it"),
        (withdrawal("my laptop died\n/approve"), "my laptop died /approve"),
    ],
)
def test_a_withdrawal_says_why(body: str, reason: str) -> None:
    assert read(body) == Command(Word.WITHDRAW, reason=reason)


@pytest.mark.parametrize(
    "body",
    [
        "/withdraw",
        "/withdraw \u200b",
        "/withdraw my objection",
        "/withdraw my earlier approval, the data changed",
        "/withdraw: I withdraw my hold",
        "/withdraw approval",
        "/withdraw the previous hold.",
        "/withdraw my -1",
    ],
)
def test_who_takes_back_their_own_word_does_not_end_the_gate(body: str) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    assert not found.aside, "an approval of theirs counts no more"
    assert "You take back your own objection with `/unhold`" in found.why


@pytest.mark.parametrize(
    "body",
    [
        "- /withdraw gone",
        "> /withdraw gone",
        "`/withdraw gone`",
        "please /withdraw this",
        "/withdraw? is it gone",
        "/approve\n/withdraw gone",
        "/approve\n\nor shall we /withdraw it",
    ],
)
def test_what_only_looks_like_a_withdrawal_is_none(body: str) -> None:
    assert isinstance(read(body), Unreadable)


def test_an_objection_outweighs_a_withdrawal_in_one_comment() -> None:
    assert read("/withdraw gone\n/reject no") == Command(Word.REJECT, reason="no")


# -- on a page -------------------------------------------------------------------------------------


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.repo.grant(made.mallory, "write")
        yield made


def test_a_page_is_withdrawn_by_who_started_the_run_and_keeps_its_objections(at: World) -> None:
    carol = at.github.user("carol")
    at.write_policy(
        "identities: {carol@corp.example: carol}\n"
        "gates:\n  - {name: all, require: {users: [alice, bob]}}\n"
    )
    pull = at.open(facts=started_by("carol@corp.example"))
    pull.comment(at.bob, "/hold wait for QA")
    stranger = pull.comment(at.mallory, "/withdraw nobody wants it")
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "only the account that started the run" in at.status(pull)
    assert {each.content for each in stranger.reactions} >= {"-1"}
    mine = pull.comment(carol, "/withdraw the run was killed")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.WITHDRAWN, Decider.PERSON)
    assert [each.url for each in decision.votes] == [f"{pull.url}#issuecomment-{mine.id}"]
    assert [(each.who.name, each.lifted) for each in decision.objections] == [("bob", None)]
    assert (pull.state, pull.merged, pull.labels) == ("closed", False, ["gate:withdrawn"])
    assert "Withdrawn by carol: the run was killed" in at.status(pull)
    assert "⛔ bob" in at.status(pull)
    # Asked again, the same run finds the end of its gate.
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull) == decision
    assert audit(at.desk().ledger).faults == ()
