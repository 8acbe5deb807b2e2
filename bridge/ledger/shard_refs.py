"""The branches of one ledger, among the refs of its repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.core.errors import LostRequest
from bridge.core.model import ApprovalRequest
from bridge.core.shards import PATTERN, oldest_first

_HEADS: Final = "refs/heads/"

#: All of them, for `git ls-remote` and `git fetch`. What else it matches, `shards_of` leaves out.
SHARDS: Final = f"{_HEADS}{PATTERN}"


def ref_of(shard: str) -> str:
    return f"{_HEADS}{shard}"


def shards_of(refs: Mapping[str, str]) -> dict[str, str]:
    """The ledger's branches by name, with their heads, oldest first."""
    named = {
        name.removeprefix(_HEADS): sha for name, sha in refs.items() if name.startswith(_HEADS)
    }
    return {name: named[name] for name in oldest_first(named)}


def with_newest(refs: Mapping[str, str], count: int) -> dict[str, str]:
    """These refs without the ledger's branches that are older than so many."""
    older = {ref_of(name) for name in list(shards_of(refs))[:-count]}
    return {ref: sha for ref, sha in refs.items() if ref not in older}


def home_of(request: ApprovalRequest, refs: Mapping[str, str]) -> tuple[str, str]:
    """The ref and the head of the branch that records this gate.

    Raises `LostRequest`: nobody makes a branch because a request names it, whose opener may name
    any.
    """
    ref = ref_of(request.shard)
    if ref not in refs:
        raise LostRequest(
            f"gate {request.gate.id} asks to be recorded on the branch {request.shard}, which the"
            " ledger doesn't have: open the gate again"
        )
    return ref, refs[ref]


def heads_in_one(refs: Mapping[str, str]) -> str | None:
    """The heads of all branches, as one text: it changes if one of them moves."""
    return " ".join(shards_of(refs).values()) or None
