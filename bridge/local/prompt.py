"""Ask the person at this machine's terminal, and stop asking when somebody else has answered.

A Metaflow step's stdin is a pipe, so the question goes to `/dev/tty`; and only from the terminal's
foreground process group, because a read from the background would stop the whole run.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bridge.core import input_fields
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import NO_REASON, Actor, Channel, Verdict, Vote
from bridge.core.input_fields import Field
from bridge.core.model import ApprovalRequest
from bridge.core.sanitize import one_line
from bridge.gates.ports import Clock
from bridge.render.request import terminal

_DEVICE = "/dev/tty"
#: Seconds between two checks whether the question still stands.
_TICK = 1.0
_STOPPING = (signal.SIGTTIN, signal.SIGTTOU)

Over = Callable[[], bool]


def available(cache: Path, clock: Clock) -> Terminal | None:
    """The terminal, if this process has one and is in its foreground now."""
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return Terminal(cache, clock) if _in_foreground(fd) else None
    finally:
        os.close(fd)


class Terminal:
    """The `Asker` port at `/dev/tty`. One question at a time among all processes there."""

    def __init__(self, cache: Path, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    def ask(self, request: ApprovalRequest, person: Actor, decided: Over) -> Vote | None:
        """None for "later", if the terminal is lost, and if `decided` says so first."""
        try:
            with _opened() as fd, self._turn(fd, decided):
                vote = _Question(_Lines(fd, decided), request, person, self._clock).ask()
        except (_Gone, OSError):
            return None
        return vote

    @contextmanager
    def _turn(self, fd: int, decided: Over) -> Iterator[None]:
        # A session has one terminal, so its number names the terminal among this user's processes.
        self._cache.mkdir(parents=True, exist_ok=True)
        lock = os.open(
            self._cache / f"terminal-{os.getsid(0)}.lock",
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
        try:
            while not _locked(lock):
                time.sleep(_TICK)
                if decided() or not _in_foreground(fd):
                    raise _Gone
            yield
        finally:
            os.close(lock)


class _Gone(Exception):
    """There is no point in asking any further."""


class _EndOfInput(Exception):
    """The person typed Ctrl-D."""


class _Lines:
    """Lines from and to the terminal, as long as the question stands."""

    def __init__(self, fd: int, decided: Over) -> None:
        self.fd = fd
        self._decided = decided
        self._read = b""
        # What was typed before the question was seen is no answer to it.
        self._forget_typing()

    def say(self, text: str = "", end: str = "\n") -> None:
        left = (text + end).encode(errors="replace")
        while left:
            left = left[os.write(self.fd, left) :]

    def ask(self, prompt: str) -> str:
        """One line without its end. Raises `_EndOfInput`, and `_Gone` if it came to nothing."""
        self.say(prompt, end="")
        while b"\n" not in self._read:
            if self._decided() or not _in_foreground(self.fd):
                self._forget_typing()
                self.say()
                raise _Gone
            if select.select([self.fd], [], [], _TICK)[0] and _in_foreground(self.fd):
                got = os.read(self.fd, 4096)
                if not got:
                    self.say()
                    raise _EndOfInput
                self._read += got
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _forget_typing(self) -> None:
        """Half an answer to a question that is over must not become a command of the shell."""
        if _in_foreground(self.fd):
            termios.tcflush(self.fd, termios.TCIFLUSH)


class _Question:
    """One request, asked to its end."""

    def __init__(
        self, lines: _Lines, request: ApprovalRequest, person: Actor, clock: Clock
    ) -> None:
        self._lines = lines
        self._request = request
        self._person = person
        self._clock = clock

    def ask(self) -> Vote | None:
        self._show()
        while True:
            answer = self._word("Approve? [y]es / [n]o (reject) / [l]ater: ")
            if answer in {"l", "later"}:
                self._lines.say("Left open.")
                return None
            if answer in {"n", "no"}:
                reason = self._reason()
                if reason is not None:
                    return self._vote(Verdict.REJECT, reason=reason or NO_REASON)
            elif answer in {"y", "yes"}:
                checked = self._checked(self._fields())
                if checked is not None:
                    return self._vote(Verdict.APPROVE, given=checked)

    def _show(self) -> None:
        width = os.get_terminal_size(self._lines.fd).columns or 80
        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._lines.say()
        self._lines.say(terminal(self._request, colour=colour, width=width, now=self._clock()))
        self._lines.say()
        self._lines.say(f"You answer as {one_line(str(self._person))} (unverified).")

    def _fields(self) -> dict[str, Any]:
        """What was typed. Ctrl-D leaves the rest out."""
        fields = input_fields.fields(self._request.schema)
        if fields:
            self._lines.say("Input (Ctrl-D leaves the rest out):")
        given: dict[str, Any] = {}
        with suppress(_EndOfInput):
            for field in fields:
                self._field(field, given)
        return given

    def _field(self, field: Field, given: dict[str, Any]) -> None:
        while True:
            text = self._lines.ask(_prompt(field))
            if not text and (field.default is not None or not field.required):
                return  # a default is filled in when all is checked
            if not text:
                self._lines.say(f"  {field.name} is required")
                continue
            try:
                given[field.name] = input_fields.parse_field(field, text)
            except Faults as error:
                for fault in error.faults:
                    self._lines.say(f"  {fault}")
            else:
                return

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        if self._request.schema is None:
            return {}
        try:
            input_fields.check(self._request.schema, given)
            return dict(given)
        except Faults as error:
            for fault in error.faults:
                self._lines.say(f"  {fault}")
            return None

    def _word(self, prompt: str) -> str:
        try:
            return self._lines.ask(prompt).casefold() or "?"
        except _EndOfInput:
            return "later"

    def _reason(self) -> str | None:
        """None: Ctrl-D, and the question stands."""
        try:
            return self._lines.ask("Reason: ")
        except _EndOfInput:
            return None

    def _vote(
        self, verdict: Verdict, *, reason: str = "", given: Mapping[str, Any] | None = None
    ) -> Vote:
        return Vote(
            actor=self._person,
            verdict=verdict,
            at=self._clock(),
            digest=digest_of(self._request),
            channel=Channel.TERMINAL,
            reason=reason,
            inputs=given or None,
        )


def _prompt(field: Field) -> str:
    about = [field.hint or field.kind]
    if field.default not in (None, ""):
        about.append(f"Enter for {field.default!r}")
    elif not field.required:
        about.append("may be left empty")
    said = f" - {one_line(field.description)}" if field.description else ""
    return f"  {field.name} ({one_line('; '.join(about))}){said}: "


@contextmanager
def _opened() -> Iterator[int]:
    fd = os.open(_DEVICE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    # Should the shell put us in the background (Ctrl-Z, bg), a blocked SIGTTIN turns the read that
    # would stop the whole run into an error.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield fd
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(fd)


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # the terminal was hung up
        return False


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
