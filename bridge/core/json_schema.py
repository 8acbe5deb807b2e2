"""JSON Schema (2020-12), held to a budget, and its faults in plain words.

A schema may come from a ledger that others write to: it fetches nothing, and it cannot make the
bridge work for long. `jsonschema` costs a tenth of a second to import, so only the functions that
need it do; reading and verifying records does without.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from bridge.core.json_formats import FORMATS, fits
from bridge.core.sanitize import is_secret, shortened

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

LONGEST: Final = 65_536
DEEPEST: Final = 32
_MOST_FAULTS: Final = 50
_MOST_REFERENCES: Final = 1_000  # ten that name the next one twice are 1,024 already
_LONGEST_PATTERN: Final = 200
_DEEPEST_REFERENCES: Final = 100  # within each other; Python's own limit differs between processes
_MOST_REPEATS: Final = 300_000  # the memory of a counted repeat in another is their product
_PATTERN_SECONDS: Final = 0.5
#: Keywords that reach outside the schema, or that match by `re`, which has no time limit.
_REFUSED: Final = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "patternProperties",
     "unevaluatedProperties", "unevaluatedItems"}
)  # fmt: skip
#: Beside the keywords that are checked. Any other is a slip of the pen, and would check nothing.
_OF_NO_EFFECT: Final = frozenset(
    {"$schema", "$defs", "$comment", "title", "description", "default", "examples", "deprecated",
     "readOnly", "writeOnly", "propose", "format", "then", "else", "minContains", "maxContains"}
)  # fmt: skip
_BY_NAME: Final = frozenset({"properties", "$defs", "dependentSchemas"})
_DATA: Final = frozenset({"default", "enum", "const", "examples", "dependentRequired"})


def faults(
    schema: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> list[tuple[str | None, str]]:
    """Every fault: the field at the top it belongs to (None: to all), and what it says."""
    found: list[tuple[str | None, str]] = []
    sound: dict[str, Any] = {}
    for name, value in given.items():
        says = list(not_plain({name: value}, ""))
        found.extend((name, each) for each in says)
        if not says:
            sound[name] = value
    if len(json.dumps(sound, ensure_ascii=False)) > LONGEST:
        return [(None, f"it is longer than {LONGEST:,} characters")]
    bad = {name for name, _ in found}
    if schema is not None:
        found.extend(
            each for each in _misfits(schema, sound) if each[0] is None or each[0] not in bad
        )
    return list(dict.fromkeys(found))


def _misfits(schema: Mapping[str, Any], given: dict[str, Any]) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = [
        (None, f"its schema is no good: {says}") for says in unsound(schema)
    ]
    if found:
        return found
    try:
        for error in _validator(schema).iter_errors(given):
            top = str(error.path[0]) if error.path else None
            found.extend((name or top, says) for name, says in _said(error))
            if len(found) > _MOST_FAULTS:
                break
    except _TooMuch as error:
        found.append((None, str(error)))
    except RecursionError:
        found.append((None, _ENDLESS))
    return found


_ENDLESS: Final = "its schema refers to itself without end"


class _TooMuch(Exception):
    """The schema asks for more work than any honest one."""


#: A `$` that is neither escaped nor in a set of characters; or one of those, which is kept. A set
#: may begin with `]` and hold `[:alpha:]`.
_DOLLAR: Final = re.compile(
    r"(?P<dollar>\$)|\\.|\[\^?+\]?+(?:\\.|\[:\^?\w++:\]|[^\]\\])*+\]", re.DOTALL
)


#: `\d` of Python also takes the digits of every other script, and `\w` its letters.
_DIGIT, _LETTER = "0-9", "A-Za-z0-9_"
_CLASSES: Final = {
    r"\d": f"[{_DIGIT}]",
    r"\D": f"[^{_DIGIT}]",
    r"\w": f"[{_LETTER}]",
    r"\W": f"[^{_LETTER}]",
}


def _ecma(pattern: str) -> str:
    """The pattern as ECMA-262, and so JSON Schema, reads it: each `$` only at the very end, `\\d`
    and `\\w` of ASCII alone.

    In Python `$` also matches before a line break at the end: `^a$` would take "a\\n".
    """
    return _DOLLAR.sub(_token, pattern)


def _token(found: re.Match[str]) -> str:
    if found["dollar"]:
        return r"\Z"
    if not found[0].startswith("["):
        return _CLASSES.get(found[0], found[0])
    if re.search(r"\\[DWS]", found[0]):  # `[\s\S]` is any character
        return found[0]
    inside = {r"\d": _DIGIT, r"\w": _LETTER}
    return re.sub(r"\\.", lambda each: inside.get(each[0], each[0]), found[0], flags=re.DOTALL)


def _pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    import regex
    from jsonschema import ValidationError

    if not isinstance(instance, str):
        return
    try:
        matches = regex.search(_ecma(wanted), instance, timeout=_PATTERN_SECONDS)
    except TimeoutError:
        raise _TooMuch(f"the pattern {quoted(wanted)} takes too long to match") from None
    if not matches:
        yield ValidationError("does not match")


def _multiple(_: Any, of: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if not isinstance(instance, int | float) or isinstance(instance, bool):
        return
    # In binary 0.07 is no multiple of 0.01; as people write the two, it is.
    endless = isinstance(of, float) and not math.isfinite(of)
    if endless or Fraction(str(instance)) % Fraction(str(of)):
        yield ValidationError("is no multiple")


def _format(_: Any, name: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not fits(name, instance):
        yield ValidationError("is not of this format")


def _is_integer(_: Any, value: object) -> bool:
    # JSON Schema takes 1.0 for an integer, and a step that was promised an int gets a float.
    return isinstance(value, int) and not isinstance(value, bool)


def _validator(schema: Mapping[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator as Draft
    from jsonschema import validators
    from referencing import Registry

    left, deep = _MOST_REFERENCES, 0
    follow = Draft.VALIDATORS["$ref"]

    def counted(validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        nonlocal left, deep
        left -= 1
        if deep >= _DEEPEST_REFERENCES:
            raise _TooMuch(_ENDLESS)
        if left < 0:
            raise _TooMuch("its schema refers from one part to another too often")
        deep += 1
        try:
            yield from follow(validator, ref, instance, schema)
        finally:
            deep -= 1

    extend: Any = validators.extend
    strict = extend(
        Draft,
        {"$ref": counted, "pattern": _pattern, "multipleOf": _multiple, "format": _format},
        type_checker=Draft.TYPE_CHECKER.redefine("integer", _is_integer),
    )
    # An empty registry of our own: the library's default one fetches what it does not know.
    made: Validator = strict(dict(schema), registry=Registry())
    return made


class _AsWritten:
    """A schema as a key. Its JSON would be the same with a tuple for a list, and is another."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._text = repr(schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsWritten) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def unsound(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes a schema unfit to check anything with; kept, for it takes 20 milliseconds."""
    return _unsound(_AsWritten(schema))


