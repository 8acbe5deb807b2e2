"""Exchanges with the ledger's remote.

One process at a time on this machine, again after a lost race. Each fault of git is one sentence.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from bridge.core.errors import LedgerUnavailable
from bridge.core.settings import FORGE
from bridge.ledger.clone import GitClone
from bridge.ledger.git import GitFailed
from bridge.ledger.git_faults import NO_REPOSITORY, is_declined, is_lost_race, meaning

_MOST_TRIES = 40
#: What a repository on GitHub is called, where the address of one is meant.
_OWNER_AND_NAME = re.compile(r"\w[\w-]*/[\w.-]+")

T = TypeVar("T")


class LostRace(Exception):
    """Somebody else moved a ref first: read again."""


class Declined(LedgerUnavailable):
    """The server was reached, and refuses what a push holds."""


def back_off(tries: int) -> None:
    """Machines that lost together must not come back together."""
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**tries)))


class Exchanges:
    """What is done with a clone. Every method raises `LedgerUnavailable`."""

    def __init__(self, clone: GitClone) -> None:
        self.clone = clone

    def push(self, refs: Mapping[str, str], lease: Mapping[str, str]) -> None:
        try:
            self.clone.push(refs, lease)
        except GitFailed as error:
            if is_lost_race(error):
                raise LostRace from None
            if is_declined(error) and not error.of_a_rotten_clone:
                raise Declined(str(self.unavailable(error))) from None
            raise

    def repeat(self, attempt: Callable[[], T], lost: Callable[[int], None] = back_off) -> T:
        """`lost` is called after each lost race, with the number of those before it."""
        for tries in range(_MOST_TRIES):
            try:
                return self.alone(attempt)
            except LostRace:
                lost(tries)
        raise LedgerUnavailable(
            f"the ledger {self.clone.remote.where} moved {_MOST_TRIES} times while this was being"
            " written; nothing was recorded, try again"
        )

    def alone(self, attempt: Callable[[], T]) -> T:
        def with_clone() -> T:
            with self.clone.held():
                try:
                    return attempt()
                except GitFailed as error:
                    if not error.of_a_rotten_clone:
                        raise
                    self.clone.discard()
                    return attempt()

        return self.told(with_clone)

    def told(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except (GitFailed, OSError) as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: GitFailed | OSError) -> LedgerUnavailable:
        if isinstance(error, GitFailed):
            doing, said = error.command, error.said
        else:
            doing, said = "the bridge's clone", error.strerror or str(error)
        where, says = self.clone.remote.where, meaning(said)
        if says == NO_REPOSITORY and _OWNER_AND_NAME.fullmatch(where):
            says = f"{says}; for the repository on GitHub, write {FORGE}{where}"
        return LedgerUnavailable(f"the ledger {where} cannot be used ({doing}): {says}")
