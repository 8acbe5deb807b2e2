"""The next branch of a ledger: when it is due, and its first commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from bridge.core.records import turn_in, turn_out
from bridge.core.shards import LEDGER_FILE, Turn, asked_on, begin_of, first_turn, next_branch
from bridge.ledger.clone import GitClone
from bridge.ledger.git import BLOBS, FOLDER, Tree
from bridge.ledger.readme import README

#: What a branch holds of its own, and the next one begins without.
_OWN: Final = frozenset(("gates", "baselines"))


def first_tree(clone: GitClone, at: datetime) -> str:
    """The tree with which a ledger begins."""
    return clone.write_tree(
        {
            "README.md": clone.write_blob(README),
            LEDGER_FILE: clone.write_blob(turn_out(first_turn(at))),
        }
    ).sha


def due(clone: GitClone, shards: Mapping[str, str], at: datetime) -> tuple[str, Turn] | None:
    """The branch to begin at this time. Raises `LedgerCorrupt` if `ledger.yaml` can't be read."""
    newest = asked_on(shards, at)
    if newest is None:
        return None
    clone.bring_roots([shards[newest]])
    file = clone.tree(clone.root(shards[newest])).get(LEDGER_FILE)
    if file is None or file.mode not in BLOBS:
        return None
    turn = turn_in(clone.blob(file.sha), f"{LEDGER_FILE} on {newest}")
    name = next_branch(newest, turn, at)
    return (name, turn) if name else None


def next_tree(clone: GitClone, newest: str, name: str, turn: Turn) -> str:
    """Of the first commit: all that is on the newest branch and is no record. The relay has to be
    on each branch that a pull request leads to."""
    kept = {
        entry: leaf for entry, leaf in clone.tree(clone.root(newest)).items() if entry not in _OWN
    }
    _bring_all(clone, kept)
    text = turn_out(replace(turn, begun=begin_of(name)))
    return clone.write_tree({**kept, LEDGER_FILE: clone.write_blob(text)}).sha


def _bring_all(clone: GitClone, entries: Tree) -> None:
    """Have all that is in this folder here: the first commit has no parent by which git could see
    that the remote has it."""
    clone.bring(leaf.sha for leaf in entries.values() if leaf.mode in BLOBS or leaf.mode == FOLDER)
    for leaf in entries.values():
        if leaf.mode == FOLDER:
            _bring_all(clone, clone.tree(leaf.sha))


def first_message(name: str, shards: Mapping[str, str]) -> str:
    """It names the heads of all other branches, so that none of them can be deleted or cut
    unseen. They are no parents: `git log` of a branch shows that branch alone."""
    follows = "".join(f"Follows: {branch} {head}\n" for branch, head in shards.items())
    return f"The branch {name} begins\n\n{follows}"
