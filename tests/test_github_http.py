"""The edges of HTTP: whatever GitHub or the line to it does, one sentence and no secret."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bridge.core.errors import Faults, ForgeUnavailable, NoSuchPage
from bridge.core.evaluation import Actor, Answer, Question
from bridge.core.rules import Group, GroupKind
from bridge.core.settings import GitHubSettings, github_from_environment
from bridge.github.client import GitHub
from bridge.github.transport import PATIENCE
from bridge.pages.model import (
    Account,
    Branch,
    Kind,
    Light,
    Mark,
    Page,
    React,
    Reaction,
    Say,
    Site,
    State,
    Voices,
)

API = "https://api.github.com:443"  # the library writes the port out
GRAPHQL = f"{API}/graphql"
TOKEN = "ghp_the_secret_of_this_test"  # noqa: S105
WHO = {"__typename": "User", "login": "ann", "databaseId": 7}
NONE: dict[str, Any] = {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
MORE = {"hasNextPage": True, "endCursor": "here"}
SITE: dict[str, Any] = {
    "databaseId": 7,
    "nameWithOwner": "acme/models",
    "url": "https://github.com/acme/models",
    "defaultBranchRef": {"name": "main", "target": {"oid": "c" * 40}},
    "policy": {"text": "gates: []", "isTruncated": False},
    "labels": {"nodes": []},
}


def node(**changes: Any) -> dict[str, Any]:
    """A pull request as GraphQL tells of it."""
    return {
        "__typename": "PullRequest",
        "id": "PR_1",
        "number": 1,
        "url": "https://github.com/acme/models/pull/1",
        "state": "OPEN",
        "title": "Deploy?",
        "body": "",
        "createdAt": "2026-01-01T00:00:00Z",
        "lastEditedAt": None,
        "author": WHO,
        "headRepository": {"nameWithOwner": "acme/models"},
        "headRefName": "gate/" + "0" * 12,
        "headRefOid": "a" * 40,
        "headRef": {"name": "gate/" + "0" * 12},
        "baseRefName": "approvals",
        "labels": {"nodes": []},
        "locked": False,
        "threads": {"totalCount": 0},
        **dict.fromkeys(("userContentEdits", "reviews", "comments", "timelineItems"), NONE),
        **changes,
    }


def looked(page: Any, **site: Any) -> dict[str, Any]:
    """The answer to a look at one page."""
    return {
        "data": {
            "viewer": {"login": "approval[bot]", "databaseId": 1},
            "site": SITE | site,
            "page": {"issueOrPullRequest": page},
        }
    }


def comment(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "author": WHO,
        "body": "/approve",
        "url": f"https://github.com/acme/models/pull/1#{name}",
        "lastEditedAt": None,
        "editor": None,
        "reactionGroups": [],
        "createdAt": "2026-01-01T00:00:00Z",
    }


PAGE = Page(
    node="PR_1",
    number=1,
    url="https://github.com/acme/models/pull/1",
    state=State.OPEN,
    title="Deploy?",
    body="",
    author=Account(1, "approval[bot]", Kind.BOT),
    at=datetime(2026, 1, 1, tzinfo=UTC),
    branch=Branch("acme/models", "gate/" + "0" * 12, "a" * 40, "approvals"),
)


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def waits() -> list[float]:
    """The pauses that were made, in seconds; nobody really waits."""
    return []


@pytest.fixture
def forge(waits: list[float]) -> GitHub:
    return GitHub(GitHubSettings("acme/models", token=TOKEN), waits.append)


def told(act: Callable[[], object], *secrets: str) -> str:
    """What a person is told: one sentence, without a secret in it or in what a bug would show."""
    with pytest.raises(ForgeUnavailable) as caught:
        act()
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error)
    for secret in (TOKEN, *secrets):
        assert secret not in shown
    assert "\n" not in str(error)
    return str(error)


# -- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "proxy", "verify"),
    [
        ({}, None, True),
        ({"HTTPS_PROXY": "http://proxy.example"}, "http://proxy.example", True),
        ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "github.com"}, None, True),
        ({"REQUESTS_CA_BUNDLE": "/our/ca.pem"}, None, "/our/ca.pem"),
    ],
)
def test_the_environments_proxy_and_certificates_are_used_for_each_request(
    http: responses.RequestsMock,
    forge: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    proxy: str | None,
    verify: bool | str,
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    http.post(GRAPHQL, json=looked(node()))
    for _ in range(2):
        forge.look(1)
    used = [each.request.req_kwargs for each in http.calls]
    assert [(each["proxies"].get("https"), each["verify"]) for each in used] == [
        (proxy, verify)
    ] * 2


# -- limits ----------------------------------------------------------------------------------------


def test_a_limit_is_waited_for_as_long_as_github_says(
    http: responses.RequestsMock, forge: GitHub, waits: list[float]
) -> None:
    http.post(GRAPHQL, status=403, headers={"Retry-After": "7"}, json={"message": "slow down"})
    http.post(GRAPHQL, status=429, headers={"Retry-After": "5"}, json={"message": "slow down"})
    http.post(GRAPHQL, json=looked(node()))
    assert forge.look(1).pages[0].number == 1
    assert waits == [7, 5]


def test_a_secondary_limit_without_a_time_is_waited_for_a_minute(
    http: responses.RequestsMock, forge: GitHub, waits: list[float]
) -> None:
    said = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    http.post(GRAPHQL, status=403, json=said)
    http.post(GRAPHQL, json=looked(node()))
    forge.look(1)
    assert waits == [60]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"message": "API rate limit exceeded for installation ID 1."}),
        (200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}),
    ],
)
def test_the_hours_limit_is_waited_for_where_it_ends_soon(
    http: responses.RequestsMock,
    forge: GitHub,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: Any,
) -> None:
    monkeypatch.setattr("bridge.github.transport.time.time", lambda: 1_000.5)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1030"}
    http.post(GRAPHQL, status=status, headers=headers, json=body)
    http.post(GRAPHQL, json=looked(node()))
    forge.look(1)
    assert waits == [30.5]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "3600"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4600"},
        {"Retry-After": "9" * 11},
    ],
)
def test_a_limit_that_lasts_is_not_waited_for_and_its_end_is_told(
    http: responses.RequestsMock,
    forge: GitHub,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
) -> None:
    monkeypatch.setattr("bridge.github.transport.time.time", lambda: 1_000.5)
    http.post(GRAPHQL, status=403, headers=headers, json={"message": "API rate limit exceeded"})
    assert "it accepts no more requests until " in told(lambda: forge.look(1))
    assert waits == []


def test_all_waiting_together_has_an_end(
    http: responses.RequestsMock, forge: GitHub, waits: list[float]
) -> None:
    http.post(GRAPHQL, status=429, headers={"Retry-After": "0"}, json={"message": "no"})
    for _ in range(3):
        told(lambda: forge.look(1))
    assert sum(waits) == PATIENCE


def test_a_plain_no_is_not_waited_for(
    http: responses.RequestsMock, forge: GitHub, waits: list[float]
) -> None:
    headers = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": "1"}
    said = {"message": "Resource not accessible by integration"}
    http.post(GRAPHQL, status=403, headers=headers, json=said)
    assert told(lambda: forge.look(1)) == (
        "github:acme/models cannot be read: GitHub answers 403 (Resource not accessible by"
        " integration); the credential may not do this: see `hitl doctor`"
    )
    assert waits == []


# -- GitHub fails, or the line does ----------------------------------------------------------------

BROKEN = [
    pytest.param({"status": 502, "body": "<html>Bad Gateway</html>"}, "answers 502", id="502"),
    pytest.param({"status": 503, "json": {"message": "unicorn"}}, "answers 503", id="503"),
    pytest.param({"body": '{"data": {"vie'}, "its answer is not JSON", id="half"),
    pytest.param({"body": "<html>Sign in to this network</html>"}, "is not JSON", id="html"),
    pytest.param({"body": "[" * 100_000}, "is not JSON", id="deep"),
    pytest.param({"body": ""}, "is not what GitHub describes", id="empty"),
    pytest.param({"json": []}, "is not what GitHub describes", id="list"),
    pytest.param({"json": {}}, "its answer holds no data", id="nothing"),
    pytest.param({"json": {"data": None}}, "its answer holds no data", id="null"),
    pytest.param({"json": {"data": {"viewer": None}}}, "not what GitHub describes", id="hole"),
    pytest.param({"json": {"data": {}, "errors": "yes"}}, "cannot be read", id="odd errors"),
    pytest.param(
        {"json": {"data": None, "errors": [{"message": "Something went wrong while executing"}]}},
        "it gave up on the query",
        id="timeout",
    ),
    pytest.param(
        {"json": looked(node()), "headers": {"X-RateLimit-Reset": "soon"}},
        "makes no sense",
        id="header",
    ),
    pytest.param(
        {"body": requests.ConnectionError(f"Authorization: {TOKEN}")}, "ConnectionError", id="cut"
    ),
    pytest.param({"body": requests.ReadTimeout("x")}, "ReadTimeout", id="slow"),
    pytest.param(
        {"body": requests.exceptions.ChunkedEncodingError("x")}, "ChunkedEncoding", id="truncated"
    ),
    pytest.param({"status": 307, "headers": {"Location": f"{API}/x"}}, "moved", id="307"),
    pytest.param(
        {"status": 301, "headers": {"Location": "https://elsewhere.test/graphql"}},
        "moved",
        id="301 elsewhere",
    ),
    pytest.param({"status": 301, "headers": {"Location": "http://a/"}}, "moved", id="301 plain"),
    pytest.param({"status": 301, "headers": {"Location": GRAPHQL}}, "moved", id="301 itself"),
]


@pytest.mark.parametrize(("answer", "words"), BROKEN)
def test_a_broken_answer_is_one_sentence_and_never_a_look(
    http: responses.RequestsMock,
    forge: GitHub,
    waits: list[float],
    answer: dict[str, Any],
    words: str,
) -> None:
    http.post(GRAPHQL, **answer)
    assert words in told(lambda: forge.look(1))
    assert sum(waits) < 10


@pytest.mark.parametrize("answer", [{"status": 502}, {"body": requests.ConnectionError("x")}])
def test_what_only_reads_is_asked_again(
    http: responses.RequestsMock, forge: GitHub, waits: list[float], answer: dict[str, Any]
) -> None:
    http.post(GRAPHQL, **answer)
    http.post(GRAPHQL, **answer)
    http.post(GRAPHQL, json=looked(node()))
    assert forge.look(1).pages[0].number == 1
    assert waits == [1, 2]


def test_a_redirection_on_the_same_host_is_followed(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    person = Actor("ann", login="ann", id=7, proven=True)
    asked = Question(person, Group(GroupKind.PERMISSION, "write"))
    path = "/repos/acme/models/collaborators/ann/permission"
    http.get(API + path, status=301, headers={"Location": f"{API}/repositories/1/permission"})
    found = {"user": {"id": 7, "permissions": {"push": True}}, "role_name": "write"}
    http.get(f"{API}/repositories/1/permission", json=found)
    (answer,) = forge.memberships([asked])
    assert answer.answer is Answer.MEMBER


# -- part of an answer is none ---------------------------------------------------------------------


def test_a_number_without_a_page_is_no_such_page(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    error = {
        "type": "NOT_FOUND",
        "path": ["page", "issueOrPullRequest"],
        "message": "Could not resolve",
    }
    http.post(GRAPHQL, json={**looked(None), "errors": [error]})
    with pytest.raises(NoSuchPage, match="neither a pull request nor an issue 1"):
        forge.look(1)


@pytest.mark.parametrize(
    "error",
    [
        {"type": "NOT_FOUND", "path": ["site", "policy"], "message": "gone"},
        {"type": "FORBIDDEN", "path": ["page", "issueOrPullRequest"], "message": "not yours"},
        {"path": ["page", "issueOrPullRequest", "reviews"], "message": "timed out"},
        "odd",
    ],
)
def test_an_answer_with_a_hole_in_it_is_no_evidence(
    http: responses.RequestsMock, forge: GitHub, error: Any
) -> None:
    http.post(GRAPHQL, json={**looked(node()), "errors": [error]})
    assert "github:acme/models cannot be read" in told(lambda: forge.look(1))


def edited(name: str, **changes: Any) -> dict[str, Any]:
    at = "2026-01-01T00:01:00Z"
    return {**comment(name), "body": "/hold.", "lastEditedAt": at, "editor": WHO, **changes}


def states(name: str, *texts: str | None, **changes: Any) -> dict[str, Any]:
    """Every state of a text, oldest first; GitHub gives them the other way round."""
    nodes = [
        {
            "editedAt": f"2026-01-01T00:0{minute}:00Z",
            "editor": WHO,
            "diff": text,
            "deletedAt": None,
        }
        for minute, text in enumerate(texts)
    ]
    found = {**NONE, "nodes": nodes[::-1]}
    made = {"__typename": "IssueComment", "id": name, "includesCreatedEdit": True}
    return {**made, "userContentEdits": found, **changes}


def revisions(http: responses.RequestsMock, forge: GitHub, of: dict[str, Any]) -> list[str | None]:
    """What the first comment's author and editors wrote, as the bridge reads it."""
    http.post(GRAPHQL, json=looked(node(comments={**NONE, "nodes": [edited("one")]})))
    http.post(GRAPHQL, json={"data": {"nodes": [of]}})
    (page,) = forge.look(1).pages
    assert json.loads(http.calls[-1].request.body)["variables"] == {"ids": ["one"]}
    return [each.text for each in page.comments[0].revisions]


