"""The command line for a gate on GitHub, as the workflows do it. Parse, call one verb, print."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.gates.finish_page import Tended
    from bridge.gates.open_page import Desk


@click.command()
@click.argument("number", type=click.IntRange(min=1))
def tend(number: int) -> None:
    """Process one gate's page, as the workflow does.

    The page is a pull request or an issue.

    With the decider's credential this decides and records, as the workflow on the default branch
    does. GITHUB_REPOSITORY names the repository.

    \b
    hitl github tend 17
    """
    from bridge.gates.process_page import tend as look

    _tell([look(_desk(decides=True), number)])


@click.command()
def sweep() -> None:
    """Process the page of every open gate once.

    \b
    hitl github sweep
    """
    from bridge.gates.process_page import sweep as look

    done = look(_desk(decides=True))
    if not done:
        click.echo("Nothing waits for a decision.")
    _tell(done)


@click.command("open")
@click.argument("name")
@click.option("--message", default="", metavar="TEXT", help="What is asked.")
@click.option("--values", default="", metavar="YAML", help="What people are shown.")
@click.option("--file", "files", multiple=True, metavar="PATH", help="A file that they approve.")
@click.option("--inputs", default="", metavar="YAML", help="What they have to fill in.")
@click.option("--environment", default="", metavar="NAME", help="What the policy chooses by.")
def open_(
    name: str, message: str, values: str, files: tuple[str, ...], inputs: str, environment: str
) -> None:
    """Ask for an approval from a job of GitHub Actions.

    The job need not wait: the approval sends the event `approved-NAME` to the repository.

    \b
    hitl github open production --message "Deploy?" --file model.bin
    """
    from bridge.core.settings import ENVIRONMENT, FILES, GATE, INPUTS, MESSAGE, VALUES
    from bridge.entrypoints import github_job
    from bridge.gates.open_page import ask

    given = {
        GATE: name,
        MESSAGE: message,
        VALUES: values,
        FILES: "\n".join(files),
        INPUTS: inputs,
        ENVIRONMENT: environment,
    }
    job, asked = github_job.job_of(os.environ), github_job.asked_by(given)
    standing, page = ask(_desk(), github_job.draft(job, asked))
    where = page.url if page else "it is decided already"
    click.echo(f"{standing.request.gate.id} {standing.request.gate.key}: {where}")


def _desk(*, decides: bool = False) -> Desk:
    from bridge.core.settings import from_environment, github_from_environment
    from bridge.wiring import desk

    settings, github = from_environment(os.environ), github_from_environment(os.environ)
    return desk(settings, github, decides=decides)


def _tell(done: Sequence[Tended]) -> None:
    from bridge.entrypoints import action_summary

    for line in action_summary.log(done):
        click.echo(line)
    if any(each.failed for each in done):
        click.get_current_context().exit(1)
