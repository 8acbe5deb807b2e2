"""Repositories: settings, collaborators, branches, rules, files, statuses, checks, environments."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tests.github import shapes
from tests.github.accounts import ROLES, Account, Refusal, not_found
from tests.github.pulls import signature
from tests.github.repository import CheckRun, Repository, Status
from tests.github.rest.route import Answer, Call, serves
from tests.github.rules import Ruleset, binding

_READ = ("metadata", "read")
_LEGACY = {"triage": "read", "maintain": "write"}


@serves("repos/get", _READ)
def _get(call: Call) -> Answer:
    role = call.repo.role(call.token.actor) if call.token else "read"
    return Answer(200, shapes.repository(call.repo, role))


@serves("repos/list-for-org")
def _for_org(call: Call) -> Answer:
    owner = call.world.find_account(call.path["org"])
    found = [repo for repo in call.world.repositories.values() if repo.owner is owner]
    return call.page(found, lambda r: shapes.repository(r, schema="minimal-repository"))


# -- collaborators ---------------------------------------------------------------------------


def _person(call: Call) -> Account:
    found = call.world.find_account(call.path["username"])
    if found is None:
        raise not_found()
    return found


@serves("repos/get-collaborator-permission-level", _READ)
def _permission(call: Call) -> Answer:
    who, repo = _person(call), call.repo
    role = repo.role(who)
    user = shapes.account(who, call.world) | {
        "permissions": shapes.permissions(role),
        "role_name": repo.role_name(who),
    }
    legacy = _LEGACY.get(role, role)
    return Answer(200, {"permission": legacy, "role_name": repo.role_name(who), "user": user})


@serves("repos/check-collaborator", _READ)
def _is_collaborator(call: Call) -> Answer:
    if call.repo.granted(_person(call)) == "none":
        raise not_found()
    return Answer(204)


@serves("repos/list-collaborators", _READ, role="write")
def _collaborators(call: Call) -> Answer:
    repo = call.repo
    people = [who for who in call.world.accounts.values() if repo.granted(who) != "none"]
    least = call.query.get("permission")
    ranks = {"pull": "read", "push": "write"}
    if least:
        rank = ROLES.index(ranks.get(least, least))
        people = [who for who in people if ROLES.index(repo.role(who)) >= rank]

    def show(who: Account) -> dict[str, Any]:
        return shapes.account(who, call.world) | {
            "permissions": shapes.permissions(repo.role(who)),
            "role_name": repo.role_name(who),
        }

    return call.page(people, show)


@serves("repos/list-teams", ("administration", "read"), role="admin")
def _teams(call: Call) -> Answer:
    return call.page(call.repo.teams, lambda each: shapes.team(each, call.world))


# -- branches and rules ----------------------------------------------------------------------


def _branch(call: Call, name: str, sha: str) -> dict[str, Any]:
    repo = call.repo
    bound = bool(binding(repo.all_rulesets(), f"refs/heads/{name}", repo))
    api = f"{call.world.api_url}/repos/{repo.full_name}"
    return {
        "name": name,
        "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
        "protected": bound,
    }


@serves("repos/list-branches", ("contents", "read"))
def _branches(call: Call) -> Answer:
    refs = call.repo.bare.refs("refs/heads/")
    rows = [(ref.removeprefix("refs/heads/"), sha) for ref, sha in refs.items()]
    return call.page(rows, lambda row: _branch(call, *row))


@serves("repos/get-branch", ("contents", "read"))
def _get_branch(call: Call) -> Answer:
    name = call.path["branch"]
    sha = call.repo.branch(name)
    if sha is None:
        raise Refusal(404, "Branch not found")
    api = f"{call.world.api_url}/repos/{call.repo.full_name}"
    shown = _branch(call, name, sha) | {
        "commit": commit(call.repo, sha),
        "_links": {"html": f"{call.repo.url}/tree/{name}", "self": f"{api}/branches/{name}"},
        "protection": {"enabled": False},
        "protection_url": f"{api}/branches/{name}/protection",
    }
    return Answer(200, shown)


@serves("repos/get-branch-protection", ("administration", "read"), role="admin")
def _protection(call: Call) -> Answer:
    if call.repo.branch(call.path["branch"]) is None:
        raise Refusal(404, "Branch not found")
    found = call.repo.protections.get(call.path["branch"])
    if found is None:
        raise Refusal(404, "Branch not protected")
    return Answer(200, found)


def _check_paid(repo: Repository) -> None:
    if repo.free:
        raise Refusal(
            403, "Upgrade to GitHub Pro or make this repository public to enable this feature."
        )


@serves("repos/get-branch-rules", _READ)
def _branch_rules(call: Call) -> Answer:
    repo = call.repo
    _check_paid(repo)
    rows = binding(repo.all_rulesets(), f"refs/heads/{call.path['branch']}", repo)
    return call.page(rows, lambda row: shapes.rule(*row))


def _ruleset(call: Call) -> Ruleset:
    for each in call.repo.all_rulesets():
        if str(each.id) == call.path["ruleset_id"]:
            return each
    raise not_found()


def _may_administer(call: Call) -> bool:
    token = call.token
    if token is None or not token.allows("administration", "write"):
        return False
    return not token.is_user or call.repo.role(token.actor) == "admin"


@serves("repos/get-repo-rulesets", _READ)
def _rulesets(call: Call) -> Answer:
    _check_paid(call.repo)
    inherited = call.query.get("includes_parents", "true") == "true"
    found = call.repo.all_rulesets() if inherited else call.repo.rulesets
    return call.page(found, lambda each: shapes.ruleset(each, full=False))


@serves("repos/get-repo-ruleset", _READ)
def _get_ruleset(call: Call) -> Answer:
    return Answer(200, shapes.ruleset(_ruleset(call), may_see_bypass=_may_administer(call)))


def _check_ruleset(call: Call, own: Ruleset | None) -> None:
    """GitHub takes a name once, and for a bypass only an App that is installed there."""
    repo, data = call.repo, call.data
    _check_paid(repo)
    if any(each.name == data.get("name") and each is not own for each in repo.rulesets):
        raise Refusal(422, "Validation Failed", ["Name must be unique"])
    installed = {
        app.id
        for app in call.world.apps.values()
        if any(each.reaches(repo) for each in app.installations)
    }
    for row in data.get("bypass_actors") or []:
        if row["actor_type"] == "Integration" and row["actor_id"] not in installed:
            said = "Actor GitHub App integration must be part of the ruleset source or owner org"
            raise Refusal(422, "Validation Failed", [said])


@serves("repos/create-repo-ruleset", ("administration", "write"), role="admin")
def _create_ruleset(call: Call) -> Answer:
    refs = (call.data.get("conditions") or {}).get("ref_name", {})
    _check_ruleset(call, None)
    made = Ruleset(
        call.world.number(),
        call.data["name"],
        call.repo,
        call.data.get("rules", []),
        refs.get("include", []),
        refs.get("exclude", []),
        call.data.get("bypass_actors", []),
        call.data.get("target", "branch"),
        call.data["enforcement"],
    )
    call.repo.rulesets.append(made)
    return Answer(201, shapes.ruleset(made, may_see_bypass=True))


@serves("repos/update-repo-ruleset", ("administration", "write"), role="admin")
def _update_ruleset(call: Call) -> Answer:
    found, data = _ruleset(call), call.data
    _check_ruleset(call, found)
    refs = (data.get("conditions") or {}).get("ref_name", {})
    found.name = data.get("name", found.name)
    found.enforcement = data.get("enforcement", found.enforcement)
    found.rules = data.get("rules", found.rules)
    found.bypass = data.get("bypass_actors", found.bypass)
    found.include = refs.get("include", found.include)
    found.exclude = refs.get("exclude", found.exclude)
    return Answer(200, shapes.ruleset(found, may_see_bypass=True))


@serves("repos/delete-repo-ruleset", ("administration", "write"), role="admin")
def _delete_ruleset(call: Call) -> Answer:
    call.repo.rulesets.remove(_ruleset(call))
    return Answer(204)


# -- commits and files -----------------------------------------------------------------------


def commit(repo: Repository, sha: str) -> dict[str, Any]:
    """A commit as `repos/get-commit` gives it."""
    form = "%T%x00%an%x00%ae%x00%aI%x00%P%x00%B"
    told = repo.bare.about(sha, form).split("\0")
    tree, name, mail, at, parents, message = told
    who = {"name": name, "email": mail, "date": at}
    api = f"{repo.world.api_url}/repos/{repo.full_name}"
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{api}/commits/{sha}",
        "html_url": f"{repo.url}/commit/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "author": None,
        "committer": None,
        "commit": {
            "url": f"{api}/git/commits/{sha}",
            "message": message.strip("\n"),
            "author": who,
            "committer": who,
            "comment_count": 0,
            "tree": {"sha": tree, "url": f"{api}/git/trees/{tree}"},
        },
        "parents": [{"sha": each, "url": f"{api}/commits/{each}"} for each in parents.split()],
    }


def named(repo: Repository, ref: str) -> str:
    """The commit that a branch, tag, ref or sha names. Raises the 422 of an unknown one."""
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref, f"refs/{ref}"):
        sha = repo.bare.sha(f"{name}^{{commit}}")
        if sha is not None:
            return sha
    raise Refusal(422, f"No commit found for SHA: {ref}")


@serves("repos/get-commit", ("contents", "read"))
def _get_commit(call: Call) -> Answer:
    return Answer(200, commit(call.repo, named(call.repo, call.path["ref"])))


@serves("repos/list-commits", ("contents", "read"))
def _commits(call: Call) -> Answer:
    repo = call.repo
    start = named(repo, call.query.get("sha", repo.default_branch))
    paths = ["--", call.query["path"]] if "path" in call.query else []
    found = repo.bare.run("rev-list", start, *paths).split()
    return call.page(found, lambda sha: commit(repo, sha))


@serves("repos/get-content", ("contents", "read"))
def _content(call: Call) -> Answer:
    repo, path = call.repo, call.path["path"].strip("/")
    ref = call.query.get("ref")
    try:
        tip = named(repo, ref or repo.default_branch)
    except Refusal:
        raise Refusal(404, f"No commit found for the ref {ref}") from None
    sha = repo.bare.sha(f"{tip}:{path}")
    if sha is None:
        raise not_found()
    if repo.bare.kind(sha) == "blob":
        return Answer(200, shapes.blob(repo, sha, path))
    rows = []
    for line in repo.bare.run("ls-tree", "-l", sha).splitlines():
        about, _, name = line.partition("\t")
        _, kind, inner, size = about.split()
        where = f"{path}/{name}".strip("/")
        rows.append(
            shapes.entry(
                repo,
                inner,
                where,
                "file" if kind == "blob" else "dir",
                0 if size == "-" else int(size),
            )
        )
    return Answer(200, rows)


@serves("repos/create-or-update-file-contents", ("contents", "write"))
def _write(call: Call) -> Answer:
    path = call.path["path"]
    try:
        content = base64.b64decode(call.data["content"], validate=False)
    except binascii.Error:
        raise Refusal(422, "content is not valid Base64") from None
    former = _former(call)
    sha = _commit_file(call, content)
    return Answer(201 if former is None else 200, _written(call, sha, path))


@serves("repos/delete-file", ("contents", "write"))
def _delete_file(call: Call) -> Answer:
    if _former(call) is None:
        raise not_found()
    sha = _commit_file(call, None)
    return Answer(200, _written(call, sha, None))


def _former(call: Call) -> str | None:
    """The blob that is there now; it must be the one the request names."""
    branch = call.data.get("branch", call.repo.default_branch)
    former = call.repo.bare.sha(f"refs/heads/{branch}:{call.path['path']}")
    given = call.data.get("sha")
    if former is not None and given is None:
        raise Refusal(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if given != former:
        raise Refusal(409, f"{call.path['path']} does not match {given}")
    return former


def _commit_file(call: Call, content: bytes | None) -> str:
    repo = call.repo
    branch = call.data.get("branch", repo.default_branch)
    ref, old = f"refs/heads/{branch}", repo.branch(branch)
    if old is None:
        raise Refusal(404, f"Branch {branch} not found")
    sha = repo.bare.commit(
        "refs/tests/proposed",
        {call.path["path"]: content},
        call.data["message"],
        call.world.clock.now(),
        signature(call.actor),
        [old],
    )
    repo.bare.delete_ref("refs/tests/proposed")
    repo.check_rules([(ref, old, sha)], status=409)
    repo.bare.set_ref(ref, sha, old)
    repo.noticed(call.actor)
    return sha


def _written(call: Call, sha: str, path: str | None) -> dict[str, Any]:
    repo = call.repo
    whole = commit(repo, sha)
    blob = repo.bare.sha(f"{sha}:{path}") if path else None
    shown = {
        "sha": sha,
        "node_id": whole["node_id"],
        "url": whole["commit"]["url"],
        "html_url": whole["html_url"],
        "author": whole["commit"]["author"],
        "committer": whole["commit"]["committer"],
        "message": whole["commit"]["message"],
        "tree": whole["commit"]["tree"],
        "parents": whole["parents"],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }
    content = None
    if path and blob:
        content = shapes.blob(repo, blob, path)
        content = {k: v for k, v in content.items() if k not in ("encoding", "content")}
    return {"content": content, "commit": shown}


# -- statuses and checks ---------------------------------------------------------------------


@serves("repos/create-commit-status", ("statuses", "write"))
def _create_status(call: Call) -> Answer:
    sha = call.repo.bare.sha(f"{call.path['sha']}^{{commit}}")
    if sha is None:
        raise Refusal(422, f"No commit found for SHA: {call.path['sha']}")
    description = call.data.get("description")
    if description is not None and len(description) > 140:
        raise Refusal(
            422, "Validation Failed", ["description is too long (maximum is 140 characters)"]
        )
    made = Status(
        call.world.number(),
        sha,
        call.data.get("context", "default"),
        call.data["state"],
        description,
        call.data.get("target_url"),
        call.actor,
        call.world.clock.now(),
    )
    call.repo.statuses.append(made)
    return Answer(201, shapes.status(made, call.repo))


def _statuses(call: Call) -> list[Status]:
    sha = named(call.repo, call.path["ref"])
    return [each for each in reversed(call.repo.statuses) if each.sha == sha]


@serves("repos/list-commit-statuses-for-ref", ("statuses", "read"))
def _list_statuses(call: Call) -> Answer:
    return call.page(_statuses(call), lambda each: shapes.status(each, call.repo))


@serves("repos/get-combined-status-for-ref", ("statuses", "read"))
def _combined(call: Call) -> Answer:
    latest: dict[str, Status] = {}
    for each in _statuses(call):
        latest.setdefault(each.context, each)
    states = {each.state for each in latest.values()}
    state = "pending" if not states or "pending" in states else "success"
    state = "failure" if states & {"failure", "error"} else state
    sha = named(call.repo, call.path["ref"])
    shown = []
    for each in latest.values():
        row = shapes.status(each, call.repo)
        row.pop("creator")
        shown.append(row)
    api = f"{call.world.api_url}/repos/{call.repo.full_name}"
    return Answer(
        200,
        {
            "state": state,
            "statuses": shown,
            "sha": sha,
            "total_count": len(shown),
            "repository": shapes.repository(call.repo, schema="minimal-repository"),
            "commit_url": f"{api}/commits/{sha}",
            "url": f"{api}/commits/{sha}/status",
        },
    )


@serves("checks/create", ("checks", "write"))
def _create_check(call: Call) -> Answer:
    if call.token is None or call.token.app is None:
        raise Refusal(403, "You must authenticate via a GitHub App.")
    sha = named(call.repo, call.data["head_sha"])
    made = CheckRun(
        call.world.number(), sha, dict(call.data), call.token.app, call.world.clock.now()
    )
    call.repo.check_runs.append(made)
    return Answer(201, shapes.check_run(made, call.repo))


def _check(call: Call) -> CheckRun:
    for each in call.repo.check_runs:
        if str(each.id) == call.path["check_run_id"]:
            return each
    raise not_found()


@serves("checks/update", ("checks", "write"))
def _update_check(call: Call) -> Answer:
    found = _check(call)
    if call.token is None or call.token.app is not found.token_app:
        raise Refusal(
            403,
            "Invalid app_id `"
            + str(found.token_app.id)
            + "` - check run can only be modified by the GitHub App that created it.",
        )
    found.facts |= call.data
    return Answer(200, shapes.check_run(found, call.repo))


@serves("checks/get", ("checks", "read"))
def _get_check(call: Call) -> Answer:
    return Answer(200, shapes.check_run(_check(call), call.repo))


@serves("checks/list-for-ref", ("checks", "read"))
def _checks(call: Call) -> Answer:
    sha = named(call.repo, call.path["ref"])
    wanted = call.query.get("check_name")
    found = [
        each
        for each in reversed(call.repo.check_runs)
        if each.sha == sha and wanted in (None, each.facts.get("name"))
    ]
    return call.page(found, lambda each: shapes.check_run(each, call.repo), "check_runs")


# -- environments and dispatches -------------------------------------------------------------


@serves("repos/get-all-environments", ("actions", "read"))
def _environments(call: Call) -> Answer:
    found = list(call.repo.environments.values())
    return call.page(found, lambda each: shapes.environment(each, call.repo), "environments")


@serves("repos/get-environment", ("actions", "read"))
def _environment(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None:
        raise not_found()
    return Answer(200, shapes.environment(found, call.repo))


@serves("repos/list-deployment-branch-policies", ("actions", "read"))
def _branch_policies(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None:
        raise not_found()
    rows = [
        {"id": found.id + index, "node_id": f"EBP_{index}", "name": name, "type": "branch"}
        for index, name in enumerate(found.branches or [])
    ]
    return call.page(rows, lambda row: row, "branch_policies")


@serves("repos/create-or-update-environment", ("administration", "write"), role="admin")
def _put_environment(call: Call) -> Answer:
    """What is left out is taken away: reviewers, timer, branches."""
    repo, data = call.repo, call.data or {}
    _check_environments(repo)
    name = call.path["environment_name"]
    limits = data.get("deployment_branch_policy")
    if limits and limits["protected_branches"] == limits["custom_branch_policies"]:
        raise Refusal(422, "Validation Failed", ["they cannot both be the same"])
    found = repo.environments.get(name) or repo.environment(name)
    found.reviewers = []
    found.protected_branches = bool(limits and limits["protected_branches"])
    custom = bool(limits and limits["custom_branch_policies"])
    found.branches = (found.branches or []) if custom else None
    return Answer(200, shapes.environment(found, repo))


def _check_environments(repo: Repository) -> None:
    if repo.free:
        raise not_found()


@serves("repos/delete-an-environment", ("administration", "write"), role="admin")
def _delete_environment(call: Call) -> Answer:
    if call.repo.environments.pop(call.path["environment_name"], None) is None:
        raise not_found()
    return Answer(204)


@serves("repos/create-deployment-branch-policy", ("administration", "write"), role="admin")
def _add_branch_policy(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None or found.branches is None:
        raise not_found()
    name = call.data["name"]
    if name in found.branches:
        raise Refusal(303, "Already exists")
    found.branches.append(name)
    number = len(found.branches) - 1
    row = {"id": found.id + number, "node_id": f"EBP_{number}", "name": name, "type": "branch"}
    return Answer(200, row)


@serves("repos/create-dispatch-event", ("contents", "write"))
def _dispatch(call: Call) -> Answer:
    call.repo.repository_dispatch(
        call.actor, call.data["event_type"], call.data.get("client_payload", {})
    )
    return Answer(204)
