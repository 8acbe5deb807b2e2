"""Typed input: what a flow's author declares, and what a person gives.

Two forms are declared: the short one, `{"deploy_target": "str", "replicas": "int = 2"}`, and JSON
Schema (2020-12) with an object at its top. Both become JSON Schema, and one function checks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.core.errors import Faults
from bridge.core.json_schema import (
    DEEPEST,
    LONGEST,
    choices_in_words,
    not_plain,
    pointed,
    quoted,
    type_name,
    unknown,
    unsound,
)
from bridge.core.json_schema import faults as faults_of
from bridge.core.numbers import exact
from bridge.core.proposals import PROPOSE, declaration_faults, proposals
from bridge.core.sanitize import is_secret, shortened

#: What a field's type may be written as: a short word, Python's own type, JSON Schema's word.
_TYPES: Final[dict[object, str]] = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array",
    "dict": "object", str: "string", int: "integer", float: "number", bool: "boolean",
    list: "array", dict: "object", "string": "string", "integer": "integer", "number": "number",
    "boolean": "boolean", "array": "array", "object": "object",
}  # fmt: skip
_KINDS: Final = {
    kind: word for word, kind in _TYPES.items() if isinstance(word, str) and word != kind
}

#: What may be typed for a list of choices beside some of them, with commas between.
ALL: Final = "all"
NONE: Final = "none"
EXCEPT: Final = "all-except-"

#: In the short form a person may leave these out: a remark on the decision is no part of it. The
#: seed's own step reads `self.hitl_input["deploy_target"]`, but `.get("notes", "")`.
_REMARKS: Final = frozenset({"note", "notes", "comment", "comments"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the input, as a person is asked for it.

    `kind` is str, int, float, bool, list, dict or any; `default` is None if there is none;
    `hint` says in a few words what is allowed, and may be empty.
    """

    name: str
    kind: str
    required: bool
    default: Any = None
    choices: tuple[Any, ...] = ()
    picks: tuple[str, ...] = ()  # of a list: what may be in it
    description: str = ""
    hint: str = ""
    proposed: bool = False  # the default is what this run proposes
    schema: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the whole


# -- declaring -----------------------------------------------------------------------------------


