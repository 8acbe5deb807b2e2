from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.core import input_fields
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import (
    Actor,
    Channel,
    Condition,
    Decider,
    Evidence,
    Outcome,
    Verdict,
    Vote,
)
from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Gate, Standing, on_github
from bridge.core.records import decision_in, decision_out
from bridge.core.rules import Actors, AllOf, AnyOf, Approvals, EachOf, OnTimeout, Policy, Rule
from bridge.gates.decide import decision_of
from bridge.policy.evaluate import evaluate
from bridge.policy.narrow import check_policy
from bridge.policy.rule_words import takes

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

ANN = Actor("ann", "ann@example.org")
BOB = Actor("bob", "bob@example.org", teams=("ml",))
CAT = Actor("cat", "cat@example.org", teams=("security",))
EVE = Actor("eve", "eve@example.org")

ONE_OF_US = Approvals(Actors(names=("ann", "ml")))
TWO_OF_US = Approvals(Actors(names=("ann", "ml", "security")), 2)


def asked(rule: Rule = ONE_OF_US, **policy: Any) -> ApprovalRequest:
    policy = {"timeout": 86_400, **policy}
    return ApprovalRequest(Gate("here", "Flow/1/gate/3"), "Deploy?", Policy(rule, **policy), OPENED)


def vote(
    request: ApprovalRequest,
    actor: Actor = ANN,
    verdict: Verdict = Verdict.APPROVE,
    after: timedelta = HOUR,
    **more: Any,
) -> Vote:
    more = {"digest": digest_of(request), "channel": Channel.CLI, **more}
    return Vote(actor, verdict, OPENED + after, **more)


def judged(request: ApprovalRequest, *votes: Vote, after: timedelta = 2 * HOUR, **more: Any) -> Any:
    return evaluate(request, Evidence(OPENED + after, votes, **more))


no = partial(vote, verdict=Verdict.REJECT)

# -- people --------------------------------------------------------------------------------------


def test_nobody_having_answered_is_pending() -> None:
    found = judged(asked())
    assert found.outcome is Outcome.PENDING
    assert found.reason == "waiting: 0 of 1 approval from ann or ml"


def test_one_of_those_named_may_approve() -> None:
    request = asked()
    found = judged(request, vote(request))
    assert (found.outcome, found.by) == (Outcome.APPROVED, Decider.PERSON)
    assert found.reason == "approved by ann <ann@example.org>"


ML, SECURITY = Actors(names=("ml",)), Actors(names=("security",))


@pytest.mark.parametrize(
    ("rule", "people", "last"),
    [
        (ONE_OF_US, (), ("ann or ml",)),
        (TWO_OF_US, (), ()),
        (TWO_OF_US, (ANN,), ("ann or ml or security",)),
        (EachOf((ML, SECURITY)), (BOB,), ("security",)),
        (EachOf((ML, SECURITY)), (), ()),
        (AllOf((Approvals(ML), Approvals(SECURITY))), (), ()),
        (AllOf((Approvals(ML), Approvals(SECURITY))), (BOB,), ("security",)),
        (AnyOf((Approvals(ML, 2), Approvals(SECURITY))), (), ("security",)),
        (AnyOf((Approvals(ML, 2), Approvals(SECURITY))), (BOB,), ("ml", "security")),
    ],
)
def test_whose_approval_would_be_the_last_one_needed_is_known(
    rule: Rule, people: tuple[Actor, ...], last: tuple[str, ...]
) -> None:
    request = asked(rule)
    assert judged(request, *(vote(request, each) for each in people)).last == last


def test_no_approval_would_be_the_last_one_while_an_objection_holds() -> None:
    request = asked(TWO_OF_US)
    votes = (vote(request), vote(request, BOB, Verdict.HOLD))
    assert judged(request, *votes).last == ()


def test_a_team_answers_through_its_members() -> None:
    request = asked()
    assert judged(request, vote(request, BOB)).outcome is Outcome.APPROVED


def test_somebody_else_does_not_count_and_is_told_why() -> None:
    request = asked()
    found = judged(request, vote(request, EVE))
    assert found.outcome is Outcome.PENDING
    (dismissal,) = found.dismissals
    assert dismissal.reason == (
        "eve <eve@example.org> is not among those who may decide: ann or ml"
    )


def test_one_person_who_approves_twice_counts_once() -> None:
    request = asked(TWO_OF_US)
    again = replace(ANN, name="Ann", email="ANN@example.org")
    found = judged(request, vote(request), vote(request, again, after=2 * HOUR))
    assert found.outcome is Outcome.PENDING
    assert found.reason == (
        "waiting: 1 of 2 approvals from ann or ml or security (Ann <ANN@example.org>)"
    )


