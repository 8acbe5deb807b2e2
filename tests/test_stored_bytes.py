"""What the process of a gated step may load from Metaflow's datastore."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from bridge.core.conditions import parse
from bridge.core.converter import plain
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition
from metaflow_extensions.hitl import asking
from metaflow_extensions.hitl.stored_bytes import StoredBytes, Watch
from tests.ledgers import a_request

RAN: list[str] = []


def _run() -> None:
    RAN.append("ran")


class Frame(NamedTuple):
    """As Metaflow's own is."""

    step: str
    index: int


class Evil:
    def __reduce__(self) -> Any:
        return _run, ()


class Store:
    """Metaflow's content-addressed store, as far as it is used: a folder of files, each compressed
    or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prefix = "data"
        self._storage_impl = self
        self.about: dict[str, dict[str, Any]] = {}

    def save(self, blob: bytes, key: str | None = None, *, raw: bool = False) -> str:
        key = key or hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        (self.folder / key).write_bytes(blob if raw else gzip.compress(blob))
        self.about[key] = {"cas_raw": raw, "cas_version": 1}
        return key

    def path_join(self, *parts: str) -> str:
        return "/".join(parts)

    def path_split(self, path: str) -> list[str]:
        return path.split("/")

    @contextmanager
    def load_bytes(self, paths: list[str]) -> Iterator[Iterable[Any]]:
        keys = [path.split("/")[-1] for path in paths]
        files = {key: self.folder / key for key in keys}
        yield (
            (path, str(files[key]) if files[key].exists() else None, self.about.get(key))
            for path, key in zip(paths, keys, strict=True)
        )

    def load_blobs(self, keys: Iterable[str], force_raw: bool = False) -> Iterator[Any]:
        for key in keys:
            found = (self.folder / key).read_bytes()
            yield key, found if self.about[key]["cas_raw"] or force_raw else gzip.decompress(found)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    RAN.clear()
    return Store(tmp_path)


def sha256(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@pytest.mark.parametrize("raw", [True, False])
def test_a_digest_is_of_the_bytes_as_they_are_loaded(store: Store, raw: bool) -> None:
    blob = pickle.dumps(Evil()) * 100_000
    key = store.save(blob, raw=raw)
    assert StoredBytes(store).digest(key) == sha256(blob)
    assert StoredBytes(store).load(key) == blob
    assert RAN == []


def test_bytes_that_were_replaced_have_another_digest(store: Store) -> None:
    key = store.save(b"one")
    before = StoredBytes(store).digest(key)
    store.save(b"other", key)
    assert StoredBytes(store).digest(key) == sha256(b"other") != before


def test_bytes_that_are_gone_or_broken_are_one_sentence(store: Store) -> None:
    key = store.save(b"some bytes that are long enough to be cut off somewhere")
    file = store.folder / key
    whole = file.read_bytes()
    for broken in (whole[:-9], b"no gzip", b""):
        file.write_bytes(broken)
        with pytest.raises(Faults, match="the stored bytes") if broken else _fine():
            StoredBytes(store).digest(key)
    file.unlink()
    with pytest.raises(Faults, match="they are gone"):
        StoredBytes(store).digest(key)
    store.save(b"x", key)
    store.about[key] = {"cas_raw": False, "cas_version": 2}
    with pytest.raises(Faults, match="in another way"):
        StoredBytes(store).digest(key)


@contextmanager
def _fine() -> Iterator[None]:
    """An empty file is the gzip of nothing, to Python."""
    yield


# -- the watch -------------------------------------------------------------------------------------


def loaded(store: Store, key: str) -> Any:
    """As Metaflow does it."""
    ((_, blob),) = store.load_blobs([key])
    return pickle.loads(blob)  # noqa: S301 - what is tried


def watching(store: Store) -> Watch:
    def shut(reason: str) -> NoReturn:
        print(reason, file=sys.stderr)
        sys.exit(202)

    return Watch(store, "gated", shut, Frame)


def is_shut(store: Store, key: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Loading it ends the process with 202, and runs nothing. What is said."""
    with pytest.raises(SystemExit) as left:
        loaded(store, key)
    assert left.value.code == 202
    assert RAN == []
    return capsys.readouterr().err


def test_before_the_gate_is_verified_nothing_is_loaded_that_could_run_code(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = store.save(pickle.dumps([Evil()]))
    frames = store.save(pickle.dumps([Frame("part", 1)], protocol=4))
    watching(store)
    assert loaded(store, frames) == [Frame("part", 1)]
    assert loaded(store, store.save(pickle.dumps({"steps": ["a"]}))) == {"steps": ["a"]}
    said = is_shut(store, evil, capsys)
    assert "the step gated does not run: something loads an object" in said


def test_after_it_is_verified_only_the_approved_bytes_are_loaded(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if they are replaced between the look at their digests and the load."""
    good = pickle.dumps("fir")
    key = store.save(good)
    watch = watching(store)
    watch.hold_to({key: sha256(good)}, {key: "model"})
    assert loaded(store, key) == "fir"
    store.save(pickle.dumps(Evil()), key)
    assert "the stored bytes of model are not those of its approval" in is_shut(store, key, capsys)
    store.save(pickle.dumps("oak"), key)  # harmless, and not what was approved
    assert "the stored bytes of model" in is_shut(store, key, capsys)


def test_what_no_approval_names_is_still_what_was_stored_under_its_name(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store.save(b"a code package", raw=True)
    watch = watching(store)
    watch.hold_to({}, {})
    assert list(store.load_blobs([file])) == [(file, b"a code package")]
    store.save(pickle.dumps(Evil()), file)
    assert f"the stored bytes {file}" in is_shut(store, file, capsys)


def test_a_process_that_only_asks_is_not_watched(store: Store) -> None:
    watch = watching(store)
    watch.end()
    loaded(store, store.save(pickle.dumps(Evil())))
    assert RAN == ["ran"]


# -- what the process that asks says ---------------------------------------------------------------


def test_what_is_asked_is_read_back_as_it_was_computed() -> None:
    draft = a_request().draft
    for condition in (None, Condition("accuracy >= 0.9", {"accuracy": 0.93}, True)):
        answer = asking._computed(lambda seen=condition: (draft, seen))
        assert asking._asked(asking.json.dumps(answer).encode()) == (draft, condition)


def test_a_fault_of_what_is_asked_is_told_as_it_was_found() -> None:
    def faulty() -> Any:
        raise Faults("the message", ["it reads nothing", "it is empty"])

    def broken() -> Any:
        return parse

    with pytest.raises(Faults) as told:
        asking._asked(asking.json.dumps(asking._computed(faulty)).encode())
    assert (told.value.subject, list(told.value.faults)) == (
        "the message", ["it reads nothing", "it is empty"],
    )  # fmt: skip
    with pytest.raises(Faults, match="cannot be computed"):
        asking._asked(asking.json.dumps(asking._computed(broken)).encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"draft": {}, "condition": null}',
        b'{"draft": 3}',
        b'{"faults": 3, "subject": 1}',
    ],
)
def test_an_answer_that_is_none_asks_nothing(answer: bytes) -> None:
    with pytest.raises(Faults):
        asking._asked(answer)


def test_an_answer_with_a_key_that_is_unknown_asks_nothing() -> None:
    draft = plain(replace(a_request().draft, message="x")) | {"approved": True}
    answer = asking.json.dumps({"draft": draft, "condition": None}).encode()
    with pytest.raises(Faults, match="unknown key"):
        asking._asked(answer)
