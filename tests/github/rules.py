"""Rulesets: which rules bind a ref, and whom they do not bind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.github.accounts import ROLES, Account, App, Kind, Organisation, Team, Token

if TYPE_CHECKING:
    from tests.github.repository import Repository

#: The ids by which a ruleset names the roles of a repository.
ROLE_IDS = {1: "read", 3: "triage", 4: "write", 2: "maintain", 5: "admin"}


@dataclass(eq=False)
class Ruleset:
    """Rules on the branches that match `include` and not `exclude`.

    `rules` are GitHub's own: `{"type": "deletion"}`; `bypass` as the API has it:
    `{"actor_id": 7, "actor_type": "Integration", "bypass_mode": "always"}`.
    """

    id: int
    name: str
    source: Repository | Organisation
    rules: list[dict[str, Any]]
    include: list[str]
    exclude: list[str] = field(default_factory=list)
    bypass: list[dict[str, Any]] = field(default_factory=list)
    target: str = "branch"
    enforcement: str = "active"

    def covers(self, ref: str, default_branch: str) -> bool:
        space = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(self.target)
        if space is None or not ref.startswith(space):
            return False
        return self._among(self.include, ref, default_branch) and not self._among(
            self.exclude, ref, default_branch
        )

    @staticmethod
    def _among(patterns: Iterable[str], ref: str, default_branch: str) -> bool:
        special = {"~ALL": True, "~DEFAULT_BRANCH": ref == f"refs/heads/{default_branch}"}
        return any(
            special[each] if each in special else bool(matcher(each).fullmatch(ref))
            for each in patterns
        )

    def spares(self, token: Token, repository: Repository) -> bool:
        """Whether this token's actor may bypass the ruleset with a push."""
        return any(
            row.get("bypass_mode", "always") != "pull_request" and _is_actor(row, token, repository)
            for row in self.bypass
        )


def _is_actor(row: dict[str, Any], token: Token, repository: Repository) -> bool:
    kind, number = row["actor_type"], row.get("actor_id")
    if kind == "Integration":
        return token.app is not None and token.app.id == number
    if not token.is_user:
        return False
    if kind == "OrganizationAdmin":
        owner = repository.owner
        return isinstance(owner, Organisation) and owner.members.get(token.actor) == "admin"
    if kind == "RepositoryRole":
        role = ROLE_IDS.get(number or 0)
        return role is not None and ROLES.index(repository.role(token.actor)) >= ROLES.index(role)
    if kind == "Team":
        return any(team.id == number and token.actor in team.members for team in repository.teams)
    return kind == "User" and token.actor.id == number


def bypass_row(who: object, mode: str = "always") -> dict[str, Any]:
    """One row of `bypass_actors`, for an App, a team, a user or a role's name."""
    if isinstance(who, App):
        return {"actor_id": who.id, "actor_type": "Integration", "bypass_mode": mode}
    if isinstance(who, Team):
        return {"actor_id": who.id, "actor_type": "Team", "bypass_mode": mode}
    if isinstance(who, Account):
        return {"actor_id": who.id, "actor_type": "User", "bypass_mode": mode}
    number = next(key for key, role in ROLE_IDS.items() if role == who)
    return {"actor_id": number, "actor_type": "RepositoryRole", "bypass_mode": mode}


def matcher(pattern: str) -> re.Pattern[str]:
    """GitHub's patterns are Ruby's `fnmatch` on paths: `*` stops at a slash, `**/` does not."""
    out = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "?":
            out, at = out + "[^/]", at + 1
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return re.compile(out)


def binding(
    rulesets: Sequence[Ruleset], ref: str, repository: Repository, token: Token | None = None
) -> list[tuple[Ruleset, dict[str, Any]]]:
    """The active rules on a ref; with a token, only those it may not bypass."""
    return [
        (ruleset, rule)
        for ruleset in rulesets
        if ruleset.enforcement == "active"
        and ruleset.covers(ref, repository.default_branch)
        and not (token is not None and ruleset.spares(token, repository))
        for rule in ruleset.rules
    ]


def hook_environment(
    rulesets: Sequence[Ruleset], refs: Iterable[str], repository: Repository, token: Token
) -> dict[str, str]:
    """What the repository's hook is told about the rules that bind this push."""
    lines = [
        f"{ref}\t{rule['type']}"
        for ref in refs
        for _, rule in binding(rulesets, ref, repository, token)
    ]
    told = {"GH_RULES": "\n".join(lines)}
    if not token.allows("workflows", "write"):
        told["GH_NO_WORKFLOWS"] = (
            "a Personal Access Token" if token.kind is Kind.FINE_GRAINED else "a GitHub App"
        )
    return told
