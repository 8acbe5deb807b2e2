"""What several approvers give as input, together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from bridge.core import input_fields
from bridge.core.digest import digest_of
from bridge.core.evaluation import (
    Actor,
    Channel,
    Decider,
    Evaluation,
    Evidence,
    Outcome,
    Verdict,
    Vote,
)
from bridge.core.model import ApprovalRequest, Gate, Standing
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.gates.decide import decision_of
from bridge.policy.evaluate import evaluate

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = OPENED + timedelta(hours=9)
MINUTE = timedelta(minutes=1)
ANYONE = Actors(anyone=True)
ASKED = ApprovalRequest(
    Gate("here", "Flow/1/gate/3"),
    "Deploy?",
    Policy(Approvals(ANYONE, count=2)),
    OPENED,
    schema=input_fields.schema_of({"target": "str = staging", "replicas": "int = 2"}),
)
PRODUCTION = {"target": "production", "replicas": 5}
STAGING = {"target": "staging"}


def judged(*inputs: dict[str, Any] | None, asked: ApprovalRequest = ASKED) -> Evaluation:
    votes = tuple(
        Vote(
            Actor(name),
            Verdict.APPROVE,
            OPENED + n * MINUTE,
            digest_of(asked),
            Channel.CLI,
            inputs=each,
        )
        for n, (name, each) in enumerate(zip(("ann", "bob"), inputs, strict=False))
    )
    fits = partial(input_fields.objection, asked.schema)
    return evaluate(asked, Evidence(NOW, votes), fits)


@pytest.mark.parametrize("other", [None, {}, {"replicas": 5}, {"target": "production"}])
def test_a_default_never_overwrites_a_value_that_somebody_gave(other: Any) -> None:
    for inputs in ((PRODUCTION, other), (other, PRODUCTION)):
        found = judged(*inputs)
        assert found.outcome is Outcome.APPROVED
        decision = decision_of(Standing(ASKED, None, "c"), found, Evidence(NOW))
        assert decision.inputs == PRODUCTION


def test_approvers_who_give_different_values_must_agree_and_nothing_is_decided() -> None:
    found = judged(PRODUCTION, STAGING)
    assert found.outcome is Outcome.PENDING
    assert found.reason == (
        "ann and bob must agree on target: ann gives 'production', bob gives 'staging'"
    )
    assert judged(STAGING, STAGING).outcome is Outcome.APPROVED


def test_a_conflict_is_shown_while_others_are_still_waited_for() -> None:
    found = judged(
        PRODUCTION, STAGING, asked=replace(ASKED, policy=Policy(Approvals(ANYONE, count=3)))
    )
    assert "must agree on target" in found.reason
    assert any("must agree on target" in each.says for each in found.finding.children)


def test_the_clock_does_not_settle_a_conflict() -> None:
    policy = Policy(Approvals(ANYONE, count=3), timeout=3600, on_timeout=OnTimeout.APPROVE)
    asked = replace(ASKED, policy=policy)
    assert judged(PRODUCTION, asked=asked).outcome is Outcome.APPROVED
    assert judged(PRODUCTION, STAGING, asked=asked).outcome is Outcome.PENDING


def test_a_conflict_does_not_outlive_the_deadline_that_rejects() -> None:
    policy = Policy(Approvals(ANYONE, count=3), timeout=3600, on_timeout=OnTimeout.REJECT)
    found = judged(PRODUCTION, STAGING, asked=replace(ASKED, policy=policy))
    assert found.outcome is Outcome.EXPIRED


def test_inputs_that_fit_one_by_one_and_not_together_are_a_conflict() -> None:
    properties: dict[str, Any] = {"a": {}, "b": {}}
    schema = {"type": "object", "properties": properties, "not": {"required": ["a", "b"]}}
    found = judged({"a": 1}, {"b": 1}, asked=replace(ASKED, schema=schema))
    assert found.outcome is Outcome.PENDING
    assert "ann and bob must agree on the input" in found.reason


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1, 1.0, True), (1, True, False), ([1], [True], False), ("1", 1, False), (None, "", False)],
)
def test_values_are_compared_as_json_has_them(one: Any, other: Any, same: bool) -> None:
    found = judged({"a": one}, {"a": other}, asked=replace(ASKED, schema=None))
    assert (found.outcome is Outcome.APPROVED) is same


def test_a_value_that_looks_secret_is_not_repeated() -> None:
    given = ({"api_key": "hunter2"}, {"api_key": "hunter3"})
    found = judged(*given, asked=replace(ASKED, schema=None))
    assert "must agree on api_key" in found.reason
    assert "hunter" not in found.reason


# -- one who gave a value and left -----------------------------------------------------------------

EVIL, GOOD = {"target": "evil"}, {"target": "production"}
APPROVERS = Actors(users=("alice", "bob", "carol"))
ON_GITHUB = replace(ASKED, policy=Policy(Approvals(APPROVERS, count=2)), schema=None)
PEOPLE = ("alice", "bob", "carol", "mallory")


def word(
    who: str, said: Verdict, minute: int, what: Any = None, asked: ApprovalRequest = ON_GITHUB
) -> Vote:
    actor = Actor(who, login=who, id=PEOPLE.index(who) + 1, proven=True)
    at = OPENED + minute * MINUTE
    text = {"inputs": what} if said is Verdict.APPROVE else {"reason": what or ""}
    return Vote(actor, said, at, digest_of(asked), Channel.COMMENT, url=f"u{minute}", **text)


YES, UNHOLD = Verdict.APPROVE, Verdict.RELEASE
STUCK = (word("alice", YES, 1, EVIL), word("bob", YES, 2, GOOD), word("carol", YES, 3, GOOD))


def said(*words: Vote, asked: ApprovalRequest = ON_GITHUB) -> Evaluation:
    found = evaluate(asked, Evidence(NOW, words))
    assert evaluate(asked, Evidence(NOW, words[::-1])) == found
    return found


@pytest.mark.parametrize(
    "lifting",
    [
        word("bob", UNHOLD, 4, "@alice she left"),
        word("carol", UNHOLD, 4, "@Alice: she left"),
        word("alice", UNHOLD, 4),
        word("alice", UNHOLD, 4, "@alice"),
        word("alice", YES, 4),
        word("alice", YES, 4, GOOD),
    ],
)
def test_one_who_gave_another_value_and_left_blocks_no_gate_for_ever(lifting: Vote) -> None:
    assert said(*STUCK).outcome is Outcome.PENDING
    found = said(*STUCK, lifting)
    assert found.outcome is Outcome.APPROVED
    decision = decision_of(Standing(ON_GITHUB, None, "c"), found, Evidence(NOW))
    assert decision.inputs == GOOD
    assert STUCK[0] in [each.vote for each in found.dismissals]
    assert evaluate(ON_GITHUB, decision.evidence).outcome is Outcome.APPROVED
    if lifting.verdict is UNHOLD:
        assert lifting in found.heeded
        assert lifting not in [each.vote for each in found.dismissals]


@pytest.mark.parametrize(
    "lifting",
    [
        word("mallory", UNHOLD, 4, "@alice she left"),
        word("mallory", UNHOLD, 4),
        word("bob", UNHOLD, 4, "@alice"),
        word("bob", UNHOLD, 4, "she left"),
        word("bob", UNHOLD, 0, "@alice before she spoke"),
    ],
)
def test_no_stranger_and_no_word_without_a_reason_sets_an_approval_aside(lifting: Vote) -> None:
    found = said(*STUCK, lifting)
    assert found.outcome is Outcome.PENDING
    assert "must agree on target" in found.reason


def test_an_approval_that_was_set_aside_counts_no_more_and_its_author_can_approve_again() -> None:
    unhold = word("carol", UNHOLD, 4, "@alice not that one")
    found = said(*STUCK[:2], unhold)
    assert "1 of 2 approvals" in found.reason
    (gone,) = found.dismissals
    assert gone.reason == "carol set it aside: not that one"
    assert said(*STUCK[:2], unhold, word("bob", YES, 5, EVIL)).outcome is Outcome.PENDING
    assert said(*STUCK[:2], unhold, word("alice", YES, 5, GOOD)).outcome is Outcome.APPROVED
    again = said(*STUCK[:2], unhold, word("alice", YES, 5, EVIL))
    assert "must agree on target" in again.reason


def test_an_unhold_takes_no_approval_that_others_agree_with() -> None:
    agreed = (word("alice", YES, 1, GOOD), word("carol", UNHOLD, 2, "@alice the hold is over"))
    assert said(*agreed, word("bob", YES, 3, GOOD)).outcome is Outcome.APPROVED


def test_a_conflict_that_stopped_the_clock_can_be_lifted_after_the_deadline() -> None:
    policy = Policy(Approvals(APPROVERS, count=3), timeout=3600, on_timeout=OnTimeout.APPROVE)
    asked = replace(ON_GITHUB, policy=policy)
    stuck = [word("alice", YES, 1, EVIL, asked), word("bob", YES, 2, GOOD, asked)]
    assert said(*stuck, asked=asked).outcome is Outcome.PENDING
    late = word("carol", UNHOLD, 90, "@alice she left", asked)
    found = said(*stuck, late, asked=asked)
    assert found.outcome is Outcome.APPROVED
    decision = decision_of(Standing(asked, None, "c"), found, Evidence(NOW))
    assert decision.inputs == GOOD
    assert evaluate(asked, decision.evidence).by is found.by is Decider.CLOCK
