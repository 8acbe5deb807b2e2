"""`hitl github try`: the little installation, for a repository to try things out in."""

from __future__ import annotations

import click

from bridge.cli.github_setup import (
    carry_out,
    refuse,
    setting_up,
    show,
    to_github,
    wanted_action,
)
from bridge.cli.github_target import target
from bridge.cli.output import line


@click.command("try")
@click.option("--dry-run", is_flag=True, help="Print the plan and its requests, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option(
    "--action", metavar="USES", help="Where the action is: its repository, folder and whole commit."
)
@click.option("--vendor", is_flag=True, help="Put the action into this repository instead.")
def try_(dry_run: bool, yes: bool, action: str | None, vendor: bool) -> None:
    """Try the bridge in a scratch repository. It protects nothing.

    The workflow's own token decides, so everybody who can write there can record an approval. It
    needs no App, no ruleset and no environment. `hitl github setup` makes it safe later, and
    `hitl github remove` takes it back.

    \b
    hitl github try --dry-run
    """
    from bridge.setup.github_found import look_to_try
    from bridge.setup.github_survey import GitHubSurvey
    from bridge.setup.github_try import plan_to_try
    from bridge.setup.workflow_files import TRIAL

    settings = target()
    wanted = wanted_action(settings, action, None, vendor=vendor)
    forge, survey = to_github(settings), GitHubSurvey(settings)
    looked = look_to_try(settings, forge, survey)
    if looked.obstacles:
        refuse(settings, looked.obstacles)
    steps = plan_to_try(looked.found, wanted, survey.actions())
    click.echo(
        f"NOT PROTECTED: everybody who can write to {line(settings.repository)} will be able to"
        " record an approval."
    )
    show(settings, steps, requests=dry_run)
    if dry_run:
        return
    if steps and not yes:
        click.confirm("\nDo it?", abort=True)
    carry_out(setting_up(settings, looked, None, None, browser=False), steps, looked)
    found = look_to_try(settings, forge, GitHubSurvey(settings)).found if steps else looked.found
    home = f"{found.server}/{found.repository}"
    click.echo("\nLeft for you:")
    if found.proposal:
        click.echo(f"  - read and merge {home}/pull/{found.proposal.number}")
    click.echo(
        f"  - ask: Run workflow, on {home}/actions/workflows/{TRIAL.rpartition('/')[2]}\n"
        "  - approve the pull request that it opens, with a review or with the comment /approve\n"
        "  - read the record: git fetch origin approvals, and git log FETCH_HEAD"
    )
