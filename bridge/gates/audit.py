"""Audit a ledger: prove from its commits alone that nothing in it was changed, lost or made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.core.decision_keys import DecisionKey
from bridge.core.digest import digest_of, holding
from bridge.core.entry import REGULAR, Entry, Stretch, Tell, tell_nobody
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import in_words, left_out
from bridge.core.listing import ID_LENGTH
from bridge.core.model import (
    OBJECTIONS,
    OBJECTIONS_SIGNATURE,
    ApprovalRequest,
    Decision,
    Objections,
    folder_of,
    is_gate_file,
)
from bridge.core.records import decision_in, objections_in, request_in
from bridge.core.shards import LEDGER_FILE
from bridge.core.witness import Head, Witness, checked_by
from bridge.gates import audit_baselines
from bridge.gates.audit_baselines import Decided, baseline_faults
from bridge.gates.audit_branches import link_faults, starts
from bridge.gates.audit_pictures import picture_faults
from bridge.gates.audit_signatures import Signatures
from bridge.gates.ports import Ledger, WholeRecord
from bridge.policy.claims import as_asked
from bridge.policy.evaluate import evaluate
from bridge.policy.objections import lost, unlifted

#: What may stand beside the gates: a page for people, and the forge's own files.
_FORGE = ".github/"
_BESIDES = ("README.md", LEDGER_FILE, _FORGE)


@dataclass(frozen=True, slots=True)
class Audit:
    """What a ledger amounts to: how many decisions were read, and every fault, with commit and
    path. If there is none, `witness` is where the next audit may go on."""

    decisions: int
    faults: tuple[str, ...]
    witness: Witness


class _Asked(NamedTuple):
    """A request as it was put into the record."""

    text: str
    blob: str


def audit(
    ledger: Ledger,
    *,
    signed: bool = False,
    keys: Sequence[DecisionKey] = (),
    earlier: Sequence[Witness | str] = (),
    keep: bool = False,
    tell: Tell = tell_nobody,
) -> Audit:
    """Read the ledger's commits once, oldest first, and judge each.

    `keys`: every decision must be signed by one of them. `signed`: every decision from the first
    signed one on must be recorded by a commit with a signature that git calls good
    (`gpg.ssh.allowedSignersFile`, or the GPG keyring, names whose). `earlier`: witnesses, and
    commits that somebody noted down. The ledger must have them still, and what came after them is
    read. `tell` is called with what is done, how much of it, and of how much.

    Raises `LedgerUnavailable` if the ledger cannot be read; an empty `faults` is the proof.
    """
    with ledger.whole(keep=keep, tell=tell) as record:
        start = starts(record, earlier, checked_by(keys, signed=signed), ledger.where)
        auditor = Auditor(Signatures(keys, ledger.where), signed=signed, seen_signed=start.goes_on)
        auditor.faults.extend(start.faults)
        auditor.read(record, start.stretches, tell)
        heads = tuple(Head(branch, commit) for branch, commit in record.heads.items())
        witness = Witness(ledger.where, heads, checked_by(keys, signed=signed))
    return Audit(auditor.decisions, tuple(auditor.faults), witness)


_READING = "reading commits"
#: Commits after which the audit says again how far it is.
_OFTEN = 100


class Auditor:
    """Goes through a ledger's entries in order, and remembers what the next one is held against:
    of a decision nothing but its gate's id."""

    def __init__(
        self, signatures: Signatures, *, signed: bool = False, seen_signed: bool = False
    ) -> None:
        self.decisions = 0
        self.signatures = signatures
        self.faults: list[str] = []
        self._signed = signed
        self._seen_signed = seen_signed
        self._decided: Decided | None = None  # by the entry at hand
        self._gates: dict[str, set[int]] = {}  # of each branch; 60 MB for a million
        self.begin_branch()

    def begin_branch(self) -> None:
        """What one branch holds is held against that branch alone."""
        self._waiting: dict[str, _Asked] = {}  # folders with a request and, so far, no decision
        self._seen: dict[str, Objections] = {}  # of folders without a decision

    def read(self, record: WholeRecord, stretches: Sequence[Stretch], tell: Tell) -> None:
        done, total = 0, sum(each.commits for each in stretches)
        goes_on = any(each.after for each in stretches)
        tell(_READING, done, total)
        for stretch in stretches:
            self.begin_branch()
            self.signatures.begin_branch(record, stretch)
            entries = record.entries(stretch, signatures=self._signed, before=goes_on)
            for number, entry in enumerate(entries):
                if not number and not stretch.after:
                    self.faults.extend(link_faults(record, entry))
                place = entry.commit[:12]
                self.faults.extend(f"commit {place}: {fault}" for fault in self.faults_of(entry))
                pictures = picture_faults(record, entry, self._decided)
                self.faults.extend(f"commit {place}: {fault}" for fault in pictures)
                done += 1
                if not done % _OFTEN:
                    tell(_READING, done, total)
        self.faults.extend(self.signatures.left_over())
        if self._signed and self.decisions and not self._seen_signed:
            self.faults.append(
                "no decision carries a signature that git can check: is gpg.ssh.allowedSignersFile"
                " set, or the signers' GPG key known and trusted?"
            )

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
        yield from _not_plain(entry)
        self.signatures.passed(entry.commit)

    def _folder_faults(self, entry: Entry, folder: str) -> Iterator[str]:
        gate_id = folder.rpartition("/")[2]
        if len(gate_id) != ID_LENGTH or folder_of(gate_id) != folder:
            yield f"{folder or 'the top'} is no gate's folder"
            return
        for home in self._homes(entry, gate_id):
            yield f"{folder} is on {home} too, and a gate is recorded on one branch"
        self._take_over(entry, folder)
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

    def _homes(self, entry: Entry, gate_id: str) -> Iterable[str]:
        """The other branches that have this gate."""
        if entry.elsewhere is not None:
            return entry.elsewhere
        number = int(gate_id, 16)
        self._gates.setdefault(entry.shard, set()).add(number)
        return [name for name, ids in self._gates.items() if name != entry.shard and number in ids]

    def _take_over(self, entry: Entry, folder: str) -> None:
        """What is on record of the gate from before the commit at which this audit goes on."""
        asked = entry.before.get(f"{folder}/request.yaml")
        if asked:
            self._waiting[folder] = _Asked(*asked)
        objected = entry.before.get(f"{folder}/{OBJECTIONS}")
        if objected is None or folder in self._seen:
            return
        signature = entry.before.get(f"{folder}/{OBJECTIONS_SIGNATURE}")
        try:
            found = objections_in(objected.text)
        except BridgeError:
            return  # the commit that recorded it is at fault, and was read before
        vouched = self.signatures.of_objections(
            entry.parents[0], folder, objected.text, signature.text if signature else None
        )
        self._seen[folder] = found if vouched else unlifted(found)

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
        signature = entry.texts.get(f"{folder}/{OBJECTIONS_SIGNATURE}")
        vouched = self.signatures.of_objections(entry.commit, folder, text, signature)
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
            self._seen_signed = True
        if self._seen_signed and entry.signature != "G":
            yield f"{folder}: {_SIGNATURES.get(entry.signature or 'N', _UNKNOWN)}"


def _not_plain(entry: Entry) -> Iterator[str]:
    """A link, a submodule, a file that can be run: what a reader follows lies somewhere else."""
    for change in entry.changes:
        if change.status != "D" and change.mode != REGULAR and not change.path.startswith(_FORGE):
            yield f"{change.path} is no plain file: its mode is {change.mode}"


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
    if (decision.outcome, decision.by) == (Outcome.WITHDRAWN, Decider.RUN):
        return  # the run went away: no vote says so
    judged = evaluate(request, decision.evidence)
    if (judged.outcome, judged.by) != (decision.outcome, decision.by):
        yield (
            f"it says {decision.outcome} by the {decision.by}, but what is recorded there does not"
            f" carry it ({judged.reason})"
        )
