"""The expressions of Argo, as far as compiled flows use them: `{{=…}}`, `when` and `depends`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>\?\?|\?\.|\|\||&&|==|!=|<=|>=|[?:.<>+\-*!()\[\],{}]))"
)
_BINARY = (
    ("??",),
    ("||",),
    ("&&",),
    ("==", "!=", "startsWith"),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*",),
)


class Unresolved(Exception):
    """A name in an expression that stands for nothing, yet or ever."""


def evaluate(text: str, names: Mapping[str, Any], *, words: bool = False) -> Any:
    """`words`: in a `when`, a bare word that names nothing stands for itself."""
    parser = _Parser(text, names, words)
    value = parser.choice()
    if parser.tokens:
        raise ValueError(f"{text!r}: {parser.tokens[0][1]!r} is left over")
    return value


class _Parser:
    def __init__(self, text: str, names: Mapping[str, Any], words: bool) -> None:
        self.names, self.words = names, words
        self.tokens: list[tuple[str, str]] = []
        at = 0
        text = text.strip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise ValueError(f"{text!r} cannot be read from {text[at:]!r}")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind]))
            at = found.end()

    def take(self, *signs: str) -> str | None:
        kinds = ("sign", "name")
        if self.tokens and self.tokens[0][0] in kinds and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return None

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise ValueError(f"{sign!r} is missing before {self.tokens[:1]}")

    def choice(self) -> Any:
        held = self.binary(0)
        if not self.take("?"):
            return held
        first = self.lazily(self.choice, bool(held))
        self.need(":")
        second = self.lazily(self.choice, not held)
        return first if held else second

    def lazily(self, parse: Any, wanted: bool) -> Any:
        try:
            return parse()
        except Unresolved:
            if wanted:
                raise
            return None

    def binary(self, level: int) -> Any:
        if level == len(_BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while sign := self.take(*_BINARY[level]):
            left = _apply(sign, left, self.binary(level + 1))
        return left

    def unary(self) -> Any:
        if self.take("!"):
            return not self.unary()
        if self.take("-"):
            return -self.unary()
        return self.postfix(self.primary())

    def primary(self) -> Any:
        if self.take("("):
            value = self.choice()
            self.need(")")
            return value
        if self.take("{"):
            return self.mapping()
        kind, text = self.tokens.pop(0)
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "text":
            return text[1:-1]
        if kind == "name":
            return self.name(text)
        raise ValueError(f"{text!r} is out of place")

    def mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.take("}"):
            key = self.tokens.pop(0)[1].strip("'\"")
            self.need(":")
            found[key] = self.choice()
            self.take(",")
        return found

    def name(self, text: str) -> Any:
        constants = {"nil": None, "true": True, "false": False}
        if text in constants:
            return constants[text]
        if self.take("("):
            arguments = []
            while not self.take(")"):
                arguments.append(self.choice())
                self.take(",")
            return _FUNCTIONS[text](*arguments)
        if text in self.names:
            return self.names[text]
        if self.words:
            return text
        raise Unresolved(text)

    def postfix(self, value: Any) -> Any:
        while sign := self.take(".", "?.", "["):
            key = self.choice() if sign == "[" else self.tokens.pop(0)[1]
            if sign == "[":
                self.need("]")
            if sign == "?." and value is None:
                continue
            if value is None or key not in value:
                if self.tokens and self.tokens[0][1] in ("?.", "??"):
                    value = None
                    continue
                raise Unresolved(str(key))
            value = value[key]
        return value


def _apply(sign: str, left: Any, right: Any) -> Any:
    match sign:
        case "??":
            return right if left is None else left
        case "||":
            return bool(left) or bool(right)
        case "&&":
            return bool(left) and bool(right)
        case "==":
            return left == right
        case "!=":
            return left != right
        case "startsWith":
            return str(left).startswith(right)
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign]


_FUNCTIONS: dict[str, Any] = {
    "toBase64": lambda text: base64.b64encode(str(text).encode()).decode(),
    "asInt": int,
    "string": str,
    "toJson": json.dumps,
    "get": lambda value, key: None if value is None else value.get(key),
}


def said(value: Any) -> str:
    """As Argo writes a value into a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def filled(value: Any, flat: Mapping[str, str], names: Mapping[str, Any]) -> Any:
    """A piece of a manifest with every tag filled in that is known; the others stay as they are."""
    if isinstance(value, dict):
        return {key: filled(each, flat, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, flat, names) for each in value]
    if not isinstance(value, str) or "{{" not in value:
        return value

    def one(match: re.Match[str]) -> str:
        tag = match[1].strip()
        if not tag.startswith("="):
            return flat.get(tag, match[0])
        try:
            return said(evaluate(tag[1:], names))
        except Unresolved:
            return match[0]

    return re.sub(r"\{\{(.*?)\}\}", one, value)
