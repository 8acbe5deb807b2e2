"""Hold every task that a tool ran against the ledger's decisions: what is *not* on record?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from bridge.core.coverage import Coverage, TaskRun, cover
from bridge.core.log_filter import Wanted
from bridge.gates.ports import Ledger

#: Decisions that are read together, and held together in memory.
_TOGETHER: Final = 1_000
#: As many as git can be asked for.
_ALL: Final = 2**31 - 1


def coverage(ledger: Ledger, flow: str, tasks: Iterable[TaskRun]) -> Iterator[Coverage]:
    """Each task with its decision, in the order of `tasks`.

    The commits of the ledger say which gates have a task's key; what was decided is read from the
    records themselves, and checked as every command checks it.
    """
    ids = _ids_by_key(ledger, flow)
    left = iter(tasks)
    while some := list(islice(left, _TOGETHER)):
        yield from _covered(ledger, ids, some)


def _ids_by_key(ledger: Ledger, flow: str) -> Mapping[str, Sequence[str]]:
    """One key has several gates if several datastores have a run of this name."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in ledger.history(_ALL, Wanted(flow=flow)):
        found[each.key].append(each.id)
    return found


def _covered(
    ledger: Ledger, ids: Mapping[str, Sequence[str]], tasks: Sequence[TaskRun]
) -> Iterator[Coverage]:
    asked = [gate_id for each in tasks for gate_id in ids.get(each.gate_key, ())]
    records = ledger.decided(dict.fromkeys(asked))
    for task in tasks:
        own = ids.get(task.gate_key, ())
        read = [records[each] for each in own if each in records]
        yield cover(task, read, unreadable=len(read) < len(own))
