"""A decision on its way to the suspended node of an Argo workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.core.evaluation import Outcome


@dataclass(frozen=True, slots=True)
class Workflow:
    """The Argo workflow in which a suspended node waits for the decision."""

    namespace: str
    name: str
    uid: str
    cluster: str = ""  # as its deployer calls it, if the ledger has gates of several


class Delivery(StrEnum):
    """Where the node of a gate stands, when a decision is brought to it."""

    WAITING = "waiting"  # suspended: the one state in which it may be moved
    RESUMED = "resumed"  # by us, now, and read back
    ALREADY = "already resumed"  # or failed: by an earlier delivery, a person or the clock
    GONE = "gone"
    ELSEWHERE = "elsewhere"  # not here, and it may go on in another cluster
    OTHER_RUN = "wrong uid"
    ENDED = "ended"
    STOPPED = "stopped"
    NO_NODE = "no node"
    OFFLOADED = "offloaded"
    CONFLICT = "conflict"
    UNREADABLE = "unreadable"  # the object is not as Argo writes it


@dataclass(frozen=True, slots=True)
class Move:
    """What a suspended node is brought to by a recorded decision."""

    node: str  # its id
    gate: str  # the gate that it was given: the node's id is the same in a run of the same name
    phase: str  # Succeeded or Failed
    decision: Outcome
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Resumption:
    """What came of bringing a decision to its node. `says` is the whole sentence for a person."""

    delivery: Delivery
    says: str
    node: str | None = None  # its id
    phase: str | None = None
    message: str = ""  # the node's own

    @property
    def done(self) -> bool:
        """Whether the node moved, or nothing is left that could: no look later finds more."""
        return self.delivery not in (
            Delivery.CONFLICT,
            Delivery.OFFLOADED,
            Delivery.NO_NODE,
            Delivery.UNREADABLE,
        )
