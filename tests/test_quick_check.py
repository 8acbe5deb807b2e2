"""What the quick check of a value takes, jsonschema takes too; for the rest it is asked itself."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.github import GitHub
from tests.github.contract import WEBHOOKS, Description
from tests.github.quick_check import QuickCheck

SCHEMAS = {
    "list": {"type": "array", "items": {"$ref": "#/schemas/node"}, "minItems": 1, "maxItems": 2},
    "node": {
        "type": ["object", "null"],
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "minLength": 1, "maxLength": 2, "enum": ["a", "ab", "abc", 1]},
            "b": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 0, "maximum": 1}]},
            "c": {"allOf": [{"type": "number"}, {"maximum": 1}], "discriminator": {}},
            "d": {"$ref": "#/schemas/list"},
            "e": {"type": "boolean", "unheard": 1},
        },
        "additionalProperties": {"type": "object", "maxProperties": 1},
    },
    "shut": {"properties": {"a": True, "b": False}, "additionalProperties": False},
}
LEAVES = st.sampled_from([None, True, False, 0, 1, 2, -1, 0.5, 1.0, "", "a", "ab", "abc", "x"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdexy"), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", SCHEMAS)
@given(value=VALUES)
@settings(max_examples=60)
def test_what_it_takes_keeps_the_schema(name: str, value: Any) -> None:
    schema = {"$ref": f"#/schemas/{name}", "schemas": SCHEMAS}
    if QuickCheck(SCHEMAS, {}).compiled({"$ref": f"#/schemas/{name}"})(value):
        assert jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("list", [{"a": "a", "b": 1, "c": 1, "d": [None], "x": {}}]),
        ("node", None),
        ("shut", {"a": 1}),
        ("shut", 1),
    ],
)
def test_it_takes_what_is_right(name: str, value: Any) -> None:
    assert QuickCheck(SCHEMAS, {}).compiled({"$ref": f"#/schemas/{name}"})(value)


def test_a_keyword_or_a_reference_that_it_does_not_know_is_left_to_jsonschema() -> None:
    for schema in ({"unheard": 1}, {"$ref": "#/schemas/nothing"}, {"$ref": "elsewhere"}):
        assert not QuickCheck({}, {}).compiled(schema)({})


def test_what_github_sends_and_nearly_all_that_is_wrong_with_it_is_told_at_once() -> None:
    chance = random.Random(7)
    said = list(_said())
    assert len(said) > 1
    for description, pointer, value in said:
        assert description.faults(pointer, value) == description.explained(pointer, value) == []
        places = list(_places(value))
        for place in chance.sample(places, 12):
            broken = copy.deepcopy(value)
            _change(broken, place, chance.choice([None, True, 0, "", [], {}, ...]))
            assert description.faults(pointer, broken) == description.explained(pointer, broken)


def _said() -> Iterator[tuple[Description, str, Any]]:
    with GitHub() as github:
        repo = github.repository("acme/models")
        ann = github.user("ann")
        repo.grant(ann, "write")
        repo.commit("new", {"a": "1"})
        pull = repo.open_pull_request(ann, "new", title="t", body="b")
        pull.comment(ann, "hello")
        for event in github.events:
            name = f"{event.name}-{event.action}".replace("_", "-")
            yield WEBHOOKS, f"/events/{name}", event.payload


def _places(value: Any) -> Iterator[list[Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield [key]
        if isinstance(part, dict | list):
            yield from ([key, *more] for more in _places(part))


def _change(value: Any, place: list[Any], to: Any) -> None:
    for key in place[:-1]:
        value = value[key]
    if to is ...:
        del value[place[-1]]
    else:
        value[place[-1]] = to
