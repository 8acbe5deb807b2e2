"""`hitl ledger verify`: prove the whole ledger, from an earlier head on or from its beginning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from bridge.cli.output import Progress, shown
from bridge.cli.session import Session, pass_session, say_not_begun
from bridge.core.errors import LedgerCorrupt

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.core.witness import Witness


@click.group()
def ledger() -> None:
    """Verify the record, find what is missing, settle what is overdue."""


@ledger.command("verify")
@click.option(
    "--from",
    "earlier",
    metavar="FILE|COMMIT",
    multiple=True,
    help="A witness, or a commit that you noted: check that the ledger still has it, and read what"
    " came after it. Can be given several times.",
)
@click.option(
    "--witness",
    "witness_file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Read FILE as --from does, and write today's heads to it if there is no fault.",
)
@click.option(
    "--signed",
    is_flag=True,
    help="Require a good signature by git on every decision since the first signed one.",
)
@pass_session
def verify(
    session: Session, earlier: tuple[str, ...], witness_file: str | None, signed: bool
) -> None:
    """Verify the whole ledger, and list every fault.

    It reads the ledger commit by commit.

    The heads that it prints are what you have proven: note them down where nobody who can push to
    the ledger can change them. If HITL_KEYS is set, each decision must be signed by one of these
    keys.

    \b
    hitl ledger verify
    hitl ledger verify --witness shop.yaml    each night: only what is new
    hitl ledger verify --from 3f1c9a…         since a commit that you noted
    """
    from pathlib import Path  # not at the top: it costs `hitl --help` a tenth

    from bridge.gates.audit import audit
    from bridge.local.witness_file import check_folder, write_witness
    from bridge.wiring import existing_ledger

    witness = Path(witness_file) if witness_file else None
    known = [_earlier(each) for each in earlier]
    first = False
    if witness:
        check_folder(witness)
        first = not witness.exists()
        known += [] if first else [_witness(witness)]
    keys = session.settings.keys
    ledger = existing_ledger(session.settings)  # an audit may take hours: not connected all along
    keep = bool(witness or earlier)
    try:
        with Progress() as progress:
            found = audit(
                ledger,
                signed=signed,
                keys=keys,
                earlier=known,
                keep=keep,
                tell=progress.tell,
            )
    except KeyboardInterrupt:
        click.echo(_STOPPED_KEPT if keep else _STOPPED, err=True)
        raise
    for fault in found.faults:
        click.echo(f"  - {shown(fault)}", err=True)
    counted = f"{found.decisions} {'new ' * bool(known)}decision{'s' * (found.decisions != 1)}"
    if found.faults:
        faults = f"{len(found.faults)} fault{'s' * (len(found.faults) != 1)}"
        raise LedgerCorrupt(f"{ledger.where}: {counted}, {faults}; do not trust it")
    by = "signed by HITL_KEYS" if keys else "signatures not checked: HITL_KEYS is not set"
    click.echo(f"{ledger.where}: {counted}, no fault ({by})")
    for head in found.witness.heads:
        click.echo(f"{head.commit}  {head.branch}")
    if not found.witness.heads:
        say_not_begun(ledger.where)
    if witness:
        write_witness(witness, found.witness)
    if first:  # mistyped, or taken away by somebody who cut the ledger
        click.echo(
            f"hitl: {shown(str(witness))} is new. If you kept a witness before, it was not read:"
            " name it with --from.",
            err=True,
        )


#: There is no witness of a part: some of what is held against all branches is known at the end.
_STOPPED = (
    "hitl: stopped: nothing is proven. The next run begins anew; with --witness FILE, it keeps what"
    " it has fetched"
)
_STOPPED_KEPT = (
    "hitl: stopped: nothing new is proven, and the witness is as before. Give the same command"
    " again: it keeps the branches that it has fetched"
)


def _earlier(said: str) -> Witness | str:
    from pathlib import Path

    if re.fullmatch(r"[0-9a-f]{40}", said):
        return said
    path = Path(said)
    if not path.exists():
        raise click.BadParameter(
            f"{shown(said)} is neither a file nor a commit in full (40 characters)",
            param_hint="'--from'",
        )
    return _witness(path)


def _witness(path: Path) -> Witness:
    from bridge.local.witness_file import read_witness

    return read_witness(path)
