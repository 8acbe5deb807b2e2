"""GitHub's own description, read from `data/`: routes, shapes, and what breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.github.quick_check import Check, QuickCheck

DATA = Path(__file__).parent / "data"

#: Parameters at whose place a path may have slashes.
_LONG = {"ref", "branch", "path", "basehead", "commit_sha", "name", "environment_name"}
#: GitHub may give these to any request; where the operation has no word of it, it is a basic error.
_ANYWHERE = {400, 401, 403, 404, 422, 429, 500, 502, 503}
#: Routes that GitHub keeps for old clients, among them PyGithub, and no longer describes.
_LEGACY = re.compile(r"(/repos/[^/]+/[^/]+)/statuses/([^/]+)")
#: GitHub takes a bare list of names there, and PyGithub sends one; the description lacks it.
_LISTS = {"issues/add-labels": "labels", "issues/set-labels": "labels"}


#: A value of no interest to a test, for the address of a server.
_Blank = Callable[[str], Any]
_ANYTHING: dict[str, Any] = {}


class Description:
    """One trimmed file of `data/`; parsed when it is first asked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._validators: dict[str, jsonschema.protocols.Validator] = {}
        self._quick: dict[str, Check] = {}
        # By the id of a schema, which is kept beside what was found so that no other gets that id.
        self._objects: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._blanks: dict[tuple[int, str], tuple[Any, _Blank]] = {}

    @cached_property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((DATA / self._name).read_text())
        return document

    @cached_property
    def _registry(self) -> Registry[Any]:
        resource = Resource(contents=self.document, specification=DRAFT202012)
        return Registry().with_resource(f"urn:{self._name}", resource)

    @cached_property
    def _checks(self) -> QuickCheck:
        return QuickCheck(self.document["schemas"], {"date-time": _is_moment})

    def _at(self, pointer: str) -> Any:
        found: Any = self.document
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key) if isinstance(found, list) else key]
        return found

    def faults(self, pointer: str, value: Any) -> list[str]:
        """What is wrong with `value`, by the schema at this JSON pointer of the document."""
        if pointer not in self._quick:
            self._quick[pointer] = self._checks.compiled(self._at(pointer))
        return [] if self._quick[pointer](value) else self.explained(pointer, value)

    def explained(self, pointer: str, value: Any) -> list[str]:
        """The same, by jsonschema."""
        if pointer not in self._validators:
            self._validators[pointer] = jsonschema.Draft202012Validator(
                {"$ref": f"urn:{self._name}#{pointer}"},
                registry=self._registry,
                format_checker=_FORMATS,
            )
        errors = self._validators[pointer].iter_errors(value)
        return [_told(jsonschema.exceptions.best_match([each])) for each in errors]

    def filled(self, schema: str, given: dict[str, Any], url: str) -> dict[str, Any]:
        """`given` with what its schema requires and the server has no thought about.

        Those are addresses, and fields that may be null, empty or zero; what a test could care
        for is given.
        """
        self._fill(self.document["schemas"][schema], given, url)
        return given

    def filled_event(self, event: str, given: dict[str, Any], url: str) -> dict[str, Any]:
        self._fill(self.document["events"][event], given, url)
        return given

    def _fill(self, schema: Any, given: Any, url: str) -> None:
        schema = self._object(schema)
        if isinstance(given, list):
            items = schema.get("items") if schema else None
            for each in given if items else []:
                self._fill(items, each, url)
            return
        if not isinstance(given, dict) or not schema:
            return
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in given:
                given[name] = self._blank(name, properties.get(name, _ANYTHING))(url)
        for name, value in given.items():
            if name in properties and isinstance(value, dict | list):
                self._fill(properties[name], value, url)

    def _object(self, schema: Any) -> dict[str, Any]:
        """The schema with references followed, `allOf` merged and the first choice taken."""
        known = self._objects.get(id(schema))
        if known is None:
            known = self._objects[id(schema)] = (schema, self._followed(schema))
        return known[1]

    def _followed(self, schema: Any) -> dict[str, Any]:
        while isinstance(schema, dict) and "properties" not in schema:
            if "$ref" in schema:
                schema = self.document["schemas"][schema["$ref"].removeprefix("#/schemas/")]
            elif "allOf" in schema:
                parts = [self._object(each) for each in schema["allOf"]]
                return {
                    "properties": {k: v for p in parts for k, v in p.get("properties", {}).items()},
                    "required": [name for p in parts for name in p.get("required", [])],
                }
            else:
                choices = schema.get("anyOf") or schema.get("oneOf")
                if not choices:
                    break
                schema = next((c for c in choices if c.get("type") != "null"), {})
        return schema if isinstance(schema, dict) else {}

    def _blank(self, name: str, schema: Any) -> _Blank:
        known = self._blanks.get((id(schema), name))
        if known is None:
            known = self._blanks[id(schema), name] = (schema, self._made_blank(name, schema))
        return known[1]

    def _made_blank(self, name: str, schema: Any) -> _Blank:
        if "null" in schema.get("type", []) or {"type": "null"} in schema.get("anyOf", []):
            return lambda url: None
        found = self._object(schema)
        kind = found.get("type")
        kind = kind if isinstance(kind, list) else [kind]
        if "null" in kind:
            return lambda url: None
        if "enum" in found:
            return lambda url: found["enum"][0]
        if "string" in kind:
            named = "url" in name or name == "href"
            return lambda url: f"{url}/{name}" if named else ""
        if "object" in kind or "properties" in found:
            properties = found.get("properties", {})
            inner = {
                each: self._blank(each, properties.get(each, _ANYTHING))
                for each in found.get("required", [])
            }
            return lambda url: {each: made(url) for each, made in inner.items()}
        if "array" in kind:
            return lambda url: []
        blanks = {"boolean": False, "integer": 0, "number": 0}
        value = next((value for known, value in blanks.items() if known in kind), None)
        return lambda url: value


