"""What an audit proved of a ledger, for a file outside it: the next audit goes on from there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.core.converter import plain, read
from bridge.core.decision_keys import DecisionKey
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.yaml_text import dump, load

_ANEW = "to read the whole ledger again, remove the file"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest commit of a branch, when it was read."""

    branch: str
    commit: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was asked of the decisions: the digest of HITL_KEYS, and whether commits are signed."""

    keys: str | None = None
    commits: bool = False

    def covers(self, asked: Checked) -> bool:
        """Whether nothing is asked now that wasn't asked then."""
        return asked.keys in (None, self.keys) and self.commits >= asked.commits


@dataclass(frozen=True, slots=True)
class Witness:
    """The heads of a ledger in which an audit found no fault."""

    ledger: str
    heads: tuple[Head, ...] = ()
    checked: Checked = Checked()
    format: int = field(default=1, metadata={"always": True})


def checked_by(keys: Sequence[DecisionKey], *, signed: bool) -> Checked:
    lines = "".join(sorted(f"{each.line}\n" for each in keys))
    digest = "sha256:" + hashlib.sha256(lines.encode()).hexdigest() if keys else None
    return Checked(digest, signed)


def witness_out(witness: Witness) -> str:
    return dump(plain(witness))


def witness_in(text: str, where: str) -> Witness:
    """Raises `Faults`: a witness that can't be read vouches for nothing."""
    try:
        witness, faults = read(Witness, load(text, where), "witness")
    except LedgerCorrupt as error:
        raise Faults(where, [str(error), _ANEW]) from None
    if witness and witness.format != 1:
        faults.append(f"witness.format is {witness.format}, and this bridge reads format 1")
    if witness and not all(_COMMIT.fullmatch(each.commit) for each in witness.heads):
        faults.append("witness.heads: a commit is not given in full")
    if witness is None or faults:
        raise Faults(where, [*faults, _ANEW])
    return witness
