from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import input_fields
from bridge.core.digest import canonical
from bridge.core.errors import Faults
from bridge.core.json_formats import FORMATS, fits
from bridge.core.json_schema import unsound
from bridge.core.yaml_text import dump, load

SEED = {"deploy_target": "str", "notes": "str"}
DEPLOY = {
    "type": "object",
    "properties": {
        "deploy_target": {"enum": ["staging", "production"], "description": "where it goes"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
        "tag": {"type": "string", "pattern": r"^v\d+$"},
        "share": {"type": "number", "exclusiveMinimum": 0},
        "dry": {"type": "boolean"},
        "regions": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "required": ["deploy_target"],
    "additionalProperties": False,
}


def schema(declared: dict[str, Any]) -> dict[str, Any]:
    found = input_fields.schema_of(declared)
    assert found is not None
    return found


def faults(call: Any) -> tuple[str, ...]:
    with pytest.raises(Faults) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value.faults


# -- declaring -----------------------------------------------------------------------------------


def test_the_seeds_step_reads_its_input_unchanged() -> None:
    hitl_input = input_fields.check(
        schema(SEED), input_fields.parse_json('{"deploy_target": "staging"}')
    )
    assert hitl_input["deploy_target"] == "staging"
    assert hitl_input.get("notes", "") == ""


def test_what_the_seed_declares_is_owed_except_remarks() -> None:
    assert faults(lambda: input_fields.check(schema(SEED), {})) == ("deploy_target: is missing",)


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_gate_that_declares_no_input_takes_any_plain_object(nothing: Any) -> None:
    assert input_fields.schema_of(nothing) is None
    assert input_fields.check(None, {"deploy_target": "staging"}) == {"deploy_target": "staging"}


def test_types_are_words_or_pythons_own() -> None:
    words = {"a": "str", "b": "int", "c": "float", "d": "bool", "e": "list", "f": "dict"}
    types = {"a": str, "b": int, "c": float, "d": bool, "e": list, "f": dict}
    assert schema(words) == schema(types)


def test_a_question_mark_makes_a_field_optional_and_an_equals_sign_gives_a_default() -> None:
    made = schema({"target": "str?", "replicas": "int = 2", "tags": 'list = ["a"]'})
    assert input_fields.check(made, {}) == {"replicas": 2, "tags": ["a"]}


def test_one_field_may_be_json_schema_among_words() -> None:
    made = schema({"target": {"enum": ("a", "b")}, "n": {"type": "integer", "default": 2}})
    assert input_fields.check(made, {"target": "a"}) == {"target": "a", "n": 2}
    assert faults(lambda: input_fields.check(made, {})) == ("target: is missing",)
    assert faults(lambda: input_fields.check(made, {"target": "c"})) == (
        "target: 'c' is none of a, b",
    )
    assert "'strin'" in str(faults(lambda: input_fields.schema_of({"a": {"type": "strin"}})))


def test_json_schema_stands_as_it_is() -> None:
    assert schema(DEPLOY) == DEPLOY


def test_a_declaration_without_a_type_at_its_top_is_an_object() -> None:
    assert schema({"properties": {"a": {"enum": ("x", "y")}}}) == {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}},
    }


def test_every_fault_of_a_declaration_is_told_at_once() -> None:
    said = faults(
        lambda: input_fields.schema_of({"a": "strr", "b c": "str", "c": "int = x", "d": 3})
    )
    assert [each.partition(":")[0] for each in said] == ["a", "b c", "c", "d"]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties.a.type"),
        ({"properties": {"a": {"type": "int"}}}, "a.type: 'int' is no type of JSON Schema; there"),
        ({"properties": {"type": 5}}, "properties.type: 5 is not of type"),
        (
            {"properties": {"a": {}}, "required": ["a", "b"]},
            "required has b, and properties has no",
        ),
        ({"type": "object", "required": ["b"]}, "required has b, and properties has no"),
        ({"properties": {"a": {"pattern": "("}}}, "cannot be read"),
        ({"properties": {"a": {"pattern": "a" * 201}}}, "at most 200 characters"),
        ({"properties": {"a": {"pattern": "((a{999}){999}){999}"}}}, "repeats too much"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "the default of a: 'x'"),
        ({"properties": {"a": {"$ref": "http://x.example/y"}}}, "nothing is fetched"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "none of the schema's own"),
        ({"properties": {}, "$id": "http://x.example/"}, "$id is not supported"),
        ({"properties": {}, "patternProperties": {"a": {}}}, "patternProperties is not supported"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "the bridge reads"),
        ({"$schema": "x", "type": "array"}, "must be an object"),
        ({"properties": {"a": {"format": "duration"}}}, "the format 'duration' is not checked"),
        ({"properties": {"a": {"minimun": 3}}}, "'minimun', which would check nothing; did you"),
        ({"properties": {"a": {"contentEncoding": "base64"}}}, "would check nothing"),
        ({"propertys": {}, "type": "object"}, "did you mean properties"),
        ({"properties": {"a": {"enum": [float("nan")]}}}, "nan is not a number"),
        ({"properties": {"a": {"const": object()}}}, "JSON has no object"),
    ],
)
def test_a_schema_that_cannot_work_is_refused_when_it_is_declared(
    declared: dict[str, Any], says: str
) -> None:
    assert any(says in each for each in faults(lambda: input_fields.schema_of(declared)))


