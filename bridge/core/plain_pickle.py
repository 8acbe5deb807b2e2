"""Pickles read without running any code of theirs.

To unpickle is to run what the pickle says: any function that can be imported, with any arguments.
Plain values need none of that, so they can be looked at before anybody has approved anything.
https://docs.python.org/3/library/pickle.html#restricting-globals
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import importlib
import io
import pathlib
import pickle
import pickletools
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

#: What calls something, or changes what a name stands for. Without them a pickle only builds.
_RUNNING: Final = frozenset(
    {"REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
)


#: What reserves as much memory as it says, before there is anything to put there.
_RESERVING: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "BYTEARRAY8"})
_LARGEST: Final = 1_000_000  # bytes, that are looked through


class NotPlain(ValueError):
    """It needs a class or a function that no plain value needs."""


def load(blob: bytes) -> Any:
    """The value of a pickle of plain values. Raises `NotPlain` for any other, and runs nothing."""
    try:
        if len(blob) > _LARGEST:
            raise NotPlain("it is too large to be looked through")
        _opcodes(blob)
        return _Plain(io.BytesIO(blob)).load()
    except NotPlain:
        raise
    except Exception as error:  # noqa: BLE001 - a forged pickle can make it raise anything
        raise NotPlain(f"{type(error).__name__}: {error}") from None


def is_inert(blob: bytes, known: Mapping[tuple[str, str], type]) -> bool:
    """Whether an ordinary `pickle.loads` of it runs nothing: besides values without a class, it
    makes objects of these tuples at most."""
    try:
        if _opcodes(blob) & _RUNNING:
            return False
        _Known(io.BytesIO(blob), known).load()
    except Exception:  # noqa: BLE001 - a forged pickle can make them raise anything
        return False
    return True


def _opcodes(blob: bytes) -> set[str]:
    """The names of the pickle's opcodes. Raises `NotPlain` if it says that it is huge."""
    found = set()
    for opcode, argument, _ in pickletools.genops(blob):
        found.add(opcode.name)
        if opcode.name in _RESERVING and isinstance(argument, int) and argument > len(blob):
            raise NotPlain("it asks for more memory than it can fill")
    return found


class _Known(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, known: Mapping[tuple[str, str], type]) -> None:
        super().__init__(file)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        return self._known.get((module, name)) or _refuse(module, name)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # `numpy._core` is called `numpy.core` by numpy 1, `pathlib._local` is Python 3.13's.
        module = module.replace("numpy._core", "numpy.core").removesuffix("._local")
        kind = _KINDS.get(f"{module}.{name}") or _refuse(module, name)
        # A pickle may change the class that it is given: it gets one that nobody else sees.
        return type("Maker", (), {"__new__": lambda _, *given: kind(*given)})


def _refuse(module: str, name: str) -> NoReturn:
    raise NotPlain(f"it needs {module}.{name}")


# -- numpy's numbers -------------------------------------------------------------------------------


class _Dtype:
    """What a pickled number says of its type. numpy's own `dtype` believes a forged one, and then
    takes bytes for addresses."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[biufc][0-9]{1,2}", code):
            raise NotPlain(f"it needs the numpy type {code[:20]}")
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise NotPlain("it has a numpy type of no byte order")
        self.order = state[1]


def _number(dtype: object, data: object) -> Any:
    # No dependency: if it is missing, the number is not read.
    numpy = importlib.import_module("numpy")
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise NotPlain("it is no number of numpy's")
    (number,) = numpy.frombuffer(data, numpy.dtype(dtype.order + dtype.code))
    return number


_KINDS: Final[Mapping[str, Callable[..., Any]]] = {
    "builtins.complex": complex,
    "collections.OrderedDict": OrderedDict,
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
    "datetime.timezone": datetime.timezone,
    "decimal.Decimal": decimal.Decimal,
    "fractions.Fraction": fractions.Fraction,
    "numpy.core.multiarray.scalar": _number,
    "numpy.dtype": _Dtype,
    "pathlib.PosixPath": pathlib.PosixPath,
    "pathlib.PurePosixPath": pathlib.PurePosixPath,
    "uuid.UUID": lambda: object.__new__(uuid.UUID),
}
