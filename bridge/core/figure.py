"""Figures as pictures: what a plotting library drew, an image, or the bytes of such a file.

We decode each and write it anew, so that no byte of the asker's gets on a page. Whatever an object
does when it is drawn, it is then left out, with the reason.
"""

from __future__ import annotations

import importlib
import io
import itertools
from collections.abc import Iterator
from typing import Any, Final

from bridge.core.artifacts import type_name
from bridge.core.chart import in_words, series_of
from bridge.core.png import SIGNATURE, Image, NotReadable, check_size, read_image, write_image
from bridge.core.sanitize import one_line, shortened

_LONGEST_FILE: Final = 10_000_000
_LONGEST_PICTURE: Final = 1_000_000
_JPEG: Final = b"\xff\xd8\xff"
_MOST_LINES: Final = 4


def is_figure(value: Any) -> bool:
    """Whether it can be tried as a picture."""
    if isinstance(value, bytes | bytearray):
        return value.startswith((SIGNATURE, _JPEG))
    return hasattr(value, "savefig") or type_name(value).startswith("PIL.")


def picture(value: Any) -> tuple[bytes, str]:
    """A PNG file of our own and what it shows in words. Raises `NotReadable`."""
    try:
        image = _image(_file(value))
        made = write_image(image)
        words = f"a picture of {image.width:,} × {image.height:,} pixels"
        words = "; ".join([words, *_lines(value)])
    except NotReadable:
        raise
    except Exception as error:
        raise NotReadable(one_line(f"{type(error).__name__}: {error}")[:200]) from error
    if len(made) > _LONGEST_PICTURE:
        raise NotReadable("it is more than a megabyte: draw it smaller")
    return made, words


def _file(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    made = io.BytesIO()
    if hasattr(value, "savefig"):
        value.savefig(made, format="png", dpi=100)
    else:
        check_size(*value.size)
        value.convert("RGBA").save(made, "PNG")  # "RGB" makes black of what is clear
    return made.getvalue()


def _image(file: bytes) -> Image:
    if len(file) > _LONGEST_FILE:
        raise NotReadable("its file is larger than 10 MB")
    try:
        return read_image(file)
    except NotReadable as error:
        return read_image(_by_pillow(file, error))


def _by_pillow(file: bytes, why: NotReadable) -> bytes:
    """The file as one that we read. Pillow is no dependency: it may be missing."""
    try:
        pillow = importlib.import_module("PIL.Image")
    except ImportError:
        is_jpeg = file.startswith(_JPEG)
        said = "to read a JPEG file takes Pillow: pip install pillow" if is_jpeg else str(why)
        raise NotReadable(said) from None
    with pillow.open(io.BytesIO(file), formats=("PNG", "JPEG")) as found:
        check_size(*found.size)
        made = io.BytesIO()
        found.convert("RGBA").save(made, "PNG")
    return made.getvalue()


def _lines(value: Any) -> list[str]:
    """The numbers of a plot's first lines, for those who do not see it."""
    found = []
    for each in itertools.islice(_plotted(value), _MOST_LINES):
        # A line over dates or names has none.
        if series := series_of(list(each.get_ydata())):
            found.append(f"{shortened(str(each.get_label()), 40)}: {in_words(series)}")
    return found


def _plotted(value: Any) -> Iterator[Any]:
    axes = getattr(value, "axes", ())
    for each in getattr(axes, "flat", axes):  # seaborn's grids have them in rows
        if hasattr(each, "get_lines"):
            yield from each.get_lines()
