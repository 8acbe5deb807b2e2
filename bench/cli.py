"""What the command line costs over the libraries it stands on: ratios within one run.

    python bench/cli.py [--rounds 25]

Every measured call is a process of its own, the two of a row in turn, so that a busy moment meets
both. Medians of wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from measures import Row, tell, timed  # noqa: E402

from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from bridge.wiring import clock  # noqa: E402
from tests.ledgers import ledger_of, opened  # noqa: E402 - the helpers of the tests

DECIDED, WAITING = 20, 3
HITL = "import sys; from bridge.cli.main import main; sys.exit(main(sys.argv[1:]))"
CLICK = "import click"
GIT = "import git, subprocess, sys; subprocess.run(['git', 'ls-remote', sys.argv[1]])"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as work:
        path, cache = ledger_of(Path(work) / "ledger.git", DECIDED), Path(work) / "cache"
        for number in range(WAITING):
            opened(GitLedger(str(path), cache), f"Flow/{number}/wait/1", opened_at=clock())
        where = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": str(Path(work) / "compiled"),  # as an installed package is
            "HITL_LEDGER": str(path),
            "HITL_CACHE": str(cache),
        }
        return tell("bare, s", "hitl, s", rows(path, where, rounds))


def rows(ledger: Path, environment: dict[str, str], rounds: int) -> Iterator[Row]:
    def process(code: str, *args: str) -> float:
        command = [sys.executable, "-c", code, *args]
        how = {"env": environment, "capture_output": True, "check": True}
        return timed(lambda: subprocess.run(command, **how))

    def row(name: str, bare: tuple[str, ...], hitl: str, most: float) -> Row:
        pairs = [(process(*bare), process(HITL, hitl)) for _ in range(rounds + 1)]
        # The first round compiled the modules and made the clone.
        base, found = map(statistics.median, zip(*pairs[1:], strict=True))
        return Row(name, base, found, most)

    yield row("`hitl --help` over `import click`", (CLICK,), "--help", 1.3)
    name = f"`hitl list`, {WAITING} open, over `import git` and one `git ls-remote`"
    yield row(name, (GIT, str(ledger)), "list", 1.5)


if __name__ == "__main__":
    sys.exit(main())
