"""The stored bytes of artifacts: their digests, and what of them this process may load.

Metaflow names what it stores by its SHA-1, and does not look whether what it loads later is still
that. So anyone who may write to the datastore can replace an artifact, and two contents with one
SHA-1 can be made on purpose. An approval is bound to the SHA-256 of the bytes as they are loaded.
https://github.com/Netflix/metaflow/blob/master/metaflow/datastore/content_addressed_store.py
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from bridge.core import plain_pickle
from bridge.core.errors import Faults

_AT_A_TIME = 1 << 20


class StoredBytes:
    """The content-addressed store of a flow's artifacts. A key is Metaflow's name of some bytes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._digests: dict[str, str] = {}

    def load(self, key: str) -> bytes:
        ((_, blob),) = self._store.load_blobs([key])
        return cast(bytes, blob)

    def digest(self, key: str) -> str:
        self.read([key])
        return self._digests[key]

    def read(self, keys: Iterable[str]) -> None:
        """Take the digests of these bytes as they are now. They are not all held in memory: a model
        can be larger than that."""
        todo = sorted(set(keys) - self._digests.keys())
        storage = self._store._storage_impl
        paths = [storage.path_join(self._store._prefix, key[:2], key) for key in todo]
        with storage.load_bytes(paths) as found:
            for path, file, about in found:
                key = storage.path_split(path)[-1]
                self._digests[key] = _digest_of(key, file, about or {})


def _digest_of(key: str, file: str | None, about: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    try:
        if file is None:
            raise FileNotFoundError("they are gone")
        with _opened(file, about) as stream:
            for part in iter(partial(stream.read, _AT_A_TIME), b""):
                digest.update(part)
    except (OSError, EOFError, ValueError) as error:  # also what is no gzip, or ends too early
        raise Faults(f"the stored bytes {key}", [f"they cannot be read: {error}"]) from error
    return f"sha256:{digest.hexdigest()}"


def _opened(file: str, about: Mapping[str, Any]) -> IO[bytes]:
    """As Metaflow itself would load it."""
    if about.get("cas_raw"):
        return Path(file).open("rb")
    if about.get("cas_version", 1) != 1:
        raise ValueError("this version of Metaflow stores them in another way")
    return cast(IO[bytes], gzip.open(file, "rb"))


class Watch:
    """What the process of a gated step may load, from its start on.

    Before the gate is verified: what cannot run any code. Metaflow itself loads some before any
    decorator is called, such as where a task stands in its foreach. Afterwards: the bytes whose
    digests were approved. `shut` ends the process; `frame` is Metaflow's tuple of a foreach.
    """

    def __init__(
        self, store: Any, step: str, shut: Callable[[str], NoReturn], frame: type[Any]
    ) -> None:
        self._step = step
        self._end = shut
        # Metaflow puts its tuple into `__main__`, and stores it as one of that.
        self._known = {(frame.__module__, frame.__qualname__): frame}
        self._approved: Mapping[str, str] | None = None
        self._names: Mapping[str, str] = {}
        self._is_on = True
        self._load = store.load_blobs
        store.load_blobs = self._load_watched

    def end(self) -> None:
        """For a process of its own, which asks and never runs the step."""
        self._is_on = False

    def hold_to(self, digests: Mapping[str, str], names: Mapping[str, str]) -> None:
        """From now on the bytes of these keys must have these digests. `names` are for people."""
        self._approved, self._names = digests, names

    def _load_watched(self, keys: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for found in self._load(keys, *args, **kwargs):
            if self._is_on:
                self._check(*found[:2])
            yield found

    def _check(self, key: str, blob: bytes) -> None:
        approved = (self._approved or {}).get(key)
        if approved is not None:
            if f"sha256:{hashlib.sha256(blob).hexdigest()}" != approved:
                self._shut(f"the stored bytes of {self._names[key]} are not those of its approval")
            return
        if plain_pickle.is_inert(blob, self._known):
            return
        if self._approved is None:
            self._shut("something loads an object, which can run code, before its gate is verified")
        # What is no artifact, such as a code package: nobody approved it; its name is its SHA-1.
        if hashlib.sha1(blob, usedforsecurity=False).hexdigest() != key:
            self._shut(f"the stored bytes {key} are not those that were stored under this name")

    def _shut(self, why: str) -> NoReturn:
        self._end(f"the step {self._step} does not run: {why}")
