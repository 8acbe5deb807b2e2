"""`hitl list`, `show` and `explain`: what waits, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import colour, print_json, print_table, shown, width
from bridge.cli.session import (
    Session,
    as_json_option,
    gate_id,
    pass_session,
    say_not_begun,
    say_settled,
)
from bridge.core.errors import BridgeError

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.core.evaluation import Outcome
    from bridge.core.listing import OpenGate
    from bridge.core.model import ApprovalRequest, Standing


@click.command("list")
@click.option("--flow", "--flow-name", "flow_name", metavar="NAME", help="Only of this flow.")
@as_json_option
@pass_session
def list_(session: Session, flow_name: str | None, as_json: bool) -> None:
    """List the open gates, oldest first.

    \b
    hitl list
    hitl list --flow Train --json
    """
    session.flow = flow_name or session.flow
    gates = still_open(session)
    orphaned = session.orphaned(gate.id for gate in gates) if gates else frozenset()
    if as_json:
        print_json([_gate_json(gate, orphaned=gate.id in orphaned) for gate in gates])
    elif gates:
        _print_gates(gates, session.now)
        _print_orphaned(session, orphaned)
    else:
        whose = f" of {session.flow}" if session.flow else ""
        click.echo(
            f"No gate{whose} is open. A flow that reaches an approval opens one;"
            " `hitl log` shows what was decided."
        )


def still_open(session: Session) -> list[OpenGate]:
    """The open gates, oldest first, after those that are overdue were settled."""
    from bridge.wiring import open_gates

    listing = open_gates(session.settings)
    for each in listing.unreadable:
        click.echo(f"not listed: {shown(each.why)}", err=True)
    if not (listing.begun or listing.gates):
        say_not_begun(session.ledger.where)
    gates, settled = listing.gates, set[str]()
    if any(gate.expires_at and gate.expires_at <= session.now for gate in gates):
        settled = _settle_overdue(session, gates)
    return [
        gate
        for gate in gates
        if gate.id not in settled and (not session.flow or gate.key.startswith(f"{session.flow}/"))
    ]


def _settle_overdue(session: Session, gates: tuple[OpenGate, ...]) -> set[str]:
    from bridge.core.listing import Unreadable
    from bridge.gates.settle import settle_overdue

    settled = set()
    try:
        for each in settle_overdue(session.ledger, session.venue_of, gates, session.now):
            if isinstance(each, Unreadable):
                click.echo(f"not settled: {shown(each.why)}", err=True)
                continue
            say_settled(each)
            session.forget_wait(each)
            settled.add(each.request.gate.id)
    except BridgeError as error:  # who may only read may still look
        click.echo(f"what expired could not be settled: {error}", err=True)
    return settled


def _print_gates(gates: list[OpenGate], now: datetime) -> None:
    from bridge.core.durations import relative

    rows = [
        (
            gate.id,
            relative(gate.opened_at, now),
            relative(gate.expires_at, now) if gate.expires_at else "never",
            shown(gate.key),
            shown(gate.headline),
        )
        for gate in gates
    ]
    print_table(("ID", "ASKED", "DEADLINE", "GATE", "QUESTION"), rows)
    linked = [gate for gate in gates if gate.run]
    if linked:
        click.echo("\nWhat waits:")
    for gate in linked:
        click.echo(f"{gate.id}  {shown(gate.run or '')}")


def _print_orphaned(session: Session, orphaned: frozenset[str]) -> None:
    if not orphaned:
        return
    from bridge.render.suggested_commands import withdraw

    click.echo("\nThe run is gone, and nothing waits for an answer. To end the gate:")
    for each in sorted(orphaned):
        click.echo(f"{each}  {withdraw(each, session.address)}")


def _gate_json(gate: OpenGate, *, orphaned: bool) -> dict[str, Any]:
    from bridge.core.timestamps import moment_out

    return {
        "id": gate.id,
        "key": gate.key,
        "question": gate.headline,
        "opened_at": moment_out(gate.opened_at),
        "expires_at": moment_out(gate.expires_at) if gate.expires_at else None,
        "initiator": gate.initiator,
        "run": gate.run,
        "orphaned": orphaned,
    }


@click.command()
@gate_id
@as_json_option
@pass_session
def show(session: Session, gate: str, as_json: bool) -> None:
    """Show what is asked, what was decided, and how to read it in git.

    \b
    hitl show 3fa9
    """
    standing = session.gate(gate)
    if as_json:
        print_json(_standing_json(session, standing))
        return
    from bridge.render import suggested_commands
    from bridge.render.request import terminal
    from bridge.render.run_again import asks_again

    click.echo(
        terminal(
            standing.request, colour=colour(), width=width(), now=session.now, standing=standing
        )
    )
    click.echo()
    if standing.decision is None:
        try:
            _explain_open(session, standing)
        except BridgeError as error:  # the ledger could be read, and is what was asked for
            click.echo(f"its state cannot be read: {error}", err=True)
    if standing.decision is None:
        if gone := _why_orphaned(session, standing):
            click.echo(f"\nNothing waits for an answer: {shown(gone)}")
            ends = suggested_commands.withdraw(standing.request.gate.id, session.address)
            click.echo(f"To end it:   {ends}")
        click.echo(f"To approve:  {suggested_commands.approve(standing.request, session.address)}")
        click.echo(f"To reject:   {suggested_commands.reject(standing.request, session.address)}")
    elif _ended(standing.request, standing.decision.outcome):
        for again in asks_again(standing.request):
            click.echo(f"Ask again:   {again.command}  ({again.what})")
    ledger = session.ledger
    for line in suggested_commands.in_git(standing, ledger.where, is_path=ledger.is_path):
        click.echo(f"In git:      {line}")


def _why_orphaned(session: Session, standing: Standing) -> str | None:
    """Why nothing waits at this open gate any more, as far as can be seen from here."""
    request = standing.request
    if session.orphaned([request.gate.id]):
        return "the run waited on this machine, and its process is gone"
    if request.workflow is None:
        return None
    from bridge.gates.deliver import surely_over
    from bridge.wiring import cluster

    there = cluster(session.settings)
    try:
        return surely_over(there, request) if there else None
    except BridgeError as error:  # the gate could be read, and is what was asked for
        click.echo(f"whether its run still waits cannot be seen: {error}", err=True)
        return None


def _ended(request: ApprovalRequest, outcome: Outcome) -> bool:
    """Whether the run was ended by this outcome, and only a new one asks again."""
    return outcome.value != "approved" and not request.skips(outcome)


def _standing_json(session: Session, standing: Standing) -> dict[str, Any]:
    from bridge.core.records import decision_out, request_out
    from bridge.core.yaml_text import load

    decision = standing.decision
    return {
        "id": standing.request.gate.id,
        "key": standing.request.gate.key,
        "outcome": decision.outcome.value if decision else "pending",
        "request": load(request_out(standing.request), "request"),
        "decision": load(decision_out(decision), "decision") if decision else None,
        "orphaned": decision is None and _why_orphaned(session, standing) is not None,
        "ledger": session.ledger.where,
        "commit": standing.commit,
    }


@click.command()
@gate_id
@pass_session
def explain(session: Session, gate: str) -> None:
    """Explain the state of a gate: the rules, and whose votes count.

    \b
    hitl explain 3fa9
    """
    from bridge.core.evaluation import Outcome
    from bridge.policy.evaluate import evaluate
    from bridge.render.request import explanation

    standing = session.gate(gate)
    decision = standing.decision
    if decision and decision.outcome is Outcome.WITHDRAWN:
        click.echo(shown(decision.reason))
        return
    if decision is None:
        _explain_open(session, standing)
        return
    click.echo(explanation(evaluate(standing.request, decision.evidence), colour=colour()))


def _explain_open(session: Session, standing: Standing) -> None:
    """An open gate, judged as it would be now."""
    from bridge.render.request import explanation

    found = session.venue_of(standing.request).explain(standing)
    if found.evaluation:
        click.echo(explanation(found.evaluation, colour=colour()))
    else:
        click.echo(f"pending: {shown(found.trouble)}")
    if found.address:
        click.echo(f"  to answer: {found.address}")
