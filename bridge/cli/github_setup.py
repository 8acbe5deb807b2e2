"""`hitl github`: install the bridge in a repository on GitHub. Parse, call one verb, print."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bridge.cli.github_target import target
from bridge.cli.output import line
from bridge.core.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bridge.core.settings import GitHubSettings
    from bridge.github.transport import Line
    from bridge.setup.app_manifest import Manifest, Role
    from bridge.setup.checks import Check
    from bridge.setup.github_found import Looked
    from bridge.setup.github_setup import Key, Setup
    from bridge.setup.github_steps import Found, Step, Wanted


@click.group()
def github() -> None:
    """Install the bridge on GitHub, and process its pages."""


_PARTS = ("ledger", "environment", "apps", "rulesets", "files")
_part = click.Choice(_PARTS)


@github.command()
@click.option("--dry-run", is_flag=True, help="Print the plan and its requests, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--only", type=_part, multiple=True, help="Do this part alone; can be repeated.")
@click.option("--skip", type=_part, multiple=True, help="Leave this part out; can be repeated.")
@click.option(
    "--action", metavar="USES", help="Where the action is: its repository, folder and whole commit."
)
@click.option("--vendor", is_flag=True, help="Put the action into this repository instead.")
@click.option(
    "--opener",
    metavar="FILE",
    type=click.Path(),
    help="Runs ask from a cluster: register the opener's App too, and put its key there.",
)
@click.option(
    "--decider-key",
    metavar="FILE",
    type=click.Path(),
    help="A new private key of the decider's App, if an earlier run was interrupted.",
)
@click.option("--no-browser", is_flag=True, help="Show addresses to open on another machine.")
def setup(
    dry_run: bool, yes: bool, only: tuple[str, ...], skip: tuple[str, ...], action: str | None,
    vendor: bool, opener: str | None, decider_key: str | None, no_browser: bool,
) -> None:  # fmt: skip
    """Install the bridge in this checkout's repository.

    It shows a plan, asks once, and does the steps.

    GH_TOKEN, GITHUB_TOKEN or `gh auth token` is the token of somebody who administers the
    repository. Run again, it does what is left.

    \b
    hitl github setup --dry-run
    """
    from bridge.setup.github_found import look
    from bridge.setup.github_plan import needs_key
    from bridge.setup.github_survey import GitHubSurvey

    settings = target()
    wanted = wanted_action(settings, action, opener, vendor=vendor)
    forge = to_github(settings)
    looked = look(settings, forge, GitHubSurvey(settings))
    if looked.obstacles:
        refuse(settings, looked.obstacles)
    chosen = [each for each in only or _PARTS if each not in skip]
    steps = _planned(settings, looked, wanted, chosen, requests=dry_run)
    if dry_run or not steps:
        _after(looked, None)
        return
    if needs_key(steps) and decider_key is None:
        raise BridgeError(_NO_KEY)
    if not yes:
        click.confirm("\nDo it?", abort=True)
    run = setting_up(settings, looked, opener, decider_key, browser=not no_browser)
    carry_out(run, steps, looked)
    again = look(settings, forge, GitHubSurvey(settings))
    _after(again, run.public_key)
    if opener is not None:
        _tell_of_opener(again, opener)


def _planned(
    settings: GitHubSettings,
    looked: Looked,
    wanted: Wanted,
    parts: Collection[str],
    *,
    requests: bool,
) -> list[Step]:
    """The steps of these parts, shown."""
    from dataclasses import replace

    from bridge.setup.github_plan import plan, untried
    from bridge.setup.workflow_files import POLICY

    found = looked.found
    identities = {} if POLICY in untried(found.files) else _identities(to_github(settings), found)
    planned = plan(found, replace(wanted, identities=identities), looked.policy)
    steps = [step for step in planned if step.part in parts]
    show(settings, steps, requests=requests)
    if identities and any(step.part == "files" for step in steps):
        click.echo("\nThe account of each person who starts runs (check them in the pull request):")
        for name, account in identities.items():
            click.echo(f"    {line(name)}: {line(account)}")
    return steps


def fix(checks: Sequence[Check]) -> bool | None:
    """Do what `setup` can do about these checks, after one question.

    Whether a pull request is then left to merge; None if nothing was done.
    """
    from bridge.setup.checks import is_safe
    from bridge.setup.github_found import look
    from bridge.setup.github_plan import mending, needs_key
    from bridge.setup.github_steps import Wanted
    from bridge.setup.github_survey import GitHubSurvey

    parts = mending(checks)
    if is_safe(checks):
        return None
    if not parts:
        click.echo("\n`hitl github setup` has no step for any of this")
        return None
    settings = target()
    looked = look(settings, to_github(settings), GitHubSurvey(settings))
    if looked.obstacles:
        refuse(settings, looked.obstacles)
    action = _same_action(settings, looked.found) if "files" in parts else None
    click.echo()
    steps = _planned(settings, looked, Wanted(action, opener=False), parts, requests=False)
    if not steps:
        _after(looked, None)
        return None
    if needs_key(steps):
        raise BridgeError(_NO_KEY)
    click.confirm("\nDo it?", abort=True)
    run = setting_up(settings, looked, None, None, browser=True)
    carry_out(run, steps, looked)
    again = look(settings, to_github(settings), GitHubSurvey(settings))
    _after(again, run.public_key)
    return again.found.proposal is not None


def _same_action(settings: GitHubSettings, found: Found) -> str:
    """The action that the workflow uses, since a newer one mends nothing; else this release's."""
    from bridge.setup.action_address import action_address
    from bridge.setup.workflow_files import MAIN, action_of

    proposed = found.proposal.files if found.proposal else {}
    there = action_of({**proposed, **found.files}.get(MAIN, ""))
    try:
        return there or action_address(None, settings.server_url)
    except BridgeError as error:
        raise BridgeError(f"`hitl github setup` must write the workflow: {error}") from None


