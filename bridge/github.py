"""GitHub, through PyGithub: REST where it must be, one GraphQL query or mutation where it can be.

The `Forge` port. Every address comes from the settings. What GitHub leaves out of an answer is an
error here: half a page of reviews is not evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import requests
from github import Auth, Github, GithubException, GithubIntegration, GithubRetry
from github.Requester import Requester

from bridge.eligibility import LEVELS, reaches
from bridge.errors import ForgeUnavailable, NoSuchPage, NothingToShow
from bridge.model import Answer, Group, GroupKind, Membership, Question, Via
from bridge.page import (
    LEDGER_BRANCH,
    WAITING,
    Account,
    Amend,
    Branch,
    Close,
    Closing,
    Comment,
    Edit,
    Kind,
    Label,
    Look,
    Mark,
    Page,
    React,
    Reaction,
    Remove,
    Reopen,
    Review,
    ReviewState,
    Rewrite,
    Say,
    Site,
    State,
    Voices,
    Write,
)
from bridge.policyfile import PATH
from bridge.settings import GitHubSettings

#: The context of the commit status, and the start of the names of the bridge's labels.
STATUS = "approval"
LABELS = "gate:"
#: Gates in one query of a sweep: their pages cost GitHub little, and its answer stays in its time.
_AT_ONCE = 50
_SECONDS = 20
#: Longer than this a rate limit is not waited for: the run costs money, and the sweep comes again.
_LONGEST_WAIT = 120

_Json = dict[str, Any]


class GitHub:
    """One repository on GitHub, as one of the bridge's accounts."""

    def __init__(self, settings: GitHubSettings) -> None:
        self._settings = settings
        self._repository = settings.repository

    @property
    def name(self) -> str:
        return f"github:{self._repository}"

    def git_url(self) -> str:
        """The repository for git, with a credential in it: not to be shown."""
        parts = urlsplit(self._settings.server_url)
        auth = self._requester.auth
        assert auth is not None  # noqa: S101 - the settings hold one or were refused
        token = self._asked("a token", lambda: auth.token)
        netloc = f"x-access-token:{quote(token, safe='')}@{parts.netloc}"
        return urlunsplit(parts._replace(netloc=netloc)) + f"/{self._repository}.git"

    # -- reading -----------------------------------------------------------------------------

    def look(self, number: int) -> Look:
        found = self._query(
            f"query($owner: String!, $name: String!, $number: Int!) {{ {_SITE}"
            f" page: repository(owner: $owner, name: $name)"
            f" {{ issueOrPullRequest(number: $number) {{ ...Page ...Issue }} }} }} {_PAGE} {_ISSUE}"
            f" {_ACCOUNT}",
            {"number": number},
        )
        if found["page"]["issueOrPullRequest"] is None:
            raise NoSuchPage(f"{self._repository} has neither a pull request nor an issue {number}")
        return self._look_of(found, [found["page"]["issueOrPullRequest"]])

    def find(self, branches: Sequence[str]) -> Look:
        """One query for each fifty branches; without a branch it reads the repository alone."""
        looks = [
            self._find(branches[start : start + _AT_ONCE])
            for start in range(0, max(len(branches), 1), _AT_ONCE)
        ]
        return Look(looks[-1].site, tuple(page for look in looks for page in look.pages))

    def _find(self, branches: Sequence[str]) -> Look:
        asked = "".join(
            f" b{index}: pullRequests(headRefName: $b{index}, baseRefName: $base, first: 3,"
            " orderBy: {field: CREATED_AT, direction: DESC}) { nodes { ...Page } }"
            for index in range(len(branches))
        )
        names = "".join(f", $b{index}: String!" for index in range(len(branches)))
        pages = f" pages: repository(owner: $owner, name: $name) {{{asked} }}" if branches else ""
        base = ", $base: String!" if branches else ""
        query = (
            f"query($owner: String!, $name: String!{base}{names}) {{ {_SITE}{pages} }}"
            f" {f'{_PAGE} {_ACCOUNT}' if branches else ''}"
        )
        variables: _Json = {f"b{index}": branch for index, branch in enumerate(branches)}
        if branches:
            variables["base"] = LEDGER_BRANCH
        found = self._query(query, variables)
        nodes = [node for each in found.get("pages", {}).values() for node in each["nodes"]]
        return self._look_of(found, nodes)

    def stranded(self, label: str) -> Look:
        found = self._query(
            f"query($owner: String!, $name: String!, $base: String!, $label: String!) {{ {_SITE}"
            f" pages: repository(owner: $owner, name: $name) {{ pullRequests(first: {_AT_ONCE},"
            " baseRefName: $base, labels: [$label], states: [CLOSED, MERGED],"
            f" orderBy: {{field: UPDATED_AT, direction: DESC}}) {{ nodes {{ ...Page }} }} }} }}"
            f" {_PAGE} {_ACCOUNT}",
            {"base": LEDGER_BRANCH, "label": label},
        )
        return self._look_of(found, found["pages"]["pullRequests"]["nodes"])

    def waiting(self) -> Look:
        nodes: list[_Json] = []
        after = None
        while True:
            found = self._query(
                "query($owner: String!, $name: String!, $label: String!, $after: String)"
                f" {{ {_SITE} pages: repository(owner: $owner, name: $name) {{"
                f" issues(first: {_AT_ONCE}, after: $after, labels: [$label],"
                " orderBy: {field: CREATED_AT, direction: DESC})"
                f" {{ nodes {{ ...Issue }} {_MORE} }} }} }} {_ISSUE} {_ACCOUNT}",
                {"label": WAITING, "after": after},
            )
            part = found["pages"]["issues"]
            nodes += part["nodes"]
            after = part["pageInfo"]["endCursor"]
            if not part["pageInfo"]["hasNextPage"]:
                return self._look_of(found, nodes)

    def _look_of(self, found: _Json, nodes: Iterable[_Json]) -> Look:
        return Look(self._site(found), tuple(_page(self._whole(node)) for node in nodes if node))

    def _site(self, found: _Json) -> Site:
        repository = found["site"]
        branch = repository["defaultBranchRef"]
        if branch is None:
            raise ForgeUnavailable(f"{self._repository} has no default branch: push one first")
        blob = repository["policy"]
        if blob is not None and (blob.get("isTruncated") or blob.get("text") is None):
            raise ForgeUnavailable(f"{PATH} in {self._repository} cannot be read whole as text")
        return Site(
            repository=repository["nameWithOwner"],
            url=repository["url"],
            default_branch=branch["name"],
            commit=branch["target"]["oid"],
            policy=blob["text"] if blob else None,
            voices=_voices(self._settings.voices, found["viewer"]),
            labels={each["name"]: each["id"] for each in repository["labels"]["nodes"]},
        )

    def _whole(self, node: _Json) -> _Json:
        """The page with what did not fit into the first answer."""
        for connection, fields in (("reviews", _REVIEW), ("comments", _COMMENT)):
            part = node.get(connection, _NO_MORE)  # an issue has no reviews
            while part["pageInfo"]["hasNextPage"]:
                more = self._query(
                    f"query($id: ID!, $after: String!) {{ node(id: $id)"
                    f" {{ ... on {node['__typename']} {{ {connection}(first: 100, after: $after)"
                    f" {{ nodes {{ {fields} }} {_MORE} }} }} }} }} {_ACCOUNT}",
                    {"id": node["id"], "after": part["pageInfo"]["endCursor"]},
                    everywhere=True,
                )["node"][connection]
                node[connection]["nodes"] += more["nodes"]
                part = more
        return node

    def memberships(self, questions: Sequence[Question]) -> tuple[Membership, ...]:
        permissions: dict[str, _Json | str] = {}
        return tuple(self._membership(each, permissions) for each in questions)

    def _membership(self, question: Question, permissions: dict[str, _Json | str]) -> Membership:
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
                permissions[login] = self._permission(who)
            answer, why = _on_repository(group, permissions[login], number)
        return Membership(number, group, answer, why)

    def _in_team(self, group: Group, who: str) -> tuple[Answer, str]:
        organisation, _, slug = group.name.rpartition("/")
        organisation = organisation or self._repository.partition("/")[0]
        found = self._lookup(f"/orgs/{organisation}/teams/{quote(slug)}/memberships/{who}")
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
        number = found.get("user", {}).get("id")
        return (Answer.MEMBER, "") if active and number else (Answer.NOT, f"{who} is only invited")

    def _permission(self, who: str) -> _Json | str:
        return self._lookup(f"/repos/{self._repository}/collaborators/{who}/permission")

    def _lookup(self, path: str) -> _Json | str:
        """The answer, or why there is none. A 404 may be a no, or a token that cannot see."""
        try:
            _, found = self._requester.requestJsonAndCheck("GET", path)
        except GithubException as error:
            if error.status == 404:
                return "it is not so, or the bridge's token may not see it"
            return f"it answered {error.status}"
        except (requests.RequestException, OSError):
            return "it could not be reached"
        return found if isinstance(found, dict) else "it answered nothing"

    # -- writing -----------------------------------------------------------------------------

    def create(self, via: Via, branch: str, title: str, body: str) -> Page:
        if via is Via.ISSUE:
            return self._new_issue(title, body)
        given = {"title": title, "body": body, "head": branch, "base": LEDGER_BRANCH}
        try:
            _, made = self._requester.requestJsonAndCheck(
                "POST", f"/repos/{self._repository}/pulls", input=given
            )
        except GithubException as error:
            if error.status == 422 and "No commits between" in str(error.data):
                raise NothingToShow(
                    f"{branch} in {self._repository} holds nothing that {LEDGER_BRANCH} lacks"
                ) from None
            raise self._said(f"the pull request for {branch} cannot be opened", error) from None
        except (requests.RequestException, OSError) as error:
            raise self._cut_off(error) from None
        return _created(made)

    def _new_issue(self, title: str, body: str) -> Page:
        # With its label at once: it is by the label that an issue is found again.
        given = {"title": title, "body": body, "labels": [WAITING]}
        _, made = self._asked(
            "the issue cannot be opened",
            lambda: self._requester.requestJsonAndCheck(
                "POST", f"/repos/{self._repository}/issues", input=given
            ),
        )
        return _created(made)

    def invite(self, page: Page, users: Sequence[str], teams: Sequence[str]) -> None:
        if not users and not teams:
            return
        path = f"/repos/{self._repository}/pulls/{page.number}/requested_reviewers"
        together = {"reviewers": list(users), "team_reviewers": list(teams)}
        # One unknown name fails the whole request, so after that each is asked alone.
        one_by_one = [{"reviewers": [each]} for each in users]
        one_by_one += [{"team_reviewers": [each]} for each in teams]
        if not self._invited(path, together) and len(one_by_one) > 1:
            for each in one_by_one:
                self._invited(path, each)

    def _invited(self, path: str, who: _Json) -> bool:
        try:
            self._requester.requestJsonAndCheck("POST", path, input=who)
        except (GithubException, requests.RequestException, OSError):
            return False
        return True

    def write(self, site: Site, page: Page, writes: Sequence[Write]) -> None:
        mutations: list[tuple[str, _Json]] = []
        for each in writes:
            if isinstance(each, Mark):
                self._mark(each)
            elif isinstance(each, Label):
                mutations += self._label(site, page, each)
            else:
                mutations.append(_mutation(page, each))
        if mutations:
            self._mutate(mutations)

    def _mutate(self, mutations: Sequence[tuple[str, _Json]]) -> None:
        heads = [
            f"$i{n}: {name[0].upper()}{name[1:]}Input!" for n, (name, _) in _numbered(mutations)
        ]
        calls = [
            f"m{n}: {name}(input: $i{n}) {{ clientMutationId }}"
            for n, (name, _) in _numbered(mutations)
        ]
        variables = {f"i{n}": given for n, (_, given) in _numbered(mutations)}
        document = f"mutation({', '.join(heads)}) {{ {' '.join(calls)} }}"
        answer = self._graphql("GitHub did not take what was to be written", document, variables)
        # What was deleted while we wrote needs no answer any more; the next look sees what is left.
        bad = [each for each in answer.get("errors", ()) if each.get("type") != "NOT_FOUND"]
        if bad:
            raise ForgeUnavailable(f"{self.name} did not take what was to be written: {_told(bad)}")

    def _label(self, site: Site, page: Page, label: Label) -> Iterator[tuple[str, _Json]]:
        others = [name for name in page.labels if name.startswith(LABELS) and name != label.name]
        known = [site.labels[name] for name in others if name in site.labels]
        if known:
            yield "removeLabelsFromLabelable", {"labelableId": page.node, "labelIds": known}
        if label.name in page.labels:
            return
        if label.name in site.labels:
            ids = [site.labels[label.name]]
            yield "addLabelsToLabelable", {"labelableId": page.node, "labelIds": ids}
            return
        # REST makes a label that the repository lacks: once in its life.
        path = f"/repos/{self._repository}/issues/{page.number}/labels"
        self._asked(
            "the label cannot be set",
            lambda: self._requester.requestJsonAndCheck(
                "POST", path, input={"labels": [label.name]}
            ),
        )

    def _mark(self, mark: Mark) -> None:
        given = {"state": mark.light.value, "description": mark.says[:140], "context": STATUS}
        self._asked(
            "the commit status cannot be set",
            lambda: self._requester.requestJsonAndCheck(
                "POST", f"/repos/{self._repository}/statuses/{mark.sha}", input=given
            ),
        )

    # -- exchanges ---------------------------------------------------------------------------

    def _query(self, query: str, variables: _Json, *, everywhere: bool = False) -> _Json:
        owner, _, name = self._repository.partition("/")
        given = variables if everywhere else {"owner": owner, "name": name, **variables}
        answer = self._graphql("GitHub cannot be read", query, given)
        errors = answer.get("errors", ())
        # Only the page itself may be missing; any other hole in an answer is not evidence.
        if any(each.get("type") != "NOT_FOUND" or each.get("path") != _MISSING for each in errors):
            raise ForgeUnavailable(f"{self.name} cannot be read: {_told(errors)}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise ForgeUnavailable(f"{self.name} cannot be read: its answer holds no data")
        return data

    def _graphql(self, subject: str, document: str, variables: _Json) -> _Json:
        given = {"query": document, "variables": variables}
        _, answer = self._asked(
            subject,
            lambda: self._requester.requestJsonAndCheck(
                "POST", self._settings.graphql_url, input=given
            ),
        )
        if not isinstance(answer, dict):
            raise ForgeUnavailable(f"{subject}: the answer of {self.name} is none")
        return answer

    def _asked(self, subject: str, exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except GithubException as error:
            raise self._said(subject, error) from None
        except (requests.RequestException, OSError) as error:
            raise self._cut_off(error) from None

    def _said(self, subject: str, error: GithubException) -> ForgeUnavailable:
        message = error.data.get("message", "") if isinstance(error.data, dict) else ""
        faults = error.data.get("errors", ()) if isinstance(error.data, dict) else ()
        advice = _ADVICE.get(error.status, "")
        return ForgeUnavailable(
            f"{subject} ({self.name}): {error.status} {_told(faults) or message}{advice}"
        )

    def _cut_off(self, error: Exception) -> ForgeUnavailable:
        # The text of a transport error may repeat a header or an address; its kind says enough.
        kind = type(error).__name__
        return ForgeUnavailable(f"{self._settings.api_url} cannot be reached ({kind}): try again")

    @cached_property
    def _requester(self) -> Requester:
        settings = self._settings
        common: _Json = {
            "base_url": settings.api_url,
            "timeout": _SECONDS,
            "retry": GithubRetry(total=4, backoff_factor=0.5, max_rate_limit_wait=_LONGEST_WAIT),
            "seconds_between_requests": None,
            "seconds_between_writes": None,
            "user_agent": "approval-bridge",
        }
        auth: Auth.Auth
        if settings.app_id and settings.app_key:
            app = Auth.AppAuth(settings.app_id, settings.app_key)
            owner, _, name = settings.repository.partition("/")
            integration = GithubIntegration(auth=app, **common)
            installation = self._asked(
                f"the App {settings.app_id} is not to be had for {settings.repository}",
                lambda: integration.get_repo_installation(owner, name),
            )
            auth = Auth.AppInstallationAuth(app, installation.id)
        else:
            auth = Auth.Token(settings.token or "")
        return Github(auth=auth, **common).requester


_ADVICE = {
    401: "; the credential is wrong or has expired",
    403: "; the credential may not do this: see `hitl doctor`",
    404: "; it is not there, or the credential may not see it",
}
_MISSING = ["page", "issueOrPullRequest"]
_NO_MORE = {"pageInfo": {"hasNextPage": False}}
#: REST's older words for two of the levels.
_LEVELS = {"pull": "read", "push": "write"}


def _told(errors: Iterable[Any]) -> str:
    said = [each.get("message", "") if isinstance(each, dict) else str(each) for each in errors]
    return "; ".join(dict.fromkeys(each for each in said if each))


def _numbered(
    mutations: Sequence[tuple[str, _Json]],
) -> Iterable[tuple[int, tuple[str, _Json]]]:
    return enumerate(mutations)


def _mutation(page: Page, write: Write) -> tuple[str, _Json]:
    noun, own = ("PullRequest", "pullRequestId") if page.branch else ("Issue", "issueId")
    match write:
        case React(node, reaction):
            return "addReaction", {"subjectId": node, "content": reaction.value}
        case Say(body):
            return "addComment", {"subjectId": page.node, "body": body}
        case Amend(node, body):
            return "updateIssueComment", {"id": node, "body": body}
        case Remove(node):
            return "deleteIssueComment", {"id": node}
        case Rewrite(title, body):
            key = own if page.branch else "id"
            return f"update{noun}", {key: page.node, "title": title, "body": body}
        case Close(done):
            why = {} if page.branch else {"stateReason": "COMPLETED" if done else "NOT_PLANNED"}
            return f"close{noun}", {own: page.node, **why}
        case Reopen():
            return f"reopen{noun}", {own: page.node}
        case Label() | Mark():
            raise TypeError(write)


def _on_repository(group: Group, found: _Json | str, number: int) -> tuple[Answer, str]:
    if isinstance(found, str):
        return Answer.UNKNOWN, f"GitHub does not tell the permission on the repository ({found})"
    user = found.get("user") or {}
    if user.get("id") != number:
        return Answer.UNKNOWN, "the login belongs to another account now"
    # The field `permission` calls maintain write and triage read: the list of them is exact.
    own = {_LEVELS.get(name, name) for name, has in (user.get("permissions") or {}).items() if has}
    level = next((each for each in reversed(LEVELS) if each in own), "none")
    answer = reaches(group, level, found.get("role_name") or "")
    return answer, "" if answer is Answer.MEMBER else f"has {level} permission"


def _voices(configured: Sequence[str], viewer: _Json) -> Voices:
    numbers = {viewer["databaseId"]} - {None}
    return Voices(frozenset(numbers), frozenset(each.casefold() for each in configured))


# -- GitHub's words, as nouns ----------------------------------------------------------------------


def _page(node: _Json) -> Page:
    edits = [
        Edit(_account(each["editor"]), _moment(each["editedAt"]))
        for each in node["userContentEdits"]["nodes"]
    ]
    return Page(
        node=node["id"],
        number=node["number"],
        url=node["url"],
        state=State(node.get("issueState") or node["state"]),
        title=node["title"],
        body=_lines(node["body"]),
        author=_account(node["author"]),
        at=_moment(node["createdAt"]),
        branch=_branch(node) if node["__typename"] == "PullRequest" else None,
        edits=tuple(sorted(edits, key=lambda each: each.at)),
        reviews=tuple(_reviews(node)),
        comments=tuple(_comment(each) for each in node["comments"]["nodes"]),
        closing=_closing(node),
        labels=tuple(each["name"] for each in node["labels"]["nodes"]),
    )


def _branch(node: _Json) -> Branch:
    repository = node["headRepository"]
    return Branch(
        repository=repository["nameWithOwner"] if repository else None,
        name=node["headRefName"],
        head=node["headRefOid"],
        base=node["baseRefName"],
        exists=node["headRef"] is not None,
    )


def _reviews(node: _Json) -> Iterator[Review]:
    dismissals = {
        each["review"]["id"]: each
        for each in node["timelineItems"]["nodes"]
        if each["__typename"] == "ReviewDismissedEvent" and each["review"]
    }
    for each in node.get("reviews", {"nodes": ()})["nodes"]:
        if each["state"] == ReviewState.PENDING:
            continue
        event = dismissals.get(each["id"]) if each["state"] == ReviewState.DISMISSED else None
        by = _account(event["actor"]) if event else None
        yield Review(
            node=each["id"],
            author=_account(each["author"]),
            # Whoever cannot be told from nobody has not dismissed it in a way that could be judged.
            state=ReviewState(event["previousReviewState"] if event and by else each["state"]),
            body=_lines(each["body"]),
            at=_moment(each["submittedAt"]),
            url=each["url"],
            commit=each["commit"]["oid"] if each["commit"] else None,
            edited=_edit(each),
            dismissed_by=by,
            reactions=_reactions(each),
        )


def _comment(node: _Json) -> Comment:
    return Comment(
        node=node["id"],
        author=_account(node["author"]),
        body=_lines(node["body"]),
        at=_moment(node["createdAt"]),
        url=node["url"],
        edited=_edit(node),
        reactions=_reactions(node),
    )


def _closing(node: _Json) -> Closing | None:
    events = [e for e in node["timelineItems"]["nodes"] if e["__typename"] == "ClosedEvent"]
    if not events:
        return None
    last = max(events, key=lambda each: each["createdAt"])
    return Closing(_account(last["actor"]), _moment(last["createdAt"]), last["closer"] is not None)


def _account(node: _Json | None) -> Account | None:
    if node is None:
        return None
    kinds = {"User": Kind.USER, "Bot": Kind.BOT}
    kind = kinds.get(node["__typename"], Kind.OTHER)
    return Account(node.get("databaseId"), node["login"], kind)


def _edit(node: _Json) -> Edit | None:
    at = node["lastEditedAt"]
    return Edit(_account(node["editor"]), _moment(at)) if at else None


def _reactions(node: _Json) -> frozenset[Reaction]:
    known = {each.value for each in Reaction}
    groups = node["reactionGroups"] or ()
    mine = {each["content"] for each in groups if each["viewerHasReacted"]}
    return frozenset(Reaction(each) for each in mine & known)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _lines(body: str | None) -> str:
    # GitHub's own editor sends CRLF, and gives back what it was sent.
    return (body or "").replace("\r\n", "\n")


def _created(made: Mapping[str, Any]) -> Page:
    """A page as REST tells of a new one: nobody has answered it yet."""
    user, head = made["user"], made.get("head")
    return Page(
        node=made["node_id"],
        number=made["number"],
        url=made["html_url"],
        state=State.OPEN,
        title=made["title"],
        body=_lines(made["body"]),
        author=Account(user["id"], user["login"], Kind.BOT if user["type"] == "Bot" else Kind.USER),
        at=_moment(made["created_at"]),
        branch=Branch(head["repo"]["full_name"], head["ref"], head["sha"], made["base"]["ref"])
        if head
        else None,
        labels=tuple(each["name"] for each in made["labels"]),
    )


_MORE = "pageInfo { hasNextPage endCursor }"
_WHO = "{ ...Who }"
_ACCOUNT = (
    "fragment Who on Actor { __typename login"
    " ... on User { databaseId } ... on Bot { databaseId } }"
)
_SAID = (
    f"id author {_WHO} body url lastEditedAt editor {_WHO}"
    " reactionGroups { content viewerHasReacted }"
)
_REVIEW = f"{_SAID} state submittedAt commit {{ oid }}"
_COMMENT = f"{_SAID} createdAt"
_SITE = (
    "viewer { login databaseId }"
    " site: repository(owner: $owner, name: $name) { nameWithOwner url"
    " defaultBranchRef { name target { oid } }"
    f' policy: object(expression: "HEAD:{PATH}") {{ ... on Blob {{ text isTruncated }} }}'
    f' labels(first: 20, query: "{LABELS}") {{ nodes {{ id name }} }} }}'
)
_TEXTS = (
    f"__typename id number url title body createdAt author {_WHO} labels(first: 50) {{ nodes"
    f" {{ name }} }} userContentEdits(first: 100) {{ nodes {{ editedAt editor {_WHO} }} }}"
    f" comments(first: 100) {{ nodes {{ {_COMMENT} }} {_MORE} }}"
)
_CLOSED = f"... on ClosedEvent {{ createdAt actor {_WHO} closer {{ __typename }} }}"
_PAGE = (
    f"fragment Page on PullRequest {{ {_TEXTS} state headRepository {{ nameWithOwner }}"
    " headRefName headRefOid headRef { name } baseRefName"
    f" reviews(first: 100) {{ nodes {{ {_REVIEW} }} {_MORE} }}"
    " timelineItems(last: 100, itemTypes: [CLOSED_EVENT, REVIEW_DISMISSED_EVENT]) { nodes {"
    f" __typename {_CLOSED}"
    f" ... on ReviewDismissedEvent {{ actor {_WHO} previousReviewState review {{ id }} }} }} }} }}"
)
_ISSUE = (
    f"fragment Issue on Issue {{ {_TEXTS} issueState: state"
    f" timelineItems(last: 100, itemTypes: [CLOSED_EVENT]) {{ nodes {{ __typename {_CLOSED}"
    " } } }"
)
