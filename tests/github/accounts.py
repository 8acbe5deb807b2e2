"""Who there is: users, bots, organisations and their teams, Apps, and the tokens they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.github.repository import Repository
    from tests.github.world import World

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
#: The App behind GITHUB_TOKEN, and its bot's account, as on github.com.
ACTIONS_APP, ACTIONS_BOT = 15368, 41898282


class Refusal(Exception):
    """What GitHub says no to: `status`, `message` and, for a 422, `errors`."""

    def __init__(self, status: int, message: str, errors: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, list(errors)


def invalid(*errors: Any) -> Refusal:
    return Refusal(422, "Validation Failed", errors)


def not_found() -> Refusal:
    return Refusal(404, "Not Found")


@dataclass(eq=False)
class Account:
    """A user, a bot or an organisation. Rename it by setting `login`; `id` stays."""

    id: int
    login: str
    type: str = "User"
    name: str | None = None
    app: App | None = field(default=None, repr=False)
    #: SSH keys for signing: the line, and since when.
    signing_keys: list[tuple[str, datetime]] = field(default_factory=list, repr=False)

    @property
    def is_bot(self) -> bool:
        return self.type == "Bot"

    @property
    def slug(self) -> str:
        """The login as GraphQL shows it: a bot's has no `[bot]` there."""
        return self.login.removesuffix("[bot]")


@dataclass(eq=False)
class Team:
    """A team of an organisation."""

    id: int
    slug: str
    organisation: Organisation = field(repr=False)
    members: dict[Account, str] = field(default_factory=dict, repr=False)
    secret: bool = False

    def add(self, *accounts: Account) -> Team:
        for account in accounts:
            self.members[account] = "member"
            self.organisation.members.setdefault(account, "member")
        return self

    def remove(self, account: Account) -> None:
        del self.members[account]


@dataclass(eq=False)
class Organisation(Account):
    """An organisation: `members` maps an account to `member` or `admin` (an owner)."""

    type: str = "Organization"
    members: dict[Account, str] = field(default_factory=dict, repr=False)
    teams: dict[str, Team] = field(default_factory=dict, repr=False)
    #: Those of Actions that all its repositories are given.
    secrets: set[str] = field(default_factory=set, repr=False)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    world: World | None = field(default=None, repr=False)

    def team(self, slug: str, *members: Account) -> Team:
        """The team of this slug, made where there is none, with these members added."""
        if slug not in self.teams:
            assert self.world is not None
            self.teams[slug] = Team(self.world.number(), slug, self)
        return self.teams[slug].add(*members)

    def add(self, account: Account, role: str = "member") -> None:
        self.members[account] = role


@cache
def _pair(app: int) -> rsa.RSAPrivateKey:
    """A key takes a while to make: Apps of one number share it in all servers of a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(eq=False)
class App:
    """A GitHub App; `key` is its private key (PEM), as a person would download it."""

    id: int
    slug: str
    owner: Account
    permissions: Mapping[str, str]
    world: World = field(repr=False)
    bot: Account = field(init=False, repr=False)
    installations: list[Installation] = field(default_factory=list, repr=False)

    @property
    def client_id(self) -> str:
        return f"Iv23li{self.id:014d}"

    @cached_property
    def _pair(self) -> rsa.RSAPrivateKey:
        return _pair(self.id)

    @cached_property
    def key(self) -> str:
        return self._pair.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    def install(
        self, account: Account, repositories: Iterable[Repository] | None = None
    ) -> Installation:
        """Install on an account; on all its repositories unless some are named."""
        chosen = None if repositories is None else list(repositories)
        made = Installation(self.world.number(), self, account, chosen)
        self.installations.append(made)
        return made

    def jwt(self, **claims: Any) -> str:
        """A token that proves to be this App, by the server's clock."""
        now = self.world.clock.now()
        asked = {"iat": now, "exp": now + timedelta(minutes=9), "iss": str(self.id), **claims}
        return jwt.encode(asked, self._pair, algorithm="RS256")

    def check(self, text: str, now: datetime) -> None:
        """Raises the 401 that GitHub answers to a JWT it does not take."""
        try:
            claims = jwt.decode(
                text,
                self._pair.public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_iss": False},
            )
            issued, expires = int(claims["iat"]), int(claims["exp"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise Refusal(401, "A JSON web token could not be decoded") from None
        seconds = now.timestamp()
        if expires <= seconds:
            raise Refusal(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future"
                " time at which the assertion expires",
            )
        if expires > seconds + 600 + 60:
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
        if issued > seconds + 60:
            raise Refusal(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the"
                " assertion was issued",
            )


@dataclass(eq=False)
class Installation:
    """An App on an account. `permissions` are what was granted there: the App's, unless changed."""

    id: int
    app: App
    account: Account
    repositories: list[Repository] | None
    permissions: Mapping[str, str] = field(default_factory=dict)
    suspended: bool = False

    def __post_init__(self) -> None:
        self.permissions = dict(self.permissions or self.app.permissions)

    def reaches(self, repository: Repository) -> bool:
        if self.repositories is not None:
            return repository in self.repositories
        return repository.owner is self.account


class Kind(StrEnum):
    """The kinds of tokens."""

    CLASSIC = "classic"
    FINE_GRAINED = "fine-grained"
    ACTIONS = "GITHUB_TOKEN"
    INSTALLATION = "installation"
    APP = "app"


_PREFIX = {
    Kind.CLASSIC: "ghp_",
    Kind.FINE_GRAINED: "github_pat_",
    Kind.ACTIONS: "ghs_",
    Kind.INSTALLATION: "ghs_",
}


@dataclass(eq=False)
class Token:
    """Something that proves who asks; `str(token)` is the secret itself."""

    kind: Kind
    actor: Account
    secret: str = field(repr=False)
    permissions: Mapping[str, str] | None = None
    repositories: list[Repository] | None = None
    expires_at: datetime | None = None
    installation: Installation | None = None
    app: App | None = None
    revoked: bool = False
    used: int = 0

    def __str__(self) -> str:
        return self.secret

    @property
    def is_user(self) -> bool:
        return self.kind in (Kind.CLASSIC, Kind.FINE_GRAINED)

    @property
    def blocked(self) -> str:
        """GitHub's words where the token may not, though its actor might."""
        thing = "personal access token" if self.is_user else "integration"
        return f"Resource not accessible by {thing}"

    def allows(self, permission: str, level: str) -> bool:
        """Whether its own permissions reach; which role its user has is another matter."""
        if self.permissions is None:
            return True
        levels = ("none", "read", "write", "admin")
        return levels.index(self.permissions.get(permission, "none")) >= levels.index(level)

    def reaches(self, repository: Repository) -> bool:
        if self.installation is not None and not self.installation.reaches(repository):
            return False
        return self.repositories is None or repository in self.repositories

    def revoke(self) -> None:
        self.revoked = True


def prefix(kind: Kind) -> str:
    return _PREFIX[kind]
