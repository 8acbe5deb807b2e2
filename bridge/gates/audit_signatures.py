"""The decider's signatures in a whole ledger, held against the keys that the auditor brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from bridge.core.decision_keys import (
    DecisionKey,
    NotSigned,
    elsewhere,
    objections_signer,
    repository_of,
    signer,
    too_late,
    unsigned_until,
)
from bridge.core.entry import Entry, Stretch
from bridge.core.errors import BridgeError
from bridge.core.model import (
    OBJECTIONS,
    SIGNATURE,
    ApprovalRequest,
)
from bridge.core.records import decision_in, request_in
from bridge.gates.ports import WholeRecord


class _Objected(NamedTuple):
    """A gate's objections as one commit recorded them, and the named commits that lay ahead."""

    commit: str
    text: str
    signature: str | None
    ahead: frozenset[str]


class Signatures:
    """Goes through the entries in order. Without keys, it finds no fault."""

    def __init__(self, keys: Sequence[DecisionKey], ledger: str) -> None:
        self._keys = keys
        self._ledger = ledger
        named = (commit for key in keys for commit in (*key.until, *key.unsigned_until))
        self._named = tuple(dict.fromkeys(named))
        # Of them, what this branch has at the entry at hand or later. It is of one branch alone:
        # what holds up to a commit of another branch holds nothing here, as for a reader.
        self._ahead: set[str] = set()
        self._found: set[str] = set()
        self._here: set[int | None] = set()  # repositories that a decision has by today's name
        self._elsewhere: dict[tuple[int | None, str], list[str]] = {}
        self._objected: dict[str, list[_Objected]] = {}

    def begin_branch(self, record: WholeRecord, stretch: Stretch) -> None:
        """The commits of this branch that this audit doesn't read are over."""
        places = ((each, record.stretch(stretch.branch, each)) for each in self._named)
        since = {commit: place.commits for commit, place in places if place}
        self._found |= since.keys()
        self._ahead = {commit for commit, later in since.items() if later < stretch.commits}

    def of_objections(self, commit: str, folder: str, text: str, signature: str | None) -> bool:
        """Whether the objections that this commit records are signed at all.

        The decision shows who signed: until then, no request in the record names a repository.
        """
        if self._keys:
            found = _Objected(commit, text, signature, frozenset(self._ahead))
            self._objected.setdefault(folder, []).append(found)
        return not self._keys or signature is not None or self._is_older(self._ahead)

    def faults_of(self, entry: Entry, folder: str, asked: str) -> Iterator[str]:
        """What is wrong with the signature of the decision that this entry records."""
        if not self._keys:
            return
        text = entry.texts[f"{folder}/decision.yaml"]
        try:
            request, decision = request_in(asked), decision_in(text)
            yield from self._unsigned(folder, request)
            signature = entry.texts.get(f"{folder}/{SIGNATURE}")
            if signature is None and self._is_older(self._ahead):
                return
            by = signer(self._keys, request, decision, text, signature)
            if by.until and self._ahead.isdisjoint(by.until):
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
            self._elsewhere.setdefault((number, wrong), []).append(entry.commit[:12])

    def _unsigned(self, folder: str, request: ApprovalRequest) -> Iterator[str]:
        for each in self._objected.pop(folder, ()):
            if each.signature is None:
                good = self._is_older(each.ahead)
            else:
                by = objections_signer(self._keys, request, each.text, each.signature)
                good = by is not None and not (by.until and each.ahead.isdisjoint(by.until))
            if not good:
                yield _not_signed(each)

    def _is_older(self, ahead: Set[str]) -> bool:
        """Whether an entry is from before the first key, if these commits lie ahead of it."""
        return not ahead.isdisjoint(unsigned_until(self._keys))

    def passed(self, commit: str) -> None:
        """This entry is over: what holds up to its commit holds no longer."""
        self._ahead.discard(commit)

    def left_over(self) -> Iterator[str]:
        """What can be said only at the end."""
        for commit in self._named:
            if commit not in self._found:
                yield f"HITL_KEYS names commit {commit}, which isn't in {self._ledger}"
        for folder, objected in self._objected.items():
            for said in objected:
                if said.signature is None and not self._is_older(said.ahead):
                    yield f"{folder}: {_not_signed(said)}"
        # What was recorded under a former name of the same repository was recorded here.
        for (number, wrong), commits in self._elsewhere.items():
            if number not in self._here:
                yield from (f"commit {each}: {wrong}" for each in commits)


def _not_signed(found: _Objected) -> str:
    return (
        f"{OBJECTIONS} of commit {found.commit[:12]} isn't signed by one of HITL_KEYS, so it lifts"
        " and proves nothing"
    )
