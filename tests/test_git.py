"""The bridge's own clone: what it holds, what it never fetches, whom it lets in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.core.errors import LedgerUnavailable
from bridge.core.evaluation import Actor
from bridge.ledger.clone import GitClone
from bridge.ledger.clone_health import MOST_PACKS
from bridge.ledger.commit_message import git_name
from bridge.ledger.commits import BRIDGE, Commits
from bridge.ledger.git import GitFailed, Leaf, make_bare, read_tree
from bridge.ledger.remote import Remote
from tests.ledgers import LEDGER, git, ledger_of, threads_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return ledger_of(tmp_path / "ledger.git", 3)


@pytest.fixture
def clone(repository: Path, tmp_path: Path) -> GitClone:
    return GitClone(Remote(str(repository)), tmp_path / "cache")


def head(repository: Path) -> str:
    return git(repository, "rev-parse", "approvals")


def kept(tmp_path: Path) -> list[str]:
    (folder,) = (tmp_path / "cache").glob("*/clone.git")
    return git(folder, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()


def test_a_commit_is_brought_without_its_tree_and_a_tree_without_what_is_beneath(
    clone: GitClone, repository: Path, tmp_path: Path
) -> None:
    with clone.held():
        clone.bring_tips([head(repository)])
        assert kept(tmp_path) == ["commit"]
        root = clone.commit(head(repository)).split("\n")[0].split(" ")[1]
        assert clone.tree(root).keys() == {"README.md", "gates", "ledger.yaml"}
        assert sorted(kept(tmp_path)) == ["commit", "tree"]


def test_what_is_here_is_not_asked_for_again(
    clone: GitClone, repository: Path, tmp_path: Path
) -> None:
    with clone.held():
        clone.bring_tips([head(repository)])
    repository.rename(tmp_path / "away")
    with clone.held():
        clone.bring_tips([head(tmp_path / "away")])
        assert clone.commit(head(tmp_path / "away"))


def test_an_object_that_the_server_does_not_have_is_told(clone: GitClone) -> None:
    with clone.held(), pytest.raises(GitFailed):
        clone.commit("f" * 40)


def test_a_tree_is_written_as_git_writes_it(clone: GitClone, repository: Path) -> None:
    blob = git(repository, "hash-object", "-w", "--stdin", stdin="x")
    below = git(repository, "mktree", stdin=f"100644 blob {blob}\tx\n")
    rows = [f"040000 tree {below}\ta", f"100644 blob {blob}\ta.b", f"100644 blob {blob}\ta0"]
    theirs = git(repository, "mktree", stdin="\n".join([*rows, f"100644 blob {blob}\té"]) + "\n")
    with clone.held():
        assert clone.write_blob("x") == Leaf("100644", blob)
        folder = Leaf("40000", below)
        entries = {"é": Leaf("100644", blob), "a0": Leaf("100644", blob), "a": folder}
        assert clone.write_tree({**entries, "a.b": Leaf("100644", blob)}).sha == theirs
        assert clone.tree(theirs)["a"] == folder


def test_a_folder_with_no_entry_is_an_empty_tree() -> None:
    assert read_tree(b"") == {}


def test_a_clone_with_too_many_packs_is_made_anew(
    clone: GitClone, repository: Path, tmp_path: Path
) -> None:
    with clone.held():
        clone.bring_tips([head(repository)])
    (folder,) = (tmp_path / "cache").glob("*/clone.git")
    for number in range(MOST_PACKS + 1):
        (folder / "objects" / "pack" / f"pack-{number}.pack").write_text("")
    with clone.held():
        assert not list((folder / "objects" / "pack").glob("*.pack"))


def test_a_push_is_all_or_nothing(clone: GitClone, repository: Path) -> None:
    with clone.held():
        clone.bring_tips([head(repository)])
        tip = head(repository)
        with pytest.raises(GitFailed, match="stale info"):
            clone.push(
                {"refs/heads/a": tip, "refs/heads/b": tip},
                {"refs/heads/a": "", "refs/heads/b": tip},
            )
    assert git(repository, "for-each-ref", "--format=%(refname)") == "refs/heads/approvals"


def test_a_branch_that_moved_since_it_was_read_is_not_overwritten(
    clone: GitClone, repository: Path
) -> None:
    git(repository, "branch", "gate", "approvals")
    with clone.held():
        before = head(repository)
        clone.bring_tips([before])
        made = a_commit(clone, before, "Ann")
        with pytest.raises(GitFailed, match="stale info"):
            clone.push({"refs/heads/gate": made}, {"refs/heads/gate": made})
        with pytest.raises(GitFailed, match="stale info"):  # upon a record that has moved
            clone.push({"refs/heads/gate": made}, {"refs/heads/gate": before, LEDGER: made})
    assert git(repository, "rev-parse", "gate") == before


def a_commit(clone: GitClone, before: str, name: str) -> str:
    tree = clone.write_tree({}).sha
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Commits(clone, False).make(
        tree, [before, before], "x\n", author=Actor(name, name), at=at
    )


@pytest.mark.parametrize("name", ["Ann", "", "Ä <a@b>", "<a>", ".\"x'", "a\n\0b\x1b[2J"])
def test_a_commit_is_the_one_that_git_would_make(
    clone: GitClone, repository: Path, name: str
) -> None:
    before = head(repository)
    with clone.held():
        made = a_commit(clone, before, name)
        tree = clone.root(made)
    own = clone._dir
    when = "1772323200 +0000"
    env = {f"GIT_{who}_DATE": when for who in ("AUTHOR", "COMMITTER")}
    env |= {"GIT_AUTHOR_NAME": git_name(name) or "unknown", "GIT_AUTHOR_EMAIL": git_name(name)}
    env |= {"GIT_COMMITTER_NAME": BRIDGE.name, "GIT_COMMITTER_EMAIL": BRIDGE.email or ""}
    git(own, "fetch", "-q", "--depth=1", str(repository), before)
    assert git(own, "commit-tree", tree, "-p", before, stdin="x\n", env=env) == made
    git(own, "fsck", "--strict", made)


def test_one_thread_at_a_time_holds_the_clone(clone: GitClone) -> None:
    inside: list[int] = []
    most: list[int] = []
    both = threading.Barrier(2)

    def hold() -> None:
        both.wait()
        for _ in range(20):
            with clone.held():
                inside.append(1)
                clone.write_blob(f"{len(most)}")  # long enough for the other to come in
                most.append(len(inside))
                with clone.held():  # the holder may ask again
                    pass
                inside.pop()

    threads_of([hold, hold])
    assert set(most) == {1}
    assert len(most) == 40


def test_two_addresses_of_one_path_share_a_clone_and_two_ledgers_do_not(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for remote in (str(repository), "ledger.git", "./ledger.git"):
        with GitClone(Remote(remote), tmp_path / "cache").held():
            pass
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with GitClone(Remote(str(tmp_path / "other.git")), tmp_path / "cache").held():
        pass
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://bot:s3cret@example.org/a.git", "https://example.org/a.git"),
        ("https://s3cret@example.org:8443/a.git", "https://example.org:8443/a.git"),
        ("https://example.org/a.git", "https://example.org/a.git"),
        ("ssh://git@example.org/a.git", "ssh://git@example.org/a.git"),
        ("ssh://git:s3cret@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("file:///srv/a b.git", "file:///srv/a b.git"),
        ("/srv/a b/é.git", "/srv/a b/é.git"),
    ],
)
def test_an_address_is_shown_without_its_credential(
    remote: str, shown: str, tmp_path: Path
) -> None:
    clone = GitClone(Remote(remote), tmp_path)
    assert clone.remote.where == shown
    assert "s3cret" not in repr(clone)


def test_an_address_that_cannot_be_read_is_told_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="check HITL_LEDGER") as caught:
        GitClone(Remote("https://bot:s3cret@[x/a.git"), tmp_path)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_an_address_of_a_file_is_read_like_a_path(repository: Path, tmp_path: Path) -> None:
    clone = GitClone(Remote(f"file://{repository}"), tmp_path / "cache")
    assert clone.remote_refs() == {"refs/heads/approvals": head(repository)}


def test_a_host_that_ssh_would_take_for_an_option_is_none(tmp_path: Path) -> None:
    with pytest.raises(GitFailed):
        GitClone(Remote("ssh://-oProxyCommand=x/a"), tmp_path / "cache").remote_refs()


def test_an_ssh_address_goes_through_the_users_own_ssh(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/said"\nfor last; do :; done\neval "$last"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    clone = GitClone(Remote(f"someone@example.org:{repository}"), tmp_path / "cache")
    assert clone.remote_refs() == {"refs/heads/approvals": head(repository)}
    assert (tmp_path / "said").read_text().startswith("someone@example.org git-upload-pack")


def test_a_repository_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(GitFailed):
        make_bare(tmp_path / "new.git", {"no section": "x"})
    assert list(tmp_path.iterdir()) == []


def test_whoever_makes_the_same_repository_second_finds_the_first(tmp_path: Path) -> None:
    threads_of([lambda: make_bare(tmp_path / "new.git", {"a.b": "c"})] * 4)
    assert [each.name for each in tmp_path.iterdir()] == ["new.git"]
    assert git(tmp_path / "new.git", "config", "a.b") == "c"


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LedgerUnavailable, match="cannot keep its clone"),
        GitClone(Remote("x"), tmp_path / "file" / "cache").held(),
    ):
        pass
