"""The nouns as REST and webhooks show them. Every body is filled up to GitHub's own description."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.github.accounts import Account, App, Installation, Organisation, Team, Token
from tests.github.contract import REST
from tests.github.conversation import Comment, Issue, Reaction, Review, Written, groups
from tests.github.pulls import PullRequest
from tests.github.rules import Ruleset

if TYPE_CHECKING:
    from tests.github.repository import CheckRun, Environment, Repository, Status
    from tests.github.world import World

Body = dict[str, Any]


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


_PREFIXES = {
    "Repository": "R",
    "Issue": "I",
    "PullRequest": "PR",
    "Comment": "IC",
    "Review": "PRR",
    "Account": "U",
    "Organisation": "O",
    "Team": "T",
    "Reaction": "REA",
    "Edit": "UCE",
    "InlineComment": "PRRC",
    "Thread": "PRRT",
}


def node_id(noun: Any) -> str:
    """GraphQL's id of it."""
    kind = type(noun).__name__
    prefix = "BOT" if kind == "Account" and noun.is_bot else _PREFIXES.get(kind, "X")
    return f"{prefix}_kwDO{noun.id:08d}"


def label_id(label: Body) -> str:
    return f"LA_kwDO{label['id']:08d}"


def account(who: Account, world: World) -> Body:
    page = f"{world.url}/apps/{who.slug}" if who.is_bot else f"{world.url}/{who.login}"
    return REST.filled(
        "simple-user",
        {
            "login": who.login,
            "id": who.id,
            "node_id": node_id(who),
            "type": who.type,
            "site_admin": False,
            "gravatar_id": "",
            "html_url": page,
            "url": f"{world.api_url}/users/{who.login}",
            "repos_url": f"{world.api_url}/users/{who.login}/repos",
        },
        world.api_url,
    )


def _user(who: Account | None, repository: Repository) -> Body | None:
    return None if who is None else account(who, repository.world)


def full_user(who: Account, world: World, at: datetime, private: bool = False) -> Body:
    given = account(who, world) | {
        "name": who.name,
        "created_at": moment(at),
        "updated_at": moment(at),
        "user_view_type": "private" if private else "public",
    }
    return REST.filled("private-user" if private else "public-user", given, world.api_url)


def organisation(org: Organisation, world: World, at: datetime) -> Body:
    given = {
        "login": org.login,
        "id": org.id,
        "node_id": node_id(org),
        "html_url": f"{world.url}/{org.login}",
        "url": f"{world.api_url}/orgs/{org.login}",
        "type": "Organization",
        "created_at": moment(at),
        "updated_at": moment(at),
    }
    return REST.filled("organization-full", given, world.api_url)


def team(found: Team, world: World, full: bool = False) -> Body:
    given: Body = {
        "id": found.id,
        "node_id": node_id(found),
        "name": found.slug,
        "slug": found.slug,
        "description": None,
        "privacy": "secret" if found.secret else "closed",
        "permission": "pull",
        "notification_setting": "notifications_enabled",
        "parent": None,
        "type": "organization",
        "organization_id": found.organisation.id,
        "html_url": f"{world.url}/orgs/{found.organisation.login}/teams/{found.slug}",
        "url": f"{world.api_url}/orgs/{found.organisation.login}/teams/{found.slug}",
    }
    if full:
        given["members_count"] = len(found.members)
        given["repos_count"] = 0
        given["organization"] = {"login": found.organisation.login, "id": found.organisation.id}
        given |= {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}
        given["organization"] |= {"type": "Organization"} | {
            key: given[key] for key in ("created_at", "updated_at")
        }
    return REST.filled("team-full" if full else "team", given, world.api_url)


def repository(repo: Repository, role: str | None = None, schema: str = "full-repository") -> Body:
    world = repo.world
    at = moment(world.clock.now())
    given: Body = {
        "id": repo.id,
        "node_id": node_id(repo),
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": account(repo.owner, world),
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "html_url": repo.url,
        "url": f"{world.api_url}/repos/{repo.full_name}",
        "clone_url": repo.clone_url,
        "description": repo.description,
        "fork": repo.parent is not None,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "disabled": False,
        "has_issues": True,
        "has_downloads": False,
        "has_projects": False,
        "has_wiki": False,
        "has_pages": False,
        "homepage": None,
        "open_issues": len([i for i in repo.issues.values() if i.state == "open"]),
        "open_issues_count": len([i for i in repo.issues.values() if i.state == "open"]),
        "delete_branch_on_merge": repo.delete_branch_on_merge,
        "allow_merge_commit": True,
        "created_at": at,
        "updated_at": at,
        "pushed_at": moment(repo.pushed_at) if repo.pushed_at else at,
        "topics": [],
        "is_template": False,
        "web_commit_signoff_required": False,
        "allow_forking": True,
        "license": None,
    }
    if role is not None:
        given["permissions"] = permissions(role)
    return REST.filled(schema, given, world.api_url)


