"""Whether a value surely keeps a JSON schema: compiled, as nearly every value is right.

"Not surely" is no answer: jsonschema then says what is wrong, or that nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

_OF_TYPE: dict[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}
_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "maxLength": lambda value, limit: not isinstance(value, str) or len(value) <= limit,
    "minLength": lambda value, limit: not isinstance(value, str) or len(value) >= limit,
    "maxItems": lambda value, limit: not isinstance(value, list) or len(value) <= limit,
    "minItems": lambda value, limit: not isinstance(value, list) or len(value) >= limit,
    "maxProperties": lambda value, limit: not isinstance(value, dict) or len(value) <= limit,
    "maximum": lambda value, limit: not isinstance(value, int | float) or value <= limit,
    "minimum": lambda value, limit: not isinstance(value, int | float) or value >= limit,
}


class QuickCheck:
    """The checks of one document, whose schemas refer to `#/schemas/…`."""

    def __init__(self, schemas: Mapping[str, Any], formats: Mapping[str, Check]) -> None:
        self._schemas = schemas
        self._formats = formats
        self._named: dict[str, Check] = {}

    def compiled(self, schema: Any) -> Check:
        if isinstance(schema, bool):
            return lambda value: schema
        checks = [self._keyword(name, about, schema) for name, about in schema.items()]
        checks = [each for each in checks if each is not None]
        if len(checks) == 1:
            return checks[0]
        return lambda value: all(check(value) for check in checks)

    def _keyword(self, name: str, about: Any, schema: Mapping[str, Any]) -> Check | None:
        if name == "type":
            return self._of_type(about)
        if name == "format":
            return self._formats.get(about)
        if name in _LIMITS:
            return lambda value: _LIMITS[name](value, about)
        if name == "enum":
            known = {each for each in about if each is None or isinstance(each, str)}
            return lambda value: (value is None or isinstance(value, str)) and value in known
        if name == "required":
            return lambda value: not isinstance(value, dict) or all(key in value for key in about)
        if name == "discriminator":  # OpenAPI's, a hint
            return None
        return self._of_parts(name, about, schema)

    def _of_type(self, about: str | list[str]) -> Check:
        if isinstance(about, str):
            return _OF_TYPE[about]
        types = [_OF_TYPE[each] for each in about]
        return lambda value: any(check(value) for check in types)

    def _of_parts(self, name: str, about: Any, schema: Mapping[str, Any]) -> Check:
        if name == "$ref":
            return lambda value: self._referred(about)(value)
        if name == "properties":
            return self._properties(about)
        if name == "additionalProperties":
            return self._others(about, schema.get("properties", {}))
        if name == "items":
            each = self.compiled(about)
            return lambda value: not isinstance(value, list) or all(map(each, value))
        if name in ("allOf", "anyOf"):
            checks = [self.compiled(part) for part in about]
            of = all if name == "allOf" else any
            return lambda value: of(check(value) for check in checks)
        return lambda value: False  # a keyword that is not known here

    def _referred(self, reference: str) -> Check:
        if reference not in self._named:
            schema = self._schemas.get(reference.removeprefix("#/schemas/"), {"?": reference})
            self._named[reference] = self.compiled(schema)
        return self._named[reference]

    def _properties(self, about: Mapping[str, Any]) -> Check:
        checks = {name: self.compiled(schema) for name, schema in about.items()}

        def check(value: Any) -> bool:
            if not isinstance(value, dict):
                return True
            for name, part in value.items():
                if name in checks and not checks[name](part):
                    return False
            return True

        return check

    def _others(self, about: Any, known: Mapping[str, Any]) -> Check:
        check = self.compiled(about)
        return lambda value: (
            not isinstance(value, dict)
            or all(check(part) for name, part in value.items() if name not in known)
        )
