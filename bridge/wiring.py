"""Which adapter serves which port. Nothing is imported here before it is needed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.core.errors import BridgeError, Faults, ForgeUnavailable, NoLedger, Refused
from bridge.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from bridge.core.coverage import TaskRun
    from bridge.core.listing import Listing
    from bridge.core.model import ApprovalRequest
    from bridge.core.settings import GitHubSettings
    from bridge.gates.open_page import Desk
    from bridge.gates.ports import Asker, Cluster, Forge, Ledger, Notices
    from bridge.gates.this_machine import ThisMachine
    from bridge.gates.venue import Venue
    from bridge.gates.wait import Run
    from bridge.github.client import GitHub

#: The ledger of a laptop, beside the project it belongs to.
LAPTOP_LEDGER = Path(".hitl") / "ledger.git"


def clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The configured ledger, or the one of this project, made if there is none."""
    from bridge.ledger import git_ledger

    path = laptop_ledger(start or Path.cwd())
    if not settings.ledger and not path.is_dir():
        git_ledger.create(path)
        with suppress(OSError):  # so that the project's own `git add .` does not take it in
            (path.parent / ".gitignore").write_text("*\n")
    return existing_ledger(settings, start)


def existing_ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The same for a command that only looks: it makes nothing. Raises `NoLedger`."""
    from bridge.ledger import git_ledger

    return git_ledger.GitLedger(
        _remote(settings, start), settings.cache, sign=settings.sign, keys=settings.keys
    )


def open_gates(settings: Settings, start: Path | None = None) -> Listing:
    """The open gates of the ledger, without all else that a ledger can do. Raises `NoLedger`."""
    from bridge.ledger.open_gates import apart, listing
    from bridge.ledger.remote import Remote

    return listing(apart(Remote(_remote(settings, start)), settings.cache))


def _remote(settings: Settings, start: Path | None) -> str | Callable[[], str]:
    if settings.github:
        return _on_github(settings.github)
    if settings.ledger:
        return settings.ledger
    path = laptop_ledger(start or Path.cwd())
    if not path.is_dir():
        raise NoLedger(
            f"there is no ledger in {path.parent.parent} yet: a flow makes one when it first asks;"
            " for one elsewhere, give --ledger or set HITL_LEDGER"
        )
    return str(path)


def venue(settings: Settings, start: Path | None = None) -> Venue:
    """Where gates are opened with these settings. On this machine, the first gate makes a ledger,
    and a person at the terminal is asked there."""
    from bridge.local import prompt

    return _venue(settings, ledger(settings, start), prompt.available(settings.cache, clock))


def existing_venue(settings: Settings, start: Path | None = None) -> Venue:
    """The same where nobody sits, as in a pod. It makes nothing. Raises `NoLedger`."""
    return _venue(settings, existing_ledger(settings, start))


def _venue(settings: Settings, record: Ledger, asker: Asker | None = None) -> Venue:
    github, told = settings.github, notices(settings, record)
    if github is None:
        if settings.keys:
            raise Faults(
                "the environment",
                [
                    "HITL_KEYS is set, and only decisions on GitHub are signed: set HITL_LEDGER to"
                    " github:owner/name, or unset HITL_KEYS"
                ],
            )
        return _this_machine(record, told, asker)
    from bridge.gates.on_github import OnGitHub

    return OnGitHub(github.place, record, told, clock, lambda: _opener(github))


def venue_of(
    request: ApprovalRequest, record: Ledger, told: Notices, env: Mapping[str, str]
) -> Venue:
    """Where this recorded request is decided. On GitHub, answers are those of the person whose
    token is in the environment."""
    name = request.forge
    if name is None:
        return _this_machine(record, told)
    from bridge.gates.on_github import OnGitHub

    return OnGitHub(request.venue, record, told, clock, lambda: as_person(name, env))


def _this_machine(record: Ledger, told: Notices, asker: Asker | None = None) -> ThisMachine:
    from bridge.gates.this_machine import ThisMachine
    from bridge.local.identity import person

    return ThisMachine(record, told, clock, person(), asker)


def _opener(github: GitHubSettings) -> Forge:
    """Raises `Faults` if there is no credential to open gates with."""
    if not github.can_write:
        raise Faults(
            "the environment",
            [
                f"no credential to ask on {github.name} with: set HITL_APP_ID and HITL_APP_KEY, or"
                " HITL_TOKEN"
            ],
        )
    return _forge(github)


def run(settings: Settings) -> Run:
    """A step that waits here: it is alive as long as the process that started it."""
    from bridge.gates.wait import Run
    from bridge.local.waiting_runs import waits

    parent = os.getppid()
    return Run(lambda: os.getppid() == parent, time.sleep, partial(waits, settings.cache))


def notices(settings: Settings, record: Ledger) -> Notices:
    """Who is notified, and how: nobody, if no Apprise URL is set."""
    from bridge.local.notify import Silent, Told

    if not settings.apprise_urls:
        return Silent()
    return Told(settings.apprise_urls, record.where, settings.argo_ui_url)


def _on_github(github: GitHubSettings) -> str | Callable[[], str]:
    """The repository for git. A token serves as it is; only an App's takes GitHub's API."""
    from bridge.core.remote_url import of_repository

    if not github.app_id:
        return of_repository(github.server_url, github.repository, github.token)
    return _forge(github).git_url


def _forge(github: GitHubSettings) -> GitHub:
    try:
        from bridge.github.client import GitHub
    except ModuleNotFoundError as missing:
        raise ForgeUnavailable(
            f"{github.name}: {missing.name} is missing here: add the package PyGithub; where"
            " decisions are only read, HITL_TOKEN with a token does without it, and HITL_APP_ID"
            " does not"
        ) from None
    return GitHub(github)


def desk(settings: Settings, github: GitHubSettings, *, decides: bool = False) -> Desk:
    """What a gate on GitHub is tended with: the ledger is the repository itself.

    `decides`: as the decider, who signs what it records. Raises `Faults` if its key is no good.
    """
    from bridge.gates.open_page import Desk
    from bridge.github.dispatch import Dispatch
    from bridge.ledger.git_ledger import GitLedger

    forge = _forge(github)
    record = GitLedger(
        forge.git_url,
        settings.cache,
        sign=settings.sign,
        signature=_signature(settings) if decides else None,
        keys=settings.keys,
    )
    engine = Dispatch(forge, github.server_url)
    return Desk(forge, record, notices(settings, record), clock, engine)


def _signature(settings: Settings) -> Callable[[bytes, str], str] | None:
    """What signs for the decider. Raises `Faults` if readers would refuse what it signs."""
    current = {each.key for each in settings.keys if not each.until}
    if not settings.signing_key:
        if settings.keys:
            raise Faults(
                "HITL_SIGNING_KEY",
                [
                    "it is empty, and HITL_KEYS is set: what is recorded without a signature would"
                    " not count; give the action `signing-key`, from an environment's secret"
                ],
            )
        return None
    from bridge.local.signing import signing_key

    key = signing_key(settings.signing_key)
    if settings.keys and key.public not in current:
        raise Faults(
            "HITL_SIGNING_KEY",
            [
                f"its public key {key.public.fingerprint} is not a current one of HITL_KEYS, so"
                f" what it signs would not count; add the line: {key.public.line}"
            ],
        )
    return key.sign


def cluster(settings: Settings) -> Cluster | None:
    """Where decisions are delivered: Argo Server, or Kubernetes itself; None if none is set."""
    if settings.argo_server:
        from bridge.argo.argo_server import ArgoServer

        return ArgoServer(settings.argo_server, settings.argo_token, settings.cluster)
    if settings.kubeconfig:
        from bridge.argo.kubernetes import Kubernetes

        return Kubernetes(settings.kubeconfig, name=settings.cluster)
    return None


def as_person(forge: str, env: Mapping[str, str]) -> Forge:
    """GitHub with the person's own token, and never with a credential of the bridge's.

    Raises `Refused` if there is no token.
    """
    from bridge.core.settings import APP_ID, APP_KEY, REPOSITORY, TOKENS, github_from_environment
    from bridge.github.client import GitHub

    bridge_own = {APP_ID, APP_KEY, TOKENS[0]}
    mine = {name: value for name, value in env.items() if name not in bridge_own}
    if not any(mine.get(name) for name in TOKENS):
        raise Refused(
            f"this gate is decided on {forge}: answer there, or set {' or '.join(TOKENS[1:])} to a"
            " token of your own"
        )
    repository = forge.partition(":")[2]
    return GitHub(github_from_environment({**mine, REPOSITORY: repository}))


def laptop_ledger(start: Path) -> Path:
    """The nearest ledger from here upwards; if there is none, the top of the project's."""
    here = Path(os.path.abspath(start))
    upwards = [here, *here.parents]
    for folder in upwards:
        if (folder / LAPTOP_LEDGER).is_dir():
            return folder / LAPTOP_LEDGER
    top = next((folder for folder in upwards if (folder / ".git").exists()), here)
    return top / LAPTOP_LEDGER


def metaflow_tasks(flow: str, steps: Collection[str], since: datetime | None) -> Iterator[TaskRun]:
    """The tasks that Metaflow ran. By its name, because nothing here needs Metaflow but this."""
    import importlib

    try:
        runs = importlib.import_module("metaflow_extensions.hitl.runs")
    except ImportError as error:
        raise BridgeError(
            f"the runs of {flow} cannot be read, because this Python cannot import Metaflow"
            f" ({error}): use the environment in which the flow runs"
        ) from None
    found: Iterator[TaskRun] = runs.tasks(flow, steps, since)
    return found
