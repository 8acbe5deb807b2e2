"""`docs/ledger.md` lists every key of every record, and no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pytest

from bridge.core.converter import fields_of
from bridge.core.delivery import Workflow
from bridge.core.evaluation import (
    Actor,
    Condition,
    JudgedVote,
    Lifting,
    Membership,
    Objection,
    ReasonCode,
)
from bridge.core.facts import Fact
from bridge.core.model import (
    ApprovalRequest,
    Approved,
    Artifact,
    Baseline,
    Baselines,
    Decision,
    Declared,
    Kind,
    Link,
    Objections,
    Place,
    Subject,
)
from bridge.core.picture import Picture
from bridge.core.rules import Actors, AllOf, AnyOf, Approvals, Bars, EachOf, Group, Policy
from bridge.core.shards import Turn
from bridge.core.unmatched import Unmatched

PAGE = Path(__file__).parents[1] / "docs" / "ledger.md"

#: What the page calls each record: the headings of its tables.
NAMES: dict[Any, str] = {
    ApprovalRequest: "request",
    Artifact: "artifact",
    Subject: "subject",
    Declared: "declared",
    Workflow: "workflow",
    Place: "venue",
    Kind: "kind",
    Baseline: "baseline",
    Baselines: "baselines",
    Approved: "approved",
    Picture: "picture",
    Link: "link",
    Unmatched: "unmatched",
    Fact: "fact",
    Policy: "policy",
    Approvals: "rule",
    EachOf: "rule",
    AllOf: "rule",
    AnyOf: "rule",
    Actors: "actors",
    Group: "group",
    Bars: "bars",
    Decision: "decision",
    JudgedVote: "vote",
    Actor: "actor",
    Membership: "membership",
    Condition: "condition",
    Objections: "objections",
    Objection: "objection",
    Lifting: "lifting",
    Turn: "turn",
}
#: What the bridge computes, and no field holds.
COMPUTED = {
    "request": [("gate", "text", "required", "no"), ("digest", "text", "required", "no")],
}

#: These belong to a decision, to which nobody's approval is bound: their tables lack that column.
DECIDED = {
    "baselines", "approved", "decision", "vote", "actor", "membership", "condition", "objections",
    "objection", "lifting", "turn",
}  # fmt: skip

Row = tuple[str, ...]


def of_the_code() -> Iterator[tuple[str, Row]]:
    for kind, name in NAMES.items():
        columns = 3 if name in DECIDED else 4
        yield from ((name, row[:columns]) for row in rows_of(kind))
    for name, rows in COMPUTED.items():
        yield from ((name, row) for row in rows)


def rows_of(kind: Any) -> Iterator[Row]:
    """Key, kind, what its absence means, and whether an approval is bound to it."""
    for each in fields_of(kind):
        if each.inline:
            yield from rows_of(each.kind)
            continue
        required = each.required or each.always
        absent = "required" if required else absence(each.default)
        yield each.key, kind_of(each.kind), absent, "yes" if each.bound else "no"


def absence(default: object) -> str:
    if default is None or default in ((), {}, ""):
        return "nothing"
    if is_dataclass(default):
        return "its defaults"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def kind_of(kind: Any) -> str:
    words = {str: "text", int: "number", bool: "true or false", datetime: "time"}
    if kind in words:
        return words[kind]
    args = [each for each in get_args(kind) if each is not NoneType]
    origin = get_origin(kind)
    if origin is Mapping:
        return "mapping"
    if origin is tuple:
        return f"list of {kind_of(args[0])}"
    if origin in (Union, UnionType):
        return kind_of(args[0])
    if kind is ReasonCode:
        return "[reason code](#reason-codes)"
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{word}`" for word in kind)
    return f"[{NAMES[kind]}](#{NAMES[kind]})"


def of_the_page() -> Iterator[tuple[str, Row]]:
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        elif heading in NAMES.values() and line.startswith("| `"):
            key, *cells, says = (cell.strip() for cell in line.strip("|").split("|"))
            assert says, f"{heading}.{key} is not explained"
            yield heading, (key.strip("`"), *cells)


@pytest.mark.parametrize("name", sorted(set(NAMES.values())))
def test_the_page_of_the_ledger_lists_every_key_and_no_other(name: str) -> None:
    written = [row for heading, row in of_the_page() if heading == name]
    coded = [row for heading, row in of_the_code() if heading == name]
    assert sorted(written) == sorted(coded)


def test_the_page_explains_every_reason_code_and_no_other() -> None:
    _, _, text = PAGE.read_text(encoding="utf-8").partition("#### reason codes\n")
    rows = [line for line in text.partition("\n#")[0].splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == [code.value for code in ReasonCode]
    assert all(line.split("|")[2].strip() for line in rows)


def test_every_record_that_another_one_holds_is_on_the_page() -> None:
    assert {kind for kind in NAMES if not is_dataclass(kind)} == set()
    for kind in NAMES:
        list(rows_of(kind))  # a kind without a name is a KeyError