def permissions(role: str) -> Body:
    order = ("read", "triage", "write", "maintain", "admin")
    rank = order.index(role) if role in order else -1
    names = ("pull", "triage", "push", "maintain", "admin")
    return {name: rank >= index for index, name in enumerate(names)}


def association(who: Account, repo: Repository) -> str:
    """Unreliable on GitHub too: a private membership is shown to nobody."""
    if who is repo.owner:
        return "OWNER"
    if who in repo.collaborators:
        return "COLLABORATOR"
    return "NONE"


def label(given: Body, repo: Repository) -> Body:
    return {
        "id": given["id"],
        "node_id": label_id(given),
        "url": f"{_api(repo)}/labels/{given['name']}",
        "name": given["name"],
        "description": given["description"],
        "color": given["color"],
        "default": False,
    }


def _labels(found: Issue) -> list[Body]:
    return [label(found.repository.label(name), found.repository) for name in found.labels]


def _api(repo: Repository) -> str:
    return f"{repo.world.api_url}/repos/{repo.full_name}"


def reactions(of: Written, url: str) -> Body:
    counts = {name: len(people) for name, people in groups(of.reactions).items()}
    return {"url": f"{url}/reactions", "total_count": len(of.reactions), **counts}


def reaction(given: Reaction, world: World) -> Body:
    return {
        "id": given.id,
        "node_id": node_id(given),
        "user": account(given.by, world),
        "content": given.content,
        "created_at": moment(given.at),
    }


def _common(found: Issue) -> Body:
    repo = found.repository
    api = f"{_api(repo)}/issues/{found.number}"
    return {
        "id": found.id,
        "node_id": node_id(found),
        "number": found.number,
        "title": found.title,
        "body": found.body or None,
        "state": found.state,
        "locked": found.locked,
        "user": _user(found.author, repo),
        "labels": _labels(found),
        "assignee": _user(found.assignees[0], repo) if found.assignees else None,
        "assignees": [_user(each, repo) for each in found.assignees],
        "milestone": None,
        "html_url": found.url,
        "comments": len(found.comments),
        "comments_url": f"{api}/comments",
        "created_at": moment(found.created_at),
        "updated_at": moment(found.updated_at),
        "closed_at": moment(found.closed_at),
        "author_association": association(found.author, repo),
        "active_lock_reason": None,
    }


def issue(found: Issue) -> Body:
    repo = found.repository
    api = f"{_api(repo)}/issues/{found.number}"
    given = _common(found) | {
        "url": api,
        "repository_url": _api(repo),
        "labels_url": f"{api}/labels{{/name}}",
        "events_url": f"{api}/events",
        "timeline_url": f"{api}/timeline",
        "state_reason": found.state_reason,
        "closed_by": _user(found.closed_by, repo),
        "reactions": reactions(found, api),
        "performed_via_github_app": None,
    }
    if isinstance(found, PullRequest):
        pull_url = f"{_api(repo)}/pulls/{found.number}"
        given["draft"] = found.draft
        given["pull_request"] = {
            "url": pull_url,
            "html_url": found.url,
            "diff_url": f"{found.url}.diff",
            "patch_url": f"{found.url}.patch",
            "merged_at": moment(found.merged_at),
        }
    return REST.filled("issue", given, repo.world.api_url)


