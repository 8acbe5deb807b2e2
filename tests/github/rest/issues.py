"""Issues, and what pull requests share with them: comments, labels, reactions, the timeline."""

from __future__ import annotations

from typing import Any

from tests.github import shapes
from tests.github.accounts import Refusal, not_found
from tests.github.conversation import Comment, Issue, TimelineItem, Written
from tests.github.rest.route import Answer, Call, may_edit, serves

#: What is said on a pull request may be said with either permission.
READ = (("issues", "read"), ("pull_requests", "read"))
WRITE = (("issues", "write"), ("pull_requests", "write"))


@serves("issues/list-for-repo", *READ)
def _list(call: Call) -> Answer:
    state = call.query.get("state", "open")
    labels = [name for name in call.query.get("labels", "").split(",") if name]
    creator = call.query.get("creator")
    found = [
        each
        for each in reversed(call.repo.issues.values())
        if state in ("all", each.state)
        and all(name in each.labels for name in labels)
        and creator in (None, each.author.login)
    ]
    return call.page(found, shapes.issue)


@serves("issues/create", ("issues", "write"), role="read")
def _create(call: Call) -> Answer:
    made = call.repo.open_issue(call.actor, str(call.data["title"]), call.data.get("body") or "")
    names = [
        each if isinstance(each, str) else each["name"] for each in call.data.get("labels", [])
    ]
    made.label(call.actor, *names)
    _assign(call, made, call.data.get("assignees"))
    return Answer(201, shapes.issue(made))


@serves("issues/get", *READ)
def _get(call: Call) -> Answer:
    return Answer(200, shapes.issue(call.issue))


@serves("issues/update", *WRITE, role="read")
def _update(call: Call) -> Answer:
    issue = call.issue
    assert call.token is not None
    may_edit(call.token, issue.author, call.repo, "triage")
    title = call.data.get("title")
    issue.edit(call.actor, call.data.get("body"), None if title is None else str(title))
    change_state(issue, call, call.data.get("state"), call.data.get("state_reason"))
    if "labels" in call.data:
        _set_labels(call, issue, _names(call.data["labels"]))
    _assign(call, issue, call.data.get("assignees"))
    return Answer(200, shapes.issue(issue))


def change_state(issue: Issue, call: Call, state: str | None, reason: str | None = None) -> None:
    if state == "closed":
        issue.close(call.actor, reason=reason)
    elif state == "open":
        issue.reopen(call.actor)


def _assign(call: Call, issue: Issue, logins: list[str] | None) -> None:
    if logins is not None:
        found = [call.world.find_account(login) for login in logins]
        issue.assignees = [each for each in found if each is not None]


# -- comments --------------------------------------------------------------------------------


@serves("issues/list-comments", *READ)
def _comments(call: Call) -> Answer:
    since = call.query.get("since", "")
    found = [c for c in call.issue.comments if str(shapes.moment(c.updated_at)) >= since]
    return call.page(found, shapes.comment)


@serves("issues/list-comments-for-repo", *READ)
def _all_comments(call: Call) -> Answer:
    since = call.query.get("since", "")
    found = [c for issue in call.repo.issues.values() for c in issue.comments]
    found = [c for c in found if str(shapes.moment(c.updated_at)) >= since]
    newest_first = call.query.get("direction") == "desc"
    if "sort" in call.query:
        moved = call.query["sort"] == "updated"
        found.sort(key=lambda c: c.updated_at if moved else c.created_at, reverse=newest_first)
    return call.page(found, shapes.comment)


@serves("issues/create-comment", *WRITE, role="read")
def _create_comment(call: Call) -> Answer:
    return Answer(201, shapes.comment(call.issue.comment(call.actor, call.data["body"])))


def comment_of(call: Call) -> Comment:
    for issue in call.repo.issues.values():
        for each in issue.comments:
            if str(each.id) == call.path["comment_id"]:
                return each
    raise not_found()


@serves("issues/get-comment", *READ)
def _get_comment(call: Call) -> Answer:
    return Answer(200, shapes.comment(comment_of(call)))


@serves("issues/update-comment", *WRITE, role="read")
def _update_comment(call: Call) -> Answer:
    found = comment_of(call)
    assert call.token is not None
    may_edit(call.token, found.author, call.repo)
    found.edit(call.data["body"], call.actor)
    return Answer(200, shapes.comment(found))


@serves("issues/delete-comment", *WRITE, role="read")
def _delete_comment(call: Call) -> Answer:
    found = comment_of(call)
    assert call.token is not None
    may_edit(call.token, found.author, call.repo)
    found.delete(call.actor)
    return Answer(204)


# -- labels ----------------------------------------------------------------------------------


def _names(given: Any) -> list[str]:
    rows = given.get("labels", []) if isinstance(given, dict) else given or []
    return [each if isinstance(each, str) else each["name"] for each in rows]


def _shown(call: Call, issue: Issue) -> Answer:
    rows = [shapes.label(call.repo.label(name), call.repo) for name in issue.labels]
    return Answer(200, rows)


def _set_labels(call: Call, issue: Issue, names: list[str]) -> None:
    issue.unlabel(call.actor, *[name for name in issue.labels if name not in names])
    issue.label(call.actor, *names)


@serves("issues/list-labels-on-issue", *READ)
def _labels_on(call: Call) -> Answer:
    names = list(call.issue.labels)
    return call.page(names, lambda name: shapes.label(call.repo.label(name), call.repo))


@serves("issues/add-labels", *WRITE, role="triage")
def _add_labels(call: Call) -> Answer:
    call.issue.label(call.actor, *_names(call.body))
    return _shown(call, call.issue)


