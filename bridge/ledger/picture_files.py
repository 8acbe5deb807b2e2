"""The pictures in a gate's folder, which must be those that its request lists."""

from __future__ import annotations

import hashlib

from bridge.core.errors import LedgerCorrupt
from bridge.core.model import ApprovalRequest, is_picture_file
from bridge.ledger.clone import GitClone
from bridge.ledger.git import BLOBS, Tree


def without_other_pictures(request: ApprovalRequest, files: Tree) -> Tree:
    """The files without those pictures that the request does not list."""
    listed = {each.file for each in request.pictures}
    return {
        name: leaf for name, leaf in files.items() if name in listed or not is_picture_file(name)
    }


def check_pictures(clone: GitClone, request: ApprovalRequest, files: Tree) -> None:
    """Raises `LedgerCorrupt` if a picture among these files is not the one that the request lists:
    its opener can push another under the same name."""
    names = [each.file for each in request.pictures]
    found = {name: files[name] for name in names if name in files and files[name].mode in BLOBS}
    clone.bring(leaf.sha for leaf in found.values())
    for each in request.pictures:
        leaf = found.get(each.file)
        if leaf is None or hashlib.sha256(clone.data(leaf.sha)).hexdigest() != each.sha256:
            raise LedgerCorrupt(
                f"{request.gate.folder}/{each.file} is not the picture that the request lists:"
                " reject the gate, and ask again in a new run"
            )
