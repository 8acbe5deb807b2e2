"""GitHub as `hitl doctor` reads it: settings, rules and permissions. The `Survey` port."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

from bridge.core.errors import ForgeUnavailable
from bridge.core.settings import GitHubSettings
from bridge.github.transport import Denied, Json, Line
from bridge.setup.survey import Actions, App, BranchRule, Bypass, Environment, Repository, Unseen

T = TypeVar("T")
_PAGE = 100


class GitHubSurvey:
    """One repository, read with one credential. Everything is asked once."""

    def __init__(
        self, settings: GitHubSettings, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._home = f"/repos/{settings.repository}"
        self._line = Line(settings, pause)
        self._get = cache(self._asked)

    # -- exchanges -----------------------------------------------------------------------------

    def _asked(self, path: str, what: str) -> Any:
        """The answer, None if there is no such thing. `what` is asked, in words."""
        try:
            return self._line.get(path, f"{what} cannot be read")
        except Denied as denied:
            if denied.status == 404:
                return None
            raise Unseen(str(denied)) from None

    def _must(self, path: str, what: str) -> Json:
        found = self._get(path, what)
        if not isinstance(found, dict):
            raise Unseen(f"{what} cannot be read: this credential does not see it")
        return found

    def _all(self, path: str, what: str, inside: str | None = None) -> list[Json]:
        """Every page of a list. That it is not shown is no empty list: it is an error."""
        found: list[Json] = []
        page = 1
        while True:
            answer = self._get(f"{path}?per_page={_PAGE}&page={page}", what)
            rows = answer.get(inside) if inside and isinstance(answer, dict) else answer
            if not isinstance(rows, list):
                raise Unseen(f"{what} cannot be read: this credential does not see it")
            found += rows
            if len(rows) < _PAGE:
                return found
            page += 1

    def _read(self, what: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ForgeUnavailable(
                f"{what} cannot be read: an answer is not what GitHub describes"
            ) from None

    # -- the port ------------------------------------------------------------------------------

    def repository(self) -> Repository:
        found = self._must(self._home, self._settings.repository)
        return self._read(
            "the repository",
            lambda: Repository(
                owner=found["owner"]["login"],
                owned_by_organization=found["owner"]["type"] == "Organization",
                default_branch=found["default_branch"],
                private=found["private"],
                archived=found["archived"],
                pushed_at=_moment(found.get("pushed_at")),
            ),
        )

    def file(self, path: str, branch: str) -> str | None:
        found = self._get(f"{self._home}/contents/{quote(path)}?ref={quote(branch, safe='')}", path)
        if not isinstance(found, dict):
            return None
        return self._read(
            path, lambda: base64.b64decode(found["content"]).decode("utf-8", "replace")
        )

    def has_branch(self, name: str) -> bool:
        return self._get(f"{self._home}/git/ref/heads/{quote(name)}", "a branch") is not None

    def branches(self, start: str) -> tuple[str, ...]:
        path = f"{self._home}/git/matching-refs/heads/{quote(start)}"
        found = self._get(path, "the branches") or ()
        return self._read(
            "the branches",
            lambda: tuple(each["ref"].removeprefix("refs/heads/") for each in found),
        )

    def rules(self, branch: str) -> tuple[BranchRule, ...] | None:
        try:
            found = self._all(f"{self._home}/rules/branches/{quote(branch)}", "the rulesets")
        except Unseen as unseen:
            if "Upgrade to GitHub" in str(unseen):  # a private repository on the Free plan
                return None
            raise
        return self._read("the rulesets", lambda: tuple(map(self._rule, found)))

    def _rule(self, row: Json) -> BranchRule:
        ruleset = self._get(f"{self._home}/rulesets/{row['ruleset_id']}", "a ruleset") or {}
        listed = ruleset.get("bypass_actors")
        bypass = None
        if listed is not None:
            bypass = frozenset(
                Bypass(each["actor_type"], each.get("actor_id"))
                for each in listed
                # Who may bypass only in a pull request is bound when they push.
                if each.get("bypass_mode", "always") != "pull_request"
            )
        name = ruleset.get("name") or f"number {row['ruleset_id']}"
        parameters = dict(row.get("parameters") or {})
        return BranchRule(row["type"], name, row["ruleset_source"], bypass, parameters)

    def protection(self, branch: str) -> frozenset[str]:
        path = f"{self._home}/branches/{quote(branch)}/protection"
        try:
            found = self._line.get(path, "the branch protection cannot be read")
        except Denied as denied:
            # To somebody who does not administer the repository, all of it is plainly not found.
            if denied.status == 404 and denied.said.startswith("Branch not"):
                return frozenset()
            raise Unseen(str(denied)) from None
        return self._read(
            "the branch protection",
            lambda: frozenset(
                name
                for name, about in found.items()
                if isinstance(about, dict) and about.get("enabled", True)
            ),
        )

    def workflow_state(self, name: str) -> str | None:
        found = self._get(f"{self._home}/actions/workflows/{name}", "the workflow")
        return str(found["state"]) if isinstance(found, dict) and "state" in found else None

    def actions(self) -> Actions:
        about = self._must(f"{self._home}/actions/permissions", "the settings of Actions")
        more: Json = {}
        if about.get("enabled"):
            path = f"{self._home}/actions/permissions/workflow"
            more = self._must(path, "the permissions of workflows")
        return Actions(
            enabled=about.get("enabled") is True,
            allowed=str(about.get("allowed_actions", "all")),
            may_open_pull_requests=more.get("can_approve_pull_request_reviews") is True,
        )

    def environment(self, name: str) -> Environment | None:
        path = f"{self._home}/environments/{quote(name, safe='')}"
        found = self._get(path, "the environment")
        if not isinstance(found, dict):
            return None
        return self._read("the environment", lambda: self._environment(path, found))

    def _environment(self, path: str, found: Json) -> Environment:
        limits = found.get("deployment_branch_policy") or {}
        branches = None
        if limits.get("custom_branch_policies"):
            rows = self._all(
                f"{path}/deployment-branch-policies",
                "the environment's branches",
                "branch_policies",
            )
            # A tag of that name is no branch, and anybody who can push may make one.
            branches = tuple(
                each["name"]
                if each.get("type", "branch") == "branch"
                else f"the tag {each['name']}"
                for each in rows
            )
        kinds = {each.get("type") for each in found.get("protection_rules") or ()}
        return Environment(
            branches=branches,
            asks_people=bool(kinds - {"branch_policy"}),
            secrets=_names(self._all(f"{path}/secrets", "the environment's secrets", "secrets")),
            variables=_values(
                self._all(f"{path}/variables", "the environment's variables", "variables")
            ),
        )

    def secrets(self) -> frozenset[str]:
        found = self._of_workflows("secrets")
        return self._read("the secrets", lambda: _names(found))

    def variables(self) -> dict[str, str]:
        found = self._of_workflows("variables")
        return self._read("the variables", lambda: _values(found))

    def _of_workflows(self, kind: str) -> list[Json]:
        """The organization's before the repository's own, which hide them."""
        path, what = f"{self._home}/actions", f"the {kind} of Actions"
        theirs = self.repository().owned_by_organization
        found = self._all(f"{path}/organization-{kind}", what, kind) if theirs else []
        return [*found, *self._all(f"{path}/{kind}", what, kind)]

    def app(self, slug: str) -> App | None:
        found = self._get(f"/apps/{quote(slug)}", "the App")
        if not isinstance(found, dict):
            return None
        return self._read(
            "the App", lambda: App(found["id"], found["slug"], dict(found["permissions"]))
        )

    def installed(self, app_id: int) -> App | None:
        path = f"/orgs/{self.repository().owner}/installations"
        found = self._all(path, "which Apps are installed", "installations")
        return self._read(
            "the Apps",
            lambda: next(
                (
                    App(app_id, each["app_slug"], each["permissions"])
                    for each in found
                    if each["app_id"] == app_id
                ),
                None,
            ),
        )

    def has_team(self, team: str) -> bool:
        organization, _, slug = team.partition("/")
        return (
            self._get(f"/orgs/{quote(organization)}/teams/{quote(slug.lower())}", "a team")
            is not None
        )


def _names(rows: list[Json]) -> frozenset[str]:
    return frozenset(each["name"] for each in rows)


def _values(rows: list[Json]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in rows}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