@serves("issues/set-labels", *WRITE, role="triage")
def _replace_labels(call: Call) -> Answer:
    _set_labels(call, call.issue, _names(call.body))
    return _shown(call, call.issue)


@serves("issues/remove-label", *WRITE, role="triage")
def _remove_label(call: Call) -> Answer:
    if call.path["name"] not in call.issue.labels:
        raise Refusal(404, "Label does not exist")
    call.issue.unlabel(call.actor, call.path["name"])
    return _shown(call, call.issue)


@serves("issues/remove-all-labels", *WRITE, role="triage")
def _remove_labels(call: Call) -> Answer:
    call.issue.unlabel(call.actor, *list(call.issue.labels))
    return Answer(204)


@serves("issues/list-labels-for-repo", *READ)
def _labels(call: Call) -> Answer:
    return call.page(list(call.repo.labels.values()), lambda row: shapes.label(row, call.repo))


@serves("issues/get-label", *READ)
def _get_label(call: Call) -> Answer:
    found = call.repo.labels.get(call.path["name"].lower())
    if found is None:
        raise not_found()
    return Answer(200, shapes.label(found, call.repo))


@serves("issues/create-label", *WRITE)
def _create_label(call: Call) -> Answer:
    name = call.data["name"]
    if name.lower() in call.repo.labels:
        raise Refusal(
            422,
            "Validation Failed",
            [{"resource": "Label", "code": "already_exists", "field": "name"}],
        )
    made = call.repo.label(name, call.data.get("color", "ededed"), call.data.get("description"))
    return Answer(201, shapes.label(made, call.repo))


# -- reactions -------------------------------------------------------------------------------


def _list_reactions(call: Call, of: Written) -> Answer:
    wanted = call.query.get("content")
    found = [each for each in of.reactions if wanted in (None, each.content)]
    return call.page(found, lambda each: shapes.reaction(each, call.world))


def _react(call: Call, to: Written) -> Answer:
    known = len(to.reactions)
    made = to.react(call.actor, call.data["content"])
    status = 201 if len(to.reactions) > known else 200
    return Answer(status, shapes.reaction(made, call.world))


def _unreact(call: Call, of: Written) -> Answer:
    for each in of.reactions:
        if str(each.id) == call.path["reaction_id"]:
            if each.by is not call.actor:
                raise Refusal(403, "You may only delete your own reactions.")
            of.reactions.remove(each)
            return Answer(204)
    raise not_found()


@serves("reactions/list-for-issue", *READ)
def _issue_reactions(call: Call) -> Answer:
    return _list_reactions(call, call.issue)


@serves("reactions/create-for-issue", *WRITE, role="read")
def _react_to_issue(call: Call) -> Answer:
    return _react(call, call.issue)


@serves("reactions/delete-for-issue", *WRITE, role="read")
def _unreact_issue(call: Call) -> Answer:
    return _unreact(call, call.issue)


@serves("reactions/list-for-issue-comment", *READ)
def _comment_reactions(call: Call) -> Answer:
    return _list_reactions(call, comment_of(call))


@serves("reactions/create-for-issue-comment", *WRITE, role="read")
def _react_to_comment(call: Call) -> Answer:
    return _react(call, comment_of(call))


@serves("reactions/delete-for-issue-comment", *WRITE, role="read")
def _unreact_comment(call: Call) -> Answer:
    return _unreact(call, comment_of(call))


# -- the timeline ----------------------------------------------------------------------------

_EVENTS = {
    "ClosedEvent": "closed",
    "ReopenedEvent": "reopened",
    "MergedEvent": "merged",
    "LabeledEvent": "labeled",
    "UnlabeledEvent": "unlabeled",
    "HeadRefDeletedEvent": "head_ref_deleted",
    "HeadRefForcePushedEvent": "head_ref_force_pushed",
    "BaseRefChangedEvent": "base_ref_changed",
    "BaseRefDeletedEvent": "base_ref_deleted",
    "RenamedTitleEvent": "renamed",
    "ReviewDismissedEvent": "review_dismissed",
    "ReviewRequestedEvent": "review_requested",
    "CommentDeletedEvent": "comment_deleted",
}


@serves("issues/list-events", *READ)
def _events(call: Call) -> Answer:
    return call.page(call.issue.timeline, lambda item: _event(item, call))


def _event(item: TimelineItem, call: Call) -> dict[str, Any]:
    """What REST shows of it: the closer is not among it, only its commit."""
    issue = call.issue
    commit = item.closer if isinstance(item.closer, str) else item.facts.get("commit")
    shown = {
        "id": item.id,
        "node_id": f"EV_{item.id}",
        "url": f"{call.world.api_url}/repos/{call.repo.full_name}/issues/events/{item.id}",
        "actor": shapes.account(item.by, call.world),
        "event": _EVENTS[item.kind],
        "commit_id": commit,
        "commit_url": None,
        "created_at": shapes.moment(item.at),
        "performed_via_github_app": None,
    }
    if item.kind == "ClosedEvent":
        shown["state_reason"] = issue.state_reason
    return shown | _event_facts(item, call)


def _event_facts(item: TimelineItem, call: Call) -> dict[str, Any]:
    facts = item.facts
    if "label" in facts:
        row = call.repo.label(facts["label"])
        return {"label": {"name": row["name"], "color": row["color"]}}
    if item.kind == "RenamedTitleEvent":
        return {"rename": {"from": facts["previous"], "to": facts["current"]}}
    if item.kind == "ReviewDismissedEvent":
        row = {
            "state": facts["previous"].lower(),
            "review_id": facts["review"].id,
            "dismissal_message": facts["message"],
        }
        return {"dismissed_review": row}
    return {}
