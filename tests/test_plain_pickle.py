"""Plain values are read without running code, and everything else is left alone."""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import pickle
import uuid
from collections import OrderedDict, namedtuple
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.plain_pickle import NotPlain, is_inert, load

Frame = namedtuple("Frame", ["step", "index"])
KNOWN: dict[tuple[str, str], type] = {(__name__, "Frame"): Frame}

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False) | st.datetimes() | st.dates() | st.times()
    | st.timedeltas() | st.decimals(allow_nan=False) | st.fractions() | st.uuids()
)  # fmt: skip
hashed = st.integers() | st.text()
values = st.recursive(
    scalars | st.frozensets(hashed) | st.sets(hashed),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(hashed, inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(values, st.sampled_from([4, 5]))
def test_a_plain_value_is_read_as_it_was_written(value: Any, protocol: int) -> None:
    found = load(pickle.dumps(value, protocol=protocol))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [np.float64(0.5), np.float32(0.1), np.int8(-3), np.uint64(2**63), np.bool_(True),
     np.complex64(1j), pathlib.PosixPath("/a"), OrderedDict(a=1),
     datetime.datetime.now(datetime.UTC)],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_numbers_of_numpy_and_paths_are_plain(value: Any) -> None:
    found = load(pickle.dumps(value, protocol=4))
    assert found == value
    assert type(found) is type(value)


RAN: list[str] = []


def _run() -> None:
    RAN.append("ran")


class Evil:
    def __reduce__(self) -> Any:
        return _run, ()


class Imports:
    def __reduce__(self) -> Any:
        return __import__, ("this",)


def test_the_evil_of_these_tests_runs_if_it_is_let() -> None:
    RAN.clear()
    pickle.loads(pickle.dumps(Evil()))  # noqa: S301 - what is tried
    assert RAN == ["ran"]


def array_of(code: str) -> bytes:
    """A number of numpy's that says that its bytes are of another type."""
    return pickle.dumps(np.float64(1), protocol=4).replace(
        b"\x8c\x02f8", b"\x8c\x02" + code.encode()
    )


@pytest.mark.parametrize(
    "blob",
    [
        pickle.dumps(Evil(), protocol=4),
        pickle.dumps([1, {"x": Imports()}], protocol=4),
        pickle.dumps(np.zeros(3), protocol=4),
        pickle.dumps(Frame("a", 1), protocol=4),
        b"cos\nsystem\n(Vtrue\ntR.",
        b"cdecimal\nDecimal.__init__.__globals__\n.",
        array_of("O8"),
        array_of("V8"),
        b"]r\xff\xff\xff\x7f.",  # a memo of two thousand million entries
        pickle.dumps("x" * 1_000_001, protocol=4),
        b"",
        b"\x80\x04",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"junk",
    ],
)
def test_what_is_not_plain_is_refused_and_does_not_run(blob: bytes) -> None:
    RAN.clear()
    with pytest.raises(NotPlain):
        load(blob)
    assert RAN == []


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_are_a_plain_value_or_refused(junk: bytes, at: int) -> None:
    sound = pickle.dumps([decimal.Decimal("1.5"), uuid.UUID(int=3), np.float64(1)], protocol=4)
    for blob in (junk, sound[:at] + junk + sound[at:]):
        with suppress(NotPlain):
            load(blob)
        is_inert(blob, KNOWN)


def test_a_pickle_cannot_change_what_the_next_one_reads() -> None:
    """`BUILD` on the class itself sets its attributes."""
    poison = (
        b"\x80\x04\x8c\x07decimal\x8c\x07Decimal\x93"  # the class
        b"N}\x8c\x07__new__\x8c\x08builtins\x8c\x07complex\x93s\x86b."  # (None, {"__new__": …})
    )
    load(poison)
    assert load(pickle.dumps(decimal.Decimal("1.5"), protocol=4)) == decimal.Decimal("1.5")
    assert decimal.Decimal("1.5") + 1 == decimal.Decimal("2.5")


# -- what an ordinary unpickler may be given -------------------------------------------------------


def test_plain_containers_and_the_known_tuples_are_inert() -> None:
    for value in ([], [Frame("a", 1)], {"a": ["x", 2.5, None, True]}, frozenset([1])):
        blob = pickle.dumps(value, protocol=4)
        assert is_inert(blob, KNOWN)
        assert pickle.loads(blob) == value  # noqa: S301 - our own


@pytest.mark.parametrize(
    "blob",
    [
        pickle.dumps([Evil()], protocol=4),
        pickle.dumps(fractions.Fraction(1, 3), protocol=4),  # it calls: harmless, and not needed
        pickle.dumps(Frame("a", 1), protocol=4).replace(b"Frame", b"Other"),
        b"\x80\x04\x8c" + bytes([len(__name__)]) + __name__.encode() + b"\x8c\x05Frame\x93N}b.",
        b"]r\xff\xff\xff\x7f.",
        b"",
    ],
    ids=["reduce", "call", "another class", "build on the class", "reserves", "empty"],
)
def test_what_calls_or_changes_anything_is_not_inert(blob: bytes) -> None:
    RAN.clear()
    assert not is_inert(blob, KNOWN)
    assert RAN == []
