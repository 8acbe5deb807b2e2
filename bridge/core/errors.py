"""What a person reads when the bridge cannot go on, and the exit code that goes with it.

Every error here is one sentence a stranger can act on: what is wrong, where, what to do. The thin
tops print it and leave with `exit_code`; anything else that reaches them is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Metaflow neither retries nor catches a task that leaves with this code
#: (``METAFLOW_EXIT_DISALLOW_RETRY`` in ``metaflow/metaflow_config.py``).
EXIT_SHUT = 202


class BridgeError(Exception):
    """The root of every error that a person may see."""

    exit_code = 1


class Faults(BridgeError):
    """Bad input: every fault of it, at once."""

    exit_code = 2

    def __init__(self, subject: str, faults: Sequence[str]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        super().__init__(f"{subject}: {'; '.join(self.faults)}")


class NoSuchGate(BridgeError):
    """The id, prefix or natural key names no gate, or more than one."""

    exit_code = 3


class Refused(BridgeError):
    """This person, or this vote, may not decide this gate."""

    exit_code = 4


class NoPolicy(BridgeError):
    """No policy covers this gate. It waits: absence is never an approval."""

    exit_code = 4


class AlreadyDecided(BridgeError):
    """The gate has a decision, and it is not the one asked for: the first decision wins."""

    exit_code = 5


class LedgerUnavailable(BridgeError):
    """The ledger cannot be reached, read or written. Never an approval."""

    exit_code = 6


class NoLedger(LedgerUnavailable):
    """Nothing was ever asked here, so there is no ledger to look into."""


class LedgerCorrupt(BridgeError):
    """The ledger was read, and what it says cannot be true. Never an approval."""

    exit_code = 7


class ForgeUnavailable(BridgeError):
    """The forge cannot be reached or read, or does not let us. Never an approval."""

    exit_code = 8


class TooOld(BridgeError):
    """The cluster keeps no more what happened since then: list again."""


class ClusterUnavailable(BridgeError):
    """The cluster cannot be reached, or does not let us."""

    exit_code = 9


class NothingToDeliver(BridgeError):
    """No node waits for this gate, or nothing is recorded that could be brought to it."""

    exit_code = 2


class NoSuchPage(BridgeError):
    """The number is no pull request of the repository."""

    exit_code = 3


class NothingToShow(BridgeError):
    """The branch holds nothing that its base does not have already, so no page can be made."""

    exit_code = 8


class LostRequest(BridgeError):
    """The request was replaced while it was being decided: what was shown is not what stands."""

    exit_code = 5


class StaleBaseline(LostRequest):
    """The request is compared with another gate than the one that was approved last."""


class GateShut(BridgeError):
    """The gated step must not run."""

    exit_code = EXIT_SHUT
