"""Wait at a gate: open it, have it decided here or anywhere else, and verify what was recorded."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from bridge.core.errors import (
    BridgeError,
    GateShut,
    LedgerCorrupt,
    LedgerUnavailable,
    LostRequest,
    Refused,
)
from bridge.core.evaluation import Condition, Vote
from bridge.core.model import ApprovalRequest, Decision, Draft, Standing
from bridge.core.rules import OnTimeout
from bridge.gates.venue import Opened, Venue
from bridge.gates.verify import Compute
from bridge.policy.approvers import who_may
from bridge.policy.evaluate import overdue

#: Seconds between two checks whether the run still lives and the deadline has passed. They cost
#: nothing; a look at a ledger on this machine goes with each.
_TICK = 1.0
#: Ticks between two looks at a ledger behind a URL: the first, and the most it grows to.
_NEAR, _FAR = 2, 30
#: How often a withdrawal is tried that a further signal broke off.
_TRIES = 5


@dataclass(frozen=True)
class Run:
    """The run that waits, as far as waiting must know it."""

    alive: Callable[[], bool]  # whether the run is still there
    pause: Callable[[float], None]  # sleep so many seconds
    #: Says for the time of its block that the run waits at this gate, and whether that is decided.
    waits: Callable[[str, Callable[[], bool]], AbstractContextManager[None]] = lambda *_: (
        nullcontext()
    )


def pass_gate(
    venue: Venue,
    run: Run,
    draft: Draft,
    condition: Condition | None = None,
    compute: Compute | None = None,
) -> Decision:
    """Ask, wait, and return the recorded approval of exactly this draft, or of what `compute` says
    once there is one.

    Raises `GateShut` in every other case: rejected, expired, withdrawn, or not to be known. An
    interrupt (Ctrl-C, SIGTERM, the end of the run that waits) withdraws the gate first, if the
    venue lets us; if it was Ctrl-C, the cause of the `GateShut` is the `KeyboardInterrupt`.
    """
    try:
        opened = venue.open(draft)
        if opened.standing.decision is None:
            waiting = _Waiting(venue, run, draft, opened, condition)
            with run.waits(draft.gate.id, waiting.is_decided):
                waiting.until_decided()
        decision = venue.verify(draft.gate, compute or (lambda _: draft))
        say_passed(draft.gate.key, decision, venue.address)
        return decision
    except GateShut:
        raise
    except BridgeError as error:
        raise GateShut(f"{draft.gate.key} does not run: {error}") from error


class _Waiting:
    """One gate's waiting, from the opened request to its decision."""

    def __init__(
        self, venue: Venue, run: Run, draft: Draft, opened: Opened, condition: Condition | None
    ) -> None:
        self._venue = venue
        self._run = run
        self._draft = draft
        self._standing = opened.standing
        self._how = opened.how
        self._condition = condition
        self._interrupts = _Interrupts()
        self._mark: object = None
        self._ticks = 0
        self._interval = 1 if venue.ledger.is_path else _NEAR
        self._votes: tuple[Vote, ...] = ()
        self._reminded = False
        self._said: set[str] = set()

    def until_decided(self) -> None:
        with self._interrupts:
            try:
                self._reachable(self._judge)
                if self._standing.decision is None:
                    self._answer_here()
                if self._standing.decision is None:
                    _say(_who_decides(self._standing.request), self._how)
                while not self.over():
                    self._run.pause(_TICK)
            except Interrupted as end:
                self._withdraw(end)

    def is_decided(self) -> bool:
        """As far as this run knows."""
        return self._standing.decision is not None

    def over(self) -> bool:
        """Whether the gate is decided. Called about once a second.

        Raises `Interrupted` if the run is gone.
        """
        with self._interrupts.held(), self._venue.ledger.connected():
            if self._standing.decision is None:
                if not self._run.alive():
                    raise Interrupted("the run that waited is gone")
                self._ticks += 1
                if self._ticks >= self._interval:
                    self._ticks = 0
                    self._reachable(self._look)
                self._reachable(self._judge)
                self._remind()
            return self._standing.decision is not None

    def _answer_here(self) -> None:
        try:
            vote = self._venue.ask_here(self._standing.request, self.over)
        except Refused as refused:
            _say(f"nobody is asked here: {refused}")
            return
        with self._interrupts.held():
            if vote and self._standing.decision is None:
                # Kept: a ledger that cannot be reached now gets it when it can.
                self._votes = (vote,)
                self._reachable(self._judge)

    def _judge(self) -> None:
        """Decide on the vote given here, the condition and the clock, as far as they go."""
        try:
            self._standing = self._venue.judge(self._standing, self._votes, self._condition)
        except LostRequest:
            self._look_again()

    def _look(self) -> None:
        mark = self._venue.mark(self._draft.gate.id)
        if mark != self._mark:
            try:
                self._look_again()
            except LedgerCorrupt as error:  # a damaged record decides nothing
                self._say_once(f"{self._draft.gate.key}: {error}; waiting on")
            self._mark = mark
        elif not self._venue.ledger.is_path:
            self._interval = min(_FAR, self._interval * 2)

    def _look_again(self) -> None:
        self._standing = self._venue.look(self._draft, self._standing)

    def _remind(self) -> None:
        request = self._standing.request
        late = request.policy.on_timeout is OnTimeout.NOTIFY and overdue(
            request, self._venue.clock()
        )
        if late and not self._reminded and self._standing.decision is None:
            self._reminded = True
            self._venue.notices.reminded(request)

    def _reachable(self, exchange: Callable[[], None]) -> None:
        """A ledger that cannot be reached while we wait is no end: said once, then waited for."""
        try:
            exchange()
        except LedgerUnavailable as error:
            self._say_once(f"{error}; waiting on")

    def _say_once(self, says: str) -> None:
        if says not in self._said:
            _say(says)
        self._said.add(says)

    def _withdraw(self, end: Interrupted) -> None:
        key = self._draft.gate.key
        try:
            self._standing = self._withdrawn(str(end))
            says = f"withdrawn, {end}; a new run asks again"
            if not self.is_decided():
                says = f"{end}; it stays open there"
        except BridgeError as error:
            says = f"{end}; the gate could not be withdrawn: {error}"
        cause = KeyboardInterrupt() if end.signal == signal.SIGINT else None
        raise GateShut(f"{key} does not run: {says}") from cause

    def _withdrawn(self, why: str) -> Standing:
        # A terminal sends each Ctrl-C to all processes of its foreground group, `timeout` its
        # SIGTERM too. So a second one ends the git that withdraws, and the gate would stay open:
        # https://www.gnu.org/software/libc/manual/html_node/Signal-Characters.html
        for _ in range(_TRIES - 1):
            came = self._interrupts.times
            try:
                return self._venue.withdraw(self._standing, why)
            except BridgeError:
                if self._interrupts.times == came:
                    raise
        return self._venue.withdraw(self._standing, why)


