"""Trim GitHub's own descriptions to what the test server serves, and keep them as test data.

    npm pack @octokit/openapi @octokit/openapi-webhooks @octokit/graphql-schema
    python -m tests.github.trim FOLDER_OF_THE_THREE_TGZ_FILES

Tests need no npm: they read `data/`, where each file tells the package and version it came from.
Descriptions and examples are dropped; of REST and webhooks only what is served is kept, the GraphQL
schema stays whole, so that a query which passes here is a query that GitHub would take.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
_PROSE = {
    "description",
    "summary",
    "example",
    "examples",
    "externalDocs",
    "title",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "x-github-breaking-changes",
}
_METHODS = ("get", "put", "post", "delete", "patch")


def main(folder: Path) -> None:
    """Write `data/rest.json`, `data/webhooks.json`, `data/schema.graphql` and their licences."""
    from tests.github.events import EVENTS
    from tests.github.rest import OPERATIONS

    DATA.mkdir(exist_ok=True)
    notices = []
    rest, about = _package(folder, "octokit-openapi-[0-9]*.tgz", "generated/api.github.com.json")
    notices.append(about)
    _write("rest.json", about[0], _trimmed_rest(json.loads(rest), set(OPERATIONS)))
    hooks, about = _package(
        folder, "octokit-openapi-webhooks-*.tgz", "generated/api.github.com.json"
    )
    notices.append(about)
    _write("webhooks.json", about[0], _trimmed_webhooks(json.loads(hooks), set(EVENTS)))
    schema, about = _package(folder, "octokit-graphql-schema-*.tgz", "schema.graphql")
    notices.append(about)
    (DATA / "schema.graphql").write_text(f"# {about[0]}, MIT, see NOTICE\n{_undescribed(schema)}")
    (DATA / "NOTICE").write_text("\n\n".join(f"{name}\n\n{text}" for name, text in notices))


def _package(folder: Path, pattern: str, member: str) -> tuple[str, tuple[str, str]]:
    """The text of one file of an npm package, and (name and version, licence)."""
    path = sorted(folder.glob(pattern))[-1]
    with tarfile.open(path) as tar:

        def text(name: str) -> str:
            found = tar.extractfile(f"package/{name}")
            assert found is not None
            return found.read().decode()

        about = json.loads(text("package.json"))
        licence = next(n for n in tar.getnames() if n.startswith("package/LICENSE"))
        return text(member), (
            f"{about['name']} {about['version']}",
            text(licence.removeprefix("package/")).strip() + "\n",
        )


def _trimmed_rest(description: dict[str, Any], served: set[str]) -> dict[str, Any]:
    operations = {}
    for path, item in description["paths"].items():
        for method in _METHODS:
            operation = item.get(method)
            if operation and operation["operationId"] in served:
                served.remove(operation["operationId"])
                operations[operation["operationId"]] = _operation(
                    description, method, path, operation, item.get("parameters", [])
                )
    if served:
        raise SystemExit(f"GitHub's description has no such operations: {sorted(served)}")
    schemas = _reachable(description["components"]["schemas"], operations)
    return {"operations": operations, "schemas": schemas}


def _operation(
    whole: dict[str, Any], method: str, path: str, operation: dict[str, Any], shared: list[Any]
) -> dict[str, Any]:
    parameters = [_resolved(whole, each) for each in [*shared, *operation.get("parameters", [])]]
    body = _resolved(whole, operation.get("requestBody", {}))
    return {
        "method": method.upper(),
        "path": path,
        "parameters": [
            {
                "name": each["name"],
                "in": each["in"],
                "required": each.get("required", False),
                "schema": _schema(each["schema"]),
            }
            for each in parameters
        ],
        "body": _content(body),
        "body_required": body.get("required", False),
        "responses": {
            status: _content(_resolved(whole, response))
            for status, response in operation["responses"].items()
        },
    }


def _content(holder: dict[str, Any]) -> Any:
    """The JSON schema of a body; None where it has none."""
    for media, content in holder.get("content", {}).items():
        if "json" in media and "schema" in content:
            return _schema(content["schema"])
    return None


def _resolved(whole: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = whole
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _trimmed_webhooks(description: dict[str, Any], served: set[str]) -> dict[str, Any]:
    events = {}
    for name in sorted(served):
        post = description["webhooks"][name]["post"]
        events[name] = _content(post["requestBody"])
    return {
        "events": events,
        "schemas": _reachable(description["components"]["schemas"], events),
    }


def _reachable(schemas: dict[str, Any], roots: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    waiting = sorted(set(_refs(roots)))
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = _schema(schemas[name])
            waiting.extend(sorted(set(_refs(kept[name]))))
    return dict(sorted(kept.items()))


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/schemas/")
        for each in value.values():
            yield from _refs(each)
    elif isinstance(value, list):
        for each in value:
            yield from _refs(each)


def _schema(schema: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema, its prose dropped."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return {"$ref": f"#/schemas/{name}"}
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PROSE or key == "nullable":
            continue
        if key in ("properties", "patternProperties"):
            out[key] = {name: _schema(each) for name, each in value.items()}
        elif key in ("items", "not", "additionalProperties"):
            out[key] = _schema(value)
        elif key in ("anyOf", "oneOf", "allOf"):
            # GitHub's alternatives overlap: any error with a message fits two of them.
            out["anyOf" if key == "oneOf" else key] = [_schema(each) for each in value]
        else:
            out[key] = value
    return _nullable(out) if schema.get("nullable") else out


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" not in schema:
        return {"anyOf": [{"type": "null"}, schema]} if schema else schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    schema["type"] = [*kinds, "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _undescribed(sdl: str) -> str:
    """The schema without descriptions and deprecation notes, otherwise as it was."""
    sdl = re.sub(r'"""(?:[^"]|"(?!""))*"""', "", sdl)
    sdl = re.sub(r" @deprecated\((?:\s*reason:\s*\"(?:[^\"\\]|\\.)*\"\s*)\)", "", sdl)
    return re.sub(r"\n\s*\n+", "\n", sdl)


def _write(name: str, source: str, parts: dict[str, dict[str, Any]]) -> None:
    """One line an operation or schema: a new version of the description reads as a diff."""
    lines = [f'{{"source": {json.dumps(source + ", MIT, see NOTICE")}']
    for part, entries in parts.items():
        rows = (
            f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}"
            for key, value in sorted(entries.items())
        )
        lines.append(f',"{part}": {{\n' + ",\n".join(rows) + "\n}")
    (DATA / name).write_text("".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
