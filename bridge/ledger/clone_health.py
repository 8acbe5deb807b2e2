"""Whether the bridge's clone is as the bridge leaves it: what is not is thrown away."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bridge.core.shards import FIRST

#: Each exchange leaves a pack behind; past so many the cache costs more than it saves.
MOST_PACKS = 200

_FIRST = f"refs/heads/{FIRST}"

#: All that `make_bare` and the fetches leave in a clone. A hook, an index or alternates are not
#: ours, and what else is there was left by a git that died, or has rotted.
_FILES = frozenset(("HEAD", "config", "shallow"))
_FOLDERS = frozenset(("objects", "refs"))
_CONFIG = re.compile(
    r"\[core\]\n(?:\t(?:repositoryformatversion|filemode|bare|ignorecase|precomposeunicode|symlinks)"
    r" = (?:0|true|false)\n)+"
)
_SHALLOW = re.compile(r"(?:[0-9a-f]{40}\n)*")
_OBJECTS = re.compile(r"[0-9a-f]{2}|pack|info")
_PACK = re.compile(r"pack-[0-9a-f]{40}\.(?:pack|idx|rev|promisor)")


def is_whole(clone: Path) -> bool:
    """Whether this is a clone as the bridge leaves it, apart from what its objects hold.

    Nobody else may be at work in it.
    """
    try:
        there = {each.name: each for each in os.scandir(clone)}
        config = (clone / "config").read_text(encoding="utf-8")
        shallow = (clone / "shallow").read_text("utf-8") if "shallow" in there else ""
        packs = [each.name for each in os.scandir(clone / "objects" / "pack")]
        return (
            not clone.is_symlink()
            and all(there[name].is_dir(follow_symlinks=False) for name in _FOLDERS)
            and there.keys() - _FILES == _FOLDERS
            and (clone / "HEAD").read_text(encoding="utf-8") == f"ref: {_FIRST}\n"
            and _CONFIG.fullmatch(config) is not None
            and _SHALLOW.fullmatch(shallow) is not None
            and all(_OBJECTS.fullmatch(each.name) for each in (clone / "objects").iterdir())
            and not any((clone / "objects" / "info").glob("*"))
            and all(map(_PACK.fullmatch, packs))
            and sum(each.endswith(".pack") for each in packs) <= MOST_PACKS
            and not any(each.is_file() for each in (clone / "refs").rglob("*"))
        )
    except (OSError, ValueError, KeyError):
        return False
