"""A hundred processes with clones of their own that decide at once: rate, and longest wait.

    python bench/deciders.py [--many 100] [--seconds 60] [--old COMMIT]

Over smart HTTP, on one machine: the server and the deciders share its cores. Each process looks
at an open gate, decides it, records the decision, and goes on to the next. With `--old`, the same
is measured first with the code of that commit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(os.environ.get("DECIDERS_TREE") or Path(__file__).parent.parent)
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from measures import Row, tell  # noqa: E402

from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from tests.ledgers import a_decision, a_request, git, key_of, ledger_of, together  # noqa: E402

#: Open gates for each process, which is more than it can decide.
EACH = 20
#: What the issue that asked for this had measured: decisions a second.
BEFORE = 0.22
TIMES, LONGEST = 4, 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--old", help="a commit to compare with")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return tell("before", "now", rows(Path(work), asked.many, asked.seconds, asked.old))


def rows(work: Path, many: int, seconds: int, old: str | None) -> Iterator[Row]:
    rate, longest, none, beyond, cpu = BEFORE, 0.0, 0.0, 0.0, 0.0
    if old:
        tree = work / "tree"
        tree.mkdir()
        packed = subprocess.run(
            ["git", "-C", ROOT, "archive", old], capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout, check=True)
        rate, longest, none, beyond, cpu = side(tree, work / "old", many, seconds)
    found = side(ROOT, work / "new", many, seconds)
    yield Row(f"{many} processes: decisions a second", rate, found[0])
    yield Row("the same, one decision takes: s", 1 / rate, 1 / found[0], 1 / TIMES)
    yield Row(
        "the longest that one decision took: s", longest or 1, found[1], LONGEST, absolute=True
    )
    yield Row("processes that recorded nothing", none or 1, found[2], 0, absolute=True)
    yield Row("decisions that took longer than that", beyond or 1, found[3], 0, absolute=True)
    # This one depends less than the others on what else is at work.
    yield Row("CPU of one decision, git's and the server's included: s", cpu or 1, found[4])


def side(tree: Path, work: Path, many: int, seconds: int) -> tuple[float, ...]:
    """Decisions a second, the longest that one took, how many processes recorded nothing, how many
    decisions took too long, and the CPU that one took."""
    work.mkdir()
    command = [sys.executable, __file__, "--side", str(work), str(many), str(seconds)]
    subprocess.run(command, check=True, env={**os.environ, "DECIDERS_TREE": str(tree)})
    told = [json.loads(each.read_text()) for each in work.glob("*.json")]
    assert len(told) == many
    within = sum(at <= seconds for each in told for at, _ in each)
    took = [taken for each in told for _, taken in each]
    print(f"# {within} decisions, medians {sorted(took)[len(took) // 2]:.3g} s", file=sys.stderr)
    none = sum(not any(at <= seconds for at, _ in each) for each in told)
    cpu = float((work / "cpu").read_text()) / len(took)
    return max(within, 1) / seconds, max(took), none, sum(each > LONGEST for each in took), cpu


def decide_at_once(work: Path, many: int, seconds: int) -> None:
    path = ledger_of(work / "ledger.git", 0, waiting=many * EACH)
    git(path, "repack", "-adq")
    git(path, "pack-refs", "--all")
    # It puts its own tree first in the path: the bridge of DECIDERS_TREE must be imported before.
    from ledger import server

    with server(work) as serve:
        url = serve.url(path.name)

        def decide(number: int) -> None:
            start, took = time.monotonic(), []
            ledger = GitLedger(url, work / f"cache-{number}")
            for each in range(EACH):
                began = time.monotonic()
                if began - start > seconds:
                    break
                request = a_request(key_of(number * EACH + each))
                try:
                    assert ledger.read(request.gate.id)
                    assert ledger.record(a_decision(request)).decision
                except Exception as error:  # noqa: BLE001 - it took its time, and recorded nothing
                    print(f"# {number}: {error}", file=sys.stderr)
                    took.append((seconds + 1.0, time.monotonic() - began))
                else:
                    took.append((time.monotonic() - start, time.monotonic() - began))
            (work / f"{number}.json").write_text(json.dumps(took))

        before, served = resource.getrusage(resource.RUSAGE_CHILDREN), serve.cpu()
        assert together(many, decide) == [0] * many
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        (work / "cpu").write_text(str(own + serve.cpu() - served))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        decide_at_once(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        sys.exit(main())