def pull(found: PullRequest, full: bool = True) -> Body:
    repo = found.repository
    api = f"{_api(repo)}/pulls/{found.number}"
    issue_api = f"{_api(repo)}/issues/{found.number}"
    given = _common(found) | {
        "url": api,
        "issue_url": issue_api,
        "commits_url": f"{api}/commits",
        "review_comments_url": f"{api}/comments",
        "review_comment_url": f"{api}/comments{{/number}}",
        "statuses_url": f"{_api(repo)}/statuses/{found.head_sha}",
        "diff_url": f"{found.url}.diff",
        "patch_url": f"{found.url}.patch",
        "draft": found.draft,
        "merged_at": moment(found.merged_at),
        "merge_commit_sha": found.merge_sha,
        "auto_merge": None,
        "requested_reviewers": [_user(each, repo) for each in found.requested],
        "requested_teams": [team(each, repo.world) for each in found.requested_teams],
        "head": _end(found.head_label, found.head_ref, found.head_sha, found.head_repository),
        "base": _end(f"{repo.owner.login}:{found.base_ref}", found.base_ref, found.base_sha, repo),
        "_links": {
            "self": {"href": api},
            "html": {"href": found.url},
            "issue": {"href": issue_api},
            "comments": {"href": f"{issue_api}/comments"},
            "review_comments": {"href": f"{api}/comments"},
            "review_comment": {"href": f"{api}/comments{{/number}}"},
            "commits": {"href": f"{api}/commits"},
            "statuses": {"href": f"{_api(repo)}/statuses/{found.head_sha}"},
        },
    }
    if not full:
        given.pop("comments")
        # Described as text there, and as text or null everywhere else.
        labels = [{**each, "description": each["description"] or ""} for each in given["labels"]]
        given["labels"] = labels
        return REST.filled("pull-request-simple", given, repo.world.api_url)
    given |= {
        "merged": found.merged,
        "merged_by": _user(found.merged_by, repo),
        "mergeable": None if found.state == "closed" else True,
        "mergeable_state": "unknown" if found.state == "closed" else "clean",
        "rebaseable": None,
        "maintainer_can_modify": False,
    }
    return REST.filled("pull-request", given, repo.world.api_url)


def _end(label_: str, ref: str, sha: str, repo: Repository | None) -> Body:
    return {
        "label": label_,
        "ref": ref,
        "sha": sha,
        "user": None if repo is None else account(repo.owner, repo.world),
        "repo": None if repo is None else repository(repo, schema="repository"),
    }


def comment(given: Comment) -> Body:
    repo = given.repository
    api = f"{_api(repo)}/issues/comments/{given.id}"
    return {
        "id": given.id,
        "node_id": node_id(given),
        "url": api,
        "html_url": f"{given.issue.url}#issuecomment-{given.id}",
        "issue_url": f"{_api(repo)}/issues/{given.issue.number}",
        "user": _user(given.author, repo),
        "body": given.body,
        "created_at": moment(given.created_at),
        "updated_at": moment(given.updated_at),
        "author_association": association(given.author, repo),
        "reactions": reactions(given, api),
        "performed_via_github_app": None,
    }


def review_url(given: Review) -> str:
    return f"{given.pull.url}#pullrequestreview-{given.id}"


def review(given: Review) -> Body:
    repo = given.repository
    api = f"{_api(repo)}/pulls/{given.pull.number}"
    shown = {
        "id": given.id,
        "node_id": node_id(given),
        "user": _user(given.author, repo),
        "body": given.body,
        "state": given.state,
        "commit_id": given.commit,
        "html_url": review_url(given),
        "pull_request_url": api,
        "author_association": association(given.author, repo),
        "_links": {"html": {"href": review_url(given)}, "pull_request": {"href": api}},
    }
    if given.submitted_at is not None:
        shown["submitted_at"] = moment(given.submitted_at)
    return shown


def status(given: Status, repo: Repository) -> Body:
    at = moment(given.at)
    return REST.filled(
        "status",
        {
            "id": given.id,
            "state": given.state,
            "context": given.context,
            "description": given.description,
            "target_url": given.target_url,
            "creator": _user(given.by, repo),
            "created_at": at,
            "updated_at": at,
            "url": f"{_api(repo)}/statuses/{given.sha}",
        },
        repo.world.api_url,
    )


def check_run(given: CheckRun, repo: Repository) -> Body:
    facts = given.facts
    output = facts.get("output") or {}
    state = facts.get("status") or ("completed" if facts.get("conclusion") else "queued")
    shown = {
        "id": given.id,
        "name": facts.get("name"),
        "head_sha": given.sha,
        "external_id": facts.get("external_id"),
        "url": f"{_api(repo)}/check-runs/{given.id}",
        "html_url": f"{repo.url}/runs/{given.id}",
        "details_url": facts.get("details_url"),
        "status": state,
        "conclusion": facts.get("conclusion"),
        "started_at": facts.get("started_at") or moment(given.at),
        "completed_at": facts.get("completed_at")
        or (moment(given.at) if state == "completed" else None),
        "output": {
            "title": output.get("title"),
            "summary": output.get("summary"),
            "text": output.get("text"),
            "annotations_count": 0,
        },
        "app": app(given.token_app),
        "check_suite": {"id": given.token_app.id},
        "pull_requests": [],
    }
    return REST.filled("check-run", shown, repo.world.api_url)


def app(given: App) -> Body:
    world = given.world
    at = moment(world.clock.now())
    shown = {
        "id": given.id,
        "slug": given.slug,
        "client_id": given.client_id,
        "name": given.slug,
        "owner": account(given.owner, world),
        "permissions": dict(given.permissions),
        "events": [],
        "html_url": f"{world.url}/apps/{given.slug}",
        "created_at": at,
        "updated_at": at,
    }
    return REST.filled("integration", shown, world.api_url)


