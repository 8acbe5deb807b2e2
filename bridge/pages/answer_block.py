"""The fenced block under `/approve`: YAML, refused if it may mean something else than it says.

YAML 1.1, which PyYAML reads, and YAML 1.2, which most people have in mind, read `010`, `1:30` and
`no` differently (https://yaml.org/spec/1.2.2/ext/changes/).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.core import input_fields
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.sanitize import shortened
from bridge.core.yaml_text import load

#: What a fence may be marked as. JSON is YAML too.
LANGUAGES = ("yaml", "yml", "json", "")

#: What only one of the two takes for a number, or both for different ones.
_TWO_NUMBERS = re.compile(
    r"[-+]?(?:0[0-9]+"  # 8 or 10
    r"|0o[0-7]+|0b[01_]+"  # a text in one of them
    r"|(?=[0-9.]*[0-9]_)[0-9._]+|0x[0-9A-Fa-f]*_[0-9A-Fa-f_]*"
    r"|[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"  # 1:30 is 90
    r"|(?![0-9]+\.[0-9]*[eE][-+])(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+)"  # 1e3
)
_YES_OR_NO = re.compile(r"yes|no|on|off", re.IGNORECASE)
_CURLY = re.compile(r"[“”„‟‘’‚‛«»].*[“”„‟‘’‚‛«»]", re.DOTALL)


def read_block(text: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The input in a block. Raises `Faults` with every fault of it."""
    if not text.strip():
        return {}
    try:
        found = load(f"{text}\n", "the yaml block")  # or a `|` text loses its end
    except LedgerCorrupt as error:
        raise Faults("the input", [str(error)]) from None
    faults = [*_implausible(found, ""), *_ambiguous(text, schema)]
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


def _ambiguous(text: str, schema: Mapping[str, Any] | None) -> Iterator[str]:
    """Values without quotation marks that two readers of YAML read differently."""
    import yaml

    switches = {each.name for each in input_fields.fields(schema) if each.kind == "bool"}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    places: list[tuple[yaml.Node | None, str]] = [(root, "")]
    while places:
        node, path = places.pop()
        if isinstance(node, yaml.MappingNode):
            pairs = [(each, key.value) for key, each in node.value]
            places += [
                (each, f"{path}.{name}" if path else str(name)) for each, name in pairs[::-1]
            ]
        elif isinstance(node, yaml.SequenceNode):
            places += [(each, f"{path}[{n}]") for n, each in [*enumerate(node.value)][::-1]]
        elif isinstance(node, yaml.ScalarNode) and node.style is None:
            says = _two_meanings(str(node.value), path in switches)
            if says:
                yield f"{path}: {says}"


def _two_meanings(written: str, is_switch: bool) -> str | None:
    shown = shortened(written, 60).replace("`", "'")
    if _CURLY.fullmatch(written):
        return f"{shown} is in curly quotation marks: write straight ones"
    if _TWO_NUMBERS.fullmatch(written):
        return (
            f"{shown} is ambiguous, because YAML has two ways to read it: write a plain number such"
            " as 10, or put a text in quotation marks"
        )
    if _YES_OR_NO.fullmatch(written) and not is_switch:
        return (
            f"{shown} is ambiguous, because YAML may take it for true or false: write true or"
            " false, or put a text in quotation marks"
        )
    return None
