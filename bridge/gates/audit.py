"""Audit a ledger: prove from its commits alone that nothing in it was changed, lost or made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.core.decision_keys import DecisionKey
from bridge.core.digest import digest_of, holding
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import in_words, left_out
from bridge.core.listing import ID_LENGTH
from bridge.core.model import (
    OBJECTIONS,
    OBJECTIONS_SIGNATURE,
    ApprovalRequest,
    Decision,
    Entry,
    Objections,
    folder_of,
    is_gate_file,
)
from bridge.core.records import decision_in, objections_in, request_in
from bridge.core.shards import LEDGER_FILE
from bridge.gates import audit_baselines
from bridge.gates.audit_baselines import Decided, baseline_faults
from bridge.gates.audit_branches import Branches
from bridge.gates.audit_signatures import Signatures
from bridge.gates.ports import Ledger
from bridge.policy.claims import as_asked
from bridge.policy.evaluate import evaluate
from bridge.policy.objections import lost, unlifted

#: What may stand beside the gates: a page for people, and the forge's own files.
_BESIDES = ("README.md", LEDGER_FILE, ".github/")


@dataclass(frozen=True, slots=True)
class Audit:
    """What a whole ledger amounts to: how many decisions, and every fault, with commit and path."""

    decisions: int
    faults: tuple[str, ...]


class _Asked(NamedTuple):
    """A request as it was put into the record."""

    text: str
    blob: str


def audit(ledger: Ledger, *, signed: bool = False, keys: Sequence[DecisionKey] = ()) -> Audit:
    """Read every commit of the ledger once, oldest first, and judge it.

    `keys`: every decision must be signed by one of them. `signed`: every decision from the first
    signed one on must be recorded by a commit with a signature that git calls good
    (`gpg.ssh.allowedSignersFile`, or the GPG keyring, names whose). Raises `LedgerUnavailable`
    where the ledger cannot be read; an empty `faults` is the proof.
    """
    entries = ledger.entries(signatures=signed)
    return audit_entries(entries, signed=signed, signatures=Signatures(keys, ledger.where))


def audit_entries(
    entries: Iterable[Entry], *, signed: bool = False, signatures: Signatures | None = None
) -> Audit:
    """The same, of entries that are at hand."""
    auditor = _Auditor(signed, signatures or Signatures((), ""))
    branches = Branches()
    for entry in entries:
        if branches.is_first_of(entry):
            auditor.begin_branch()
        branches.passed(entry)
        place = entry.commit[:12]
        auditor.faults.extend(f"commit {place}: {fault}" for fault in auditor.faults_of(entry))
    auditor.faults.extend(branches.faults())
    auditor.faults.extend(auditor.signatures.left_over())
    if signed and auditor.decisions and not auditor.seen_signed:
        auditor.faults.append(
            "no decision carries a signature that git can check: is gpg.ssh.allowedSignersFile set,"
            " or the signers' GPG key known and trusted?"
        )
    return Audit(auditor.decisions, tuple(auditor.faults))


class _Auditor:
    """Goes through a ledger's entries in order, and remembers what the next one is held against."""

    def __init__(self, signed: bool, signatures: Signatures) -> None:
        self.decisions = 0
        self.signatures = signatures
        self.faults: list[str] = []
        self.seen_signed = False
        self._signed = signed
        self._decided: Decided | None = None  # by the entry at hand
        self._gates: dict[str, str] = {}  # the branch of each gate's folder
        self.begin_branch()

    def begin_branch(self) -> None:
        """What one branch holds is held against that branch alone."""
        self._waiting: dict[str, _Asked] = {}  # folders with a request and, so far, no decision
        self._seen: dict[str, Objections] = {}  # of folders without a decision

    def faults_of(self, entry: Entry) -> Iterator[str]:
        self._decided = None
        records = [
            each
            for each in entry.changes
            if not each.path.startswith((*_BESIDES, audit_baselines.FOLDER))
        ]
        folders = {each.path.rpartition("/")[0] for each in records}
        if len(folders) > 1:
            yield f"it touches more than one gate: {', '.join(sorted(folders))}"
        for folder in sorted(folders):
            yield from self._folder_faults(entry, folder)
        yield from baseline_faults(entry, self._decided)
        self.signatures.passed(entry.commit)

    def _folder_faults(self, entry: Entry, folder: str) -> Iterator[str]:
        gate_id = folder.rpartition("/")[2]
        if len(gate_id) != ID_LENGTH or folder_of(gate_id) != folder:
            yield f"{folder or 'the top'} is no gate's folder"
            return
        home = self._gates.setdefault(gate_id, entry.shard)
        if home != entry.shard:
            yield f"{folder} is on {home} too, and a gate is recorded on one branch"
        yield from _rewritten(entry, folder)
        yield from _unknown_files(entry, folder)
        self._remember(entry, folder)
        yield from (f"{folder}: {fault}" for fault in self._objection_faults(entry, folder))
        decision = entry.texts.get(f"{folder}/decision.yaml")
        if decision is not None:
            self.decisions += 1
            asked = self._waiting.pop(folder, None)
            seen = self._seen.pop(folder, _NOTHING)
            faults = [*self._judged(entry, folder, asked, decision, seen)]
            faults += self.signatures.faults_of(entry, folder, asked.text if asked else "")
            yield from (f"{folder}: {fault}" for fault in faults)
            yield from self._signature_faults(entry, folder)

    def _judged(
        self,
        entry: Entry,
        folder: str,
        asked: _Asked | None,
        text: str,
        seen: Objections,
    ) -> Iterator[str]:
        """What speaks against one decision."""
        if asked is None:
            yield "it was decided, and never asked"
            return
        try:
            request = request_in(asked.text)
            decision = decision_in(text)
        except BridgeError as error:
            yield str(error)
            return
        self._decided = Decided(request, decision)
        yield from _mismatches(entry, folder, request, decision)
        yield from _uncarried(request, decision)
        known = replace(seen, facts=holding(seen.facts, request))
        yield from _dropped(known, decision, "decision.yaml")
        if decision.outcome is not Outcome.APPROVED:
            if len(entry.parents) > 1:
                yield "it joins another history, which only an approval does"
        elif entry.joined.get(f"{folder}/request.yaml") != asked.blob:
            yield "the commit that asked for it does not hold the same request"

    def _objection_faults(self, entry: Entry, folder: str) -> Iterator[str]:
        """What was said stays on record, and what was lifted stays lifted by the same person."""
        text = entry.texts.get(f"{folder}/{OBJECTIONS}")
        if text is None:
            return
        try:
            found = objections_in(text)
        except BridgeError as error:
            yield str(error)
            return
        if found.gate_id != folder.rpartition("/")[2]:
            yield f"{OBJECTIONS} is that of gate {found.gate_id}"
        yield from _dropped(self._seen.get(folder, _NOTHING), found, OBJECTIONS)
        vouched = self.signatures.of_objections(entry, folder, text)
        self._seen[folder] = found if vouched else unlifted(found)

    def _remember(self, entry: Entry, folder: str) -> None:
        path = f"{folder}/request.yaml"
        for change in entry.changes:
            if change.path == path and path in entry.texts:
                self._waiting[folder] = _Asked(entry.texts[path], change.blob)

    def _signature_faults(self, entry: Entry, folder: str) -> Iterator[str]:
        if not self._signed:
            return
        if entry.signature is not None:
            self.seen_signed = True
        if self.seen_signed and entry.signature != "G":
            yield f"{folder}: {_SIGNATURES.get(entry.signature or 'N', _UNKNOWN)}"


