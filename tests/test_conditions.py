from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.conditions import function, judge, parse
from bridge.core.errors import Faults
from bridge.core.yaml_text import dump


def holds(text: str, **values: Any) -> bool:
    return judge(parse(text), values).holds


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("accuracy >= 0.9", {"accuracy": 0.9}),
        ("accuracy > 0.9", {"accuracy": np.float64(0.95)}),
        ("accuracy>=0.9", {"accuracy": 1}),
        ("loss < 1e-3", {"loss": 0.0005}),
        ("cost <= 500", {"cost": np.int64(500)}),
        ("delta > -0.5", {"delta": 0}),
        ("environment == staging", {"environment": "staging"}),
        ("environment == 'staging eu'", {"environment": "staging eu"}),
        ("environment != production", {"environment": "staging"}),
        ("environment in [staging, dev]", {"environment": "dev"}),
        ("environment not in [production]", {"environment": "dev"}),
        ("rows in [1, 2]", {"rows": 2}),
        ("passed == true", {"passed": True}),
        ("passed == true", {"passed": np.bool_(True)}),
    ],
)
def test_a_condition_holds_on_values_that_meet_it(text: str, values: dict[str, Any]) -> None:
    assert holds(text, **values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("accuracy >= 0.9", {"accuracy": 0.89}),
        ("environment == staging", {"environment": "production"}),
        ("environment != production", {"environment": "production"}),
        ("environment in [staging, dev]", {"environment": "production"}),
        ("environment not in [production]", {"environment": "production"}),
        ("passed == true", {"passed": False}),
    ],
)
def test_a_condition_does_not_hold_on_values_that_fail_it(
    text: str, values: dict[str, Any]
) -> None:
    assert not holds(text, **values)


@pytest.mark.parametrize(
    "environment",
    [
        "Production",
        "PRODUCTION",
        "production\n",
        " production ",
        "production\u200b",
        "ｐroduction",
        "pr\u043eduction",  # the Cyrillic letter
        "PRODUC\u03a4ION",  # the Greek one
        "PRODUC\ua4d4ION",  # the Lisu one
        "\u13e2RODUCTION",  # the Cherokee one
        "pr\u2c9fduction",  # the Coptic one
        "pr\U0001042cduction",  # the Deseret one
        "produ\u1d04tion",  # a small capital
    ],
)
def test_text_is_compared_without_letter_case_and_blanks_around_it(environment: str) -> None:
    values = {"environment": environment}
    assert not holds("environment != production", **values)
    assert not holds("environment not in [staging, Production]", **values)
    assert holds("environment == production", **values)
    assert holds("environment in [PRODUCTION]", **values)
    assert not holds("environment == 'pro duction'", **values)


@pytest.mark.parametrize("blank", ["", " ", "\n", "\u200b"])
def test_a_blank_environment_says_as_little_as_none(blank: str) -> None:
    assert not holds("environment != production", environment=blank)
    assert holds("notes == ''", notes=blank)


EVERY_OPERATOR = [
    "x == 1",
    "x != 1",
    "x >= 1",
    "x <= 1",
    "x > 1",
    "x < 1",
    "x in [1]",
    "x not in [1]",
]


@pytest.mark.parametrize("text", EVERY_OPERATOR)
def test_what_is_not_there_never_approves(text: str) -> None:
    judged = judge(parse(text), {"y": 1})
    assert (judged.holds, judged.seen) == (False, {})


