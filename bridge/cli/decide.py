"""`hitl approve`, `reject` and `withdraw`: answer a gate, or end one that nothing waits for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import on_terminal, shown
from bridge.cli.session import Session, gate_ids, gate_ids_or_none, pass_session
from bridge.core.errors import AlreadyDecided, BridgeError, Faults

if TYPE_CHECKING:
    from bridge.core.evaluation import Verdict, Vote
    from bridge.core.model import Standing
    from bridge.gates.recording import Deciding
    from bridge.gates.venue import Voted

    _Given = Callable[[Standing], dict[str, Any] | None]  # the input that a person typed


def _as_text(_context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from bridge.core.sanitize import is_text

    if not is_text(value):
        raise click.BadParameter("it has a byte that is not UTF-8: type it again in a UTF-8 shell")
    return value


def _reason(**more: Any) -> Callable[[Any], Any]:
    return click.option("--reason", metavar="TEXT", callback=_as_text, **more)


_sign = click.option(
    "--sign",
    is_flag=False,
    flag_value="",
    metavar="[KEYFILE]",
    help="On GitHub: sign the answer with an SSH key. Else the usual one in ~/.ssh.",
)


@click.command()
@gate_ids_or_none
@click.option("--input", "text", metavar="JSON", help="The whole input, as one JSON object.")
@click.option(
    "-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One field of the input; once for each."
)
@_reason(default="", help="Goes into the record.")
@_sign
@pass_session
def approve(
    session: Session,
    gates: tuple[str, ...],
    text: str | None,
    pairs: tuple[str, ...],
    reason: str,
    sign: str | None,
) -> None:
    """Approve gates: their runs go on.

    `hitl show ID` shows what input a gate asks for. Several gates get the same input and reason,
    and are recorded together. Without ID, a terminal offers the open gates.

    \b
    hitl approve 3fa9 -i target=staging --reason "checked the plots"
    hitl approve 3fa9 77c0
    """
    from bridge.core.evaluation import Verdict

    def given(standing: Standing) -> dict[str, Any] | None:
        from bridge.core import input_fields
        from bridge.render import suggested_commands

        schema = standing.request.schema
        if not (text or pairs or (schema and standing.decision is None)):
            return None
        try:
            return input_fields.read(schema, text=text, pairs=pairs)
        except Faults as error:
            again = suggested_commands.approve(standing.request, session.address)
            raise Faults(
                f"{error.subject} was not accepted, and {standing.request.gate.key} stays open",
                (*error.faults, f"once corrected: {again}"),
            ) from None

    if field := next((each for each in gates if _is_field(each)), None):
        import shlex  # here, because nothing else of a command needs it

        raise click.UsageError(f"{field!r} is no gate; to give an input: -i {shlex.quote(field)}")
    _vote(session, gates or _picked(session), Verdict.APPROVE, reason, given, sign)


def _is_field(name: str) -> bool:
    """On GitHub a field needs no `-i`. A gate's id has no `=`, and its whole name has a `/`."""
    return "=" in name and "/" not in name.partition("=")[0]


def _picked(session: Session) -> tuple[str, ...]:
    """The gate that the person at this terminal picks by its number."""
    from bridge.cli.gates import still_open

    if not (sys.stdin and sys.stdin.isatty() and on_terminal()):
        raise click.UsageError(
            "Missing argument 'ID...'. `hitl list` shows the open gates.",
            click.get_current_context(),
        )
    gates = still_open(session)
    if not gates:
        click.echo("No gate is open.")
        raise click.exceptions.Exit(0)
    for number, gate in enumerate(gates, 1):
        click.echo(f"{number:>3}  {gate.id}  {shown(gate.key)}  {shown(gate.headline)}")

    def read(typed: str) -> int:
        if not typed:
            raise click.exceptions.Exit(0)
        if not typed.isdecimal() or not 1 <= int(typed) <= len(gates):
            raise click.BadParameter(f"type a number from 1 to {len(gates)}")
        return int(typed)

    chosen = click.prompt(
        "Approve number (Enter: none)", default="", show_default=False, value_proc=read
    )
    return (gates[chosen - 1].id,)


@click.command()
@gate_ids
@_reason(help="Goes into the record. A terminal asks for it.")
@_sign
@pass_session
def reject(session: Session, gates: tuple[str, ...], reason: str | None, sign: str | None) -> None:
    """Reject gates: their runs end there.

    Only a new run can ask again. Several gates get the same reason, and are recorded together.

    \b
    hitl reject 3fa9 --reason "too low"
    """
    from bridge.core.evaluation import NO_REASON, Verdict

    if reason is None and sys.stdin.isatty() and on_terminal():
        from bridge.core.sanitize import as_text

        reason = as_text(click.prompt("Reason", default="", show_default=False))
    said = (reason or "").strip() or NO_REASON
    _vote(session, gates, Verdict.REJECT, said, lambda _: None, sign)


@click.command()
@gate_ids
@_reason(required=True, help="Goes into the record.")
@pass_session
def withdraw(session: Session, gates: tuple[str, ...], reason: str) -> None:
    """Withdraw gates that nothing waits for any more.

    For example, their run was killed. A run that does wait ends there, as after a rejection. Of a
    gate on GitHub this posts `/withdraw` as your own comment. It counts if you started the run, or
    may reject the gate.

    \b
    hitl withdraw 3fa9 --reason "the run was killed"
    """
    from bridge.core.evaluation import Verdict

    if not reason.strip():
        raise click.BadParameter("say why", param_hint="'--reason'")
    _vote(session, gates, Verdict.WITHDRAW, reason.strip(), lambda _: None, None)


