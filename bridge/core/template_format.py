"""Messages in the style of `str.format`: `{self.accuracy:.1%}`. Nothing in them is called."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import Any, Final

from bridge.core import hide_secrets
from bridge.core.numbers import whole
from bridge.core.template_reads import (
    INSIDES,
    Inputs,
    Names,
    Parsed,
    Read,
    Scope,
    fault,
    known_of,
    literally,
    quoted,
    read_faults,
    reason,
    view_of,
)

_FIELD: Final = re.compile(r"([^\W\d]\w*)((?:\.\w+|\[[^\[\]]+\])*)")
_STEP: Final = re.compile(r"\.(\w+)|\[([^\[\]]+)\]")


def parse_format(template: str) -> Parsed:
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        brace = "}" if "Single '}'" in str(error) else "{"
        raise fault(f"{quoted(template)} cannot be read: {error}{literally(brace)}") from None
    reads: list[Read] = []
    faults = []
    for _, name, spec, conversion in pieces:
        if name is None:
            continue
        source = _source(name, spec, conversion)
        match = _FIELD.fullmatch(name)
        says = _format_faults(spec or "", conversion, match)
        if says or not match:
            faults.append(f"{source} {says}" + ("" if match else literally(source)))
        else:
            reads.append(Read(source, match[1], tuple(_steps(match[2]))))

    def rendered(scope: Scope, out: Callable[[Any], str]) -> str:
        left = iter(reads)
        text = []
        for literal, name, spec, conversion in pieces:
            text.append(literal)
            if name is not None:
                text.append(_formatted(next(left), scope, spec or "", conversion or "s", out))
        return "".join(text)

    return Parsed(tuple(reads), rendered, faults=tuple(faults))


def _source(name: str, spec: str | None, conversion: str | None) -> str:
    kind = f"!{conversion}" if conversion else ""
    return "{" + name + kind + (f":{spec}" if spec else "") + "}"


def _format_faults(spec: str, conversion: str | None, match: re.Match[str] | None) -> str | None:
    if not match:
        return "names nothing; write {self.accuracy}"
    if any(str(each).startswith("_") or each in INSIDES for each in _steps(match[2])):
        return "reaches for Python's insides; only artifacts and what they hold can be shown"
    if "{" in spec or re.search(r"\d{4}", spec):
        return f"has a format that is not supported: {spec}"
    if conversion and conversion not in _CONVERSIONS:
        return f"has a conversion that does not exist: !{conversion}"
    return None


def _steps(path: str) -> Iterator[str | int]:
    for attribute, key in _STEP.findall(path):
        yield int(key) if whole(key) and len(key) < 10 else attribute or key


def _formatted(
    read: Read, scope: Scope, spec: str, conversion: str, out: Callable[[Any], str]
) -> str:
    value: Any = view_of(scope)
    try:
        for step in (read.root, *read.steps):
            value = _stepped(value, step)
        value = _CONVERSIONS[conversion](value)
        return out(format(value, spec) if spec else value)
    except Exception as error:  # noqa: BLE001 - an artifact's own code, or a format it does not have
        raise fault(_why(read, scope, error)) from None


#: `!s` is what a field without a conversion comes to, unless it has a format of its own.
_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "s": lambda value: value,
    "r": repr,
    "a": ascii,
}


def _why(read: Read, scope: Scope, error: Exception) -> str:
    """Which name is missing, if that is why; otherwise what the error itself says."""
    for says in read_faults(read, known_of(scope)):
        return says
    if isinstance(error, LookupError) and error.args:
        return f"{read.expression} {error.args[0]}"
    return f"{read.expression} fails: {reason(error)}"


def _stepped(value: Any, step: str | int) -> Any:
    if isinstance(value, Names | Inputs):
        return value[step]
    if isinstance(step, str) and hasattr(value, step):
        return hide_secrets.within(step, getattr(value, step))
    try:
        return hide_secrets.within(str(step), value[step])
    except (TypeError, LookupError):
        raise LookupError(f"reads {step}, which {type(value).__name__} does not have") from None
