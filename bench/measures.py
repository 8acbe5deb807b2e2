"""What the benches share: a table of ratios within one run, each held to its bound."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measure. `most` bounds `found / base`, or with `absolute` what was found itself."""

    name: str
    base: float
    found: float
    most: float | None = None
    absolute: bool = False

    @property
    def ratio(self) -> float:
        return self.found / self.base

    @property
    def held(self) -> bool:
        return self.most is None or (self.found if self.absolute else self.ratio) <= self.most

    @property
    def bound(self) -> str:
        if self.most is None:
            return ""
        return f"≤ {_shown(self.most)}" if self.absolute else f"≤ {self.most} ×"


def tell(base: str, found: str, rows: Iterable[Row]) -> int:
    """Print each row as soon as it is there; 1 where a bound was missed, as an exit code."""
    print(f"| measure | must reach | {base} | {found} | ratio | |\n|---|---|---:|---:|---:|---|")
    missed = []
    for row in rows:
        cells = (row.name, row.bound, _shown(row.base), _shown(row.found), f"{row.ratio:.3g}")
        print(f"| {' | '.join(cells)} | {'' if row.held else 'MISSED'} |", flush=True)
        if not row.held:
            missed.append(row.name)
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def timed(action: Callable[[], object]) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
