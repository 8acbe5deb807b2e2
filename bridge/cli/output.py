"""What every command prints: tables, JSON, colour, other people's text made harmless."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import click


def on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None: it was closed by the caller


def colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return on_terminal() and not plain


def width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def shown(text: str) -> str:
    """Other people's text on one line, harmless to a terminal."""
    from bridge.core.sanitize import one_line

    return one_line(text)


def line(text: str) -> str:
    """The same, but a line break stays one."""
    from bridge.core.sanitize import harmless_terminal

    return harmless_terminal(text)


def print_json(value: Any) -> None:
    import json

    from bridge.core.sanitize import harmless_json

    click.echo(harmless_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Aligned columns; on a terminal a line is cut where the terminal ends."""
    from bridge.core.sanitize import columns, cut

    rows = [header, *rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = "  ".join(cell + " " * (width - columns(cell)) for cell, width in cells).rstrip()
        if on_terminal():
            line = cut(line, width())
        if colour():
            if row is header:
                line = click.style(line, bold=True)
            else:
                line = click.style(row[0], fg="cyan") + line.removeprefix(row[0])
        click.echo(line)


class Progress:
    """How far a long command is, on a terminal: one line on stderr, from the first second on."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = 0.0
        self._shown = False

    def __enter__(self) -> Progress:
        self._next = time.monotonic() + 1 if _watched() else float("inf")
        return self

    def tell(self, done: int, total: int | None = None) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            of = f" of {total:,}" if total is not None else ""
            click.echo(f"\r{done:,}{of} {self._what} ", nl=False, err=True)
            self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
