"""What every command prints: tables, JSON, colour, other people's text made harmless."""

from __future__ import annotations

import os
import sys
import threading
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

    def __init__(self) -> None:
        self._line = self._part = ""
        self._began = 0.0  # with this part
        self._next = float("inf")  # when the line is shown again
        self._first: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if _watched():
            self._first = threading.Timer(1, self._show)  # also if nobody tells anything just then
            self._first.daemon = True
            self._first.start()
        return self

    def say(self, line: str) -> None:
        self._line = line
        if time.monotonic() >= self._next:
            self._show()

    def tell(self, part: str, done: int, total: int) -> None:
        """How much is done of a part that the command has: `reading commits`."""
        now = time.monotonic()
        if part != self._part:
            self._part, self._began = part, now
        took = now - self._began
        left = ""
        if done and took > 3:  # what begins is slower
            from bridge.core.durations import rough

            left = f", {rough(int(took * (total - done) / done))} left"
        self.say(f"{part}: {done:,} of {total:,}{left}")

    def _show(self) -> None:
        self._next = time.monotonic() + 0.2
        click.echo(f"\r{self._line}\033[K", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._first:
            self._first.cancel()
            self._first.join()
            if self._next != float("inf"):
                click.echo("\r\033[K", nl=False, err=True)


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
