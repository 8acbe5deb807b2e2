"""The commits that the bridge makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

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
        stamp = f"@{max(0, int((at or datetime.now(UTC)).timestamp()))} +0000"
        name, email = git_name(author.name) or "unknown", git_name(author.email or "")
        if self._sign:
            env = {
                "GIT_AUTHOR_NAME": name,
                "GIT_AUTHOR_EMAIL": email,
                "GIT_COMMITTER_NAME": BRIDGE.name,
                "GIT_COMMITTER_EMAIL": BRIDGE.email or "",
                "GIT_AUTHOR_DATE": stamp,
                "GIT_COMMITTER_DATE": stamp,
            }
            return self._clone.write_signed_commit(tree, parents, message, env)
        head = [f"tree {tree}", *(f"parent {each}" for each in dict.fromkeys(parents))]
        head += [f"author {name} <{email}> {stamp[1:]}"]
        head += [f"committer {BRIDGE.name} <{BRIDGE.email}> {stamp[1:]}"]
        return self._clone.write_commit("\n".join([*head, "", message]))
