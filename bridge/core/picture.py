"""A picture of a request: what the record says of it, and the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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


def as_recorded(now: Iterable[Drawn], shown: Sequence[Picture]) -> tuple[Picture, ...]:
    """The pictures as they are drawn now, to be compared with those that were shown.

    One that cannot be drawn here is the shown one: a package may be missing in one place and not
    in the other. It is bound to its artifact, whose bytes are compared.
    """
    drawn = {(each.picture.of, each.picture.dark): each.picture for each in now}
    return tuple(drawn.get((each.of, each.dark), each) for each in shown)
