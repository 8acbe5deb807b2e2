"""Whole branches with their history, for an audit: read in stretches, so that memory is bounded."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from bridge.core.entry import Stretch, Tell
from bridge.ledger.git import (
    QUIET,
    SECONDS_FOR_ALL,
    GitFailed,
    ObjectReader,
    environment,
    fields,
    make_bare,
    run,
)

#: A clone that is kept gets a pack at each look; past so many it costs more than it saves.
_MOST_PACKS: Final = 200

#: Commits of which the changes are asked for in one go. Each git begins with an empty cache, so by
#: 500 they take a third more CPU. With `--signed`, a signature takes some 30 ms, and a git at most
#: `SECONDS`.
_AT_ONCE: Final = 2_000

#: Of its packs, what git maps into memory at once. Without a bound a million decisions are 1.7 GB.
_MAPPED: Final = {"core.packedGitLimit": "128m", "core.packedGitWindowSize": "8m"}

#: A commit's id in hex, and the end of its line.
_LINE: Final = 41


def fetched(
    path: Path,
    url: str,
    heads: Mapping[str, str],
    config: Mapping[str, str],
    pass_fds: Sequence[int],
    tell: Tell,
) -> FullClone:
    """The clone at this path, with all that these branches reach at the remote, and no other.

    They are fetched one after another: git holds 80 bytes for each object of a fetch, of which a
    decision has 17, so a million at once would take 1.4 GB, here and at the server.
    """

    def fetch(into: Path) -> None:
        if not into.exists():
            make_bare(into, {}, pass_fds)
        here = _heads(environment(into, QUIET))
        gone = "".join(f"delete {ref}\n" for ref in here if ref not in heads)
        run(["update-ref", "--stdin"], environment(into, QUIET), stdin=gone, pass_fds=pass_fds)
        for left in (into / "objects" / "pack").glob("tmp_*"):
            left.unlink()  # of a git that was ended
        moved = [each for each, head in heads.items() if here.get(each) != head]
        for number, ref in enumerate(moved):
            tell("fetching branches", number, len(moved))
            # The bridge's other clones offer nothing; this one says what it has of the branch, and
            # gets what is new.
            offers = "consecutive" if ref in here else "noop"
            # Two threads that unpack so small objects wait for each other: a third more CPU, and
            # hardly sooner.
            own = {**config, "fetch.negotiationAlgorithm": offers, "pack.threads": "1"}
            own["fetch.unpackLimit"] = "1"
            args = ["fetch", "--quiet", "--no-tags"]
            args += [f"--negotiation-tip={ref}"] if ref in here else []
            args += ["--", url, f"+{ref}:{ref}"]
            run(args, environment(into, own), pass_fds=pass_fds, seconds=SECONDS_FOR_ALL)

    was_kept = path.exists()
    if was_kept and len(list((path / "objects" / "pack").glob("*.pack"))) > _MOST_PACKS:
        shutil.rmtree(path)
    try:
        fetch(path)
    except GitFailed:
        if not was_kept:
            raise
        # A git died in it, or it has rotted; or the remote is away, and then it is kept.
        fresh = path.with_name(f"new-{path.name}")
        fetch(fresh)
        shutil.rmtree(path, ignore_errors=True)
        fresh.rename(path)
    return FullClone(path)


@contextmanager
def alone(home: Path) -> Iterator[int]:
    """Hold this folder for one audit, and sweep up what a killed one left. The lock is handed down
    to its gits, as the clone's is, for which every other command would wait as long."""
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(home)
        yield lock
    finally:
        os.close(lock)


def sweep(home: Path) -> None:
    """Remove what a killed audit left in this folder, unless an audit is at work there."""
    with suppress(OSError):  # there was none, or there is one
        lock = os.open(home / "lock", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sweep(home)
        finally:
            os.close(lock)


def _sweep(home: Path) -> None:
    for left in (*home.glob("new-*"), *home.glob("whole-*")):
        shutil.rmtree(left, ignore_errors=True)


def _heads(own: Mapping[str, str]) -> dict[str, str]:
    """Each branch of this clone by its full name."""
    lines = run(["for-each-ref", "--format=%(refname) %(objectname)"], own).splitlines()
    return {name: sha for name, _, sha in (line.partition(" ") for line in lines)}


class FullClone:
    """A clone in which nothing is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._environment = environment(path, {**QUIET, "log.showSignature": "false", **_MAPPED})

    def discard(self) -> None:
        """Begin with a new one the next time."""
        shutil.rmtree(self._path, ignore_errors=True)

    def heads(self) -> dict[str, str]:
        found = _heads(self._environment)
        return {ref.removeprefix("refs/heads/"): sha for ref, sha in found.items()}

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        reader = ObjectReader(self._environment, ())
        try:
            yield reader
        finally:
            reader.close()

    def stretch(self, branch: str, after: str | None = None) -> Stretch | None:
        """What came upon this commit, or all; None if the commit is none of the branch's own."""
        most, wanted = 1_000, (after or "").encode()
        while True:
            with tempfile.TemporaryFile() as out:
                most = most if after else -1
                self._first_parents(branch, most, out)
                found = out.tell() // _LINE
                out.seek(0)
                for number, line in enumerate(out) if after else ():
                    if line.rstrip() == wanted:
                        return Stretch(branch, after, number)
            if not after:
                return Stretch(branch, None, found)
            if found < most:
                return None
            most *= 10

    def changes(self, stretch: Stretch, wanted: str) -> Iterator[list[str]]:
        """The fields of `git log --raw -z`, of some commits at a time, oldest first.

        With `--reverse`, git would keep all commits in memory until it has read the last.
        """
        args = ["log", "--stdin", "--no-walk=unsorted", "--first-parent", "-m", "--root"]
        args += ["--raw", "-z", "--no-abbrev", "--no-renames", f"--format={wanted}"]
        with tempfile.TemporaryFile() as revisions:
            self._first_parents(stretch.branch, stretch.commits, revisions)
            end = revisions.tell()
            while end > 0:
                start = max(0, end - _AT_ONCE * _LINE)
                revisions.seek(start)
                lines = revisions.read(end - start).decode().splitlines(keepends=True)
                with tempfile.TemporaryFile() as out:
                    run(args, self._environment, stdin="".join(reversed(lines)), out=out)
                    out.seek(0)
                    yield list(fields(out))
                end = start

    def _first_parents(self, branch: str, most: int, out: IO[bytes]) -> None:
        args = ["rev-list", "--first-parent", f"--max-count={most}", f"refs/heads/{branch}", "--"]
        run(args, self._environment, out=out)
