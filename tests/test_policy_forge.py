"""The policy on a forge: accounts and groups, bars, holds, and the flow's own wishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Condition,
    Decider,
    Dismissal,
    Evaluation,
    Evidence,
    Membership,
    Outcome,
    ReasonCode,
    Verdict,
    Vote,
    Why,
)
from bridge.core.facts import About, Fact, Source, started_by
from bridge.core.facts import account as written
from bridge.core.model import ApprovalRequest, Declared, Gate, Standing, Subject, on_github
from bridge.core.records import decision_in, decision_out, request_in, request_out
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Bars,
    DismissedReviews,
    EachOf,
    Facts,
    Group,
    GroupKind,
    Initiator,
    OnTimeout,
    Policy,
    RequestChanges,
    Rule,
    Selected,
)
from bridge.core.timestamps import moment_out
from bridge.gates.decide import decision_of
from bridge.policy.approvers import LEVELS, match_up, reaches
from bridge.policy.evaluate import evaluate
from bridge.policy.lookups import questions
from bridge.policy.narrow import check_policy, narrow
from bridge.policy.simulate import simulated

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

ML = Group(GroupKind.TEAM, "acme/ml")
SECURITY = Group(GroupKind.TEAM, "acme/security")
MAINTAIN = Group(GroupKind.PERMISSION, "maintain")


def account(login: str, number: int) -> Actor:
    return Actor(login, login=login, id=number, proven=True)


ANN, BOB, CAT = account("ann", 1), account("bob", 2), account("cat", 3)
INA, EVE = account("ina", 4), account("eve", 5)
OPENER = Actor("approval-opener", login="approval-opener", id=90, bot=True)
EVERYBODY = (ANN, BOB, CAT, INA, EVE)

ML_TEAM = Approvals(Actors(groups=(ML,)))
TWO_OF_ML = Approvals(Actors(groups=(ML,)), 2)


def asked(rule: Rule = ML_TEAM, **policy: Any) -> ApprovalRequest:
    """Ina started the run, under the name `ina@corp`."""
    policy = {"timeout": 3_600, "initiator": "ina", **policy}
    return ApprovalRequest(
        gate=Gate("here", "Flow/1/gate/3"),
        message="Deploy?",
        policy=Policy(rule, **policy),
        opened_at=OPENED,
        facts=started_by("ina@corp"),
        venue=on_github("acme/models"),
        subject=Subject("Flow", "gate", "production", ("risky",), {"accuracy": 0.5}),
        declared=Declared(("ann",), 60),
    )


def vote(
    request: ApprovalRequest,
    actor: Actor,
    verdict: Verdict = Verdict.APPROVE,
    after: int = 1,
    **more: Any,
) -> Vote:
    more = {"digest": digest_of(request), "channel": Channel.REVIEW, **more}
    return Vote(actor, verdict, OPENED + after * MINUTE, **more)


def proof(of: Actor, source: Source = Source.OIDC) -> Fact:
    return Fact(About.INITIATOR, written(of.login or "", of.id or 0), source, proven=True)


def asked_at(moment: datetime) -> Fact:
    return Fact(About.ASKED_AT, moment_out(moment), Source.GITHUB, proven=True)


def members(group: Group, *actors: Actor) -> tuple[Membership, ...]:
    """Everybody was looked up, and these are in it."""
    return tuple(
        Membership(each.id or 0, group, Answer.MEMBER if each in actors else Answer.NOT)
        for each in EVERYBODY
    )


def judged(request: ApprovalRequest, *votes: Vote, after: int = 5, **more: Any) -> Evaluation:
    more = {
        "author": OPENER,
        "memberships": members(ML, ANN, BOB, INA),
        "facts": (asked_at(OPENED),),
        **more,
    }
    return evaluate(request, Evidence(OPENED + after * MINUTE, votes, **more))


def why_not(found: Evaluation) -> list[str]:
    return [each.reason for each in found.dismissals]


# -- accounts and groups ---------------------------------------------------------------------------


def test_whom_disapprove_names_holds_and_rejects_and_never_approves() -> None:
    request = asked(disapprove=Actors(groups=(SECURITY,)))
    known = (*members(ML, ANN, BOB), *members(SECURITY, CAT))
    yes = vote(request, ANN, after=2)

    def found(verdict: Verdict, by: Actor = CAT) -> Evaluation:
        return judged(request, vote(request, by, verdict), yes, memberships=known)

    assert found(Verdict.HOLD).outcome is Outcome.PENDING
    assert found(Verdict.REJECT).outcome is Outcome.REJECTED
    assert found(Verdict.HOLD, EVE).outcome is Outcome.APPROVED
    alone = judged(request, vote(request, CAT), memberships=known)
    assert alone.outcome is Outcome.PENDING
    assert why_not(alone) == ["cat is not among those who may decide: team acme/ml"]
    # An approver lifts it with a reason.
    lifts = vote(request, BOB, Verdict.RELEASE, 3, reason="@cat it was looked at")
    votes = (vote(request, CAT, Verdict.HOLD), yes, lifts)
    assert judged(request, *votes, memberships=known).outcome is Outcome.APPROVED


def test_an_unread_team_that_disapproves_holds_and_does_not_reject() -> None:
    request = asked(disapprove=Actors(groups=(SECURITY,)))
    found = judged(request, vote(request, CAT, Verdict.REJECT), vote(request, ANN, after=2))
    assert found.outcome is Outcome.PENDING
    assert [each.who for each in found.objections] == [CAT]


def test_who_disapproves_is_looked_up_of_those_alone_who_object() -> None:
    request = asked(disapprove=Actors(groups=(SECURITY,)))
    votes = (vote(request, ANN), vote(request, CAT, Verdict.HOLD))
    asks = {(q.actor, q.group) for q in questions(request, Evidence(OPENED, votes, author=OPENER))}
    assert asks == {(ANN, ML), (CAT, ML), (CAT, SECURITY)}


def test_a_member_of_the_team_approves() -> None:
    request = asked()
    found = judged(request, vote(request, ANN))
    assert (found.outcome, found.by, found.reason) == (
        Outcome.APPROVED,
        Decider.PERSON,
        "approved by ann",
    )


def test_somebody_outside_the_team_is_told_who_may() -> None:
    request = asked()
    found = judged(request, vote(request, EVE))
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == ["eve is not among those who may decide: team acme/ml"]


def test_a_membership_that_could_not_be_read_never_counts_and_says_so() -> None:
    request = asked()
    fact = Membership(1, ML, Answer.UNKNOWN, "GitHub answered 404")
    found = judged(request, vote(request, ANN), memberships=(fact,))
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == [
        "it could not be read whether ann is in acme/ml (GitHub answered 404)"
    ]


def test_what_was_never_looked_up_is_unknown() -> None:
    request = asked()
    found = judged(request, vote(request, ANN), memberships=())
    assert why_not(found) == [
        "it could not be read whether ann is in acme/ml (it was not looked up)"
    ]


def test_a_rejection_of_unknown_standing_does_not_count_either() -> None:
    request = asked()
    found = judged(request, vote(request, ANN, Verdict.REJECT), memberships=())
    assert found.outcome is Outcome.PENDING


@given(st.permutations([Answer.MEMBER, Answer.NOT, Answer.UNKNOWN]))
def test_two_answers_that_disagree_are_none(answers: list[Answer]) -> None:
    request = asked()
    facts = tuple(Membership(1, ML, each) for each in answers)
    assert judged(request, vote(request, ANN), memberships=facts).outcome is Outcome.PENDING


def test_an_unread_team_does_not_hide_one_that_was_read() -> None:
    request = asked(Approvals(Actors(groups=(SECURITY, ML))))
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


def test_an_account_is_named_without_regard_to_case() -> None:
    request = asked(Approvals(Actors(users=("Ann",))))
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


@pytest.mark.parametrize("login", ["\u212aatie", "kat\u0131e", "katie\u200b", "kаtie"])
def test_a_login_that_only_looks_alike_is_somebody_else(login: str) -> None:
    request = asked(Approvals(Actors(users=("katie",))))
    assert judged(request, vote(request, account(login, 66))).outcome is Outcome.PENDING


def test_a_login_taken_over_by_another_account_does_not_count() -> None:
    request = asked(Approvals(Actors(users=("ann#1",))))
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED
    found = judged(request, vote(request, account("ann", 77)))
    assert why_not(found) == ["the policy names ann with the number 1, and you are 77"]


def test_an_account_that_took_another_login_is_still_the_same() -> None:
    request = asked(Approvals(Actors(users=("ann#1",))))
    assert judged(request, vote(request, account("annette", 1))).outcome is Outcome.APPROVED


def test_a_display_name_is_anybodys_to_choose() -> None:
    request = asked(Approvals(Actors(names=("ann",))))
    poser = replace(EVE, name="ann", email="ann", teams=("ann",))
    assert judged(request, vote(request, poser)).outcome is Outcome.PENDING
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("asked_for", "permission", "role", "answer"),
    [
        ("maintain", "write", "maintain", Answer.MEMBER),  # GitHub's `permission` says write here
        ("maintain", "admin", "admin", Answer.MEMBER),
        ("maintain", "write", "write", Answer.NOT),
        ("maintain", "maintain", "ml-lead", Answer.MEMBER),
        ("maintain", "write", "ml-lead", Answer.NOT),
        ("admin", "none", "", Answer.NOT),
        ("maintain", "owner", "ml-lead", Answer.UNKNOWN),
        ("all", "admin", "admin", Answer.UNKNOWN),
    ],
)
def test_a_permission_reaches_those_beneath_it(
    asked_for: str, permission: str, role: str, answer: Answer
) -> None:
    assert reaches(Group(GroupKind.PERMISSION, asked_for), permission, role) is answer


def test_a_role_of_ones_own_is_meant_exactly() -> None:
    lead = Group(GroupKind.ROLE, "ml-lead")
    assert reaches(lead, "write", "ML-lead") is Answer.MEMBER
    assert reaches(lead, "admin", "admin") is Answer.NOT


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS))
def test_a_higher_permission_never_reaches_less(one: str, other: str) -> None:
    low, high = sorted((one, other), key=LEVELS.index)
    for level in LEVELS:
        group = Group(GroupKind.PERMISSION, level)
        if reaches(group, low, low) is Answer.MEMBER:
            assert reaches(group, high, high) is Answer.MEMBER


# -- how many, and of whom -------------------------------------------------------------------------


def test_one_person_from_each_group() -> None:
    request = asked(EachOf((Actors(groups=(ML,)), Actors(users=("cat",)))))
    one = judged(request, vote(request, ANN))
    assert one.outcome is Outcome.PENDING
    assert one.reason == "waiting: 1 of 2, one from each: team acme/ml: ann; cat: nobody yet"
    assert judged(request, vote(request, ANN), vote(request, CAT)).outcome is Outcome.APPROVED


def test_nobody_stands_for_two_groups_at_once() -> None:
    request = asked(EachOf((Actors(groups=(ML,)), Actors(users=("ann", "cat")))))
    assert judged(request, vote(request, ANN)).outcome is Outcome.PENDING
    assert judged(request, vote(request, ANN), vote(request, BOB)).outcome is Outcome.APPROVED


def test_where_rules_are_joined_one_person_may_answer_for_both() -> None:
    request = asked(AllOf((ML_TEAM, Approvals(Actors(users=("ann",))))))
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


@given(st.lists(st.frozensets(st.integers(0, 5), max_size=4), max_size=5))
def test_people_are_matched_to_groups_as_well_as_can_be(choices: list[frozenset[int]]) -> None:
    found = match_up(choices)
    assert len(set(found.values())) == len(found)
    assert all(each in choices[at] for at, each in found.items())

    def best(left: list[frozenset[int]], taken: frozenset[int]) -> int:
        if not left:
            return 0
        skipped = best(left[1:], taken)
        return max([skipped, *(1 + best(left[1:], taken | {p}) for p in left[0] - taken)])

    assert len(found) == best(choices, frozenset())


def test_the_tree_says_who_does_not_count_where() -> None:
    rule = AllOf((ML_TEAM, Approvals(Actors(groups=(SECURITY,)))))
    request = asked(rule)
    facts = (*members(ML, ANN), Membership(1, SECURITY, Answer.UNKNOWN, "GitHub answered 404"))
    found = judged(request, vote(request, ANN), memberships=facts)
    assert found.reason == (
        "waiting: 1 of 1 approval from team acme/ml (ann),"
        " and 0 of 1 approval from team acme/security"
    )
    missing = found.finding.children[0].children[1]
    assert [each.says for each in missing.children] == [
        "it could not be read whether ann is in acme/security (GitHub answered 404)"
    ]


# -- bars ------------------------------------------------------------------------------------------


def test_whoever_started_the_run_does_not_decide() -> None:
    request = asked()
    found = judged(request, vote(request, INA))
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == ["you started this run; someone else must approve"]


@pytest.mark.parametrize("verdict", [Verdict.CHANGES, Verdict.HOLD, Verdict.REJECT])
def test_whoever_started_the_run_rejects_nothing_and_may_hold_it(verdict: Verdict) -> None:
    request = asked()
    found = judged(request, vote(request, INA, verdict), vote(request, ANN))
    assert (found.outcome, found.reason) == (Outcome.PENDING, "held by ina")


def test_a_policy_may_let_them() -> None:
    request = asked(bars=Bars(initiator=False))
    assert judged(request, vote(request, INA)).outcome is Outcome.APPROVED


def test_whoever_opened_the_request_does_not_decide() -> None:
    request = asked()
    found = judged(request, vote(request, ANN), author=ANN)
    assert why_not(found) == ["you opened this request; someone else must approve"]
    assert judged(request, vote(request, BOB), author=ANN).outcome is Outcome.APPROVED


def test_an_author_who_could_not_be_read_stops_every_approval() -> None:
    request = asked()
    found = judged(request, vote(request, ANN), author=None)
    assert found.outcome is Outcome.PENDING
    assert "it could not be read who opened this request" in found.reason


def test_a_bot_never_counts_even_where_it_is_named() -> None:
    request = asked(Approvals(Actors(users=("ann",))))
    found = judged(request, vote(request, replace(ANN, bot=True)))
    assert why_not(found) == ["a bot's answer never counts"]


def test_the_policy_bars_whom_it_names() -> None:
    request = asked(bars=Bars(users=("Bob",)))
    found = judged(request, vote(request, BOB))
    assert why_not(found) == ["the policy bars you from deciding this gate"]


def test_an_initiator_nobody_can_map_blocks() -> None:
    request = asked(initiator=None)
    found = judged(request, vote(request, ANN))
    assert found.outcome is Outcome.PENDING
    assert "it was started by ina@corp, as the run says" in found.reason
    assert "add `ina@corp: LOGIN` under `identities:`" in found.reason


def test_an_initiator_nobody_can_map_may_be_allowed_by_the_policy() -> None:
    request = asked(initiator=None, initiator_is=Initiator.UNKNOWN)
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


def test_a_policy_may_ask_for_a_proof_of_who_started_the_run_and_says_what_gives_one() -> None:
    request = asked(initiator_is=Initiator.PROVEN)
    found = judged(request, vote(request, ANN))
    assert found.outcome is Outcome.PENDING
    assert "ina@corp, as the run says, which is no proof" in found.reason
    assert "`initiator: claimed`" in found.reason
    proven = (asked_at(OPENED), proof(INA))
    assert judged(request, vote(request, ANN), facts=proven).outcome is Outcome.APPROVED


def test_a_request_proves_nothing_of_itself() -> None:
    request = replace(asked(initiator_is=Initiator.PROVEN), facts=(proof(BOB),))
    assert judged(request, vote(request, ANN)).outcome is Outcome.PENDING
    lax = replace(asked(), facts=(proof(BOB),))
    assert why_not(judged(lax, vote(lax, INA))) == [
        "you started this run; someone else must approve"
    ]


def test_who_surely_started_the_run_does_not_decide_whomever_the_run_names() -> None:
    """Ann runs it on her laptop, opens it with her own token, and says that Bob did."""
    request = replace(asked(initiator="bob"), facts=started_by("bob@corp"))
    learned = (asked_at(OPENED), proof(ANN, Source.OPENER))
    barred = "you started this run; someone else must approve"
    assert why_not(judged(request, vote(request, ANN), facts=learned)) == [barred]
    assert judged(request, vote(request, BOB), facts=learned).outcome is Outcome.APPROVED
    assert why_not(judged(request, vote(request, BOB))) == [barred]


def test_everybody_who_surely_started_the_run_is_barred() -> None:
    actor = replace(proof(BOB), name=About.ACTOR)
    request = asked()
    votes = vote(request, ANN), vote(request, BOB)
    assert len(why_not(judged(request, *votes, facts=(proof(ANN), actor)))) == 2


def test_an_account_is_proven_by_its_number_and_not_by_its_login() -> None:
    request = asked(initiator=None)
    named = replace(proof(INA), value="@ina")
    assert "not known which account" in judged(request, vote(request, ANN), facts=(named,)).reason
    renamed = replace(proof(INA), value="@somebody#4")
    found = judged(request, vote(request, INA), facts=(renamed,))
    assert why_not(found) == ["you started this run; someone else must approve"]


def test_an_unmapped_initiator_of_the_same_login_is_barred_all_the_same() -> None:
    request = asked(initiator=None, initiator_is=Initiator.UNKNOWN)
    request = replace(request, facts=started_by("Ann"))
    found = judged(request, vote(request, ANN))
    assert why_not(found) == ["you started this run; someone else must approve"]


def test_an_unmapped_initiator_does_not_silence_a_no() -> None:
    request = asked(initiator=None)
    assert judged(request, vote(request, ANN, Verdict.REJECT)).outcome is Outcome.REJECTED


def test_too_few_people_left_is_said() -> None:
    request = asked(Approvals(Actors(users=("ina", "ann")), 2))
    assert "too few people are left who may approve" in judged(request).reason
    enough = asked(Approvals(Actors(users=("ina", "ann", "bob")), 2))
    assert "too few" not in judged(enough).reason


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [-2 * 24 * 60, 2 * 24 * 60])
def test_a_deadline_counts_from_what_github_says_and_not_from_what_the_request_says(
    says: int,
) -> None:
    """The timeout is an hour."""
    request = replace(asked(on_timeout=OnTimeout.APPROVE), opened_at=OPENED + says * MINUTE)
    assert judged(request, after=59).outcome is Outcome.PENDING
    found = judged(request, after=60)
    assert (found.outcome, found.by) == (Outcome.APPROVED, Decider.CLOCK)
    late = replace(asked(), opened_at=request.opened_at)
    assert why_not(judged(late, vote(late, ANN, after=61), after=70)) == [
        "it came after the deadline, 2026-03-01 13:00:00 UTC"
    ]


def test_the_clock_approves_nothing_while_only_the_request_says_when_it_was_asked() -> None:
    request = asked(on_timeout=OnTimeout.APPROVE)
    for unproven in ((), (replace(asked_at(OPENED), proven=False),)):
        assert judged(request, after=600, facts=unproven).outcome is Outcome.PENDING
    assert judged(asked(), after=600, facts=()).outcome is Outcome.EXPIRED


def test_a_decision_of_the_clock_is_judged_again_by_the_time_that_it_records() -> None:
    request = replace(asked(on_timeout=OnTimeout.APPROVE), opened_at=OPENED - 600 * MINUTE)
    evidence = Evidence(OPENED + 60 * MINUTE, author=OPENER, facts=(asked_at(OPENED),))
    made = decision_of(Standing(request, None, "c"), evaluate(request, evidence), evidence)
    assert evaluate(request, made.evidence).by is Decider.CLOCK
    forgotten = replace(made, facts=())
    assert evaluate(request, forgotten.evidence).outcome is Outcome.PENDING


# -- holds and dismissed reviews -------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.HOLD, Verdict.CHANGES])
def test_a_hold_keeps_the_gate_open_whoever_approves(verdict: Verdict) -> None:
    request = asked()
    hold = vote(request, BOB, verdict, reason="audit first")
    found = judged(request, vote(request, ANN), hold)
    assert (found.outcome, found.by) == (Outcome.PENDING, None)
    assert found.reason == "held by bob: audit first"
    assert found.heeded == (hold,)


@pytest.mark.parametrize("verdict", [Verdict.HOLD, Verdict.CHANGES])
def test_a_hold_ends_when_that_person_approves(verdict: Verdict) -> None:
    request = asked()
    hold = vote(request, BOB, verdict)
    assert judged(request, hold, vote(request, BOB, after=2)).outcome is Outcome.APPROVED
    assert judged(request, hold, vote(request, ANN, after=2)).outcome is Outcome.PENDING


@pytest.mark.parametrize("verdict", [Verdict.HOLD, Verdict.CHANGES])
def test_a_hold_is_lifted_by_its_author_or_by_an_approver_who_names_them_and_says_why(
    verdict: Verdict,
) -> None:
    request = asked()
    votes = (vote(request, BOB, verdict), vote(request, ANN))
    for actor, text, outcome in (
        (BOB, "", Outcome.APPROVED),
        (BOB, "the tests are green", Outcome.APPROVED),
        (ANN, "@bob the tests are green", Outcome.APPROVED),
        (ANN, "@Bob: the tests are green", Outcome.APPROVED),
        (ANN, "@bob", Outcome.PENDING),
        (ANN, "", Outcome.PENDING),
        (ANN, "@eve the tests are green", Outcome.PENDING),
        (EVE, "@bob the tests are green", Outcome.PENDING),
        (INA, "@bob the tests are green", Outcome.PENDING),
    ):
        release = vote(request, actor, Verdict.RELEASE, after=2, reason=text)
        assert judged(request, *votes, release).outcome is outcome


@pytest.mark.parametrize(
    ("actor", "text", "why"),
    [
        (ANN, "", "you have no objection here: to lift another's write `/unhold @bob why`"),
        (ANN, "@bob", "say why: `/unhold @bob the reason`"),
        (ANN, "@bob \u200b", "say why: `/unhold @bob the reason`"),
        (ANN, "@bob &#8203;<br>", "say why: `/unhold @bob the reason`"),
        (ANN, "@cat it is fine", "cat has no objection here"),
        (INA, "@bob it is fine", "you started this run; someone else must approve"),
    ],
)
def test_who_lifts_nothing_is_told_why(actor: Actor, text: str, why: str) -> None:
    request = asked()
    release = vote(request, actor, Verdict.RELEASE, after=2, reason=text)
    assert why_not(judged(request, vote(request, BOB, Verdict.HOLD), release)) == [why]


def test_an_earlier_release_releases_nothing() -> None:
    request = asked()
    release = vote(request, ANN, Verdict.RELEASE, after=1)
    hold = vote(request, BOB, Verdict.HOLD, after=2)
    assert judged(request, release, hold, vote(request, ANN)).outcome is Outcome.PENDING


def test_who_may_not_decide_cannot_hold() -> None:
    request = asked()
    hold = vote(request, EVE, Verdict.HOLD)
    assert judged(request, hold, vote(request, ANN)).outcome is Outcome.APPROVED


def test_a_release_takes_nobodys_approval_away() -> None:
    request = asked()
    votes = (vote(request, ANN), vote(request, ANN, Verdict.RELEASE, after=3))
    assert judged(request, *votes).outcome is Outcome.APPROVED


def test_a_held_gate_is_not_approved_by_the_clock_and_still_expires() -> None:
    approving, rejecting = asked(on_timeout=OnTimeout.APPROVE), asked()
    for request, outcome in ((approving, Outcome.PENDING), (rejecting, Outcome.EXPIRED)):
        hold = vote(request, BOB, Verdict.HOLD)
        assert judged(request, hold, after=60).outcome is outcome


def test_a_held_gate_is_not_approved_by_a_condition() -> None:
    request = asked(auto_approve_if="accuracy >= 0.5", facts=Facts.CLAIMED)
    holds = Condition("accuracy >= 0.5", {"accuracy": 0.5}, True)
    assert judged(request, condition=holds).outcome is Outcome.APPROVED
    hold = vote(request, BOB, Verdict.HOLD)
    assert judged(request, hold, condition=holds).outcome is Outcome.PENDING


def test_where_the_policy_says_so_requesting_changes_rejects() -> None:
    request = asked(request_changes=RequestChanges.REJECT)
    found = judged(request, vote(request, ANN), vote(request, BOB, Verdict.CHANGES, reason="no"))
    assert (found.outcome, found.reason) == (Outcome.REJECTED, "rejected by bob: no")


def test_a_dismissed_approval_is_no_vote_whoever_dismissed_it() -> None:
    request = asked()
    found = judged(request, vote(request, ANN, dismissed_by=EVE))
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == ["it was dismissed: approve again if you still do"]


def test_an_older_approval_does_not_step_out_from_behind_a_dismissed_one() -> None:
    request = asked()
    dismissed = vote(request, ANN, after=2, dismissed_by=EVE)
    assert judged(request, vote(request, ANN), dismissed).outcome is Outcome.PENDING
    again = vote(request, ANN, after=3)
    assert judged(request, vote(request, ANN), dismissed, again).outcome is Outcome.APPROVED


def test_the_policy_may_leave_dismissing_to_those_who_may_decide() -> None:
    request = asked(dismissed_reviews=DismissedReviews.DECIDERS)
    for dismisser, outcome in (
        (EVE, Outcome.APPROVED),
        (INA, Outcome.APPROVED),
        (BOB, Outcome.PENDING),
        (account("nobody-looked", 9), Outcome.PENDING),  # unknown: to the safe side
    ):
        assert judged(request, vote(request, ANN, dismissed_by=dismisser)).outcome is outcome


@pytest.mark.parametrize("dismisser", [EVE, INA, OPENER, account("nobody-looked", 9)])
def test_requested_changes_hold_until_one_who_may_decide_dismisses_them(dismisser: Actor) -> None:
    request = asked()
    changes = vote(request, BOB, Verdict.CHANGES, dismissed_by=dismisser, url="the review")
    assert judged(request, vote(request, ANN), changes).outcome is Outcome.PENDING
    lifted = replace(changes, dismissed_by=ANN)
    assert judged(request, vote(request, ANN), lifted).outcome is Outcome.APPROVED


def test_what_the_forge_voids_is_told_with_its_reason() -> None:
    request = asked()
    edited = Dismissal(
        vote(request, ANN), Why(ReasonCode.EDITED, "it was edited after it was written")
    )
    found = judged(request, dismissed=(edited,))
    assert found.outcome is Outcome.PENDING
    assert found.dismissals == (edited,)


# -- what must be looked up ------------------------------------------------------------------------


def test_only_what_can_matter_is_looked_up() -> None:
    rule = AnyOf(
        (Approvals(Actors(users=("ann",), groups=(ML,))), Approvals(Actors(groups=(MAINTAIN,))))
    )
    request = asked(rule, bars=Bars(users=("eve",)))
    votes = (
        vote(request, ANN),  # named in the first rule, not in the second
        vote(request, BOB),
        vote(request, BOB, after=2),
        vote(request, INA),  # barred
        vote(request, EVE),  # barred
        vote(request, CAT, digest="sha256:other"),
        vote(request, OPENER),
    )
    evidence = Evidence(OPENED, votes, author=OPENER)
    asks = {(each.actor.login, each.group) for each in questions(request, evidence)}
    assert asks == {("ann", MAINTAIN), ("bob", ML), ("bob", MAINTAIN)}
    known = replace(evidence, memberships=(Membership(2, ML, Answer.NOT),))
    left = {(each.actor.login, each.group) for each in questions(request, known)}
    assert left == {("ann", MAINTAIN), ("bob", MAINTAIN)}


def test_whoever_dismissed_a_review_is_looked_up_too() -> None:
    request = asked()
    votes = (vote(request, ANN, Verdict.CHANGES, dismissed_by=BOB),)
    asks = questions(request, Evidence(OPENED, votes, author=OPENER))
    assert {each.actor.login for each in asks} == {"ann", "bob"}


# -- the flow's own wishes -------------------------------------------------------------------------


def narrowed(policy: Policy, **declared: Any) -> Policy:
    return narrow(Selected("rule", policy), Declared(**declared))


def test_whom_the_flow_does_not_name_cannot_approve() -> None:
    policy = narrowed(asked().policy, approvers=("@bob", "acme/security"))
    request = replace(asked(), policy=policy)
    found = judged(
        request, vote(request, ANN), memberships=(*members(ML, ANN, BOB), *members(SECURITY))
    )
    assert found.outcome is Outcome.PENDING
    assert why_not(found) == ["the flow itself names who approves this: bob or team acme/security"]
    assert judged(request, vote(request, BOB)).outcome is Outcome.APPROVED


def test_whom_the_flow_does_not_name_can_still_reject_and_hold() -> None:
    request = replace(asked(), policy=narrowed(asked().policy, approvers=("bob",)))
    for verdict, outcome in ((Verdict.REJECT, Outcome.REJECTED), (Verdict.HOLD, Outcome.PENDING)):
        votes = (vote(request, ANN, verdict), vote(request, BOB))
        assert judged(request, *votes).outcome is outcome


def test_the_flow_cannot_name_somebody_whom_the_policy_does_not() -> None:
    policy = Policy(Approvals(Actors(users=("ann", "bob"))))
    with pytest.raises(Faults, match="approvers= names eve"):
        narrowed(policy, approvers=("eve",))
    with pytest.raises(Faults, match="'Eve Adams' is neither an account"):
        narrowed(policy, approvers=("Eve Adams",))


def test_a_rule_that_the_initiator_alone_could_meet_is_refused_when_it_is_asked() -> None:
    with pytest.raises(Faults, match="ina started this run"):
        narrowed(Policy(Approvals(Actors(users=("ina",))), initiator="ina"))


@pytest.mark.parametrize(
    ("policy", "flow", "both"),
    [
        ((None, "reject"), (60, "notify"), (60, "notify")),
        ((None, "reject"), (60, "approve"), (60, "reject")),
        ((90, "reject"), (60, "approve"), (60, "reject")),
        ((90, "approve"), (60, "reject"), (60, "reject")),
        ((90, "notify"), (120, "reject"), (90, "reject")),
        ((90, "approve"), (60, "approve"), (90, "approve")),  # the clock is not set forward
        ((90, "approve"), (None, "reject"), (90, "approve")),
    ],
)
def test_of_two_deadlines_the_stricter_stands(policy: Any, flow: Any, both: Any) -> None:
    found = narrowed(
        Policy(ML_TEAM, policy[0], OnTimeout(policy[1])),
        timeout=flow[0],
        on_timeout=OnTimeout(flow[1]),
    )
    assert (found.timeout, found.on_timeout.value) == both


def test_a_condition_of_the_flow_approves_only_where_the_policy_lets_it() -> None:
    wish = Declared(auto_approve_if="accuracy >= 0.9")
    assert narrow(Selected("r", Policy(ML_TEAM)), wish).auto_approve_if is None
    named = Selected("r", Policy(ML_TEAM), auto_approve_if=("accuracy >= 0.95", "accuracy>=0.9"))
    assert narrow(named, wish).auto_approve_if == "accuracy >= 0.9"
    for other in ("accuracy >= 0.8", "environment == x", "a function", None):
        assert narrow(named, Declared(auto_approve_if=other)).auto_approve_if is None


# -- deciding without a person ---------------------------------------------------------------------

HOLDS = Condition("environment == production", {"environment": "production"}, True)


def environment(named: str, *, proven: bool = True) -> Fact:
    return Fact(About.ENVIRONMENT, named, Source.OIDC, proven)


@pytest.mark.parametrize(
    ("learned", "approved"),
    [
        ((), False),
        ((environment("production", proven=False),), False),
        ((environment("staging"),), False),
        ((environment("Production"),), True),
    ],
)
def test_a_condition_decides_on_what_is_proven(learned: tuple[Fact, ...], approved: bool) -> None:
    request = asked(auto_approve_if=HOLDS.text)
    found = judged(request, condition=HOLDS, facts=learned)
    assert (found.outcome is Outcome.APPROVED) is approved
    assert approved or "only the run says its environment" in found.reason
    consent = asked(auto_approve_if=HOLDS.text, facts=Facts.CLAIMED)
    assert judged(consent, condition=HOLDS, facts=learned).by is Decider.CONDITION


def test_nothing_proves_a_value_that_the_run_computed() -> None:
    request = asked(auto_approve_if="environment == 1")
    computed = Condition("environment == 1", {"accuracy": 1}, True)
    found = judged(request, condition=computed, facts=(environment("production"),))
    assert found.outcome is Outcome.PENDING


def test_neither_the_clock_nor_a_condition_decides_by_a_policy_that_a_claim_chose() -> None:
    # A run that says `environment: sandbox` gets the policy of a sandbox.
    request = asked(
        on_timeout=OnTimeout.APPROVE, auto_approve_if=HOLDS.text, chosen_by=("environment", "flow")
    )
    for after in (5, 120):
        found = judged(request, after=after, condition=HOLDS)
        assert found.outcome is Outcome.PENDING
        assert "`facts: claimed` in the policy accepts that" in found.reason
    late = judged(request, vote(request, ANN, after=100), after=120)
    assert (late.outcome, late.by) == (Outcome.APPROVED, Decider.PERSON)
    path = Fact(About.WORKFLOW, ".github/workflows/flow", Source.OIDC, proven=True)
    proven = (asked_at(OPENED), environment("production"), path)
    assert judged(request, after=120, facts=proven).by is Decider.CLOCK
    consent = replace(request, policy=replace(request.policy, facts=Facts.CLAIMED))
    assert judged(consent, after=120).by is Decider.CLOCK


def test_a_person_may_decide_by_a_policy_that_a_claim_chose() -> None:
    request = asked(chosen_by=("environment",))
    assert judged(request, vote(request, ANN)).outcome is Outcome.APPROVED


def test_only_a_policy_that_decides_without_a_person_says_what_it_was_chosen_by() -> None:
    policy = Policy(ML_TEAM, timeout=60, chosen_by=("environment",))
    assert narrow(Selected("r", policy), Declared()).chosen_by == ()
    clock = replace(policy, on_timeout=OnTimeout.APPROVE)
    assert narrow(Selected("r", clock), Declared(on_timeout=OnTimeout.APPROVE)).chosen_by


# -- what if ---------------------------------------------------------------------------------------


def test_simulating_an_approval_is_the_same_evaluation() -> None:
    request = asked(Approvals(Actors(users=("ann", "bob"), groups=(ML,)), 2))
    before = Evidence(OPENED, (vote(request, ANN),), author=OPENER)
    assert evaluate(request, simulated(request, before, ["bob"])).outcome is Outcome.APPROVED
    assert evaluate(request, simulated(request, before, ["ina"])).outcome is Outcome.PENDING
    unread = evaluate(request, simulated(request, before, ["dan"]))
    assert why_not(unread) == [
        "it could not be read whether dan is in acme/ml (it was not looked up)"
    ]


def test_simulating_may_suppose_who_is_in_a_team() -> None:
    request = asked()
    supposed = simulated(request, Evidence(OPENED, author=OPENER), ["dan"], {"dan": [ML]})
    assert evaluate(request, supposed).outcome is Outcome.APPROVED


def test_simulating_somebody_who_has_voted_already_counts_them_once() -> None:
    request = asked(TWO_OF_ML)
    evidence = Evidence(OPENED, (vote(request, ANN),), memberships=members(ML, ANN), author=OPENER)
    found = evaluate(request, simulated(request, evidence, ["Ann"]))
    assert found.finding.children[0].says == "1 of 2 approvals from team acme/ml (ann)"


# -- rules that cannot stand -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        Policy(Approvals(Actors(users=("ann",)), 2)),
        Policy(Approvals(Actors(users=("ann", "Ann")), 2)),
        Policy(Approvals(Actors(users=("ann", "bob")), 2), bars=Bars(users=("bob",))),
        Policy(EachOf(())),
        Policy(EachOf((Actors(),))),
        Policy(EachOf((Actors(users=("ann",)), Actors(users=("ann",))))),
    ],
    ids=repr,
)
def test_a_rule_that_can_never_be_met_is_invalid(policy: Policy) -> None:
    with pytest.raises(Faults):
        check_policy(policy)


def test_who_is_in_a_team_is_the_forges_to_say() -> None:
    check_policy(Policy(Approvals(Actors(users=("ann",), groups=(ML,)), 9)))


# -- whatever comes --------------------------------------------------------------------------------

NAMES = [each.login or "" for each in EVERYBODY]
SOME = st.builds(
    Actors,
    users=st.lists(st.sampled_from([*NAMES, "ann#1", "bob#99"]), max_size=3).map(tuple),
    groups=st.lists(st.sampled_from([ML, SECURITY, MAINTAIN]), max_size=2).map(tuple),
)
RULES = st.recursive(
    st.builds(Approvals, SOME, st.integers(0, 3))
    | st.builds(EachOf, st.lists(SOME, max_size=3).map(tuple)),
    lambda inner: (
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=4,
)
BARS = st.builds(
    Bars, st.booleans(), st.booleans(), st.lists(st.sampled_from(NAMES), max_size=2).map(tuple)
)
POLICIES = st.builds(
    Policy,
    RULES,
    timeout=st.sampled_from([None, 600, 1_800]),
    on_timeout=st.sampled_from(OnTimeout),
    auto_approve_if=st.sampled_from([None, "x == 1"]),
    bars=BARS,
    only=st.none() | SOME,
    disapprove=st.none() | SOME,
    request_changes=st.sampled_from(RequestChanges),
    dismissed_reviews=st.sampled_from(DismissedReviews),
    initiator_is=st.sampled_from(Initiator),
    facts=st.sampled_from(Facts),
    chosen_by=st.sampled_from([(), ("environment",)]),
    initiator=st.sampled_from([None, "ina", "ann"]),
)
FACTS = st.builds(
    lambda answers: tuple(
        Membership(actor.id or 0, group, answer)
        for (actor, group), answer in zip(
            [(a, g) for a in EVERYBODY for g in (ML, SECURITY, MAINTAIN)], answers, strict=True
        )
    ),
    st.lists(st.sampled_from(Answer), min_size=15, max_size=15),
)
LEARNED = st.lists(
    st.sampled_from([proof(INA), proof(ANN, Source.OPENER), *started_by("bob"), asked_at(OPENED)]),
    max_size=3,
).map(tuple)
AUTHORS = st.sampled_from([OPENER, OPENER, ANN, None])
MOMENTS = st.integers(0, 40)


def cast(request: ApprovalRequest) -> st.SearchStrategy[Vote]:
    return st.builds(
        vote,
        st.just(request),
        st.sampled_from([*EVERYBODY, OPENER]),
        st.sampled_from(Verdict),
        st.integers(0, 6),
        digest=st.sampled_from([digest_of(request)] * 4 + ["sha256:other"]),
        dismissed_by=st.sampled_from([None, None, None, *EVERYBODY, OPENER]),
    )


@st.composite
def cases(draw: Any) -> tuple[ApprovalRequest, Evidence]:
    request = replace(asked(), policy=draw(POLICIES))
    votes = tuple(draw(st.lists(cast(request), max_size=7)))
    condition = draw(st.sampled_from([None, Condition("x == 1", {"x": 1}, True)]))
    now = OPENED + draw(MOMENTS) * MINUTE
    found = Evidence(now, votes, condition, draw(FACTS), draw(AUTHORS))
    return request, replace(found, facts=draw(LEARNED))


@given(cases(), st.randoms())
def test_order_and_doubles_never_matter(case: Any, random: Any) -> None:
    request, evidence = case
    votes = [*evidence.votes, *evidence.votes[:2]]
    facts = [*evidence.memberships, *evidence.memberships[:2]]
    random.shuffle(votes)
    random.shuffle(facts)
    other = replace(evidence, votes=tuple(votes), memberships=tuple(facts))
    found, again = evaluate(request, evidence), evaluate(request, other)
    assert (found.outcome, found.by, found.finding, found.candidates) == (
        again.outcome,
        again.by,
        again.finding,
        again.candidates,
    )


@given(cases(), st.sampled_from(EVERYBODY), st.integers(0, 6))
def test_one_more_approval_never_undoes_an_approval(case: Any, actor: Actor, after: int) -> None:
    request, evidence = case
    if evaluate(request, evidence).outcome is Outcome.APPROVED:
        more = replace(evidence, votes=(*evidence.votes, vote(request, actor, after=after)))
        assert evaluate(request, more).outcome is Outcome.APPROVED


@given(cases(), st.integers(0, 14))
def test_forgetting_an_answer_of_the_forge_never_lets_a_person_approve(
    case: Any, index: int
) -> None:
    request, evidence = case
    # A rejection or a hold that can no longer be told to count may let others approve: it is the
    # approvals alone that an unknown must never make.
    votes = tuple(
        replace(each, dismissed_by=None)
        for each in evidence.votes
        if each.verdict is Verdict.APPROVE
    )
    whole = replace(evidence, votes=votes)
    facts = list(evidence.memberships)
    facts[index] = replace(facts[index], answer=Answer.UNKNOWN)
    blurred = evaluate(request, replace(whole, memberships=tuple(facts)))
    if (blurred.outcome, blurred.by) == (Outcome.APPROVED, Decider.PERSON):
        assert evaluate(request, whole).outcome is Outcome.APPROVED


@given(cases())
def test_what_is_unknown_never_counts(case: Any) -> None:
    request, evidence = case
    facts = tuple(replace(each, answer=Answer.UNKNOWN) for each in evidence.memberships)
    found = evaluate(request, replace(evidence, memberships=facts))
    named = {user for user in NAMES if user in str(request.policy)}
    assert all(each.actor.login in named for each in found.candidates)


@given(cases())
def test_who_is_barred_never_counts(case: Any) -> None:
    request, evidence = case
    bars, found = request.policy.bars, evaluate(request, evidence)
    proven = {each.value[1:4] for each in evidence.facts if each.name is About.INITIATOR}
    proven -= {"ob"}  # a claim names no account
    started = proven or {request.policy.initiator}
    barred = set(bars.users) | (started if bars.initiator else set())
    barred |= {evidence.author.login} if bars.author and evidence.author else set()
    assert not {each.actor.login for each in found.candidates} & barred
    heard = (*found.candidates, *found.heeded)
    assert not [each for each in heard if each.actor.bot]


@given(cases())
def test_nobody_counts_twice(case: Any) -> None:
    found = evaluate(*case)
    people = [each.actor.id for each in found.candidates]
    assert len(people) == len(set(people))


@given(cases(), st.lists(st.sampled_from([*NAMES, "acme/ml", "acme/security"]), max_size=3))
def test_narrowing_never_widens(case: Any, approvers: list[str]) -> None:
    request, evidence = case
    policy = replace(request.policy, only=None, auto_approve_if=None)
    wide = replace(request, policy=policy)
    try:
        narrower = narrow(Selected("r", policy), Declared(tuple(approvers)))
    except Faults:
        return
    tight = replace(request, policy=narrower)

    def outcome(under: ApprovalRequest) -> Outcome:
        votes = tuple(replace(each, digest=digest_of(under)) for each in evidence.votes)
        return evaluate(under, replace(evidence, votes=votes)).outcome

    if outcome(tight) is Outcome.APPROVED:
        assert outcome(wide) is Outcome.APPROVED


@given(POLICIES, st.sampled_from([None, 600, 1_200, 2_400]), st.sampled_from(OnTimeout), MOMENTS)
def test_a_flows_deadline_never_makes_the_clock_approve_earlier(
    policy: Policy, timeout: int | None, on_timeout: OnTimeout, now: int
) -> None:
    policy = replace(policy, require=ML_TEAM, bars=Bars(), initiator=None)
    tight = narrow(Selected("r", policy), Declared((), timeout, on_timeout))
    silent = Evidence(OPENED + now * MINUTE, author=OPENER, facts=(asked_at(OPENED),))
    if evaluate(replace(asked(), policy=tight), silent).outcome is Outcome.APPROVED:
        assert evaluate(replace(asked(), policy=policy), silent).outcome is Outcome.APPROVED


@given(cases())
def test_nobody_is_approved_by_people_without_enough_of_them(case: Any) -> None:
    request, evidence = case
    silent = replace(
        evidence, votes=tuple(v for v in evidence.votes if v.verdict is not Verdict.APPROVE)
    )
    found = evaluate(request, silent)
    assert (found.outcome, found.by) != (Outcome.APPROVED, Decider.PERSON)


@given(cases())
def test_what_is_recorded_carries_its_decision_when_it_is_judged_again(case: Any) -> None:
    request, evidence = case
    found = evaluate(request, evidence)
    if found.outcome is not Outcome.PENDING:
        made = decision_of(Standing(request, None, "c"), found, evidence)
        read = decision_in(decision_out(made))
        assert read == made
        again = evaluate(request, read.evidence)
        assert (again.outcome, again.by) == (found.outcome, found.by)


@given(POLICIES)
def test_a_request_reads_back_as_it_was_written(policy: Policy) -> None:
    request = replace(asked(), policy=policy)
    assert request_in(request_out(request)) == request


@given(POLICIES, POLICIES)
def test_another_policy_is_another_digest(one: Policy, other: Policy) -> None:
    same = digest_of(replace(asked(), policy=one)) == digest_of(replace(asked(), policy=other))
    assert same == (one == other)


def test_what_the_gate_says_of_itself_and_what_the_flow_wants_is_in_the_digest() -> None:
    request = asked()
    assert request.subject is not None
    staging = replace(request, subject=replace(request.subject, environment="staging"))
    wider = replace(request, declared=Declared())
    assert len({digest_of(each) for each in (request, staging, wider)}) == 3
