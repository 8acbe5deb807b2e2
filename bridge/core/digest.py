"""The digest of a request: what an approval of it is bound to."""

from __future__ import annotations

import hashlib

from bridge.core.converter import plain
from bridge.core.model import ApprovalRequest


def digest_of(request: ApprovalRequest) -> str:
    """sha256 over the canonical JSON of the request's record, without the keys that are not bound.

    Every value that people are shown is bound. Who started the run and when the gate was opened
    are not: both have sources of their own. `docs/ledger.md` has the recipe.
    """
    bound = plain(request, bound=True)
    # Whoever computes it again may find the artifacts in another order.
    if "artifacts" in bound:
        bound["artifacts"].sort(key=lambda each: (each["name"], each["digest"]))
    return "sha256:" + hashlib.sha256(canonical(bound)).hexdigest()


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no spaces, no NaN: the same value is the same bytes everywhere."""
    import json  # not above: a listing reads commits alone

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")