def test_a_field_may_be_called_pattern() -> None:
    made = schema({"properties": {"pattern": {"type": "string"}}})
    assert input_fields.check(made, {"pattern": "("}) == {"pattern": "("}


# -- checking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"deploy_target": "stagin"}, "deploy_target: 'stagin' is none of staging, production"),
        ({"replicas": 0}, "replicas: 0 is less than 1"),
        ({"replicas": 10}, "replicas: 10 is more than 9"),
        ({"replicas": 2.0}, "replicas: 2.0 is not a whole number"),
        ({"replicas": "2"}, "replicas: '2' is not a whole number"),
        ({"replicas": True}, "replicas: true is not a whole number"),
        ({"share": float("nan")}, "share: nan is not a number"),
        ({"share": float("inf")}, "share: inf is not a number"),
        ({"share": 0}, "share: 0 is not more than 0"),
        ({"tag": "1"}, r"tag: '1' does not match ^v\d+$"),
        ({"dry": 1}, "dry: 1 is not true or false"),
        ({"dry": "true"}, "dry: 'true' is not true or false"),
        ({"dry": None}, "dry: null is not true or false"),
        ({"regions": ["a", "a"]}, "regions: ['a', 'a'] has the same entry twice"),
        ({"regions": ["a", 1]}, "regions[1]: 1 is not text"),
        ({"deploy_targt": "x"}, "deploy_targt: is not asked for; did you mean deploy_target?"),
        ({"tag": "\ud800"}, "tag: it contains an unpaired surrogate"),
        ({"replicas": 2**64}, "replicas: the number is too large"),
    ],
)
def test_an_input_that_does_not_fit_says_which_field_and_why(
    given: dict[str, Any], says: str
) -> None:
    assert says in faults(lambda: input_fields.check(DEPLOY, {"deploy_target": "staging", **given}))


