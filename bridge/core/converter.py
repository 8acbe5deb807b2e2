"""Frozen values to plain mappings and back, by the fields of their dataclasses.

One rule for every record. A mapping has the keys of its dataclass, in their order. A field at its
default is left out, and is refused if it is written all the same: each value has one form, so that
the digest of what is written is the digest of what is read. Dataclasses of a union differ by
their keys. Reading is strict: the exact type, no unknown key, no missing one. `docs/ledger.md`
lists the keys, and `docs/decisions/0001-own-converter.md` says why this is not a library.

A field's `metadata` may say:

- `key`: what the record calls it; without it, the field's own name;
- `always`: it is written also if it has its default;
- `inline`: the keys of its value stand among those of the record itself;
- `bound`: False if an approval is not bound to it (`digest.py`).
"""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bridge.core.timestamps import moment, moment_out

#: No count, size or account number is larger; what is makes `timedelta` and others overflow.
_LARGEST: Final = 2**63 - 1
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_DEFAULT: Final = object()
#: What a reader returns beside a fault: nothing is built of it.
_FAULTY: Final = object()

_AS_THEY_ARE: Final = frozenset({str, int, bool, NoneType})

T = TypeVar("T")
Faults = list[str]
Reader = Callable[[object, str, Faults], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record. `default` is what its absence means; a required key has none."""

    name: str
    key: str
    kind: Any
    default: object
    always: bool
    inline: bool
    bound: bool

    @property
    def required(self) -> bool:
        return self.default is _NO_DEFAULT


@functools.cache
def fields_of(kind: Any) -> tuple[Field, ...]:
    """The keys of this record, in the order in which they are written."""
    hints = get_type_hints(kind)
    return tuple(
        Field(
            name=each.name,
            key=each.metadata.get("key", each.name),
            kind=hints[each.name],
            default=each.default if each.default is not MISSING
            else each.default_factory() if each.default_factory is not MISSING
            else _NO_DEFAULT,
            always=each.metadata.get("always", False),
            inline=each.metadata.get("inline", False),
            bound=each.metadata.get("bound", True),
        )
        for each in fields(kind)
    )  # fmt: skip


# -- writing -------------------------------------------------------------------------------------


def plain(value: Any, *, bound: bool = False) -> Any:
    """The value as text, numbers, lists and mappings; if `bound`, only the bound keys."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime):
        return moment_out(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [plain(each, bound=bound) for each in value]
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return dict(_pairs(value, bound))
    return value


def _pairs(value: Any, bound: bool) -> Iterator[tuple[str, Any]]:
    for each, may_lack in _written(cast(Any, type(value)), bound):
        inner = getattr(value, each.name)
        if each.inline:
            yield from _pairs(inner, bound)
        elif not may_lack or inner != each.default:
            yield each.key, plain(inner, bound=bound)


@functools.cache
def _written(kind: Any, bound: bool) -> tuple[tuple[Field, bool], ...]:
    """The keys that are written, each with whether it may be left out."""
    return tuple(
        (each, not (each.always or each.required))
        for each in fields_of(kind)
        if each.bound or not bound
    )


# -- reading -------------------------------------------------------------------------------------


def read(kind: type[T], raw: object, where: str) -> tuple[T | None, Faults]:
    """The value, or every fault of it with its path; never both."""
    faults: Faults = []
    read_one: Reader = _reader(cast(Any, kind))
    value = read_one(raw, where, faults)
    return (None if faults else value), faults


@functools.cache
def _reader(kind: Any) -> Reader:
    """What reads a value of this kind. Inner kinds are looked up as they are met: rules nest."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        return functools.partial(_read_rows, args[0])
    if origin is Mapping:
        return _read_object
    if origin in (Union, UnionType):
        kinds = [each for each in args if each is not NoneType]
        return _reader(kinds[0]) if len(kinds) == 1 else functools.partial(_read_variant, kinds)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return functools.partial(_read_word, kind)
    if is_dataclass(kind):
        return functools.partial(_read_record, kind)
    raise TypeError(f"a record cannot hold {kind}")


def _exactly(kind: type, raw: object, at: str, faults: Faults) -> Any:
    # Not `isinstance`: a bool is an int to it, and a count of `true` is no count.
    if type(raw) is not kind:
        faults.append(f"{at} is {type(raw).__name__}, not {kind.__name__}")
        return _FAULTY
    return raw


def _read_text(raw: object, at: str, faults: Faults) -> Any:
    if type(raw) is str and raw.isascii():  # most are, and an audit reads millions
        return raw
    text = _exactly(str, raw, at, faults)
    if text is not _FAULTY and _SURROGATE.search(text):
        faults.append(f"{at} contains an unpaired surrogate")
        return _FAULTY
    return text


def _read_int(raw: object, at: str, faults: Faults) -> Any:
    number = _exactly(int, raw, at, faults)
    if number is not _FAULTY and abs(number) > _LARGEST:
        faults.append(f"{at} is too large")
        return _FAULTY
    return number


def _read_bool(raw: object, at: str, faults: Faults) -> Any:
    return _exactly(bool, raw, at, faults)


def _read_moment(raw: object, at: str, faults: Faults) -> Any:
    return _parsed(moment, raw, at, faults)


def _read_bytes(raw: object, at: str, faults: Faults) -> Any:
    return _parsed(functools.partial(base64.b64decode, validate=True), raw, at, faults)


def _read_word(kind: type[StrEnum], raw: object, at: str, faults: Faults) -> Any:
    return _parsed(kind, raw, at, faults)


def _parsed(parse: Callable[[str], Any], raw: object, at: str, faults: Faults) -> Any:
    text = _read_text(raw, at, faults)
    if text is _FAULTY:
        return _FAULTY
    try:
        return parse(text)
    except ValueError:
        faults.append(f"{at} cannot be {text!r}")
        return _FAULTY


_SCALARS: Final[Mapping[Any, Reader]] = {
    str: _read_text,
    int: _read_int,
    bool: _read_bool,
    bytes: _read_bytes,
    datetime: _read_moment,
}


def _read_rows(kind: Any, raw: object, at: str, faults: Faults) -> Any:
    rows = _exactly(list, raw, at, faults)
    if rows is _FAULTY:
        return _FAULTY
    read_one = _reader(kind)
    return tuple(read_one(row, f"{at}[{index}]", faults) for index, row in enumerate(rows))


def _read_object(raw: object, at: str, faults: Faults) -> Any:
    """A mapping that JSON could hold, whatever is in it: no date, no NaN, no key but text."""
    found = _exactly(dict, raw, at, faults)
    if found is not _FAULTY:
        _check_json(found, at, faults)
    return found


def _check_json(raw: object, at: str, faults: Faults) -> None:
    if isinstance(raw, dict):
        for key, value in raw.items():
            _read_text(key, f"the key {key!r} of {at}", faults)
            _check_json(value, f"{at}.{key}", faults)
    elif isinstance(raw, list):
        for index, value in enumerate(raw):
            _check_json(value, f"{at}[{index}]", faults)
    elif isinstance(raw, str):
        _read_text(raw, at, faults)
    elif isinstance(raw, float):
        if not math.isfinite(raw):
            faults.append(f"{at} is {raw}, which is not a number")
    elif not (raw is None or isinstance(raw, bool | int)):
        faults.append(f"{at} is {type(raw).__name__}, which JSON does not have: put it in quotes")


def _read_variant(kinds: list[Any], raw: object, at: str, faults: Faults) -> Any:
    found = _exactly(dict, raw, at, faults)
    if found is _FAULTY:
        return _FAULTY
    for kind in kinds:
        if any(each.key in found for each in fields_of(kind)):
            return _read_record(kind, raw, at, faults)
    keys = " or ".join(each.key for kind in kinds for each in fields_of(kind))
    faults.append(f"{at} has none of the keys {keys}")
    return _FAULTY


def _read_record(kind: Any, raw: object, at: str, faults: Faults) -> Any:
    found = _exactly(dict, raw, at, faults)
    if found is _FAULTY:
        return _FAULTY
    left = dict(found)
    value = _taken(kind, left, at, faults)
    faults.extend(f"unknown key {at}.{key}" for key in sorted(map(str, left)))
    return value


@functools.cache
def _readers_of(kind: Any) -> tuple[tuple[Field, Reader, bool], ...]:
    """The keys of this record, each with what reads its value, and whether it may be left out."""
    return tuple(
        (each, _reader(each.kind), not (each.always or each.required)) for each in fields_of(kind)
    )


def _taken(kind: Any, left: dict[Any, Any], at: str, faults: Faults) -> Any:
    """Take this record's keys out of `left`."""
    before = len(faults)
    found: dict[str, Any] = {}
    for each, read_one, may_lack in _readers_of(kind):
        if each.inline:
            found[each.name] = _taken(each.kind, left, at, faults)
        elif each.key in left:
            path = f"{at}.{each.key}"
            value = found[each.name] = read_one(left.pop(each.key), path, faults)
            if may_lack and value == each.default:
                faults.append(f"{path} has its default: leave the key out")
        elif not may_lack:
            faults.append(f"{at}.{each.key} is missing")
    if len(faults) > before:
        return _FAULTY
    try:
        return kind(**found)
    except ValueError as error:  # what no single field of it can say
        faults.append(f"{at}: {error}")
        return _FAULTY
