"""What many open gates cost, and many decisions at once: over smart HTTP, ratios within one run.

python bench/open_gates.py [FOLDER] [--many 10000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from ledger import Server, server  # noqa: E402
from measures import Row, tell, timed  # noqa: E402

from bridge.core.evaluation import Verdict  # noqa: E402
from bridge.core.model import ApprovalRequest  # noqa: E402
from bridge.gates.recording import record_each  # noqa: E402
from bridge.gates.settle import reconcile  # noqa: E402
from bridge.gates.venue import Ballot, Voted  # noqa: E402
from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from tests.gates import this_machine  # noqa: E402 - the helpers of the tests
from tests.ledgers import NOON, a_decision, a_request, git, key_of, ledger_of, opened  # noqa: E402

FEW, TOGETHER = 10, 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "bench")
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with server(asked.folder) as serve, tempfile.TemporaryDirectory() as work:
        for size in (FEW, asked.many):
            made = asked.folder / f"open-{size}.git"
            if made.exists():
                shutil.rmtree(made)  # the rounds decide some of its gates
            ledger_of(made, 0, size)
            git(made, "repack", "-adq")
            git(made, "pack-refs", "--all")
        bench = Bench(serve, Path(work), asked.rounds)
        return tell(f"{FEW}, or fresh, or one", "found", bench.rows(asked.many))


class Bench:
    def __init__(self, serve: Server, work: Path, rounds: int) -> None:
        self.serve, self.work, self.rounds = serve, work, rounds
        self.fresh = iter(range(1_000_000))
        self.gates = iter(range(1_000_000, 2_000_000))
        self.waiting = iter(range(9_999_999))

    def rows(self, many: int) -> Iterator[Row]:
        few = self.reconcile(FEW)
        found = self.reconcile(many)
        name = f"reconcile, {many:,} open and none due, empty clone"
        yield Row(f"{name}: s", few[0], found[0], 30, absolute=True)
        yield Row(f"{name}: exchanges", few[1], found[1], 20, absolute=True)
        warm = self.ledger(many, "warm")
        warm.listing()
        few_listed = timed(self.ledger(FEW, "few").listing)
        yield Row(f"list of {many:,}: s", few_listed, timed(warm.listing), 2, absolute=True)
        for name, verb in (("opening", self.open), ("deciding", self.decide)):
            fresh, after = self.in_turn(many, verb)
            yield Row(f"{name}, empty clone, then after a listing: bytes", fresh[1], after[1], 1.01)
            yield Row(f"{name}, the same: client CPU s", fresh[0], after[0], 1.1)
        one, together = self.approve(many, 1), self.approve(many, TOGETHER)
        yield Row(f"{TOGETHER} approved by one command, over one: s", one[0], together[0], 10)
        yield Row(f"{TOGETHER} approved by one command: pushes", one[1], together[1], 1)

    def ledger(self, size: int, name: str) -> GitLedger:
        return GitLedger(self.serve.url(f"open-{size}.git"), self.work / name)

    def reconcile(self, size: int) -> tuple[float, int]:
        venue = this_machine(self.ledger(size, f"reconcile {size}"), clock=lambda: NOON)
        self.serve.forget()
        took = timed(lambda: list(reconcile(venue, lambda _: venue)))
        return took, self.serve.requests()

    def in_turn(self, size: int, verb: Callable[[GitLedger], None]) -> list[tuple[float, ...]]:
        """Median seconds of CPU and bytes, of an empty clone and of one that has listed all."""
        costs: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
        for _ in range(self.rounds):
            for warm, found in costs.items():
                ledger = self.ledger(size, "warm" if warm else f"fresh {next(self.fresh)}")
                found.append(self.cost(ledger, verb))
        return [tuple(map(statistics.median, zip(*found, strict=True))) for found in costs.values()]

    def cost(self, ledger: GitLedger, verb: Callable[[GitLedger], None]) -> tuple[float, int]:
        self.serve.forget()
        before = os.times()
        verb(ledger)
        after = os.times()
        return sum(after[:4]) - sum(before[:4]), self.serve.wire()

    def open(self, ledger: GitLedger) -> None:
        opened(ledger, key_of(next(self.gates)))

    def decide(self, ledger: GitLedger) -> None:
        assert ledger.record(a_decision(self.next_waiting())).decision

    def next_waiting(self) -> ApprovalRequest:
        return a_request(key_of(next(self.waiting)))

    def approve(self, size: int, count: int) -> tuple[float, int]:
        """Seconds of one command with its start, and its pushes."""
        first, *_ = numbers = [next(self.waiting) for _ in range(count)]
        about = [self.serve.url(f"open-{size}.git"), str(self.work / f"approve {first}")]
        command = [sys.executable, __file__, "--approve", *about, *map(str, numbers)]
        self.serve.forget()
        return timed(lambda: subprocess.run(command, check=True)), self.serve.pushes()


def approve(url: str, cache: str, *numbers: str) -> None:
    """As `hitl approve ID ID …` does it, at the time of these gates."""
    ids = [a_request(key_of(int(each))).gate.id for each in numbers]
    venue = this_machine(GitLedger(url, Path(cache)), clock=lambda: NOON)
    known = venue.ledger.read_all(ids)
    votes = [venue.vote(known[each], Ballot(Verdict.APPROVE)) for each in ids]
    done = record_each(venue.ledger, votes)
    assert all(isinstance(each, Voted) and each.standing.decision for each in done)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--approve"]:
        approve(*sys.argv[2:])
    else:
        sys.exit(main())
