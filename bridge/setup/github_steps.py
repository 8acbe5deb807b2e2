"""The steps by which the bridge is installed on GitHub, as values: what exists, what is wanted,
and the requests of each step.

A request holds marks for what only an earlier answer says, such as the number of an App that is
yet to be registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bridge.setup.app_manifest import Manifest, Role
from bridge.setup.survey import App, Environment
from bridge.setup.workflow_files import ENVIRONMENT

#: The branch of the pull request that brings policy and workflow.
BRANCH: Final = "approval-bridge/setup"
#: The branch of the one that takes them away again.
REMOVING: Final = "approval-bridge/remove"
#: The branch of the action, if this repository has its own: `--vendor`.
ACTION_BRANCH: Final = "approval-bridge/action"
#: The rulesets that this command made are known by how their names begin.
OURS: Final = "Approval bridge: "

#: What an answer says for the requests after it.
DECIDER_ID, OPENER_ID, OPENER_SLUG = "‹decider's id›", "‹opener's id›", "‹opener's slug›"
#: A variable is text, and an actor of a ruleset is a number.
DECIDER_NUMBER = "‹decider's number›"
KEY_ID, SEAL_KEY, PUBLIC_KEY = "‹key id›", "‹key of the environment›", "‹public key›"
TREE, COMMIT = "‹tree›", "‹commit›"
ACTION_TREE, ACTION_COMMIT = "‹tree of the action›", "‹commit of the action›"


def sealed(name: str) -> str:
    """The mark for a secret, encrypted for GitHub."""
    return f"‹sealed {name}›"


class Verbatim(str):
    """A text in which nothing is a mark: somebody else's, or this very code."""

    __slots__ = ()


class Part(StrEnum):
    """What `--only` and `--skip` choose by."""

    LEDGER = "ledger"
    ENVIRONMENT = "environment"
    ACTIONS = "actions"  # of `hitl github try` alone
    APPS = "apps"
    RULESETS = "rulesets"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `gives`: a mark to the key of the answer that it stands for."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    gives: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    part: Part
    says: str
    requests: tuple[Request, ...] = ()
    #: An App to register first, by a click.
    register: Manifest | None = None
    #: The role whose App must be installed before this is done, by another click.
    install: Role | None = None


@dataclass(frozen=True, slots=True)
class FoundApp:
    """`installed` is None if this credential can't see it."""

    app: App
    installed: bool | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The open pull request, as an earlier run left it or somebody changed it since."""

    number: int
    tip: str
    tree: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """The repository as it is."""

    repository: str  # owner/name
    server: str
    organization: str | None  # its owner, unless a person owns it
    private: bool
    default_branch: str
    tip: str  # of the default branch
    tree: str
    has_ledger: bool = False
    environment: Environment | None = None
    apps: Mapping[Role, FoundApp] = field(default_factory=dict)
    #: Our rulesets by name: their number, and what they say.
    rulesets: Mapping[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    #: The names of those that need not be made: others hold the branches to as much.
    held: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=dict)  # on the default branch
    #: The branch is there. Without a pull request an interrupted run left it, or it is an old one.
    has_branch: bool = False
    proposal: Proposal | None = None
    #: Of a workflow that `hitl github remove` deleted: what they signed must go on counting.
    former_keys: tuple[str, ...] = ()
    #: The tip of the action's branch and its tree, if this repository has one.
    action: tuple[str, str] | None = None
    has_removing: bool = False
    removal: int | None = None  # the open pull request that takes the files away again

    @property
    def home(self) -> str:
        return f"/repos/{self.repository}"

    @property
    def place(self) -> str:
        return f"{self.home}/environments/{ENVIRONMENT}"


@dataclass(frozen=True, slots=True)
class Wanted:
    action: str | None  # acme/approval-bridge/action@<commit>; None: this repository's own
    opener: bool  # runs ask from a cluster
    identities: Mapping[str, str] = field(default_factory=dict)
    #: The files of the action, and the id of their tree, if it is this repository's own.
    vendored: Mapping[str, str] = field(default_factory=dict)
    vendored_tree: str = ""
