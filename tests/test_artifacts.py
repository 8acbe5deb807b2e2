from __future__ import annotations

import datetime
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.artifacts import ordered, summarise, unread, worth_reading
from bridge.core.model import Artifact
from bridge.core.sanitize import one_line
from bridge.core.yaml_text import dump, load


class Raises:
    def __repr__(self) -> str:
        raise RuntimeError("boom")

    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("boom")


class Endless:
    def __repr__(self) -> str:
        return "x" * 50_000_000


class Figure:
    def savefig(self) -> None: ...


def shown(value: object, name: str = "x") -> Artifact:
    return summarise(name, value, digest="sha1:abc", size=10)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (0.94, "float", "0.94"),
        (0.9412345678901, "float", "0.941235"),
        (1e-9, "float", "1e-09"),
        (float("nan"), "float", "nan"),
        (3, "int", "3"),
        (10**5000, "int", "a number of 16,610 bits"),
        (True, "bool", "True"),
        (None, "NoneType", "None"),
        ("resnet_50", "str", "resnet_50"),
        ("a\nb\x1b[31mc\u202e", "str", "a b[31mc"),
        (b"abc", "bytes", "3 bytes"),
        ([1, 2], "list", "[1, 2]"),
        (list(range(1000)), "list", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 988 more]"),
        ({"lr": 0.1, "deep": {"a": [1]}}, "dict", "{lr: 0.1, deep: {a: [1]}}"),
        ({"b", "a"}, "set", "{'a', 'b'}"),
        (datetime.date(2026, 3, 1), "datetime.date", "2026-03-01"),
        (np.float64(0.5), "numpy.float64", "0.5"),
        (np.arange(12.0).reshape(3, 4), "numpy.ndarray", "3 × 4 of float64"),
        (np.zeros((1000, 2, 2)), "numpy.ndarray", "1,000 × 2 × 2 of float64"),
        (pd.DataFrame({"a": [1, 2]}), "pandas.DataFrame", "2 rows × 1 columns"),
        (pd.Series([1, 2]), "pandas.Series", "2 of int64"),
        (Figure(), "tests.Figure", "figure"),
        (object(), "object", None),
        (Raises(), "tests.Raises", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_by_type_and_in_short(value: object, kind: str, said: str | None) -> None:
    artifact = shown(value)
    assert (artifact.type, artifact.value) == (kind, said)


def test_a_long_text_is_cut_and_says_how_long_it_is() -> None:
    artifact = shown("word " * 5_000)
    assert artifact.value is not None
    assert len(artifact.value) <= 80
    assert artifact.value.endswith("… (25,000 characters)")


def test_a_frame_and_an_array_show_their_head() -> None:
    frame = shown(pd.DataFrame({"a": range(100), "b": 0.5}))
    assert frame.head is not None
    assert frame.head.splitlines()[0].split() == ["a", "b"]
    assert len(frame.head.splitlines()) == 6
    array = shown(np.arange(12.0).reshape(3, 4))
    assert array.head == "[0. 1. 2. 3.]\n[4. 5. 6. 7.]\n[ 8.  9. 10. 11.]"


def test_the_head_of_a_frame_holds_no_secret_and_no_escape() -> None:
    frame = pd.DataFrame({"user": ["ann\x1b[2J"], "password": ["hunter2"]})
    head = shown(frame).head
    assert head is not None
    assert "ann" in head
    assert "hunter2" not in head
    assert "\x1b" not in head


def test_a_file_is_shown_by_its_path_and_a_text_never_becomes_a_link() -> None:
    assert shown(pathlib.PurePosixPath("plots/loss.png")).link == "plots/loss.png"
    assert shown("https://example.org/x.png").link is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("db_password", "hunter2"),
        ("apiKey", "hunter2"),
        ("HF_TOKEN", "hunter2"),
        ("client_secret", ["hunter2"]),
        ("config", {"lr": 0.1, "auth": {"password": "hunter2"}}),
        ("url", "postgres://ann:hunter2@db/x"),
        ("list", ["https://ann:hunter2@db/x"]),
        ("note", "ghp_hunter2hunter2hunter2hunter2"),
        ("pem", "-----BEGIN PRIVATE KEY-----\nhunter2"),
    ],
)
def test_a_secret_is_hidden(name: str, value: object) -> None:
    artifact = shown(value, name)
    assert "hunter2" not in repr(artifact)
    assert "(hidden)" in repr(artifact)


@pytest.mark.parametrize(
    ("name", "value"), [("n_tokens", 512), ("tokenizer", "bpe"), ("author", "x")]
)
def test_what_only_sounds_like_a_secret_is_shown(name: str, value: object) -> None:
    assert shown(value, name).value == str(value)


def test_metrics_come_first_and_the_telling_ones_before_them() -> None:
    values = {"seed": 1, "name": "x", "val_loss": 0.1, "accuracy": 0.9, "rows": [1]}
    found = ordered(summarise(name, value, digest="d") for name, value in values.items())
    assert [each.name for each in found] == ["accuracy", "val_loss", "seed", "name", "rows"]


def test_what_was_not_unpickled_is_shown_by_type_and_size() -> None:
    artifact = unread("model", "<class 'sklearn.ensemble._forest.RandomForest'>", "d", 9)
    assert (artifact.type, artifact.size, artifact.value) == ("sklearn.RandomForest", 9, None)


@pytest.mark.parametrize(
    ("kind", "size", "worth"),
    [
        ("<class 'float'>", 100, True),
        ("float", None, True),
        ("<class 'str'>", 5_000_000, False),
        ("<class 'pandas.core.frame.DataFrame'>", 5_000_000, True),
        ("<class 'numpy.ndarray'>", 5_000_000_000, False),
        ("<class 'numpy.ndarray'>", None, False),
        ("<class 'torch.nn.Module'>", 100, False),
        ("<class 'evil.float'>", 100, False),
    ],
)
def test_nothing_is_unpickled_that_need_not_be(kind: str, size: int | None, worth: bool) -> None:
    assert worth_reading(kind, size) is worth


class Liar(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("boom")


@pytest.mark.parametrize(
    "value",
    [Raises(), Endless(), [Raises()], {"a": Endless()}, Liar("L", (), {})(),
     np.array([Mute()], dtype=object), pd.DataFrame({"a": [Mute()]}), np.zeros((0, 3)),
     pd.DataFrame(), np.zeros(()), type("S", (), {"shape": (1, 2, 3), "columns": 3})()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_hostile_object_is_shown_by_its_type(value: object) -> None:
    artifact = shown(value)
    assert artifact.value is None or len(artifact.value) <= 80


def test_a_value_that_holds_itself_is_shown() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert shown(loop).value == "[1, [1, [1, …]]]"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(st.text(), ANY)
def test_whatever_the_value_its_line_is_short_printable_and_recordable(
    name: str, value: object
) -> None:
    artifact = summarise(name, value, digest="d")
    if artifact.value is not None:
        assert len(artifact.value) <= 80
        assert artifact.value == one_line(artifact.value)
        assert load(dump({"value": artifact.value}), "x") == {"value": artifact.value}
