"""Wait at a gate: open it, have it decided here or anywhere else, and verify what was recorded."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import FrameType, TracebackType
from typing import Any

from bridge.core.digest import digest_of
from bridge.core.errors import BridgeError, GateShut, LedgerUnavailable, LostRequest
from bridge.core.evaluation import Condition, Decider, Evidence, Outcome, Vote
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.core.rules import OnTimeout
from bridge.gates.decide import decide
from bridge.gates.open_gate import open_gate
from bridge.gates.open_page import Desk, ask
from bridge.gates.ports import Here, Ledger, Notices
from bridge.gates.verify import verify
from bridge.policy.approvers import refusal, who_may
from bridge.policy.evaluate import overdue
from bridge.render import suggested_commands

#: Seconds between two checks whether the run still lives and the deadline has passed. They cost
#: nothing; a look at a ledger on this machine goes with each.
_TICK = 1.0
#: Ticks between two looks at a ledger behind a URL: the first, and the most it grows to.
_NEAR, _FAR = 2, 30


def pass_gate(here: Here, request: ApprovalRequest, condition: Condition | None = None) -> Decision:
    """Ask, wait, and return the recorded approval of exactly this request.

    Raises `GateShut` in every other case: rejected, expired, withdrawn, or not to be known. An
    interrupt (Ctrl-C, SIGTERM, the end of the run that waits) withdraws the gate first; where it
    was Ctrl-C, the cause of the `GateShut` is the `KeyboardInterrupt`.
    """

    def opened() -> tuple[Standing, str]:
        standing = open_gate(here.ledger, here.notices, request)
        return standing, suggested_commands.approve(request, here.ledger.where)

    return _passed(here, request, opened, condition)


def pass_page(here: Here, desk: Desk, request: ApprovalRequest) -> Decision:
    """The same on a forge: people answer on the gate's page, and its decider alone decides.

    Here nobody is asked and nothing is recorded. An interrupt leaves the gate open.
    """

    def opened() -> tuple[Standing, str]:
        standing, page = ask(desk, request)
        return standing, page.url if page else desk.forge.name

    return _passed(here, replace(request, venue=desk.forge.place), opened, None)


def _passed(
    here: Here,
    request: ApprovalRequest,
    opened: Callable[[], tuple[Standing, str]],
    condition: Condition | None,
) -> Decision:
    try:
        standing, how = opened()
        if standing.decision is None:
            _Waiting(here, standing, condition, how).until_decided()
        return verify(here.ledger, request)
    except GateShut:
        raise
    except BridgeError as error:
        raise GateShut(f"{request.gate.key} does not run: {error}") from error


class _Waiting:
    """One gate's waiting, from the opened request to its decision."""

    def __init__(
        self, here: Here, standing: Standing, condition: Condition | None, how: str
    ) -> None:
        self._here = here
        self._standing = standing
        self._how = how  # the command, or the page, by which a person decides
        self._condition = condition
        self._interrupts = _Interrupts()
        self._head: str | None = None
        self._ticks = 0
        self._interval = 1 if here.ledger.is_path else _NEAR
        self._votes: tuple[Vote, ...] = ()
        self._reminded = False
        self._said: set[str] = set()

    def until_decided(self) -> None:
        with self._interrupts:
            try:
                self._reachable(self._judge)
                self._answer_here()
                if self._standing.decision is None:
                    _say(*_how_to_decide(self._standing.request, self._how))
                while not self.over():
                    self._here.pause(_TICK)
            except Interrupted as end:
                self._withdraw(end)

    def over(self) -> bool:
        """Whether the gate is decided. Called about once a second.

        Raises `Interrupted` where the run is gone.
        """
        with self._interrupts.held():
            if self._standing.decision is None:
                if not self._here.alive():
                    raise Interrupted("the run that waited is gone")
                self._ticks += 1
                if self._ticks >= self._interval:
                    self._ticks = 0
                    self._reachable(self._look)
                self._reachable(self._judge)
                self._remind()
            return self._standing.decision is not None

    def _answer_here(self) -> None:
        asker, request = self._here.asker, self._standing.request
        if asker is None or self._standing.decision:
            return
        refused = refusal(request, self._here.person)
        if refused:
            _say(f"nobody is asked here: {refused}")
            return
        vote = asker.ask(request, self._here.person, self.over)
        with self._interrupts.held():
            if self._standing.decision:
                _say(f"{request.gate.key}: {self._standing.decision.reason}, meanwhile")
            elif vote:
                # Kept: a ledger that cannot be reached now gets it when it can.
                self._votes = (vote,)
                self._reachable(self._judge)

    def _judge(self) -> None:
        """Decide on the vote given here, the condition and the clock, as far as they go."""
        if self._standing.decision or self._standing.request.forge:
            return  # a forge's gate is the decider's alone to decide
        evidence = Evidence(self._here.clock(), self._votes, self._condition)
        try:
            _, self._standing = decide(
                self._here.ledger, self._here.notices, self._standing, evidence
            )
        except LostRequest:
            self._look_again()

    def _look(self) -> None:
        head = self._here.ledger.head()
        if head != self._head:
            self._look_again()
            self._head = head
        elif not self._here.ledger.is_path:
            self._interval = min(_FAR, self._interval * 2)

    def _look_again(self) -> None:
        asked = self._standing.request
        found = self._here.ledger.read(asked.gate.id)
        if found is None or (found.decision is None and found.head is None):
            if asked.forge:  # its decider puts the branch back
                return
            raise GateShut(
                f"{self._standing.request.gate.key} does not run: its request has vanished from"
                f" {self._here.ledger.where} undecided"
            )
        if asked.forge:  # whose decider asks anew where the policy has changed, of the same
            asked = replace(asked, policy=found.request.policy)
        if digest_of(found.request) != digest_of(asked):
            raise GateShut(
                f"{self._standing.request.gate.key} does not run: the gate was asked anew with"
                " other contents while this step waited; the newer request is the one to answer"
            )
        self._standing = found

    def _remind(self) -> None:
        request = self._standing.request
        late = request.policy.on_timeout is OnTimeout.NOTIFY and overdue(
            request, self._here.clock()
        )
        if late and not self._reminded and self._standing.decision is None:
            self._reminded = True
            self._here.notices.reminded(request)

    def _reachable(self, exchange: Callable[[], None]) -> None:
        """A ledger that cannot be reached while we wait is no end: said once, then waited for."""
        try:
            exchange()
        except LedgerUnavailable as error:
            if str(error) not in self._said:
                _say(f"{error}; waiting on")
            self._said.add(str(error))

    def _withdraw(self, end: Interrupted) -> None:
        request = self._standing.request
        if request.forge:  # nor is the end of a run ours to record there
            raise GateShut(f"{request.gate.key} does not run: {end}; it stays open there")
        try:
            withdraw(self._here.ledger, self._here.notices, request, str(end), self._here.clock())
        except BridgeError as error:
            _say(f"the gate could not be withdrawn: {error}")
        cause = KeyboardInterrupt() if end.signal == signal.SIGINT else None
        raise GateShut(
            f"{request.gate.key} does not run: withdrawn, {end}; a new run asks again"
        ) from cause


