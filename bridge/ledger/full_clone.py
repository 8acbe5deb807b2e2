"""Whole branches with their history, to be read once: for an audit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.ledger.git import QUIET, ObjectReader, environment, fields, run


class FullClone:
    """Whole branches with their history, to be read once."""

    def __init__(self, path: Path) -> None:
        self._environment = environment(path, {**QUIET, "log.showSignature": "false"})

    def branches(self) -> list[str]:
        return run(["for-each-ref", "--format=%(refname:lstrip=2)"], self._environment).split()

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        reader = ObjectReader(self._environment, ())
        try:
            yield reader
        finally:
            reader.close()

    def log(self, branch: str, wanted: str) -> Iterator[str]:
        """The fields of `git log --raw -z`, first parents only, oldest first."""
        args = ["log", "--first-parent", "-m", "--reverse", "--raw", "-z", "--root"]
        args += ["--no-abbrev", "--no-renames", f"--format={wanted}"]
        args += [f"refs/heads/{branch}"]
        with tempfile.TemporaryFile() as out:
            run(args, self._environment, out=out)
            out.seek(0)
            yield from fields(out)