def test_two_people_are_two() -> None:
    request = asked(TWO_OF_US)
    assert judged(request, vote(request), vote(request, BOB)).outcome is Outcome.APPROVED


def test_a_rejection_by_one_who_may_decide_outweighs_every_approval() -> None:
    request = asked()
    found = judged(request, vote(request), no(request, BOB, reason="accuracy too low"))
    assert (found.outcome, found.by) == (Outcome.REJECTED, Decider.PERSON)
    assert found.reason == "rejected by bob <bob@example.org>: accuracy too low"


def test_a_rejection_by_one_who_may_not_decide_never_counts() -> None:
    request = asked()
    found = judged(request, vote(request), no(request, EVE))
    assert found.outcome is Outcome.APPROVED
    assert EVE not in {each.actor for each in found.candidates}


def test_the_later_word_of_a_person_stands() -> None:
    request = asked()
    first, later = no(request), vote(request, after=2 * HOUR)
    found = judged(request, first, later)
    assert found.outcome is Outcome.APPROVED
    assert [each.reason for each in found.dismissals] == ["they have answered again since"]


def test_at_the_same_second_no_is_the_later_word() -> None:
    request = asked()
    assert judged(request, no(request), vote(request)).outcome is Outcome.REJECTED


def test_an_approval_of_another_version_of_the_request_does_not_count() -> None:
    request = asked()
    other = digest_of(replace(request, message="Deploy to production?"))
    found = judged(request, vote(request, digest=other))
    assert found.outcome is Outcome.PENDING
    assert "another version" in found.dismissals[0].reason


def test_a_rejection_of_another_version_holds_and_rejects_nothing() -> None:
    request = asked()
    other = digest_of(replace(request, message="Deploy to production?"))
    found = judged(request, no(request, digest=other), vote(request, BOB))
    assert found.outcome is Outcome.PENDING
    assert found.reason.startswith("held by ann")


def test_all_rules_must_be_met() -> None:
    rule = AllOf((Approvals(Actors(names=("ml",))), Approvals(Actors(names=("security",)))))
    request = asked(rule)
    found = judged(request, vote(request, BOB))
    assert found.outcome is Outcome.PENDING
    assert found.reason == (
        "waiting: 1 of 1 approval from ml (bob <bob@example.org>),"
        " and 0 of 1 approval from security"
    )
    assert [part.met for part in found.finding.children[0].children] == [True, False]
    assert judged(request, vote(request, BOB), vote(request, CAT)).outcome is Outcome.APPROVED


def test_whoever_stands_in_two_rules_answers_for_both() -> None:
    rule = AllOf((Approvals(Actors(names=("ml",))), Approvals(Actors(names=("security",)))))
    request = asked(rule)
    both = replace(BOB, teams=("ml", "security"))
    assert judged(request, vote(request, both)).outcome is Outcome.APPROVED


def test_any_rule_will_do() -> None:
    rule = AnyOf((Approvals(Actors(names=("ml",)), 2), Approvals(Actors(names=("security",)))))
    request = asked(rule)
    assert judged(request, vote(request, BOB)).outcome is Outcome.PENDING
    assert judged(request, vote(request, CAT)).outcome is Outcome.APPROVED


def test_what_a_rule_takes_reads_in_one_way_only() -> None:
    ml, lead = Approvals(Actors(names=("ml",)), 2), Approvals(Actors(names=("lead",)))
    assert takes(AnyOf((lead, AllOf((ml, lead))))) == (
        "1 approval from lead, or (2 approvals from ml, and 1 approval from lead)"
    )


# -- identity ------------------------------------------------------------------------------------


def test_a_request_that_names_a_forge_is_never_satisfied_by_an_unproven_actor() -> None:
    request = replace(asked(), venue=on_github("o/r"))
    for actor in (ANN, replace(ANN, id=7), replace(ANN, proven=True)):
        found = judged(request, vote(request, actor))
        assert found.outcome is Outcome.PENDING
        assert "has not vouched for ann" in found.dismissals[0].reason
    request = replace(request, policy=replace(request.policy, initiator="zed"))
    proven = vote(request, replace(ANN, id=7, login="ann", proven=True))
    opener = Actor("bridge", id=1, bot=True)
    assert judged(request, proven, author=opener).outcome is Outcome.APPROVED
    assert judged(request, proven).outcome is Outcome.PENDING


