"""What the GitHub for tests reads and writes of git by itself, held against git."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.git_objects import NOTHING
from tests.github import packs
from tests.github.gitserver import Bare, GitFailed
from tests.github.history import History, TakesGit
from tests.github.receive import packet
from tests.ledgers import git
from tests.smart_http import result

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN = "Ann <ann@example.org>"
WORKFLOW = ".github/workflows/ci.yml"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    made = Bare(tmp_path / "r.git")
    yield made
    made.close()


def put(bare: Bare, ref: str, parents: list[str], at: datetime = AT, **files: str | None) -> str:
    return bare.commit(f"refs/heads/{ref}", files, f"Put {sorted(files)}", at, ANN, parents)


def test_a_new_repository_is_as_git_makes_it(bare: Bare, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "--template=", "-b", "main", "other.git")
    other = tmp_path / "other.git"
    made = {each.relative_to(bare.path) for each in bare.path.rglob("*")}
    assert made - {Path("hooks"), Path("hooks/pre-receive")} == {
        each.relative_to(other) for each in other.rglob("*")
    }
    assert (bare.path / "HEAD").read_text() == (other / "HEAD").read_text()
    assert (bare.path / "config").read_text().startswith((other / "config").read_text())


def test_a_commit_is_what_fast_import_makes_of_the_same(bare: Bare, tmp_path: Path) -> None:
    other = Bare(tmp_path / "other.git")
    steps: list[dict[str, str | bytes | None]] = [
        {"README.md": "# x\n", "a/b/c": "1", "a.txt": "2", "a/b-c": b"\0\xff"},
        {"a/b/c": None, "a0": "3", "é/ü": "4"},
        {"a/b/c": "5", "a.txt": None, "a/b-c": "6"},
        {"a/b/c": None, "a/b-c": None, "nothing/there": None},
        {"é": "no folder any more"},
        {"README.md": None, "a0": None, "é": None},
    ]
    parents: list[str] = []
    for number, files in enumerate(steps):
        at, message = AT + timedelta(minutes=number), f"Step {number}\n\nwith ü\n"
        ours = bare.commit("refs/heads/main", files, message, at, ANN, parents)
        real = other._imported("refs/heads/main", files, message, at, ANN, parents)
        assert ours == real
        assert bare.sha("refs/heads/main") == ours
        parents = [ours]
    git(bare.path, "fsck", "--strict")


def test_a_path_is_looked_up_as_git_does(bare: Bare) -> None:
    tip = bare.commit("refs/heads/main", {"a/b": "1", "c": "2"}, "x", AT, ANN)
    for path in ("a", "a/b", "c"):
        assert bare.sha(f"HEAD:{path}") == git(bare.path, "rev-parse", f"{tip}:{path}")
    for path in ("d", "a/c", "c/d", "a/b/c"):
        assert bare.sha(f"HEAD:{path}") is None
    for content in ("", "x", "é"):
        [stored] = bare.store([content])
        assert stored == git(bare.path, "hash-object", "--stdin", stdin=content)
        assert bare.read(stored) == content.encode()


@pytest.fixture
def knit(bare: Bare) -> dict[str, str]:
    """Two lines that were merged, all in one second but for one of yesterday; and a stranger."""
    found = {"root": put(bare, "main", [], a="1")}
    found["left"] = put(bare, "left", [found["root"]], b="1")
    found["old"] = put(bare, "right", [found["root"]], AT - timedelta(days=1), c="1")
    found["right"] = put(bare, "right", [found["old"]], c="2")
    found["merge"] = put(bare, "main", [found["left"], found["right"]], d="1")
    found["next"] = put(bare, "main", [found["merge"]], AT + timedelta(hours=1), d="2")
    found["alone"] = put(bare, "alone", [], e="1")
    return found


def test_history_is_walked_as_git_walks_it(bare: Bare, knit: dict[str, str]) -> None:
    history = History(bare._objects.loose)
    for new in knit.values():
        assert history.between([], new) == git(bare.path, "rev-list", new).split()
        for old in ("root", "left", "old", "merge", "alone"):
            asked = git(bare.path, "rev-list", new, f"^{knit[old]}").split()
            assert history.between([knit[old]], new) == asked
    assert bare.contains(knit["next"], knit["old"])
    assert not bare.contains(knit["left"], knit["right"])
    assert bare.related(knit["left"], knit["right"])
    assert not bare.related(knit["left"], knit["alone"])
    assert bare.about(knit["next"], "%B") == git(
        bare.path, "log", "-1", "--format=%B", knit["next"]
    )


def test_what_is_in_a_pack_or_goes_too_far_is_left_to_git(
    bare: Bare, knit: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bare.between(NOTHING, knit["next"])
    monkeypatch.setattr("tests.github.history._MOST", 2)
    with pytest.raises(TakesGit):
        History(bare._objects.loose).between([], knit["next"])
    assert bare.between(NOTHING, knit["next"]) == before
    monkeypatch.undo()
    git(bare.path, "repack", "-adq")
    packed = Bare(bare.path)
    with pytest.raises(TakesGit):
        History(packed._objects.loose).commit(knit["next"])
    assert packed.between(NOTHING, knit["next"]) == before
    assert packed.contains(knit["next"], knit["root"])
    assert packed.sha("HEAD:d") == bare.sha("HEAD:d")
    later = put(packed, "main", [knit["next"]], d="3")
    assert packed.between(knit["next"], later) == [later]
    packed.close()


def test_a_ref_is_moved_as_git_moves_it_and_else_left_to_git(
    bare: Bare, knit: dict[str, str]
) -> None:
    def refs() -> str:
        return git(bare.path, "for-each-ref", "--format=%(refname) %(objectname)")

    bare.set_ref("refs/heads/a/b", knit["left"])
    assert f"refs/heads/a/b {knit['left']}" in refs()
    for ref, sha in (("refs/heads/a", "left"), ("refs/heads/a/b/c", "left"), ("refs/x", "none")):
        with pytest.raises(GitFailed):
            bare.set_ref(ref, knit.get(sha, "1" * 40))
    with pytest.raises(GitFailed):
        bare.set_ref("refs/heads/a/b", knit["right"], knit["right"])
    [blob] = bare.store(["no commit"])
    with pytest.raises(GitFailed):
        bare.set_ref("refs/heads/a/b", blob)
    bare.delete_ref("refs/heads/a/b")
    bare.set_ref("refs/heads/a", knit["right"])
    assert f"refs/heads/a {knit['right']}" in refs()
    git(bare.path, "pack-refs", "--all")
    bare.delete_ref("refs/heads/a")
    bare.set_ref("refs/heads/right", knit["root"])
    assert "refs/heads/a " not in refs()
    assert f"refs/heads/right {knit['root']}" in refs()


def packed(bare: Bare, asked: str, *flags: str) -> bytes:
    command = ["git", "-C", str(bare.path), "pack-objects", "--quiet", "--revs", "--stdout"]
    return subprocess.run(
        [*command, *flags], input=f"{asked}\n".encode(), check=True, capture_output=True
    ).stdout


def test_a_pack_is_read_as_git_reads_it(bare: Bare) -> None:
    lines = [f"line {number} of {number * number}\n" for number in range(9000)]
    first = put(bare, "main", [], a="".join(lines), b="x")
    second = put(bare, "main", [first], a="".join([*lines[:70], "new\n", *lines[90:]]), b="y")
    for asked, *flags in (
        (second, "--delta-base-offset"),
        (second,),
        (f"{second}\n^{first}", "--thin"),
    ):
        pack = packed(bare, asked, *flags)
        assert len(pack) < len(packed(bare, asked, "--window=0")), "nothing is a delta"
        found = packs.read(pack, bare._objects.loose)
        listed = git(bare.path, "rev-list", "--objects", *asked.split()).splitlines()
        assert found.keys() == {line.split()[0] for line in listed}
        assert all(thing == bare._objects.loose(sha) for sha, thing in found.items())
    with pytest.raises(LookupError):
        packs.read(pack, lambda sha: None)


def pushed(lines: list[str], pack: bytes = b"", capabilities: str = "") -> bytes:
    told = capabilities or "report-status-v2 side-band-64k object-format=sha1 agent=git/x"
    first, *others = lines
    rows = [f"{first}\0 {told}", *others]
    return b"".join(packet(each.encode()) for each in rows) + b"0000" + pack


POST = {
    "PATH_INFO": "/git-receive-pack",
    "REQUEST_METHOD": "POST",
    "QUERY_STRING": "",
    "CONTENT_TYPE": "application/x-git-receive-pack-request",
    "REMOTE_USER": "somebody",
}


def test_a_push_is_taken_without_its_hook_only_if_that_would_say_nothing(bare: Bare) -> None:
    base = put(bare, "main", [], **{WORKFLOW: "a", "a": "1", ".github/CODEOWNERS": "x"})
    plain = put(bare, "plain", [], a="1")
    gone = {WORKFLOW: None, ".github/CODEOWNERS": None}
    earlier = put(bare, "t", [plain], **{WORKFLOW: "c"})
    tips = {
        "plain": put(bare, "t", [plain], a="2"),
        "two": put(bare, "t", [put(bare, "t", [plain], a="3")], a="4"),
        "adds": put(bare, "t", [plain], **{WORKFLOW: "b"}),
        "takes away": put(bare, "t", [base], **gone),
        "on one that has some": put(bare, "t", [base], a="5"),
        "earlier": put(bare, "t", [earlier], **gone),
        "merged": put(bare, "t", [plain, base], a="6"),
    }
    bare.delete_ref("refs/heads/t")
    for number, (name, tip) in enumerate(tips.items()):
        ref, spared = f"refs/heads/new{number}", name in ("plain", "two")
        body = pushed([f"{NOTHING} {tip} {ref}"], packed(bare, f"{tip}\n^{base}\n^{plain}"))
        assert not (spared and bare.refused([(ref, NOTHING, tip)], {"GH_NO_WORKFLOWS": "an App"}))
        told = {**POST, "GH_NO_WORKFLOWS": "an App"}
        assert bare._taken({**told, "GH_RULES": f"{ref}\tcreation"}, body) is None, name
        assert (bare._taken(told, body) is not None) == spared, name
        assert (bare.sha(ref) is not None) == spared, name


def test_what_is_pushed_is_taken_as_git_takes_it(bare: Bare, tmp_path: Path) -> None:
    first = put(bare, "main", [], a="1", b="2")
    there = put(bare, "gate/there", [first], a="2")
    other = Bare(tmp_path / "other.git")
    shutil.copytree(bare.path, other.path, dirs_exist_ok=True)
    source = Bare(tmp_path / "source.git")
    shutil.copytree(bare.path, source.path, dirs_exist_ok=True)
    new = put(source, "x", [there], **{"a": "3", "é/b": "4"})
    second = put(source, "x", [new], a="4")
    pack, thin = packed(source, second), packed(source, f"{second}\n^{there}", "--thin")
    only, none = packed(source, f"{second}\n^{new}"), packed(source, f"{new}\n^{new}")
    pushes = {
        "new, moved and deleted": (
            [
                f"{NOTHING} {new} refs/heads/gate/new",
                f"{first} {second} refs/heads/main",
                f"{there} {NOTHING} refs/heads/gate/there",
            ],
            thin,
        ),
        "with what is there": ([f"{NOTHING} {second} refs/heads/again"], pack),
        "of nothing new": ([f"{NOTHING} {there} refs/heads/gate/there"], none),
        "back": ([f"{second} {first} refs/heads/main"], none),
    }
    for name, (lines, content) in pushes.items():
        body = pushed(lines, content)
        ours = bare._taken(POST, body)
        assert ours is not None, name
        real = other.serve({**POST, "GH_RULES": "refs/heads/no\tcreation"}, body)
        assert (200, result("git-receive-pack", ours).headers, ours) == real, name
        assert bare.refs() == other.refs(), name
        assert not [*bare.path.rglob("*.lock"), *bare.path.rglob("tmp_*")]
    git(bare.path, "fsck", "--strict")

    before = bare.refs()
    for name, (lines, content) in {
        "elsewhere": ([f"{there} {second} refs/heads/main"], pack),
        "there": ([f"{NOTHING} {second} refs/heads/main"], pack),
        "gone": ([f"{first} {NOTHING} refs/heads/nowhere"], b""),
        "one of two": (
            [f"{NOTHING} {second} refs/heads/b", f"{there} {second} refs/heads/main"],
            pack,
        ),
        "in a folder's place": ([f"{NOTHING} {second} refs/heads/gate"], pack),
        "beneath a branch": ([f"{NOTHING} {second} refs/heads/main/x"], pack),
        "both of these": (
            [f"{NOTHING} {first} refs/heads/c", f"{NOTHING} {first} refs/heads/c/d"],
            none,
        ),
        "of HEAD": ([f"{first} {NOTHING} refs/heads/main"], b""),
        "a tag": ([f"{NOTHING} {first} refs/tags/v1"], none),
        "hidden": ([f"{NOTHING} {first} refs/pull/9/head"], none),
        "an odd name": ([f"{NOTHING} {first} refs/heads/a..b"], none),
        "no pack": ([f"{NOTHING} {first} refs/heads/b"], b""),
        "no commit": ([f"{NOTHING} {'1' * 40} refs/heads/b"], none),
    }.items():
        assert bare._taken(POST, pushed(lines, content)) is None, name
    body = pushed([f"{NOTHING} {second} refs/heads/b"], only)
    assert Bare(tmp_path / "empty.git")._taken(POST, body) is None, "its parent is missing"
    assert bare._taken(POST, body[:-30]) is None, "cut off"
    assert bare._taken(POST, b"0000") is None, "a question whether one may push"
    for capabilities in (
        "side-band-64k",
        "report-status",
        "report-status side-band-64k push-options",
    ):
        lines = [f"{NOTHING} {second} refs/heads/b"]
        assert bare._taken(POST, pushed(lines, pack, capabilities)) is None
    with (bare.path / "refs/heads/main.lock").open("x"):
        body = pushed([f"{first} {second} refs/heads/main"], pack)
        assert bare._taken(POST, body) is None, "somebody else is about to move it"
    assert bare.refs() == before
