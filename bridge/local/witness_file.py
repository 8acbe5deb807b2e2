"""The file in which an auditor keeps what is proven of a ledger. It is whole, or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from bridge.core.errors import Faults
from bridge.core.witness import Witness, witness_in, witness_out

#: Far more than the heads of a hundred branches have.
_MOST: Final = 1024 * 1024


def read_witness(path: Path) -> Witness:
    """Raises `Faults`: nothing is proven from a file that can't be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
        if len(text) > _MOST:
            raise Faults(str(path), [f"has more than {_MOST:,} bytes, and no witness does"])
        return witness_in(text.decode(), str(path))
    except UnicodeDecodeError:
        raise Faults(str(path), ["is not text"]) from None
    except OSError as error:
        raise Faults(str(path), [f"can't be read: {error.strerror}"]) from None


def check_folder(path: Path) -> None:
    """Raises `Faults`: it takes hours to read a large ledger, and then it would be too late."""
    if not path.resolve().parent.is_dir():
        raise Faults(str(path), ["can't be written: its folder doesn't exist, so make it first"])


def write_witness(path: Path, witness: Witness) -> None:
    """In one step, on the disk: a crash leaves the one before. Raises `Faults`."""
    check_folder(path)
    path = path.resolve()  # to replace a link would leave the file behind it as it was
    try:
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(witness_out(witness))
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).chmod(0o644)
            Path(fresh).replace(path)
        except OSError:
            Path(fresh).unlink()
            raise
    except OSError as error:
        raise Faults(str(path), [f"can't be written: {error.strerror}"]) from None
