"""A picture of a request: what the record says of it, and the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

FILE: Final = re.compile(r"figure-[1-9][0-9]?\.png")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the gate's folder, under a fixed name."""

    file: str
    sha256: str
    alt: str = ""  # what it shows, for those who cannot see it
    of: str = ""  # the artifact that it shows
    dark: bool = False  # the same once more, for a dark page

    def __post_init__(self) -> None:
        if not FILE.fullmatch(self.file):
            raise ValueError(f"{self.file!r} is not called figure-1.png, figure-2.png, …")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture with its file."""

    picture: Picture
    png: bytes = field(repr=False)
    exact: bool = True  # whether every machine draws it byte by byte the same


@dataclass(frozen=True, slots=True)
class NotDrawn:
    """An artifact that was to be drawn, and why it was not, in a sentence."""

    of: str
    why: str
    anywhere: bool = False  # whether no machine draws it, so that no page can have shown it


def as_recorded(
    drawn: Iterable[Drawn], not_drawn: Iterable[NotDrawn], shown: Iterable[Picture]
) -> tuple[Picture, ...]:
    """The pictures as they are drawn now, to be compared with those that were shown.

    One that cannot be drawn here is the shown one: a package may be missing in one place and not
    in the other. So is a figure, which another version of its library draws in another way. Both
    are bound to their artifacts, whose bytes are compared. What the flow does not draw is left out.
    """
    now = {(each.picture.of, each.picture.dark): each for each in drawn}
    unknown = {each.of for each in not_drawn if not each.anywhere}
    found: dict[tuple[str, bool], Picture] = {}
    for each in shown:
        key = (each.of, each.dark)
        made = now.get(key)
        if made and made.exact:
            found.setdefault(key, made.picture)
        elif made or each.of in unknown:
            found.setdefault(key, each)
    return tuple(found.values())
