"""The commands that a person is told to run, as a shell takes them."""

from __future__ import annotations

import shlex

from bridge.core.input_fields import owed
from bridge.core.model import ApprovalRequest, Standing


def command(verb: str, gate_id: str, where: str | None) -> str:
    """A command that decides or shows a gate.

    With `where` it names its ledger, so that any shell on this machine can run it; without, it is
    for the folder and the environment that this one was called in.
    """
    return shlex.join(["hitl", *(["--ledger", where] if where else []), verb, gate_id])


def approve(request: ApprovalRequest, where: str | None) -> str:
    """The command that approves, with a blank for each input that only a person can give."""
    blanks = "".join(f" -i {shlex.quote(name)}=…" for name in owed(request.schema))
    return command("approve", request.gate.id, where) + blanks


def in_git(standing: Standing, where: str, *, is_path: bool) -> tuple[str, ...]:
    """How the record of a gate is read with git alone."""
    gate = standing.request.gate
    if standing.decision is None:
        branch, file = gate.branch, f"{gate.folder}/request.yaml"
    else:
        branch, file = "approvals", f"{gate.folder}/decision.yaml"
    if is_path:
        git = f"git --git-dir {shlex.quote(where)}"
        return (f"{git} log {branch}", f"{git} show {branch}:{file}")
    return (
        f"git clone --branch {branch} {shlex.quote(where)} ledger",
        f"git -C ledger show HEAD:{file}",
    )
