"""A chart of a series of numbers: its words, its line of text, and its picture in two colourings.

The same numbers give the same bytes on every machine: the gated step draws the chart again and
compares. So the file is not compressed, because two versions of zlib compress differently.
https://www.w3.org/TR/png-3/ and https://www.rfc-editor.org/rfc/rfc1951#section-3.2.4
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, Final

from bridge.core import png

#: Of a series; a longer one is not drawn.
MOST_POINTS: Final = 100_000
_WIDTH: Final = 640
_HEIGHT: Final = 160
_MARGIN: Final = 8
_TICKS: Final = "▁▂▃▄▅▆▇█"
_LONGEST_LINE: Final = 24

Rgb = tuple[int, int, int]
#: The page, the grid and the line, as GitHub colours them.
_LIGHT: Final[tuple[Rgb, Rgb, Rgb]] = ((255, 255, 255), (209, 217, 224), (9, 105, 218))
_DARK: Final[tuple[Rgb, Rgb, Rgb]] = ((13, 17, 23), (61, 68, 77), (68, 147, 248))
_PAGE, _GRID, _LINE = range(3)


def series_of(value: Any) -> tuple[float, ...] | None:
    """The numbers in a row, if it is such: a list, a tuple, an array or a column. Else None."""
    if isinstance(getattr(value, "shape", None), tuple):
        if len(value.shape) != 1 or value.shape[0] > MOST_POINTS or not hasattr(value, "tolist"):
            return None
        value = value.tolist()
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= MOST_POINTS:
        return None
    # Also those of numpy, such as a list of `float32`.
    if not all(isinstance(each, Real) and not isinstance(each, bool) for each in value):
        return None
    try:
        series = tuple(map(float, value))
    except OverflowError:
        return None
    finite = [each for each in series if math.isfinite(each)]
    # The difference of two larger ones overflows.
    return series if len(finite) > 1 and max(map(abs, finite)) <= 1e300 else None


def in_words(series: Sequence[float]) -> str:
    """`40 values, from 0.91 to 0.12, lowest 0.11, highest 0.93 █▇▅▃▂▁`"""
    finite = [each for each in series if math.isfinite(each)]
    said = [
        f"{len(series):,} values",
        f"from {finite[0]:.4g} to {finite[-1]:.4g}",
        f"lowest {min(finite):.4g}",
        f"highest {max(finite):.4g}",
    ]
    if left := len(series) - len(finite):
        said.append(f"{left:,} not finite")
    return f"{', '.join(said)} {sparkline(finite)}"


def sparkline(finite: Sequence[float]) -> str:
    """The numbers as one line of text, each of its characters the mean of some of them."""
    count = min(len(finite), _LONGEST_LINE)
    edges = [index * len(finite) // count for index in range(count + 1)]
    # Divided first, because a sum of many large ones overflows. `sum` rounds otherwise before
    # Python 3.12: https://docs.python.org/3/whatsnew/3.12.html#other-language-changes
    pairs = itertools.pairwise(edges)
    means = [math.fsum(each / (b - a) for each in finite[a:b]) for a, b in pairs]
    low, high = min(means), max(means)
    return "".join(_TICKS[round(_share(each, low, high) * (len(_TICKS) - 1))] for each in means)


def _share(value: float, low: float, high: float) -> float:
    """How far it is from the lowest to the highest; in the middle if they are one.

    Between two neighbours that differ in their last digit, rounding leads past both of them.
    """
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


# -- the picture ---------------------------------------------------------------------------------


def charts(series: Sequence[float]) -> tuple[bytes, bytes]:
    """The numbers as a line, from the lowest at the bottom to the highest: a PNG file for a light
    page, and one for a dark one."""
    rows = _pixels(series)
    return _png(rows, _LIGHT), _png(rows, _DARK)


def _pixels(series: Sequence[float]) -> list[bytearray]:
    rows = [bytearray(_WIDTH) for _ in range(_HEIGHT)]
    for quarter in range(5):
        line = _MARGIN + quarter * (_HEIGHT - 1 - 2 * _MARGIN) // 4
        rows[line][_MARGIN : _WIDTH - _MARGIN] = bytes([_GRID]) * (_WIDTH - 2 * _MARGIN)
    finite = [each for each in series if math.isfinite(each)]
    low, high = min(finite), max(finite)
    for column, values in _columns(series):
        heights = [_share(each, low, high) for each in values]
        top, bottom = (
            round((1 - share) * (_HEIGHT - 1 - 2 * _MARGIN)) + _MARGIN
            for share in (max(heights), min(heights))
        )
        for row in range(top - 1, bottom + 1):  # two pixels wide at least
            rows[row][column] = _LINE
    return rows


def _columns(series: Sequence[float]) -> Iterator[tuple[int, list[float]]]:
    """What the line passes in each column of pixels. A number that is not finite is a gap."""
    wide = _WIDTH - 2 * _MARGIN
    step = (len(series) - 1) / wide
    for column in range(wide):
        start, end = column * step, (column + 1) * step
        within = series[math.floor(start) + 1 : math.ceil(end)]
        values = [_between(series, start), *within, _between(series, min(end, len(series) - 1))]
        if known := [each for each in values if math.isfinite(each)]:
            yield column + _MARGIN, known


def _between(series: Sequence[float], at: float) -> float:
    before = min(math.floor(at), len(series) - 1)
    after = min(before + 1, len(series) - 1)
    share = at - before
    return series[before] if not share else series[before] * (1 - share) + series[after] * share


def _png(rows: Sequence[bytes | bytearray], colours: Sequence[Rgb]) -> bytes:
    """Four pixels in a byte, each a number of the palette."""
    packed = b"".join(b"\0" + _packed(row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 2, 3, 0, 0, 0)
    palette = b"".join(map(bytes, colours))
    return png.write(header, [(b"PLTE", palette), (b"IDAT", _stored(packed))])


def _packed(row: bytes | bytearray) -> bytes:
    return bytes(
        a << 6 | b << 4 | c << 2 | d
        for a, b, c, d in zip(row[::4], row[1::4], row[2::4], row[3::4], strict=True)
    )


def _stored(data: bytes) -> bytes:
    """As zlib has it, in blocks that are not compressed."""
    most = 65_535
    blocks = [data[at : at + most] for at in range(0, len(data), most)]
    made = b"".join(
        struct.pack("<BHH", index == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    )
    return b"\x78\x01" + made + struct.pack(">I", zlib.adler32(data))