@pytest.mark.parametrize(
    ("value", "of", "fits"),
    [
        (0.07, 0.01, True),
        (0.3, 0.1, True),
        (1.1, 0.1, True),
        (7, 0.01, True),
        (0.075, 0.01, False),
        (1e-07, 1e-07, True),
        (1e300, 0.1, True),
        (6, 4, False),
        (3, 10**400, False),
        (3, float("inf"), False),
    ],
)
def test_a_multiple_is_counted_on_the_numbers_as_they_are_written(
    value: float, of: float, fits: bool
) -> None:
    made = {"type": "object", "properties": {"a": {"multipleOf": of}}}
    assert (input_fields.objection(made, {"a": value}) is None) is fits


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date",
            ["2026-01-31", "2024-02-29"],
            ["tomorrow", "2026-02-29", "20260131", "2026-W01-1"],
        ),
        ("time", ["12:30:00Z", "23:59:60+01:00"], ["12:30", "25:00:00Z", "12:30:00"]),
        (
            "date-time",
            ["2026-01-31T12:30:00Z", "2026-01-31t12:30:00.5-05:00"],
            ["2026-01-31", "2026-01-31T12:30:00", "2026-13-01T00:00:00Z", "now"],
        ),
        ("email", ["ann@example.org", "a.b+c@x.co"], ["ann", "ann@", "a b@x.co", "a@b@c", "a@-x"]),
        ("hostname", ["example.org", "localhost"], ["-a", "a..b", "a_b", "", "a" * 64]),
        ("ipv4", ["10.0.0.1"], ["10.0.0", "10.0.0.256", "::1"]),
        ("ipv6", ["::1", "fe80::1"], ["10.0.0.1", "::g", "fe80::1%eth0", "::1%\n"]),
        (
            "uri",
            ["https://example.org/a?b#c", "mailto:a@b", "http://u@[::1]:80/%20"],
            ["example", "//a", "a b:c", "http://a:b/", "http://a b/", "http://a\n:80/"],
        ),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567", "x" * 36]),
    ],
)
def test_a_format_is_checked(name: str, good: list[str], bad: list[str]) -> None:
    made = schema({"properties": {"a": {"format": name}}})
    assert [each for each in good if input_fields.objection(made, {"a": each})] == []
    assert [each for each in bad if not input_fields.objection(made, {"a": each})] == []
    assert [each for each in good if not input_fields.objection(made, {"a": f"{each}\n"})] == []
    assert input_fields.objection(made, {"a": 3}) is None  # a format says nothing of a number


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^a$", ["a"], ["a\n", "a\n\n", "ab"]),
        ("^a$|^b$", ["a", "b"], ["a\n", "b\n"]),
        ("^(?:a|b$)c?$", ["ac", "b"], ["b\n", "ac\n"]),
        (r"^a\$$", ["a$"], ["a", "a$\n"]),
        (r"^a\\$", ["a\\"], ["a\\\n", "a$"]),
        (r"^[$]$", ["$"], ["$\n", ""]),
        (r"^[^$]$", ["a", "\n"], ["$", "a\n"]),
        (r"^[]$]a$", ["$a", "]a"], ["a", "$a\n"]),
        (r"^[[:alpha:]$]$", ["b", "$"], ["b\n"]),
        (r"^\[a$", ["[a"], ["[a\n"]),
        (r"^\d+$", ["17"], ["\u0661\u0667", "\uff11\uff17"]),
        (r"^[\d.]+$", ["1.7"], ["\u0661.\u0667"]),
        (r"^\w+$", ["a_1"], ["\u0430_1", "\u0661"]),
        (r"^[\w-]+$", ["a-1"], ["\u0430-1"]),
        (r"^\D\W$", ["\u0661\u0430"], ["1-", "ab"]),
        (r"^\\d$", ["\\d"], ["1", "\\1"]),
        (r"^[\s\S]$", ["\u0661", "\n", "a"], [""]),
    ],
)
def test_a_pattern_is_read_as_json_schema_reads_it(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    made = schema({"properties": {"a": {"pattern": pattern}}})
    assert [each for each in good if input_fields.objection(made, {"a": each})] == []
    assert [each for each in bad if not input_fields.objection(made, {"a": each})] == []


@given(st.sampled_from(sorted(FORMATS)), st.text() | st.text(alphabet="0123456789-:.@TZ[]a/"))
def test_no_text_makes_a_format_stumble(name: str, text: str) -> None:
    assert fits(name, text) in (True, False)


def test_every_keyword_that_is_checked_may_be_declared() -> None:
    wide = {
        "a": {"type": "array", "contains": {"const": 1}, "minContains": 1, "maxContains": 2},
        "b": {"if": {"const": 1}, "then": True, "else": {"type": "string"}, "title": "B"},
        "default": {"description": "a field of this name", "examples": [{"odd": 1}]},
    }
    schema({"properties": wide, "dependentRequired": {"a": ["b"]}, "$comment": "none"})


@pytest.mark.parametrize(
    ("written", "value"), [("0.1", 0.1), ("1.10", 1.1), ("1e3", 1000.0), ("-0.0", 0.0), ("5.", 5.0)]
)
def test_a_number_that_is_kept_as_written_is_read(written: str, value: float) -> None:
    assert input_fields.parse_pairs([f"x={written}"], schema({"x": "float"})) == {"x": value}


def test_a_number_that_would_be_rounded_is_refused() -> None:
    with pytest.raises(Faults, match="more digits than a number keeps"):
        input_fields.parse_pairs(["x=0.12345678901234567891"], schema({"x": "float"}))


def test_a_number_with_zeros_before_it_is_ambiguous() -> None:
    made = schema({"replicas": "int", "share": "float", "tag": "str"})
    assert faults(
        lambda: input_fields.parse_pairs(["replicas=010", "share=-08", "tag=010"], made)
    ) == (
        "replicas: '010' is ambiguous: write a number without zeros before it",
        "share: '-08' is ambiguous: write a number without zeros before it",
    )
    assert input_fields.parse_pairs(["replicas=0", "share=0.5"], made) == {
        "replicas": 0,
        "share": 0.5,
    }


def test_every_fault_of_an_input_is_told_at_once() -> None:
    wrong = {"replicas": "x", "tag": 3, "share": float("nan"), "more": 1}
    told = {each.partition(":")[0] for each in faults(lambda: input_fields.check(DEPLOY, wrong))}
    assert told == {"deploy_target", "replicas", "tag", "share", "more"}


def test_defaults_are_filled_in_also_within_a_mapping() -> None:
    made = schema({"properties": {"a": {"type": "object", "properties": {"b": {"default": 1}}}}})
    assert input_fields.check(made, {"a": {}}) == {"a": {"b": 1}}


def test_a_default_is_not_shared_between_two_inputs() -> None:
    made = schema({"tags": "list = []"})
    input_fields.check(made, {})["tags"].append("x")
    assert input_fields.check(made, {}) == {"tags": []}


def test_what_is_given_is_not_changed() -> None:
    given = {"deploy_target": "staging"}
    input_fields.check(DEPLOY, given)
    assert given == {"deploy_target": "staging"}


def test_a_value_that_looks_secret_is_not_repeated() -> None:
    made = schema({"properties": {"api_key": {"type": "string", "maxLength": 3}}})
    assert "hunter2" not in "".join(
        faults(lambda: input_fields.check(made, {"api_key": "hunter2"}))
    )


def test_a_schema_is_not_taken_for_another_of_the_same_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert not unsound({**schema, "required": ["a"]})
    assert unsound({**schema, "required": ("a",)})


def test_a_hostile_schema_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", reached)
    hostile = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}
    assert any(
        "nothing is fetched" in each
        for each in faults(lambda: input_fields.check(hostile, {"a": 1}))
    )


