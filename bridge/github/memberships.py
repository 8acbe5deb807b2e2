"""Who is in which group: teams, organizations and permissions, as GitHub's REST API says."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from bridge.core.errors import ForgeUnavailable
from bridge.core.evaluation import Answer, Membership, Question
from bridge.core.rules import Group, GroupKind
from bridge.github import graphql as words
from bridge.github.transport import Denied, Json, Line


class Memberships:
    """Answers about one repository. What cannot be read is unknown."""

    def __init__(self, line: Line, repository: str) -> None:
        self._line = line
        self._repository = repository

    def answers(self, questions: Sequence[Question]) -> tuple[Membership, ...]:
        permissions: dict[str, Json | str] = {}
        return tuple(self._membership(each, permissions) for each in questions)

    def _membership(self, question: Question, permissions: dict[str, Json | str]) -> Membership:
        actor, group = question.actor, question.group
        login, number = actor.login, actor.id
        if login is None or number is None:
            return Membership(0, group, Answer.UNKNOWN, f"{actor} is no account")
        who = quote(login, safe="[]")
        if group.kind is GroupKind.TEAM:
            answer, why = self._in_team(group, who)
        elif group.kind is GroupKind.ORGANIZATION:
            answer, why = self._in_organization(group, who)
        else:
            if login not in permissions:
                path = f"/repos/{self._repository}/collaborators/{who}/permission"
                permissions[login] = self._lookup(path)
            answer, why = _on_repository(group, permissions[login], number)
        return Membership(number, group, answer, why)

    def _in_team(self, group: Group, who: str) -> tuple[Answer, str]:
        organisation, _, slug = group.name.rpartition("/")
        organisation = organisation or self._repository.partition("/")[0]
        found = self._lookup(f"/orgs/{organisation}/teams/{quote(slug.lower())}/memberships/{who}")
        if isinstance(found, str):
            return Answer.UNKNOWN, f"GitHub does not show {who} in team {group.name} ({found})"
        if found.get("state") != "active":
            return Answer.NOT, f"{who} is invited to team {group.name}, and has not accepted"
        return Answer.MEMBER, ""

    def _in_organization(self, group: Group, who: str) -> tuple[Answer, str]:
        found = self._lookup(f"/orgs/{group.name}/memberships/{who}")
        if isinstance(found, str):
            return Answer.UNKNOWN, f"GitHub does not show {who} in {group.name} ({found})"
        active = found.get("state") == "active"
        return (Answer.MEMBER, "") if active else (Answer.NOT, f"{who} is only invited")

    def _lookup(self, path: str) -> Json | str:
        """The answer, or why there is none. A 404 may be a no, or a token that cannot see."""
        try:
            found = self._line.get(path, "a membership cannot be read")
        except Denied as denied:
            if denied.status == 404:
                return "it is not so, or the bridge's token may not see it"
            return f"it answered {denied.status}"
        except ForgeUnavailable:
            return "it could not be reached"
        return found if isinstance(found, dict) else "it answered nothing"


def _on_repository(group: Group, found: Json | str, number: int) -> tuple[Answer, str]:
    if isinstance(found, str):
        return Answer.UNKNOWN, f"GitHub does not tell the permission on the repository ({found})"
    return words.permission(group, found, number)
