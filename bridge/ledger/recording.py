"""A ledger on this machine: whether a decision is as the bridge recorded it.

Nothing is signed there, and anybody who can write there can imitate the bridge's commit. But what
somebody edited and committed by hand isn't a decision, and this finds which it is. It is a
`git log` in the ledger itself, which stops at the newest commit of the gate's folder: quick for a
gate of today, longer for one of years ago.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bridge.core.errors import LedgerCorrupt
from bridge.core.evaluation import Outcome
from bridge.core.model import Decision, Standing
from bridge.ledger.commit_message import recorded
from bridge.ledger.git import QUIET, environment, run


class _Commit(NamedTuple):
    sha: str
    parents: list[str]
    message: str
    changes: dict[str, str]  # path to git's letter


def check_recorded(ledger: Path, standing: Standing) -> None:
    """Raises `LedgerCorrupt` if the newest commit of the gate's folder isn't what recorded it."""
    decision, gate = standing.decision, standing.request.gate
    if decision is None:
        return
    newest = _newest(ledger, standing.commit, gate.folder)
    for fault in _faults(newest, decision, f"{gate.folder}/decision.yaml"):
        raise LedgerCorrupt(
            f"the decision of {gate.key} (gate {gate.id}) isn't as it was recorded: {fault}; look"
            f" at `git -C {ledger} show {newest.sha[:12]}`, and ask again in a new run"
        )


def _newest(ledger: Path, head: str, folder: str) -> _Commit:
    git_dir = ledger / ".git" if (ledger / ".git").exists() else ledger
    args = ["log", "-1", "--first-parent", "-m", "--root", "--raw", "--no-renames", "-z"]
    said = run(
        [*args, "--format=%H%x00%P%x00%B", head, "--", folder],
        environment(git_dir, {**QUIET, "log.showSignature": "false"}),
    )
    sha, parents, message, *rows = (said or "\0\0").split("\0")
    fields = [each.lstrip("\n") for each in rows if each.strip()]
    letters = (each.rpartition(" ")[2] for each in fields[::2])
    changes = dict(zip(fields[1::2], letters, strict=False))
    return _Commit(sha, parents.split(), message, changes)


def _faults(newest: _Commit, decision: Decision, path: str) -> Iterator[str]:
    if newest.changes.get(path) != "A":
        yield f"commit {newest.sha[:12]} changed its folder later"
    says = recorded(newest.sha, f"\n\n{newest.message}")
    if says is None or (says.id, says.outcome) != (decision.gate_id, decision.outcome):
        yield f"the message of commit {newest.sha[:12]} doesn't say so"
    joined = 2 if decision.outcome is Outcome.APPROVED else 1
    if len(newest.parents) != joined or newest.parents[0] != decision.previous:
        yield f"commit {newest.sha[:12]} isn't upon the commit that the decision names"
