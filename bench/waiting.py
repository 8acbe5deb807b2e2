"""What a gate costs while it waits, and how soon it sees its decision.

    python bench/waiting.py [--seconds 60] [--rounds 9]

The gate waits in a process of its own, without a terminal; another process decides it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from measures import Row, tell  # noqa: E402

from bridge import wiring  # noqa: E402
from bridge.core.model import ApprovalRequest  # noqa: E402
from bridge.core.settings import Settings  # noqa: E402
from bridge.gates.ports import Ledger  # noqa: E402
from bridge.gates.this_machine import ThisMachine  # noqa: E402
from bridge.gates.wait import Run, pass_gate  # noqa: E402
from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from tests.githttp import serving  # noqa: E402 - the helpers of the tests
from tests.ledgers import a_decision, a_request, in_child, key_of, ledger_of  # noqa: E402

SEEN_WITHIN, SLOWEST_POLL = 2.0, 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return tell("base", "found", rows(Path(work), asked.seconds, asked.rounds))


def rows(work: Path, seconds: int, rounds: int) -> Iterator[Row]:
    path = ledger_of(work / "ledger.git", 100)
    here = wiring.existing_venue(Settings(str(path), work / "cache"))
    assert isinstance(here, ThisMachine)
    here = replace(here, clock=earlier)
    waited = decided_after(here, request(0), seconds)
    wall = waited["wall"]
    yield Row("wall s of waiting, CPU s between its looks", wall, waited["between"], 0.001)
    yield Row("wall s of waiting, CPU s in all, every look's git included", wall, waited["all"])
    after = [decided_after(here, request(n + 1), n / rounds)["after"] for n in range(rounds)]
    middle, worst = statistics.median(after), max(after)
    name = f"s from the decision to the step's first line, on a path: median, longest of {rounds}"
    yield Row(name, middle, worst, SEEN_WITHIN, absolute=True)
    with serving(work) as server:
        ledger = GitLedger(server.of(path.name), work / "cache")
        looks = looked_at(replace(here, ledger=ledger), request(rounds + 1))
    gaps = [after - before for before, after in zip([0, *looks], looks, strict=False)]
    assert gaps[-1] == max(gaps), "it polls ever more seldom"
    name = f"s between two looks at a URL ({', '.join(map(str, gaps))}): first, last"
    yield Row(name, gaps[0], gaps[-1], SLOWEST_POLL, absolute=True)


def earlier() -> datetime:
    """Gates are opened a while ago: the vote of `a_decision` comes a minute after that."""
    return wiring.clock() - timedelta(minutes=5)


def request(number: int) -> ApprovalRequest:
    return a_request(key_of(1_000 + number), opened_at=earlier())


def waiting(pause: Callable[[float], None]) -> Run:
    return Run(alive=lambda: True, pause=pause)  # the process that waits is a fork of this


def decided_after(here: ThisMachine, asked: ApprovalRequest, seconds: float) -> dict[str, float]:
    """What a gate used that another process decides so many seconds after it has begun to wait."""
    says, hears = os.pipe()
    pid = os.fork()
    if pid == 0:
        in_child(lambda: waits(here, asked, hears))
    os.close(hears)  # so that a child that ends says nothing more
    with os.fdopen(says) as told:
        assert told.readline() == "waiting\n"
        time.sleep(seconds)
        decision = a_decision(asked, decided_at=wiring.clock())
        assert here.ledger.record(decision).decision
        recorded = time.monotonic()  # one clock for all processes
        used: dict[str, float] = json.loads(told.readline())
    assert os.waitpid(pid, 0)[1] == 0
    return {**used, "after": used.pop("passed") - recorded}


def waits(here: ThisMachine, asked: ApprovalRequest, out: int) -> None:
    start: list[tuple[float, float]] = []
    between = 0.0

    def pause(seconds: float) -> None:
        nonlocal between
        if not start:
            start.append((time.monotonic(), cpu()))
            os.write(out, b"waiting\n")
        before = cpu()
        time.sleep(seconds)
        between += cpu() - before

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    pass_gate(here, waiting(pause), asked.draft)
    passed, used = time.monotonic(), cpu()
    since, before = start[0]
    found = {"wall": passed - since, "all": used - before, "between": between, "passed": passed}
    os.write(out, json.dumps(found).encode() + b"\n")


def cpu() -> float:
    """Seconds of CPU that this process and the children it has waited for have used."""
    own, theirs = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime


def looked_at(here: ThisMachine, asked: ApprovalRequest) -> list[int]:
    """The seconds at which a waiting step looks, on a clock that only its pauses move."""
    now, looks = 0, []

    def pause(seconds: float) -> None:
        nonlocal now
        now += int(seconds)
        if now > 4 * SLOWEST_POLL:
            here.ledger.record(a_decision(asked, decided_at=wiring.clock()))

    ledger = _Watched(here.ledger, lambda: looks.append(now))
    pass_gate(replace(here, ledger=ledger), waiting(pause), asked.draft)
    return looks


class _Watched:
    """The ledger, and a word whenever a waiting step looks whether its gate moved."""

    def __init__(self, ledger: Ledger, looked: Callable[[], None]) -> None:
        self._ledger, self._looked = ledger, looked

    def heads(self, gate_id: str) -> Mapping[str, str]:
        self._looked()
        return self._ledger.heads(gate_id)

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


if __name__ == "__main__":
    sys.exit(main())