def withdraw(
    ledger: Ledger, notices: Notices, request: ApprovalRequest, reason: str, now: datetime
) -> Standing:
    """Record that the run no longer waits. Where somebody decided before, that stands."""
    decision = Decision(
        gate_id=request.gate.id,
        outcome=Outcome.WITHDRAWN,
        by=Decider.RUN,
        reason=reason,
        request_digest=digest_of(request),
        decided_at=max(now, request.opened_at),
    )
    after = ledger.record(decision)
    if after.decision and replace(after.decision, previous=None) == decision:
        notices.decided(request, decision)
    return after


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
        if self._came is None:
            self._came = signum
            if not self._holding:
                raise self._interruption(signum)

    def _interruption(self, signum: int) -> Interrupted:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        return Interrupted(f"the run was ended by {name}", signum)


def _how_to_decide(request: ApprovalRequest, how: str) -> tuple[str, str]:
    until = f" until {request.expires_at:%Y-%m-%d %H:%M:%S} UTC" if request.expires_at else ""
    return (
        f"{request.gate.key} waits for {who_may(request.policy.require)}{until}",
        f"to decide{'' if request.forge else ', in any shell'}: {how}",
    )


def _say(*parts: str) -> None:
    # One line: Metaflow's runtime shows the second of two only when the task prints again. And the
    # process's own stderr: FlowyML puts a buffer in the place of sys.stderr while a step runs.
    print(f"hitl: {'; '.join(parts)}", file=sys.__stderr__, flush=True)
