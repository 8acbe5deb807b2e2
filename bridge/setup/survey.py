"""What is looked at in a repository on GitHub, to tell whether a gate there would be safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from bridge.core.errors import ForgeUnavailable

_ROLES: Final = {
    ("OrganizationAdmin", None): "owners of the organization",
    ("OrganizationAdmin", 1): "owners of the organization",
    ("RepositoryRole", 2): "everyone who may maintain",
    ("RepositoryRole", 4): "everyone who may write",
    ("RepositoryRole", 5): "everyone who administers",
    ("DeployKey", None): "deploy keys",
}


@dataclass(frozen=True, slots=True)
class Repository:
    owner: str
    owned_by_organization: bool
    default_branch: str
    private: bool
    archived: bool
    pushed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bypass:
    """An account that a ruleset does not bind when it pushes. `kind` and `id`: as in the API."""

    kind: str
    id: int | None

    def __str__(self) -> str:
        return _ROLES.get((self.kind, self.id)) or f"{self.kind} {self.id or ''}".strip()


@dataclass(frozen=True, slots=True)
class BranchRule:
    """One rule that binds a branch. `bypass` is None if it could not be read."""

    type: str
    ruleset: str  # its name
    source: str  # the repository or the organization that set it
    bypass: frozenset[Bypass] | None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """`branches` are the patterns it is limited to; None: any branch, or any protected one."""

    branches: tuple[str, ...] | None
    asks_people: bool  # it has reviewers or a timer, for which every run waits
    secrets: frozenset[str]
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class App:
    id: int
    slug: str
    permissions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Actions:
    """What the repository lets workflows do. `allowed`: all, local_only or selected."""

    enabled: bool
    allowed: str
    may_open_pull_requests: bool


class Unseen(ForgeUnavailable):
    """The credential may not see it."""


class Survey(Protocol):
    """The live repository. None: it is not there.

    Raises `Unseen` for what the credential may not read, `ForgeUnavailable` for other trouble.
    """

    def repository(self) -> Repository: ...
    def file(self, path: str, branch: str) -> str | None: ...
    def has_branch(self, name: str) -> bool: ...
    def branches(self, start: str) -> tuple[str, ...]:
        """The branches whose names begin so."""
        ...

    def rules(self, branch: str) -> tuple[BranchRule, ...] | None:
        """None if the repository's plan has no rulesets at all."""
        ...

    def protection(self, branch: str) -> frozenset[str]:
        """What an older branch protection asks there, in the API's words."""
        ...

    def workflow_state(self, name: str) -> str | None: ...
    def actions(self) -> Actions: ...
    def environment(self, name: str) -> Environment | None: ...
    def secrets(self) -> frozenset[str]:
        """The names of those that every workflow here may read, the organization's included."""
        ...

    def variables(self) -> dict[str, str]: ...
    def app(self, slug: str) -> App | None: ...
    def installed(self, app_id: int) -> App | None:
        """The App as its owner's organization installed it, with what was granted there."""
        ...

    def has_team(self, team: str) -> bool: ...
