"""Typed input: what a flow's author declares, and what a person gives.

`jsonschema` costs a tenth of a second to import, so only the functions that need it do; reading and
verifying records does without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import Faults


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the input, as a person is asked for it.

    `kind` is one of str, int, float, bool, list, dict, any; `hint` says in words what is allowed.
    """

    name: str
    kind: str
    required: bool
    default: Any = None
    choices: tuple[Any, ...] = ()
    description: str = ""
    hint: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def schema_of(declared: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(declared) if declared else None


def check(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(given)


def parse_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def parse_pairs(pairs: Sequence[str], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if any("=" not in pair for pair in pairs):
        raise Faults("the input", ["write each as key=value"])
    return dict(pair.split("=", 1) for pair in pairs)


def fields(schema: Mapping[str, Any] | None) -> tuple[Field, ...]:
    return tuple(
        Field(name, "str", name in (schema or {}).get("required", ()))
        for name in (schema or {}).get("properties", {})
    )


def parse_field(field: Field, text: str) -> Any:
    return text


def objection(schema: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> str | None:
    """Why a person's input does not fit, in words; None where it does."""
    try:
        check(schema, given or {})
    except Faults as faults:
        return str(faults)
    return None
