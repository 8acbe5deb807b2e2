"""The commands that a person is asked to run, as a shell takes them."""

from __future__ import annotations

import shlex

from bridge.core.input_fields import owed
from bridge.core.model import ApprovalRequest, Standing


def approve(request: ApprovalRequest, where: str | None) -> str:
    """The command that approves, with a blank for each input that only a person can give.

    With `where` it names its ledger, so that any shell on this machine can run it. Without, it is
    for the folder and the environment that this one was called in.
    """
    blanks = "".join(f" -i {shlex.quote(name)}=…" for name in owed(request.schema))
    return _command("approve", request, where) + blanks


def reject(request: ApprovalRequest, where: str | None) -> str:
    return f"{_command('reject', request, where)} --reason …"


def show(request: ApprovalRequest, where: str | None) -> str:
    return _command("show", request, where)


def withdraw(gate_id: str, where: str | None) -> str:
    return f"{_of('withdraw', gate_id, where)} --reason …"


def _command(verb: str, request: ApprovalRequest, where: str | None) -> str:
    return _of(verb, request.gate.id, where)


def _of(verb: str, gate_id: str, where: str | None) -> str:
    return shlex.join(["hitl", *(["--ledger", where] if where else []), verb, gate_id])


def in_git(standing: Standing, where: str, *, is_path: bool) -> tuple[str, ...]:
    """How the record of a gate is read with git alone."""
    gate = standing.request.gate
    if standing.decision is None:
        branch, file = gate.branch, f"{gate.folder}/request.yaml"
    else:
        branch, file = standing.request.shard, f"{gate.folder}/decision.yaml"
    if is_path:
        git = f"git --git-dir {shlex.quote(where)}"
        return (f"{git} log {branch}", f"{git} show {branch}:{file}")
    return (
        f"git clone --branch {branch} {shlex.quote(where)} ledger",
        f"git -C ledger show HEAD:{file}",
    )
