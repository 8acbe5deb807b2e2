"""Actions: workflows, their dispatch, and the settings that bite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tests.github import shapes
from tests.github.accounts import Organisation, Refusal, not_found
from tests.github.repository import Environment
from tests.github.rest.route import Answer, Call, serves
from tests.github.runs import Attempt, Run

_READ, _WRITE = ("actions", "read"), ("actions", "write")
_ADMIN = ("administration", "read")
#: The characters that all inputs of a dispatch may have together.
_PAYLOAD = 65_535


@serves("actions/get-github-actions-permissions-repository", _ADMIN, role="admin")
def _permissions(call: Call) -> Answer:
    repo = call.repo
    shown: dict[str, Any] = {"enabled": repo.actions_enabled}
    if repo.actions_enabled:
        shown |= {"allowed_actions": repo.allowed_actions, "sha_pinning_required": False}
    return Answer(200, shown)


@serves("actions/get-github-actions-default-workflow-permissions-repository", _ADMIN, role="admin")
def _workflow_permissions(call: Call) -> Answer:
    return Answer(
        200,
        {
            "default_workflow_permissions": call.repo.default_workflow_permissions,
            "can_approve_pull_request_reviews": call.repo.actions_may_open_pull_requests,
        },
    )


@serves(
    "actions/set-github-actions-default-workflow-permissions-repository",
    ("administration", "write"),
    role="admin",
)
def _set_workflow_permissions(call: Call) -> Answer:
    repo, data = call.repo, call.data
    repo.default_workflow_permissions = data.get(
        "default_workflow_permissions", repo.default_workflow_permissions
    )
    repo.actions_may_open_pull_requests = data.get(
        "can_approve_pull_request_reviews", repo.actions_may_open_pull_requests
    )
    return Answer(204)


def _workflow(call: Call, path: str) -> dict[str, Any]:
    repo = call.repo
    number = sum(path.encode()) + repo.id
    at = shapes.moment(call.world.clock.now())
    name = path.rsplit("/", 1)[-1]
    return {
        "id": number,
        "node_id": f"W_{number}",
        "name": name,
        "path": path,
        "state": repo.workflow_states.get(name, "active"),
        "created_at": at,
        "updated_at": at,
        "url": f"{call.world.api_url}/repos/{repo.full_name}/actions/workflows/{number}",
        "html_url": f"{repo.url}/blob/{repo.default_branch}/{path}",
        "badge_url": f"{repo.url}/workflows/{name}/badge.svg",
    }


def _find(call: Call) -> dict[str, Any]:
    wanted = call.path["workflow_id"]
    for path in call.repo.workflows():
        shown = _workflow(call, path)
        if wanted in (str(shown["id"]), shown["name"], shown["path"]):
            return shown
    raise not_found()


@serves("actions/list-repo-workflows", _READ)
def _workflows(call: Call) -> Answer:
    return call.page(call.repo.workflows(), lambda path: _workflow(call, path), "workflows")


@serves("actions/get-workflow", _READ)
def _get_workflow(call: Call) -> Answer:
    return Answer(200, _find(call))


@serves("actions/create-workflow-dispatch", _WRITE)
def _dispatch(call: Call) -> Answer:
    """The file must be on the default branch to be found, and on the ref to be run."""
    found, data = _find(call), call.data
    ref = data["ref"].removeprefix("refs/heads/")
    if call.repo.branch(ref) is None:
        raise Refusal(422, f"No ref found for: {data['ref']}")
    if call.repo.file(found["path"], f"refs/heads/{ref}") is None:
        raise Refusal(422, "Workflow does not exist on the given ref")
    if len(data.get("inputs", {})) > 25:
        raise Refusal(422, "you may only define up to 25 `inputs` for a `workflow_dispatch` event")
    _check_inputs(data.get("inputs", {}), call.repo.file(found["path"], f"refs/heads/{ref}") or "")
    call.repo.dispatch(call.actor, found["name"], ref, data.get("inputs", {}))
    return Answer(204)


def _check_inputs(given: dict[str, Any], text: str) -> None:
    if sum(len(name) + len(str(value)) for name, value in given.items()) > _PAYLOAD:
        raise Refusal(422, "inputs are too large.")
    on = yaml.load(text, yaml.BaseLoader).get("on")  # noqa: S506 - it makes only text
    trigger = on.get("workflow_dispatch") if isinstance(on, dict) else None
    known = trigger.get("inputs", {}) if isinstance(trigger, dict) else {}
    if unexpected := sorted(given.keys() - known.keys()):
        raise Refusal(422, f"Unexpected inputs provided: {unexpected}")


@serves("actions/get-workflow-run", _READ)
def _run(call: Call) -> Answer:
    run = _found_run(call)
    return Answer(200, _shown_run(call, run, run.attempts[-1]))


@serves("actions/get-workflow-run-attempt", _READ)
def _run_attempt(call: Call) -> Answer:
    run, number = _found_run(call), int(call.path["attempt_number"])
    if not 0 < number <= len(run.attempts):
        raise not_found()
    return Answer(200, _shown_run(call, run, run.attempts[number - 1]))


@serves("actions/list-workflow-runs", _READ)
def _runs(call: Call) -> Answer:
    """The newest first, of one workflow file."""
    path, query = _find(call)["path"], call.query
    found = [
        each
        for each in call.repo.runs.values()
        if each.path == path and query.get("event") in (None, each.event)
    ]
    found.sort(key=lambda each: -each.id)
    return call.page(found, lambda run: _shown_run(call, run, run.attempts[-1]), "workflow_runs")


def _found_run(call: Call) -> Run:
    found = call.repo.runs.get(int(call.path["run_id"]))
    if found is None:
        raise not_found()
    return found


def _shown_run(call: Call, run: Run, attempt: Attempt) -> dict[str, Any]:
    world, repo = call.world, call.repo
    at = shapes.moment(attempt.at)
    api = f"{world.api_url}/repos/{repo.full_name}/actions/runs/{run.id}"
    given = {
        "id": run.id,
        "node_id": f"WFR_{run.id}",
        "name": run.path.rsplit("/", 1)[-1],
        "display_title": run.title,
        "path": run.path,
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion if run.status == "completed" else None,
        "run_number": 1,
        "run_attempt": attempt.number,
        "workflow_id": sum(run.path.encode()) + repo.id,
        "actor": shapes.account(run.actor, world),
        "triggering_actor": shapes.account(attempt.by, world),
        "created_at": at,
        "updated_at": at,
        "run_started_at": at,
        "url": api,
        "html_url": f"{repo.url}/actions/runs/{run.id}",
        "pull_requests": [],
        "head_commit": None,
        "repository": shapes.repository(repo, schema="minimal-repository"),
        "head_repository": shapes.repository(repo, schema="minimal-repository"),
    }
    return shapes.REST.filled("workflow-run", given, api)


@serves("actions/list-repo-secrets", ("secrets", "read"), role="write")
def _secrets(call: Call) -> Answer:
    return call.page(sorted(call.repo.secrets), lambda name: _secret(call, name), "secrets")


def _secret(call: Call, name: str) -> dict[str, Any]:
    at = shapes.moment(call.world.clock.now())
    return {"name": name, "created_at": at, "updated_at": at}


@serves("actions/get-repo-secret", ("secrets", "read"), role="write")
def _get_secret(call: Call) -> Answer:
    if call.path["secret_name"] not in call.repo.secrets:
        raise not_found()
    return Answer(200, _secret(call, call.path["secret_name"]))


@serves("actions/list-environment-secrets", ("environments", "read"), role="write")
def _environment_secrets(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None:
        raise not_found()
    return call.page(sorted(found.secrets), lambda name: _secret(call, name), "secrets")


@serves("actions/get-environment-secret", ("environments", "read"), role="write")
def _environment_secret(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None or call.path["secret_name"] not in found.secrets:
        raise not_found()
    return Answer(200, _secret(call, call.path["secret_name"]))


def _environment_of(call: Call) -> Environment:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None:
        raise not_found()
    return found


@serves("actions/get-environment-public-key", ("environments", "read"), role="write")
def _environment_key(call: Call) -> Answer:
    return Answer(200, {"key_id": _environment_of(call).key_id, "key": _environment_of(call).key})


@serves("actions/create-or-update-environment-secret", ("environments", "write"), role="write")
def _put_secret(call: Call) -> Answer:
    """A value that isn't sealed with the environment's own key is refused."""
    found, name = _environment_of(call), call.path["secret_name"]
    value = found.opened(call.data["key_id"], call.data["encrypted_value"])
    if value is None:
        raise Refusal(422, "The secret's value could not be decrypted")
    is_new = name not in found.secrets
    found.secrets.add(name)
    found.values[name] = value
    return Answer(201 if is_new else 204, {} if is_new else None)


@serves("actions/create-environment-variable", ("environments", "write"), role="write")
def _add_variable(call: Call) -> Answer:
    found, data = _environment_of(call), call.data
    if data["name"] in found.variables:
        raise Refusal(409, f"Already exists - Variable {data['name']} already exists")
    found.variables[data["name"]] = data["value"]
    return Answer(201, {})


@serves("actions/update-environment-variable", ("environments", "write"), role="write")
def _set_variable(call: Call) -> Answer:
    found, name = _environment_of(call), call.path["name"]
    if name not in found.variables:
        raise not_found()
    found.variables[name] = call.data["value"]
    return Answer(204)


@serves("actions/list-repo-variables", ("variables", "read"), role="write")
def _variables(call: Call) -> Answer:
    return _values(call, call.repo.variables)


def _values(call: Call, held: Mapping[str, str]) -> Answer:
    def show(row: tuple[str, str]) -> dict[str, Any]:
        return {**_secret(call, row[0]), "value": row[1]}

    return call.page(sorted(held.items()), show, "variables")


@serves("actions/list-environment-variables", ("environments", "read"), role="write")
def _environment_variables(call: Call) -> Answer:
    found = call.repo.environments.get(call.path["environment_name"])
    if found is None:
        raise not_found()
    return _values(call, found.variables)


def _holder(call: Call) -> Organisation:
    owner = call.repo.owner
    assert isinstance(owner, Organisation), "on github.com this is an organisation's alone"
    return owner


@serves("actions/list-repo-organization-secrets", ("secrets", "read"), role="write")
def _organisation_secrets(call: Call) -> Answer:
    return call.page(sorted(_holder(call).secrets), lambda name: _secret(call, name), "secrets")


@serves("actions/list-repo-organization-variables", ("variables", "read"), role="write")
def _organisation_variables(call: Call) -> Answer:
    return _values(call, _holder(call).variables)
