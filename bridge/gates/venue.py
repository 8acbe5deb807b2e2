"""Where a gate is decided: on this machine, or on GitHub.

The settings say where a gate is opened, and the recorded request says where it was. `wiring` reads
either, once; everybody else calls the venue and asks no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.core.errors import GateShut
from bridge.core.evaluation import Condition, Evaluation, Verdict, Vote
from bridge.core.listing import OpenGate
from bridge.core.model import ApprovalRequest, Decision, Declared, Draft, Gate, Standing, Subject
from bridge.core.sanitize import one_line
from bridge.gates.ports import Clock, Ledger, Notices
from bridge.gates.recording import Deciding
from bridge.gates.verify import Compute


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened gate, and in words how a person decides it."""

    standing: Standing
    how: str
    page: str | None = None  # its address, if people answer on a page

    @property
    def where(self) -> str:
        """Where people decide, as one line that Argo shows and doesn't fill in."""
        return re.sub(r"{(?={)", "{ ", one_line(self.page or self.how))


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one person says of a gate; the venue adds who says it."""

    verdict: Verdict
    reason: str = ""
    inputs: Mapping[str, Any] | None = field(default=None, repr=False)
    sign: Callable[[bytes], str] | None = None  # with the person's own key


@dataclass(frozen=True, slots=True)
class Voted:
    """What became of a ballot: a vote in the record, or an answer posted where others judge it."""

    standing: Standing
    vote: Vote | None = None
    posted: str | None = None  # the address of the answer


@dataclass(frozen=True, slots=True)
class Explained:
    """An undecided gate as it would be judged now. If `trouble` says why not, there is no
    evaluation."""

    evaluation: Evaluation | None
    trouble: str = ""
    address: str | None = None  # of its page


class Venue(Protocol):
    """Where gates are decided. It opens them, takes votes, watches them and settles them."""

    @property
    def ledger(self) -> Ledger:
        """Where the decisions are recorded."""
        ...

    @property
    def notices(self) -> Notices: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def address(self) -> str:
        """What HITL_LEDGER says to lead another process here, without any credential."""
        ...

    # -- for a step ----------------------------------------------------------------------------

    def check(self, subject: Subject, declared: Declared, initiator: str | None) -> None:
        """Raises a `BridgeError` if it is sure already that nobody could be asked.

        `subject` need not say its artifacts yet.
        """
        ...

    def open(self, draft: Draft) -> Opened:
        """Bind the draft to its policy and open the gate; a gate that was opened before is found.

        Raises `NoPolicy` or `Faults` if no sound policy covers it: then nothing is opened.
        """
        ...

    def verify(self, gate: Gate, compute: Compute) -> Decision:
        """The recorded approval of exactly what `compute` says, which is called only once an
        approval is found; raises `GateShut` in every other case."""
        ...

    # -- for a step that waits -------------------------------------------------------------------

    def ask_here(self, request: ApprovalRequest, decided: Callable[[], bool]) -> Vote | None:
        """The answer of the person at this terminal, if this venue takes one; None: no answer.

        Raises `Refused` if this person may not decide.
        """
        ...

    def mark(self, gate_id: str) -> object:
        """What is equal until there is a reason to look again. Cheap."""
        ...

    def look(self, draft: Draft, before: Standing) -> Standing:
        """The gate as it is now. Raises `GateShut` if it no longer asks what the draft says."""
        ...

    def judge(
        self, standing: Standing, votes: Sequence[Vote] = (), condition: Condition | None = None
    ) -> Standing:
        """The gate after these votes, the condition and the clock, as far as they decide here.

        Raises `LostRequest` if the request was replaced meanwhile.
        """
        ...

    def withdraw(self, standing: Standing, why: str) -> Standing:
        """The gate after its run has ended. It stays undecided if recording that is not ours."""
        ...

    def say_ended(self, gate_ids: Sequence[str], *, well: bool, uid: str | None = None) -> None:
        """Say on the pages of these gates, if they were decided and have any, how the run ended
        that waited there: the workflow with this uid, or a run that is none of Argo's."""
        ...

    # -- for a person --------------------------------------------------------------------------

    def vote(self, standing: Standing, ballot: Ballot) -> Deciding[Voted]:
        """Give this person's answer. Raises `Refused` if this person may not decide."""
        ...

    def explain(self, standing: Standing) -> Explained:
        """An undecided gate, judged as it would be now."""
        ...

    # -- to tidy up ------------------------------------------------------------------------------

    def unsettled(self) -> tuple[OpenGate, ...]:
        """The open gates that `settle` and `withdraw` may end here, oldest first."""
        ...

    def settle(self, standing: Standing) -> Deciding[Standing]:
        """The gate after the clock had its say, and without a branch that outlived its decision."""
        ...


#: The venue of a recorded request.
VenueOf = Callable[[ApprovalRequest], Venue]


def asked_anew(key: str) -> GateShut:
    return GateShut(
        f"{key} does not run: the gate was asked again with other contents while this step waited;"
        " answer the newer request"
    )