def test_on_a_forge_one_account_under_two_names_is_one_person() -> None:
    request = replace(asked(TWO_OF_US), venue=on_github("o/r"))
    first = replace(ANN, id=7, proven=True)
    renamed = replace(BOB, id=7, proven=True)
    assert judged(request, vote(request, first), vote(request, renamed)).outcome is Outcome.PENDING


def test_on_a_forge_whoever_started_the_run_does_not_decide_about_it() -> None:
    request = replace(asked(), venue=on_github("o/r"), facts=started_by("ann"))
    found = judged(request, vote(request, replace(ANN, id=7, proven=True)))
    assert found.outcome is Outcome.PENDING
    assert "started this run" in found.dismissals[0].reason


# -- input ---------------------------------------------------------------------------------------

TYPED = replace(
    asked(), schema=input_fields.schema_of({"deploy_target": "str", "replicas": "int = 2"})
)
FITS = partial(input_fields.objection, TYPED.schema)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "its input does not fit: deploy_target: is missing"),
        ({"deploy_target": 3}, "its input does not fit: deploy_target: 3 is not text"),
        ({"deploy_target": "x", "y": 1}, "y: is not asked for"),
    ],
)
def test_an_approval_whose_input_does_not_fit_does_not_count(given: Any, says: str) -> None:
    found = evaluate(TYPED, Evidence(OPENED + HOUR, (vote(TYPED, inputs=given),)), FITS)
    assert found.outcome is Outcome.PENDING
    assert says in found.dismissals[0].reason


def test_a_rejection_needs_no_input() -> None:
    assert evaluate(TYPED, Evidence(OPENED + HOUR, (no(TYPED),)), FITS).outcome is Outcome.REJECTED


def test_a_later_approval_that_does_not_fit_does_not_undo_one_that_does() -> None:
    votes = (vote(TYPED, inputs={"deploy_target": "a"}), vote(TYPED, after=2 * HOUR))
    assert evaluate(TYPED, Evidence(OPENED + HOUR, votes), FITS).outcome is Outcome.APPROVED


def test_the_decision_holds_what_was_given_and_the_defaults() -> None:
    evidence = Evidence(OPENED + HOUR, (vote(TYPED, inputs={"deploy_target": "a"}),))
    decision = decision_of(Standing(TYPED, None, "c"), evaluate(TYPED, evidence, FITS), evidence)
    assert decision.inputs == {"deploy_target": "a", "replicas": 2}


# -- time and conditions -------------------------------------------------------------------------


def test_the_clock_rejects_where_nobody_answered() -> None:
    found = judged(asked(), after=24 * HOUR)
    assert (found.outcome, found.by) == (Outcome.EXPIRED, Decider.CLOCK)
    assert found.reason == "nobody answered by 2026-03-02 12:00:00 UTC"


def test_the_clock_approves_only_where_the_policy_says_so_and_as_the_clock() -> None:
    found = judged(asked(on_timeout=OnTimeout.APPROVE), after=24 * HOUR)
    assert (found.outcome, found.by) == (Outcome.APPROVED, Decider.CLOCK)
    assert found.reason.endswith("and the policy then approves")


def test_a_gate_that_only_notifies_goes_on_waiting() -> None:
    request = asked(on_timeout=OnTimeout.NOTIFY)
    assert judged(request, after=48 * HOUR).outcome is Outcome.PENDING
    late = vote(request, after=36 * HOUR)
    assert judged(request, late, after=48 * HOUR).outcome is Outcome.APPROVED


def test_a_gate_without_a_timeout_waits_for_ever() -> None:
    assert judged(asked(timeout=None), after=100_000 * HOUR).outcome is Outcome.PENDING


def test_an_approval_after_the_deadline_does_not_count() -> None:
    request = asked()
    found = judged(request, vote(request, after=24 * HOUR), after=25 * HOUR)
    assert found.outcome is Outcome.EXPIRED
    assert "after the deadline" in found.dismissals[0].reason


def test_an_approval_in_time_counts_however_late_it_is_looked_at() -> None:
    request = asked()
    assert judged(request, vote(request), after=99 * HOUR).outcome is Outcome.APPROVED


def test_too_few_answers_in_time_are_said_to_be_too_few() -> None:
    request = asked(TWO_OF_US)
    assert judged(request, vote(request), after=25 * HOUR).reason.startswith(
        "by 2026-03-02 12:00:00 UTC there was only 1 of 2 approvals"
    )


HOLDS = Condition("accuracy >= 0.9", {"accuracy": 0.94}, True)


