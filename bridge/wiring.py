"""Which adapter serves which port. Nothing is imported here before it is needed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.core.errors import Faults, ForgeUnavailable, NoLedger, Refused
from bridge.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.core.settings import GitHubSettings
    from bridge.gates.open_page import Desk
    from bridge.gates.ports import Cluster, Forge, Here, Ledger, Notices
    from bridge.github.client import GitHub

#: The ledger of a laptop, beside the project it belongs to.
LAPTOP_LEDGER = Path(".hitl") / "ledger.git"


def clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The configured ledger, or the one of this project, made where there is none."""
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

    if settings.github:
        remote = _remote(settings.github)
        return git_ledger.GitLedger(remote, settings.cache, sign=settings.sign)
    if settings.ledger:
        return git_ledger.GitLedger(settings.ledger, settings.cache, sign=settings.sign)
    path = laptop_ledger(start or Path.cwd())
    if not path.is_dir():
        raise NoLedger(
            f"there is no ledger in {path.parent.parent} yet: a flow makes one when it first asks;"
            " for one elsewhere, give --ledger or set HITL_LEDGER"
        )
    return git_ledger.GitLedger(str(path), settings.cache, sign=settings.sign)


def here(settings: Settings, start: Path | None = None) -> Here:
    """What a step at hand waits with. It is alive as long as the process that started it."""
    from bridge.gates.ports import Here
    from bridge.local import prompt
    from bridge.local.identity import person

    parent = os.getppid()
    return Here(
        ledger=ledger(settings, start),
        notices=notices(settings, start),
        person=person(),
        clock=clock,
        asker=prompt.available(settings.cache, clock),
        alive=lambda: os.getppid() == parent,
        pause=time.sleep,
    )


def waiting_at(desk: Desk) -> Here:
    """What a step at hand waits with for a gate on a forge: nobody is asked here."""
    from bridge.gates.ports import Here
    from bridge.local.identity import person

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
    from bridge.local.notify import Silent, Told

    if not settings.apprise_urls:
        return Silent()
    return Told(settings.apprise_urls, ledger(settings, start).where, settings.argo_ui_url)


def _remote(github: GitHubSettings) -> str | Callable[[], str]:
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
    from bridge.gates.open_page import Desk
    from bridge.github.dispatch import Actions
    from bridge.ledger.git_ledger import GitLedger
    from bridge.local.notify import Silent, Told

    forge = _forge(github)
    record = GitLedger(forge.git_url, settings.cache, sign=settings.sign)
    told = Told(settings.apprise_urls, record.where, settings.argo_ui_url)
    engine = Actions(forge, f"{github.server_url}/{github.repository}")
    quiet = told if settings.apprise_urls else Silent()
    return Desk(forge, record, quiet, clock, engine)


def cluster(settings: Settings) -> Cluster | None:
    """Where decisions are delivered: Argo Server, or Kubernetes itself; None where none is set."""
    if settings.argo_server:
        from bridge.argo.argo_server import ArgoServer

        return ArgoServer(settings.argo_server, settings.argo_token, settings.cluster)
    if settings.kubeconfig:
        from bridge.argo.kubernetes import Kubernetes

        return Kubernetes(settings.kubeconfig, name=settings.cluster)
    return None


def as_person(forge: str, env: Mapping[str, str]) -> Forge:
    """A request's forge, with the person's own token: never with a credential of the bridge's.

    Raises `Refused` where there is no token.
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
    """The nearest ledger from here upwards; where there is none, the top of the project's."""
    here = Path(os.path.abspath(start))
    upwards = [here, *here.parents]
    for folder in upwards:
        if (folder / LAPTOP_LEDGER).is_dir():
            return folder / LAPTOP_LEDGER
    top = next((folder for folder in upwards if (folder / ".git").exists()), here)
    return top / LAPTOP_LEDGER
