"""The branches that a join asks about: a row for each, those that stand out first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bridge.core.artifacts import ordered
from bridge.core.branches import branches_of
from bridge.core.comparison import number_of
from bridge.core.model import ApprovalRequest, Artifact
from bridge.render.comparison import in_table

#: Beside the branch's name: three columns fit on a phone of 360 pixels.
_MOST_COLUMNS: Final = 2
#: Times the usual distance from the median.
_FAR: Final = 3.5

_OF_BRANCH: Final = re.compile(r".+?\[([^]]+)\]\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class BranchRow:
    name: str
    cells: tuple[str, ...]
    stands_out: bool


@dataclass(frozen=True, slots=True)
class BranchTable:
    """What differs between the branches: the metrics first."""

    columns: tuple[str, ...]
    rows: tuple[BranchRow, ...]


def table(request: ApprovalRequest) -> BranchTable | None:
    """None if the gate does not ask which branches to keep."""
    names = branches_of(request)
    if not names:
        return None
    by_column: dict[str, dict[str, Artifact]] = {}
    for each in ordered(request.artifacts):
        found = _OF_BRANCH.fullmatch(each.name)
        if found and found[1] in names and each.is_read:
            by_column.setdefault(found[2], {})[found[1]] = each
    columns = tuple(by_column)[:_MOST_COLUMNS]
    cells = [by_column[each] for each in columns]
    far = [_distances(names, each) for each in cells]
    most = {name: max((each[name] for each in far), default=0.0) for name in names}
    rows = (
        BranchRow(name, tuple(in_table(each.get(name)) for each in cells), most[name] >= _FAR)
        for name in sorted(names, key=lambda each: -most[each])
    )
    return BranchTable(columns, tuple(rows))


def _distances(names: Sequence[str], values: Mapping[str, Artifact]) -> dict[str, float]:
    """How far each branch's number is from the median, in units of the usual distance."""
    known = {name: number_of(values.get(name)) for name in names}
    numbers = {name: float(number) for name, number in known.items() if number is not None}
    if not numbers:
        return dict.fromkeys(names, 0.0)
    middle = median(numbers.values())
    distances = {name: abs(number - middle) for name, number in numbers.items()}
    usual = median(distances.values())
    farthest = max(distances.values())
    unit = usual or farthest / _FAR or 1.0
    return {name: distances.get(name, 0.0) / unit for name in names}
