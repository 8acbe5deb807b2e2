"""Gates to wait at: requests as literals, and a step whose clock and pauses a test holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bridge import wiring
from bridge.core.digest import digest_of
from bridge.core.evaluation import Actor, Channel, Condition, Verdict, Vote
from bridge.core.listing import OpenGate
from bridge.core.model import ApprovalRequest, Decision, Gate
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.core.settings import from_environment
from bridge.gates import wait
from bridge.gates.open_gate import open_gate
from bridge.gates.ports import Ledger, Notices
from bridge.gates.this_machine import ThisMachine
from bridge.gates.wait import Run

ROOT = Path(__file__).parents[1]
TARGET = {
    "type": "object",
    "properties": {
        "target": {"enum": ["staging", "production"]},
        "replicas": {"type": "integer", "default": 2, "maximum": 9},
    },
    "required": ["target"],
    "additionalProperties": False,
}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = wiring.clock()

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


class Heard:
    """The `Notices` port, remembered."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None:
        self.words.append("opened")

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None:
        self.words.append("reminded")

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None:
        self.words.append(decision.outcome.value)


def a_request(key: str = "Flow/1/gate/3", *by: str, **changed: Any) -> ApprovalRequest:
    """One that anyone may decide, or these; `timeout` and the like go to its policy."""
    actors = Actors(by) if by else Actors(anyone=True)
    policy = {
        name: changed.pop(name)
        for name in ("timeout", "on_timeout", "auto_approve_if")
        if name in changed
    }
    if "on_timeout" in policy:
        policy["on_timeout"] = OnTimeout(policy["on_timeout"])
    request = ApprovalRequest(
        Gate("here", key), "Deploy 0.94?", Policy(Approvals(actors), **policy), wiring.clock()
    )
    return replace(request, **changed)


def this_machine(
    ledger: Ledger, notices: Notices | None = None, clock: Callable[[], datetime] = wiring.clock
) -> ThisMachine:
    """The venue of this machine, on that ledger."""
    return ThisMachine(ledger, notices or Heard(), clock, Actor("Ann", "ann@example.org"))


@dataclass(frozen=True)
class Here:
    """A step that waits on this machine."""

    venue: ThisMachine
    run: Run


def here(*ticks: Callable[[], None], **changed: Any) -> Here:
    """What a step waits with; the pauses run `ticks` one after another, the last for ever."""
    left = list(ticks)

    def pause(_: float) -> None:
        if left:
            (left.pop(0) if len(left) > 1 else left[0])()

    venue = wiring.venue(from_environment(os.environ))
    assert isinstance(venue, ThisMachine)
    run = replace(wiring.run(from_environment(os.environ)), pause=pause)
    if "alive" in changed:
        run = replace(run, alive=changed.pop("alive"))
    return Here(replace(venue, **{"asker": None, "notices": Heard(), **changed}), run)


def pass_gate(at: Here, request: ApprovalRequest, condition: Condition | None = None) -> Decision:
    return wait.pass_gate(at.venue, at.run, request.draft, condition)


def opened(request: ApprovalRequest) -> ApprovalRequest:
    settings = from_environment(os.environ)
    return open_gate(wiring.ledger(settings), Heard(), request).request


def decision_of(request: ApprovalRequest) -> Decision | None:
    standing = wiring.ledger(from_environment(os.environ)).read(request.gate.id)
    return standing.decision if standing else None


@contextmanager
def running(folder: Path, script: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """The script `train.py` at work, away from any terminal; killed at the end of the block."""
    (folder / "train.py").write_text(script, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "train.py", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def asked(process: subprocess.Popen[str]) -> OpenGate:
    """The gate that this process waits at."""
    ledger = wiring.ledger(from_environment(os.environ))
    while not (gates := ledger.listing().gates):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)  # each look starts several gits beside the process that is to ask
    return gates[0]


def the_decision() -> Decision:
    """The only one that the ledger holds."""
    ledger = wiring.ledger(from_environment(os.environ))
    (found,) = ledger.history(2)
    standing = ledger.read(found.id)
    assert standing
    assert standing.decision
    return standing.decision


def a_vote(request: ApprovalRequest, verdict: str = "approve", **changed: Any) -> Vote:
    ann = Actor("Ann", "ann@example.org")
    vote = Vote(
        ann, Verdict(verdict), request.opened_at, digest_of(request), Channel.TERMINAL, "no"
    )
    return replace(vote, **changed)


def hitl(
    *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, away from any terminal."""
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli.main", *args],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )


def hitl_json(*args: str) -> Any:
    return json.loads(hitl(*args).stdout)
