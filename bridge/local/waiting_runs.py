"""Which runs of this machine wait at a gate, so that a gate whose run is gone is seen.

A run that waits holds a lock on a file of the cache. The kernel lets go of it with the process,
also after `kill -9`; after a power cut nobody holds it. The file stays: somebody did wait.
https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_FOLDER: Final = "waiting"


@contextmanager
def waits(cache: Path, gate_id: str, decided: Callable[[], bool]) -> Iterator[None]:
    """Say that this process waits at the gate. If it is decided then, nothing is left of that.

    A machine that takes no such file, such as a pod without a home, says nothing.
    """
    mark = cache / _FOLDER / gate_id
    lock = None
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)  # another process may wait at the same gate
        os.ftruncate(lock, 0)
        os.pwrite(lock, _here().encode(), 0)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                if decided():
                    mark.unlink()
            os.close(lock)


def orphaned(cache: Path, gate_ids: Iterable[str]) -> frozenset[str]:
    """Those at which a run of this machine waited that is gone now. Of others nothing is known."""
    return frozenset(each for each in gate_ids if _is_left(cache, each))


def forget(cache: Path, gate_id: str) -> None:
    """Remove what a killed run left, once its gate is decided. One that still waits does it
    itself."""
    with suppress(OSError):
        if _is_left(cache, gate_id):
            (cache / _FOLDER / gate_id).unlink()


def _is_left(cache: Path, gate_id: str) -> bool:
    try:
        lock = os.open(cache / _FOLDER / gate_id, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # nobody waited here
        return False
    try:
        # A home can be shared by machines whose locks do not reach one another.
        if os.pread(lock, 1_000, 0).decode(errors="replace") != _here():
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or nobody can say
        return False
    else:
        return True
    finally:
        os.close(lock)


def _here() -> str:
    return os.uname().nodename
