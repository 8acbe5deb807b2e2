"""An answer over HTTP, whole and within bounds.

The timeout of an HTTP client is that of one read of the socket. A server that sends a byte now and
then, in the header or in the body, keeps a client for ever, and one that sends much fills the
memory. https://requests.readthedocs.io/en/latest/user/advanced/#timeouts
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Until a whole answer is given up. GitHub answers after ten seconds, or not at all.
SECONDS: Final = 60.0
#: Of one answer: a hundred comments of 65,536 characters, each revised, take a tenth.
MOST_BYTES: Final = 64 * 1024 * 1024

_PART: Final = 64 * 1024


class Endless(OSError):
    """The answer is too large, or takes too long."""


def within(seconds: float, action: Callable[[], T]) -> T:
    """What the action returns or raises; `Endless` if it takes longer.

    It is left to itself then, in a thread that keeps no process from ending.
    """
    done: list[Callable[[], T]] = []

    def run() -> None:
        try:
            found = action()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.append(_raising(error))
        else:
            done.append(lambda: found)

    thread = threading.Thread(target=run, name="bridge-http", daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise Endless("its answer takes too long")
    return done[0]()


def _raising(error: BaseException) -> Callable[[], Any]:
    def again() -> Any:
        raise error

    return again


def body_of(reply: Any, most: int | None = None) -> bytes:
    """The body of an answer of `requests` that was asked for with `stream=True`.

    Raises `Endless`, or what `urllib3` raises.
    """
    most, until = most or MOST_BYTES, time.monotonic() + SECONDS
    body = bytearray()
    # Not `iter_content`, which waits until a part is full, however slowly the bytes come.
    while part := reply.raw.read1(_PART, decode_content=True):
        body += part
        if len(body) > most:
            raise Endless("its answer is too large")
        if time.monotonic() > until:
            raise Endless("its answer takes too long")
    return bytes(body)
