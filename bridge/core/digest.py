"""The digest of a request: what an approval of it is bound to."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from bridge.core.converter import plain
from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Draft, on_github
from bridge.core.rules import Actors, Approvals, Policy


def digest_of(request: ApprovalRequest) -> str:
    """sha256 over the canonical JSON of the request's record, without the keys that are not bound.

    Every value that people are shown is bound. Who started the run and when the gate was opened
    are not: both have sources of their own. `docs/ledger.md` has the recipe.
    """
    return _digest_of(_Same(request))


class _Same:
    """A request as a key of a cache: this very value, which is frozen."""

    __slots__ = ("request",)

    def __init__(self, request: ApprovalRequest) -> None:
        self.request = request

    def __hash__(self) -> int:
        return id(self.request)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.request is other.request


@functools.lru_cache(maxsize=4)  # an audit asks three times for each request, one after the other
def _digest_of(same: _Same) -> str:
    bound = plain(same.request, bound=True)
    # A reader that computes it again may find the artifacts in another order.
    if "artifacts" in bound:
        bound["artifacts"].sort(key=lambda each: (each["name"], each["digest"]))
    return "sha256:" + hashlib.sha256(canonical(bound)).hexdigest()


def asked_digest(asked: Draft | ApprovalRequest) -> str:
    """sha256 over what the run itself asks, whichever policy and place it is bound to.

    A run computes it before it asks, and anyone who has the request computes it again.
    """
    if isinstance(asked, Draft):
        asked = asked.bound(_ANY_POLICY, _ANY_TIME, _ANY_PLACE)
    bound = plain(asked, bound=True)
    for given_by_the_decider in ("policy", "venue", "shard", "baseline"):
        bound.pop(given_by_the_decider, None)
    bound.get("artifacts", []).sort(key=lambda each: (each["name"], each["digest"]))
    return "sha256:" + hashlib.sha256(canonical(bound)).hexdigest()


def holding(facts: Iterable[Fact], request: ApprovalRequest) -> tuple[Fact, ...]:
    """The facts that are of this request: its opener can put another in place of the one that
    was proven."""
    found = tuple(facts)
    if all(each.asked is None for each in found):
        return found
    asked = asked_digest(request)
    return tuple(each for each in found if each.asked in (None, asked))


#: What the digest leaves out.
_ANY_POLICY: Final = Policy(Approvals(Actors(anyone=True)))
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_ANY_PLACE: Final = on_github("any/any")


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no spaces, no NaN: the same value is the same bytes everywhere."""
    import json  # not above: a listing reads commits alone

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")
