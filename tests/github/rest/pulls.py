"""Pull requests and their reviews."""

from __future__ import annotations

from tests.github import shapes
from tests.github.accounts import Refusal, not_found
from tests.github.conversation import Review
from tests.github.pulls import state_of
from tests.github.rest.issues import change_state
from tests.github.rest.repos import commit
from tests.github.rest.route import Answer, Call, may_edit, serves

READ, WRITE = ("pull_requests", "read"), ("pull_requests", "write")


@serves("pulls/list", READ)
def _list(call: Call) -> Answer:
    state, head, base = (call.query.get(name) for name in ("state", "head", "base"))
    found = [
        each
        for each in call.repo.pulls
        if (state or "open") in ("all", each.state)
        and head in (None, each.head_label)
        and base in (None, each.base_ref)
    ]
    if call.query.get("sort") == "updated":
        found.sort(key=lambda each: each.updated_at)
    default = "desc" if call.query.get("sort", "created") == "created" else "asc"
    if call.query.get("direction", default) == "desc":
        found.reverse()
    return call.page(found, lambda each: shapes.pull(each, full=False))


@serves("pulls/create", WRITE, role="read")
def _create(call: Call) -> Answer:
    data = call.data
    made = call.repo.open_pull_request(
        call.actor,
        data["head"],
        data["base"],
        data.get("title", ""),
        data.get("body") or "",
        data.get("draft", False),
    )
    return Answer(201, shapes.pull(made))


@serves("pulls/get", READ)
def _get(call: Call) -> Answer:
    return Answer(200, shapes.pull(call.pull))


@serves("pulls/update", WRITE, role="read")
def _update(call: Call) -> Answer:
    pull, data = call.pull, call.data
    assert call.token is not None
    may_edit(call.token, pull.author, call.repo, "triage")
    pull.edit(call.actor, data.get("body"), data.get("title"))
    if "base" in data:
        pull.retarget(call.actor, data["base"])
    change_state(pull, call, data.get("state"))
    return Answer(200, shapes.pull(pull))


@serves("pulls/check-if-merged", READ)
def _is_merged(call: Call) -> Answer:
    if not call.pull.merged:
        raise not_found()
    return Answer(204)


@serves("pulls/merge", ("contents", "write"))
def _merge(call: Call) -> Answer:
    data = call.data
    message = data.get("commit_title")
    if message and data.get("commit_message"):
        message += f"\n\n{data['commit_message']}"
    method = data.get("merge_method", "merge")
    sha = call.pull.merge(call.actor, method, data.get("sha"), message)
    return Answer(200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


@serves("pulls/list-commits", READ)
def _commits(call: Call) -> Answer:
    pull = call.pull
    found = call.repo.bare.between(pull.base_sha, pull.head_sha)
    return call.page(found[::-1], lambda sha: commit(call.repo, sha))


@serves("pulls/list-files", READ)
def _files(call: Call) -> Answer:
    pull = call.pull
    base = call.repo.bare.run("merge-base", pull.base_sha, pull.head_sha)
    rows = call.repo.bare.run("diff", "--raw", "--no-renames", "--abbrev=40", base, pull.head_sha)
    words = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}

    def show(row: str) -> dict[str, object]:
        about, path = row.split("\t")
        sha, kind = about.split()[3:5]
        api = f"{call.world.api_url}/repos/{call.repo.full_name}"
        return {
            "sha": sha,
            "filename": path,
            "status": words[kind],
            "additions": 0,
            "deletions": 0,
            "changes": 0,
            "blob_url": f"{call.repo.url}/blob/{pull.head_sha}/{path}",
            "raw_url": f"{call.repo.url}/raw/{pull.head_sha}/{path}",
            "contents_url": f"{api}/contents/{path}?ref={pull.head_sha}",
        }

    return call.page(rows.splitlines(), show)


# -- reviewers -------------------------------------------------------------------------------


@serves("pulls/list-requested-reviewers", READ)
def _requested(call: Call) -> Answer:
    world = call.world
    return Answer(
        200,
        {
            "users": [shapes.account(each, world) for each in call.pull.requested],
            "teams": [shapes.team(each, world) for each in call.pull.requested_teams],
        },
    )


@serves("pulls/request-reviewers", WRITE)
def _request(call: Call) -> Answer:
    pull, data = call.pull, call.data
    pull.request(call.actor, data.get("reviewers", []), data.get("team_reviewers", []))
    return Answer(201, shapes.pull(pull, full=False))


@serves("pulls/remove-requested-reviewers", WRITE)
def _unrequest(call: Call) -> Answer:
    call.pull.unrequest(call.data.get("reviewers", []), call.data.get("team_reviewers", []))
    return Answer(200, shapes.pull(call.pull, full=False))


# -- reviews ---------------------------------------------------------------------------------


def _visible(call: Call) -> list[Review]:
    actor = call.token.actor if call.token else None
    return [r for r in call.pull.reviews if r.state != "PENDING" or r.author is actor]


def _review(call: Call) -> Review:
    for each in _visible(call):
        if str(each.id) == call.path["review_id"]:
            return each
    raise not_found()


@serves("pulls/list-reviews", READ)
def _reviews(call: Call) -> Answer:
    return call.page(_visible(call), shapes.review)


@serves("pulls/get-review", READ)
def _get_review(call: Call) -> Answer:
    return Answer(200, shapes.review(_review(call)))


@serves("pulls/create-review", WRITE, role="read")
def _create_review(call: Call) -> Answer:
    data = call.data
    state = state_of(data["event"]) if "event" in data else "PENDING"
    made = call.pull.review(call.actor, state, data.get("body") or "", data.get("commit_id"))
    return Answer(200, shapes.review(made))


@serves("pulls/submit-review", WRITE, role="read")
def _submit(call: Call) -> Answer:
    found = _review(call)
    if found.state != "PENDING":
        raise Refusal(422, "Unprocessable Entity", ["Can not submit a submitted review"])
    call.pull.submit(found, state_of(call.data["event"]), call.data.get("body"))
    return Answer(200, shapes.review(found))


@serves("pulls/update-review", WRITE, role="read")
def _edit_review(call: Call) -> Answer:
    found = _review(call)
    assert call.token is not None
    may_edit(call.token, found.author, call.repo)
    found.edit(call.data["body"], call.actor)
    return Answer(200, shapes.review(found))


@serves("pulls/dismiss-review", WRITE)
def _dismiss(call: Call) -> Answer:
    found = _review(call)
    found.dismiss(call.actor, call.data["message"])
    return Answer(200, shapes.review(found))
