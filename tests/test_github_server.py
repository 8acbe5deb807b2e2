"""The GitHub that our tests talk to is tested itself: where it errs, all other tests would."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import github as pygithub
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github import GitHub
from tests.github.accounts import Account, App, Refusal, Token
from tests.github.gitserver import environment
from tests.github.pulls import PullRequest
from tests.github.repository import Repository
from tests.github.rules import matcher

OPENER = {"contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


@pytest.fixture
def repo(github: GitHub) -> Repository:
    return github.repository("acme/models")


@pytest.fixture
def ann(github: GitHub, repo: Repository) -> Account:
    ann = github.user("ann")
    repo.grant(ann, "write")
    return ann


@pytest.fixture
def app(github: GitHub, repo: Repository) -> App:
    app = github.app("bridge-opener", OPENER)
    app.install(repo.owner)
    return app


@pytest.fixture
def pull(repo: Repository, app: App) -> PullRequest:
    repo.commit("gate/one", {"request.md": "please"})
    return repo.open_pull_request(app.bot, "gate/one", title="Deploy?", body="Who says yes?")


def as_(github: GitHub, token: Token) -> pygithub.Github:
    """PyGithub as anybody uses it, but for its pauses and retries."""
    return pygithub.Github(
        auth=pygithub.Auth.Token(str(token)),
        base_url=github.api_url,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


def rest(github: GitHub, token: Token | None, method: str, path: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    sent = {"json": body} if body else {}
    return requests.request(method, github.api_url + path, headers=headers, timeout=30, **sent)


def graphql(github: GitHub, token: Token | None, query: str, **variables: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    sent = {"query": query, "variables": variables}
    reply = requests.post(github.graphql_url, headers=headers, json=sent, timeout=30)
    return reply.json() | {"status": reply.status_code}


def git(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *args],
        cwd=cwd,
        env=environment({}),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def clone(github: GitHub, repo: Repository, tmp_path: Path) -> Callable[[Token], Path]:
    def make(token: Token) -> Path:
        where = tmp_path / f"clone-{len(list(tmp_path.iterdir()))}"
        done = git("clone", "-q", repo.clone_url_for(token), str(where))
        assert done.returncode == 0, done.stderr
        return where

    return make


def committed(where: Path, name: str = "file") -> None:
    (where / name).parent.mkdir(parents=True, exist_ok=True)
    (where / name).write_text(f"{where.name} {len(list(where.iterdir()))}")
    git("add", "-A", cwd=where)
    assert git("commit", "-q", "-m", "work", cwd=where).returncode == 0


# -- who asks --------------------------------------------------------------------------------


def test_an_unknown_an_expired_and_a_revoked_token_are_401(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    good = github.token(ann, expires_in=timedelta(hours=1))
    gone = github.token(ann)
    gone.revoke()
    assert rest(github, good, "GET", "/user").json()["id"] == ann.id
    github.clock.advance(hours=1)
    unknown = Token(good.kind, ann, "ghp_never_issued")
    for token in (good, gone, unknown):
        assert rest(github, token, "GET", "/repos/acme/models").status_code == 401
        assert graphql(github, token, "{viewer{login}}")["status"] == 401


def test_an_installation_token_is_minted_with_the_apps_key_and_lives_for_an_hour(
    github: GitHub, repo: Repository, app: App
) -> None:
    github.clock.set(datetime.now(UTC))  # PyGithub dates its JWT by the machine's clock
    auth = pygithub.Auth.AppAuth(app.id, app.key).get_installation_auth(app.installations[0].id)
    client = pygithub.Github(auth=auth, base_url=github.api_url, retry=None)
    assert client.get_repo("acme/models").full_name == "acme/models"
    assert github.counts == {"mint": 1, "rest": 1}
    minted = list(github.tokens.values())[-1]
    assert minted.expires_at == github.clock.now() + timedelta(hours=1)
    github.clock.advance(minutes=59)
    assert rest(github, minted, "GET", "/repos/acme/models").status_code == 200
    github.clock.advance(minutes=1)
    assert rest(github, minted, "GET", "/repos/acme/models").status_code == 401


def test_a_jwt_of_another_key_or_of_too_long_a_life_mints_nothing(github: GitHub, app: App) -> None:
    strange = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    now = github.clock.now()
    claims = {"iat": now, "exp": now + timedelta(minutes=9), "iss": str(app.id)}
    forged = jwt.encode(claims, strange, algorithm="RS256")
    long = app.jwt(exp=now + timedelta(hours=2))
    old = app.jwt(exp=now - timedelta(seconds=1))
    for text in (forged, long, old, "eyJ.x.y"):
        reply = requests.post(
            f"{github.api_url}/app/installations/{app.installations[0].id}/access_tokens",
            headers={"Authorization": f"Bearer {text}"},
            timeout=30,
        )
        assert reply.status_code == 401, reply.text
    assert not github.tokens


def test_a_minted_token_may_be_narrowed_but_never_widened(github: GitHub, app: App) -> None:
    path = f"{github.api_url}/app/installations/{app.installations[0].id}/access_tokens"
    headers = {"Authorization": f"Bearer {app.jwt()}"}

    def mint(**body: Any) -> Any:
        return requests.post(path, headers=headers, json=body, timeout=30)

    narrow = mint(permissions={"contents": "read"}, repositories=["models"]).json()
    assert narrow["permissions"] == {"contents": "read", "metadata": "read"}
    assert mint(permissions={"administration": "write"}).status_code == 422
    assert mint(repositories=["no-such"]).status_code == 422


def test_user_is_403_for_an_app_and_the_viewer_is_its_bot(github: GitHub, app: App) -> None:
    token = github.installation_token(app.installations[0])
    reply = rest(github, token, "GET", "/user")
    assert (reply.status_code, reply.json()["message"]) == (
        403,
        "Resource not accessible by integration",
    )
    viewer = graphql(github, token, "{viewer{login databaseId}}")["data"]["viewer"]
    assert viewer == {"login": "bridge-opener[bot]", "databaseId": app.bot.id}


def test_github_token_is_the_actions_bot_and_reaches_one_repository(
    github: GitHub, repo: Repository
) -> None:
    github.repository("acme/other", private=True)
    token = github.actions_token(repo, {"issues": "write"})
    made = as_(github, token).get_repo("acme/models").create_issue("Hello")
    assert (made.user.login, made.user.id) == ("github-actions[bot]", 41898282)
    assert rest(github, token, "GET", "/repos/acme/other").status_code == 404


def test_a_token_may_do_no_more_than_its_permissions(
    github: GitHub, repo: Repository, ann: Account, pull: PullRequest
) -> None:
    reader = github.actions_token(repo, {"pull_requests": "read"})
    narrow = github.token(ann, permissions={"issues": "write"})
    stranger = github.token(github.user("stranger"))
    cases = [
        (reader, "POST", "/issues/1/comments", {"body": "x"}, "by integration"),
        (narrow, "POST", "/dispatches", {"event_type": "x"}, "by personal access token"),
        (stranger, "POST", "/issues/1/labels", {"labels": ["x"]}, "triage rights"),
        (stranger, "PUT", "/pulls/1/merge", {"sha": "x"}, "write rights"),
    ]
    for token, method, path, body, words in cases:
        reply = rest(github, token, method, f"/repos/acme/models{path}", **body)
        assert reply.status_code == 403
        assert words in reply.json()["message"]
    assert not pull.comments


def test_a_private_repository_is_404_for_who_may_not_see_it(github: GitHub) -> None:
    github.repository("acme/secret", private=True)
    stranger = github.token(github.user("stranger"))
    assert rest(github, stranger, "GET", "/repos/acme/secret").status_code == 404
    told = graphql(github, stranger, '{repository(owner:"acme",name:"secret"){id}}')
    assert told["data"] == {"repository": None}
    assert told["errors"][0]["type"] == "NOT_FOUND"


def test_teams_and_memberships_are_404_for_a_token_that_may_not_look(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    acme = github.organisation("acme")
    acme.team("approvers", ann)
    path = "/orgs/acme/teams/approvers/memberships"
    blind = [
        github.actions_token(repo, {"contents": "write"}),
        github.token(github.user("outsider")),
    ]
    reading = github.app("reader", {"members": "read"}).install(acme)
    sighted = [github.token(ann), github.installation_token(reading)]
    github.user("bob")
    for token in blind:
        assert rest(github, token, "GET", f"{path}/ann").status_code == 404
        assert rest(github, token, "GET", "/orgs/acme/members/ann").status_code == 404
    for token in sighted:
        assert rest(github, token, "GET", f"{path}/ann").json()["state"] == "active"
        assert rest(github, token, "GET", f"{path}/bob").status_code == 404
        assert rest(github, token, "GET", "/orgs/acme/members/ann").status_code == 204
        assert rest(github, token, "GET", "/orgs/acme/memberships/ann").json()["role"] == "member"
    client = as_(github, sighted[0]).get_organization("acme")
    team = client.get_team_by_slug("approvers")
    assert [each.login for each in team.get_members()] == ["ann"]
    assert [each.slug for each in client.get_teams()] == ["approvers"]


def test_permission_is_the_best_of_own_and_teams_with_its_role_name(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    token = github.actions_token(repo, {})
    maintainers = github.organisation("acme").team("maintainers", ann)
    bob, eve = github.user("bob"), github.user("eve")
    repo.grant(bob, "write", role_name="release-manager")
    client = as_(github, token).get_repo("acme/models")
    assert client.get_collaborator_permission("ann") == "write"
    repo.grant(maintainers, "maintain")
    assert client.get_collaborator_permission("ann") == "write"  # the old name of maintain
    assert client.get_collaborator_role_name("ann") == "maintain"
    assert client.get_collaborator_role_name("bob") == "release-manager"
    assert client.get_collaborator_permission("eve") == "read"
    repo.private = True
    assert client.get_collaborator_permission("eve") == "none"
    github.organisation("acme").add(eve, "admin")
    assert client.get_collaborator_permission("eve") == "admin"
    path = "/repos/acme/models/collaborators/nobody/permission"
    assert rest(github, token, "GET", path).status_code == 404


def test_a_login_can_be_taken_by_another_account_but_an_id_cannot(github: GitHub) -> None:
    ann = github.user("ann")
    github.rename(ann, "ann-of-old")
    assert github.user("ann").id != ann.id


# -- pull requests ---------------------------------------------------------------------------


def test_a_pull_request_is_refused_as_github_refuses_it(
    github: GitHub, repo: Repository, app: App
) -> None:
    repo.commit("gate/one", {"a": "1"})
    repo.push(app.bot, "refs/heads/same", repo.branch("main"))
    repo.commit("alien", {"a": "1"}, orphan=True)
    token = github.installation_token(app.installations[0])

    def refusal(**body: Any) -> str:
        reply = rest(github, token, "POST", "/repos/acme/models/pulls", title="x", **body)
        assert reply.status_code == 422
        row = reply.json()["errors"][0]
        return str(row.get("message") or f"{row['field']} {row['code']}")

    assert refusal(head="nowhere", base="main") == "head invalid"
    assert refusal(head="gate/one", base="nowhere") == "base invalid"
    assert refusal(head="same", base="main") == "No commits between main and same"
    assert "no history in common" in refusal(head="alien", base="main")
    as_(github, token).get_repo("acme/models").create_pull("main", "gate/one", title="x")
    told = refusal(head="gate/one", base="main")
    assert told == "A pull request already exists for acme:gate/one."


def test_actions_may_not_open_pull_requests_unless_the_setting_says_so(
    github: GitHub, repo: Repository
) -> None:
    repo.commit("gate/one", {"a": "1"})
    token = github.actions_token(repo, {"pull_requests": "write"})
    ask = {"title": "x", "head": "gate/one", "base": "main"}
    reply = rest(github, token, "POST", "/repos/acme/models/pulls", **ask)
    assert reply.status_code == 403
    assert "not permitted to create" in reply.json()["message"]
    repo.actions_may_open_pull_requests = True
    assert rest(github, token, "POST", "/repos/acme/models/pulls", **ask).status_code == 201


def test_a_body_or_comment_over_65536_characters_is_422(
    github: GitHub, repo: Repository, ann: Account, pull: PullRequest
) -> None:
    token = github.token(ann)
    just, over = "é" * 65_536, "é" * 65_537
    path = "/repos/acme/models/issues"
    assert rest(github, token, "POST", path, title="x", body=just).status_code == 201
    assert rest(github, token, "POST", path, title="x", body=over).status_code == 422
    assert rest(github, token, "POST", f"{path}/1/comments", body=over).status_code == 422
    assert rest(github, token, "PATCH", f"{path}/1", body=over).status_code == 422
    assert pull.body == "Who says yes?"


def test_a_push_moves_the_head_of_an_open_pull_request(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account, clone: Callable[..., Path]
) -> None:
    where = clone(github.token(ann))
    git("checkout", "-q", "gate/one", cwd=where)
    committed(where)
    assert git("push", "-q", cwd=where).returncode == 0
    sha = git("rev-parse", "HEAD", cwd=where).stdout.strip()
    client = as_(github, github.token(ann)).get_repo("acme/models")
    assert client.get_pull(1).head.sha == sha
    assert repo.bare.sha("refs/pull/1/head") == sha
    (event,) = github.events_of("pull_request", "synchronize")
    assert (event.payload["after"], event.by) == (sha, ann)
    pull.close(ann)
    committed(where)
    git("push", "-q", cwd=where)
    assert client.get_pull(1).head.sha == sha  # a closed one stands still


def test_a_pushed_merge_is_noticed_a_little_later(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account, clone: Callable[..., Path]
) -> None:
    where = clone(github.token(ann))
    git("merge", "-q", "--no-ff", "-m", "decided", "origin/gate/one", cwd=where)
    assert git("push", "-q", "origin", "main", cwd=where).returncode == 0
    client = as_(github, github.token(ann)).get_repo("acme/models")
    assert not client.get_pull(1).merged
    github.tick()
    seen = client.get_pull(1)
    assert (seen.merged, seen.state, seen.merged_by.login) == (True, "closed", "ann")
    assert seen.merge_commit_sha == repo.branch("main")


def test_a_branch_deleted_before_the_merge_is_noticed_closes_unmerged(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    repo.commit("main", {}, parents=[repo.branch("main") or "", pull.head_sha])
    repo.push(ann, "refs/heads/gate/one", None)
    github.tick()
    assert (pull.state, pull.merged) == ("closed", False)
    assert [item.kind for item in pull.timeline] == ["HeadRefDeletedEvent", "ClosedEvent"]


def test_merges_are_noticed_at_once_where_the_test_says_so() -> None:
    with GitHub(merges_at_once=True) as github:
        repo = github.repository("acme/models")
        repo.commit("x", {"a": "1"})
        pull = repo.open_pull_request(github.user("ann"), "x")
        repo.push(github.user("bob"), "refs/heads/main", repo.branch("x"))
        assert pull.merged


def test_the_merge_button_wants_the_head_it_was_shown_and_works_once(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    stale = pull.head_sha
    repo.commit("gate/one", {"b": "2"})
    token = github.token(ann)
    path = "/repos/acme/models/pulls/1/merge"
    assert rest(github, token, "PUT", path, sha=stale).status_code == 409
    assert rest(github, token, "PUT", path, sha=pull.head_sha).json()["merged"] is True
    assert rest(github, token, "PUT", path, sha=pull.head_sha).status_code == 405
    assert pull.merged
    assert repo.file("b") == "2"


def test_a_closed_pull_request_reopens_only_while_its_branch_is_as_it_was(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    client = as_(github, github.token(ann)).get_repo("acme/models").get_pull(1)
    client.edit(state="closed")
    client.edit(state="open")
    assert pull.state == "open"
    client.edit(state="closed")
    head = repo.branch("gate/one")
    repo.push(ann, "refs/heads/gate/one", None)
    with pytest.raises(pygithub.GithubException, match="has been deleted"):
        client.edit(state="open")
    repo.push(ann, "refs/heads/gate/one", head)
    client.edit(state="open")
    assert pull.state == "open"


def test_a_pull_request_can_come_from_a_fork_and_can_be_retargeted(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    fork = repo.fork(github.user("eve"))
    fork.commit("gate/one", {"evil": "1"})
    pull = repo.open_pull_request(github.user("eve"), "eve:gate/one")
    assert repo.bare.sha("refs/pull/1/head") == fork.branch("gate/one")
    repo.commit("other", {"a": "1"})
    client = as_(github, github.token(ann)).get_repo("acme/models").get_pull(1)
    assert client.head.repo.full_name == "eve/models"
    client.edit(base="other")
    assert pull.base_ref == "other"
    (event,) = github.events_of("pull_request", "edited")
    assert event.payload["changes"]["base"]["ref"] == {"from": "main"}
    fork.commit("gate/one", {"evil": "2"})
    assert client.update()
    assert client.head.sha == fork.branch("gate/one")


def test_reviews_have_the_states_github_has(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    client = as_(github, github.token(ann)).get_repo("acme/models").get_pull(1)
    approval = client.create_review(body="good", event="APPROVE")
    client.create_review(body="hm", event="COMMENT")
    client.create_review(body="no", event="REQUEST_CHANGES")
    seen = [(r.state, r.user.id, r.commit_id) for r in client.get_reviews()]
    assert seen == [
        (state, ann.id, pull.head_sha) for state in ("APPROVED", "COMMENTED", "CHANGES_REQUESTED")
    ]
    approval.dismiss("changed my mind")
    assert client.get_review(approval.id).state == "DISMISSED"
    with pytest.raises(pygithub.GithubException, match="Can not dismiss a commented"):
        client.get_reviews()[1].dismiss("x")
    # Lower case in the event, upper case everywhere else.
    states = [e.payload["review"]["state"] for e in github.events_of("pull_request_review")]
    assert states == ["approved", "commented", "changes_requested", "dismissed"]


def test_an_author_cannot_review_the_own_pull_request(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    repo.commit("mine", {"a": "1"})
    repo.open_pull_request(ann, "mine")
    path = "/repos/acme/models/pulls/1/reviews"
    for event in ("APPROVE", "REQUEST_CHANGES"):
        reply = rest(github, github.token(ann), "POST", path, event=event, body="x")
        assert reply.status_code == 422
        assert "your own pull request" in reply.json()["errors"][0]
    assert rest(github, github.token(ann), "POST", path, event="COMMENT", body="x").ok


def test_an_edit_shows_in_graphql_alone(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    pull.review(ann, "APPROVED", body="/approve")
    comment = pull.comment(ann, "/approve")
    client = as_(github, github.token(ann)).get_repo("acme/models").get_pull(1)
    client.get_reviews()[0].edit("/approve target=prod")
    client.get_issue_comment(comment.id).edit("/approve target=prod")
    query = """{repository(owner: "acme", name: "models") {pullRequest(number: 1) {
      reviews(first: 9) {nodes {lastEditedAt includesCreatedEdit editor {login}}}
      comments(first: 9) {nodes {
        lastEditedAt userContentEdits(first: 5) {totalCount nodes {diff}}}}
    }}}"""
    seen = graphql(github, github.token(ann), query)["data"]["repository"]["pullRequest"]
    (review,) = seen["reviews"]["nodes"]
    assert review["lastEditedAt"]
    assert review["editor"] == {"login": "ann"}
    (edited,) = seen["comments"]["nodes"]
    assert edited["userContentEdits"]["totalCount"] == 2
    assert edited["userContentEdits"]["nodes"][-1] == {"diff": "/approve"}
    (event,) = github.events_of("issue_comment", "edited")
    assert event.payload["changes"] == {"body": {"from": "/approve"}}


def test_a_deleted_revision_keeps_who_wrote_it_and_when_and_loses_its_text(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    bob = github.user("bob")
    repo.grant(bob, "write")
    comment = pull.comment(ann, "/hold")
    comment.edit("/hold wait", bob)
    comment.delete_revision(0, bob)
    with pytest.raises(Refusal, match="current revision"):
        comment.delete_revision(1, bob)
    query = """{repository(owner: "acme", name: "models") {pullRequest(number: 1) {
      comments(first: 9) {nodes {userContentEdits(first: 5) {nodes {
        editedAt editor {login} diff deletedAt deletedBy {login}}}}}}}}"""
    seen = graphql(github, github.token(ann), query)["data"]["repository"]["pullRequest"]
    newest, oldest = seen["comments"]["nodes"][0]["userContentEdits"]["nodes"]
    assert newest["diff"] == "/hold wait"
    assert newest["editor"] == {"login": "bob"}
    assert newest["deletedAt"] is None
    assert oldest["diff"] is None
    assert oldest["editor"] == {"login": "ann"}
    assert oldest["deletedBy"] == {"login": "bob"}
    assert oldest["deletedAt"]


def test_a_deleted_comment_leaves_an_event_that_says_whose_it_was_and_who_deleted_it(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    bob = github.user("bob")
    repo.grant(bob, "write")
    comment = pull.comment(ann, "/hold")
    as_(github, github.token(bob)).get_repo("acme/models").get_pull(1).get_issue_comment(
        comment.id
    ).delete()
    query = """{repository(owner: "acme", name: "models") {pullRequest(number: 1) {
      comments {totalCount}
      timelineItems(first: 9, itemTypes: [COMMENT_DELETED_EVENT]) {nodes {
        ... on CommentDeletedEvent {
          databaseId createdAt actor {login} deletedCommentAuthor {login}}}}}}}"""
    seen = graphql(github, github.token(ann), query)["data"]["repository"]["pullRequest"]
    assert seen["comments"] == {"totalCount": 0}
    (event,) = seen["timelineItems"]["nodes"]
    assert event["actor"] == {"login": "bob"}
    assert event["deletedCommentAuthor"] == {"login": "ann"}
    assert event["databaseId"] != comment.id


def test_inline_comments_are_in_threads_and_not_among_the_comments(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    first = pull.comment_inline(ann, "/hold", path="request.yaml", line=3)
    pull.comment_inline(ann, "still", reply_to=first)
    query = """{repository(owner: "acme", name: "models") {pullRequest(number: 1) {
      comments {totalCount} reviews(first: 9) {nodes {state body}}
      reviewThreads(first: 9) {nodes {path line comments(first: 9) {nodes {
        body url replyTo {id} pullRequestReview {state}}}}}}}}"""
    seen = graphql(github, github.token(ann), query)["data"]["repository"]["pullRequest"]
    assert seen["comments"] == {"totalCount": 0}
    assert seen["reviews"]["nodes"] == [{"state": "COMMENTED", "body": ""}] * 2
    (thread,) = seen["reviewThreads"]["nodes"]
    assert (thread["path"], thread["line"]) == ("request.yaml", 3)
    assert [each["body"] for each in thread["comments"]["nodes"]] == ["/hold", "still"]
    assert thread["comments"]["nodes"][0]["replyTo"] is None


def test_one_unknown_reviewer_fails_the_whole_request(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account, app: App
) -> None:
    team = github.organisation("acme").team("approvers", ann)
    repo.grant(team, "write")
    token = github.installation_token(app.installations[0])
    path = "/repos/acme/models/pulls/1/requested_reviewers"
    reply = rest(github, token, "POST", path, reviewers=["ann", "nobody"])
    assert reply.status_code == 422
    assert not pull.requested
    both = {"reviewers": ["ann"], "team_reviewers": ["approvers"]}
    assert rest(github, token, "POST", path, **both).status_code == 422  # it reads no members
    app.installations[0].permissions = {**app.permissions, "members": "read"}
    reader = github.installation_token(app.installations[0])
    assert rest(github, reader, "POST", path, **both).status_code == 201
    assert (pull.requested, pull.requested_teams) == ([ann], [team])
    pull.review(ann, "APPROVED")
    assert pull.requested == []
    actions = github.actions_token(repo, {"pull_requests": "write"})
    assert rest(github, actions, "POST", path, team_reviewers=["approvers"]).status_code == 422


# -- issues, comments, labels, reactions, the timeline -----------------------------------------


def test_issues_comments_labels_and_reactions_are_what_pygithub_sees(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    client = as_(github, github.token(ann)).get_repo("acme/models")
    issue = client.create_issue("Deploy?", body="Who?", labels=["gate:pending"])
    comment = issue.create_comment("/approve")
    comment.create_reaction("eyes")
    comment.create_reaction("eyes")
    assert [each.content for each in comment.get_reactions()] == ["eyes"]
    issue.add_to_labels("gate:approved")
    issue.remove_from_labels("gate:pending")
    issue.create_reaction("rocket")
    assert [each.name for each in issue.get_labels()] == ["gate:approved"]
    assert [each.name for each in client.get_labels()] == ["gate:pending", "gate:approved"]
    comment.edit("/reject")
    issue.edit(state="closed", state_reason="not_planned")
    assert client.get_issue(1).state_reason == "not_planned"
    assert [each.event for each in issue.get_events()] == [
        "labeled",
        "labeled",
        "unlabeled",
        "closed",
    ]
    comment.delete()
    assert list(issue.get_comments()) == []
    assert [each.number for each in client.get_issues(state="closed")] == [1]


def test_a_close_tells_whether_a_person_or_a_commit_closed_it(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    first, second = repo.open_issue(ann, "one"), repo.open_issue(ann, "two")
    first.close(ann)
    sha = repo.commit("main", {"a": "1"}, f"Fixes #{second.number}", by=ann)
    query = """query($n: Int!) {repository(owner: "acme", name: "models") {issue(number: $n) {
      closed timelineItems(last: 1, itemTypes: [CLOSED_EVENT]) {nodes {... on ClosedEvent {
        actor {login __typename} closer {__typename ... on Commit {oid}}}}}}}}"""

    def closed(number: int) -> Any:
        found = graphql(github, github.token(ann), query, n=number)
        return found["data"]["repository"]["issue"]["timelineItems"]["nodes"][0]

    actor = {"login": "ann", "__typename": "User"}
    assert closed(1) == {"actor": actor, "closer": None}
    assert closed(2) == {"actor": actor, "closer": {"__typename": "Commit", "oid": sha}}


_DISPATCHED = "on: {workflow_dispatch: {inputs: {number: {type: string}}}}"


def test_a_run_is_shown_with_each_attempt_and_who_made_it(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    run = repo.run(".github/workflows/deploy.yml", github.user("bob"))
    run.again(ann)
    found = as_(github, github.token(ann)).get_repo("acme/models").get_workflow_run(run.id)
    assert (found.run_attempt, found.actor.login, found.triggering_actor.login) == (2, "bob", "ann")
    assert (found.path, found.head_branch, found.head_sha) == (run.path, "main", run.sha)
    assert found.repository.id == repo.id
    first = requests.get(f"{found.url}/attempts/1", timeout=30).json()
    assert (first["run_attempt"], first["triggering_actor"]["login"]) == (1, "bob")
    assert requests.get(f"{found.url}/attempts/3", timeout=30).status_code == 404


def test_what_github_token_does_starts_no_workflow_but_a_dispatch(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    repo.commit("main", {".github/workflows/gate.yml": _DISPATCHED})
    repo.commit("old", {".github/workflows/gate.yml": None})
    token = github.actions_token(repo, {"issues": "write", "actions": "write"})
    client = as_(github, token).get_repo("acme/models")
    client.create_issue("Hello").create_comment("there")
    workflow = client.get_workflow("gate.yml")
    assert workflow.create_dispatch("main", {"number": "7"}) is True
    assert workflow.create_dispatch("old", {}) is False
    assert workflow.create_dispatch("nowhere", {}) is False
    assert workflow.create_dispatch("main", {"title": "not of the file"}) is False
    assert workflow.create_dispatch("main", {"number": "7" * 65_530}) is False
    assert repo.dispatches == [("gate.yml", "main", {"number": "7"})]
    repo.open_issue(ann, "by hand")
    repo.schedule()
    assert [(each.name, each.starts_workflows) for each in github.events] == [
        ("issues", False),
        ("issue_comment", False),
        ("workflow_dispatch", True),
        ("issues", True),
        ("schedule", True),
    ]


def test_a_repository_dispatch_is_recorded_with_its_payload(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    client = as_(github, github.token(ann)).get_repo("acme/models")
    assert client.create_repository_dispatch("approved", {"gate": "7"})
    assert repo.repository_dispatches == [("approved", {"gate": "7"})]
    (event,) = github.events_of("repository_dispatch")
    assert event.payload["client_payload"] == {"gate": "7"}


# -- files, refs, statuses, settings -----------------------------------------------------------


def test_files_refs_and_the_git_database_are_the_real_repositorys(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    client = as_(github, github.token(ann)).get_repo("acme/models")
    made = client.create_file(".github/approvals.yml", "add", "a: 1\n")["commit"].sha
    assert made == repo.branch("main")
    held = client.get_contents(".github/approvals.yml")
    assert not isinstance(held, list)
    assert held.decoded_content == b"a: 1\n"
    client.update_file(held.path, "change", "a: 2\n", held.sha)
    with pytest.raises(pygithub.GithubException, match="does not match"):
        client.update_file(held.path, "change", "a: 3\n", held.sha)
    assert [each.path for each in client.get_contents("")] == [".github", "README.md"]
    with pytest.raises(pygithub.UnknownObjectException):
        client.get_contents("nothing")
    ref = client.create_git_ref("refs/heads/approvals", made)
    tree = client.create_git_tree(
        [pygithub.InputGitTreeElement("x/y", "100644", "blob", content="z")],
        client.get_git_tree(made),
    )
    commit = client.create_git_commit("more", tree, [client.get_git_commit(made)])
    ref.edit(commit.sha)
    with pytest.raises(pygithub.GithubException, match="not a fast forward"):
        ref.edit(made)
    assert repo.file("x/y", "approvals") == "z"
    assert client.get_branch("approvals").commit.sha == commit.sha
    ref.delete()
    assert [each.name for each in client.get_branches()] == ["main"]


def test_commit_statuses_and_check_runs(
    github: GitHub, repo: Repository, pull: PullRequest, app: App, ann: Account
) -> None:
    app.installations[0].permissions = {**OPENER, "checks": "write"}
    client = as_(github, github.installation_token(app.installations[0])).get_repo("acme/models")
    commit = client.get_commit(pull.head_sha)
    commit.create_status("pending", context="gate", description="waits")
    commit.create_status("success", context="gate")
    assert [each.state for each in commit.get_statuses()] == ["success", "pending"]
    assert commit.get_combined_status().state == "success"
    run = client.create_check_run("gate", pull.head_sha, status="in_progress")
    run.edit(conclusion="success", output={"title": "t", "summary": "s"})
    assert [each.conclusion for each in commit.get_check_runs()] == ["success"]
    path = "/repos/acme/models/check-runs"
    body = {"name": "gate", "head_sha": pull.head_sha}
    assert rest(github, github.token(ann), "POST", path, **body).status_code == 403


def test_the_settings_that_doctor_reads(github: GitHub, repo: Repository) -> None:
    boss = github.user("boss")
    repo.grant(boss, "admin")
    token = github.token(boss)
    repo.environment("approvals", branches=["main"], secrets=["DECIDER_KEY"])
    repo.secrets.add("OTHER")
    repo.workflow_states["gate.yml"] = "disabled_inactivity"
    repo.commit("main", {".github/workflows/gate.yml": "on: issue_comment"})

    def read(path: str) -> Any:
        return rest(github, token, "GET", f"/repos/acme/models{path}").json()

    assert read("/actions/permissions")["enabled"] is True
    assert read("/actions/permissions/workflow")["can_approve_pull_request_reviews"] is False
    assert read("/environments/approvals")["deployment_branch_policy"]["custom_branch_policies"]
    policies = read("/environments/approvals/deployment-branch-policies")
    assert [each["name"] for each in policies["branch_policies"]] == ["main"]
    kept = read("/environments/approvals/secrets")["secrets"]
    assert [each["name"] for each in kept] == ["DECIDER_KEY"]
    assert [each["name"] for each in read("/actions/secrets")["secrets"]] == ["OTHER"]
    assert read("/actions/workflows")["workflows"][0]["state"] == "disabled_inactivity"
    writer = github.token(github.user("w"))
    assert rest(github, writer, "GET", "/repos/acme/models/actions/permissions").status_code == 403


# -- git and its rules -------------------------------------------------------------------------


def test_git_takes_only_tokens_that_may(
    github: GitHub, repo: Repository, ann: Account, clone: Callable[..., Path], tmp_path: Path
) -> None:
    assert git("ls-remote", repo.clone_url).returncode == 0  # public
    repo.private = True
    assert "could not read Username" in git("ls-remote", repo.clone_url).stderr
    stranger = github.token(github.user("stranger"))
    assert "not found" in git("ls-remote", repo.clone_url_for(stranger)).stderr
    reader = github.actions_token(repo, {"contents": "read"})
    where = clone(reader)
    committed(where)
    assert "403" in git("push", cwd=where).stderr
    writer = github.token(ann)
    assert git("push", repo.clone_url_for(writer), "HEAD:main", cwd=where).returncode == 0
    writer.revoke()
    assert "Authentication failed" in git("ls-remote", repo.clone_url_for(writer)).stderr


def test_git_serves_partial_clones_and_large_pushes(
    github: GitHub, repo: Repository, ann: Account, clone: Callable[..., Path], tmp_path: Path
) -> None:
    where = clone(github.token(ann))
    (where / "large").write_bytes(bytes(range(256)) * 8192)
    git("add", "-A", cwd=where)
    git("commit", "-q", "-m", "large", cwd=where)
    pushed = git("-c", "core.compression=0", "-c", "http.postBuffer=1024", "push", cwd=where)
    assert pushed.returncode == 0, pushed.stderr
    done = git(
        "clone", "-q", "--bare", "--depth=1", "--filter=tree:0", repo.clone_url, str(tmp_path / "p")
    )
    assert done.returncode == 0, done.stderr
    assert github.counts["git"] >= 6


def test_a_hidden_pull_ref_cannot_be_pushed(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account, clone: Callable[..., Path]
) -> None:
    where = clone(github.token(ann))
    assert git("fetch", "-q", "origin", "refs/pull/1/head", cwd=where).returncode == 0
    said = git("push", "origin", "HEAD:refs/pull/1/head", "-f", cwd=where).stderr
    assert "deny updating a hidden ref" in said


@pytest.mark.parametrize(
    ("rule", "refspec"),
    [
        ("deletion", ":approvals"),
        ("non_fast_forward", "+side:approvals"),
        ("update", "ahead:approvals"),
        ("creation", "ahead:approvals/x"),
        ("required_linear_history", "merged:approvals"),
        ("required_signatures", "ahead:approvals"),
    ],
)
def test_a_rule_binds_a_push_and_a_bypass_frees_it(
    github: GitHub, repo: Repository, app: App, clone: Callable[..., Path], rule: str, refspec: str
) -> None:
    if rule != "creation":
        repo.commit("approvals", {"a": "1"})
    token = github.installation_token(app.installations[0])
    where = clone(token)
    git("checkout", "-q", "-b", "side", cwd=where)
    committed(where, "side")
    base = "main" if rule == "creation" else "origin/approvals"
    git("checkout", "-q", "-b", "ahead", base, cwd=where)
    committed(where, "ahead")
    git("checkout", "-q", "-b", "merged", cwd=where)
    git("merge", "-q", "--no-ff", "-m", "m", "side", cwd=where)
    bound = repo.ruleset(
        "ledger", rule, branches=["refs/heads/approvals", "refs/heads/approvals/*"]
    )
    refused = git("push", "origin", refspec, cwd=where)
    assert refused.returncode != 0
    assert "GH013: Repository rule violations" in refused.stderr
    assert "push declined due to repository rule violations" in refused.stderr
    bound.enforcement = "disabled"
    repo.ruleset("ledger 2", rule, branches=["refs/heads/approvals*"], bypass=[app])
    allowed = git("push", "origin", refspec, cwd=where)
    assert allowed.returncode == 0, allowed.stderr


def test_rules_bind_rest_as_they_bind_git(
    github: GitHub, repo: Repository, ann: Account, pull: PullRequest
) -> None:
    repo.ruleset("gates", "deletion", "update", branches=["refs/heads/gate/**/*"])
    repo.ruleset("main", "pull_request", "update")
    client = as_(github, github.token(ann)).get_repo("acme/models")
    with pytest.raises(pygithub.GithubException, match="rule violations"):
        client.get_git_ref("heads/gate/one").delete()
    with pytest.raises(pygithub.GithubException, match="rule violations"):
        client.create_file("new", "x", "y")
    assert (
        rest(
            github, github.token(ann), "PUT", "/repos/acme/models/pulls/1/merge", sha=pull.head_sha
        ).status_code
        == 405
    )
    assert repo.branch("gate/one") == pull.head_sha


def test_rulesets_are_read_with_what_is_inherited_and_bypass_only_by_admins(
    github: GitHub, repo: Repository, ann: Account, app: App
) -> None:
    boss = github.user("boss")
    repo.grant(boss, "admin")
    own = repo.ruleset("gates", "update", branches=["refs/heads/gate/**/*"], bypass=[app])
    github.add_organisation_ruleset(
        github.organisation("acme"), "house", "required_linear_history", branches=["~ALL"]
    )

    def read(token: Token, path: str) -> Any:
        return rest(github, token, "GET", f"/repos/acme/models{path}").json()

    rules = read(github.token(ann), "/rules/branches/gate/a/b")
    assert [(each["type"], each["ruleset_source_type"]) for each in rules] == [
        ("update", "Repository"),
        ("required_linear_history", "Organization"),
    ]
    assert [each["name"] for each in read(github.token(ann), "/rulesets")] == ["gates", "house"]
    assert "bypass_actors" not in read(github.token(ann), f"/rulesets/{own.id}")
    assert read(github.token(boss), f"/rulesets/{own.id}")["bypass_actors"] == [
        {"actor_id": app.id, "actor_type": "Integration", "bypass_mode": "always"}
    ]


def test_a_ruleset_made_over_rest_binds(
    github: GitHub, repo: Repository, ann: Account, clone: Callable[..., Path]
) -> None:
    boss = github.user("boss")
    repo.grant(boss, "admin")
    body = {
        "name": "ledger",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        "rules": [{"type": "update"}],
        "bypass_actors": [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}],
    }
    path = "/repos/acme/models/rulesets"
    assert rest(github, github.token(ann), "POST", path, **body).status_code == 403
    made = rest(github, github.token(boss), "POST", path, **body)
    assert made.status_code == 201
    where = clone(github.token(ann))
    committed(where)
    assert git("push", cwd=where).returncode != 0
    assert git("push", repo.clone_url_for(github.token(boss)), "main", cwd=where).returncode == 0


def test_a_star_in_a_pattern_stops_at_a_slash() -> None:
    assert matcher("refs/heads/gate/*").fullmatch("refs/heads/gate/a")
    assert not matcher("refs/heads/gate/*").fullmatch("refs/heads/gate/a/b")
    assert matcher("refs/heads/gate/**/*").fullmatch("refs/heads/gate/a/b")
    assert matcher("refs/heads/gate/**/*").fullmatch("refs/heads/gate/a")


def test_an_app_without_the_workflows_permission_cannot_push_a_new_workflow(
    github: GitHub, repo: Repository, app: App, ann: Account, clone: Callable[..., Path]
) -> None:
    where = clone(github.installation_token(app.installations[0]))
    committed(where, ".github/workflows/evil.yml")
    refused = git("push", cwd=where)
    assert "without `workflows` permission" in refused.stderr
    assert git("push", repo.clone_url_for(github.token(ann)), "main", cwd=where).returncode == 0
    # What some branch already holds may be carried on to another.
    assert git("push", "origin", "main:gate/two", cwd=where).returncode == 0


def test_two_pushes_to_one_ref_and_the_loser_reads_again(
    github: GitHub, repo: Repository, ann: Account, clone: Callable[..., Path]
) -> None:
    first, second = clone(github.token(ann)), clone(github.token(ann))
    committed(first)
    committed(second)
    assert git("push", cwd=first).returncode == 0
    assert "fetch first" in git("push", cwd=second).stderr


# -- GraphQL -----------------------------------------------------------------------------------

READ = """query($n: Int!) {
  viewer {login}
  rateLimit {cost remaining}
  repository(owner: "acme", name: "models") {
    id isPrivate viewerPermission
    defaultBranchRef {name target {oid}}
    ref(qualifiedName: "refs/heads/main") {target {... on Commit {message}}}
    refs(refPrefix: "refs/heads/gate/", first: 50) {nodes {name} totalCount}
    policy: object(expression: "HEAD:.github/approvals.yml") {... on Blob {text oid}}
    missing: object(expression: "main:nothing") {... on Blob {text}}
    pullRequests(first: 1, states: [OPEN]) {nodes {number} pageInfo {hasNextPage endCursor}}
    pullRequest(number: $n) {
      id number title body state merged isDraft closed closedAt updatedAt createdAt
      author {login __typename ... on User {databaseId} ... on Bot {databaseId}}
      headRefName headRefOid baseRefName baseRefOid isCrossRepository
      headRepository {nameWithOwner} headRef {name}
      labels(first: 5) {nodes {id name}}
      reviewRequests(first: 5) {nodes {requestedReviewer {__typename ... on User {login}}}}
      commits(last: 1) {nodes {commit {oid}}}
      reviews(first: 5) {
        totalCount pageInfo {hasNextPage endCursor}
        nodes {id databaseId author {login} state body submittedAt lastEditedAt createdAt
               commit {oid} url includesCreatedEdit viewerDidAuthor
               reactionGroups {content reactors(first: 1) {totalCount}}}}
      comments(first: 5) {nodes {id databaseId author {login} body createdAt lastEditedAt url
                                 isMinimized reactionGroups {content viewerHasReacted}}}
      timelineItems(first: 5, itemTypes: [CLOSED_EVENT, REOPENED_EVENT]) {nodes {__typename}}
      userContentEdits(first: 5) {nodes {editedAt editor {login}}}
    }
  }
}"""


def test_one_query_reads_all_that_a_decision_needs(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account, app: App
) -> None:
    repo.commit("main", {".github/approvals.yml": "a: 1\n"})
    review = pull.review(ann, "APPROVED", body="yes")
    pull.comment(ann, "/status").react(app.bot, "eyes")
    pull.edit(ann, body="changed")
    pull.close(ann)
    pull.reopen(ann)
    token = github.installation_token(app.installations[0])
    seen = graphql(github, token, READ, n=1)["data"]["repository"]
    assert seen["policy"] == {"text": "a: 1\n", "oid": repo.bare.sha("HEAD:.github/approvals.yml")}
    assert seen["missing"] is None
    assert seen["refs"] == {"nodes": [{"name": "one"}], "totalCount": 1}
    page = seen["pullRequest"]
    assert page["author"] == {
        "login": "bridge-opener",  # GraphQL shows a bot without its [bot]
        "__typename": "Bot",
        "databaseId": app.bot.id,
    }
    assert page["headRefOid"] == pull.head_sha
    (vote,) = page["reviews"]["nodes"]
    assert (vote["databaseId"], vote["state"]) == (review.id, "APPROVED")
    assert (vote["commit"], vote["viewerDidAuthor"]) == ({"oid": pull.head_sha}, False)
    reacted = {
        row["content"]: row["viewerHasReacted"]
        for row in page["comments"]["nodes"][0]["reactionGroups"]
    }
    assert reacted["EYES"] is True
    assert reacted["ROCKET"] is False
    assert [each["editor"]["login"] for each in page["userContentEdits"]["nodes"]] == [
        "ann",
        "bridge-opener",
    ]
    kinds = [each["__typename"] for each in page["timelineItems"]["nodes"]]
    assert kinds == ["ClosedEvent", "ReopenedEvent"]


def test_many_mutations_go_in_one_document_and_each_may_fail_alone(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    comment = pull.comment(ann, "/approve")
    repo.label("gate:approved")
    repo.label("gate:pending")
    pull.label(ann, "gate:pending")
    ids = graphql(
        github,
        github.token(ann),
        """{repository(owner: "acme", name: "models") {
          labels(first: 9) {nodes {id name}}
          pullRequest(number: 1) {id comments(first: 1) {nodes {id}}}}}""",
    )["data"]["repository"]
    labels = {row["name"]: row["id"] for row in ids["labels"]["nodes"]}
    said = graphql(
        github,
        github.token(ann),
        """mutation($pr: ID!, $c: ID!, $on: [ID!]!, $off: [ID!]!) {
          a: addComment(input: {subjectId: $pr, body: "status"}) {commentEdge {node {id body}}}
          b: addReaction(input: {subjectId: $c, content: ROCKET}) {reaction {content}}
          c: addLabelsToLabelable(input: {labelableId: $pr, labelIds: $on}) {clientMutationId}
          d: removeLabelsFromLabelable(input: {labelableId: $pr, labelIds: $off}) {
               labelable {labels(first: 5) {nodes {name}}}}
          e: updateIssueComment(input: {id: $c, body: "edited"}) {issueComment {body}}
          f: updatePullRequest(input: {pullRequestId: $pr, title: "Done"}) {pullRequest {title}}
          g: closeIssue(input: {issueId: "I_nothing"}) {issue {id}}
          h: minimizeComment(input: {subjectId: $c, classifier: OUTDATED}) {
               minimizedComment {isMinimized}}
          i: closePullRequest(input: {pullRequestId: $pr}) {pullRequest {state}}
          j: reopenPullRequest(input: {pullRequestId: $pr}) {pullRequest {state}}
          k: removeReaction(input: {subjectId: $c, content: ROCKET}) {
               reactionGroups {content users(first: 1) {totalCount}}}
        }""",
        pr=ids["pullRequest"]["id"],
        c=ids["pullRequest"]["comments"]["nodes"][0]["id"],
        on=[labels["gate:approved"]],
        off=[labels["gate:pending"]],
    )
    assert [(each["type"], each["path"]) for each in said["errors"]] == [("NOT_FOUND", ["g"])]
    assert said["data"]["a"]["commentEdge"]["node"]["body"] == "status"
    assert said["data"]["d"]["labelable"]["labels"]["nodes"] == [{"name": "gate:approved"}]
    assert said["data"]["h"]["minimizedComment"] == {"isMinimized": True}
    assert said["data"]["j"]["pullRequest"] == {"state": "OPEN"}
    assert (comment.body, comment.reactions, pull.title) == ("edited", [], "Done")


def test_graphql_opens_and_asks_for_review(
    github: GitHub, repo: Repository, ann: Account, app: App
) -> None:
    repo.commit("gate/one", {"a": "1"})
    token = github.installation_token(app.installations[0])
    find = '{repository(owner: "acme", name: "models") {id} user(login: "ann") {id}}'
    ids = graphql(github, token, find)["data"]
    made = graphql(
        github,
        token,
        """mutation($r: ID!) {createPullRequest(input: {repositoryId: $r, headRefName: "gate/one",
           baseRefName: "main", title: "Deploy?"}) {pullRequest {id number}}}""",
        r=ids["repository"]["id"],
    )["data"]["createPullRequest"]["pullRequest"]
    ask = "mutation($p: ID!, $u: [ID!]) {requestReviews(input: {pullRequestId: $p, userIds: $u}) {clientMutationId}}"  # noqa: E501
    graphql(github, token, ask, p=made["id"], u=[ids["user"]["id"]])
    assert repo.pull(made["number"]).requested == [ann]


def test_graphql_forbids_what_the_token_may_not(
    github: GitHub, repo: Repository, pull: PullRequest
) -> None:
    token = github.actions_token(repo, {"contents": "read"})
    find = '{repository(owner: "acme", name: "models") {pullRequest(number: 1) {id}}}'
    number = graphql(github, token, find)["data"]["repository"]["pullRequest"]["id"]
    said = graphql(
        github,
        token,
        'mutation($i: ID!) {addComment(input: {subjectId: $i, body: "x"}) {clientMutationId}}',
        i=number,
    )
    assert said["data"] == {"addComment": None}
    assert said["errors"][0]["type"] == "FORBIDDEN"
    assert said["errors"][0]["message"] == "Resource not accessible by integration"
    repo.private = True
    assert graphql(github, token, find)["errors"][0]["type"] == "FORBIDDEN"
    assert graphql(github, None, "{viewer {login}}")["status"] == 401


def test_a_connection_wants_a_size_of_at_most_a_hundred_and_pages(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    for index in range(3):
        repo.open_issue(ann, f"issue {index}")
    ask = """query($first: Int, $after: String) {repository(owner: "acme", name: "models") {
      issues(first: $first, after: $after) {nodes {number} pageInfo {hasNextPage endCursor}}}}"""
    token = github.token(ann)
    assert graphql(github, token, ask)["errors"][0]["type"] == "MISSING_PAGINATION_BOUNDARIES"
    assert graphql(github, token, ask, first=101)["errors"][0]["type"] == "EXCESSIVE_PAGINATION"
    seen, after = [], None
    while True:
        page = graphql(github, token, ask, first=2, after=after)["data"]["repository"]["issues"]
        seen += [each["number"] for each in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == [1, 2, 3]


# -- the description ---------------------------------------------------------------------------


def broken(github: GitHub) -> str:
    """What the server holds against the test, which is then forgiven."""
    with pytest.raises(AssertionError) as caught:
        github.check()
    github.problems.clear()
    return str(caught.value)


def test_what_github_does_not_describe_fails_the_test_that_asked(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    token = github.token(ann)
    assert rest(github, token, "GET", "/repos/acme/models/traffic/views").status_code == 501
    assert "no such operation" in broken(github)
    rest(github, token, "GET", "/repos/acme/models/issues?stat=open")
    assert "no parameter 'stat'" in broken(github)
    rest(github, token, "GET", "/repos/acme/models/issues?state=opened")
    assert "'opened' is not one of" in broken(github)
    rest(github, token, "POST", "/repos/acme/models/issues", title="x", text="y")
    assert "no property 'text'" in broken(github)
    rest(github, token, "POST", "/repos/acme/models/issues", body="y")
    assert "'title' is a required property" in broken(github)
    graphql(github, token, "{viewer {loginn}}")
    assert "Cannot query field 'loginn'" in broken(github)
    graphql(github, token, "{viewer {bio}}")
    assert "not served: User.bio" in broken(github)


def test_an_answer_or_event_that_breaks_the_description_fails_the_test(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    ann.login = 7  # type: ignore[assignment]
    repo.open_issue(ann, "x")
    assert "issue/user/login: 7 is not of type 'string'" in broken(github)
    rest(github, None, "GET", "/repos/acme/models/issues/1")
    assert "answer issues/get 200: user/login: 7 is not of type" in broken(github)
    ann.login = "ann"


def test_the_problems_are_raised_when_the_server_is_left() -> None:
    def leave() -> None:
        with GitHub() as github:
            rest(github, None, "GET", "/feeds")

    with pytest.raises(AssertionError, match="no such operation"):
        leave()


def test_a_list_comes_in_pages_that_pygithub_follows(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    issue = repo.open_issue(ann)
    for index in range(35):
        issue.comment(ann, f"comment {index}")
    found = as_(github, github.token(ann)).get_repo("acme/models").get_issue(1)
    assert [each.body for each in found.get_comments()] == [f"comment {n}" for n in range(35)]
    reply = rest(github, None, "GET", "/repos/acme/models/issues/1/comments?per_page=10&page=2")
    assert set(reply.links) == {"next", "last", "first", "prev"}


# -- what goes wrong ---------------------------------------------------------------------------


def test_the_nth_request_can_fail_before_or_after_its_work(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    issue = repo.open_issue(ann)
    path = "/repos/acme/models/issues/1/comments"
    token = github.token(ann)
    github.faults.answer(502, nth=2, method="POST", path="*/comments")
    github.faults.cut(nth=3, method="POST", path="*/comments", after=True)
    assert rest(github, token, "POST", path, body="1").status_code == 201
    assert rest(github, token, "POST", path, body="2").status_code == 502
    with pytest.raises(requests.ConnectionError):
        rest(github, token, "POST", path, body="3")
    assert [each.body for each in issue.comments] == ["1", "3"]


def test_answers_can_be_cut_truncated_malformed_and_slow(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    token = github.token(ann)
    github.faults.cut(path="*/models")
    with pytest.raises(requests.ConnectionError):
        rest(github, token, "GET", "/repos/acme/models")
    github.faults.truncate()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        rest(github, token, "GET", "/repos/acme/models")
    github.faults.malformed(kind="graphql")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        graphql(github, token, "{viewer {login}}")
    hold = github.faults.hold(path="*/models")
    slow = threading.Thread(target=rest, args=(github, token, "GET", "/repos/acme/models"))
    slow.start()
    assert hold.reached.wait(30)
    assert rest(github, token, "GET", "/user").ok  # others go on
    hold.release()
    slow.join()


def test_a_test_can_lay_its_hand_on_the_nth_request(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    token = github.token(ann)
    github.faults.run(token.revoke, nth=2)
    assert rest(github, token, "GET", "/user").status_code == 200
    assert rest(github, token, "GET", "/user").status_code == 401


def test_limits_are_told_as_github_tells_them(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    token = github.token(ann)
    github.faults.secondary_limit(retry_after=7)
    limited = rest(github, token, "GET", "/user")
    assert (limited.status_code, limited.headers["Retry-After"]) == (403, "7")
    github.rate_limit = 2
    left = [rest(github, token, "GET", "/user") for _ in range(3)]
    assert [each.headers["X-RateLimit-Remaining"] for each in left] == ["1", "0", "0"]
    assert [each.status_code for each in left] == [200, 200, 403]
    resets = datetime.fromtimestamp(int(left[-1].headers["X-RateLimit-Reset"]), UTC)
    github.clock.set(resets)
    assert rest(github, token, "GET", "/user").status_code == 200
    for _ in range(2):
        assert graphql(github, token, "{viewer {login}}")["data"]
    assert graphql(github, token, "{viewer {login}}")["errors"][0]["type"] == "RATE_LIMITED"


def test_too_much_content_in_a_minute_meets_the_secondary_limit(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    github.clock.set(datetime(2026, 1, 1, tzinfo=UTC))
    repo.open_issue(ann)
    github.content_limit = 1
    token, path = github.token(ann), "/repos/acme/models/issues/1/comments"
    assert rest(github, token, "POST", path, body="1").status_code == 201
    refused = rest(github, token, "POST", path, body="2")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    github.clock.advance(seconds=61)
    assert rest(github, token, "POST", path, body="2").status_code == 201


# -- the server itself -------------------------------------------------------------------------


def test_requests_are_counted_by_kind(
    github: GitHub, repo: Repository, ann: Account, app: App
) -> None:
    token = github.token(ann)
    rest(github, token, "GET", "/user")
    graphql(github, token, "{viewer {login}}")
    git("ls-remote", repo.clone_url)
    auth = pygithub.Auth.AppAuth(app.id, app.key)
    pygithub.GithubIntegration(auth=auth, base_url=github.api_url).get_repo_installation(
        "acme", "models"
    )
    assert github.counts == {"rest": 1, "graphql": 1, "git": 2, "mint": 1}  # git asks twice
    assert github.requests[0].operation == "users/get-authenticated"
    github.forget_requests()
    assert not github.counts


def test_it_can_be_addressed_as_github_com_is() -> None:
    with GitHub(enterprise=False) as github:
        repo = github.repository("acme/models")
        ann = github.user("ann")
        told = github.environment(repo, github.token(ann))
        assert told["GITHUB_API_URL"] == github.url
        assert told["GITHUB_GRAPHQL_URL"] == f"{github.url}/graphql"
        assert as_(github, github.token(ann)).get_user().id == ann.id
        assert graphql(github, github.token(ann), "{viewer {login}}")["data"]


def test_it_stops_cleanly_with_connections_open() -> None:
    before = threading.active_count()
    github = GitHub()
    idle = socket.create_connection(("127.0.0.1", int(github.url.rsplit(":", 1)[1])))
    with requests.Session() as session:
        session.get(f"{github.api_url}/meta", timeout=30)
        github.close()
    idle.close()
    assert threading.active_count() == before


def test_starting_reads_no_description_until_it_is_asked() -> None:
    script = (
        "from tests.github import GitHub, contract\n"
        "with GitHub():\n"
        "    assert 'document' not in vars(contract.REST)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_kept_description_names_where_it_came_from() -> None:
    data = Path(__file__).parent / "github" / "data"
    notice = (data / "NOTICE").read_text()
    for name in ("rest.json", "webhooks.json"):
        package = json.loads((data / name).read_text())["source"].split(",")[0]
        assert package in notice
    first = (data / "schema.graphql").read_text().splitlines()[0]
    assert first.removeprefix("# ").split(",")[0] in notice
    assert notice.count("Permission is hereby granted") == 3


def test_a_thousand_pull_requests_are_made_at_once(
    github: GitHub, repo: Repository, ann: Account
) -> None:
    made = repo.many_pull_requests(ann, {f"gate/{n}": {"n": str(n)} for n in range(1000)})
    assert github.events == []
    assert repo.file("n", "refs/pull/1000/head") == "999"
    repo.commit("gate/7", {"n": "more"})
    assert made[7].head_sha == repo.branch("gate/7")
    with pytest.raises(Refusal, match="Validation Failed"):
        repo.open_pull_request(ann, "gate/8")
    listed = rest(github, None, "GET", "/repos/acme/models/pulls?per_page=100&page=10")
    assert len(listed.json()) == 100


def test_a_branch_can_be_deleted_by_the_merge_that_it_brought(
    github: GitHub, repo: Repository, pull: PullRequest, ann: Account
) -> None:
    repo.delete_branch_on_merge = True
    pull.merge(ann)
    assert pull.merged
    assert repo.branch("gate/one") is None
    assert repo.bare.sha("refs/pull/1/head") == pull.head_sha


def test_pushes_at_once_are_each_noticed_once(
    github: GitHub, repo: Repository, ann: Account, clone: Callable[..., Path]
) -> None:
    repo.many_pull_requests(ann, {f"gate/{n}": {"n": str(n)} for n in range(4)})
    where = clone(github.token(ann))
    committed(where)
    pushes = [
        threading.Thread(
            target=git, args=("push", "-f", "origin", f"HEAD:gate/{n}"), kwargs={"cwd": where}
        )
        for n in range(4)
    ]
    for push in pushes:
        push.start()
    for push in pushes:
        push.join()
    moved = github.events_of("pull_request", "synchronize")
    assert sorted(each.payload["number"] for each in moved) == [1, 2, 3, 4]


def test_a_form_of_answer_that_is_not_served_is_said_so(github: GitHub, repo: Repository) -> None:
    url = f"{github.api_url}/repos/acme/models/contents/README.md"
    headers = {"Accept": "application/vnd.github.raw+json"}
    assert requests.get(url, headers=headers, timeout=30).status_code == 501
    assert "serves no application/vnd.github.raw+json" in broken(github)
