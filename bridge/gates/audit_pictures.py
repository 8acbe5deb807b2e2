"""Audit the pictures: an approval records those that its request lists, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.entry import Entry
from bridge.core.evaluation import Outcome
from bridge.core.model import is_picture_file
from bridge.gates.audit_baselines import Decided
from bridge.gates.ports import WholeRecord


def picture_faults(record: WholeRecord, entry: Entry, decided: Decided | None) -> Iterator[str]:
    """What the entry records beside what its request lists.

    A gate whose opener pushed another picture under a listed name can only be rejected, and that
    record shows what was pushed.
    """
    if decided is None:
        return
    request = decided.request
    folder = request.gate.folder
    listed = {f"{folder}/{each.file}": each.sha256 for each in request.pictures}
    for change in entry.changes:
        above, _, name = change.path.rpartition("/")
        if above == folder and is_picture_file(name) and change.path not in listed:
            yield f"{change.path} is a picture that its request does not list"
    if decided.decision.outcome is Outcome.APPROVED:
        for path, sha256 in listed.items():
            if record.sha256(entry.commit, path) != sha256:
                yield f"{path} is not the picture that its request lists"
