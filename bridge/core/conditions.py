"""Conditions that may approve by themselves: `accuracy >= 0.9`, or a function of the caller's own.

As text a condition is a name, an operator, a literal. There is no expression language, so that
anyone who reads the record knows what was looked at. A function runs only in the process that has
it: on GitHub, where somebody else judges, it approves nothing.
"""

from __future__ import annotations

import inspect
import linecache
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from bridge.core.errors import Faults
from bridge.core.evaluation import Condition
from bridge.core.hide_secrets import HIDDEN, in_text
from bridge.core.names import folded
from bridge.core.sanitize import is_secret, one_line, shortened

#: The name in a condition that means HITL_ENVIRONMENT.
ENVIRONMENT: Final = "environment"

Scalar = str | int | float | bool

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM: Final = re.compile(
    r"\s*([A-Za-z_]\w*)\s*(==|!=|>=|<=|>|<|not\s+in\b|in\b)\s*(.+?)\s*", re.ASCII
)
_NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_EIGHT_OR_TEN: Final = re.compile(r"[-+]?0\d+", re.ASCII)
_WORD: Final = re.compile(r"[\w./:@+-]+", re.ASCII)
_LONGEST_TEXT: Final = 200
_LONGEST_WORDS: Final = 200
_EXAMPLES: Final = "write it like accuracy >= 0.9 or environment in [staging, dev]"


@dataclass(frozen=True, slots=True)
class Test:
    """`text` is the condition as it was written, and as the policy and the record repeat it."""

    __test__ = False  # pytest takes any class of this name for its own

    text: str
    name: str
    operator: str
    literal: Scalar | tuple[Scalar, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Function:
    """`text` is what the record says of it: a lambda's own source, else the function's name.

    Everything that it closes over may change its answer, so two are equal only if they are one.
    """

    text: str
    call: Callable[..., Any]

    @property
    def reads(self) -> tuple[str, ...]:
        """What it must be given, by name."""
        return tuple(
            each.name
            for each in _parameters(self.call)
            if each.default is each.empty
            and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        )


class Readable(Mapping[str, Any]):
    """What a condition may read: values by name, each taken when it is needed.

    `environment` is HITL_ENVIRONMENT and nothing else: a value of that name never takes its place.
    """

    def __init__(self, values: Mapping[str, Any], environment: str | None) -> None:
        self._values = values
        self._environment = environment

    def __getitem__(self, name: str) -> Any:
        if name != ENVIRONMENT:
            return self._values[name]
        if self._environment is None:
            raise KeyError(name)
        return self._environment

    def __contains__(self, name: object) -> bool:
        return self._environment is not None if name == ENVIRONMENT else name in self._values

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._values if name != ENVIRONMENT)
        if self._environment is not None:
            yield ENVIRONMENT

    def __len__(self) -> int:
        return sum(1 for _ in self)


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
    """A plain value as a condition writes it; None if it is none."""
    if _EIGHT_OR_TEN.fullmatch(written):  # `010`: two readers, two numbers
        return None
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


def judge(test: Test | Function, values: Mapping[str, Any]) -> Condition:
    """Whether the condition holds on these values, and the values that it saw.

    A missing name, a value of another kind and NaN never hold, whatever the operator: absence does
    not approve.
    """
    if isinstance(test, Function):
        return _called(test, values)
    if test.name not in values:
        return Condition(test.text, {}, False)
    seen = _plain(values[test.name])
    shown = {test.name: _shown(test.name, seen)}
    # Neither NaN nor infinity is a measurement to anyone; as `nan` it is not text either.
    finite = not isinstance(seen, float) or math.isfinite(seen)
    return Condition(test.text, shown, finite and _holds(test, seen))


def _holds(test: Test, seen: Scalar | None) -> bool:
    choices = test.literal if isinstance(test.literal, tuple) else (test.literal,)
    if isinstance(seen, str):
        # `environment != production` must not hold in `Production`.
        seen, choices = folded(seen), tuple(folded(e) if isinstance(e, str) else e for e in choices)
        if test.name == ENVIRONMENT and not seen:
            return False  # a blank says as little as none
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
    """The value as the record can hold it; None if it is none of the four plain kinds."""
    if type(value).__module__.split(".")[0] == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value) if len(value) <= _LONGEST_TEXT else None
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else None
    if isinstance(value, float):
        return float(value)
    return None


# -- a condition that is a function --------------------------------------------------------------


def function(call: Callable[..., Any]) -> Function:
    return Function(_words_of(call), call)


def _called(condition: Function, values: Mapping[str, Any]) -> Condition:
    """What a function says of these values, with the values that it saw.

    Only `True` holds: a function that raises, or answers with anything that is no yes or no (a
    coroutine is true to Python), never approves.
    """
    seen = {name: _shown(name, value) for name, value in _closed_over(condition.call).items()}
    try:
        given = _wanted(condition.call, values)
        seen.update({name: _shown(name, value) for name, value in given.items()})
        answer = condition.call(**given)
    except Exception as error:  # noqa: BLE001 - a condition that fails is one that does not hold
        said = in_text(f"{type(error).__name__}: {error}"[:2_000])
        seen["raised"] = shortened(said, _LONGEST_WORDS)
        return Condition(condition.text, seen, False)
    if type(answer).__module__ == "numpy" and getattr(answer, "shape", None) == ():
        answer = answer.item()
    if not isinstance(answer, bool):
        seen["answered"] = f"a {type(answer).__name__}, which is no yes or no"
    return Condition(condition.text, seen, answer is True)


def _wanted(call: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _parameters(call)
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(values)
    return {each.name: values[each.name] for each in parameters if each.name in values}


def _parameters(call: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    try:
        return tuple(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):  # one written in C may not say
        return ()


def _closed_over(call: Callable[..., Any]) -> dict[str, Any]:
    try:
        found = inspect.getclosurevars(call)
    except (TypeError, ValueError):  # a callable object, or one written in C
        return {}
    scalars = {**found.nonlocals, **found.globals}
    return {k: v for k, v in scalars.items() if isinstance(v, str | int | float | bool)}


def _shown(name: str, value: Any) -> str | int | float | bool | None:
    if is_secret(name, value):
        return HIDDEN
    if isinstance(value, str):
        return shortened(in_text(value[: _LONGEST_WORDS * 8]), _LONGEST_WORDS)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return f"a {type(value).__name__}"


def _words_of(call: Callable[..., Any]) -> str:
    """A function in words: a lambda's own source, else the name it was defined under."""
    name = getattr(call, "__qualname__", type(call).__qualname__)
    code = getattr(call, "__code__", None)
    source = _source(code) if code is not None and code.co_name == "<lambda>" else None
    if source:
        # No defaults: a repr may hold an address, and the approval is bound to this text.
        bare = (
            each.replace(default=each.empty, annotation=each.empty) for each in _parameters(call)
        )
        given = ", ".join(map(str, bare))
        return shortened(f"lambda {given}".rstrip() + f": {source}", _LONGEST_WORDS)
    return f"{getattr(call, '__module__', None) or 'python'}.{name}"


def _source(code: CodeType) -> str | None:
    """The text of a lambda's body; `inspect.getsource` gives whatever else is on its lines."""
    spans = [(a, c, b, d) for a, b, c, d in code.co_positions() if a and b and c is not None and d]
    if not spans:
        return None
    top, left = min(span[:2] for span in spans)
    bottom, right = max(span[2:] for span in spans)
    numbers = range(top, bottom + 1)
    lines = [linecache.getline(code.co_filename, number).encode() for number in numbers]
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    return one_line(b" ".join(lines).decode(errors="replace")) or None
