"""The whole record, one entry for each commit of the ledger, for an audit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bridge.core.errors import LedgerCorrupt
from bridge.core.model import Change, Entry
from bridge.ledger.full_clone import FullClone
from bridge.ledger.git import ObjectReader, Thing

_RECORD_PATH = re.compile(
    r"gates/[0-9a-f/]+/(?:request\.yaml|(?:objections|decision)\.yaml(?:\.sig)?)"
    r"|baselines/[0-9a-f/]+\.yaml"
)


def entries(clone: FullClone, shard: str, signatures: bool) -> Iterator[Entry]:
    # A path may hold anything but NUL, so a commit is told by what follows its NUL alone.
    asked = "%G?" if signatures else "N"
    with clone.reader() as reader:
        about: list[str] = []
        changes: list[Change] = []
        fields = clone.log(shard, f"commit %H {asked} %P")
        for field in fields:
            line = field.lstrip("\n")
            if line.startswith(":"):
                _, _, _, blob, status = line.split(" ")
                changes.append(Change(status, next(fields), blob))
            elif line.startswith("commit "):
                if about:
                    yield _entry(shard, about, changes, reader)
                about, changes = line.split(" ")[1:], []
        if about:
            yield _entry(shard, about, changes, reader)


def _read(reader: ObjectReader, name: str) -> Thing | None:
    try:
        return reader.read(name)
    except LedgerCorrupt:
        return Thing("", "blob", b"")  # it is no record: one such gate must not end the audit


def _entry(
    shard: str, about: Sequence[str], changes: Iterable[Change], reader: ObjectReader
) -> Entry:
    sha, signature, *parents = about
    changes = tuple(changes)
    there = [each for each in changes if _RECORD_PATH.fullmatch(each.path) and each.status != "D"]
    found = {each.path: _read(reader, each.blob) for each in there}
    texts = {
        path: thing.content.decode("utf-8", "replace") for path, thing in found.items() if thing
    }
    decided = [path.rpartition("/")[0] for path in texts if path.endswith("/decision.yaml")]
    asked = {
        f"{folder}/request.yaml": _read(reader, f"{parents[1]}:{folder}/request.yaml")
        for folder in decided
        if len(parents) > 1
    }
    joined = {path: thing.sha for path, thing in asked.items() if thing}
    signed = None if signature == "N" else signature
    known = tuple(each for each in parents if each)
    follows = () if known else _follows(reader, sha)
    return Entry(sha, known, changes, texts, joined, signed, shard, follows)


def _follows(reader: ObjectReader, sha: str) -> tuple[str, ...]:
    """What the trailers of a branch's first commit name: other branches, and a head of each."""
    commit = _read(reader, sha)
    text = commit.content.decode("utf-8", "replace") if commit else ""
    return tuple(re.findall(r"^Follows: (\S+ [0-9a-f]{40})$", text, re.MULTILINE))