class Interrupted(BaseException):
    """The waiting was ended from outside.

    No `Exception`: nothing between here and there may take it for a fault of its own.
    """

    def __init__(self, why: str, signum: int | None = None) -> None:
        self.signal = signum
        super().__init__(why)


class _Interrupts:
    """Ctrl-C, SIGTERM and SIGHUP as `Interrupted`, held back while the ledger is at work."""

    _WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: int | None = None
        self._holding = 0
        self.times = 0

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread alone
        for signum in self._WATCHED:
            before = signal.getsignal(signum)
            if before is not signal.SIG_IGN:  # nohup, or a shell's background job: meant to go on
                self._before[signum] = before
                signal.signal(signum, self._arrived)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    @contextmanager
    def held(self) -> Iterator[None]:
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        if self._came is not None and not self._holding:
            raise self._interruption(self._came)

    def _arrived(self, signum: int, _frame: FrameType | None) -> None:
        self.times += 1
        if self._came is None:
            self._came = signum
            if not self._holding:
                raise self._interruption(signum)

    def _interruption(self, signum: int) -> Interrupted:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        return Interrupted(f"the run was ended by {name}", signum)


def _who_decides(request: ApprovalRequest) -> str:
    until = f" until {request.expires_at:%Y-%m-%d %H:%M:%S} UTC" if request.expires_at else ""
    return f"{request.gate.key} waits for {who_may(request.policy.require)}{until}"


def say_passed(key: str, decision: Decision, where: str) -> None:
    """Say in the run's log whose approval lets it go on: perhaps nobody was asked here."""
    what = "" if decision.reason.startswith("approved") else "approved, "
    when = f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
    _say(f"{key}: {what}{decision.reason}", f"recorded on {when} in {where}")


def _say(*parts: str) -> None:
    # One line: Metaflow's runtime shows the second of two only when the task prints again. And the
    # process's own stderr: FlowyML puts a buffer in the place of sys.stderr while a step runs.
    print(f"hitl: {'; '.join(parts)}", file=sys.__stderr__, flush=True)