def test_a_condition_approves_only_where_the_policy_names_it_and_as_a_condition() -> None:
    named = asked(auto_approve_if="accuracy >= 0.9")
    found = judged(named, condition=HOLDS)
    assert (found.outcome, found.by) == (Outcome.APPROVED, Decider.CONDITION)
    assert judged(asked(), condition=HOLDS).outcome is Outcome.PENDING
    assert judged(named, condition=replace(HOLDS, holds=False)).outcome is Outcome.PENDING
    assert judged(named, condition=replace(HOLDS, text="true")).outcome is Outcome.PENDING


def test_a_person_who_rejects_outweighs_a_condition_that_holds() -> None:
    request = asked(auto_approve_if="accuracy >= 0.9")
    assert judged(request, no(request), condition=HOLDS).outcome is Outcome.REJECTED


# -- policies that cannot stand ------------------------------------------------------------------

NOBODY = [
    Approvals(Actors()),
    Approvals(Actors(anyone=True), 0),
    Approvals(Actors(names=("ann",)), -1),
    Approvals(Actors(names=(" ",))),
    AllOf(()),
    AnyOf(()),
    AllOf((ONE_OF_US, AnyOf(()))),
]


@pytest.mark.parametrize("rule", NOBODY, ids=repr)
def test_a_rule_that_needs_nobody_is_invalid(rule: Rule) -> None:
    with pytest.raises(Faults):
        check_policy(Policy(rule))


@pytest.mark.parametrize("rule", NOBODY, ids=repr)
def test_a_rule_that_needs_nobody_approves_nothing_all_the_same(rule: Rule) -> None:
    assert judged(asked(rule)).outcome is Outcome.PENDING


def test_every_fault_of_a_policy_is_told_at_once() -> None:
    policy = Policy(AllOf((Approvals(Actors()), Approvals(Actors(anyone=True), 0))), timeout=0)
    with pytest.raises(Faults) as caught:
        check_policy(policy)
    assert len(caught.value.faults) == 3


def test_a_clock_that_approves_needs_a_timeout() -> None:
    with pytest.raises(Faults, match="no timeout to wait for"):
        check_policy(Policy(ONE_OF_US, on_timeout=OnTimeout.APPROVE))


@pytest.mark.parametrize(
    "policy",
    [Policy(ONE_OF_US, 60, OnTimeout.APPROVE), Policy(ONE_OF_US, auto_approve_if="x == 1")],
)
def test_what_approves_by_itself_must_not_owe_an_input(policy: Policy) -> None:
    check_policy(policy, input_fields.schema_of({"deploy_target": "str = staging"}))
    with pytest.raises(Faults, match="nobody to give deploy_target"):
        check_policy(policy, input_fields.schema_of({"deploy_target": "str"}))


# -- whatever comes ------------------------------------------------------------------------------

