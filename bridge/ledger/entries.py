"""The whole record, one entry for each commit of the ledger, for an audit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from bridge.core.entry import Change, Entry, Kept, Stretch
from bridge.core.errors import LedgerCorrupt
from bridge.core.shards import oldest_first
from bridge.ledger.full_clone import FullClone
from bridge.ledger.git import ObjectReader, Thing

_RECORD_PATH = re.compile(
    r"gates/[0-9a-f/]+/(?:request\.yaml|(?:objections|decision)\.yaml(?:\.sig)?)"
    r"|baselines/[0-9a-f/]+\.yaml"
)
_FOLDER = re.compile(r"(gates/[0-9a-f]/[0-9a-f]/[0-9a-f]/[0-9a-f]+)/")

#: Commits of which the records are in memory at once: strangers may have pushed some of 8 MB.
_AT_ONCE = 20

#: What a gate may have on record before it is decided.
_BEFORE = ("request.yaml", "objections.yaml", "objections.yaml.sig")


class _Raw(NamedTuple):
    """A commit, and what it changed."""

    sha: str
    signature: str | None
    parents: tuple[str, ...]
    changes: tuple[Change, ...]


class WholeRecord:
    """The branches of a ledger in a full clone, oldest first."""

    def __init__(self, clone: FullClone, reader: ObjectReader) -> None:
        self._clone = clone
        self._reader = reader
        heads = clone.heads()
        self.heads: Mapping[str, str] = {name: heads[name] for name in oldest_first(heads)}

    def stretch(self, branch: str, after: str | None = None) -> Stretch | None:
        """What the branch has upon this commit, or all of it; None if it hasn't that commit."""
        if branch not in self.heads:
            return None
        if after == self.heads[branch]:
            return Stretch(branch, after, 0)
        return self._clone.stretch(branch, after)

    def entries(
        self, stretch: Stretch, *, signatures: bool = False, before: bool = False
    ) -> Iterator[Entry]:
        """Oldest first. With `before`, each says what was on record of its gate before it."""
        asked = "%G?" if signatures else "N"
        for some in self._clone.changes(stretch, f"commit %H {asked} %P"):
            commits = _commits(some)
            while few := list(islice(commits, _AT_ONCE)):
                yield from self._read(stretch.branch, few, before=before)

    def sha256(self, commit: str, path: str) -> str | None:
        """Of the file as it is at this commit; None if there is none, or one too large."""
        try:
            found = self._reader.read(f"{commit}:{path}")
        except LedgerCorrupt:
            return None
        return hashlib.sha256(found.content).hexdigest() if found else None

    def _read(self, branch: str, commits: Sequence[_Raw], *, before: bool) -> Iterator[Entry]:
        names = [name for each in commits for name in self._names(branch, each, before=before)]
        found = dict(zip(names, self._reader.read_many(names), strict=True))
        for each in commits:
            yield self._entry(branch, each, found, before=before)

    def _names(self, branch: str, raw: _Raw, *, before: bool) -> Iterator[str]:
        """What has to be read for this entry."""
        yield from (each.blob for each in raw.changes if _is_record(each))
        yield from _asked_at(raw).values()
        if not raw.parents:
            yield raw.sha
        if before:
            yield from _before_at(raw).values()
            yield from (name for _, name in self._elsewhere(branch, raw))

    def _entry(
        self, branch: str, raw: _Raw, found: Mapping[str, Thing | None], *, before: bool
    ) -> Entry:
        def kept(names: Mapping[str, str]) -> dict[str, Kept]:
            things = {path: found[name] for path, name in names.items()}
            return {path: Kept(_text(each), each.sha) for path, each in things.items() if each}

        records = kept({each.path: each.blob for each in raw.changes if _is_record(each)})
        return Entry(
            raw.sha,
            raw.parents,
            raw.changes,
            {path: each.text for path, each in records.items()},
            {path: each.blob for path, each in kept(_asked_at(raw)).items()},
            raw.signature,
            branch,
            () if raw.parents else _follows(found[raw.sha]),
            kept(_before_at(raw)) if before else {},
            tuple(other for other, name in self._elsewhere(branch, raw) if found[name])
            if before
            else None,
        )

    def _elsewhere(self, branch: str, raw: _Raw) -> Iterator[tuple[str, str]]:
        """The gates' folders in the heads of all other branches."""
        for other, head in self.heads.items():
            if other != branch:
                yield from ((other, f"{head}:{folder}") for folder in _folders(raw))


def _commits(fields: Sequence[str]) -> Iterator[_Raw]:
    # A path may hold anything but NUL, so only what follows its NUL names a commit.
    about: list[str] = []
    changes: list[Change] = []
    rest = iter(fields)
    for field in rest:
        line = field.lstrip("\n")
        if line.startswith(":"):
            _, mode, _, blob, status = line.split(" ")
            changes.append(Change(status, next(rest), blob, mode))
        elif line.startswith("commit "):
            if about:
                yield _raw(about, changes)
            about, changes = line.split(" ")[1:], []
    if about:
        yield _raw(about, changes)


def _raw(about: Sequence[str], changes: Sequence[Change]) -> _Raw:
    sha, signature, *parents = about
    known = tuple(each for each in parents if each)
    return _Raw(sha, None if signature == "N" else signature, known, tuple(changes))


def _is_record(change: Change) -> bool:
    return change.status != "D" and bool(_RECORD_PATH.fullmatch(change.path))


def _folders(raw: _Raw) -> list[str]:
    found = (_FOLDER.match(each.path) for each in raw.changes)
    return list(dict.fromkeys(each[1] for each in found if each))


def _asked_at(raw: _Raw) -> dict[str, str]:
    """The requests that an approval decides, as its second parent has them."""
    if len(raw.parents) < 2:
        return {}
    decided = [
        each.path.rpartition("/")[0]
        for each in raw.changes
        if each.path.endswith("/decision.yaml") and _is_record(each)
    ]
    paths = [f"{folder}/request.yaml" for folder in decided]
    return {path: f"{raw.parents[1]}:{path}" for path in paths}


def _before_at(raw: _Raw) -> dict[str, str]:
    paths = [f"{folder}/{name}" for folder in _folders(raw) for name in _BEFORE]
    return {path: f"{raw.parents[0]}:{path}" for path in paths} if raw.parents else {}


def _text(thing: Thing) -> str:
    return thing.content.decode("utf-8", "replace")


def _follows(commit: Thing | None) -> tuple[str, ...]:
    """What the trailers of a branch's first commit name: other branches, and a head of each."""
    text = _text(commit) if commit else ""
    return tuple(re.findall(r"^Follows: (\S+ [0-9a-f]{40})$", text, re.MULTILINE))
