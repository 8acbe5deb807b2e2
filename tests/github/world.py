"""The world behind the server: its clock, accounts, repositories, tokens, and what has happened."""

from __future__ import annotations

import itertools
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.github import events
from tests.github.accounts import (
    ACTIONS_APP,
    ACTIONS_BOT,
    Account,
    App,
    Installation,
    Kind,
    Organisation,
    Refusal,
    Token,
    prefix,
)
from tests.github.conversation import Issue
from tests.github.gitserver import Bare
from tests.github.pulls import PullRequest
from tests.github.repository import Repository
from tests.github.rules import Ruleset
from tests.github.runs import Issuer

#: How long an installation token lives.
TOKEN_LIFE = timedelta(hours=1)


class Clock:
    """The server's time, in whole seconds: the machine's, until it is set or moved."""

    def __init__(self) -> None:
        self._frozen: datetime | None = None
        self._shift = timedelta()

    def now(self) -> datetime:
        now = self._frozen or datetime.now(UTC)
        return (now + self._shift).replace(microsecond=0)

    def set(self, moment: datetime) -> None:
        """Stop the clock at this moment; from here on only `advance` moves it."""
        self._frozen, self._shift = moment, timedelta()

    def advance(self, **by: float) -> None:
        """`clock.advance(minutes=61)`."""
        self._shift += timedelta(**by)


@dataclass(frozen=True)
class Event:
    """A webhook or Actions event: what `GITHUB_EVENT_NAME` and `GITHUB_EVENT_PATH` would give."""

    name: str
    action: str | None
    payload: dict[str, Any]
    repository: Repository
    by: Account
    #: False where GITHUB_TOKEN caused it: GitHub then starts no workflow, but for dispatches.
    starts_workflows: bool


