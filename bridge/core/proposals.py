"""Values that a flow proposes for its input, and an approver may change.

A field says `"propose": "self.threshold"`. When the gate is opened, the value becomes the field's
default: a plain approval takes it. Both are on record, the proposed one in the request and the
accepted one in the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from bridge.core.artifacts import comparable
from bridge.core.errors import Faults
from bridge.core.json_schema import faults as faults_of
from bridge.core.sanitize import shortened, unseen

PROPOSE: Final = "propose"


def proposals(schema: Mapping[str, Any] | None) -> dict[str, str]:
    """The artifact that each field proposes, by the field's name."""
    parts = (schema or {}).get("properties")
    found = parts.items() if isinstance(parts, Mapping) else ()
    return {
        name: str(part[PROPOSE]).removeprefix("self.")
        for name, part in found
        if isinstance(part, Mapping) and PROPOSE in part
    }


def declaration_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the proposals of a declared input."""
    for name, part in (schema.get("properties") or {}).items():
        if not isinstance(part, Mapping) or PROPOSE not in part:
            continue
        artifact = part[PROPOSE]
        if not isinstance(artifact, str) or not artifact.removeprefix("self."):
            yield f"{name}: `propose` names an artifact, such as 'self.{shortened(name, 40)}'"
        if "default" in part:
            yield f"{name}: has a default and proposes a value: leave out one or the other"
    if _count(schema) > len(proposals(schema)):
        yield "`propose` is for the fields at the top of the input"


def _count(part: Any) -> int:
    if isinstance(part, list):
        return sum(map(_count, part))
    if not isinstance(part, Mapping):
        return 0
    # A field may have this name, and then it is described by a mapping.
    own = PROPOSE in part and not isinstance(part[PROPOSE], Mapping)
    return own + sum(_count(each) for key, each in part.items() if key != "default")


def proposed(
    schema: Mapping[str, Any] | None, value_of: Callable[[str], Any]
) -> Mapping[str, Any] | None:
    """The input with the proposed values as defaults. Raises `Faults` with every fault."""
    wanted = proposals(schema)
    if not schema or not wanted:
        return schema
    parts = dict(schema["properties"])
    faults = []
    for name, artifact in wanted.items():
        try:
            value = _plain(artifact, value_of(artifact))
        except Faults as error:
            faults += [f"{name}: {each}" for each in error.faults]
            continue
        parts[name] = {**parts[name], "default": value}
        if wrong := [says for field, says in faults_of(schema, {name: value}) if field == name]:
            faults += [f"self.{artifact} is proposed, and does not fit: {each}" for each in wrong]
    if faults:
        raise Faults("the proposed input", faults)
    return {**schema, "properties": parts}


def _plain(name: str, value: Any) -> Any:
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if not comparable(name, value):
        kind = type(value).__name__
        raise Faults(name, [f"self.{name} is no short text, number, or yes or no ({kind})"])
    if isinstance(value, str) and unseen(value):
        # A plain approval takes the whole of it, and the page could not show it.
        raise Faults(name, [f"self.{name} has characters that nobody sees: {value!a}"])
    return value