@pytest.mark.parametrize("text", EVERY_OPERATOR)
@pytest.mark.parametrize(
    "value",
    [None, "1", True, float("nan"), float("inf"), -float("inf"), [1], {"x": 1}, object(), 10**5000,
     np.zeros(3), np.float64("nan"), b"1", "x" * 10_000],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_of_another_kind_never_approves(text: str, value: object) -> None:
    assert not holds(text, x=value)


@pytest.mark.parametrize(
    "text",
    [
        "environm\u0435nt != production",  # the Cyrillic letter
        "environment != pr\u043eduction",
        "replicas < \u0663",
        "replicas == \uff13",
        "replicas in [1, \u0662]",
    ],
)
def test_letters_and_digits_of_another_script_that_look_alike_are_refused(text: str) -> None:
    with pytest.raises(Faults):
        parse(text)


@pytest.mark.parametrize("value", [float("nan"), np.float64("nan"), float("inf")])
@pytest.mark.parametrize(
    "text", ["status != failed", "status not in [failed, broken]", "status == nan", "status == inf"]
)
def test_what_is_not_a_number_is_no_text_either(text: str, value: float) -> None:
    """A missing text is NaN to pandas, and `status != failed` must not hold for it."""
    judged = judge(parse(text), {"status": value})
    assert judged.holds is False
    assert judged.seen == {"status": str(float(value))}


@pytest.mark.parametrize("text", ["passed == true", "passed != false"])
@pytest.mark.parametrize("value", [1, "true", None])
def test_one_is_not_true(text: str, value: object) -> None:
    assert not holds(text, passed=value)


def test_the_record_repeats_the_condition_and_what_it_saw() -> None:
    judged = judge(parse(" accuracy  >= 0.9"), {"accuracy": np.float64(0.94), "secret": 1})
    assert judged.text == " accuracy  >= 0.9"
    assert judged.seen == {"accuracy": 0.94}
    assert type(judged.seen["accuracy"]) is float


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write it like"),
        ("accuracy", "write it like"),
        (">= 0.9", "write it like"),
        ("accuracy => 0.9", "write it like"),
        ("a.b == 1", "write it like"),
        ("accuracy >= high", ">= compares numbers, and high is none"),
        ("accuracy >= nan", ">= compares numbers"),
        ("accuracy >= 1e999", "is no number"),
        ("replicas == 010", "is no number"),
        ("replicas in [1, -007]", "is no number"),
        ("accuracy > 1 and loss < 2", "is no number"),
        ("environment in staging", "in compares with a list"),
        ("environment == [staging]", "== compares with one value"),
        ("environment in []", "is no number"),
        ("environment in [a,,b]", "is no number"),
        ("f(x) == 1", "write it like"),
        ("x == __import__('os')", "is no number"),
        ("x == 'it's'", "is no number"),
        ("x == 1\nor True", "write it like"),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(Faults, match="the condition") as caught:
        parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
)


@given(st.text(), ANYTHING)
def test_any_text_is_refused_or_judged_without_a_word(text: str, value: object) -> None:
    try:
        test = parse(text)
    except Faults:
        return
    judge(test, {test.name: value})


@given(st.sampled_from(EVERY_OPERATOR), ANYTHING)
def test_what_was_seen_can_always_be_recorded(text: str, value: object) -> None:
    dump({"seen": dict(judge(parse(text), {"x": value}).seen)})


# -- a condition that is a function --------------------------------------------------------------


async def _coroutine() -> bool:
    return True


def _fails() -> bool:
    raise ZeroDivisionError("no data")


@pytest.mark.parametrize("condition", [_fails, lambda: 1, lambda: "yes", lambda: None])
def test_only_a_plain_yes_approves(condition: Callable[..., Any]) -> None:
    assert not judge(function(condition), {}).holds


@pytest.mark.filterwarnings("ignore:coroutine '_coroutine' was never awaited")
def test_a_coroutine_is_no_yes() -> None:
    assert not judge(function(_coroutine), {}).holds


def test_what_a_condition_raised_is_kept() -> None:
    assert judge(function(_fails), {}).seen == {"raised": "ZeroDivisionError: no data"}


def test_a_condition_sees_what_its_parameters_name_and_what_it_closes_over() -> None:
    least = 0.9
    found = judge(function(lambda accuracy: accuracy > least), {"accuracy": 0.94, "loss": 1.0})
    assert found.holds
    assert found.seen == {"accuracy": 0.94, "least": 0.9}


def test_a_lambda_is_recorded_in_its_own_words_and_a_function_by_its_name() -> None:
    assert function(lambda accuracy: accuracy > 0.9).text == "lambda accuracy: accuracy > 0.9"
    assert function(_fails).text.endswith("test_conditions._fails")


def test_the_words_of_a_function_are_the_same_in_every_process() -> None:
    # The approval is bound to them, and a default's repr may be an address in memory.
    model = object()
    assert function(lambda a, b=model: a).text == "lambda a, b: a"


def test_a_secret_that_a_function_reads_is_not_recorded() -> None:
    api_token = "x" * 40
    found = judge(function(lambda: bool(api_token)), {})
    assert found.seen == {"api_token": "(hidden)"}
