"""`hitl log`, and `hitl ledger verify-gate` and `settle`: the record, read and kept up."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import Progress, print_json, print_table, shown
from bridge.cli.session import Session, as_json_option, gate_id, pass_session, say_settled
from bridge.core.errors import LedgerCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.core.log_filter import Wanted
    from bridge.core.model import Recorded
    from bridge.gates.ports import Ledger

_EMAIL = re.compile(r" <[^<>]*>")
#: Decisions of a list, if nobody says how many; and of an export, which is cut for nobody.
_FEW, _ALL = 20, 10_000_000
#: Records of an export that are read together, and held together in memory.
_TOGETHER = 1_000


@click.command()
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(1, _ALL),
    help="At most so many; else the newest 20, and with --export all that fit.",
)
@click.option("--flow", metavar="NAME", help="Only of this flow or workflow.")
@click.option("--step", metavar="NAME", help="Only of this step or node.")
@click.option("--person", metavar="TEXT", help="Only if TEXT is in an approver's name or address.")
@click.option(
    "--outcome",
    type=click.Choice(["approved", "rejected", "expired", "withdrawn"]),
    help="Only of this outcome.",
)
@click.option("--environment", metavar="NAME", help="Only for this environment.")
@click.option("--since", metavar="TIME", help="Only from this time on: 2026-11-01, or 7d (ago).")
@click.option("--until", metavar="TIME", help="Only before this time.")
@click.option(
    "--export",
    "form",
    type=click.Choice(["json", "jsonl", "csv"]),
    help="All that is on record of each decision, in this form.",
)
@as_json_option
@pass_session
def log(
    session: Session, /, limit: int | None, form: str | None, as_json: bool, **said: str | None
) -> None:
    """List the recorded decisions, newest first.

    \b
    hitl log --outcome rejected --since 30d
    hitl log --environment production --since 2026-01-01 --export csv
    """
    if form and as_json:
        raise click.UsageError("say --json or --export, not both: --export json has more")
    wanted = _wanted(said) if any(said.values()) else None
    most = limit or (_ALL if form else _FEW)
    found = _found(session, min(most + 1, _ALL), wanted)  # one more tells that there are more
    cut, found = len(found) > most, found[:most]
    if form:
        _export(session, found, form)
    elif as_json:
        print_json([_recorded_json(each) for each in found])
    elif found:
        rows = [
            (
                each.id,
                each.outcome.value,
                f"{each.decided_at:%Y-%m-%d %H:%M}",
                _by(each),
                shown(each.key),
                shown(each.headline),
            )
            for each in found
        ]
        print_table(("ID", "OUTCOME", "DECIDED (UTC)", "BY", "GATE", "QUESTION"), rows)
    elif wanted:
        click.echo("No decision fits these options.")
    else:
        where = session.ledger.where
        click.echo(f"Nothing was decided yet in {where}. `hitl list` shows what waits.")
    if cut:
        click.echo(f"These are the newest {most}; older decisions fit too: -n N lists N", err=True)


def _by(recorded: Recorded) -> str:
    who = shown(_EMAIL.sub("", recorded.approvers)) or f"the {recorded.by.value}"
    return f"{who} (unverified)" if recorded.unverified else who


def _wanted(said: Mapping[str, str | None]) -> Wanted:
    from bridge.core.errors import Faults
    from bridge.core.evaluation import Outcome
    from bridge.core.log_filter import Wanted, when
    from bridge.wiring import clock

    faults: list[str] = []
    times = {}
    for name in ("since", "until"):
        try:
            text = said[name]
            times[name] = when(text, f"--{name}", clock()) if text else None
        except Faults as found:
            faults += [f"--{name}: {each}" for each in found.faults]
    since, until = times.get("since"), times.get("until")
    if since and until and until <= since:
        faults.append("--until: it is not after --since, so no decision fits")
    if faults:
        raise Faults("the options", faults)
    outcome = said["outcome"]
    return Wanted(
        flow=said["flow"] or None,
        step=said["step"] or None,
        person=said["person"] or None,
        outcome=Outcome(outcome) if outcome else None,
        environment=said["environment"] or None,
        since=since,
        until=until,
    )


def _found(session: Session, limit: int, wanted: Wanted | None) -> Sequence[Recorded]:
    """The newest that are wanted. The environment is in no commit's message, so records are read
    until there are enough. Of one that can't be read, nobody knows that it is of another one."""
    ledger = session.ledger
    if wanted is None or wanted.environment is None:
        return _history(ledger, limit, wanted)
    many = limit
    while True:
        found = _history(ledger, many, wanted)
        fits = list(islice(_of_environment(ledger, found, wanted), limit))
        if len(fits) >= limit or len(found) < many:
            return fits
        many *= 4


