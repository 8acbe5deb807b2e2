"""What a comparison costs, and what an auditor's lists cost: ratios within one run.

    python bench/evidence.py [FOLDER] [--many 100000] [--rounds 9]

FOLDER (default: build/bench) is that of `ledger.py`, whose two ledgers serve here as well. A gate
is opened on them, over HTTP, with and without an approved gate to compare it with. The lists are
made of ledgers of 5,000 and of 20,000 decisions. Every measured call is a process of its own with
an empty clone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from ledger import FEW, WAITING, Bench, Cost, Verb, put_back, refs_of, server  # noqa: E402
from measures import Row, tell  # noqa: E402

from bridge.cli.main import main as hitl  # noqa: E402
from bridge.core.coverage import Found, TaskRun  # noqa: E402
from bridge.core.model import ApprovalRequest, Kind  # noqa: E402
from bridge.gates.audit import audit  # noqa: E402
from bridge.gates.coverage import coverage  # noqa: E402
from bridge.gates.open_gate import open_gate  # noqa: E402
from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from bridge.local.notify import Silent  # noqa: E402
from tests.ledgers import a_decision, a_request, alone, first_waiting, git, key_of, ledger_of  # noqa: E402

LISTED = (5_000, 20_000)
#: Of four times as many decisions. A quarter more time than linear is the machine's. Of memory, a
#: list holds a line of each decision; the memory of git itself, which clones them, is shown alone.
LINEAR, FLAT = 5.0, 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "bench")
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for size in (FEW, asked.many, *LISTED):
        made = asked.folder / f"{size}.git"
        if not made.exists():
            ledger_of(asked.folder / "new.git", size, WAITING).rename(made)
    with server(asked.folder) as serve, tempfile.TemporaryDirectory() as work:
        bench = Evidence(asked.folder, serve, Path(work), asked.rounds)
        missed = tell("without", "with a comparison", bench.openings((FEW, asked.many)))
        return missed | tell(*(f"{size:,}" for size in LISTED), bench.lists())


class Evidence(Bench):
    # -- opening with a comparison -----------------------------------------------------------

    def openings(self, sizes: tuple[int, int]) -> Iterator[Row]:
        for size in sizes:
            with self.approved(size):
                plain, beside = self.in_turn(size, self.open_plain, self.open_beside)
            of = f"opening, {size:,} decisions"
            yield Row(f"{of}: client CPU s", plain.cpu, beside.cpu, 1.3)
            yield Row(f"{of}: wall s", plain.wall, beside.wall, 1.3)
            yield Row(f"{of}: bytes", plain.wire, beside.wire)

    @contextlib.contextmanager
    def approved(self, size: int) -> Iterator[None]:
        """An approved gate in this ledger for a while, to be compared with."""
        repository = self.folder / f"{size}.git"
        before = refs_of(repository)

        def approve() -> None:
            request = self.asked(size, "approved")
            ledger = GitLedger(str(repository), self.work / "approved")
            ledger.open(request, request.message)
            ledger.record(a_decision(request))
            ledger.settle(request.gate.id)

        try:
            assert alone(approve) == 0
            yield
        finally:
            put_back(repository, before)

    def asked(self, size: int, run: str) -> ApprovalRequest:
        """Later than all that is decided there."""
        at = first_waiting(size).opened_at + timedelta(hours=1)
        return a_request(f"Compared/{run}/gate/1", kind=Kind("Compared", "gate"), opened_at=at)

    def open_beside(self, ledger: GitLedger, size: int) -> None:
        request = self.asked(size, "next")
        assert open_gate(ledger, Silent(), request).request.baseline

    def open_plain(self, ledger: GitLedger, size: int) -> None:
        request = replace(self.asked(size, "next"), kind=None)
        assert not open_gate(ledger, Silent(), request).request.baseline

    def once(self, size: int, verb: Verb) -> Cost:
        cost = super().once(size, verb)
        # What it opened is none of the branches that are put back.
        opened = self.asked(size, "next").gate.branch
        git(self.folder / f"{size}.git", "update-ref", "-d", f"refs/heads/{opened}")
        return cost

    # -- lists -------------------------------------------------------------------------------

    def lists(self) -> Iterator[Row]:
        verbs = {
            "`hitl log --export jsonl`": self.export,
            "`hitl log --export csv`": self.export_csv,
            "coverage": self.cover,
            "`hitl ledger verify`": self.check,
        }
        for name, verb in verbs.items():
            few, many = (self.listed(size, verb) for size in LISTED)
            yield Row(f"{name}: client CPU s", few[0].cpu, many[0].cpu, LINEAR)
            yield Row("the same: MB of memory, without git's", few[1], many[1], FLAT)
            yield Row("the same: MB of memory, with git's", few[0].memory, many[0].memory)

    def listed(self, size: int, verb: Verb) -> tuple[Cost, int]:
        """What it costs, and the most megabytes of its own process."""
        own = self.work / "own"

        def weighed(ledger: GitLedger, size: int) -> None:
            verb(ledger, size)
            own.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))

        return self.once(size, weighed), int(own.read_text())

    def export(self, ledger: GitLedger, size: int) -> None:
        self.exported(ledger, size, "jsonl")

    def export_csv(self, ledger: GitLedger, size: int) -> None:
        self.exported(ledger, size, "csv")

    def exported(self, ledger: GitLedger, size: int, form: str) -> None:
        os.environ["HITL_CACHE"] = str(self.work / f"{form}-{size}")
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            assert hitl(["--ledger", ledger.where, "log", "-n", str(size), "--export", form]) == 0

    def cover(self, ledger: GitLedger, size: int) -> None:
        tasks = (TaskRun(key_of(number), gated=True, ran=True) for number in range(size))
        assert sum(each.found is Found.COVERED for each in coverage(ledger, "Flow", tasks)) == size

    def check(self, ledger: GitLedger, size: int) -> None:
        found = audit(ledger)
        assert (found.decisions, found.faults) == (size, ())


if __name__ == "__main__":
    sys.exit(main())
