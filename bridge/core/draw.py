"""Draw the pictures that a flow asks for. What cannot be drawn says why, in one sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.core.artifacts import type_name
from bridge.core.chart import charts, in_words, series_of
from bridge.core.errors import Faults
from bridge.core.figure import is_figure, picture
from bridge.core.picture import Drawn, NotDrawn, Picture
from bridge.core.png import NotReadable
from bridge.core.sanitize import is_secret, one_line, shortened_name

#: Of the values that a request draws.
MOST: Final = 8


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was drawn, and of what was not, why."""

    drawn: tuple[Drawn, ...] = ()
    not_drawn: tuple[NotDrawn, ...] = ()


def pictures(values: Iterable[tuple[str, Callable[[], Any]]]) -> Pictures:
    """The named values as pictures, in this order, each name once: `losses` and `train.losses` may
    both ask for the latter. A value is read when it is drawn."""
    drawn: list[Drawn] = []
    not_drawn: list[NotDrawn] = []
    named = {shortened_name(name, 80): (name, value) for name, value in values}
    for place, (called, (name, value)) in enumerate(named.items()):
        if never := _never(place, name):
            not_drawn.append(_not_drawn(called, never, anywhere=True))
            continue
        try:
            drawn += _drawn(place, called, value)
        except Faults as faults:
            not_drawn.append(_not_drawn(called, "; ".join(faults.faults)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the gate opens
            # A lazy frame, a tensor on another device: their classes answer as they like.
            said = one_line(f"{type(error).__name__}: {error}")[:200]
            not_drawn.append(_not_drawn(called, said))
    return Pictures(tuple(drawn), tuple(not_drawn))


def _never(place: int, name: str) -> str:
    """Why no machine draws it, whatever it is."""
    if place >= MOST:
        return f"a page has {MOST} pictures at most"
    return "it looks like a secret" if is_secret(name) else ""


def _not_drawn(name: str, why: str, *, anywhere: bool = False) -> NotDrawn:
    return NotDrawn(name, f"{name} is not drawn: {why}", anywhere)


def _drawn(place: int, name: str, read: Callable[[], Any]) -> Iterator[Drawn]:
    """Raises `Faults` if it cannot be drawn."""
    value = read()
    if series := series_of(value):
        alt = f"{name}: {in_words(series)}"
        for number, png in enumerate(charts(series)):
            yield _made(2 * place + number + 1, png, alt, name)
    elif is_figure(value):
        try:
            png, words = picture(value)
        except NotReadable as error:
            raise Faults(name, [str(error)]) from error
        yield replace(_made(2 * place + 1, png, f"{name}: {words}", name), exact=False)
    else:
        kind = type_name(value)
        raise Faults(
            name,
            [f"it is {kind}; draw a list or an array of 2 to 100,000 numbers, or a figure"],
        )


def _made(number: int, png: bytes, alt: str, name: str) -> Drawn:
    digest = hashlib.sha256(png).hexdigest()
    dark = number % 2 == 0  # a chart has two, one after the other
    return Drawn(Picture(f"figure-{number}.png", digest, alt, name, dark), png)