DOUBLING = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ({"type": "string", "pattern": "^(a|aa)+$"}, "a" * 5_000 + "!", "takes too long"),
        ({"type": "string", "pattern": "((a{999}){999}){999}"}, "a", "repeats too much"),
        ({"$ref": "#/$defs/d0"}, 1, "refers from one part to another too often"),
        ({"$ref": "#"}, {"a": {"a": {}}}, None),
        ({"$ref": "#/$defs/self"}, 1, "without end"),
    ],
)
def test_a_hostile_schema_cannot_make_the_bridge_work_for_long(
    part: dict[str, Any], value: object, says: str | None
) -> None:
    defs = {**DOUBLING, "d60": {}, "self": {"allOf": [{"$ref": "#/$defs/self"}]}}
    hostile = {"type": "object", "properties": {"a": part}, "$defs": defs}
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before * 20)  # what it says is the same, however deep a process may go
    try:
        said = input_fields.objection(hostile, {"a": value})
    finally:
        sys.setrecursionlimit(before)
    assert (said is None) if says is None else (said is not None and says in said)


def test_an_input_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    assert any(
        "nested too deeply" in each for each in faults(lambda: input_fields.check(None, deep))
    )
    assert any(
        "longer than" in each
        for each in faults(lambda: input_fields.check(None, {"a": "x" * 70_000}))
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*DEPLOY["properties"], "other"]), JSON))
def test_what_passes_fits_and_can_be_recorded_and_what_does_not_is_refused_in_words(
    given: dict[str, Any],
) -> None:
    try:
        passed = input_fields.check(DEPLOY, given)
    except Faults:
        assert input_fields.objection(DEPLOY, given)
        return
    assert passed["deploy_target"] in {"staging", "production"}
    assert type(passed["replicas"]) is int
    assert load(dump({"inputs": passed}), "x")["inputs"] == passed


@given(st.dictionaries(st.text(), JSON))
def test_a_free_input_that_passes_survives_the_record(given: dict[str, Any]) -> None:
    with contextlib.suppress(Faults):
        canonical(input_fields.check(None, given))


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "a: is given twice"),
        ('{"b": {"a": 1, "a": 1}}', "a: is given twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1e999}', "a: inf is not a number"),
        ('{"a": 0.1234567890123456789}', "has more digits than a number keeps"),
        ('{"a": 1e-999}', "has more digits than a number keeps"),
        ('{"a": 1e-99999999999999999999}', "has more digits than a number keeps"),
        ("[1]", "write a JSON object"),
        ("null", "write a JSON object"),
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "it is not JSON that can be read"),
        ("[" * 50_000, "it is not JSON that can be read"),
        ('{"a": "' + "x" * 70_000 + '"}', "it is longer than"),
    ],
    ids=lambda text: text[:20],
)
def test_only_a_clean_json_object_is_an_input(text: str, says: str) -> None:
    assert any(says in each for each in faults(lambda: input_fields.parse_json(text)))


