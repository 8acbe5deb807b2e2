"""The nodes of a large workflow, which Argo keeps packed in `status.compressedNodes`.

Who may write a workflow writes them, so the unpacked size, the number of values and the depth have
bounds: one object must not fill the reconciler's memory.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from bridge.core.errors import ClusterUnavailable

Json = dict[str, Any]

#: Bytes when unpacked. etcd holds 1.5 MB packed, and nodes shrink about twentyfold.
_UNPACKED_AT_MOST: Final = 64 * 1024 * 1024
#: Values in them: each takes some 60 bytes of memory, however few it takes in JSON.
_VALUES_AT_MOST: Final = 2_000_000

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"


class UnreadableWorkflow(ClusterUnavailable):
    """The workflow object is not as Argo writes it, so nothing in it is delivered."""


def unpacked(packed: object) -> Json:
    """`status.compressedNodes`: base64 of gzip, zstd or brotli. Raises `UnreadableWorkflow`."""
    if not isinstance(packed, str):
        raise UnreadableWorkflow("the compressed nodes are not text")
    try:
        raw = base64.b64decode(packed, validate=True)
        found = _parsed(_decompressed(raw))
    except (binascii.Error, ValueError, EOFError, OSError, zlib.error) as error:
        raise UnreadableWorkflow(f"the compressed nodes cannot be read: {error}") from None
    except RecursionError:
        raise UnreadableWorkflow("the compressed nodes are nested too deep") from None
    if not isinstance(found, dict):
        raise UnreadableWorkflow("the compressed nodes are not a mapping")
    return found


def _parsed(data: bytes) -> object:
    values = sum(data.count(each) for each in (b",", b"[", b"{"))
    if values > _VALUES_AT_MOST:
        raise ValueError(f"they have more than {_VALUES_AT_MOST} values")
    return json.loads(data, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    # Python reads and writes NaN, and the API server refuses a patch that has it.
    raise ValueError(f"{name} is not a number in JSON")


def _decompressed(raw: bytes) -> bytes:
    if raw.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return _bounded(file.read(_UNPACKED_AT_MOST + 1))
    if raw.startswith(_ZSTD):
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(raw) as reader:
                return _bounded(reader.read(_UNPACKED_AT_MOST + 1))
        except zstandard.ZstdError as error:
            raise ValueError(error) from None
    import brotli  # it has no mark of its own: what is neither of the others

    try:
        reader = brotli.Decompressor()
        data: bytes = reader.process(raw, output_buffer_limit=_UNPACKED_AT_MOST + 1)
    except brotli.error as error:
        raise ValueError(f"neither gzip, zstd nor brotli ({error})") from None
    _bounded(data)
    if not reader.is_finished():
        raise ValueError("they are cut off")
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) > _UNPACKED_AT_MOST:
        raise ValueError(f"they come to more than {_UNPACKED_AT_MOST} bytes")
    return data


def packed_again(nodes: Mapping[str, Any]) -> str:
    """In gzip, which every version of the controller reads."""
    try:
        text = json.dumps(nodes, separators=(",", ":")).encode()
    except RecursionError:
        raise UnreadableWorkflow("the compressed nodes are nested too deep") from None
    return base64.b64encode(gzip.compress(text, mtime=0)).decode()
