"""The open gates as a listing shows them. A listing imports these nouns and no others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Characters of a gate's id: 64 bits of two hashes. If two gates share an id, the request, which
#: has the whole key, says which one it is: a collision refuses and never approves.
ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class OpenGate:
    """An open gate as a listing shows it: what its one commit says, and nothing fetched besides."""

    id: str
    head: str
    key: str
    headline: str
    opened_at: datetime
    expires_at: datetime | None
    initiator: str | None = None
    run: str | None = None  # the address of what asks, as its opener says


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A gate that cannot be listed or settled, such as a branch with a foreign commit."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The open gates, oldest first, and the branches that only look like gates.

    `begun` is false if the repository has no branch of a ledger.
    """

    gates: tuple[OpenGate, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    begun: bool = True
