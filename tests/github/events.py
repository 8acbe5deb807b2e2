"""Webhook and Actions events with their payloads, as GitHub describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.github import shapes
from tests.github.accounts import Account, Organisation
from tests.github.contract import WEBHOOKS, event_faults
from tests.github.conversation import Issue
from tests.github.pulls import PullRequest

if TYPE_CHECKING:
    from tests.github.repository import Repository

_ISSUES = ("opened", "edited", "closed", "reopened", "labeled", "unlabeled")
#: Names in GitHub's description of its webhooks. `schedule` is Actions' own and has none there.
EVENTS = (
    *(f"issues-{action}" for action in _ISSUES),
    *(f"pull-request-{action}" for action in (*_ISSUES, "synchronize", "review-requested")),
    *(f"pull-request-review-{action}" for action in ("submitted", "edited", "dismissed")),
    *(f"issue-comment-{action}" for action in ("created", "edited", "deleted")),
    "workflow-dispatch",
    "repository-dispatch-sample.collected",
)


def payload(
    name: str, action: str | None, by: Account, about: Issue | Repository, parts: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The event's payload, and what GitHub's description has against it."""
    repository = about.repository if isinstance(about, Issue) else about
    given = _common(by, repository)
    if action is not None:
        given["action"] = action
    if isinstance(about, Issue):
        given |= _about_issue(name, about, parts)
    else:
        given |= _about_repository(name, parts, repository)
    if name == "schedule":
        return given, []
    described = _described(name, action)
    WEBHOOKS.filled_event(described, given, repository.world.api_url)
    return given, event_faults(described, given)


def _described(name: str, action: str | None) -> str:
    if name == "repository_dispatch":
        return "repository-dispatch-sample.collected"
    return "-".join(part.replace("_", "-") for part in (name, action) if part)


def _common(by: Account, repository: Repository) -> dict[str, Any]:
    world = repository.world
    shown = shapes.repository(repository, schema="repository")
    shown.pop("permissions", None)
    given = {"repository": shown, "sender": shapes.account(by, world)}
    owner = repository.owner
    if isinstance(owner, Organisation):
        given["organization"] = {
            "login": owner.login,
            "id": owner.id,
            "node_id": shapes.node_id(owner),
            "url": f"{world.api_url}/orgs/{owner.login}",
            "description": None,
        }
    return given


def _about_issue(name: str, issue: Issue, parts: dict[str, Any]) -> dict[str, Any]:
    given = {k: v for k, v in parts.items() if k in ("changes", "before", "after")}
    if name in ("pull_request", "pull_request_review") and isinstance(issue, PullRequest):
        given["pull_request"] = shapes.pull(issue)
        given["number"] = issue.number
        if name == "pull_request_review":
            given.pop("number")
            for gone in ("merged", "mergeable", "comments"):
                given["pull_request"].pop(gone, None)
    else:
        given["issue"] = shapes.issue(issue)
    repository = issue.repository
    if "review" in parts:
        # Lower case here, upper case in REST and GraphQL.
        review = shapes.review(parts["review"])
        given["review"] = review | {
            "state": review["state"].lower(),
            "body": review["body"] or None,
            "submitted_at": shapes.moment(parts["review"].submitted_at),
        }
        given["review"]["updated_at"] = shapes.moment(parts["review"].updated_at)
    if "comment" in parts:
        given["comment"] = shapes.comment(parts["comment"])
    if "label" in parts:
        given["label"] = shapes.label(repository.label(parts["label"]), repository)
    if "reviewer" in parts:
        given["requested_reviewer"] = shapes.account(parts["reviewer"], repository.world)
    if "team" in parts:
        given["requested_team"] = shapes.team(parts["team"], repository.world)
    return given


def _about_repository(name: str, parts: dict[str, Any], repository: Repository) -> dict[str, Any]:
    if name == "workflow_dispatch":
        return {
            "inputs": parts["inputs"] or None,
            "ref": f"refs/heads/{parts['ref'].removeprefix('refs/heads/')}",
            "workflow": f".github/workflows/{parts['workflow']}",
        }
    if name == "repository_dispatch":
        return {
            "branch": repository.default_branch,
            "client_payload": parts["client_payload"] or None,
            "installation": {"id": 1, "node_id": "MDIz"},
        }
    return {"schedule": parts["schedule"]}
