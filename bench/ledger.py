"""The ledger's costs, at 100 and at 100,000 recorded decisions: ratios within one run.

    python bench/ledger.py [FOLDER] [--many 100000] [--rounds 9]

FOLDER (default: build/bench) keeps the two ledgers between runs; the long one takes some minutes
to make. Every
measured call is a process of its own with an empty clone, unless its row says otherwise; the server
is another process, so its time is not the client's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from measures import Row, tell, timed  # noqa: E402

from bridge.core.decision_keys import parse_keys  # noqa: E402
from bridge.core.evaluation import Actor  # noqa: E402
from bridge.core.model import Place, PlaceKind  # noqa: E402
from bridge.core.rules import Actors, Approvals, Bars, Policy  # noqa: E402
from bridge.gates.audit import audit  # noqa: E402
from bridge.gates.verify import verify  # noqa: E402
from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from tests.githttp import serving  # noqa: E402 - the helpers of the tests
from tests.ledgers import (  # noqa: E402
    a_decision,
    a_request,
    alone,
    first_waiting,
    git,
    in_child,
    key_of,
    ledger_of,
    together,
)

FEW, WAITING = 100, 3
MOST_BYTES = 65_536
#: Of an audit: seconds of CPU for 100,000 decisions, and megabytes however many there are.
MOST_CPU, MOST_MEMORY = 90.0, 1_024


@dataclass(frozen=True)
class Cost:
    """Seconds of wall, of the client's CPU (its git children included) and of the server's; bytes
    on the wire."""

    wall: float
    cpu: float
    wire: int
    server: float
    memory: int = 0  # the most megabytes of any of its processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "bench")
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    sizes = (FEW, asked.many)
    for size in sizes:
        made = asked.folder / f"{size}.git"
        if not made.exists():
            ledger_of(asked.folder / "new.git", size, WAITING).rename(made)
    with server(asked.folder) as serve, tempfile.TemporaryDirectory() as work:
        bench = Bench(asked.folder, serve, Path(work), asked.rounds)
        return tell(f"{FEW}, or base", f"{asked.many:,}, or found", bench.rows(sizes))


class Bench:
    def __init__(self, folder: Path, serve: Server, work: Path, rounds: int) -> None:
        self.folder, self.serve, self.work, self.rounds = folder, serve, work, rounds

    def rows(self, sizes: tuple[int, int]) -> Iterator[Row]:
        few, many = self.alternately(sizes, self.decide)
        name = "decision, empty clone, HTTP: bytes"
        yield Row(name, few.wire, many.wire, MOST_BYTES, absolute=True)
        yield Row("decision: client CPU s", few.cpu, many.cpu, 1.3)
        yield Row("decision: wall s", few.wall, many.wall)
        few, many = self.alternately(sizes, self.verify)
        name = "verification, empty clone, HTTP: bytes"
        yield Row(name, few.wire, many.wire, MOST_BYTES, absolute=True)
        yield Row("verification: wall s", few.wall, many.wall, 2)
        with self.signed(sizes[1]) as verify_signed:
            plain, signed = self.in_turn(sizes[1], self.verify, verify_signed)
        name = "verification of a signed decision, empty clone, HTTP: bytes"
        yield Row(name, plain.wire, signed.wire, MOST_BYTES, absolute=True)
        yield Row("verification, unsigned, then signed: wall s", plain.wall, signed.wall, 1.3)
        listed, asked = self.listing(sizes[1])
        name = f"one `git ls-remote`, then a listing in process with {WAITING} open: s"
        yield Row(name, asked, listed, 1.3)
        yield Row("50 decisions one by one, then at once: s", *self.fifty(), 2)
        few, many = self.once(sizes[0], self.history), self.once(sizes[1], self.history)
        yield Row("last 20 decisions, empty clone: bytes", few.wire, many.wire)
        few, many = self.once(sizes[0], self.by_key), self.once(sizes[1], self.by_key)
        name = "a decided gate by its natural key: bytes"
        yield Row(name, few.wire, many.wire, MOST_BYTES, absolute=True)
        yield Row("a decided gate by its natural key: wall s", few.wall, many.wall)
        yield from self.audits(sizes)

    # -- what is measured --------------------------------------------------------------------

    def verify(self, ledger: GitLedger, size: int) -> None:
        assert verify(ledger, a_request(key_of(size // 2)).draft)

    @contextmanager
    def signed(self, size: int) -> Iterator[Verb]:
        """A signed decision in this ledger for a while, and how it is verified with its key."""
        repository, gate = self.folder / f"{size}.git", "Flow/signed/gate/1"
        host = self.serve.base.partition("://")[2]
        venue = Place(PlaceKind.GITHUB, host, str(size), 1296269)
        policy = Policy(Approvals(Actors(anyone=True)), bars=Bars(False, False))
        request = a_request(gate, venue=venue, policy=policy)
        ann, line = Actor("Ann", login="ann", id=7, proven=True), self.work / "decider.pub"

        def sign() -> None:
            # In a process of its own: this one is forked for each reader, who has yet to import
            # what verifies a signature.
            from bridge.local.signing import signing_key
            from tests.ssh_keys import private_text

            key = signing_key(private_text())
            line.write_text(key.public.line)
            decider = GitLedger(
                str(repository),
                self.work / "decider",
                signature=key.sign,
            )
            decider.open(request, request.message)
            decider.record(a_decision(request, ann))

        def verb(ledger: GitLedger, _size: int) -> None:
            own = GitLedger(ledger.where, self.work / "reader", keys=keys)
            assert verify(own, request.draft, venue)
            shutil.rmtree(self.work / "reader")

        before = refs_of(repository)
        try:
            assert alone(sign) == 0
            keys = parse_keys(line.read_text(), "the bench's keys")
            yield verb
        finally:
            git(repository, "update-ref", "-d", f"refs/heads/{request.gate.branch}")
            put_back(repository, before)

    def decide(self, ledger: GitLedger, size: int) -> None:
        assert ledger.record(a_decision(first_waiting(size))).decision

    def history(self, ledger: GitLedger, _size: int) -> None:
        assert len(ledger.history(20)) == 20

    def by_key(self, ledger: GitLedger, _size: int) -> None:
        assert ledger.resolve(key_of(1)) == a_request(key_of(1)).gate.id

    def audits(self, sizes: tuple[int, int]) -> Iterator[Row]:
        few, many = self.once(sizes[0], self.audit), self.once(sizes[1], self.audit)
        yield Row("audit of the whole ledger: wall s", few.wall, many.wall)
        most = MOST_CPU * sizes[1] / 100_000
        yield Row("the same: client CPU s", few.cpu, many.cpu, most, absolute=True)
        name = "the same: MB of memory"
        yield Row(name, few.memory, many.memory, MOST_MEMORY, absolute=True)
        again = float((self.work / "again").read_text())
        yield Row("the same, then one that goes on: wall s", many.wall - again, again, 0.1)

    def audit(self, ledger: GitLedger, size: int) -> None:
        found = audit(ledger, keep=True)
        took = timed(lambda: audit(ledger, keep=True, earlier=[found.witness]))
        (self.work / "again").write_text(str(took))
        assert (found.decisions, found.faults) == (size, ())

    def listing(self, size: int) -> tuple[float, float]:
        """Seconds of a listing with a warm clone, and of the bare exchange."""
        url = self.serve.url(f"{size}.git")
        ledger = GitLedger(url, self.work / "listing")
        assert len(ledger.listing().gates) == WAITING
        listed, asked = [], []
        for _ in range(self.rounds * 3):
            listed.append(timed(ledger.listing))
            asked.append(timed(lambda: git(self.folder, "ls-remote", url)))
        return statistics.median(listed), statistics.median(asked)

    def fifty(self) -> tuple[float, float]:
        """Seconds of fifty decisions by fifty processes, one after another and at once."""
        path = ledger_of(self.work / "fifty.git", 0, waiting=100)

        def decide(number: int) -> None:
            GitLedger(str(path), self.work / "one").record(a_decision(a_request(key_of(number))))

        def one_by_one() -> None:
            assert [alone(lambda number=number: decide(number)) for number in range(50)] == [0] * 50  # type: ignore[misc]

        def at_once() -> None:
            assert together(50, lambda number: decide(number + 50)) == [0] * 50

        decide(0)  # the clone is there for both
        slow, quick = timed(one_by_one), timed(at_once)
        assert git(path, "rev-list", "--count", "--first-parent", "approvals") == "101"
        return slow, quick

    # -- how ---------------------------------------------------------------------------------

    def alternately(self, sizes: tuple[int, int], verb: Verb) -> tuple[Cost, Cost]:
        """Medians over the rounds, the two sizes in turn, so that a busy moment meets both."""
        return self._medians([(size, verb) for size in sizes])

    def in_turn(self, size: int, *verbs: Verb) -> tuple[Cost, Cost]:
        """The same of two verbs on one ledger."""
        return self._medians([(size, verb) for verb in verbs])

    def _medians(self, calls: list[tuple[int, Verb]]) -> tuple[Cost, Cost]:
        costs = [[self.once(size, verb) for size, verb in calls] for _ in range(self.rounds)]
        base, found = (middle([*each]) for each in zip(*costs, strict=True))
        return base, found

    def once(self, size: int, verb: Verb) -> Cost:
        """One process with an empty clone; what it did to the ledger is undone."""
        repository = self.folder / f"{size}.git"
        before = refs_of(repository)
        place = Path(tempfile.mkdtemp(dir=self.work))
        url = self.serve.url(repository.name)
        self.serve.forget()
        server = self.serve.cpu()
        start = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            in_child(lambda: verb(GitLedger(url, place), size))
        _, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        assert status == 0
        put_back(repository, before)
        shutil.rmtree(place)
        cpu, served = used.ru_utime + used.ru_stime, self.serve.cpu() - server
        return Cost(wall, cpu, self.serve.wire(), served, used.ru_maxrss // 1024)


Verb = Callable[[GitLedger, int], None]


@dataclass(frozen=True)
class Server:
    """A git server in a process of its own, asked over a pipe what crossed its wire."""

    process: subprocess.Popen[str]
    base: str

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"

    def forget(self) -> None:
        self._ask("forget")

    def wire(self) -> int:
        return int(self._ask("wire"))

    def cpu(self) -> float:
        """Seconds of CPU of all git that it ever ran."""
        return float(self._ask("cpu"))

    def requests(self) -> int:
        return int(self._ask("requests"))

    def pushes(self) -> int:
        return int(self._ask("pushes"))

    def _ask(self, what: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield Server(process, process.stdout.readline().strip())


def serve(folder: Path) -> None:
    with serving(folder) as state:
        print(state.url, flush=True)
        for line in sys.stdin:
            pushes = [each for each in state.requests if each.endswith("/git-receive-pack")]
            counts = {
                "requests": len(state.requests),
                "pushes": len(pushes),
                "cpu": _cpu_of_children(),
            }
            print(counts.get(line.strip(), state.wire), flush=True)
            if line.strip() == "forget":
                state.forget()


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refs_of(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()


def put_back(repository: Path, refs: list[str]) -> None:
    git(repository, "update-ref", "--stdin", stdin="".join(f"update {line}\n" for line in refs))


def middle(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(each.wall for each in costs),
        statistics.median(each.cpu for each in costs),
        max(each.wire for each in costs),
        statistics.median(each.server for each in costs),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        sys.exit(main())
