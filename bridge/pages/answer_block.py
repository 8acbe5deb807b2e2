"""The fenced block under `/approve`: JSON, or YAML that cannot mean something else than it says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from bridge.core import input_fields
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.yaml_text import ambiguous, load

#: What a fence may be marked as. JSON is YAML too.
LANGUAGES = ("yaml", "yml", "json", "")


def read_block(text: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The input in a block. Raises `Faults` with every fault of it."""
    if not text.strip():
        return {}
    # What is JSON has one meaning. PyYAML reads YAML 1.1, where `1e2` is text and two escapes that
    # make one character are a fault: https://yaml.org/spec/1.2.2/#12-relation-to-yaml-11-and-json
    with suppress(Faults):
        return input_fields.parse_json(text)
    try:
        found = load(f"{text}\n", "the yaml block")  # or a `|` text loses its end
    except LedgerCorrupt as error:
        raise Faults("the input", [str(error)]) from None
    switches = {each.name for each in input_fields.fields(schema) if each.kind == "bool"}
    faults = [*_implausible(found, ""), *ambiguous(text, switches)]
    if faults:
        raise Faults("the input", faults)
    return found


def _implausible(value: object, path: str) -> Iterator[str]:
    """What YAML reads into a text that the approver may not have meant, and JSON cannot say."""
    match value:
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    yield f"the key {key!r} is no text: put it in quotation marks"
                else:
                    yield from _implausible(each, f"{path}.{key}" if path else key)
        case list():
            for index, each in enumerate(value):
                yield from _implausible(each, f"{path}[{index}]")
        case float() if not math.isfinite(value):
            yield f"{path} is {value}, which is no number"
        case None | bool() | int() | float() | str():
            return
        case _:
            yield f"{path} reads as a {type(value).__name__}: put it in quotation marks"