def test_every_state_of_an_edited_text_is_read(http: responses.RequestsMock, forge: GitHub) -> None:
    assert revisions(http, forge, states("one", "/hold", "/hold.")) == ["/hold", "/hold."]


@pytest.mark.parametrize(
    "of",
    [
        states("one", None, "/hold."),
        states("one", "/hold.", includesCreatedEdit=False),
        states("one", "@@ -1 +1 @@", "@@ -1 +1 @@\n-/hold\n+/hold."),
    ],
    ids=["deleted", "older than GitHub's history", "no whole text"],
)
def test_a_state_whose_text_github_does_not_give_is_unknown(
    http: responses.RequestsMock, forge: GitHub, of: dict[str, Any]
) -> None:
    assert revisions(http, forge, of) == [None, "/hold."]


def test_the_hundred_and_first_state_of_a_text_is_read_or_the_look_fails(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    more = {"nodes": [], "pageInfo": MORE}
    http.post(GRAPHQL, json=looked(node(comments={**NONE, "nodes": [edited("one")]})))
    http.post(GRAPHQL, json={"data": {"nodes": [states("one", userContentEdits=more)]}})
    http.post(GRAPHQL, status=502)
    assert "answers 502" in told(lambda: forge.look(1))


def test_a_text_that_is_gone_while_its_states_are_read_fails_the_look(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(GRAPHQL, json=looked(node(comments={**NONE, "nodes": [edited("one")]})))
    http.post(GRAPHQL, json={"data": {"nodes": [None]}})
    assert "not what GitHub describes" in told(lambda: forge.look(1))


@pytest.mark.parametrize("name", ["reviews", "comments", "userContentEdits", "timelineItems"])
def test_a_list_is_read_to_its_end_or_the_look_fails(
    http: responses.RequestsMock, forge: GitHub, name: str
) -> None:
    http.post(GRAPHQL, json=looked(node(**{name: {"nodes": [], "pageInfo": MORE}})))
    http.post(GRAPHQL, status=502)
    assert "answers 502" in told(lambda: forge.look(1))
    asked = json.loads(http.calls[1].request.body)
    assert f"{name}(first: 100, after: $after" in asked["query"]
    assert asked["variables"] == {"id": "PR_1", "after": "here"}


def test_a_second_page_of_comments_is_read_too(http: responses.RequestsMock, forge: GitHub) -> None:
    first = {"nodes": [comment("one")], "pageInfo": MORE}
    second = {**NONE, "nodes": [comment("two")]}
    http.post(GRAPHQL, json=looked(node(comments=first)))
    http.post(GRAPHQL, json={"data": {"node": {"comments": second}}})
    (page,) = forge.look(1).pages
    assert [each.node for each in page.comments] == ["one", "two"]


def test_a_list_that_says_there_is_more_but_not_where_is_no_evidence(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    lost = {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}
    http.post(GRAPHQL, json=looked(node(reviews=lost)))
    assert "not what GitHub describes" in told(lambda: forge.look(1))


@pytest.mark.parametrize(
    "hole",
    [
        {"reviews": None},
        {"state": "HALF_OPEN"},
        {"createdAt": "yesterday"},
        {"comments": {"nodes": [None], "pageInfo": NONE["pageInfo"]}},
        {"comments": {"nodes": [comment("x") | {"createdAt": None}], "pageInfo": {}}},
    ],
)
def test_what_is_not_as_github_describes_it_is_no_evidence(
    http: responses.RequestsMock, forge: GitHub, hole: dict[str, Any]
) -> None:
    http.post(GRAPHQL, json=looked(node(**hole)))
    assert "not what GitHub describes" in told(lambda: forge.look(1))


@pytest.mark.parametrize(
    "blob", [{"text": "gates: [", "isTruncated": True}, {"text": None, "isTruncated": False}, {}]
)
def test_half_a_policy_is_none(
    http: responses.RequestsMock, forge: GitHub, blob: dict[str, Any]
) -> None:
    http.post(GRAPHQL, json=looked(node(), policy=blob))
    assert "cannot be read whole" in told(lambda: forge.look(1))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 404, "json": {"message": "Not Found"}}, "may not see it"),
        ({"status": 500}, "could not be reached"),
        ({"body": requests.ConnectionError("x")}, "could not be reached"),
        ({"status": 403, "json": {"message": "no"}}, "it answered 403"),
        ({"json": []}, "it answered nothing"),
        ({"json": {"state": "pending"}}, "has not accepted"),
    ],
)
def test_a_membership_that_cannot_be_read_is_never_a_yes(
    http: responses.RequestsMock, forge: GitHub, answer: dict[str, Any], words: str
) -> None:
    person = Actor("ann", login="ann", id=7, proven=True)
    asked = Question(person, Group(GroupKind.TEAM, "acme/ml"))
    http.get(f"{API}/orgs/acme/teams/ml/memberships/ann", **answer)
    (found,) = forge.memberships([asked])
    assert found.answer is not Answer.MEMBER
    assert words in found.why


