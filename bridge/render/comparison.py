"""The comparison with the last approved gate, in words: one sentence, and a table's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.core.artifacts import ordered
from bridge.core.comparison import Change, Comparison, Row, compared
from bridge.core.model import ApprovalRequest, Artifact, Baseline
from bridge.core.sanitize import shortened, shortened_name

#: Metrics that the one sentence names: it has to fit into a notification.
_MOST_METRICS: Final = 2
#: Of a value in the table, which has four columns and has to fit on a phone.
_VALUE: Final = 80


def in_brief(request: ApprovalRequest) -> str:
    """`accuracy 0.941 (+0.012 since run 6, approved by bob); 2 of 14 artifacts changed`.

    Empty if there is nothing to say. Not harmless yet: names and values are as they came.
    """
    found = compared(request)
    if found is None:
        metrics = [each for each in ordered(request.artifacts) if each.metric][:_MOST_METRICS]
        said = [f"{_name(each)} {in_table(each)}" for each in metrics]
        if request.kind and request.against:
            run = shortened(request.against, 60)
            said.append(f"run {run} has no approved gate to compare with")
        elif request.kind and said:
            said.append("no earlier approval to compare with")
        return ", ".join(said)
    rows = [each for each in found.rows if each.now and each.now.metric][:_MOST_METRICS]
    since = f"since {run_of(found.baseline)}, approved by {shortened(found.baseline.by, 60)}"
    said = []
    for row in rows:
        difference = difference_in_words(row)
        if row.now and difference and row.change is not Change.SAME:
            aside = " ".join(filter(None, (difference, since)))
            said.append(f"{_name(row.now)} {in_table(row.now)} ({aside})")
            since = ""
        elif row.now:
            said.append(f"{_name(row.now)} {in_table(row.now)}")
    return "; ".join(filter(None, (", ".join(said), _counted(found, since))))


def _counted(found: Comparison, since: str) -> str:
    changed = found.count(Change.CHANGED, Change.NEW)
    gone = found.count(Change.GONE)
    now = len(found.rows) - gone
    said = f"{changed} of {now} {'artifact' if now == 1 else 'artifacts'} changed"
    if gone:
        said += f", {gone} gone"
    return f"{said} {since}".rstrip()


def run_of(baseline: Baseline) -> str:
    """`run 6` if the natural key names one: `Flow/6/deploy/12`."""
    parts = baseline.key.split("/")
    return f"run {parts[1]}" if len(parts) in (3, 4) else baseline.key


def difference_in_words(row: Row) -> str:
    """`+0.012`, `better: -3`; empty if there are no two numbers."""
    difference = row.difference
    if difference is None:
        return ""
    if not difference:
        return "±0"
    says = {True: "better: ", False: "worse: ", None: ""}[row.improved]
    return f"{says}{float(difference):+.4g}"


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of the table of values, cut to what a phone shows."""

    name: str
    value: str
    before: str
    change: str


def table(request: ApprovalRequest) -> Iterator[TableRow]:
    """The values that a person can read, and whatever changed: metrics first."""
    found = compared(request)
    if found is None:
        for each in ordered(request.artifacts):
            if each.is_read:
                yield TableRow(shortened_name(each.name, 80), in_table(each), "", "")
        return
    for row in found.rows:
        if (row.now and row.now.is_read) or row.change is not Change.SAME:
            yield TableRow(
                shortened_name(row.name, 80), in_table(row.now), in_table(row.before), _change(row)
            )


def same_besides(request: ApprovalRequest) -> int:
    """Artifacts that the table leaves out, because they are the same bytes as at the baseline."""
    found = compared(request)
    rows = found.rows if found else ()
    return sum(r.change is Change.SAME and r.now is not None and not r.now.is_read for r in rows)


def _change(row: Row) -> str:
    if row.change is Change.CHANGED:
        return difference_in_words(row) or "changed"
    return {
        Change.SAME: "same",
        Change.NEW: "new",
        Change.GONE: "gone",
        Change.UNKNOWN: "not compared",
    }[row.change]


def in_table(artifact: Artifact | None) -> str:
    """Its value as the table has it. A model has none, and shows its type."""
    if artifact is None:
        return ""
    return shortened(artifact.value or artifact.link or artifact.type, _VALUE)


def _name(artifact: Artifact | None) -> str:
    return shortened_name(artifact.name, 40) if artifact else ""