REST = Description("rest.json")
WEBHOOKS = Description("webhooks.json")


class Routes:
    """Which operation a method and a path name."""

    @cached_property
    def _table(self) -> list[tuple[str, re.Pattern[str], str]]:
        rows = []
        for operation, about in REST.document["operations"].items():
            rows.append((about["method"], _pattern(about["path"]), operation, about["path"]))
        # `commits/{ref}/status` before `commits/{ref}`: the more that is spelled out, the earlier.
        rows.sort(key=lambda row: -len(re.sub(r"\{\w+\}", "", row[3])))
        return [row[:3] for row in rows]

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """The operation's id and the path's parameters, decoded."""
        if method == "GET":
            path = _LEGACY.sub(r"\1/commits/\2/statuses", path)
        for known, pattern, operation in self._table:
            match = pattern.fullmatch(path) if known == method else None
            if match:
                return operation, {k: unquote(v) for k, v in match.groupdict().items()}
        return None


@lru_cache
def routes() -> Routes:
    return Routes()


def _pattern(path: str) -> re.Pattern[str]:
    last = path.rsplit("/", 1)[-1]
    return re.compile(
        re.sub(
            r"\\{(\w+)\\}",
            lambda m: f"(?P<{m[1]}>{_reach(m[1], last)})",
            re.escape(path),
        )
    )


def _reach(name: str, last: str) -> str:
    if name == "path" or (name in _LONG and (f"{{{name}}}" == last or name in {"ref", "branch"})):
        return ".*" if name == "path" else ".+"
    return "[^/]+"


def request_faults(
    operation: str, path: Mapping[str, str], query: Mapping[str, str], body: Any
) -> list[str]:
    """What GitHub's description has against this request."""
    about = REST.document["operations"][operation]
    pointer = f"/operations/{_escaped(operation)}"
    faults = []
    if isinstance(body, list) and operation in _LISTS:
        body = {_LISTS[operation]: body}
    known = {each["name"] for each in about["parameters"] if each["in"] == "query"}
    faults += [f"query: no parameter {name!r}" for name in query.keys() - known]
    for index, each in enumerate(about["parameters"]):
        given = {"path": path, "query": query}.get(each["in"], {})
        if each["name"] in given:
            value = _typed(given[each["name"]], each["schema"])
            where = f"{pointer}/parameters/{index}/schema"
            faults += [f"{each['name']}: {told}" for told in REST.faults(where, value)]
        elif each["required"] and each["in"] == "query":
            faults.append(f"query: {each['name']!r} is missing")
    return faults + _body_faults(about, pointer, body)


def _body_faults(about: dict[str, Any], pointer: str, body: Any) -> list[str]:
    if about["body"] is None:
        return [] if body in (None, {}) else ["body: the operation takes none"]
    if body is None:
        return ["body: it is missing"] if about["body_required"] else []
    known = about["body"].get("properties")
    strange = [
        f"body: no property {name!r}"
        for name in (body if known and isinstance(body, dict) else [])
        if name not in known
    ]
    return strange + [f"body: {told}" for told in REST.faults(f"{pointer}/body", body)]


def response_faults(operation: str, status: int, body: Any) -> list[str]:
    """What GitHub's description has against this answer."""
    responses = REST.document["operations"][operation]["responses"]
    known = responses.get(str(status), ...)
    if known is ...:
        if status not in _ANYWHERE:
            return [f"{status} is not among its answers ({', '.join(responses)})"]
        return [] if isinstance(body, dict) and "message" in body else ["the error has no message"]
    if known is None:
        return [] if body in (None, {}) or status >= 400 else [f"{status} has no body"]
    return REST.faults(f"/operations/{_escaped(operation)}/responses/{status}", body)


def event_faults(event: str, payload: Any) -> list[str]:
    """What GitHub's description has against this webhook's payload."""
    return WEBHOOKS.faults(f"/events/{_escaped(event)}", payload)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _typed(text: str, schema: dict[str, Any]) -> Any:
    kinds = schema.get("type", [])
    if "integer" in kinds and re.fullmatch(r"-?\d+", text):
        return int(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    return text


def _told(error: Any) -> str:
    while error.context:
        error = max(error.context, key=lambda each: len(each.absolute_path))
    where = "/".join(str(part) for part in error.absolute_path)
    return f"{where or '(whole)'}: {error.message[:300]}"


_FORMATS = jsonschema.FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value)
    )