def _unknown_files(entry: Entry, folder: str) -> Iterator[str]:
    for change in entry.changes:
        name = change.path.removeprefix(f"{folder}/")
        if change.status == "A" and "/" not in name and not is_gate_file(name):
            yield f"{change.path} is not a file that the bridge records"


def _rewritten(entry: Entry, folder: str) -> Iterator[str]:
    # A request that somebody merged by hand is no decision: it may still be asked anew.
    decides = any(
        each.path == f"{folder}/decision.yaml" and each.status == "A" for each in entry.changes
    )
    changed = {each.path for each in entry.changes if each.status == "M"}
    objected = f"{folder}/{OBJECTIONS}"
    for change in entry.changes:
        if not change.path.startswith(f"{folder}/") or change.status == "A":
            continue
        grows = decides or change.path == objected
        again = change.path == f"{folder}/{OBJECTIONS_SIGNATURE}" and objected in changed
        if not again and not (grows and change.status == "M"):
            did = {"M": "changed", "D": "deleted"}.get(change.status, "replaced")
            yield f"{change.path} was {did} after it was recorded"


#: Of a gate to which nobody objected, and of whose run nothing was proven.
_NOTHING = Objections("")


def _dropped(before: Objections, after: Objections | Decision, where: str) -> Iterator[str]:
    for each in lost(before.objections, after.objections):
        yield f"{where} lacks what {each.who} objected at {each.at:%Y-%m-%d %H:%M:%S} UTC"
    for fact in left_out(before.facts, after.facts):
        yield f"{where} lacks what was proven: {fact.name} {in_words(fact)}"


_UNKNOWN = "git cannot check its signature"
_SIGNATURES = {
    "N": "it is not signed, though decisions before it are",
    "B": "its signature is bad",
    "U": "it is signed by nobody who is known and trusted",
    "X": "its signature has expired",
    "Y": "the key that signed it has expired",
    "R": "the key that signed it was revoked",
}


def _mismatches(
    entry: Entry, folder: str, request: ApprovalRequest, decision: Decision
) -> Iterator[str]:
    if request.shard != entry.shard:
        yield f"request.yaml is to be recorded on {request.shard}, and this is {entry.shard}"
    if request.gate.folder != folder:
        yield f"request.yaml is that of gate {request.gate.id}"
    if decision.gate_id != request.gate.id:
        yield f"decision.yaml is that of gate {decision.gate_id}"
    if decision.request_digest != digest_of(request):
        yield "decision.yaml answers another request than the one beside it"
    if decision.previous != (entry.parents[0] if entry.parents else None):
        yield f"decision.yaml says that it was recorded upon {decision.previous}"
    if decision.decided_at < as_asked(request, decision.facts).opened_at:
        yield "it was decided before it was asked"


def _uncarried(request: ApprovalRequest, decision: Decision) -> Iterator[str]:
    if decision.outcome is Outcome.WITHDRAWN and decision.by is Decider.RUN:
        return  # the run went away: nobody's vote, and nobody's approval
    judged = evaluate(request, decision.evidence)
    if (judged.outcome, judged.by) != (decision.outcome, decision.by):
        yield (
            f"it says {decision.outcome} by the {decision.by}, but what is recorded there does not"
            f" carry it ({judged.reason})"
        )
