"""Which adapter serves which port. Nothing is imported here before it is needed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import Faults, ForgeUnavailable, NoLedger, Refused
from bridge.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.ask import Desk
    from bridge.github import GitHub
    from bridge.ports import Cluster, Forge, Here, Ledger, Notices
    from bridge.settings import GitHubSettings

#: The ledger of a laptop, beside the project it belongs to.
LAPTOP_LEDGER = Path(".hitl") / "ledger.git"


def clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The configured ledger, or the one of this project, made where there is none."""
    from bridge import gitledger

    path = laptop_ledger(start or Path.cwd())
    if not settings.ledger and not path.is_dir():
        gitledger.create(path)
        with suppress(OSError):  # so that the project's own `git add .` does not take it in
            (path.parent / ".gitignore").write_text("*\n")
    return existing_ledger(settings, start)


def existing_ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The same for a command that only looks: it makes nothing. Raises `NoLedger`."""
    from bridge import gitledger

    if settings.github:
        remote = _remote(settings.github)
        return gitledger.GitLedger(remote, settings.cache, sign=settings.sign)
    if settings.ledger:
        return gitledger.GitLedger(settings.ledger, settings.cache, sign=settings.sign)
    path = laptop_ledger(start or Path.cwd())
    if not path.is_dir():
        raise NoLedger(
            f"there is no ledger in {path.parent.parent} yet: a flow makes one when it first asks;"
            " for one elsewhere, give --ledger or set HITL_LEDGER"
        )
    return gitledger.GitLedger(str(path), settings.cache, sign=settings.sign)


def here(settings: Settings, start: Path | None = None) -> Here:
    """What a step at hand waits with. It is alive as long as the process that started it."""
    from bridge import terminal
    from bridge.identity import person
    from bridge.ports import Here

    parent = os.getppid()
    return Here(
        ledger=ledger(settings, start),
        notices=notices(settings, start),
        person=person(),
        clock=clock,
        asker=terminal.available(settings.cache, clock),
        alive=lambda: os.getppid() == parent,
        pause=time.sleep,
    )


def waiting_at(desk: Desk) -> Here:
    """What a step at hand waits with for a gate on a forge: nobody is asked here."""
    from bridge.identity import person
    from bridge.ports import Here

    parent = os.getppid()
    return Here(
        ledger=desk.ledger,
        notices=desk.notices,
        person=person(),
        clock=clock,
        asker=None,
        alive=lambda: os.getppid() == parent,
        pause=time.sleep,
    )


def notices(settings: Settings, start: Path | None = None) -> Notices:
    """Who is told, and how: nobody, where no Apprise URL is set."""
    from bridge.notices import Silent, Told

    if not settings.apprise_urls:
        return Silent()
    return Told(settings.apprise_urls, ledger(settings, start).where, settings.argo_ui_url)


def _remote(github: GitHubSettings) -> str | Callable[[], str]:
    """The repository for git. A token serves as it is; only an App's takes GitHub's API."""
    from bridge.address import of_repository

    if not github.app_id:
        return of_repository(github.server_url, github.repository, github.token)
    return _forge(github).git_url


def _forge(github: GitHubSettings) -> GitHub:
    try:
        from bridge.github import GitHub
    except ModuleNotFoundError as missing:
        raise ForgeUnavailable(
            f"{github.name}: {missing.name} is missing here: add the package PyGithub; where"
            " decisions are only read, HITL_TOKEN with a token does without it, and HITL_APP_ID"
            " does not"
        ) from None
    return GitHub(github)


def opening_desk(settings: Settings) -> Desk | None:
    """What gates are opened with on GitHub; None where HITL_LEDGER names none.

    Raises `Faults` where there is no credential to open them with.
    """
    github = settings.github
    if github is None:
        return None
    if not github.can_write:
        raise Faults(
            "the environment",
            [
                f"no credential to ask on {github.name} with: set HITL_APP_ID and HITL_APP_KEY, or"
                " HITL_TOKEN"
            ],
        )
    return desk(settings, github)


def desk(settings: Settings, github: GitHubSettings) -> Desk:
    """What a gate on GitHub is tended with: the ledger is the repository itself."""
    from bridge.ask import Desk
    from bridge.ci import Actions
    from bridge.gitledger import GitLedger
    from bridge.notices import Silent, Told

    forge = _forge(github)
    record = GitLedger(forge.git_url, settings.cache, sign=settings.sign)
    told = Told(settings.apprise_urls, record.where, settings.argo_ui_url)
    engine = Actions(forge, f"{github.server_url}/{github.repository}")
    quiet = told if settings.apprise_urls else Silent()
    return Desk(forge, record, quiet, clock, engine)


def cluster(settings: Settings) -> Cluster | None:
    """Where decisions are delivered: Argo Server, or Kubernetes itself; None where none is set."""
    if settings.argo_server:
        from bridge.argoserver import ArgoServer

        return ArgoServer(settings.argo_server, settings.argo_token, settings.cluster)
    if settings.kubeconfig:
        from bridge.cluster import Kubernetes

        return Kubernetes(settings.kubeconfig, name=settings.cluster)
    return None


def as_person(forge: str, env: Mapping[str, str]) -> Forge:
    """A request's forge, with the person's own token: never with a credential of the bridge's.

    Raises `Refused` where there is no token.
    """
    from bridge.github import GitHub
    from bridge.settings import APP_ID, APP_KEY, REPOSITORY, TOKENS, github_from_environment

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
    """The nearest ledger from here upwards; where there is none, the top of the project's."""
    here = Path(os.path.abspath(start))
    upwards = [here, *here.parents]
    for folder in upwards:
        if (folder / LAPTOP_LEDGER).is_dir():
            return folder / LAPTOP_LEDGER
    top = next((folder for folder in upwards if (folder / ".git").exists()), here)
    return top / LAPTOP_LEDGER
