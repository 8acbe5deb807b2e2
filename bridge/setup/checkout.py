"""Somebody's own checkout: its files, and the ledger's branches beside them.

The only place that touches what is theirs. Their index, their other branches and what they have
not committed stay as they are.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bridge.core.errors import BridgeError
from bridge.core.remote_url import repository_on
from bridge.core.shards import FIRST, PATTERN, oldest_first
from bridge.ledger.git import GitFailed, run

_HEADS: Final = "refs/heads/"


class Checkout:
    """The repository around a folder. Raises `BridgeError` if there is none."""

    def __init__(self, folder: Path, remote: str = "origin") -> None:
        self.remote = remote
        self.top = folder
        try:
            self.top = Path(self._git("rev-parse", "--show-toplevel").strip())
        except GitFailed:
            raise BridgeError(
                f"{folder} is in no git repository: run this in a checkout of yours"
            ) from None

    def _git(self, *args: str, stdin: str = "", **more: str) -> str:
        return run(
            ["-C", str(self.top), *args],
            {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **more},
            stdin=stdin,
        )

    def _asked(self, *args: str) -> str | None:
        """What git answers, stripped; None if it says no."""
        try:
            return self._git(*args).strip()
        except GitFailed:
            return None

    # -- its files -----------------------------------------------------------------------------

    def read(self, path: str) -> str | None:
        """A file as it lies there; None if there is none."""
        try:
            return (self.top / path).read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BridgeError(f"{self.top / path} cannot be read: {error.strerror}") from None

    def write(self, path: str, text: str) -> None:
        target = self.top / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BridgeError(f"{target} cannot be written: {error.strerror}") from None

    # -- where it is pushed to -----------------------------------------------------------------

    def repository(self, server_url: str) -> str | None:
        """`owner/name`, as the remote's address says; None if it doesn't.

        Raises `BridgeError` if the remote is on another server.
        """
        return repository_on(self._asked("remote", "get-url", self.remote) or "", server_url)

    def authors(self) -> list[tuple[str, str]]:
        """Name and address of those who wrote the newest commits; none if there is no commit."""
        told = self._asked("log", "-1000", "--format=%an%x09%ae") or ""
        rows = (row.partition("\t") for row in dict.fromkeys(told.splitlines()))
        return [(name, address) for name, _, address in rows]

    # -- the ledger's branches -----------------------------------------------------------------

    def catch_up(self) -> None:
        """Have the remote's ledger here, if there is a remote and it has one.

        Raises `BridgeError` if it cannot be reached, or if two branches went apart.
        """
        if self._asked("remote", "get-url", self.remote) is None:
            return
        pattern = f"{_HEADS}{PATTERN}"
        try:
            listed = self._git("ls-remote", "--quiet", "--heads", self.remote, pattern)
        except GitFailed as error:
            raise BridgeError(
                f"{self.remote} cannot be reached, so it is not known whether it has a ledger:"
                f" {_last(error)}"
            ) from None
        for shard, theirs in _named(listed).items():
            if self._asked("merge-base", "--is-ancestor", theirs, f"{_HEADS}{shard}") is None:
                self._bring(shard)

    def _bring(self, shard: str) -> None:
        ref = f"{_HEADS}{shard}"
        try:
            self._git("fetch", "--quiet", "--no-tags", self.remote, f"{ref}:{ref}")
        except GitFailed as error:
            raise BridgeError(
                f"your branch {shard} and that of {self.remote} went apart, or yours is"
                f" checked out ({_last(error)}): go to another branch, delete your"
                f" {shard} with `git branch -D {shard}`, and try again"
            ) from None

    def shards(self) -> list[str]:
        """The ledger's branches that are here, oldest first."""
        listed = self._git("for-each-ref", "--format=%(objectname)%09%(refname)", _HEADS)
        return [*_named(listed)]

    def in_ledger(self, path: str, shard: str = FIRST) -> str | None:
        """A file as the ledger's branch has it, less its last line break; None: there is none."""
        try:
            return self._git("cat-file", "blob", f"{_HEADS}{shard}:{path}")
        except GitFailed:
            return None

    def add_to_ledger(self, files: Mapping[str, str], message: str, shard: str = FIRST) -> None:
        """One commit on the ledger's branch, which begins with it if there was none."""
        ref = f"{_HEADS}{shard}"
        tip = self._asked("rev-parse", "--verify", "--quiet", ref) or ""
        try:
            with tempfile.TemporaryDirectory() as folder:
                index = {"GIT_INDEX_FILE": f"{folder}/index"}
                self._git("read-tree", tip or "--empty", **index)
                for path, text in files.items():
                    blob = self._git("hash-object", "-w", "--stdin", stdin=text).strip()
                    self._git(
                        "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index
                    )
                tree = self._git("write-tree", **index).strip()
            parent = ["-p", tip] if tip else []
            commit = self._git("commit-tree", tree, *parent, stdin=f"{message}\n").strip()
            self._git("update-ref", "-m", "hitl init", ref, commit, tip or "0" * 40)
        except GitFailed as error:
            raise BridgeError(
                f"the branch {shard} cannot be written in {self.top}: {_last(error)}"
            ) from None

    def ledger_is_pushed(self) -> bool:
        """Whether the remote has all of it, as far as this checkout knows."""
        pattern = f"{_HEADS}{PATTERN}"
        theirs = _named(self._asked("ls-remote", "--quiet", "--heads", self.remote, pattern) or "")
        return all(
            theirs.get(shard) == self._asked("rev-parse", f"{_HEADS}{shard}")
            for shard in self.shards()
        )

    def push_ledger(self) -> None:
        """Never forced."""
        shards = self.shards()
        refs = [f"{_HEADS}{shard}:{_HEADS}{shard}" for shard in shards]
        try:
            self._git("push", "--quiet", "--no-verify", self.remote, *refs)
        except GitFailed as error:
            raise BridgeError(
                f"{', '.join(shards)} cannot be pushed to {self.remote}: {_last(error)}"
            ) from None


def _named(listed: str) -> dict[str, str]:
    """The ledger's branches among lines of a commit and a ref, oldest first."""
    rows = (row.partition("\t") for row in listed.splitlines())
    found = {ref.removeprefix(_HEADS): sha for sha, _, ref in rows if ref.startswith(_HEADS)}
    return {shard: found[shard] for shard in oldest_first(found)}


def _last(error: GitFailed) -> str:
    """The line of git's complaint that says most, with no credential in it."""
    lines = [line.strip() for line in error.said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"fatal:|error:|remote: error|!", line)]
    text = (telling or lines or ["it did not say why"])[0]
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)
