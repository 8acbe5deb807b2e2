from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Faults
from bridge.core.message_template import Known, Scope, check, names, render


class Raises:
    def __str__(self) -> str:
        raise RuntimeError("boom")


LINEAR = Scope(
    {
        "accuracy": 0.9412,
        "auc": np.float64(0.9),
        "name": "resnet_50",
        "metrics": {"loss": 0.1},
        "rows": [{"a": 1}, {"a": 2}],
        "broken": Raises(),
        "model": object(),
        "api_key": "hunter2",
    },
    params={"alpha": 3},
)
JOIN = Scope(inputs=[("a", {"x": 1}), ("b", {"x": 2})], params={"alpha": 3})
FOREACH = Scope(inputs=[("t", {"x": 1}), ("t", {"x": 2})])
KNOWN = Known(frozenset({"accuracy", "auc"}), params=frozenset({"alpha"}))


def fault(call: Any) -> str:
    with pytest.raises(Faults) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- rendering -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "Accuracy: {self.accuracy:.1%} — approve?",
            "Accuracy: 94.1% — approve?",
        ),
        ("Deploy {self.name}?", "Deploy resnet_50?"),
        ("{self.metrics.loss} {self.metrics[loss]} {self.rows[1][a]}", "0.1 0.1 2"),
        ("{params.alpha} {self.alpha}", "3 3"),
        ("{self.auc}", "0.9"),
        ("nothing to fill in, 100 %", "nothing to fill in, 100 %"),
        ("{{ self.accuracy | round(2) }}", "0.94"),
        ("{% if self.auc > 0.5 %}**good**{% else %}bad{% endif %}", "**good**"),
        ("{% for row in self.rows %}{{ row.a }};{% endfor %}", "1;2;"),
        ("{% set best = self.auc %}{{ best }}", "0.9"),
        ("{{ self.nothing | default('none') }}", "none"),
        ("{% if self.nothing is defined %}{{ self.nothing }}{% endif %}no", "no"),
        ("{{ '%.3f' | format(self.accuracy) }}", "0.941"),
        ("a\n\n- {{ self.name }}\n", "a\n\n- resnet_50\n"),
    ],
)
def test_both_styles_of_template_render(template: str, text: str) -> None:
    assert render(template, LINEAR) == text


def test_a_join_tells_its_branches_apart() -> None:
    assert render("{inputs.a.x} {inputs[1].x}", JOIN) == "1 2"
    assert render("{{ inputs.a.x }} {{ inputs[1].x }}", JOIN) == "1 2"
    assert render("{% for each in inputs %}{{ each.x }} {% endfor %}", FOREACH) == "1 2 "


def test_a_parameter_is_the_same_on_every_branch_of_a_join() -> None:
    assert render("{self.alpha}", JOIN) == "3"


def test_only_values_are_escaped_never_the_authors_own_markup() -> None:
    assert render("**{self.name}**", LINEAR, lambda text: f"<{text}>") == "**<resnet_50>**"
    assert render("**{{ self.name }}**", LINEAR, lambda text: f"<{text}>") == "**<resnet_50>**"


def test_a_value_is_inert_markdown_unless_told_otherwise() -> None:
    assert "@bob" not in render("{self.name}", Scope({"name": "@bob"}))
    assert "@bob" not in render("{{ self.name | safe }}", Scope({"name": "@bob"}))


def test_a_value_of_several_lines_stays_on_one() -> None:
    assert render("{self.x}", Scope({"x": "a\n\n/approve\n# b"})) == "a /approve #&#8203; b"


def test_a_secret_is_not_put_into_a_message() -> None:
    assert "hunter2" not in render("{self.api_key}{{}}".replace("{{}}", ""), LINEAR)
    assert "hunter2" not in render("{{ self.api_key }}", LINEAR)


