"""The decider's signatures in a whole ledger, held against the keys that the auditor brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.core.decision_keys import (
    DecisionKey,
    NotSigned,
    elsewhere,
    repository_of,
    signer,
    too_late,
)
from bridge.core.errors import BridgeError
from bridge.core.model import SIGNATURE, Entry
from bridge.core.records import decision_in, request_in


class Signatures:
    """Goes through the entries in order. Without keys, it finds no fault."""

    def __init__(self, keys: Sequence[DecisionKey], ledger: str) -> None:
        self._keys = keys
        self._ledger = ledger
        self._passed: set[str] = set()  # commits up to which a retired key signed
        self._here: set[int | None] = set()  # repositories that a decision has by today's name
        self._elsewhere: list[tuple[int | None, str]] = []

    def faults_of(self, entry: Entry, folder: str, asked: str) -> Iterator[str]:
        """What is wrong with the signature of the decision that this entry records."""
        if not self._keys:
            return
        text = entry.texts[f"{folder}/decision.yaml"]
        try:
            request, decision = request_in(asked), decision_in(text)
            signature = entry.texts.get(f"{folder}/{SIGNATURE}")
            by = signer(self._keys, request, decision, text, signature)
            if by.until in self._passed:
                raise too_late(request, by)
        except NotSigned as error:
            yield str(error)
            return
        except BridgeError:  # the record itself is faulty, which others say
            return
        number, wrong = repository_of(request), elsewhere(request, self._ledger)
        if wrong is None:
            self._here.add(number)
        else:
            self._elsewhere.append((number, f"commit {entry.commit[:12]}: {wrong}"))

    def passed(self, commit: str) -> None:
        """This entry is over: a key that holds up to its commit is retired from now on."""
        if any(each.until == commit for each in self._keys):
            self._passed.add(commit)

    def left_over(self) -> Iterator[str]:
        """What can be said only at the end."""
        for each in self._keys:
            if each.until and each.until not in self._passed:
                yield (
                    f"HITL_KEYS lets {each.key} sign up to commit {each.until}, which isn't in"
                    f" {self._ledger}"
                )
        # What was recorded under a former name of the same repository was recorded here.
        yield from (fault for number, fault in self._elsewhere if number not in self._here)