class World:
    """State without HTTP. Its methods act as the person they are given, and ask no token."""

    def __init__(self, folder: Path, merges_at_once: bool = False) -> None:
        self.folder = folder
        self.merges_at_once = merges_at_once
        self.url = "http://127.0.0.1"
        self.api_url = self.url
        self.clock = Clock()
        self.lock = threading.RLock()
        self.events: list[Event] = []
        self.problems: list[str] = []
        #: The token of the request being answered; None while the test itself acts.
        self.via: Token | None = None
        self.tokens: dict[str, Token] = {}
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[str, Repository] = {}
        self.bares: list[Bare] = []
        self._former_names: dict[str, Repository] = {}
        self.apps: dict[str, App] = {}
        #: The codes of Apps that were registered by a manifest, until somebody takes their keys.
        self.manifest_codes: dict[str, App] = {}
        self.issuer = Issuer(self)
        self._org_rulesets: list[Ruleset] = []
        self._numbers = itertools.count(1_000_001)
        self._quiet = 0
        self._make_actions()

    def number(self) -> int:
        """A new numeric id."""
        return next(self._numbers)

    # -- the cast ------------------------------------------------------------------------------

    def user(self, login: str, id: int | None = None, name: str | None = None) -> Account:  # noqa: A002
        """The user of this login, made where there is none."""
        return self._account(Account(id or 0, login, name=name))

    def bot(self, login: str) -> Account:
        """A bot: `dependabot[bot]`."""
        return self._account(Account(0, login, type="Bot"))

    def organisation(self, login: str) -> Organisation:
        made = self._account(Organisation(0, login))
        assert isinstance(made, Organisation)
        made.world = self
        return made

    def _account(self, new: Account) -> Account:
        key = new.login.lower()
        with self.lock:
            if key not in self.accounts:
                new.id = new.id or self.number()
                self.accounts[key] = new
            return self.accounts[key]

    def rename(self, account: Account, login: str) -> None:
        """A person takes another login; the old one is free for anybody."""
        del self.accounts[account.login.lower()]
        account.login = login
        self.accounts[login.lower()] = account

    def find_account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def app(
        self, slug: str, permissions: Mapping[str, str], owner: str | Account = "app-owner"
    ) -> App:
        """A GitHub App, not yet installed: `app.install(repo.owner)`."""
        holder = owner if isinstance(owner, Account) else self.user(owner)
        made = App(self.number(), slug, holder, {"metadata": "read", **permissions}, self)
        made.bot = self.bot(f"{slug}[bot]")
        made.bot.app = made
        self.apps[slug] = made
        return made

    def register(self, manifest: Mapping[str, Any], owner: Account) -> str:
        """What the browser does on GitHub's page of a manifest: the code that it goes back with.

        Raises `Refusal` for what that page would not take.
        """
        known = {
            "name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url",
            "description", "public", "default_events", "default_permissions",
            "request_oauth_on_install", "setup_on_update",
        }  # fmt: skip
        if strange := sorted(manifest.keys() - known):
            raise Refusal(422, f"Error: {strange} are not permitted keys.")
        if not manifest.get("url"):
            raise Refusal(422, "Error: url wasn't supplied.")
        if "hook_attributes" in manifest and not manifest["hook_attributes"].get("url"):
            raise Refusal(422, "Error Hook url cannot be blank")
        name = str(manifest.get("name", ""))
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if not name or len(name) > 34:
            raise Refusal(422, "Name is too long (maximum is 34 characters)")
        if slug in self.apps:
            raise Refusal(422, "Name has already been taken")
        made = self.app(slug, manifest["default_permissions"], owner)
        code = secrets.token_hex(20)
        self.manifest_codes[code] = made
        return code

    def _make_actions(self) -> None:
        owner = self.organisation("github")
        self.actions = App(ACTIONS_APP, "github-actions", owner, {}, self)
        self.actions.bot = self._account(Account(ACTIONS_BOT, "github-actions[bot]", type="Bot"))
        self.actions.bot.app = self.actions
        self.apps["github-actions"] = self.actions

    def repository(self, full_name: str, private: bool = False) -> Repository:
        """The repository, made where there is none, with one commit on `main`.

        An owner that is not known yet becomes an organisation.
        """
        with self.lock:
            found = self.repositories.get(full_name.lower())
            if found:
                return found
            login, _, name = full_name.partition("/")
            owner = self.find_account(login) or self.organisation(login)
            number = self.number()
            bare = Bare(self.folder / "git" / f"{number}.git")
            self.bares.append(bare)
            made = Repository(number, self, owner, name, bare, private)
            self.repositories[full_name.lower()] = made
            with self.quietly():
                made.commit("main", {"README.md": f"# {name}\n"}, "Initial commit")
            return made

    def rename_repository(self, repo: Repository, name: str) -> None:
        """The former name leads to it, until another repository takes that name."""
        former = repo.full_name.lower()
        del self.repositories[former]
        self._former_names[former] = repo
        repo.name = name
        self.repositories[repo.full_name.lower()] = repo

    def find_repository(self, full_name: str) -> Repository | None:
        name = full_name.lower()
        return self.repositories.get(name) or self._former_names.get(name)

    def organisation_rulesets(self, owner: Account) -> list[Ruleset]:
        return [each for each in self._org_rulesets if each.source is owner]

    def add_organisation_ruleset(
        self,
        organisation: Organisation,
        name: str,
        *rules: str | dict[str, Any],
        branches: Iterable[str],
    ) -> Ruleset:
        """A ruleset that its repositories inherit."""
        rows = [{"type": each} if isinstance(each, str) else each for each in rules]
        made = Ruleset(self.number(), name, organisation, rows, list(branches))
        self._org_rulesets.append(made)
        return made

    def pulls_from(self, source: Repository, branch: str) -> list[PullRequest]:
        """Open pull requests, here and elsewhere, whose head is this branch."""
        return [
            pull
            for repository in self.repositories.values()
            for pull in repository.open_pulls()
            if pull.head_repository is source and pull.head_ref == branch
        ]

    # -- tokens --------------------------------------------------------------------------------

    def token(
        self,
        account: Account,
        permissions: Mapping[str, str] | None = None,
        repositories: Iterable[Repository] | None = None,
        expires_in: timedelta | None = None,
    ) -> Token:
        """A person's token: classic (all they may), or fine-grained with `permissions`."""
        return self._issue(
            Token(
                Kind.CLASSIC if permissions is None else Kind.FINE_GRAINED,
                account,
                "",
                None if permissions is None else {"metadata": "read", **permissions},
                None if repositories is None else list(repositories),
                None if expires_in is None else self.clock.now() + expires_in,
            )
        )

    def actions_token(self, repository: Repository, permissions: Mapping[str, str]) -> Token:
        """A GITHUB_TOKEN: what the `permissions:` of a job's workflow grant it."""
        return self._issue(
            Token(
                Kind.ACTIONS,
                self.actions.bot,
                "",
                {"metadata": "read", **permissions},
                [repository],
                self.clock.now() + timedelta(hours=24),
                app=self.actions,
            )
        )

    def installation_token(
        self,
        installation: Installation,
        permissions: Mapping[str, str] | None = None,
        repositories: Iterable[Repository] | None = None,
    ) -> Token:
        """What `POST /app/installations/{id}/access_tokens` mints, for an hour."""
        return self._issue(
            Token(
                Kind.INSTALLATION,
                installation.app.bot,
                "",
                dict(permissions) if permissions is not None else dict(installation.permissions),
                None if repositories is None else list(repositories),
                self.clock.now() + TOKEN_LIFE,
                installation,
                installation.app,
            )
        )

    def _issue(self, token: Token) -> Token:
        token.secret = prefix(token.kind) + secrets.token_hex(18)
        self.tokens[token.secret] = token
        return token

    @property
    def secrets(self) -> list[str]:
        """Every secret the server gave out, to look for where none may be."""
        return [*self.tokens, *self.issuer.secrets]

    # -- what happens --------------------------------------------------------------------------

    def emit(
        self,
        name: str,
        action: str | None,
        by: Account,
        about: Issue | Repository,
        **parts: Any,
    ) -> None:
        """Record an event with its payload, checked against GitHub's description."""
        if self._quiet:
            return
        repository = about if isinstance(about, Repository) else about.repository
        payload, faults = events.payload(name, action, by, about, parts)
        self.problems += [f"event {name} {action or ''}: {fault}" for fault in faults]
        dispatch = name in ("workflow_dispatch", "repository_dispatch", "schedule")
        silent = self.via is not None and self.via.kind is Kind.ACTIONS and not dispatch
        self.events.append(Event(name, action, payload, repository, by, not silent))

    def events_of(self, name: str, action: str | None = None) -> list[Event]:
        return [e for e in self.events if e.name == name and action in (None, e.action)]

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Build a large world without an event for each of its parts."""
        with self.lock:
            self._quiet += 1
            try:
                yield
            finally:
                self._quiet -= 1

    @contextmanager
    def acting(self, token: Token | None) -> Iterator[None]:
        """What happens inside is done with this token."""
        with self.lock:
            former, self.via = self.via, token
            try:
                yield
            finally:
                self.via = former

    def tick(self) -> None:
        """A little later: GitHub shows as merged what pushes have merged."""
        with self.lock:
            for repository in self.repositories.values():
                repository.notice_merges()
