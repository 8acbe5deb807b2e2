"""The decider's signatures in a whole ledger, held against the keys that the auditor brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bridge.core.decision_keys import (
    DecisionKey,
    NotSigned,
    elsewhere,
    objections_signer,
    repository_of,
    signer,
    too_late,
)
from bridge.core.errors import BridgeError
from bridge.core.model import (
    OBJECTIONS,
    OBJECTIONS_SIGNATURE,
    SIGNATURE,
    ApprovalRequest,
    Entry,
)
from bridge.core.records import decision_in, request_in


class _Objected(NamedTuple):
    """A gate's objections as one commit recorded them, and the commits that came before."""

    commit: str
    text: str
    signature: str | None
    passed: frozenset[str]


class Signatures:
    """Goes through the entries in order. Without keys, it finds no fault."""

    def __init__(self, keys: Sequence[DecisionKey], ledger: str) -> None:
        self._keys = keys
        self._ledger = ledger
        self._passed: set[str] = set()  # commits up to which a retired key signed
        self._here: set[int | None] = set()  # repositories that a decision has by today's name
        self._elsewhere: list[tuple[int | None, str]] = []
        self._objected: dict[str, list[_Objected]] = {}

    def of_objections(self, entry: Entry, folder: str, text: str) -> bool:
        """Whether the objections that this entry records are signed at all.

        By whom is seen with the decision: until then, no request in the record names a repository.
        """
        signature = entry.texts.get(f"{folder}/{OBJECTIONS_SIGNATURE}")
        if self._keys:
            found = _Objected(entry.commit, text, signature, frozenset(self._passed))
            self._objected.setdefault(folder, []).append(found)
        return not self._keys or signature is not None

    def faults_of(self, entry: Entry, folder: str, asked: str) -> Iterator[str]:
        """What is wrong with the signature of the decision that this entry records."""
        if not self._keys:
            return
        text = entry.texts[f"{folder}/decision.yaml"]
        try:
            request, decision = request_in(asked), decision_in(text)
            yield from self._unsigned(folder, request)
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

    def _unsigned(self, folder: str, request: ApprovalRequest) -> Iterator[str]:
        for each in self._objected.pop(folder, ()):
            by = objections_signer(self._keys, request, each.text, each.signature)
            if by is None or by.until in each.passed:
                yield _not_signed(each)

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
        for folder, objected in self._objected.items():
            for said in objected:
                if said.signature is None:
                    yield f"{folder}: {_not_signed(said)}"
        # What was recorded under a former name of the same repository was recorded here.
        yield from (fault for number, fault in self._elsewhere if number not in self._here)


def _not_signed(found: _Objected) -> str:
    return (
        f"{OBJECTIONS} of commit {found.commit[:12]} isn't signed by one of HITL_KEYS, so it lifts"
        " and proves nothing"
    )
