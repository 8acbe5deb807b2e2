"""Somebody's own checkout: its files, and the ledger's branch beside them.

The only place that touches what is theirs. Their index, their other branches and what they have
not committed stay as they are.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bridge.core.errors import BridgeError
from bridge.core.shards import FIRST
from bridge.ledger.git import GitFailed, run

_LEDGER: Final = f"refs/heads/{FIRST}"
_ADDRESS: Final = re.compile(r"(?:.*[/:])?([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)


class Checkout:
    """The repository around a folder. Raises `BridgeError` where there is none."""

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
        """What git answers, stripped; None where it says no."""
        try:
            return self._git(*args).strip()
        except GitFailed:
            return None

    # -- its files -----------------------------------------------------------------------------

    def read(self, path: str) -> str | None:
        """A file as it lies there; None where there is none."""
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

    @property
    def repository(self) -> str | None:
        """`owner/name`, as the remote's address tells; None where it tells nothing."""
        address = self._asked("remote", "get-url", self.remote) or ""
        found = _ADDRESS.fullmatch(urlsplit(address).path if "://" in address else address)
        return found[1] if found else None

    def authors(self) -> list[tuple[str, str]]:
        """Name and address of those who wrote the newest commits; none if there is no commit."""
        told = self._asked("log", "-1000", "--format=%an%x09%ae") or ""
        rows = (row.partition("\t") for row in dict.fromkeys(told.splitlines()))
        return [(name, address) for name, _, address in rows]

    # -- the ledger's branch -------------------------------------------------------------------

    def catch_up(self) -> bool:
        """Have the remote's ledger here; False where the remote has none, or there is no remote.

        Raises `BridgeError` where it cannot be reached, or where the two branches went apart.
        """
        if self._asked("remote", "get-url", self.remote) is None:
            return False
        try:
            listed = self._git("ls-remote", "--quiet", "--heads", self.remote, _LEDGER)
        except GitFailed as error:
            raise BridgeError(
                f"{self.remote} cannot be reached, so it is not known whether it has a ledger:"
                f" {_last(error)}"
            ) from None
        theirs = listed.partition("\t")[0]
        if not theirs:
            return False
        if self._asked("merge-base", "--is-ancestor", theirs, _LEDGER) is None:
            self._bring()
        return True

    def _bring(self) -> None:
        try:
            self._git("fetch", "--quiet", "--no-tags", self.remote, f"{_LEDGER}:{_LEDGER}")
        except GitFailed as error:
            raise BridgeError(
                f"your branch {FIRST} and that of {self.remote} went apart, or yours is"
                f" checked out ({_last(error)}): go to another branch, delete your"
                f" {FIRST} with `git branch -D {FIRST}`, and try again"
            ) from None

    def has_ledger(self) -> bool:
        return self._asked("rev-parse", "--verify", "--quiet", _LEDGER) is not None

    def in_ledger(self, path: str) -> str | None:
        """A file as the ledger's branch has it, less its last line break; None: there is none."""
        try:
            return self._git("cat-file", "blob", f"{_LEDGER}:{path}")
        except GitFailed:
            return None

    def add_to_ledger(self, files: Mapping[str, str], message: str) -> None:
        """One commit on the ledger's branch, which begins with it where there was none."""
        tip = self._asked("rev-parse", "--verify", "--quiet", _LEDGER) or ""
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
            self._git("update-ref", "-m", "hitl init", _LEDGER, commit, tip or "0" * 40)
        except GitFailed as error:
            raise BridgeError(
                f"the branch {FIRST} cannot be written in {self.top}: {_last(error)}"
            ) from None

    def ledger_is_pushed(self) -> bool:
        """Whether the remote has all of it, as far as this checkout was told."""
        listed = self._asked("ls-remote", "--quiet", "--heads", self.remote, _LEDGER) or ""
        return listed.partition("\t")[0] == self._asked("rev-parse", _LEDGER)

    def push_ledger(self) -> None:
        """Never forced."""
        try:
            self._git("push", "--quiet", "--no-verify", self.remote, f"{_LEDGER}:{_LEDGER}")
        except GitFailed as error:
            raise BridgeError(
                f"{FIRST} cannot be pushed to {self.remote}: {_last(error)}"
            ) from None


def _last(error: GitFailed) -> str:
    """The line of git's complaint that tells most, with no credential in it."""
    lines = [line.strip() for line in error.said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"fatal:|error:|remote: error|!", line)]
    text = (telling or lines or ["it did not say why"])[0]
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)
