"""The repository that holds a ledger: where it is, its credential, and the connection to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from bridge.core import log
from bridge.core.errors import LedgerUnavailable
from bridge.core.remote_url import fault_of, names_path, part_secret
from bridge.ledger import wire
from bridge.ledger.git import QUIET, environment

_log = log.logger("git")

#: The repository whose settings a connection has: none, wherever this process runs.
_NONE: Final = Path(os.devnull)

T = TypeVar("T")


class Remote:
    """`address` is a path or a URL, or what makes a new one each time, if the credential in it
    ends. All clones of it share one connection. Raises `LedgerUnavailable`."""

    def __init__(self, address: str | Callable[[], str]) -> None:
        self._address = address if callable(address) else lambda: address
        self.where, _ = part_secret(self._address())
        if refused := fault_of(self.where):
            raise LedgerUnavailable(f"the ledger's address {refused}")
        self.url = os.path.abspath(self.where) if names_path(self.where) else self.where
        self._alone = threading.RLock()
        self._wire: wire.Wire | None = None
        self._made_with: dict[str, str] = {}  # the credential of that connection
        self._transport: list[str] | None = None
        self._speaks = True  # until it is seen that it doesn't
        self._blocks: list[bool] = []  # of each that lasts, whether it needs a git on a path too
        self.takes_filters = True  # until it is seen that it doesn't

    @property
    def is_path(self) -> bool:
        return names_path(self.where)

    @property
    def here(self) -> Path | None:
        """The repository itself, if it is on this machine."""
        if self.is_path:
            return Path(self.url)
        scheme, _, path = self.url.partition("://")
        return Path(path) if scheme == "file" else None

    @property
    def secret(self) -> dict[str, str]:
        """The credential, as settings of git."""
        # Asked for each time: an App's token ends after an hour, and people take longer.
        return part_secret(self._address())[1]

    @contextmanager
    def connected(self, *, also_path: bool = False) -> Iterator[None]:
        """Within the block, a server over HTTP is asked on one connection, made when it is first
        asked. Blocks nest.

        `also_path`: the same on a path, where a git that stays reads each branch once, and sees no
        news.
        """
        self._blocks.append(also_path)
        try:
            yield
        finally:
            with self._alone:
                self._blocks.remove(also_path)
                self._end()

    def exchange(self, action: Callable[[wire.Wire | None], T]) -> T:
        """What this returns, on the connection; None if this address has no such connection.

        A server may end a connection that says nothing for long: if it answers nothing at all on
        one that is kept, it is asked once more on a new one. So `action` only reads, and begins
        anew. Raises `GitFailed`; the connection is over then.
        """
        with self._alone:
            kept = self._wire
            try:
                return self._tried(action)
            except wire.Unanswered as error:
                if kept is None:
                    raise
                _log.debug("a kept connection is made anew: %s", error.said)
                return self._tried(action)

    def _tried(self, action: Callable[[wire.Wire | None], T]) -> T:
        try:
            self._connect()
            done = action(self._wire)
        except BaseException:
            self._hang_up()
            raise
        self._end()
        return done

    def _connect(self) -> None:
        if not self._speaks:
            return
        secret = self.secret
        if secret != self._made_with:
            self._hang_up()
        if self._wire is None:
            own = environment(_NONE, {**QUIET, **secret})
            # Asked once: it takes a process.
            self._transport = self._transport or wire.transport(self.url, own)
            self._wire = wire.connect(self._transport, own) if self._transport else None
            self._made_with = secret
            self._speaks = self._wire is not None
            self.takes_filters = self._wire is None or self._wire.takes_filters

    def _end(self) -> None:
        """Unless somebody still needs it."""
        sees_news = self._wire is not None and self._wire.stateless
        if not (any(self._blocks) or (self._blocks and sees_news)):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
