"""The open gates, from the one commit of each branch `gate/<id>`.

`hitl list` needs nothing else of the ledger, so this imports no record and no policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bridge.core.errors import LedgerCorrupt
from bridge.core.listing import ID_LENGTH, Listing, OpenGate, Unreadable
from bridge.core.shards import PATTERN, is_shard
from bridge.core.timestamps import moment
from bridge.ledger.clone import GitClone
from bridge.ledger.commit_trailers import parsed
from bridge.ledger.exchanges import Exchanges
from bridge.ledger.remote import Remote

GATES = "refs/heads/gate/*"
IS_ID = re.compile(f"[0-9a-f]{{{ID_LENGTH}}}")


def apart(remote: Remote, cache: Path) -> Exchanges:
    """Exchanges by a clone for listings alone: with a commit of each open gate in the clone that a
    push is made from, git would look at each of them for every push."""
    return Exchanges(GitClone(remote, cache / "open"))


def open_heads(exchanges: Exchanges) -> dict[str, str]:
    """The commits of the open gates' branches by gate id: one exchange."""
    return ids_of(exchanges.told(lambda: exchanges.clone.remote_refs(GATES)))


def ids_of(refs: Mapping[str, str]) -> dict[str, str]:
    """The gates among branches, which have their full names."""
    named = ((name.removeprefix("refs/heads/gate/"), sha) for name, sha in refs.items())
    return {name: sha for name, sha in named if IS_ID.fullmatch(name)}


def listing(exchanges: Exchanges) -> Listing:
    def attempt() -> Listing:
        refs = exchanges.clone.remote_refs(GATES, f"refs/heads/{PATTERN}")
        heads = ids_of(refs)
        exchanges.clone.bring_tips(list(heads.values()))
        found = _listed(heads, exchanges.clone.commit)
        names = (name.removeprefix("refs/heads/") for name in refs)
        return replace(found, begun=any(map(is_shard, names)))

    return exchanges.alone(attempt)


def open_gate(gate_id: str, head: str, commit: str) -> OpenGate:
    """An open gate, from the text of its one commit. Raises `LedgerCorrupt`."""
    subject, trailers = parsed(commit)
    try:
        return OpenGate(
            id=gate_id,
            head=head,
            key=trailers["Gate-Key"],
            headline=subject,
            opened_at=moment(trailers["Opened-At"]),
            expires_at=moment(trailers["Expires-At"]) if "Expires-At" in trailers else None,
            initiator=trailers.get("Initiator"),
            run=trailers.get("Run"),
        )
    except (KeyError, ValueError):
        raise LedgerCorrupt(
            f"the commit {head[:12]} on gate/{gate_id} is not one the bridge wrote:"
            " delete that branch, or look who pushed it"
        ) from None


def _listed(heads: Mapping[str, str], text_of: Callable[[str], str]) -> Listing:
    """The open gates by the texts of their commits. `heads` are their branches' commits by id."""
    found: list[OpenGate] = []
    unreadable: list[Unreadable] = []
    for gate_id, head in sorted(heads.items()):
        try:
            found.append(open_gate(gate_id, head, text_of(head)))
        except LedgerCorrupt as error:
            unreadable.append(Unreadable(gate_id, str(error)))
    found.sort(key=lambda each: (each.opened_at, each.id))
    return Listing(tuple(found), tuple(unreadable))
