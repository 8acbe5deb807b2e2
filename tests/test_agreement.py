"""What several approvers give as input, together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from bridge.core import input_fields
from bridge.core.digest import digest_of
from bridge.core.evaluation import Actor, Channel, Evaluation, Evidence, Outcome, Verdict, Vote
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
