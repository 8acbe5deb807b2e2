"""A declaration: one parser, every fault at once, in the caller's own words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import conditions
from bridge.core.errors import Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.message_template import Known
from bridge.core.model import CompareBy, Declared
from bridge.core.rules import OnTimeout

FORM = Form(
    approvers="approver",
    timeout="timeout_seconds",
    on_timeout="on-timeout",
    input="fields",
    auto_approve_if="auto_approve_if",
    notifier="notifier",
    functions=True,
)


def spec(known: Known | None = None, form: Form = FORM, **said: Any) -> GateSpec:
    named = {key.replace("on_timeout", "on-timeout"): value for key, value in said.items()}
    return read(named, form, "the gate", asks="May it run?", known=known)


def faults(known: Known | None = None, form: Form = FORM, **said: Any) -> tuple[str, ...]:
    with pytest.raises(Faults) as caught:
        spec(known, form, **said)
    assert caught.value.subject == "the gate"
    return caught.value.faults


def test_nothing_said_asks_anyone_for_ever() -> None:
    found = spec()
    assert (found.message, found.schema, found.notify) == ("May it run?", None, ())
    assert found.policy.require.by.anyone  # type: ignore[union-attr] - a plain policy has one rule
    assert found.declared == Declared()


def test_every_field_reaches_the_policy_and_the_declaration() -> None:
    found = spec(
        message="Deploy?",
        approver=["ann", "bob"],
        timeout_seconds="2h",
        on_timeout="notify",
        fields={"n": "integer = 1"},
        auto_approve_if="accuracy >= 0.9",
        notifier="slack",
    )
    assert found.declared == Declared(("ann", "bob"), 7200, OnTimeout.NOTIFY, "accuracy >= 0.9")
    assert (found.policy.timeout, found.policy.auto_approve_if) == (7200, "accuracy >= 0.9")
    assert found.schema
    assert found.schema["properties"]["n"] == {"type": "integer", "default": 1}
    assert (found.message, found.notify) == ("Deploy?", ("slack",))


def test_every_fault_is_reported_at_once_under_the_callers_own_names() -> None:
    said = faults(
        Known(artifacts=frozenset({"accuracy"})),
        mesage="x",
        message="{self.acuracy}",
        approver=[3],
        timeout_seconds=-5,
        on_timeout="perhaps",
        fields={"x": "strin"},
        auto_approve_if="accuracy ~ 1",
        notifier="pigeon",
    )
    assert [each.partition(" ")[0] + each.partition("`")[2].partition("`")[0] for each in said] == [
        "unknownmesage",
        "`message`:message",
        "`approver`approver",
        "`timeout_seconds`:timeout_seconds",
        "`on-timeout`on-timeout",
        "`fields`:fields",
        "`auto_approve_if`:auto_approve_if",
        "`notifier`notifier",
    ]
    assert said[0] == "unknown key `mesage`; did you mean `message`?"


def test_a_key_that_resembles_none_is_answered_with_all_of_them() -> None:
    [said] = faults(form=Form(approvers="who", others=("artifacts",)), zzz=1)
    assert said == "unknown key `zzz`; use `message`, `who`, `artifacts`"


def test_what_the_caller_found_is_reported_with_the_rest() -> None:
    with pytest.raises(Faults) as caught:
        read({"approver": 7}, FORM, "it", asks="?", besides=["`gate` is missing"])
    assert caught.value.faults[0] == "`gate` is missing"
    assert len(caught.value.faults) == 2


# -- approvers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["anyone", "Anyone", ["anyone"], (" anyone ",)])
def test_anyone_as_an_approver_means_that_anyone_may_decide(said: Any) -> None:
    assert spec(approver=said).approvers == ()
    assert spec(approver=said).policy.require.by.anyone  # type: ignore[union-attr] - one rule


def test_anyone_beside_a_name_is_refused_as_ambiguous() -> None:
    [said] = faults(approver=["ann", "anyone"])
    assert "leave out one or the other" in said


@pytest.mark.parametrize(
    "said", ["everyone", "Anybody", "*", "all", ["ann", "EVERYBODY"], "None", "null"]
)
def test_a_word_for_everybody_or_nobody_is_no_approver_who_is_waited_for_for_ever(
    said: Any,
) -> None:
    [fault] = faults(approver=said)
    assert fault.endswith("name a person or a team, or 'anyone' if everybody may decide")


@pytest.mark.parametrize("said", ["ann, bob", "ann;bob", "ann\nbob", " ann ,bob,"])
def test_several_approvers_in_one_text_are_refused_with_the_list_to_write(said: str) -> None:
    [fault] = faults(approver=said)
    assert fault.endswith("write several names as a list: ['ann', 'bob']")


def test_a_name_that_has_a_comma_of_its_own_may_stand_in_a_list() -> None:
    assert spec(approver=["Lee, Ann", "bob"]).approvers == ("Lee, Ann", "bob")


def test_a_character_that_nobody_sees_is_in_no_approvers_name() -> None:
    [fault] = faults(approver=["ann\u200b"])
    assert "nobody sees" in fault


@pytest.mark.parametrize("said", [{}, {"approver": None}, {"approver": ()}, {"approver": ""}])
def test_an_approver_left_out_or_none_is_one_sentence_if_one_is_required(
    said: dict[str, Any],
) -> None:
    form = Form(approvers="approver", approvers_required=True)
    [fault] = faults(form=form, **said)
    assert fault == "`approver` is missing: name a person or a team, or 'anyone'"


@pytest.mark.parametrize("said", [[], ()])
def test_an_empty_list_of_approvers_does_not_mean_everybody(said: Any) -> None:
    [fault] = faults(approver=said)
    assert fault == "`approver` is an empty list: name a person or a team, or 'anyone'"


# -- time ----------------------------------------------------------------------------------------


def test_a_timeout_of_3600_point_0_seconds_is_accepted() -> None:
    assert spec(timeout_seconds=3600.0).timeout == 3600


@pytest.mark.parametrize("said", [0.5, float("nan"), float("inf"), True, [1], {}, 0])
def test_a_timeout_that_is_no_whole_number_of_seconds_is_refused(said: Any) -> None:
    [fault] = faults(timeout_seconds=said)
    assert fault.startswith("`timeout_seconds`: the duration ")


def test_a_timeout_that_is_left_out_is_the_callers_default_and_none_is_for_ever() -> None:
    form = Form(timeout="timeout", timeout_default="24h")
    assert spec(form=form).timeout == 86_400
    assert spec(form=form, timeout=None).timeout is None


@pytest.mark.parametrize("said", [None, 3, ["reject"], "Reject", "", [10**5000]])
def test_what_the_clock_does_is_one_of_three_words(said: Any) -> None:
    [fault] = faults(on_timeout=said)
    assert fault.startswith("`on-timeout` is ")
    assert fault.endswith("; use reject, approve, notify")


def test_a_clock_that_approves_needs_a_timeout() -> None:
    assert faults(on_timeout="approve") == (
        "`on-timeout` is 'approve', but there is no `timeout_seconds` to wait for",
    )


# -- input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"n": "int = 1"},
        {"n": {"type": "integer", "default": 1}},
        {
            "type": "object",
            "properties": {"n": {"type": "integer", "default": 1}},
            "required": ["n"],
        },
    ],
)
def test_an_input_goes_with_a_clock_that_approves_if_every_field_has_a_default(
    said: dict[str, Any],
) -> None:
    assert spec(fields=said, timeout_seconds=60, on_timeout="approve").schema


def test_an_input_that_only_a_person_can_give_is_refused_with_the_fields_and_the_way_out() -> None:
    [said] = faults(
        fields={"n": "int", "target": "str", "m": "int = 1"},
        timeout_seconds=60,
        on_timeout="approve",
        auto_approve_if="a == 1",
    )
    assert said.startswith("`on-timeout` 'approve' and `auto_approve_if` would approve with nobody")
    assert said.endswith("n, target: give each a default in `fields`, such as 'n': 'int = …'")


# -- conditions ----------------------------------------------------------------------------------


def test_a_condition_may_be_a_function_and_is_declared_in_its_own_words() -> None:
    found = spec(auto_approve_if=lambda accuracy: accuracy > 0.9)
    assert found.auto_approve_if == "lambda accuracy: accuracy > 0.9"
    assert found.condition
    assert conditions.judge(found.condition, {"accuracy": 0.94}).holds
    assert not conditions.judge(found.condition, {}).holds


def test_a_caller_that_cannot_run_a_function_refuses_one() -> None:
    [said] = faults(form=Form(auto_approve_if="if"), **{"if": lambda: True})
    assert said.startswith("`if` is <function")


@pytest.mark.parametrize("said", ["loss < 1", lambda loss: loss < 1])
def test_a_condition_that_reads_what_does_not_exist_is_refused(said: Any) -> None:
    [fault] = faults(Known(artifacts=frozenset({"losses"})), auto_approve_if=said)
    assert fault.endswith("reads loss, which does not exist; did you mean losses?")


@pytest.mark.parametrize("said", ["score > 1", lambda score: score > 1])
def test_on_a_join_a_condition_reads_parameters_and_the_environment_alone(said: Any) -> None:
    join = Known(branches=("left", "right"), params=frozenset({"alpha"}))
    assert "differs between the branches" in faults(join, auto_approve_if=said)[0]
    assert spec(join, auto_approve_if="alpha > 1").condition
    assert spec(join, auto_approve_if=lambda environment, *rest, **more: False).condition


def test_an_artifact_called_environment_does_not_stand_for_the_environment() -> None:
    condition = conditions.parse("environment == staging")
    given = {"environment": "staging"}
    assert not conditions.judge(condition, conditions.Readable(given, None)).holds
    assert not conditions.judge(condition, conditions.Readable(given, "production")).holds
    assert conditions.judge(condition, conditions.Readable({}, "staging")).holds


def test_a_function_that_reads_an_unset_environment_does_not_hold() -> None:
    condition = conditions.function(lambda environment: environment != "production")
    assert not conditions.judge(condition, conditions.Readable({}, None)).holds


# -- whom to notify ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "notify"),
    [
        (None, ()),
        ("apprise", ("apprise",)),
        ("smtp", ("smtp",)),
        (["slack", "mailto://ann@co.com"], ("slack", "mailto://ann@co.com")),
        ("json://127.0.0.1", ("json://127.0.0.1",)),
    ],
)
def test_a_notifier_is_a_word_of_the_seed_or_apprise_addresses(
    said: Any, notify: tuple[str, ...]
) -> None:
    assert spec(notifier=said).notify == notify


@pytest.mark.parametrize("said", ["pigeon", ["apprise", "T0/B0/s3cret"], object(), [3]])
def test_any_other_notifier_is_refused_with_apprises_form(said: Any) -> None:
    [fault] = faults(notifier=said)
    assert "slack://… or mailto://…" in fault
    assert "s3cret" not in fault


def test_an_address_is_never_shown() -> None:
    assert "s3cret" not in repr(spec(notifier=["slack://s3cret"]))


# -- whatever is said ----------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FORM.keys) | st.text(max_size=5), ANYTHING))
def test_anything_said_is_a_gate_or_is_refused_in_sentences(said: dict[str, Any]) -> None:
    try:
        found = read(said, FORM, "the gate", asks="?", known=Known())
    except Faults as error:
        refused = error.faults
    else:
        refused = ()
        assert found.message
        assert not found.policy.require.by.nobody  # type: ignore[union-attr] - one rule
    assert all(each.startswith(("`", "unknown key `")) for each in refused)


COMPARES = Form(compare="compare")


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (None, CompareBy()),
        (False, CompareBy(wanted=False)),
        ({"key": " de "}, CompareBy(name="de")),
        ({"run": 6}, CompareBy(run="6")),
        ({"run": "6", "key": "de"}, CompareBy(name="de", run="6")),
    ],
)
def test_a_gate_is_compared_with_a_run_a_key_or_nothing(said: object, means: CompareBy) -> None:
    assert read({"compare": said}, COMPARES, "the gate", asks="?").compare == means


@pytest.mark.parametrize(
    "said",
    [{}, {"runs": "6"}, {"run": ""}, {"run": True}, {"run": None}, {"run": "6" * 201},
     {"run": 10**5000}, {"run": "6", "key": " "}, "6", ["6"]],
)  # fmt: skip
def test_what_else_a_gate_would_be_compared_with_is_a_fault(said: object) -> None:
    with pytest.raises(Faults, match="to compare with that run"):
        read({"compare": said}, COMPARES, "the gate", asks="?")
