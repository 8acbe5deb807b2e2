"""GraphQL's mutations, each asking what its REST counterpart asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.github.accounts import Account, Refusal, Team
from tests.github.conversation import (
    REACTIONS,
    Comment,
    InlineComment,
    Issue,
    Review,
    Written,
    groups,
)
from tests.github.graphql import FIELDS, Asked, Group, Label, Root, found
from tests.github.pulls import PullRequest
from tests.github.repository import Repository
from tests.github.rest.route import Need, may_edit
from tests.github.shapes import label_id

_TALK: tuple[Need, ...] = (("issues", "write"), ("pull_requests", "write"))
_PULLS: tuple[Need, ...] = (("pull_requests", "write"),)
_CONTENT = {graphql: rest for rest, graphql in REACTIONS.items()}
Given = dict[str, Any]


def mutation(name: str) -> Callable[[Callable[[Asked, Given], Given]], None]:
    """Register a mutation: its input in, its payload out."""

    def register(perform: Callable[[Asked, Given], Given]) -> None:
        def resolver(root: Root, asked: Asked, input: Given) -> Given:  # noqa: A002
            payload = perform(asked, input)
            return {"clientMutationId": input.get("clientMutationId"), **payload}

        FIELDS["Mutation", name] = resolver

    return register


def _subject(asked: Asked, id: str, *kinds: type) -> Any:  # noqa: A002
    noun = found(asked, id)
    if not isinstance(noun, kinds):
        raise Refusal(404, f"Could not resolve to a node with the global id of '{id}'")
    return noun


def _issue(asked: Asked, id: str, role: str = "read") -> Issue:  # noqa: A002
    issue: Issue = _subject(asked, id, Issue)
    asked.need(issue.repository, *_TALK, role=role)
    return issue


def _pull(asked: Asked, id: str, role: str = "read") -> PullRequest:  # noqa: A002
    pull: PullRequest = _subject(asked, id, PullRequest)
    asked.need(pull.repository, *_PULLS, role=role)
    return pull


@mutation("addComment")
def _add_comment(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["subjectId"])
    made = issue.comment(asked.token.actor, given["body"])
    return {"commentEdge": {"node": made, "cursor": ""}, "subject": issue}


@mutation("updateIssueComment")
def _update_comment(asked: Asked, given: Given) -> Given:
    comment: Comment = _subject(asked, given["id"], Comment)
    asked.need(comment.repository, *_TALK, role="read")
    may_edit(asked.token, comment.author, comment.repository)
    comment.edit(given["body"], asked.token.actor)
    return {"issueComment": comment}


@mutation("deleteIssueComment")
def _delete_comment(asked: Asked, given: Given) -> Given:
    comment: Comment = _subject(asked, given["id"], Comment)
    asked.need(comment.repository, *_TALK, role="read")
    may_edit(asked.token, comment.author, comment.repository)
    comment.delete(asked.token.actor)
    return {}


@mutation("minimizeComment")
def _minimize(asked: Asked, given: Given) -> Given:
    comment: Comment = _subject(asked, given["subjectId"], Comment)
    asked.need(comment.repository, *_TALK)
    comment.minimize(given["classifier"])
    return {"minimizedComment": comment}


def _reactable(asked: Asked, given: Given) -> Written:
    kinds = (Issue, Comment, Review, InlineComment)
    noun: Written = _subject(asked, given["subjectId"], *kinds)
    asked.need(noun.repository, *_TALK, role="read")
    return noun


def _groups(noun: Written) -> list[Group]:
    return [Group(noun, name, tuple(people)) for name, people in groups(noun.reactions).items()]


@mutation("addReaction")
def _add_reaction(asked: Asked, given: Given) -> Given:
    noun = _reactable(asked, given)
    made = noun.react(asked.token.actor, _CONTENT[given["content"]])
    return {"reaction": made, "subject": noun, "reactionGroups": _groups(noun)}


@mutation("removeReaction")
def _remove_reaction(asked: Asked, given: Given) -> Given:
    noun = _reactable(asked, given)
    gone = noun.unreact(asked.token.actor, _CONTENT[given["content"]])
    return {"reaction": gone, "subject": noun, "reactionGroups": _groups(noun)}


@mutation("createIssue")
def _create_issue(asked: Asked, given: Given) -> Given:
    repo: Repository = _subject(asked, given["repositoryId"], Repository)
    asked.need(repo, ("issues", "write"), role="read")
    made = repo.open_issue(asked.token.actor, given["title"], given.get("body") or "")
    made.label(asked.token.actor, *_label_names(made, given.get("labelIds") or []))
    return {"issue": made}


@mutation("closeIssue")
def _close_issue(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["issueId"])
    may_edit(asked.token, issue.author, issue.repository, "triage")
    reason = given.get("stateReason")
    issue.close(asked.token.actor, reason=reason.lower() if reason else None)
    return {"issue": issue}


@mutation("reopenIssue")
def _reopen_issue(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["issueId"])
    may_edit(asked.token, issue.author, issue.repository, "triage")
    issue.reopen(asked.token.actor)
    return {"issue": issue}


@mutation("updateIssue")
def _update_issue(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["id"])
    may_edit(asked.token, issue.author, issue.repository, "triage")
    issue.edit(asked.token.actor, given.get("body"), given.get("title"))
    _change_state(asked, issue, given.get("state"))
    return {"issue": issue, "actor": asked.token.actor}


def _change_state(asked: Asked, issue: Issue, state: str | None) -> None:
    if state == "CLOSED":
        issue.close(asked.token.actor)
    elif state == "OPEN":
        issue.reopen(asked.token.actor)


@mutation("createPullRequest")
def _create_pull(asked: Asked, given: Given) -> Given:
    repo: Repository = _subject(asked, given["repositoryId"], Repository)
    asked.need(repo, *_PULLS, role="read")
    made = repo.open_pull_request(
        asked.token.actor,
        given["headRefName"].removeprefix("refs/heads/"),
        given["baseRefName"].removeprefix("refs/heads/"),
        given["title"],
        given.get("body") or "",
        bool(given.get("draft")),
    )
    return {"pullRequest": made}


@mutation("updatePullRequest")
def _update_pull(asked: Asked, given: Given) -> Given:
    pull = _pull(asked, given["pullRequestId"])
    may_edit(asked.token, pull.author, pull.repository, "triage")
    pull.edit(asked.token.actor, given.get("body"), given.get("title"))
    if given.get("baseRefName"):
        pull.retarget(asked.token.actor, given["baseRefName"].removeprefix("refs/heads/"))
    _change_state(asked, pull, given.get("state"))
    if given.get("labelIds") is not None:
        names = _label_names(pull, given["labelIds"])
        pull.unlabel(asked.token.actor, *[name for name in pull.labels if name not in names])
        pull.label(asked.token.actor, *names)
    return {"pullRequest": pull, "actor": asked.token.actor}


@mutation("closePullRequest")
def _close_pull(asked: Asked, given: Given) -> Given:
    pull = _pull(asked, given["pullRequestId"])
    may_edit(asked.token, pull.author, pull.repository, "triage")
    pull.close(asked.token.actor)
    return {"pullRequest": pull}


@mutation("reopenPullRequest")
def _reopen_pull(asked: Asked, given: Given) -> Given:
    pull = _pull(asked, given["pullRequestId"])
    may_edit(asked.token, pull.author, pull.repository, "triage")
    pull.reopen(asked.token.actor)
    return {"pullRequest": pull}


@mutation("requestReviews")
def _request_reviews(asked: Asked, given: Given) -> Given:
    pull = _pull(asked, given["pullRequestId"], role="write")
    people = [_subject(asked, each, Account).login for each in given.get("userIds") or []]
    teams = [_subject(asked, each, Team).slug for each in given.get("teamIds") or []]
    if not given.get("union"):
        pull.unrequest(
            [each.login for each in pull.requested], [each.slug for each in pull.requested_teams]
        )
    pull.request(asked.token.actor, people, teams)
    return {"pullRequest": pull, "actor": asked.token.actor}


_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


@mutation("addPullRequestReview")
def _add_review(asked: Asked, given: Given) -> Given:
    pull = _pull(asked, given["pullRequestId"])
    made = pull.review(
        asked.token.actor,
        _STATES.get(given.get("event") or "", "PENDING"),
        given.get("body") or "",
        given.get("commitOID"),
    )
    return {"pullRequestReview": made}


@mutation("dismissPullRequestReview")
def _dismiss(asked: Asked, given: Given) -> Given:
    review: Review = _subject(asked, given["pullRequestReviewId"], Review)
    asked.need(review.repository, *_PULLS)
    review.dismiss(asked.token.actor, given["message"])
    return {"pullRequestReview": review}


def _label_names(issue: Issue, ids: list[str]) -> list[str]:
    known = {label_id(row): row["name"] for row in issue.repository.labels.values()}
    for each in ids:
        if each not in known:
            raise Refusal(404, f"Could not resolve to a node with the global id of '{each}'")
    return [known[each] for each in ids]


@mutation("createLabel")
def _create_label(asked: Asked, given: Given) -> Given:
    repo: Repository = _subject(asked, given["repositoryId"], Repository)
    asked.need(repo, *_TALK)
    if given["name"].lower() in repo.labels:
        raise Refusal(422, "Name has already been taken")
    row = repo.label(given["name"], given["color"], given.get("description"))
    return {"label": Label(repo, row)}


@mutation("addLabelsToLabelable")
def _add_labels(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["labelableId"], role="triage")
    issue.label(asked.token.actor, *_label_names(issue, given["labelIds"]))
    return {"labelable": issue}


@mutation("removeLabelsFromLabelable")
def _remove_labels(asked: Asked, given: Given) -> Given:
    issue = _issue(asked, given["labelableId"], role="triage")
    issue.unlabel(asked.token.actor, *_label_names(issue, given["labelIds"]))
    return {"labelable": issue}