@lru_cache(maxsize=32)
def _unsound(written: _AsWritten) -> tuple[str, ...]:
    return tuple(_soundness_faults(written.schema))


_TYPES: Final = "; there is array, boolean, integer, null, number, object, string"


def _soundness_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    from jsonschema import Draft202012Validator as Draft

    if schema.get("type") != "object":
        yield "it must be an object at its top: {'type': 'object', 'properties': …}"
        return
    if len(json.dumps(schema, ensure_ascii=False)) > LONGEST:
        yield f"it is longer than {LONGEST:,} characters"
        return
    dialect = Draft.META_SCHEMA["$id"]
    if schema.get("$schema", dialect) != dialect:
        yield f"$schema is {quoted(schema['$schema'])}; the bridge reads {dialect}"
    errors = list(Draft(Draft.META_SCHEMA).iter_errors(schema))
    for error in errors:
        is_type = error.validator == "anyOf" and [*error.path][-1:] == ["type"]
        says = f"{quoted(error.instance)} is no type of JSON Schema{_TYPES}" if is_type else None
        yield f"{_place(error.path) or 'schema'}: {says or shortened(error.message, 120)}"
    if not errors:
        yield from _dangers(schema, schema, "")


def _dangers(part: Any, root: Mapping[str, Any], where: str) -> Iterator[str]:
    """What a schema must not hold although the meta-schema allows it."""
    if isinstance(part, list):
        for index, each in enumerate(part):
            yield from _dangers(each, root, f"{where}[{index}]")
    for key, value in part.items() if isinstance(part, Mapping) else ():
        place = f"{where}.{key}" if where else str(key)
        if key in _BY_NAME and isinstance(value, Mapping):
            for name, each in value.items():
                yield from _dangers(each, root, f"{place}.{name}")
        elif key not in _DATA:
            yield from (f"{place}: {says}" for says in _keyword_faults(key, value, root))
            yield from _dangers(value, root, place)