PEOPLE = st.sampled_from([ANN, BOB, CAT, EVE])
LEAVES = st.builds(
    Approvals,
    st.builds(
        Actors, st.lists(st.sampled_from(["ann", "ml", "security", "zed"]), max_size=3).map(tuple)
    ),
    st.integers(0, 3),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
REQUESTS = st.builds(
    asked,
    RULES,
    timeout=st.sampled_from([None, 3_600, 86_400]),
    on_timeout=st.sampled_from(OnTimeout),
    auto_approve_if=st.sampled_from([None, "accuracy >= 0.9"]),
)
MOMENTS = st.integers(0, 50).map(lambda n: n * HOUR / 2)
CONDITIONS = st.sampled_from([None, HOLDS, replace(HOLDS, holds=False)])


@st.composite
def cases(draw: Any) -> tuple[ApprovalRequest, tuple[Vote, ...]]:
    request = draw(REQUESTS)
    cast = st.builds(
        vote,
        st.just(request),
        PEOPLE,
        st.sampled_from(Verdict),
        MOMENTS,
        digest=st.sampled_from([digest_of(request), "sha256:other"]),
        reason=st.sampled_from(["", "no"]),
    )
    return request, tuple(draw(st.lists(cast, max_size=6)))


@given(cases(), MOMENTS, CONDITIONS, st.randoms())
def test_the_order_of_evidence_does_not_matter(
    case: Any, after: timedelta, condition: Condition | None, random: Any
) -> None:
    request, votes = case
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert judged(request, *votes, after=after, condition=condition) == judged(
        request, *shuffled, after=after, condition=condition
    )


@given(cases(), MOMENTS, PEOPLE, MOMENTS)
def test_one_more_approval_never_undoes_an_approval(
    case: Any, after: timedelta, person: Actor, when: timedelta
) -> None:
    request, votes = case
    if judged(request, *votes, after=after).outcome is Outcome.APPROVED:
        more = (*votes, vote(request, person, after=when))
        assert judged(request, *more, after=after).outcome is Outcome.APPROVED


@given(cases(), MOMENTS, CONDITIONS)
def test_without_an_approval_no_person_has_approved(
    case: Any, after: timedelta, condition: Condition | None
) -> None:
    request, votes = case
    silent = [each for each in votes if each.verdict is Verdict.REJECT]
    found = judged(request, *silent, after=after, condition=condition)
    assert found.by is not Decider.PERSON or found.outcome is Outcome.REJECTED


@given(cases(), MOMENTS, MOMENTS)
def test_a_clock_set_back_only_ever_waits(case: Any, now: timedelta, earlier: timedelta) -> None:
    request, votes = case
    back, on_time = sorted((now, earlier))
    found, before = judged(request, *votes, after=on_time), judged(request, *votes, after=back)
    assert before.outcome in {found.outcome, Outcome.PENDING}


@given(cases(), MOMENTS)
def test_only_those_the_rule_names_are_counted_and_each_once(case: Any, after: timedelta) -> None:
    request, votes = case
    found = judged(request, *votes, after=after)
    counted = [each.actor.email for each in found.candidates]
    assert len(set(counted)) == len(counted)
    assert EVE.email not in counted
    assert all(each.digest == digest_of(request) for each in found.candidates)
    answers = [each for each in votes if each.verdict is Verdict.APPROVE]
    if answers == list(votes):
        assert len(found.candidates) + len(found.dismissals) == len(votes)


def changed_their_mind_at_the_deadline() -> tuple[ApprovalRequest, tuple[Vote, ...]]:
    """Their approval counts because the objection that it lifts stopped the clock."""
    request = asked(Approvals(Actors(("ann",)), 1), timeout=3_600, on_timeout=OnTimeout.APPROVE)
    no = vote(request, ANN, Verdict.REJECT, 0 * HOUR)
    return request, (vote(request, ANN, after=0 * HOUR), no, vote(request, ANN, after=HOUR))


@example(changed_their_mind_at_the_deadline(), HOUR, None)
@given(cases(), MOMENTS, CONDITIONS)
def test_a_record_judged_again_gives_the_same_verdict(
    case: Any, after: timedelta, condition: Condition | None
) -> None:
    request, votes = case
    evidence = Evidence(OPENED + after, votes, condition)
    found = evaluate(request, evidence)
    if found.outcome is not Outcome.PENDING:
        made = decision_of(Standing(request, None, "c"), found, evidence)
        read = decision_in(decision_out(made))
        again = evaluate(request, read.evidence)  # all that the gated step and an audit judge by
        assert (again.outcome, again.by, again.reason) == (found.outcome, found.by, found.reason)


@given(cases(), MOMENTS)
def test_no_unproven_vote_settles_a_forges_gate(case: Any, after: timedelta) -> None:
    request, votes = case
    request = replace(request, venue=on_github("o/r"))
    found = judged(
        request, *(replace(each, digest=digest_of(request)) for each in votes), after=after
    )
    assert found.by is not Decider.PERSON


# -- the run ended ---------------------------------------------------------------------------------


def of_a_dead_run(
    request: ApprovalRequest, *votes: Vote, after: timedelta = HOUR
) -> tuple[Outcome, Decider | None, str]:
    found = evaluate(request, Evidence(OPENED + after, votes, ended="the run argo/r is gone"))
    return found.outcome, found.by, found.reason


def test_a_gate_whose_run_ended_is_withdrawn_with_the_reason() -> None:
    says = "withdrawn: the run argo/r is gone before anyone decided"
    assert of_a_dead_run(asked()) == (Outcome.WITHDRAWN, Decider.RUN, says)


def test_nobody_can_approve_what_ended() -> None:
    request = asked()
    assert of_a_dead_run(request, vote(request))[0] is Outcome.WITHDRAWN


def test_a_rejection_of_what_ended_is_recorded_as_one() -> None:
    request = asked()
    assert of_a_dead_run(request, vote(request, ANN, Verdict.REJECT))[0] is Outcome.REJECTED


def test_a_run_that_ended_with_its_gates_time_is_the_clocks() -> None:
    late = timedelta(days=2)
    assert of_a_dead_run(asked(), after=late)[:2] == (Outcome.EXPIRED, Decider.CLOCK)


@pytest.mark.parametrize("then", [OnTimeout.APPROVE, OnTimeout.NOTIFY])
def test_the_clock_approves_no_run_that_ended(then: OnTimeout) -> None:
    request = asked(on_timeout=then)
    assert of_a_dead_run(request, after=timedelta(days=2))[0] is Outcome.WITHDRAWN