def _vote(
    session: Session,
    names: Sequence[str],
    verdict: Verdict,
    reason: str,
    given: _Given,
    sign: str | None,
) -> None:
    from bridge.core.evaluation import Verdict
    from bridge.gates.recording import record_each
    from bridge.gates.venue import Ballot, Voted

    signing = _signing(sign)

    def voting(found: Standing | Exception) -> Deciding[Voted]:
        if isinstance(found, Exception):
            raise found
        if found.decision:
            return Voted(found)
        ballot = Ballot(verdict, reason, given(found), signing)
        return (yield from session.venue_of(found.request).vote(found, ballot))

    found = session.gates(list(dict.fromkeys(names)))
    ids = [each.request.gate.id for each in found if not isinstance(each, Exception)]
    gone = session.orphaned(ids) if verdict is Verdict.APPROVE else frozenset[str]()
    verbs = [voting(each) for each in found]
    errors: list[Exception] = []
    for voted in record_each(session.ledger, verbs):
        try:
            if isinstance(voted, Exception):
                raise voted
            session.forget_wait(voted.standing)
            _tell(session, voted, verdict, given, alone=len(verbs) == 1)
            if voted.standing.request.gate.id in gone:
                _say_gone(voted.standing)
        except Exception as error:  # noqa: BLE001 - the others are printed first
            errors.append(error)
    if errors:
        raise _of_all(errors, len(verbs))


def _of_all(errors: Sequence[Exception], asked: int) -> Exception:
    """What ends the command: it leaves with the exit code of the first."""
    first = next((each for each in errors if not isinstance(each, BridgeError)), errors[0])
    if len(errors) == 1 or not isinstance(first, BridgeError):
        return first
    every = Faults(f"{len(errors)} of {asked} gates were not answered", [*map(str, errors)])
    every.exit_code = first.exit_code
    return every


def _tell(session: Session, voted: Voted, verdict: Verdict, given: _Given, *, alone: bool) -> None:
    key, decision = voted.standing.request.gate.key, voted.standing.decision
    if voted.posted:
        click.echo(f"{key}: posted as your own answer at {voted.posted}")
        click.echo("The bridge replies there if it does not count; nothing is recorded until then.")
    elif decision and voted.vote in decision.votes:
        click.echo(f"{key}: {shown(decision.reason)}")
        if alone:
            from bridge.render import suggested_commands

            look = suggested_commands.show(voted.standing.request, session.address)
            click.echo(f"Recorded; to read it back: {look}")
    else:
        _already(voted.standing, verdict, given)


def _say_gone(standing: Standing) -> None:
    """That nobody waits for what was just approved, and what asks again."""
    from bridge.render.run_again import asks_again

    says = f"{standing.request.gate.key}: this starts nothing, because its run is gone"
    again = next((f"; to ask again: {each.command}" for each in asks_again(standing.request)), "")
    click.echo(says + again, err=True)


def _signing(key: str | None) -> Callable[[bytes], str] | None:
    """What signs with the person's own key; None if they did not ask for it."""
    if key is None:
        return None
    from pathlib import Path

    from bridge.core.sshsig import VOTE_NAMESPACE
    from bridge.local.ssh_keygen import sign

    return lambda statement: sign(Path(key) if key else None, statement, VOTE_NAMESPACE)


def _already(standing: Standing, verdict: Verdict, given: _Given) -> None:
    """Saying again what one has said is no fault; anything else came too late."""
    from bridge.core.evaluation import Decider
    from bridge.local.identity import person
    from bridge.policy.approvers import same_person

    me, decision = person(), standing.decision
    if decision is None:
        return
    mine = [
        vote for vote in decision.votes if same_person(vote.actor, me) and vote.verdict is verdict
    ]
    says = f"{standing.request.gate.key} was {shown(decision.reason)}"
    own = (f"{decision.outcome}:", f"{decision.outcome} by")
    if not decision.votes and not decision.reason.startswith(own):
        says = f"{standing.request.gate.key} is {decision.outcome.value}: {decision.reason}"
    when = says
    if decision.by is not Decider.CLOCK:  # whose sentence says when
        when = f"{says} ({decision.decided_at:%Y-%m-%d %H:%M:%S} UTC)"
    if mine and _other_input(standing, mine, given):
        recorded = ", ".join(f"{name} = {value}" for name, value in decision.inputs.items())
        when = f"{when}, and its input is {shown(recorded) if recorded else 'empty'}, not yours"
        mine = []
    if not mine:
        raise AlreadyDecided(f"{when}; the first decision counts, and only a new run can ask again")
    click.echo(f"{when}; nothing to do")


def _other_input(standing: Standing, votes: Sequence[Vote], given: _Given) -> bool:
    """Whether somebody who approves again asks for something else than their first answer did."""
    from bridge.core.input_fields import filled

    schema = standing.request.schema
    try:
        again = given(standing)
    except Faults:
        return True
    if again is None:
        return False
    return all(filled(schema, vote.inputs or {}) != filled(schema, again) for vote in votes)
