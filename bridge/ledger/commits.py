"""The commits that the bridge makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bridge.core.evaluation import Actor
from bridge.ledger.clone import GitClone
from bridge.ledger.commit_message import git_name

BRIDGE = Actor("approval bridge", "approval-bridge@localhost")


class Commits:
    """`sign`: git signs each of them."""

    def __init__(self, clone: GitClone, sign: bool) -> None:
        self._clone = clone
        self._sign = sign

    def make(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        *,
        author: Actor,
        at: datetime | None = None,
    ) -> str:
        env = {
            "GIT_AUTHOR_NAME": git_name(author.name) or "unknown",
            "GIT_AUTHOR_EMAIL": git_name(author.email or ""),
            "GIT_COMMITTER_NAME": BRIDGE.name,
            "GIT_COMMITTER_EMAIL": BRIDGE.email or "",
        }
        if at:
            stamp = f"@{max(0, int(at.timestamp()))} +0000"
            env["GIT_AUTHOR_DATE"] = env["GIT_COMMITTER_DATE"] = stamp
        return self._clone.write_commit(tree, parents, message, env, sign=self._sign)
