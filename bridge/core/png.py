"""PNG files, read and written anew: nothing of the file that somebody gave us gets through.

Eight bits a channel and no interlacing, which is what plotting libraries write.
https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS: Final = 1_500_000
#: Of its width and of its height: one pixel wide, it could push all else off a page.
LONGEST_SIDE: Final = 4_000
_HEADER: Final = struct.Struct(">IIBBBBB")
#: Bytes of a pixel, by the number of its kind: grey, colour, palette, and two with opacity.
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class NotReadable(ValueError):
    """It is no such file, or a larger one than we read."""


@dataclass(frozen=True, slots=True)
class Image:
    """Rows of red, green and blue."""

    width: int
    rows: tuple[bytes, ...]

    @property
    def height(self) -> int:
        return len(self.rows)


def write(header: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A file of this header and these parts."""
    whole = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in whole)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_image(image: Image) -> bytes:
    header = _HEADER.pack(image.width, image.height, 8, 2, 0, 0, 0)
    data = b"".join(b"\0" + row for row in image.rows)
    return write(header, [(b"IDAT", zlib.compress(data, 9))])


def read_image(file: bytes) -> Image:
    """The picture on a white page. Raises `NotReadable`."""
    try:
        return _read(file)
    except (struct.error, zlib.error, IndexError) as error:
        raise NotReadable("it is damaged") from error


def _read(file: bytes) -> Image:
    chunks = list(_chunks(file))
    if not chunks or chunks[0][0] != b"IHDR":
        raise NotReadable("it has no header")
    width, height, depth, kind, _, _, interlaced = _HEADER.unpack(chunks[0][1])
    if depth != 8 or interlaced or kind not in _CHANNELS:
        raise NotReadable("it has not eight bits a channel, or it is interlaced")
    check_size(width, height)
    size = 1 + width * _CHANNELS[kind]
    found = b"".join(data for name, data in chunks if name == b"IDAT")
    # A few kilobytes can ask for gigabytes.
    data = zlib.decompressobj().decompress(found, size * height)
    if len(data) != size * height:
        raise NotReadable("it ends too early")
    lines = _unfiltered(data, size, _CHANNELS[kind])
    palette = _palette(dict(reversed(chunks)))
    return Image(width, tuple(_rgb(line, kind, palette) for line in lines))


def check_size(width: int, height: int) -> None:
    """Raises `NotReadable`."""
    if not 0 < width * height <= MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise NotReadable(f"it has {width:,} × {height:,} pixels: draw it smaller")


def _palette(chunks: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Red, green and blue of each number. The first ones may be clear: the rest is opaque."""
    whole = chunks.get(b"PLTE", b"")[:768].ljust(768, b"\0")
    opacity = chunks.get(b"tRNS", b"")[:256].ljust(256, b"\xff")
    return tuple(_on_white(whole[channel::3], opacity) for channel in range(3))


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not file.startswith(SIGNATURE):
        raise NotReadable("it is no PNG file")
    at = len(SIGNATURE)
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        yield file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(data: bytes, size: int, pixel: int) -> Iterator[bytes]:
    """The lines as they were before each was written as the difference from its neighbours."""
    above = bytes(size - 1)
    for at in range(0, len(data), size):
        above = _line(data[at], bytearray(data[at + 1 : at + size]), above, pixel)
        yield above


def _line(way: int, line: bytearray, above: Sequence[int], pixel: int) -> bytes:
    if way == 1:
        for i in range(pixel, len(line)):
            line[i] = line[i] + line[i - pixel] & 255
    elif way == 2:
        line = bytearray(a + b & 255 for a, b in zip(line, above, strict=True))
    elif way == 3:
        for i in range(len(line)):
            left = line[i - pixel] if i >= pixel else 0
            line[i] = line[i] + (left + above[i]) // 2 & 255
    elif way == 4:
        for i in range(len(line)):
            left, corner = (line[i - pixel], above[i - pixel]) if i >= pixel else (0, 0)
            line[i] = line[i] + _nearest(left, above[i], corner) & 255
    elif way:
        raise NotReadable("it is damaged")
    return bytes(line)


def _nearest(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    by = abs(guess - left), abs(guess - above), abs(guess - corner)
    if by[0] <= by[1] and by[0] <= by[2]:
        return left
    return above if by[1] <= by[2] else corner


def _rgb(line: bytes, kind: int, palette: Sequence[bytes]) -> bytes:
    if kind == 3:
        channels = [line.translate(each) for each in palette]
    else:
        step = _CHANNELS[kind]
        colours = [line[channel::step] for channel in range(step)]
        opacity = colours.pop() if kind in (4, 6) else b""
        channels = [_on_white(each, opacity) for each in colours]
        channels = channels * 3 if len(channels) == 1 else channels
    whole = bytearray(3 * len(channels[0]))
    for channel in range(3):
        whole[channel::3] = channels[channel]
    return bytes(whole)


def _on_white(colour: bytes, opacity: bytes) -> bytes:
    if opacity.count(255) == len(opacity):  # also if it has none
        return colour
    pairs = zip(colour, opacity, strict=True)
    return bytes((each * much + 255 * (255 - much)) // 255 for each, much in pairs)
