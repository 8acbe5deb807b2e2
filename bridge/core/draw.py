"""Draw the pictures that a flow asks for. What cannot be drawn says why, in one sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from bridge.core.artifacts import type_name
from bridge.core.chart import charts, in_words, series_of
from bridge.core.errors import Faults
from bridge.core.picture import Drawn, Picture
from bridge.core.sanitize import is_secret, shortened_name

#: Of the values that a request draws.
MOST: Final = 8


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was drawn, and of what was not, why."""

    drawn: tuple[Drawn, ...] = ()
    left_out: tuple[str, ...] = ()


def pictures(values: Iterable[tuple[str, Callable[[], Any]]]) -> Pictures:
    """The named values as pictures, in this order. A value is read when it is drawn."""
    drawn: list[Drawn] = []
    left_out: list[str] = []
    for place, (name, value) in enumerate(values):
        called = shortened_name(name, 80)
        try:
            drawn += _drawn(place, called, value)
        except Faults as faults:
            left_out.append(f"{called} is not drawn: {'; '.join(faults.faults)}")
    return Pictures(tuple(drawn), tuple(left_out))


def _drawn(place: int, name: str, read: Callable[[], Any]) -> Iterator[Drawn]:
    """Raises `Faults` if it cannot be drawn."""
    if place >= MOST:
        raise Faults(name, [f"a page has {MOST} pictures at most"])
    value = read()
    if is_secret(name, value):
        raise Faults(name, ["it looks like a secret"])
    series = series_of(value)
    if series is None:
        kind = type_name(value)
        raise Faults(name, [f"it is {kind}; draw a list or an array of 2 to 100,000 numbers"])
    alt = f"{name}: {in_words(series)}"
    for number, png in enumerate(charts(series)):
        file = f"figure-{2 * place + number + 1}.png"
        made = Picture(file, hashlib.sha256(png).hexdigest(), alt, name, dark=bool(number))
        yield Drawn(made, png)
