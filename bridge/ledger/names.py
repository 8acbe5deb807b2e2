"""Which gate a person means: an id, the start of one, or a natural key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from bridge.core.errors import NoSuchGate
from bridge.core.listing import ID_LENGTH
from bridge.core.model import FOLDER_LEVELS, Standing, start_of_id
from bridge.ledger.clone import GitClone
from bridge.ledger.exchanges import Exchanges
from bridge.ledger.git import Leaf
from bridge.ledger.open_gates import GATES, IS_ID, ids_of
from bridge.ledger.shard_refs import SHARDS, shards_of

#: Gates of one natural key, of several origins, that are read to find one of them.
_MOST_ALIKE: Final = 20

_PREFIX: Final = re.compile(f"[0-9a-f]{{1,{ID_LENGTH - 1}}}")

ReadAll = Callable[[Collection[str]], Mapping[str, Standing]]


def resolve(exchanges: Exchanges, read_all: ReadAll, name: str) -> str:
    """The id behind the name. Raises `NoSuchGate`."""
    if IS_ID.fullmatch(name):
        return name
    where = exchanges.clone.remote.where
    matches = _starting(exchanges, name) if _PREFIX.fullmatch(name) else set()
    matches |= _called(exchanges, read_all, name)
    if len(matches) == 1:
        return matches.pop()
    if matches:
        some = ", ".join(sorted(matches)[:5])
        raise NoSuchGate(f"{name!r} means several gates in {where}, give more: {some}")
    raise NoSuchGate(f"no gate is called {name!r} in {where}: see `hitl list`")


def _called(exchanges: Exchanges, read_all: ReadAll, key: str) -> set[str]:
    """The gates of this natural key. Others' ids can begin alike, so each is read.

    Anybody with the opener's key can push a branch whose name begins so. One that can't be read
    is meant only if no other is, and so many as nobody needs are not read at all.
    """
    alike = {each for each in _starting(exchanges, start_of_id(key)) if IS_ID.fullmatch(each)}
    if not alike or len(alike) > _MOST_ALIKE:
        return alike
    found = read_all(alike)
    named = {each for each in found if found[each].request.gate.key == key}
    return named or alike - found.keys()


def _starting(exchanges: Exchanges, prefix: str) -> set[str]:
    """Gates whose id starts so, open or decided: all, or enough to see that it is not one."""

    def attempt() -> set[str]:
        refs = exchanges.clone.remote_refs(SHARDS, GATES)
        found = {each for each in ids_of(refs) if each.startswith(prefix)}
        return found | _recorded(exchanges.clone, list(shards_of(refs).values()), prefix)

    return exchanges.alone(attempt)


def _recorded(clone: GitClone, ledgers: Sequence[str], prefix: str) -> set[str]:
    clone.bring_roots(ledgers)
    tops = [clone.tree(clone.root(each)).get("gates") for each in ledgers]
    fits = [("", top) for top in tops if top]
    # Every folder holds at least one gate, so two that fit settle it; one is gone into.
    for level in range(FOLDER_LEVELS):
        start = prefix[level : level + 1]
        fits = [(way + name, leaf) for way, name, leaf in _below(clone, fits, start)]
        if len(ways := {way for way, _ in fits}) > 1:
            return {f"{way}…" for way in ways}
    return {name for _, name, _ in _below(clone, fits, prefix)}


def _below(
    clone: GitClone, folders: Sequence[tuple[str, Leaf]], start: str
) -> list[tuple[str, str, Leaf]]:
    """What in these folders begins so, with the way to its folder: one exchange."""
    clone.bring(leaf.sha for _, leaf in folders)
    return [
        (way, name, leaf)
        for way, folder in folders
        for name, leaf in clone.tree(folder.sha).items()
        if name.startswith(start)
    ]
