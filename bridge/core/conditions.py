"""Conditions that may approve by themselves: `accuracy >= 0.9`, `environment in [staging, dev]`.

A name, an operator, a literal. There is no expression language, so that whoever reads the record
knows what was looked at.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.core.errors import Faults
from bridge.core.evaluation import Condition

#: The name in a condition that stands for HITL_ENVIRONMENT.
ENVIRONMENT: Final = "environment"

Scalar = str | int | float | bool

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(==|!=|>=|<=|>|<|not\s+in\b|in\b)\s*(.+?)\s*")
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WORD: Final = re.compile(r"[\w./:@+-]+")
_LONGEST_TEXT: Final = 200
_EXAMPLES: Final = "write it like accuracy >= 0.9 or environment in [staging, dev]"


@dataclass(frozen=True, slots=True)
class Test:
    """`text` is the condition as it was written, and as the policy and the record repeat it."""

    __test__ = False  # pytest takes any class of this name for its own

    text: str
    name: str
    operator: str
    literal: Scalar | tuple[Scalar, ...]


def parse(text: str) -> Test:
    """The condition in `text`. Raises `Faults` saying what is wrong with it."""
    subject = f"the condition {text[:100]!r}"
    match = _FORM.fullmatch(text)
    if not match:
        raise Faults(subject, [_EXAMPLES])
    name, sign, written = match.groups()
    sign = " ".join(sign.split())
    literal = _literal(written)
    if literal is None:
        raise Faults(subject, [f"{written!r} is no number, word, quoted text or list of them"])
    is_list = isinstance(literal, tuple)
    if is_list != sign.endswith("in"):
        wants = "a list such as [staging, dev]" if not is_list else "one value, not a list"
        raise Faults(subject, [f"{sign} compares with {wants}"])
    if sign in _ORDER and not _is_number(literal):
        raise Faults(subject, [f"{sign} compares numbers, and {written} is none"])
    return Test(text, name, sign, literal)


def _literal(written: str) -> Scalar | tuple[Scalar, ...] | None:
    if not (written.startswith("[") and written.endswith("]")):
        return scalar(written)
    parts = [scalar(each.strip()) for each in written[1:-1].split(",")]
    found = tuple(each for each in parts if each is not None)
    return found if len(found) == len(parts) else None


def scalar(written: str) -> Scalar | None:
    """A plain value as a condition writes it; None where it is none."""
    if _NUMBER.fullmatch(written):
        number = float(written)
        if not math.isfinite(number):
            return None
        return int(written) if written.lstrip("+-").isdigit() and len(written) < 20 else number
    if written in {"true", "True"}:
        return True
    if written in {"false", "False"}:
        return False
    if len(written) >= 2 and written[0] == written[-1] and written[0] in "'\"":
        inside = written[1:-1]
        return None if written[0] in inside else inside
    return written if _WORD.fullmatch(written) else None


def judge(test: Test, values: Mapping[str, Any]) -> Condition:
    """Whether the condition holds on these values, and the value that it saw.

    A missing name, a value of another kind and NaN never hold, whatever the operator: absence does
    not approve.
    """
    if test.name not in values:
        return Condition(test.text, {}, False)
    seen = _plain(values[test.name])
    return Condition(test.text, {test.name: seen}, _holds(test, seen))


def _holds(test: Test, seen: Scalar | None) -> bool:
    choices = test.literal if isinstance(test.literal, tuple) else (test.literal,)
    alike = [each for each in choices if _kind(each) == _kind(seen)]
    if seen is None or not alike:
        return False
    if test.operator in _ORDER:
        return bool(_ORDER[test.operator](seen, test.literal))
    return (seen in alike) is (test.operator in {"==", "in"})


def _kind(value: object) -> str:
    return "number" if _is_number(value) else type(value).__name__


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Scalar | None:
    """The value as the record can hold it; None where it is none of the four plain kinds."""
    if type(value).__module__.split(".")[0] == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value) if len(value) <= _LONGEST_TEXT else None
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else None
    if isinstance(value, float):
        # Neither NaN nor infinity is a number to JSON, nor a measurement to anyone.
        return float(value) if math.isfinite(value) else str(float(value))
    return None