def test_a_permission_of_another_account_of_that_login_is_never_a_yes(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    person = Actor("ann", login="ann", id=7, proven=True)
    asked = Question(person, Group(GroupKind.PERMISSION, "write"))
    found = {"user": {"id": 8, "permissions": {"push": True}}, "role_name": "write"}
    http.get(f"{API}/repos/acme/models/collaborators/ann/permission", json=found)
    (answer,) = forge.memberships([asked])
    assert answer.answer is Answer.UNKNOWN
    assert "another account" in answer.why


# -- writing ---------------------------------------------------------------------------------------

SITE_READ = Site(
    "acme/models", 7, "https://github.com/acme/models", "main", "c" * 40, None, Voices()
)


def test_a_comment_is_never_said_twice_though_the_answer_was_lost(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(GRAPHQL, body=requests.ConnectionError("x"))
    told(lambda: forge.write(SITE_READ, PAGE, [Say("hello")]))
    assert len(http.calls) == 1


def test_a_reaction_is_given_again_where_the_answer_was_lost(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(GRAPHQL, body=requests.ConnectionError("x"))
    http.post(GRAPHQL, json={"data": {}})
    forge.write(SITE_READ, PAGE, [React("IC_1", Reaction.SEEN)])


def test_what_was_deleted_meanwhile_needs_no_answer_but_any_other_refusal_is_told(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    gone = {"type": "NOT_FOUND", "message": "Could not resolve to a node"}
    http.post(GRAPHQL, json={"data": {}, "errors": [gone]})
    http.post(GRAPHQL, json={"data": {}, "errors": [gone, {"message": "no: locked"}]})
    write = [React("IC_1", Reaction.SEEN)]
    forge.write(SITE_READ, PAGE, write)
    assert told(lambda: forge.write(SITE_READ, PAGE, write)).endswith(": no: locked")


def test_many_writes_go_in_documents_that_github_can_do_in_time(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(GRAPHQL, json={"data": {}})
    http.post(GRAPHQL, json={"data": {}})
    forge.write(SITE_READ, PAGE, [React(f"IC_{n}", Reaction.SEEN) for n in range(60)])
    counts = [json.loads(call.request.body)["query"].count(": addReaction(") for call in http.calls]
    assert counts == [50, 10]


def test_a_status_that_cannot_be_set_is_told_with_what_mends_it(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(f"{API}/repos/acme/models/statuses/{'a' * 40}", status=404, json={"message": "No"})
    said = told(lambda: forge.write(SITE_READ, PAGE, [Mark("a" * 40, Light.PENDING, "waits")]))
    assert "the commit status cannot be set: GitHub answers 404 (No)" in said


# -- who we are ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> str:
    """A private key as an App's owner downloads it."""
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return pair.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def app(key: str, waits: list[float]) -> GitHub:
    return GitHub(GitHubSettings("acme/models", app_id="12", app_key=key), waits.append)


MINT = f"{API}/app/installations/34/access_tokens"
FIRST, SECOND = "ghs_the_first", "ghs_the_second"
MINTED = {"token": FIRST, "expires_at": "2999-01-01T00:00:00Z"}


def installed(http: responses.RequestsMock) -> None:
    http.get(f"{API}/repos/acme/models/installation", json={"id": 34})


def test_an_app_mints_a_token_for_this_repository_alone(
    http: responses.RequestsMock, key: str, waits: list[float]
) -> None:
    installed(http)
    http.post(MINT, status=201, json=MINTED)
    http.post(GRAPHQL, json=looked(node()))
    app(key, waits).look(1)
    assert json.loads(http.calls[1].request.body) == {"repositories": ["models"]}
    assert http.calls[2].request.headers["Authorization"] == f"token {FIRST}"


def test_a_token_that_ends_soon_is_minted_again_and_the_installation_is_known(
    http: responses.RequestsMock, key: str, waits: list[float]
) -> None:
    installed(http)
    http.post(MINT, status=201, json=MINTED | {"expires_at": "2020-01-01T00:00:00Z"})
    http.post(MINT, status=201, json=MINTED | {"token": SECOND})
    forge = app(key, waits)
    assert FIRST in forge.git_url()
    assert SECOND in forge.git_url()
    assert SECOND in forge.git_url()


def test_a_token_that_github_takes_no_more_is_renewed_once(
    http: responses.RequestsMock, key: str, waits: list[float]
) -> None:
    installed(http)
    http.post(MINT, status=201, json=MINTED)
    http.post(MINT, status=201, json=MINTED | {"token": SECOND})
    http.post(GRAPHQL, status=401, json={"message": "Bad credentials"})
    said = told(lambda: app(key, waits).look(1), FIRST, SECOND, key)
    assert "GitHub answers 401 (Bad credentials); the credential is wrong or has expired" in said
    sent = [
        each.request.headers["Authorization"] for each in http.calls if each.request.url == GRAPHQL
    ]
    assert sent == [f"token {FIRST}", f"token {SECOND}"]


def test_a_fixed_token_that_github_takes_no_more_is_not_tried_again(
    http: responses.RequestsMock, forge: GitHub
) -> None:
    http.post(GRAPHQL, status=401, json={"message": "Bad credentials"})
    assert "401" in told(lambda: forge.look(1))
    assert len(http.calls) == 1


def test_a_key_that_is_none_is_told_without_showing_it(waits: list[float]) -> None:
    for bad in (FIRST, f"-----BEGIN RSA PRIVATE KEY-----\n{FIRST}\n-----END"):
        said = told(lambda bad=bad: app(bad, waits).look(1), FIRST)
        assert said.endswith("HITL_APP_KEY is no private key in PEM form")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "HITL_APP_ID and HITL_APP_KEY must be one App's"),
        (404, "the App 12 gets no token for acme/models: it is not installed there"),
        (403, "This installation has been suspended"),
        (500, "it answers 500"),
    ],
)
def test_an_app_that_gets_no_token_is_told_why(
    http: responses.RequestsMock, key: str, waits: list[float], status: int, words: str
) -> None:
    said = {"message": "This installation has been suspended"}
    http.get(f"{API}/repos/acme/models/installation", status=status, json=said)
    assert words in told(lambda: app(key, waits).look(1), key)


@pytest.mark.parametrize("made", [{}, {"token": FIRST}, {"token": FIRST, "expires_at": "?"}])
def test_a_minted_token_that_makes_no_sense_is_none(
    http: responses.RequestsMock, key: str, waits: list[float], made: dict[str, str]
) -> None:
    installed(http)
    http.post(MINT, status=201, json=made)
    assert "not what GitHub describes" in told(lambda: app(key, waits).look(1), FIRST, key)


def test_nothing_secret_is_logged_however_much_is_logged(
    http: responses.RequestsMock,
    key: str,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    installed(http)
    http.post(MINT, status=201, json=MINTED)
    http.post(GRAPHQL, json=looked(node()))
    forge = app(key, waits)
    forge.look(1)
    shown = caplog.text + repr(forge) + repr(vars(forge)) + repr(vars(forge._line))
    assert FIRST not in shown
    assert "PRIVATE KEY" not in shown


# -- where GitHub is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "rest", "graphql", "git"),
    [
        ({}, API, GRAPHQL, "https://x-access-token:ghp_a%2Fb@github.com/acme/models.git"),
        (
            {
                "GITHUB_API_URL": "https://ghe.acme.test/api/v3",
                "GITHUB_SERVER_URL": "https://ghe.acme.test",
            },
            "https://ghe.acme.test:443/api/v3",
            "https://ghe.acme.test:443/api/graphql",
            "https://x-access-token:ghp_a%2Fb@ghe.acme.test/acme/models.git",
        ),
        (
            {
                "GITHUB_API_URL": "https://ghe.acme.test:8443/api/v3/",
                "GITHUB_GRAPHQL_URL": "https://ghe.acme.test:8443/api/graphql",
                "GITHUB_SERVER_URL": "https://ghe.acme.test:8443/",
            },
            "https://ghe.acme.test:8443/api/v3",
            "https://ghe.acme.test:8443/api/graphql",
            "https://x-access-token:ghp_a%2Fb@ghe.acme.test:8443/acme/models.git",
        ),
        (
            {
                "GITHUB_API_URL": "https://api.acme.ghe.com",
                "GITHUB_SERVER_URL": "https://acme.ghe.com",
            },
            "https://api.acme.ghe.com:443",
            "https://api.acme.ghe.com:443/graphql",
            "https://x-access-token:ghp_a%2Fb@acme.ghe.com/acme/models.git",
        ),
    ],
    ids=["github.com", "enterprise", "a port", "ghe.com"],
)
def test_every_address_comes_from_the_environment(
    http: responses.RequestsMock, env: dict[str, str], rest: str, graphql: str, git: str
) -> None:
    given = {"GITHUB_REPOSITORY": "acme/models", "HITL_TOKEN": "ghp_a/b", **env}
    forge = GitHub(github_from_environment(given))
    http.post(graphql, json=looked(node()))
    http.post(f"{rest}/repos/acme/models/statuses/{'a' * 40}", status=201, json={})
    forge.look(1)
    forge.write(SITE_READ, PAGE, [Mark("a" * 40, Light.PENDING, "waits")])
    assert forge.git_url() == git


def test_a_key_from_a_variable_of_one_line_is_understood(key: str) -> None:
    env = {"GITHUB_REPOSITORY": "acme/models", "HITL_APP_ID": "12"}
    settings = github_from_environment({**env, "HITL_APP_KEY": key.replace("\n", "\\n")})
    assert settings.app_key == key


def test_every_fault_of_the_environment_is_told_at_once_without_a_value() -> None:
    env = {
        "GITHUB_REPOSITORY": "models",
        "GITHUB_API_URL": f"ftp://{TOKEN}@x",
        "HITL_APP_KEY": TOKEN,
    }
    with pytest.raises(Faults) as caught:
        github_from_environment(env)
    assert len(caught.value.faults) == 3
    assert TOKEN not in str(caught.value)
