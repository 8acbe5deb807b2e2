"""One branch of the ledger, and twenty of the same size: ratios within one run.

    python bench/shards.py [FOLDER] [--each 50000] [--branches 20] [--rounds 5]

A million decisions over fifty thousand take two to four minutes to make, and 3 GB. The servers'
CPU is that of every git that the test server ran for the call.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from ledger import MOST_BYTES, WAITING, Bench, server  # noqa: E402
from measures import Row, tell  # noqa: E402

from bridge.core.shards import FIRST  # noqa: E402
from bridge.gates.verify import verify  # noqa: E402
from bridge.ledger.git_ledger import GitLedger  # noqa: E402
from tests.ledgers import (  # noqa: E402
    a_decision,
    a_request,
    first_waiting,
    key_of,
    ledger_of,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "bench" / "shards")
    parser.add_argument("--each", type=int, default=50_000)
    parser.add_argument("--branches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    names = [FIRST, *(f"{FIRST}-{2027 + year}" for year in range(asked.branches - 1))]
    sizes = (asked.each, asked.each * asked.branches)
    for size, shards in zip(sizes, (names[:1], names), strict=True):
        made = asked.folder / f"{size}.git"
        if not made.exists():
            start = time.perf_counter()
            ledger_of(asked.folder / "new.git", asked.each, WAITING, shards).rename(made)
            print(f"{size / (time.perf_counter() - start):,.0f} decisions a second were made")
    with server(asked.folder) as serve, tempfile.TemporaryDirectory() as work:
        bench = Sharded(asked.folder, serve, Path(work), asked.rounds)
        bench.names = {sizes[0]: names[:1], sizes[1]: names}
        return tell(f"{sizes[0]:,}", f"{sizes[1]:,}", bench.both(sizes))


class Sharded(Bench):
    names: dict[int, list[str]]

    def both(self, sizes: tuple[int, int]) -> Iterator[Row]:
        few, many = self.alternately(sizes, self.decide)
        yield Row("one decision: the server's CPU s", few.server, many.server, 2)
        yield Row("one decision: bytes", few.wire, many.wire, MOST_BYTES, absolute=True)
        yield Row("one decision: wall s", few.wall, many.wall)
        for where, verb in (
            ("on the newest branch", self.verify_newest),
            ("on the branch before", self.verify_before),
            ("on an old branch", self.verify),
        ):
            few, many = self.alternately(sizes, verb)
            # A step whose gate is older than the newest two branches takes two walks.
            walks = 2 if verb == self.verify else 1
            name, most = f"verification {where}: wall s", 1.3 if walks == 1 else None
            yield Row(name, few.wall, many.wall, most)
            yield Row("the same: bytes", few.wire, many.wire, MOST_BYTES * walks, absolute=True)
        few, many = self.alternately(sizes, self.by_key)
        name = "a decided gate by its natural key: bytes"
        yield Row(name, few.wire, many.wire, MOST_BYTES, absolute=True)

    def decide(self, ledger: GitLedger, size: int) -> None:
        names = self.names[size]
        request = first_waiting(size // len(names), names)
        assert ledger.record(a_decision(request)).decision

    def verify_newest(self, ledger: GitLedger, size: int) -> None:
        assert verify(ledger, a_request(key_of(size - 1)).draft)

    def verify_before(self, ledger: GitLedger, size: int) -> None:
        """The last decision of the second newest branch; of the only one, where there is one."""
        names = self.names[size]
        before = size // len(names) if len(names) > 1 else 0
        assert verify(ledger, a_request(key_of(size - 1 - before)).draft)


if __name__ == "__main__":
    sys.exit(main())