def schema_of(declared: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """JSON Schema of a declared input, plain enough to be recorded; None if none is declared.

    Raises `Faults` with every fault of the declaration.
    """
    if not declared:
        return None
    subject = "the declared input"
    if not isinstance(declared, Mapping):
        raise Faults(subject, ['write it like {"deploy_target": "str"}, or as JSON Schema'])
    faults: list[str] = []
    schema = _spelt_out(declared) if _is_json_schema(declared) else _short(declared, faults)
    if not faults:
        plain = list(not_plain(schema, "schema"))
        faults = plain or [*unsound(schema)] or list(_default_faults(schema))
        faults = faults or list(declaration_faults(schema))
    if faults:
        raise Faults(subject, faults)
    return schema


def _is_json_schema(declared: Mapping[str, Any]) -> bool:
    named = "$schema" in declared or isinstance(declared.get("properties"), Mapping)
    return named or declared.get("type") == "object"


def _spelt_out(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", **_listed(declared)}


def _listed(value: Any, depth: int = 0) -> Any:
    """The same with lists for tuples and dicts for mappings, as JSON will have it."""
    if depth > DEEPEST:
        return value  # refused for that when it is looked at
    if isinstance(value, Mapping):
        return {key: _listed(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(each, depth + 1) for each in value]
    return value


def _short(declared: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    top = declared.get("type")
    if isinstance(top, str) and top in _KINDS:  # a JSON Schema, or a field of that name?
        faults.append(
            f"type: write {_KINDS[top]!r} for a field called type; a JSON Schema has an object at"
            " its top"
        )
    for name, written in declared.items():
        try:
            properties[name], optional = _short_field(name, written)
        except Faults as error:
            faults.extend(error.faults)
            continue
        if not optional:
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _short_field(name: object, written: object) -> tuple[dict[str, Any], bool]:
    def fault(says: str) -> Faults:
        return Faults("the declared input", [f"{name}: {says}"])

    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
        raise fault("a field's name is letters, digits, - and _")
    if isinstance(written, Mapping):
        return _listed(written), "default" in written
    word, equals, default = written, "", ""
    if isinstance(written, str):
        word, equals, default = (part.strip() for part in written.partition("="))
    optional = isinstance(word, str) and word.endswith("?")
    if isinstance(word, str):
        word = word.removesuffix("?")
    kind = _TYPES.get(word) if isinstance(word, str | type) else None
    if kind is None:
        raise fault(
            f"{quoted(written)} is not a type; use str, int, float, bool, list or dict, 'str?' for"
            " an optional field, 'int = 2' for a default, or JSON Schema for anything more"
        )
    if equals:
        try:
            return {"type": kind, "default": _read_as(_KINDS[kind], default)}, True
        except ValueError as error:
            raise fault(f"its default {quoted(default)} {error}") from None
    if name in _REMARKS and kind == "string" and not optional:
        return {"type": kind, "default": ""}, True
    return {"type": kind}, optional


# -- checking ------------------------------------------------------------------------------------


def check(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input with its defaults filled in; nothing is converted.

    Without a schema any plain JSON object will do. Raises `Faults` with every fault, each with its
    field: `deploy_target: 'stagin' is none of staging, production`.
    """
    whole = filled(schema, given)
    faults = faults_of(schema, whole)
    if faults:
        raise Faults("the input", [says for _, says in faults])
    return whole


def objection(schema: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> str | None:
    """Why this input does not fit, in words; None if it does."""
    try:
        check(schema, given or {})
    except Faults as error:
        return "; ".join(error.faults)
    return None


def owed(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The fields that only a person can give: required, and without a default."""
    return tuple(each.name for each in fields(schema) if each.required and each.default is None)


def unjudged(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The fields that neither the clock nor a condition may fill in: a person looks at what is
    proposed."""
    return tuple(dict.fromkeys((*owed(schema), *proposals(schema))))


def filled(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input with the schema's defaults if nothing is given, unchecked."""
    return _filled(schema or {}, _listed(given))


def _filled(schema: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    out = dict(given)
    for name, part in properties.items() if isinstance(properties, Mapping) else ():
        if not isinstance(part, Mapping):
            continue
        if name in out and isinstance(out[name], dict):
            out[name] = _filled(part, out[name])
        elif name not in out and "default" in part:
            out[name] = _listed(part["default"])
    return out


def _default_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    given = filled(schema, {})
    for name, says in faults_of(schema, given):
        if name in given:
            yield f"the default of {says}"
    unlisted = [each for each in schema.get("required", ()) if each not in _properties(schema)]
    if unlisted:  # nobody sees that they are asked for
        yield f"required has {', '.join(unlisted)}, and properties has no such field"


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {})
    return found


# -- reading -------------------------------------------------------------------------------------


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object, each key once. Raises `Faults` for anything else, and for NaN and Infinity."""
    found = _loaded(text)
    if not isinstance(found, dict):
        raise Faults("the input", ['write a JSON object, such as {"deploy_target": "staging"}'])
    return found


def _loaded(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise Faults("the input", [f"{name}: is given twice" for name in twice])
        return found

    def number(written: str) -> float:
        try:
            return exact(written)
        except ValueError as error:
            raise Faults("the input", [f"{shortened(written, 60)} {error}"]) from None

    def refused(word: str) -> Any:
        raise Faults("the input", [f"{word} is not a number"])

    if len(text) > LONGEST:
        raise Faults("the input", [f"it is longer than {LONGEST:,} characters"])
    try:
        found = json.loads(text, object_pairs_hook=once, parse_float=number, parse_constant=refused)
    except json.JSONDecodeError as error:
        says = f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise Faults("the input", [says]) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets without end
        raise Faults("the input", ["it is not JSON that can be read"]) from None
    faults = list(not_plain(found, ""))  # 1e999 is infinite without saying so
    if faults:
        raise Faults("the input", faults)
    return found


def parse_pairs(pairs: Sequence[str], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """`key=value` words, each read as its field's declared type, as text if none is declared.

    What is left out is not this function's business: `check` says so. Raises `Faults`.
    """
    found, faults = _pairs(pairs, schema)
    if faults:
        raise Faults("the input", faults)
    return found


def read(
    schema: Mapping[str, Any] | None, *, text: str | None = None, pairs: Sequence[str] = ()
) -> dict[str, Any]:
    """All that a command line gave, a JSON object and `key=value` words, checked.

    A default is no part of it: it must not outweigh what another approver gives. Raises `Faults`
    with every fault of all of it.
    """
    given = parse_json(text) if text else {}
    found, faults = _pairs(pairs, schema)
    faults += [f"{name}: is given twice" for name in found if name in given]
    whole = {**given, **found}
    bad = {fault.partition(":")[0] for fault in faults}
    faults += [says for name, says in faults_of(schema, filled(schema, whole)) if name not in bad]
    if faults:
        raise Faults("the input", faults)
    return whole


def _pairs(
    pairs: Sequence[str], schema: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    asked = {each.name: each for each in fields(schema)}
    closed = schema is not None and schema.get("additionalProperties") is False
    found: dict[str, Any] = {}
    faults: list[str] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            faults.append(f"{quoted(pair)} is not written key=value")
        elif name in found:
            faults.append(f"{name}: is given twice")
        elif name in asked:
            try:
                found[name] = parse_field(asked[name], text)
            except Faults as error:
                faults.extend(error.faults)
        elif closed:
            faults.append(f"{name}: {unknown(name, tuple(asked))}")
        else:
            found[name] = text
    return found, faults


def fields(schema: Mapping[str, Any] | None) -> tuple[Field, ...]:
    """The fields at the top of a schema, in its order, for asking one after another."""
    properties = (schema or {}).get("properties")
    if schema is None or not isinstance(properties, Mapping):
        return ()
    listed = schema.get("required")
    required = listed if isinstance(listed, list) else []
    return tuple(_field(name, part, name in required, schema) for name, part in properties.items())


def _field(name: str, part: Any, required: bool, schema: Mapping[str, Any]) -> Field:
    own = part if isinstance(part, Mapping) else {}
    part = {**(pointed(schema, own.get("$ref")) or {}), **own}
    choices = part["enum"] if isinstance(part.get("enum"), list) else []
    return Field(
        name=name,
        kind=_kind(part, choices),
        required=required,
        default=part.get("default"),
        choices=tuple(choices),
        picks=_picks(part),
        description=str(part.get("description") or part.get("title") or ""),
        hint=_hint(part, choices),
        proposed=PROPOSE in part,
        schema=schema,
    )


def _kind(part: Mapping[str, Any], choices: Sequence[Any]) -> str:
    written = part.get("type")
    kinds = [written] if isinstance(written, str) else written if isinstance(written, list) else []
    named = {_KINDS[each] for each in kinds if isinstance(each, str) and each in _KINDS}
    if not kinds:
        named = {type(each).__name__ for each in choices}
    return named.pop() if len(named) == 1 and named <= set(_KINDS.values()) else "any"


def _picks(part: Mapping[str, Any]) -> tuple[str, ...]:
    items = part.get("items")
    listed = items.get("enum") if isinstance(items, Mapping) else None
    if part.get("type") != "array" or not isinstance(listed, list):
        return ()
    return tuple(listed) if all(isinstance(each, str) for each in listed) else ()


def _hint(part: Mapping[str, Any], choices: Sequence[Any]) -> str:
    if choices:
        return f"one of {choices_in_words(choices)}"
    if picks := _picks(part):
        return f"some of {choices_in_words(picks)}; or {_picks_in_words(picks)}"
    if part.get("type") == "boolean":
        return "true or false"
    bounds = [
        (part.get("minimum"), "at least {}"),
        (part.get("exclusiveMinimum"), "more than {}"),
        (part.get("maximum"), "at most {}"),
        (part.get("exclusiveMaximum"), "less than {}"),
        (part.get("minLength"), "at least {} characters"),
        (part.get("maxLength"), "at most {} characters"),
        (part.get("pattern"), "matching {}"),
    ]
    return ", ".join(shortened(says.format(b), 100) for b, says in bounds if b is not None)


def parse_field(field: Field, text: str) -> Any:
    """The value of one field, from what a person typed. Raises `Faults` naming the field.

    Whether an empty line means the default is for the one who asks to say.
    """
    try:
        value = _typed(field, text)
    except ValueError as error:
        shown = "what is given" if is_secret(field.name) else quoted(text)
        raise Faults("the input", [f"{field.name}: {shown} {error}"]) from None
    faults = [
        says for name, says in faults_of(field.schema, {field.name: value}) if name == field.name
    ]
    if field.schema and faults:
        raise Faults("the input", faults)
    return value


def _typed(field: Field, text: str) -> Any:
    if field.choices:
        return _chosen(field, text)
    if field.picks and not text.lstrip().startswith("["):
        return _picked(field.picks, text.strip())
    return _read_as(field.kind, text)


def _picked(picks: Sequence[str], text: str) -> list[str]:
    """`de,fr`, `all`, `none` or `all-except-de,fr`, in the order of the choices."""
    if text in (ALL, NONE) and text not in picks:
        return list(picks) if text == ALL else []
    rest = text.removeprefix(EXCEPT)
    named = [each.strip() for each in rest.split(",")]
    wrong = [quoted(each) for each in named if each not in picks]
    if wrong:
        raise ValueError(
            f"names {', '.join(wrong[:5])}, which is none of {choices_in_words(picks)}; you can"
            f" also write {_picks_in_words(picks)}"
        )
    return [each for each in picks if (each in named) is (rest == text)]


def _picks_in_words(picks: Sequence[str]) -> str:
    return f"{ALL}, {NONE}, {shortened(f'{EXCEPT}{picks[0]}', 60)}" if picks else NONE


def _chosen(field: Field, text: str) -> Any:
    for choice in field.choices:
        if text == (choice if isinstance(choice, str) else json.dumps(choice)):
            return choice
    raise ValueError(f"is none of {choices_in_words(field.choices)}")


def _read_as(kind: str, text: str) -> Any:
    """Raises `ValueError` with the rest of the sentence that begins with the text."""
    text = text if kind == "str" else text.strip()
    match kind:
        case "str":
            return text
        case "int" | "float" if re.fullmatch(r"[-+]?0[0-9]+", text):
            raise ValueError("is ambiguous: write a number without zeros before it")
        case "int" if re.fullmatch(r"[-+]?[0-9]{1,19}", text):
            return int(text)
        case "float" if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
            return exact(text)
        case "bool" if text.lower() in {"true", "yes", "y", "false", "no", "n"}:
            return text.lower() in {"true", "yes", "y"}
        case "list" | "dict":
            return _read_json(kind, text)
        case "any":
            return _read_any(text)
    raise ValueError(f"is not {type_name(_TYPES[kind])}")


def _read_json(kind: str, text: str) -> Any:
    try:
        found = _loaded(text)
    except Faults as error:
        raise ValueError(f"cannot be read: {'; '.join(error.faults)}") from None
    if type(found).__name__ != kind:
        raise ValueError(f"is not {type_name(_TYPES[kind])} in JSON")
    return found


def _read_any(text: str) -> Any:
    # Of no declared type: JSON if it is JSON, and otherwise the text itself.
    try:
        return _loaded(text)
    except Faults:
        return text
