"""What a flow proposes for its input: shown, accepted by a plain approval, or changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.core.errors import Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.input_fields import check, fields, owed, schema_of, unjudged
from bridge.core.message_template import Known
from bridge.core.proposals import proposed
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.policy.narrow import check_policy
from bridge.render.request import request_md
from tests.forge import World, world
from tests.ledgers import a_request

THRESHOLD = {"type": "number", "maximum": 1, "propose": "self.threshold"}
TEXT = {"type": "string", "propose": "self.threshold"}
DECLARED = schema_of({"threshold": THRESHOLD})
FORM = Form(input="input", timeout="timeout", on_timeout="on_timeout",
            auto_approve_if="auto_approve_if", proposes=True)  # fmt: skip


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def with_value(value: Any, declared: Any = DECLARED) -> Any:
    return proposed(declared, {"threshold": value}.__getitem__)


def declare(field: Any, form: Form = FORM, **others: Any) -> GateSpec:
    known = Known(artifacts=frozenset({"threshold"}))
    return read({"input": {"t": field}, **others}, form, "the gate", asks="?", known=known)


def faults_of(*args: Any, **others: Any) -> str:
    with pytest.raises(Faults) as raised:
        declare(*args, **others)
    return "; ".join(raised.value.faults)


def test_a_plain_approval_accepts_what_is_proposed_and_another_value_replaces_it() -> None:
    schema = with_value(0.7)
    assert owed(schema) == ()
    assert check(schema, {}) == {"threshold": 0.7}
    assert check(schema, {"threshold": 0.8}) == {"threshold": 0.8}
    with pytest.raises(Faults, match="threshold"):
        check(schema, {"threshold": 2})


def test_a_page_shows_the_whole_of_what_a_plain_approval_takes(at: World) -> None:
    schema = with_value(f"daily {'at noon ' * 20}never", schema_of({"threshold": TEXT}))
    assert "at noon never" in at.open(schema=schema).body
    assert "at noon never |" in request_md(a_request(schema=schema))
    assert "| proposed |" in request_md(
        a_request(schema=with_value("", schema_of({"threshold": TEXT})))
    )


@pytest.mark.parametrize("hidden", ["prod\u200b", "\u202eabc", "a\ufe0f", "\U000e0041"])
def test_what_nobody_sees_is_not_proposed(hidden: str) -> None:
    with pytest.raises(Faults, match=r"has characters that nobody sees: '[ -~]+'"):
        with_value(hidden, schema_of({"threshold": TEXT}))


def test_the_declaration_is_not_changed_by_what_is_proposed() -> None:
    with_value(0.7)
    assert DECLARED
    assert "default" not in DECLARED["properties"]["threshold"]


def test_a_page_says_what_is_proposed() -> None:
    (field,) = fields(with_value(0.7))
    assert field.proposed
    assert "| threshold | float | proposed 0.7 |" in request_md(a_request(schema=with_value(0.7)))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("high", "self.threshold is proposed, and does not fit: threshold: 'high' is not a number"),
        (7, "self.threshold is proposed, and does not fit: threshold: 7 is more than 1"),
        ([1], "threshold: self.threshold is no short text, number, or yes or no (list)"),
        (None, "threshold: self.threshold is no short text, number, or yes or no (NoneType)"),
        (float("nan"), "threshold: self.threshold is no short text, number, or yes or no (float)"),
    ],
)
def test_a_value_that_cannot_be_proposed_is_said_before_anybody_is_asked(
    value: Any, why: str
) -> None:
    with pytest.raises(Faults) as raised:
        with_value(value)
    assert raised.value.faults == (why,)


@pytest.mark.parametrize("alone", [{"on_timeout": "approve", "timeout": "1h"},
                                   {"auto_approve_if": "threshold > 0"}])  # fmt: skip
def test_neither_the_clock_nor_a_condition_accepts_what_is_proposed(alone: Any) -> None:
    said = faults_of({"type": "number", "propose": "threshold"}, **alone)
    assert "would approve with nobody to fill in t" in said
    schema = with_value(0.7)
    assert unjudged(schema) == ("threshold",)
    policy = Policy(Approvals(Actors(anyone=True)), 60, OnTimeout.APPROVE)
    with pytest.raises(Faults, match="nobody to give threshold"):
        check_policy(policy, schema)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"propose": "self.treshold"}, "which does not exist; did you mean threshold?"),
        ({"propose": 5}, "`propose` names an artifact, such as 'self.t'"),
        ({"propose": "threshold", "default": 1}, "leave out one or the other"),
        (
            {"type": "object", "properties": {"a": {"propose": "threshold"}}},
            "`propose` is for the fields at the top of the input",
        ),
    ],
)
def test_a_fault_of_a_proposal_is_found_when_it_is_declared(field: Any, why: str) -> None:
    assert why in faults_of(field)


def test_where_no_artifact_can_be_read_nothing_can_be_proposed() -> None:
    said = faults_of({"propose": "threshold"}, Form(input="input"))
    assert "nothing can be proposed here; give a default" in said


def test_an_approver_changes_what_is_proposed_and_the_page_says_both(at: World) -> None:
    pull = at.open(schema=with_value(0.7))
    assert "- `threshold` (float, proposed: 0.7): at most 1" in pull.body
    pull.comment(at.alice, "/approve threshold=0.8")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"threshold": 0.8}
    assert "- `threshold`: 0.8 (0.7 was proposed)" in at.status(pull)


def test_a_plain_approve_echoes_what_it_accepted(at: World) -> None:
    pull = at.open(schema=with_value(0.7))
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"threshold": 0.7}
    assert "- `threshold`: 0.7\n" in at.status(pull)