def test_words_are_read_as_their_field_is_declared() -> None:
    words = [
        "deploy_target=staging",
        "replicas=3",
        "tag=v1",
        "share=.5",
        "dry=yes",
        'regions=["a"]',
    ]
    assert input_fields.parse_pairs(words, DEPLOY) == {
        "deploy_target": "staging",
        "replicas": 3,
        "tag": "v1",
        "share": 0.5,
        "dry": True,
        "regions": ["a"],
    }


def test_a_value_may_hold_an_equals_sign_and_be_empty() -> None:
    assert input_fields.parse_pairs(["notes=a=b", "deploy_target="], schema(SEED)) == {
        "notes": "a=b",
        "deploy_target": "",
    }


def test_without_a_declaration_a_word_is_text() -> None:
    assert input_fields.parse_pairs(["replicas=3"], None) == {"replicas": "3"}


def test_every_fault_of_the_words_is_told_at_once() -> None:
    words = [
        "replicas=two",
        "dry=maybe",
        "deploy_target=prod",
        "tag=1",
        "x=1",
        "y",
        "share=1",
        "share=2",
    ]
    told = faults(lambda: input_fields.parse_pairs(words, DEPLOY))
    assert [each.partition(" ")[0] for each in told] == [
        "replicas:", "dry:", "deploy_target:", "tag:", "x:", "'y'", "share:",
    ]  # fmt: skip


def test_all_that_a_command_line_gave_is_judged_together() -> None:
    assert input_fields.read(DEPLOY, text='{"deploy_target": "staging"}', pairs=["replicas=3"]) == {
        "deploy_target": "staging",
        "replicas": 3,
    }
    assert input_fields.read(DEPLOY, pairs=["deploy_target=staging"]) == {
        "deploy_target": "staging"  # a default is no part of what somebody gave
    }
    told = faults(
        lambda: input_fields.read(DEPLOY, text='{"tag": 1}', pairs=["replicas=x", "tag=v1"])
    )
    assert {each.partition(":")[0] for each in told} == {"deploy_target", "replicas", "tag"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("replicas", " 3 ", 3), ("share", "1", 1.0), ("dry", "N", False), ("tag", "v1", "v1"),
     ("regions", "[]", [])],
)  # fmt: skip
def test_a_person_types_one_field_at_a_time(name: str, text: str, value: object) -> None:
    asked = {each.name: each for each in input_fields.fields(DEPLOY)}
    read = input_fields.parse_field(asked[name], text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [("replicas", "2.0"), ("replicas", ""), ("replicas", "99"), ("share", "nan"),
     ("share", "1e999"), ("dry", "1"), ("deploy_target", "Staging"), ("tag", "x"),
     ("regions", "a,b"), ("regions", "{}"), ("regions", "[NaN]")],
)  # fmt: skip
def test_a_field_typed_wrong_is_named(name: str, text: str) -> None:
    asked = {each.name: each for each in input_fields.fields(DEPLOY)}
    assert faults(lambda: input_fields.parse_field(asked[name], text))[0].startswith(name)


def test_fields_tell_a_person_what_is_wanted() -> None:
    first, second, third, *_ = input_fields.fields(DEPLOY)
    assert (first.kind, first.required, first.choices) == ("str", True, ("staging", "production"))
    assert (first.description, first.hint) == ("where it goes", "one of staging, production")
    assert (second.kind, second.required, second.default) == ("int", False, 2)
    assert second.hint == "at least 1, at most 9"
    assert third.hint == r"matching ^v\d+$"


def test_a_field_told_elsewhere_in_the_schema_is_told_here() -> None:
    made = schema({"properties": {"a": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"enum": [1, 2]}}})
    (field,) = input_fields.fields(made)
    assert (field.kind, field.choices, input_fields.parse_field(field, "2")) == ("int", (1, 2), 2)


def test_a_step_and_a_listing_do_not_pay_for_jsonschema() -> None:
    code = (
        "import sys, bridge.gates.verify, bridge.render.request; print('jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
