"""GitHub Actions' expressions, as far as our workflows use them: act needs seconds for each job.

https://docs.github.com/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>&&|\|\||==|!=|!|\.\*|[().,]))"
)
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _contains(where: Any, what: Any) -> bool:
    if isinstance(where, list):
        return any(_equal(each, what) for each in where)
    return _as_text(what).lower() in _as_text(where).lower()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other):
        return bool(one == other)
    return _number(one) == _number(other)


def _number(value: Any) -> float:
    """NaN, which equals nothing, for what is no number."""
    if value is None or value == "":
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "startswith": lambda text, start: _as_text(text).lower().startswith(_as_text(start).lower()),
    "contains": _contains,
    "tojson": lambda value: json.dumps(value, indent=2),
    "format": lambda text, *given: re.sub(
        r"\{(\d+)\}", lambda found: _as_text(given[int(found[1])]), text
    ),
}


class _Reader:
    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self._contexts = contexts
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            assert found, f"not read: {text[at:]}"
            assert found.lastgroup
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def whole(self) -> Any:
        value = self._either()
        assert not self._tokens, f"left over: {self._tokens}"
        return value

    def _take(self, *signs: str) -> str | None:
        if self._tokens and self._tokens[0][1] in signs and self._tokens[0][0] == "sign":
            return self._tokens.pop(0)[1]
        return None

    def _either(self) -> Any:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self._take("&&"):
            other = self._compared()
            value = value and other
        return value

    def _compared(self) -> Any:
        value = self._single()
        while sign := self._take("==", "!="):
            same = _equal(value, self._single())
            value = same if sign == "==" else not same
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._either()
            assert self._take(")")
            return value
        kind, word = self._tokens.pop(0)
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return int(word)
        assert kind == "name", word
        if self._take("("):
            return self._called(word)
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        return self._property(self._contexts[word])

    def _called(self, name: str) -> Any:
        given: list[Any] = []
        while not self._take(")"):
            given.append(self._either())
            self._take(",")
        return _FUNCTIONS[name.lower()](*given)

    def _property(self, value: Any) -> Any:
        spread = False
        while sign := self._take(".", ".*"):
            if sign == ".*":
                rows = value if isinstance(value, list) else list((value or {}).values())
                value, spread = rows, True
                continue
            _, name = self._tokens.pop(0)
            if spread:
                value = [each[name] for each in value if isinstance(each, dict) and name in each]
            else:
                value = value.get(name) if isinstance(value, dict) else None
        return value


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    return _Reader(expression.strip().removeprefix("${{").removesuffix("}}"), contexts).whole()


def filled(text: str, contexts: Mapping[str, Any]) -> str:
    """A text of the workflow, with each `${{ }}` evaluated."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda own: _as_text(evaluate(own[1], contexts)), text)