def test_only_what_is_read_is_loaded() -> None:
    class Lazy(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name != "accuracy":
                raise AssertionError(f"{name} was loaded")
            return 0.9

        def __iter__(self) -> Iterator[str]:
            return iter(["accuracy", "model"])

        def __len__(self) -> int:
            return 2

        def __contains__(self, name: object) -> bool:
            return name in {"accuracy", "model"}

    assert render("{self.accuracy}", Scope(Lazy())) == "0.9"
    assert "self.model" in fault(lambda: render("{{ self.modle }}", Scope(Lazy())))


def test_a_message_is_the_same_text_in_every_process() -> None:
    code = (
        "from bridge.core.message_template import *\n"
        "print(render('{self.s} {self.o} {self.d}',"
        " Scope({'s': {'a', 'b', 'c', 'd'}, 'o': object(), 'd': {'k': object()}})))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
    assert "0x" not in texts.pop()


# -- failing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template", ["{self.acuracy:.1%}", "{{ self.acuracy | round(2) }}", "{{ self.acuracy }}"]
)
def test_a_missing_name_is_told_with_its_expression_and_the_nearest_first(template: str) -> None:
    said = fault(lambda: render(template, LINEAR))
    assert said.startswith(f"the message: {template} reads self.acuracy, which does not exist; ")
    assert "there is self.accuracy, " in said


@pytest.mark.parametrize(
    ("template", "scope", "says"),
    [
        ("{accuracy}", LINEAR, "there is self.accuracy"),
        ("{{ accuracy }}", LINEAR, "there is self.accuracy"),
        ("{self.metrics.auc}", LINEAR, "reads auc, which dict does not have"),
        ("{self.accuracy:zz}", LINEAR, "{self.accuracy:zz} fails"),
        ("{self.broken}", LINEAR, "{self.broken} fails: boom"),
        ("{{ self.broken }}", LINEAR, "fails: boom"),
        ("{{ self.name | round }}", LINEAR, "{{ self.name | round }}"),
        ("one\n{{ self.name | round }}", LINEAR, "line 2"),
        ("{self}", LINEAR, "self must be followed by a name"),
        ("{{ self }}", LINEAR, "self must be followed by a name"),
        ("{{ self[self.name] }}", LINEAR, "self must be followed by a name"),
        ("{self.x}", JOIN, "write inputs.a.x or inputs.b.x"),
        ("{{ self.x }}", JOIN, "write inputs.a.x or inputs.b.x"),
        ("{inputs.c.x}", JOIN, "there is inputs.a, inputs.b"),
        ("{inputs[5].x}", JOIN, "there are 2 inputs"),
        ("{inputs.a.y}", JOIN, "reads inputs.a.y, which does not exist; there is inputs.a.x"),
        ("{inputs.t.x}", FOREACH, "write inputs[0]"),
        ("{inputs.a.x}", LINEAR, "the step is no join"),
    ],
)
def test_what_cannot_be_rendered_says_why_in_one_sentence(
    template: str, scope: Scope, says: str
) -> None:
    assert says in fault(lambda: render(template, scope))


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{self.x", "{}", "{0}", "{self.x:{self.y}}", "{self.x:>99999}", "{self.x!z}",
     "{a b}", "{{ self.x", "{% if %}", "{% for %}", "{{ }}", "{% macro a() %}{% endmacro %}",
     "{{ self.x | nope }}", "{% if self.x is nope %}{% endif %}", "{% include 'x' %}",
     "{% import 'x' as y %}", "{% extends 'x' %}", "{% filter upper %}{% endfilter %}"],
)  # fmt: skip
def test_a_broken_template_is_refused_when_the_flow_is_checked(template: str) -> None:
    fault(lambda: check(template, Known()))


@pytest.mark.parametrize(
    "template",
    ["{self.__class__}", "{self.accuracy.__class__}", "{self.model.__init__.__globals__}",
     "{self.rows[0].__class__}", "{self.metrics._x}", "{self.model.f_globals}",
     "{{ self.__class__ }}", "{{ self.accuracy.__class__ }}", "{{ self._values }}",
     "{{ self.name.__class__.__mro__ }}", "{{ ''['__class__'] }}", "{{ self.rows.append(1) }}",
     "{{ self.metrics.clear() }}", "{{ cycler('a') }}", "{{ lipsum() }}", "{{ self.model() }}",
     "{{ self.name | attr('__class__') }}", "{{ '{0.__class__}'.format(self.name) }}",
     "{{ self.accuracy.hex.__self__ }}"],
)  # fmt: skip
def test_a_template_does_not_reach_pythons_insides_or_change_a_value(template: str) -> None:
    before = repr((LINEAR.artifacts["rows"], LINEAR.artifacts["metrics"]))
    try:
        text = render(template, LINEAR)
    except Faults:
        text = ""
    assert "class" not in text
    assert repr((LINEAR.artifacts["rows"], LINEAR.artifacts["metrics"])) == before