@github.command()
@click.option("--dry-run", is_flag=True, help="Print the plan and its requests, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def remove(dry_run: bool, yes: bool) -> None:
    """Take back what `setup` made, and leave the ledger.

    At the end stand the links for what only a click deletes, such as the Apps.

    \b
    hitl github remove --dry-run
    """
    from bridge.setup.github_found import look
    from bridge.setup.github_removal import left, removal
    from bridge.setup.github_setup import Setup
    from bridge.setup.github_survey import GitHubSurvey

    settings = target()
    forge, survey = to_github(settings), GitHubSurvey(settings)
    looked = look(settings, forge, survey)
    if not looked.found.tip:
        refuse(settings, looked.obstacles)
    steps = removal(looked.found)
    show(settings, steps, requests=dry_run)
    waiting = len(survey.branches("gate/"))
    if waiting:
        click.echo(f"{waiting} open gates will wait forever: decide them first.", err=True)
    if dry_run:
        return
    if steps and not yes:
        click.confirm("\nDo it?", abort=True)
    run = Setup(settings, forge, _AtTerminal(False), lambda _: None, lambda _: None, {})
    carry_out(run, steps, looked)
    after = look(settings, forge, GitHubSurvey(settings)).found if steps else looked.found
    rest = list(left(after))
    if rest:
        click.echo("\nLeft for you:")
    for each in rest:
        click.echo(f"  - {line(each)}")


def refuse(settings: GitHubSettings, obstacles: Sequence[str]) -> NoReturn:
    click.echo(f"{settings.repository} can't be set up yet:", err=True)
    for each in obstacles:
        click.echo(f"  - {line(each)}", err=True)
    raise click.exceptions.Exit(1)


def carry_out(run: Setup, steps: Sequence[Step], looked: Looked) -> None:
    for number, step in enumerate(steps, start=1):
        click.echo(f"{number:2}. {line(step.says)} …")
        run.do(step, looked.found)


_NO_KEY = (
    "the decider's App is registered, and GitHub showed its private key only then: on the App's"
    " page choose Generate a private key, and run `hitl github setup --decider-key FILE`"
)


def show(settings: GitHubSettings, steps: Sequence[Step], *, requests: bool) -> None:
    import json

    if not steps:
        click.echo(f"{settings.repository}: nothing is left to do.")
        return
    click.echo(f"{settings.repository}, to do:")
    for number, step in enumerate(steps, start=1):
        click.echo(f"{number:2}. {step.part:<11} {line(step.says)}")
        if not requests:
            continue
        if step.register:
            address = step.register.address("‹state›")
            click.echo(f"      your browser: POST {address} {step.register.text('‹this machine›')}")
            click.echo("      POST /app-manifests/‹code›/conversions")
        for each in step.requests:
            body = f" {json.dumps(_brief(each.body), ensure_ascii=False)}" if each.body else ""
            click.echo(f"      {each.method} {each.path}{body}")


#: Of a tree with more files, their number is shown.
_SHOWN = 8


def _brief(value: Any) -> Any:
    """A body, with the texts of files cut to their length."""
    if isinstance(value, dict):
        return {
            name: f"({len(each)} characters)" if name == "content" else _brief(each)
            for name, each in value.items()
        }
    if not isinstance(value, list):
        return value
    return f"({len(value)} files)" if len(value) > _SHOWN else [_brief(each) for each in value]


def _after(looked: Looked, public_key: str | None) -> None:
    """The clicks that are left, and what other machines must know."""
    from bridge.core.settings import KEYS
    from bridge.setup.workflow_files import MAIN, keys_of

    found = looked.found
    for each in looked.grants:
        click.echo(f"\nLeft for you: {line(each)}")
    if found.proposal:
        where = f"{found.server}/{found.repository}/pull/{found.proposal.number}"
        click.echo(f"\nLeft for you: read and merge {where}")
    if public_key and (found.former_keys or keys_of(found.files.get(MAIN, ""))):
        click.echo(
            f"\nAdd this line to {KEYS} of everything that reads decisions (jobs, pods, laptops)."
            f" It is no secret:\n  {public_key}"
        )
    elif public_key:
        click.echo(
            "\nGive this to everything that reads decisions (jobs, pods, laptops)."
            " It is no secret:\n"
            f"  {KEYS}={public_key}"
        )
    if found.proposal:
        click.echo("\nThen `hitl doctor` checks the live repository.")


def _tell_of_opener(looked: Looked, file: str) -> None:
    from pathlib import Path

    from bridge.setup.app_manifest import Role

    opener = looked.found.apps.get(Role.OPENER)
    if opener is None:
        return
    if not Path(file).is_file():  # an earlier run registered it, and was interrupted right then
        where = f"{looked.found.server}/apps/{opener.app.slug}"
        click.echo(
            f"\nOn the page of {where} choose Generate a private key, and save it as {file}."
        )
    click.echo(
        f"\nThe opener's key is for {file}. Copy it to your cluster, and delete the file:\n"
        "  kubectl create secret generic hitl-opener"
        f" --from-literal=HITL_APP_ID={opener.app.id} --from-file=HITL_APP_KEY={file}"
    )


def wanted_action(
    settings: GitHubSettings, action: str | None, opener: str | None, *, vendor: bool
) -> Wanted:
    from bridge.setup import vendored_action
    from bridge.setup.action_address import action_address
    from bridge.setup.github_steps import Wanted

    if not vendor:
        return Wanted(action_address(action, settings.server_url), opener is not None)
    if action is not None:
        raise click.UsageError("--action and --vendor say two different things: leave one out")
    files = vendored_action.files()
    tree = vendored_action.tree_of(files)
    return Wanted(None, opener is not None, vendored=files, vendored_tree=tree)


def _identities(forge: Line, found: Found) -> dict[str, str]:
    from getpass import getuser
    from pathlib import Path

    from bridge.setup.checkout import Checkout
    from bridge.setup.github_found import people
    from bridge.setup.propose_identities import propose

    there = people(forge, found.organization)
    try:
        authors = Checkout(Path.cwd()).authors()
    except BridgeError:  # GITHUB_REPOSITORY names a repository that is not here
        authors = []
    return propose(authors, there.members, getuser(), there.me)


# -- what it works with ----------------------------------------------------------------------------


def to_github(settings: GitHubSettings) -> Line:
    from bridge.github.transport import Line as ToGitHub

    return ToGitHub(settings)


def setting_up(
    settings: GitHubSettings,
    looked: Looked,
    opener: str | None,
    decider_key: str | None,
    *,
    browser: bool,
) -> Setup:
    import time

    from bridge.setup.app_manifest import Role
    from bridge.setup.github_setup import Key, Setup, check_key

    forge = to_github(settings)
    keys: dict[Role, Key] = {}
    decider = looked.found.apps.get(Role.DECIDER)
    if decider_key is not None:
        if decider is None:
            raise BridgeError(
                "--decider-key: no App of the decider is registered yet; leave it out"
            )
        key = Key(decider.app.id, decider.app.slug, _read(decider_key))
        check_key(forge, key)
        keys[Role.DECIDER] = key

    def keep(key: Key) -> None:
        _keep(opener or "", key)

    if opener is not None:
        _keep_place(opener, taken=Role.OPENER in looked.found.apps)
    return Setup(settings, forge, _AtTerminal(browser), time.sleep, keep, keys)


def _read(path: str) -> str:
    from pathlib import Path

    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BridgeError(f"{path} cannot be read: {error}") from None


def _keep_place(path: str, *, taken: bool) -> None:
    """Before any App is registered: its key is shown once, and must then have a place."""
    from pathlib import Path

    target = Path(path)
    if not taken and target.exists():
        raise BridgeError(f"{path} is there already: name a new file for the opener's key")
    if not target.absolute().parent.is_dir():
        raise BridgeError(f"{path} cannot be written: its folder is not there")


def _keep(path: str, key: Key) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(key.pem)
    except OSError as error:
        raise BridgeError(
            f"{path} cannot be written ({error.strerror}): on the page of the App {key.slug} choose"
            " Generate a private key, and run this again"
        ) from None


class _AtTerminal:
    """A person with a browser, on this machine or on another."""

    def __init__(self, browser: bool) -> None:
        self._browser = browser and "SSH_CONNECTION" not in os.environ

    def _opens(self, address: str) -> bool:
        import webbrowser

        return self._browser and webbrowser.open(address)

    def registers(self, manifest: Manifest) -> str:
        from bridge.setup.app_manifest import as_address, code_in
        from bridge.setup.app_page import AppPage
        from bridge.setup.github_setup import PATIENCE

        with AppPage(manifest) as shown:
            if self._opens(shown.address):
                click.echo(f"    Confirm it in your browser: {shown.address}")
                code = shown.code(PATIENCE)
            else:
                click.echo(
                    "    Open this address in any browser, and confirm:\n"
                    f"    {as_address(shown.text)}\n"
                    "    The browser then ends at an address of 127.0.0.1 that may not load."
                )
                said = click.prompt("    Paste that address here", hide_input=True)
                code = code_in(said, shown.state)
        if code is None:
            raise BridgeError("GitHub's code did not come: run this again")
        return code

    def installs(self, address: str) -> None:
        where = "Your browser shows it" if self._opens(address) else "Open"
        click.echo(f"    {where}: {address}")