def _keyword_faults(key: str, value: Any, root: Mapping[str, Any]) -> Iterator[str]:
    from difflib import get_close_matches

    from jsonschema import Draft202012Validator as Draft

    known = _OF_NO_EFFECT | Draft.VALIDATORS.keys()
    if key in _REFUSED:
        yield f"{key} is not supported"
    elif key not in known:
        near = get_close_matches(key, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        yield f"unknown keyword {quoted(key)}, which would check nothing{meant}"
    elif key == "format" and value not in FORMATS:
        yield f"the format {quoted(value)} is not checked; there is {', '.join(FORMATS)}"
    elif key == "pattern":
        yield from _pattern_faults(value)
    elif key == "$ref" and pointed(root, value) is None:
        yield f"{quoted(value)} is none of the schema's own #/$defs/…, and nothing is fetched"


def _pattern_faults(pattern: str) -> Iterator[str]:
    import regex

    if len(pattern) > _LONGEST_PATTERN:
        yield f"a pattern has at most {_LONGEST_PATTERN} characters"
        return
    counts = [
        int(number)
        for pair in re.findall(r"\{(\d*),?(\d*)\}", pattern)
        for number in pair
        if number
    ]
    # The first of a pair counts too; an over-estimate refuses a little more.
    if math.prod(max(each, 1) for each in counts) > _MOST_REPEATS:
        yield f"the pattern {quoted(pattern)} repeats too much"
        return
    try:
        regex.compile(_ecma(pattern))
    except regex.error as error:
        yield f"the pattern {quoted(pattern)} cannot be read: {error}"


def pointed(root: Mapping[str, Any], ref: object) -> Mapping[str, Any] | None:
    """What `#/$defs/target` points to; no other reference is followed, except `#`, the whole."""
    if ref == "#":
        return root
    if not isinstance(ref, str) or not ref.startswith("#/$defs/"):
        return None
    found = root.get("$defs", {}).get(ref.removeprefix("#/$defs/"))
    return found if isinstance(found, Mapping) else None


# -- what a fault says ---------------------------------------------------------------------------


def _said(error: ValidationError) -> Iterator[tuple[str | None, str]]:
    """A fault of the input in plain words, with the name of the field if the path has none."""
    place = _place(error.path)
    given: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "required":
        says = {name: "is missing" for name in wanted if name not in given}
    elif error.validator == "additionalProperties" and wanted is False:
        whole: Any = error.schema
        asked = tuple(whole.get("properties", {}))
        says = {name: unknown(name, asked) for name in given if name not in asked}
    else:
        value = "what is given" if is_secret(place) else quoted(given)
        sentence = _SAYS.get(str(error.validator), _not_allowed)(value, wanted)
        yield None, f"{place}: {sentence}" if place else sentence
        return
    for name, sentence in says.items():
        shown = shortened(name, 60)
        yield (None, f"{place}.{shown}: {sentence}") if place else (name, f"{shown}: {sentence}")


def unknown(name: str, asked: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, asked, n=1)
    if near:
        return f"is not asked for; did you mean {near[0]}?"
    return f"is not asked for; there is {', '.join(asked)}" if asked else "is not asked for"


def _not_allowed(value: str, _: Any) -> str:
    return f"{value} is not what its schema allows"


def type_name(kinds: Any) -> str:
    names = {"string": "text", "integer": "a whole number", "number": "a number", "array": "a list",
             "boolean": "true or false", "object": "a mapping", "null": "null"}  # fmt: skip
    return " or ".join(names[each] for each in ([kinds] if isinstance(kinds, str) else kinds))


def choices_in_words(values: Any) -> str:
    return shortened(", ".join(str(each) for each in values), 200)


_SAYS: Final[dict[str, Callable[[str, Any], str]]] = {
    "type": lambda value, want: f"{value} is not {type_name(want)}",
    "enum": lambda value, want: f"{value} is none of {choices_in_words(want)}",
    "const": lambda value, want: f"{value} is not {quoted(want)}",
    "minimum": lambda value, want: f"{value} is less than {want}",
    "maximum": lambda value, want: f"{value} is more than {want}",
    "exclusiveMinimum": lambda value, want: f"{value} is not more than {want}",
    "exclusiveMaximum": lambda value, want: f"{value} is not less than {want}",
    "multipleOf": lambda value, want: f"{value} is no multiple of {want}",
    "minLength": lambda value, want: f"{value} is shorter than {want} characters",
    "maxLength": lambda value, want: f"{value} is longer than {want} characters",
    "pattern": lambda value, want: f"{value} does not match {want}",
    "format": lambda value, want: f"{value} is not {FORMATS[want]}",
    "minItems": lambda value, want: f"{value} has fewer than {want} entries",
    "maxItems": lambda value, want: f"{value} has more than {want} entries",
    "uniqueItems": lambda value, _: f"{value} has the same entry twice",
}


def _place(path: Sequence[str | int]) -> str:
    """`targets[0].name`"""
    steps = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return "".join(steps).removeprefix(".")


def quoted(value: object) -> str:
    """A value in a sentence, short, as its author wrote it."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return shortened(repr(value), 80)


def not_plain(value: Any, where: str, depth: int = 0) -> Iterator[str]:
    """What JSON cannot hold: NaN, dates, keys that are no text; and what is out of all measure."""
    at = f"{where}: " if where else ""
    if depth > DEEPEST:
        yield f"{at}it is nested too deeply"
    elif isinstance(value, dict):
        for key, each in value.items():
            if isinstance(key, str):
                inner = f"{where}.{key}" if where else shortened(key, 60)
                yield from not_plain(each, inner, depth + 1)
            else:
                yield f"{at}the key {quoted(key)} is not text"
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from not_plain(each, f"{where}[{index}]", depth + 1)
    else:
        says = _not_plain_scalar(value)
        if says:
            yield at + says


def _not_plain_scalar(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case str():
            return (
                "it contains an unpaired surrogate" if re.search("[\ud800-\udfff]", value) else None
            )
        case int():
            return None if abs(value) < 2**63 else "the number is too large"
        case float():
            return None if math.isfinite(value) else f"{value} is not a number"
        case _:
            return f"JSON has no {type(value).__name__}"
