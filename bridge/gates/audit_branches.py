"""Audit the branches of a ledger: against what somebody noted of them, and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bridge.core.entry import Entry, Stretch
from bridge.core.shards import FIRST
from bridge.core.witness import Checked, Witness
from bridge.gates.ports import WholeRecord


@dataclass
class Start:
    """Where an audit begins, and what it already knows to be wrong."""

    stretches: list[Stretch] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        return any(each.after for each in self.stretches)


def starts(
    record: WholeRecord, earlier: Sequence[Witness | str], asked: Checked, where: str
) -> Start:
    """Hold the ledger against earlier heads of it, and go on from those that it still has.

    A witness that was made by fewer checks is a witness of the heads alone: all is read again. So
    is one branch that lacks its head.
    """
    start, after = Start(), dict[str, Stretch]()
    for each in earlier:
        if isinstance(each, str):
            found = _with(record, each)
            if found is None:
                start.faults.append(f"no branch has commit {each}: {_CUT}")
            else:
                after[found.branch] = found
            continue
        # The same ledger has several addresses, so this is a hint and no fault.
        other = "" if each.ledger == where else f" (the witness names the ledger {each.ledger})"
        for head in each.heads:
            branch, commit = head.branch, head.commit
            since = record.stretch(branch, commit)
            if branch not in record.heads:
                start.faults.append(
                    f"the branch {branch} is gone: its head was commit {commit}{other}"
                )
            elif since is None:
                start.faults.append(
                    f"{branch} lacks commit {commit}, which was its head: {_CUT}{other}"
                )
            elif each.checked.covers(asked):
                after[branch] = since
    for branch in record.heads:
        whole = after.get(branch) or record.stretch(branch)
        start.stretches += [whole] if whole else []
    return start


_CUT = "someone cut off the branch, or rewrote it"


def _with(record: WholeRecord, commit: str) -> Stretch | None:
    found = (record.stretch(branch, commit) for branch in reversed([*record.heads]))
    return next((each for each in found if each), None)


def link_faults(record: WholeRecord, first: Entry) -> Iterator[str]:
    """Each branch but the first names heads of those that it follows, in its first commit."""
    place = f"commit {first.commit[:12]}, which begins {first.shard}"
    if first.shard != FIRST and not first.follows:
        yield f"{place}: it doesn't name the branches that it follows"
    for branch, _, head in (each.partition(" ") for each in first.follows):
        if record.stretch(branch, head) is None:
            yield f"{place}: {branch} lacks commit {head}: someone cut off or deleted it"
