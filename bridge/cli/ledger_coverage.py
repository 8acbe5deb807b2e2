"""`hitl ledger coverage`: what ran, and is not in the ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import print_table, shown
from bridge.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from bridge.core.coverage import Coverage


@click.command("coverage")
@click.option("--flow", metavar="NAME", help="The flow of Metaflow, or the pipeline of FlowyML.")
@click.option(
    "--flowyml",
    "store",
    metavar="FILE",
    help="With --flow: the runs in this metadata store of FlowyML, such as .flowyml/metadata.db.",
)
@click.option(
    "--workflows",
    "file",
    metavar="FILE",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="In place of --flow: workflows of Argo, as `kubectl get workflows -o json` or"
    " `argo archive get -o json` prints them. - reads standard input.",
)
@click.option(
    "--step",
    "steps",
    metavar="NAME",
    multiple=True,
    help="Every task of this step, also of runs whose code has no gate there. Can be given several"
    " times.",
)
@click.option("--since", metavar="TIME", help="Only runs from this time on: 2026-11-01, or 7d.")
@click.option(
    "--export",
    "form",
    type=click.Choice(["json", "jsonl", "csv"]),
    help="Every task with its decision, in this form.",
)
@click.pass_context
@pass_session
def coverage(
    session: Session,
    context: click.Context,
    /,
    flow: str | None,
    store: str | None,
    file: TextIO | None,
    steps: tuple[str, ...],
    since: str | None,
    form: str | None,
) -> None:
    """List what Metaflow, FlowyML or Argo ran without an approval.

    Each task of a gated step is put beside its decision, gaps first. A gap is a task that ran and
    has no approval in the ledger, or only a later one. If there is one, the exit code is 1.

    \b
    hitl ledger coverage --flow Train
    hitl ledger coverage --flow Train --step deploy    also if @hitl is gone
    hitl ledger coverage --flow shop --flowyml .flowyml/metadata.db
    kubectl get workflows -n ml -o json | hitl ledger coverage --workflows -
    """
    from bridge.core.coverage import Found

    name = flow or session.flow
    if file and (flow or since or store):
        raise click.UsageError(
            "--workflows goes without --flow, --flowyml and --since: the file says it"
        )
    if not file and not name:
        raise click.UsageError("say which flow: --flow NAME, or --workflows FILE")
    failed = 0
    if file:
        name = file.name
        held, failed = _of_argo(session, file, steps)
    elif store:
        held, failed = _of_flowyml(session, store, name or "", steps, since)
    else:
        held = _of_metaflow(session, name or "", steps, since)
    order = list(Found)
    found = sorted(held, key=lambda each: order.index(each.found))
    verified = bool(session.settings.keys)
    if form:
        _export(found, form, verified=verified)
    elif found:
        rows = [_row(each) for each in found]
        print_table(("FOUND", "TASK", "GATE", "DECIDED (UTC)", "WHY"), rows)
    counted = Counter(each.found for each in found)
    by = "signed by HITL_KEYS" if verified else "unverified: HITL_KEYS is not set"
    gaps, covered, idle = counted[Found.GAP], counted[Found.COVERED], counted[Found.NOT_RUN]
    click.echo(
        f"{shown(name or '')}: {gaps} gap{'s' * (gaps != 1)}, {covered} covered, {idle} did not run"
        f" ({by})",
        err=bool(form),
    )
    seen = {each.task.key.split("/")[2].partition("(")[0] for each in found}
    for step in steps:
        if step not in seen:  # nothing ran, or the name is wrong: zero gaps would prove nothing
            said = f"no run of {shown(name or '')} in this time has a step {shown(step)}"
            click.echo(f"hitl: {said}: is that its name?", err=True)
    if gaps or failed:
        context.exit(1)


def _of_metaflow(
    session: Session, name: str, steps: Sequence[str], since: str | None
) -> Iterable[Coverage]:
    from bridge.gates.coverage import coverage as held_against
    from bridge.wiring import metaflow_tasks

    tasks = metaflow_tasks(name, steps, _time(session, since))
    return held_against(session.ledger, name, tasks)


def _of_flowyml(
    session: Session, store: str, name: str, steps: Sequence[str], since: str | None
) -> tuple[Iterable[Coverage], int]:
    """What the runs ran, and how many of them cannot be read."""
    from pathlib import Path

    from bridge.entrypoints.flowyml_runs import runs
    from bridge.gates.coverage import coverage as held_against

    found = runs(Path(store), name, steps, _time(session, since))
    for each in found.unread:
        click.echo(f"not read: {shown(each)}", err=True)
    for each in found.unended:
        says = "it goes on or was killed, and FlowyML writes what a run did when it ends"
        click.echo(f"not known: {shown(each)}: {says}", err=True)
    return held_against(session.ledger, name, found.tasks), len(found.unread)


def _of_argo(
    session: Session, file: TextIO, steps: Sequence[str]
) -> tuple[Iterable[Coverage], int]:
    """What the workflows ran, and how many of them cannot be read."""
    from bridge.argo.compressed_nodes import UnreadableWorkflow
    from bridge.argo.ran import guarded, workflows
    from bridge.gates.argo_coverage import argo_coverage

    nodes, failed = [], 0
    for number, each in enumerate(workflows(file.read(), file.name), 1):
        try:
            nodes += list(guarded(each, steps))
        except UnreadableWorkflow as error:
            click.echo(f"not read: workflow {number} of {file.name}: {shown(str(error))}", err=True)
            failed += 1
    return argo_coverage(session.ledger, nodes), failed


def _time(session: Session, since: str | None) -> Any:
    from bridge.core.log_filter import when

    return when(since, "--since", session.now) if since else None


def _row(each: Coverage) -> tuple[str, ...]:
    return (
        each.found.value,
        shown(each.task.key),
        each.gate_id or "-",
        f"{each.decided_at:%Y-%m-%d %H:%M}" if each.decided_at else "-",
        shown(_why(each)),
    )


def _why(each: Coverage) -> str:
    origin = each.task.cloned_from
    return f"{each.why} (its results are those of {origin})" if origin else each.why


def _export(found: Sequence[Coverage], form: str, *, verified: bool) -> None:
    from bridge.core.timestamps import moment_out
    from bridge.render.export import FORMS

    rows = (
        {
            "found": each.found.value,
            "key": each.task.key,
            "cloned_from": each.task.cloned_from,
            "gated": each.task.gated,
            "finished_at": moment_out(each.task.finished_at) if each.task.finished_at else None,
            "gate": each.gate_id,
            "decided_at": moment_out(each.decided_at) if each.decided_at else None,
            "why": each.why,
            "signed": verified,
        }
        for each in found
    )
    for line in FORMS[form](rows):
        click.echo(line)