def _of_environment(
    ledger: Ledger, found: Sequence[Recorded], wanted: Wanted
) -> Iterator[Recorded]:
    for start in range(0, len(found), _TOGETHER):
        some = found[start : start + _TOGETHER]
        records = ledger.decided([each.id for each in some])
        for each in some:
            if each.id not in records or wanted.fits_request(records[each.id].request):
                yield each


def _history(ledger: Ledger, limit: int, wanted: Wanted | None) -> Sequence[Recorded]:
    """Who is rare, or decided long ago, is found by reading all that came after it."""
    with Progress() as progress:
        return ledger.history(
            limit,
            wanted,
            lambda read: progress.say(f"{read:,} decisions read; --since ends it earlier"),
        )


def _export(session: Session, found: Sequence[Recorded], form: str) -> None:
    from bridge.render.export import FORMS

    lost: list[str] = []
    for line in FORMS[form](_rows(session.ledger, found, lost)):
        click.echo(line)
    if lost:
        raise LedgerCorrupt(
            f"{len(lost)} of {len(found)} decisions cannot be read: {', '.join(lost[:5])}; run"
            " `hitl ledger verify` to see why"
        )


def _rows(
    ledger: Ledger, found: Sequence[Recorded], lost: list[str]
) -> Iterator[Mapping[str, Any]]:
    """The whole records, read as they are asked for. What cannot be read is added to `lost`."""
    from bridge.render.export import row

    for start in range(0, len(found), _TOGETHER):
        some = found[start : start + _TOGETHER]
        records = ledger.decided([each.id for each in some])
        lost += [each.id for each in some if each.id not in records]
        for each in some:
            standing = records.get(each.id)
            if standing and standing.decision:
                yield row(standing, standing.decision, each.commit)


def _recorded_json(recorded: Recorded) -> dict[str, Any]:
    from bridge.core.timestamps import moment_out

    return {
        "id": recorded.id,
        "key": recorded.key,
        "question": recorded.headline,
        "outcome": recorded.outcome.value,
        "by": recorded.by.value,
        "approvers": recorded.approvers,
        "unverified": recorded.unverified,
        "decided_at": moment_out(recorded.decided_at),
        "commit": recorded.commit,
    }


@click.command("verify-gate")
@gate_id
@pass_session
def verify_gate(session: Session, gate: str) -> None:
    """Check that one gate's step may run; leave with 202 if not.

    If HITL_KEYS is set, a decision counts only if one of these keys signed it.

    \b
    hitl ledger verify-gate 3fa9 && ./deploy.sh
    """
    standing = session.gate(gate)
    request = standing.request
    decision = session.venue_of(request).verify(request.gate, lambda _: request.draft)
    click.echo(f"{request.gate.key}: {shown(decision.reason)}; the record is valid")


@click.command()
@pass_session
def settle(session: Session) -> None:
    """Settle what the clock or a crash left behind.

    \b
    hitl ledger settle    in a cron job: gates expire although nobody looks
    """
    from bridge.core.listing import Unreadable
    from bridge.gates.settle import reconcile
    from bridge.wiring import existing_venue

    settled, failed = 0, 0
    for each in reconcile(existing_venue(session.settings), session.venue_of):
        if isinstance(each, Unreadable):
            click.echo(f"not settled: {shown(each.why)}", err=True)
            failed += 1
        else:
            say_settled(each, err=False)
            settled += 1
    if failed:
        raise LedgerCorrupt(f"{failed} open gate{'s' if failed > 1 else ''} could not be settled")
    if not settled:
        click.echo("Nothing to settle.")