@pytest.mark.parametrize(
    "template",
    ["{{ 'x' * 10000000000 }}", "{{ [1] * 10000000000 }}", "{{ 10000000000 * 'x' }}",
     "{{ 'x'.center(10000000000) }}", "{{ 'x' | center(10000000000) }}", "{{ 9 ** 9 ** 9 }}",
     "{% for i in range(99999) %}{{ self.name * 1 }}{{ i }}{% endfor %}", "{{ range(10 ** 12) }}",
     "{{ self.big }}", "{self.big}"],
)  # fmt: skip
def test_a_message_is_of_bounded_length(template: str) -> None:
    with contextlib.suppress(Faults):
        assert len(render(template, Scope({"name": "x", "big": "&" * 10_000_000}))) <= 16_000


# -- checking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    ["{self.accuracy} {params.alpha} {self.alpha}", "{{ self.nope | default(1) }}", "plain",
     "{% if self.nope is defined %}x{% endif %}", "{{ self.auc if self.auc else '' }}"],
)  # fmt: skip
def test_a_template_that_can_work_passes(template: str) -> None:
    check(template, KNOWN)


@pytest.mark.parametrize(
    ("template", "known", "says"),
    [
        ("{self.acuracy}", KNOWN, "there is self.accuracy"),
        ("{{ self.acuracy }}", KNOWN, "there is self.accuracy"),
        ("{{ acuracy }}", KNOWN, "there is self.accuracy"),
        ("{params.beta}", KNOWN, "there is params.alpha"),
        ("{% for each in inputs %}{{ each.x }}{% endfor %}", KNOWN, "the step is no join"),
        ("{self.x}", Known(branches=("a", "b")), "write inputs.a.x or inputs.b.x"),
        ("{self.x}", Known(branches=("t",), foreach=True), "a loop over inputs"),
        ("{inputs.t.x}", Known(branches=("t",), foreach=True), "write inputs[0]"),
        ("{inputs.c.x}", Known(branches=("a", "b")), "there is inputs.a, inputs.b"),
    ],
)
def test_a_template_that_cannot_work_fails_before_the_hours_of_training(
    template: str, known: Known, says: str
) -> None:
    assert says in fault(lambda: check(template, known))


@pytest.mark.parametrize(
    "shown", ["{}", "{HOME}", '{"a": 1}', "{0}", "{it's}", '{"it\'s": 1}', "{", "{!r}"]
)
def test_braces_that_name_nothing_are_shown_by_the_form_that_the_refusal_gives(shown: str) -> None:
    said = fault(lambda: check(f"so ${shown}", KNOWN))
    written = re.search(r"write (\{\{ .* \}\}) \(", said)
    assert written, said
    assert render(f"so ${written[1]}", LINEAR, str) == f"so ${shown}"


def test_every_fault_of_a_template_is_told_at_once() -> None:
    said = fault(lambda: check("{self.a} {self.b} {params.c}", KNOWN))
    assert all(each in said for each in ("self.a,", "self.b,", "params.c,"))


def test_what_cannot_be_known_is_not_refused() -> None:
    check("{self.anything} {params.any}", Known())
    check("{inputs.a.x} {inputs[0].y}", Known(branches=("a", "b")))
    check("{% for each in inputs %}{{ each.x }}{% endfor %}", Known(branches=("t",), foreach=True))


@pytest.mark.parametrize(
    ("template", "read"),
    [
        ("{self.a} {self.b.c} {params.d}", {"a", "b"}),
        ("{{ self.a | round }}{% if self.b > 1 %}{{ x }}{% endif %}", {"a", "b"}),
        ("{inputs.s.a} {inputs[0].b}", {"a", "b"}),
        ("plain", set()),
    ],
)
def test_the_names_that_a_template_reads_are_known_before_anything_is_loaded(
    template: str, read: set[str]
) -> None:
    assert names(template) == read


def test_a_loop_over_inputs_never_names_too_few() -> None:
    assert {"x", "y"} <= names("{% for each in inputs %}{{ each.x }}{{ each.y }}{% endfor %}")


# -- whatever comes ------------------------------------------------------------------------------


@given(st.text(alphabet="{}%[]().:!|_ \nselfaxinputs01'\"", max_size=40))
def test_any_template_renders_or_is_refused_in_words(template: str) -> None:
    try:
        check(template, Known())
        render(template, Scope({"a": 1, "x": "y"}))
    except Faults:
        return


@given(st.text())
def test_any_value_reads_the_same_in_both_styles(value: str) -> None:
    scope = Scope({"value": value})
    assert render("{self.value}", scope) == render("{{ self.value }}", scope)
