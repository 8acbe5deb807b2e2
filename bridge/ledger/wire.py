"""One connection to a git server: branches by the start of their name, then objects by their id.

`git fetch` connects anew each time: two requests and five processes for one folder. This has git's
own transport make the connection, so proxies, certificates and credentials are git's, and speaks
version 2 of the protocol over it: https://git-scm.com/docs/protocol-v2. If an address, a server or
a git can't do that, there is no connection, and the clone asks `git fetch` instead.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, Final
from urllib.parse import urlsplit

from bridge.core import log
from bridge.core.remote_url import TRANSPORTS, names_path
from bridge.ledger import git
from bridge.ledger.git import GitFailed, TooLarge, ended_after, run, started

_log = log.logger("git")

#: The marks between packets: the end of a request or of a list, of a section, of an answer.
_FLUSH, _BETWEEN, _END = b"0000", b"0001", b"0002"
#: Seconds.
_ENDS_WITHIN: Final = 1.0
_SERVICE: Final = "git-upload-pack"
_HEADS: Final = "refs/heads/"
_SHA: Final = re.compile("[0-9a-f]{40}")


class Unanswered(GitFailed):
    """The connection ended before anything of an answer came."""


class Wire:
    """What is asked on one connection. Every method raises `GitFailed`; it is of no use then."""

    def __init__(self, process: Any, shown: str, *, stateless: bool) -> None:
        self._process, self._shown, self._began = process, shown, time.monotonic()
        self.stateless = stateless  # git's transport says then where an answer ends
        self.takes_filters = False
        self._heard = True  # something of the last answer; of a greeting it doesn't matter

    def greet(self) -> bool:
        """Whether it speaks version 2, which begins with what the server can do."""
        with self._bounded():
            if self.stateless:
                self._process.stdin.write(f"stateless-connect {_SERVICE}\n".encode())
                self._process.stdin.flush()
                if (said := self._process.stdout.readline()) != b"\n":
                    if said:
                        return False  # `fallback`: the server speaks an older version alone
                    raise self._failed("fatal: early EOF")
            if self._packet() != b"version 2\n":
                return False
            features = [_text(each) for each in iter(self._packet, _FLUSH)]
        fetch = next((each for each in features if each.startswith("fetch=")), "fetch=")
        self.takes_filters = "filter" in fetch.removeprefix("fetch=").split()
        return "object-format=sha1" in features or not any("object-format=" in f for f in features)

    def refs(self, patterns: Sequence[str]) -> dict[str, str]:
        """Branches by full name. A pattern is one, or the start of some with a star at its end.

        The server sends no others, however many it has.
        """
        began = time.monotonic()
        starts = [each.removesuffix("*") for each in patterns] or [_HEADS]
        with self._asked("ls-refs", [f"ref-prefix {each}" for each in starts]):
            lines = [_text(each) for each in iter(self._packet, _FLUSH)]
        found = dict(self._ref(line) for line in lines)
        found = {name: sha for name, sha in found.items() if _fits(name, patterns)}
        _log.debug("git ls-refs %s: %d refs, %s", " ".join(starts), len(found), log.since(began))
        return found

    def _ref(self, line: str) -> tuple[str, str]:
        sha, _, name = line.partition(" ")
        if not _SHA.fullmatch(sha):
            raise self._failed(f"fatal: the server names a commit {sha[:60]!r}")
        return name.partition(" ")[0], sha  # attributes may follow

    def fetch(
        self, objects: Sequence[str], *, depth: int, but: str, into: IO[bytes], most: int
    ) -> None:
        """A pack of these objects and what is beneath them, but for what git's filter leaves out.

        Raises `TooLarge` beyond `most` bytes.
        """
        began = time.monotonic()
        asked = ["no-progress", "ofs-delta", f"deepen {depth}", f"filter {but}"]
        with self._asked("fetch", [*asked, *(f"want {each}" for each in objects), "done"]):
            while (found := self._packet()) != b"packfile\n":
                if found == _FLUSH:
                    raise self._failed("fatal: the server sent no pack")
            for data in iter(self._packet, _FLUSH):
                _take(data, into)
                if into.tell() > most:
                    raise TooLarge("fetch", f"fatal: more than {most} bytes")
        shown = (len(objects), but, depth, log.since(began), into.tell())
        _log.debug("git fetch, %d objects, %s, depth %d: %s, %d bytes", *shown)

    def close(self) -> None:
        with suppress(OSError):
            self._process.stdin.close()
        # It ends with its input, unless it is still busy with an answer. Its output ends with it:
        # `wait` alone would sleep, and look again, for longer than that takes.
        if (
            not self._process.stdout.closed
        ):  # an alarm may have ended an earlier close in the middle
            output = select.poll()
            output.register(self._process.stdout, select.POLLIN)
            output.poll(_ENDS_WITHIN * 1_000)
        for stream in (self._process.stdout, self._process.stderr):
            with suppress(OSError):
                stream.close()
        try:
            self._process.proc.wait(timeout=_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            git.end_all(self._process.proc)
            self._process.proc.wait()
        status, took = self._process.proc.returncode, log.since(self._began)
        _log.debug("%s: exit %d, %s", self._shown, status, took)

    # -- packets: https://git-scm.com/docs/protocol-common#_pkt_line_format ----------------------

    @contextmanager
    def _asked(self, command: str, lines: Iterable[str]) -> Iterator[None]:
        head = b"".join(map(_line, (f"command={command}", "object-format=sha1")))
        with self._bounded():
            body = b"".join(map(_line, lines))
            self._heard = False
            try:
                self._process.stdin.write(head + _BETWEEN + body + _FLUSH)
                self._process.stdin.flush()
            except BrokenPipeError:
                raise self._failed("fatal: the connection was closed") from None
            yield
            if self.stateless and self._packet() != _END:
                raise self._failed("fatal: the server's answer does not end")

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """The block fails if it takes longer than git may."""
        with ended_after(git.SECONDS, self._process.proc) as too_long:
            try:
                yield
            except GitFailed:
                if too_long.is_set():
                    said = f"fatal: gave up after {git.SECONDS:g} seconds"
                    raise GitFailed("fetch", said) from None
                raise

    def _packet(self) -> bytes:
        """What the next packet holds, or which of the marks it is."""
        head: bytes = self._process.stdout.read(4)
        # With the mark of an end alone, git's transport says that its request failed.
        self._heard = self._heard or head not in (b"", _END)
        if head in (_FLUSH, _BETWEEN, _END):
            return head
        try:
            size = int(head, 16) - 4
        except ValueError:
            raise self._failed("fatal: early EOF") from None
        content: bytes = self._process.stdout.read(max(size, 0))
        if not content or len(content) < size:
            raise self._failed("fatal: early EOF")
        if content.startswith(b"ERR "):
            raise GitFailed("fetch", f"fatal: remote error: {_text(content[4:])}")
        return content

    def _failed(self, otherwise: str) -> GitFailed:
        """What git said as it ended; else this."""
        git.end_all(self._process.proc)
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        return (GitFailed if self._heard else Unanswered)("fetch", said or otherwise)


def connect(command: Sequence[str], environment: Mapping[str, str]) -> Wire | None:
    """A connection by the git that `transport` names. None with a server of before 2018. Raises
    `GitFailed`."""
    own = command[0] == "upload-pack"  # which is to know nothing of the clone
    plain = {"LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1"} if own else environment
    process = started(command, {**plain, "GIT_PROTOCOL": "version=2"})
    wire = Wire(process, shlex.join(["git", *command]), stateless=not own)
    try:
        if wire.greet():
            return wire
    except BaseException:
        wire.close()
        raise
    wire.close()
    return None


def transport(address: str, environment: Mapping[str, str]) -> list[str] | None:
    """The git that speaks to this address, which is an absolute path if it is one: a transport, or
    on this machine the server's half. None if it is not spoken like this, as over SSH. Raises
    `GitFailed`.
    """
    if names_path(address):
        return ["upload-pack", address] if _may_speak("file") else None
    # A person's settings may lead an address elsewhere: `url.<base>.insteadOf`.
    address = run(["ls-remote", "--get-url", address], environment)
    scheme = urlsplit(address).scheme if "://" in address else ""
    if scheme not in ("http", "https") or not _may_speak(scheme):
        return None
    # https://git-scm.com/docs/gitremote-helpers: with two arguments, the second is the address.
    return [f"remote-{scheme}", "origin", address]


def _may_speak(scheme: str) -> bool:
    return scheme in os.environ.get("GIT_ALLOW_PROTOCOL", TRANSPORTS).split(":")


def _line(text: str) -> bytes:
    content = f"{text}\n".encode()
    return b"%04x%s" % (len(content) + 4, content)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape").rstrip("\n")


def _take(data: bytes, into: IO[bytes]) -> None:
    """One packet of the answer with the pack, whose first byte says what follows."""
    if data[:1] == b"\1":
        into.write(data[1:])
    elif data[:1] == b"\3":
        raise GitFailed("fetch", f"fatal: {_text(data[1:])}")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(
        name.startswith(each[:-1]) if each.endswith("*") else name == each
        for each in patterns or [f"{_HEADS}*"]
    )
