"""How many requests GitHub is asked, and how long it takes: to open, to decide, to wait, to sweep.

    python bench/github.py [--many 1000] [--rounds 5]

Against the tests' own GitHub, on this machine: the counts are those that the real one would be
asked, the seconds hold its git as well, and no network. Git's requests are counted apart: GitHub's
limits do not count them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # in the place of this folder, where `github` would be this file

from tests.forge import POLICY, World, world  # noqa: E402

#: Two people vote, and what each may do is read: by permission.
BY_PERMISSION = """\
gates:
  - name: deploy
    require: {permission: write, count: 2}
    bar: {initiator: false}
"""


@dataclass(frozen=True)
class Cost:
    """Requests to the API and to git, and seconds of wall."""

    api: int
    git: int
    wall: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print("| measure | requests | at most | git | seconds |\n|---|---|---|---|---|")
    missed = False
    for name, most, cost in rows(asked.many, asked.rounds):
        print(f"| {name} | {cost.api} | {most} | {cost.git} | {cost.wall:.2f} |", flush=True)
        missed |= cost.api > most
    return int(missed)


def rows(many: int, rounds: int) -> Iterator[tuple[str, int, Cost]]:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), POLICY) as at:
        yield from one_gate(at, rounds)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), BY_PERMISSION) as at:
        yield "decide a gate, two permissions read", 8, typical(at, rounds, _two_votes)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), POLICY) as at:
        yield from on_new_runners(at, rounds)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), POLICY) as at:
        pulls = [at.open(f"Train/{n}/deploy/1") for n in range(many)]
        yield f"sweep {many} unchanged gates", 25, cost_of(at, at.sweep)
        pulls[many // 2].review(at.alice, "APPROVED")
        yield f"sweep {many} gates, one of them approved", 29, cost_of(at, at.sweep)


def one_gate(at: World, rounds: int) -> Iterator[tuple[str, int, Cost]]:
    for name in ("pending", "approved"):
        at.repo.label(f"gate:{name}")
    opened = [cost_of(at, lambda n=n: at.open(f"Open/{n}/deploy/1")) for n in range(rounds)]
    yield "open a gate", 5, middle(opened)
    # All that a step does while it waits; a workflow on Argo does not even that.
    yield "wait: see whether the record has moved", 0, cost_of(at, at.desk().ledger.head)
    # One of them looks for the gate's issues that changed: an objection may be in each of them.
    yield "decide a gate by a review", 6, typical(at, rounds, _one_vote)
    pull = at.open("Look/1/deploy/1")
    yield "look at a gate where nothing changed", 2, cost_of(at, lambda: at.tend(pull))


def on_new_runners(at: World, rounds: int) -> Iterator[tuple[str, int, Cost]]:
    """As in Actions, where each run starts without a clone."""

    def ready(at: World, number: int) -> Callable[[], object]:
        act = _one_vote(at, number)
        at.folder = at.folder / "another"
        return act

    yield "decide a gate on a runner without a clone", 6, typical(at, rounds, ready)
    at.github.faults.run(lambda: time.sleep(0.15), times=None)
    others = typical(at, rounds, lambda at, number: ready(at, number + rounds + 1))
    yield "the same, 150 ms a request", 6, others


def _one_vote(at: World, number: int) -> Callable[[], object]:
    pull = at.open(f"Decide/{number}/deploy/1")
    pull.review(at.alice, "APPROVED", "/approve")
    return lambda: at.tend(pull)


def _two_votes(at: World, number: int) -> Callable[[], object]:
    pull = at.open(f"Decide/{number}/deploy/1")
    for who in (at.alice, at.bob):
        pull.review(who, "APPROVED", "/approve")
    return lambda: at.tend(pull)


def typical(at: World, rounds: int, ready: Callable[[World, int], Callable[[], object]]) -> Cost:
    return middle([cost_of(at, ready(at, number)) for number in range(rounds + 1)][1:])


def middle(costs: list[Cost]) -> Cost:
    return Cost(
        max(each.api for each in costs),
        max(each.git for each in costs),
        statistics.median(each.wall for each in costs),
    )


def cost_of(at: World, act: Callable[[], object]) -> Cost:
    at.github.forget_requests()
    start = time.perf_counter()
    act()
    wall = time.perf_counter() - start
    counts = at.github.counts
    return Cost(counts["rest"] + counts["graphql"], counts["git"], wall)


if __name__ == "__main__":
    sys.exit(main())