def installation(given: Installation) -> Body:
    world = given.app.world
    at = moment(world.clock.now())
    chosen = "all" if given.repositories is None else "selected"
    shown = {
        "id": given.id,
        "app_id": given.app.id,
        "app_slug": given.app.slug,
        "client_id": given.app.client_id,
        "account": account(given.account, world),
        "target_id": given.account.id,
        "target_type": given.account.type,
        "repository_selection": chosen,
        "permissions": dict(given.permissions),
        "events": [],
        "access_tokens_url": f"{world.api_url}/app/installations/{given.id}/access_tokens",
        "created_at": at,
        "updated_at": at,
        "suspended_at": at if given.suspended else None,
        "suspended_by": None,
        "single_file_name": None,
    }
    return REST.filled("installation", shown, world.api_url)


def installation_token(given: Token) -> Body:
    assert given.installation is not None
    chosen = given.repositories
    if chosen is None:
        chosen = given.installation.repositories
    shown: Body = {
        "token": given.secret,
        "expires_at": moment(given.expires_at),
        "permissions": dict(given.permissions or {}),
        "repository_selection": "all" if chosen is None else "selected",
    }
    if chosen is not None:
        shown["repositories"] = [repository(each, schema="repository") for each in chosen]
    return shown


def ruleset(given: Ruleset, full: bool = True, may_see_bypass: bool = False) -> Body:
    source = given.source
    is_org = isinstance(source, Organisation)
    shown: Body = {
        "id": given.id,
        "name": given.name,
        "target": given.target,
        "source_type": "Organization" if is_org else "Repository",
        "source": source.login if isinstance(source, Organisation) else source.full_name,
        "enforcement": given.enforcement,
        "node_id": f"RRS_kwDO{given.id:08d}",
    }
    if full:
        shown["conditions"] = {
            "ref_name": {"include": list(given.include), "exclude": list(given.exclude)}
        }
        shown["rules"] = [dict(rule) for rule in given.rules]
    if full and may_see_bypass:  # only who may edit the ruleset is told who may bypass it
        shown["bypass_actors"] = [dict(row) for row in given.bypass]
    return shown


def rule(given: Ruleset, detail: Body) -> Body:
    """One row of `GET rules/branches/{branch}`."""
    whole = ruleset(given, full=False)
    return {
        **detail,
        "ruleset_source_type": whole["source_type"],
        "ruleset_source": whole["source"],
        "ruleset_id": given.id,
    }


def environment(given: Environment, repo: Repository) -> Body:
    at = moment(repo.world.clock.now())
    limited = given.branches is not None or given.protected_branches
    rules: list[Body] = []
    if limited:
        rules.append({"id": given.id + 1, "node_id": f"GA_{given.id}", "type": "branch_policy"})
    if given.reviewers:
        people = [
            {"type": "User", "reviewer": account(each, repo.world)} for each in given.reviewers
        ]
        about = {"id": given.id + 2, "node_id": f"GA_{given.id}_2", "type": "required_reviewers"}
        rules.append({**about, "prevent_self_review": False, "reviewers": people})
    return {
        "id": given.id,
        "node_id": f"EN_kwDO{given.id:08d}",
        "name": given.name,
        "url": f"{_api(repo)}/environments/{given.name}",
        "html_url": f"{repo.url}/deployments/activity_log?environments_filter={given.name}",
        "created_at": at,
        "updated_at": at,
        "protection_rules": rules,
        "deployment_branch_policy": {
            "protected_branches": given.protected_branches,
            "custom_branch_policies": not given.protected_branches,
        }
        if limited
        else None,
    }


def blob(repo: Repository, sha: str, path: str) -> Body:
    """A file as the contents API gives it."""
    content = repo.bare.read(sha)
    return entry(repo, sha, path, "file") | {
        "size": len(content),
        "encoding": "base64",
        "content": base64.encodebytes(content).decode(),
    }


def entry(repo: Repository, sha: str, path: str, kind: str, size: int = 0) -> Body:
    api = f"{_api(repo)}/contents/{path}"
    git = f"{_api(repo)}/git/{'blobs' if kind == 'file' else 'trees'}/{sha}"
    page = f"{repo.url}/blob/{repo.default_branch}/{path}"
    return {
        "type": kind,
        "size": size,
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": sha,
        "url": api,
        "git_url": git,
        "html_url": page,
        "download_url": f"{repo.url}/raw/{path}" if kind == "file" else None,
        "_links": {"self": api, "git": git, "html": page},
    }
