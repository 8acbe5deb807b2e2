"""What the bridge's clone holds, in files and in packs, is read as git reads it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.errors import LedgerCorrupt
from bridge.ledger import clone_objects
from bridge.ledger.clone_objects import CloneObjects
from bridge.ledger.git import GitFailed, ObjectReader, make_bare, write_object
from tests.ledgers import git

TEXT = "Deploy é?\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    make_bare(tmp_path / "clone.git", {})
    return tmp_path / "clone.git"


@pytest.fixture
def objects(clone: Path) -> Iterator[CloneObjects]:
    found = CloneObjects(clone, ())
    yield found
    found.close()


def file_of(clone: Path, sha: str) -> Path:
    return clone / "objects" / sha[:2] / sha[2:]


def put(clone: Path, sha: str, content: bytes) -> None:
    file = file_of(clone, sha)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)


def of_each_kind(clone: Path) -> list[str]:
    blob = git(clone, "hash-object", "-w", "--stdin", stdin=TEXT)
    tree = git(clone, "mktree", stdin=f"100644 blob {blob}\tREADME.md\n")
    commit = git(clone, "commit-tree", tree, "-m", "Begin")
    tag = f"object {commit}\ntype commit\ntag one\ntagger A <a@example.org> 1 +0000\n\nOne\n"
    return [blob, tree, commit, git(clone, "mktag", stdin=tag)]


def test_an_object_in_a_file_is_read_as_git_reads_it_and_starts_none(
    clone: Path, objects: CloneObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    shas = of_each_kind(clone)
    shas.append(write_object(clone, "blob", b"ours"))
    reader = ObjectReader({"GIT_DIR": str(clone)}, ())
    by_git = [reader.read(sha) for sha in shas]
    reader.close()
    assert [each and each.kind for each in by_git] == ["blob", "tree", "commit", "tag", "blob"]
    monkeypatch.setattr(clone_objects, "ObjectReader", None)
    assert [objects.look(sha) for sha in shas] == by_git


def test_an_object_in_a_pack_is_read_by_git(clone: Path, objects: CloneObjects) -> None:
    shas = of_each_kind(clone)
    loose = [objects.look(sha) for sha in shas]
    git(clone, "pack-objects", "-q", "objects/pack/pack", stdin="\n".join(shas))
    for sha in shas:
        file_of(clone, sha).unlink()
        objects.forget(sha)
    assert [objects.look(sha) for sha in shas] == loose


def test_what_is_nowhere_is_not_found_and_starts_no_git_while_there_is_no_pack(
    objects: CloneObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone_objects, "ObjectReader", None)
    assert objects.look("ab" * 20) is None


def test_a_name_that_is_no_id_is_no_path_to_a_file(clone: Path, objects: CloneObjects) -> None:
    (clone / "objects" / "config").write_bytes(zlib.compress(b"blob 2\0hi"))
    assert objects.look("../objects/config") is None
    assert objects.look("HEAD") is None


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no zlib",
        zlib.compress(b"blob 4\0mine")[:-9],
        zlib.compress(b"blob 4\0other"),
        zlib.compress(b"blob 4\0else"),
        zlib.compress(b"blob four\0mine"),
        zlib.compress(b"file 4\0mine"),
    ],
)
def test_a_file_that_has_rotted_says_so_and_is_never_another_object(
    clone: Path, objects: CloneObjects, stored: bytes
) -> None:
    sha = write_object(clone, "blob", b"mine")
    file_of(clone, sha).chmod(0o644)
    put(clone, sha, stored)
    with pytest.raises(GitFailed) as failed:
        objects.look(sha)
    assert failed.value.of_a_rotten_clone


@pytest.mark.parametrize("content", [b"\0" * 4_001, bytes(range(256)) * 16])
def test_an_object_that_is_larger_than_any_record_is_refused_by_its_size(
    clone: Path, objects: CloneObjects, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(clone_objects, "MOST_BYTES", 4_000)
    monkeypatch.setattr(clone_objects, "_MORE", 64)
    sha = write_object(clone, "blob", content)
    with pytest.raises(LedgerCorrupt, match=f"has {len(content):,} bytes; the most .* is 4,000"):
        objects.look(sha)
    sha = write_object(clone, "blob", content[:4_000])
    found = objects.look(sha)
    assert found
    assert found.content == content[:4_000]
