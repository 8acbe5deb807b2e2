"""What strangers and oversized records cost the decider, with the network apart.

    python bench/limits.py [--rounds 7]

Medians of CPU time. A run of the decider starts Python, parses GitHub's answers, reads the gate
from a ledger on a path, git included, judges, and writes its answers to nobody. The strangers'
comments are all different: commands with input, objections, mentions and talk.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # in the place of this folder, where `github` would be a file of it

from bench.measures import Row, tell  # noqa: E402
from bridge.core.errors import LedgerCorrupt  # noqa: E402
from bridge.core.records import request_in, request_out  # noqa: E402
from bridge.gates.process_page import tend  # noqa: E402
from tests.forge import world  # noqa: E402
from tests.ledgers import a_request  # noqa: E402

BODIES = (
    "/approve\n```yaml\ntarget: prod-{n}\nreplicas: 3\n```\n",
    "/reject number {n} is too low",
    "/hold: {n}",
    "I would `/approve` number {n}",
    "> as https://example.org/{n} says\n\nWhat do you think of it? " + "Really. " * 20,
    "Thanks, {n}!",
)


#: A run of the decider: what GitHub answered comes from a file, and what is written goes nowhere.
RUN = """
import json, pickle, sys, time
from pathlib import Path
from bridge.gates.open_page import Desk
from bridge.gates.process_page import tend
from bridge.github.client import GitHub
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent

folder = Path(sys.argv[1])
settings, now, repository, number, answers = pickle.loads((folder / "recorded").read_bytes())

class Line:
    def __init__(self, settings, pause): self.left = iter(answers)
    def answer(self, *given, **how): return json.loads(next(self.left))
    get = post = graphql = answer

import bridge.github.client
bridge.github.client.Line = Line
forge = GitHub(settings, lambda seconds: None)
start = time.thread_time()
tend(Desk(forge, GitLedger(repository, folder / "own"), Silent(), lambda: now), number)
print(time.thread_time() - start)
"""


class Recorded:
    """A line that keeps each answer of GitHub as the text that came over it."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self.answers: list[str] = []

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._line, name)

        def answer(*given: Any, **how: Any) -> Any:
            found = asked(*given, **how)
            self.answers.append(json.dumps(found))
            return found

        return answer if callable(asked) else asked


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    return tell("base", "found", rows(asked.rounds))


def rows(rounds: int) -> Iterator[Row]:
    few, many = runs_with(10, rounds), runs_with(1_000, rounds)
    what = "at a page with comments by strangers, 10 and 1,000"
    yield Row(f"CPU s of a run {what}", few[0], many[0], 2)
    yield Row(f"of the look alone, without git, {what}", few[1], many[1])
    large = request_out(a_request()) + "x: |\n" + "  a line of text\n" * 330_000
    values = request_out(a_request()) + f"x: [{'1,' * 500_000}1]\n"
    plain = typical(lambda: request_in(request_out(a_request())), rounds)
    for name, text in (("of 5 MB", large), ("with 500,000 values", values)):
        took = typical(lambda text=text: refused(text), rounds)  # type: ignore[misc]
        yield Row(f"CPU s to refuse a request {name}, over reading one", plain, took, 1, True)


def runs_with(strangers: int, rounds: int) -> tuple[float, float]:
    """Of the first look, which finds every comment unanswered: a whole run, and the look alone."""
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as at:
        folder = Path(name)
        pull = at.open()
        for n in range(strangers):
            pull.comment(at.github.user(f"stranger-{n}"), BODIES[n % len(BODIES)].format(n=n))
        desk = at.desk()
        line = desk.forge._line = Recorded(desk.forge._line)  # type: ignore[attr-defined]
        tend(desk, pull.number)
        about = (desk.forge._settings, at.now(), str(at.repo.bare.path), pull.number, line.answers)  # type: ignore[attr-defined]
        (folder / "recorded").write_bytes(pickle.dumps(about))
        return run(folder, rounds)


def run(folder: Path, rounds: int) -> tuple[float, float]:
    found = []
    for _ in range(rounds + 1):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", RUN, str(folder)]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
        found.append((whole, float(said.stdout)))
    wholes, looks = zip(*found[1:], strict=True)  # the first made the clone
    return statistics.median(wholes), statistics.median(looks)


def refused(text: str) -> None:
    try:
        request_in(text)
    except LedgerCorrupt:
        return
    raise AssertionError("it was read")


def typical(action: Callable[[], object], rounds: int) -> float:
    action()
    return statistics.median(cpu(action) for _ in range(rounds))


def cpu(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return time.thread_time() - start


if __name__ == "__main__":
    sys.exit(main())
