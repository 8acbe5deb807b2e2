"""The branches of a foreach that a join asks about, and the answer that names those to keep.

The answer is a field of the gate's input, `keep`: a list of names, which is bound and checked like
any other input. What nobody names is kept, so a plain approval keeps all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.core.artifacts import comparable
from bridge.core.errors import Faults
from bridge.core.input_fields import ALL, EXCEPT, NONE, fields
from bridge.core.model import ApprovalRequest

KEEP: Final = "keep"

#: The names stand twice in the request's schema, which has a bound of its own.
MOST_BRANCHES: Final = 500

#: What a person can type on one line of a comment or a shell, and nothing else. Metaflow keeps 30
#: characters of an item, so a longer name could be another item's.
_NAME: Final = re.compile(r"[0-9A-Za-zÀ-ÖØ-öø-ÿ][0-9A-Za-zÀ-ÖØ-öø-ÿ_.-]{0,28}")


def names_of(items: Sequence[object]) -> tuple[str, ...]:
    """The names of branches with these items: the items themselves if each can be typed and is the
    only one that reads so, and else their places, from 0 as in `inputs[0]`."""
    texts = [str(each) if isinstance(each, str) else "" for each in items]
    if len(set(texts)) == len(texts) and all(map(_is_name, texts)):
        return tuple(texts)
    return tuple(map(str, range(len(items))))


def _is_name(text: str) -> bool:
    word = text in (ALL, NONE) or text.startswith(EXCEPT)
    return not word and bool(_NAME.fullmatch(text)) and comparable("item", text)


def asking_for(schema: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, Any]:
    """The input with the field that names the branches to keep. Raises `Faults`."""
    if len(names) > MOST_BRANCHES:
        said = f"is for {MOST_BRANCHES} branches at most, and this join has {len(names):,}"
        raise Faults("`keep`", [said])
    whole = dict(schema or {"type": "object", "additionalProperties": False})
    field = {
        "type": "array",
        "items": {"enum": list(names)},
        "uniqueItems": True,
        "default": list(names),
        "description": "the branches that this step gets",
    }
    return {**whole, "properties": {KEEP: field, **whole.get("properties", {})}}


def branches_of(request: ApprovalRequest) -> tuple[str, ...]:
    """The names of the branches that people choose from; empty if the gate doesn't ask that."""
    asked = [each for each in fields(request.schema) if each.name == KEEP]
    return next((each.picks for each in asked if each.default == list(each.picks)), ())


def kept(names: Mapping[int, str], answer: Mapping[str, Any]) -> frozenset[int]:
    """The places of the branches that a recorded answer keeps; none if it doesn't say."""
    wanted = answer.get(KEEP, ())
    return frozenset(place for place, name in names.items() if name in wanted)
