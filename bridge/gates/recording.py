"""Record together what is decided together.

A verb that decides a gate is a generator: it yields its decision, and goes on with the gate as it
is once that is recorded. So nobody is answered and nothing resumed before its commit is pushed, and
the decisions of many gates are one push.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from bridge.core.model import Decision, Standing
from bridge.gates.ports import Ledger

T = TypeVar("T")

#: Yields a decision and is sent what is recorded, or thrown what `Ledger.record` raises.
Deciding = Generator[Decision, Standing, T]


#: Gates that are judged before the first of them is recorded.
MOST_TOGETHER = 200


def record_each(ledger: Ledger, verbs: Iterable[Deciding[T]]) -> list[T | Exception]:
    """What each verb returns or raises, in their order. None stops another."""
    every = list(verbs)
    starts = range(0, len(every), MOST_TOGETHER)
    return [done for at in starts for done in _together(ledger, every[at : at + MOST_TOGETHER])]


def _together(ledger: Ledger, verbs: Sequence[Deciding[T]]) -> Iterator[T | Exception]:
    done: dict[int, T | Exception] = {}
    sent: dict[int, Standing | Exception | None] = dict.fromkeys(range(len(verbs)))
    while sent:
        offered: dict[int, Decision] = {}
        for number, value in sent.items():
            try:
                offered[number] = _resume(verbs[number], value)
            except StopIteration as end:
                done[number] = end.value
            except Exception as error:  # noqa: BLE001 - the caller says it of this verb alone
                done[number] = error
        found = ledger.record_all(list(offered.values())) if offered else {}
        sent = {number: found[each.gate_id] for number, each in offered.items()}
    return (done[number] for number in range(len(verbs)))


def record_now(ledger: Ledger, verb: Deciding[T]) -> T:
    """What this verb returns; raises what it raises."""
    sent: Standing | Exception | None = None
    try:
        while True:
            offered = _resume(verb, sent)
            try:
                sent = ledger.record(offered)
            except Exception as error:  # noqa: BLE001 - the verb raises it, or knows what to do
                sent = error
    except StopIteration as end:
        done: T = end.value
        return done


def _resume(verb: Deciding[T], value: Standing | Exception | None) -> Decision:
    if value is None:
        return next(verb)
    return verb.throw(value) if isinstance(value, Exception) else verb.send(value)
