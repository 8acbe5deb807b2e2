"""GitHub, through PyGithub: REST where it must be, one GraphQL query or mutation where it can be.

The `Forge` port. Every address comes from the settings. What GitHub leaves out of an answer is an
error here: half a page of reviews is not evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from bridge.eligibility import LEVELS, reaches
from bridge.errors import ForgeUnavailable, NoSuchPage, NothingToShow
from bridge.githubline import Denied, Json, Line, told
from bridge.model import Answer, Group, GroupKind, Membership, Question
from bridge.page import (
    LEDGER_BRANCH,
    Account,
    Amend,
    Close,
    Closing,
    Comment,
    Edit,
    Kind,
    Label,
    Look,
    Mark,
    PullRequest,
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
#: Mutations in one document: more of them than GitHub does in the time that a request may take.
_WRITES_AT_ONCE = 50

T = TypeVar("T")


class GitHub:
    """One repository on GitHub, as one of the bridge's accounts."""

    def __init__(
        self, settings: GitHubSettings, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._repository = settings.repository
        self._line = Line(settings, pause)

    @property
    def name(self) -> str:
        return f"github:{self._repository}"

    def git_url(self) -> str:
        """The repository for git, with a credential in it: not to be shown."""
        parts = urlsplit(self._settings.server_url)
        netloc = f"x-access-token:{quote(self._line.token, safe='')}@{parts.netloc}"
        return urlunsplit(parts._replace(netloc=netloc)) + f"/{self._repository}.git"

    # -- reading -----------------------------------------------------------------------------

    def look(self, number: int) -> Look:
        found = self._query(
            f"query($owner: String!, $name: String!, $number: Int!) {{ {_SITE}"
            f" page: repository(owner: $owner, name: $name)"
            f" {{ pullRequest(number: $number) {{ ...Page }} }} }} {_PAGE}",
            {"number": number},
        )
        look = self._understood(lambda: self._look_of(found, [found["page"]["pullRequest"]]))
        if not look.pages:
            raise NoSuchPage(f"{self._repository}#{number} is no pull request")
        return look

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
            f" orderBy: {{field: CREATED_AT, direction: DESC}}) {{ nodes {{ ...Page }} {_MORE} }}"
            for index in range(len(branches))
        )
        names = "".join(f", $b{index}: String!" for index in range(len(branches)))
        pages = f" pages: repository(owner: $owner, name: $name) {{{asked} }}" if branches else ""
        base = ", $base: String!" if branches else ""
        query = (
            f"query($owner: String!, $name: String!{base}{names}) {{ {_SITE}{pages} }}"
            f" {_PAGE if branches else ''}"
        )
        variables: Json = {f"b{index}": branch for index, branch in enumerate(branches)}
        if branches:
            variables["base"] = LEDGER_BRANCH
        found = self._query(query, variables)
        return self._understood(lambda: self._look_of(found, self._found(found, branches)))

    def _found(self, found: Json, branches: Sequence[str]) -> Iterator[Json]:
        for index, branch in enumerate(branches):
            part = found["pages"][f"b{index}"]
            yield from part["nodes"]
            # Anyone may open more of them from a fork's branch of that name, to hide ours.
            while part["pageInfo"]["hasNextPage"]:
                after = {"base": LEDGER_BRANCH, "branch": branch, "after": _cursor(part)}
                part = self._query(_FURTHER, after)["repository"]["pullRequests"]
                yield from part["nodes"]

    def stranded(self, label: str) -> Look:
        found = self._query(
            f"query($owner: String!, $name: String!, $base: String!, $label: String!) {{ {_SITE}"
            f" pages: repository(owner: $owner, name: $name) {{ pullRequests(first: {_AT_ONCE},"
            " baseRefName: $base, labels: [$label], states: [CLOSED, MERGED],"
            f" orderBy: {{field: UPDATED_AT, direction: DESC}}) {{ nodes {{ ...Page }} }} }} }}"
            f" {_PAGE}",
            {"base": LEDGER_BRANCH, "label": label},
        )
        return self._understood(
            lambda: self._look_of(found, found["pages"]["pullRequests"]["nodes"])
        )

    def _look_of(self, found: Json, nodes: Iterable[Json]) -> Look:
        return Look(self._site(found), tuple(_page(self._whole(node)) for node in nodes if node))

    def _site(self, found: Json) -> Site:
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

    def _whole(self, node: Json) -> Json:
        """The page with what did not fit into the first answer."""
        for name, (arguments, fields) in _LISTS.items():
            part = node[name]
            while part["pageInfo"]["hasNextPage"]:
                part = self._query(
                    "query($id: ID!, $after: String!) { node(id: $id) { ... on PullRequest {"
                    f" {name}(first: 100, after: $after{arguments})"
                    f" {{ nodes {{ {fields} }} {_MORE} }} }} }} }} {_ACCOUNT}",
                    {"id": node["id"], "after": _cursor(part)},
                    everywhere=True,
                )["node"][name]
                node[name]["nodes"] += part["nodes"]
        return node

    def memberships(self, questions: Sequence[Question]) -> tuple[Membership, ...]:
        permissions: dict[str, Json | str] = {}
        return tuple(self._membership(each, permissions) for each in questions)

    def _membership(self, question: Question, permissions: dict[str, Json | str]) -> Membership:
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

    def _permission(self, who: str) -> Json | str:
        return self._lookup(f"/repos/{self._repository}/collaborators/{who}/permission")

    def _lookup(self, path: str) -> Json | str:
        """The answer, or why there is none. A 404 may be a no, or a token that cannot see."""
        try:
            found = self._line.get(path, "a membership cannot be read")
        except Denied as denied:
            if denied.status == 404:
                return "it is not so, or the bridge's token may not see it"
            return f"it answered {denied.status}"
        except ForgeUnavailable:
            return "it could not be reached"
        return found if isinstance(found, dict) else "it answered nothing"

    # -- writing -----------------------------------------------------------------------------

    def create(self, branch: str, title: str, body: str) -> PullRequest:
        given = {"title": title, "body": body, "head": branch, "base": LEDGER_BRANCH}
        why = f"the pull request for {branch} in {self._repository} cannot be opened"
        try:
            made = self._line.post(f"/repos/{self._repository}/pulls", given, why, again=False)
        except Denied as denied:
            if denied.status == 422 and "No commits between" in denied.said:
                raise NothingToShow(
                    f"{branch} in {self._repository} holds nothing that {LEDGER_BRANCH} lacks"
                ) from None
            if denied.status == 422 and "already exists" in denied.said:
                return self._open_already(branch)
            raise
        return self._understood(lambda: _created(made))

    def _open_already(self, branch: str) -> PullRequest:
        """Ours, where another run was quicker or an answer was lost; else a stranger's."""
        look = self.find([branch])
        pages = [each for each in look.pages if each.state is State.OPEN]
        for page in pages:
            if look.site.voices.own(page.author):
                return page
        where = " and ".join(page.url for page in pages) or "a pull request"
        raise ForgeUnavailable(
            f"{where} is open from {branch} and not the bridge's own, so that it cannot open one"
            " there: close it"
        )

    def invite(self, page: PullRequest, users: Sequence[str], teams: Sequence[str]) -> None:
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

    def _invited(self, path: str, who: Json) -> bool:
        try:
            self._line.post(path, who, "a review cannot be asked for", again=True)
        except ForgeUnavailable:
            return False
        return True

    def write(self, site: Site, page: PullRequest, writes: Sequence[Write]) -> None:
        mutations: list[tuple[str, Json]] = []
        for each in writes:
            if isinstance(each, Mark):
                self._mark(each)
            elif isinstance(each, Label):
                mutations += self._label(site, page, each)
            else:
                mutations.append(_mutation(page, each))
        for start in range(0, len(mutations), _WRITES_AT_ONCE):
            self._mutate(mutations[start : start + _WRITES_AT_ONCE])

    def _mutate(self, mutations: Sequence[tuple[str, Json]]) -> None:
        numbered = list(enumerate(mutations))
        heads = [f"$i{n}: {name[0].upper()}{name[1:]}Input!" for n, (name, _) in numbered]
        calls = [f"m{n}: {name}(input: $i{n}) {{ clientMutationId }}" for n, (name, _) in numbered]
        variables = {f"i{n}": given for n, (_, given) in numbered}
        document = f"mutation({', '.join(heads)}) {{ {' '.join(calls)} }}"
        why = f"{self.name} did not take what was to be written"
        # Said twice, a comment stands there twice; all else is the same the second time.
        again = all(name != "addComment" for name, _ in mutations)
        answer = self._line.graphql(document, variables, why, again=again)
        # What was deleted while we wrote needs no answer any more; the next look sees what is left.
        bad = [each for each in answer.get("errors") or () if _type(each) != "NOT_FOUND"]
        if bad:
            raise ForgeUnavailable(f"{why}: {told(bad)}")

    def _label(self, site: Site, page: PullRequest, label: Label) -> Iterator[tuple[str, Json]]:
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
        given = {"labels": [label.name]}
        self._line.post(path, given, f"the label {label.name} cannot be set", again=True)

    def _mark(self, mark: Mark) -> None:
        given = {"state": mark.light.value, "description": mark.says[:140], "context": STATUS}
        path = f"/repos/{self._repository}/statuses/{mark.sha}"
        self._line.post(path, given, "the commit status cannot be set", again=True)

    # -- exchanges ---------------------------------------------------------------------------

    def _query(self, query: str, variables: Json, *, everywhere: bool = False) -> Json:
        owner, _, name = self._repository.partition("/")
        given = variables if everywhere else {"owner": owner, "name": name, **variables}
        answer = self._line.graphql(query, given, f"{self.name} cannot be read")
        errors = answer.get("errors") or ()
        # Only the page itself may be missing; any other hole in an answer is not evidence.
        if any(_type(each) != "NOT_FOUND" or each.get("path") != _MISSING for each in errors):
            raise ForgeUnavailable(f"{self.name} cannot be read: {told(errors)}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise ForgeUnavailable(f"{self.name} cannot be read: its answer holds no data")
        return data

    def _understood(self, read: Callable[[], T]) -> T:
        """What an answer means, where it is what GitHub's description says."""
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ForgeUnavailable(
                f"{self.name} cannot be read: an answer is not what GitHub describes"
            ) from None


_MISSING = ["page", "pullRequest"]
#: REST's older words for two of the levels.
_LEVELS = {"pull": "read", "push": "write"}


def _type(error: Any) -> Any:
    return error.get("type") if isinstance(error, dict) else None


def _cursor(part: Json) -> str:
    """Where to read on. Raises `ValueError` where GitHub does not say: that would begin anew."""
    cursor = part["pageInfo"]["endCursor"]
    if not cursor:
        raise ValueError(cursor)
    return str(cursor)


def _mutation(page: PullRequest, write: Write) -> tuple[str, Json]:
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
            return "updatePullRequest", {"pullRequestId": page.node, "title": title, "body": body}
        case Close():
            return "closePullRequest", {"pullRequestId": page.node}
        case Reopen():
            return "reopenPullRequest", {"pullRequestId": page.node}
        case Label() | Mark():
            raise TypeError(write)


def _on_repository(group: Group, found: Json | str, number: int) -> tuple[Answer, str]:
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


def _voices(configured: Sequence[str], viewer: Json) -> Voices:
    numbers = {viewer["databaseId"]} - {None}
    return Voices(frozenset(numbers), frozenset(each.casefold() for each in configured))


# -- GitHub's words, as nouns ----------------------------------------------------------------------


def _page(node: Json) -> PullRequest:
    edits = [
        Edit(_account(each["editor"]), _moment(each["editedAt"]))
        for each in node["userContentEdits"]["nodes"]
    ]
    repository = node["headRepository"]
    return PullRequest(
        node=node["id"],
        number=node["number"],
        url=node["url"],
        state=State(node["state"]),
        title=node["title"],
        body=_lines(node["body"]),
        author=_account(node["author"]),
        at=_moment(node["createdAt"]),
        head_repository=repository["nameWithOwner"] if repository else None,
        head_branch=node["headRefName"],
        head=node["headRefOid"],
        base_branch=node["baseRefName"],
        branch_exists=node["headRef"] is not None,
        edits=tuple(sorted(edits, key=lambda each: each.at)),
        reviews=tuple(_reviews(node)),
        comments=tuple(_comment(each) for each in node["comments"]["nodes"]),
        closing=_closing(node),
        labels=tuple(each["name"] for each in node["labels"]["nodes"]),
    )


def _reviews(node: Json) -> Iterator[Review]:
    dismissals = {
        each["review"]["id"]: each
        for each in node["timelineItems"]["nodes"]
        if each["__typename"] == "ReviewDismissedEvent" and each["review"]
    }
    for each in node["reviews"]["nodes"]:
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


def _comment(node: Json) -> Comment:
    return Comment(
        node=node["id"],
        author=_account(node["author"]),
        body=_lines(node["body"]),
        at=_moment(node["createdAt"]),
        url=node["url"],
        edited=_edit(node),
        reactions=_reactions(node),
    )


def _closing(node: Json) -> Closing | None:
    events = [e for e in node["timelineItems"]["nodes"] if e["__typename"] == "ClosedEvent"]
    if not events:
        return None
    last = max(events, key=lambda each: each["createdAt"])
    return Closing(_account(last["actor"]), _moment(last["createdAt"]), last["closer"] is not None)


def _account(node: Json | None) -> Account | None:
    if node is None:
        return None
    kinds = {"User": Kind.USER, "Bot": Kind.BOT}
    kind = kinds.get(node["__typename"], Kind.OTHER)
    return Account(node.get("databaseId"), node["login"], kind)


def _edit(node: Json) -> Edit | None:
    at = node["lastEditedAt"]
    return Edit(_account(node["editor"]), _moment(at)) if at else None


def _reactions(node: Json) -> frozenset[Reaction]:
    known = {each.value for each in Reaction}
    groups = node["reactionGroups"] or ()
    mine = {each["content"] for each in groups if each["viewerHasReacted"]}
    return frozenset(Reaction(each) for each in mine & known)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _lines(body: str | None) -> str:
    # GitHub's own editor sends CRLF, and gives back what it was sent.
    return (body or "").replace("\r\n", "\n")


def _created(made: Mapping[str, Any]) -> PullRequest:
    """A pull request as REST tells of a new one: nobody has answered it yet."""
    user = made["user"]
    return PullRequest(
        node=made["node_id"],
        number=made["number"],
        url=made["html_url"],
        state=State.OPEN,
        title=made["title"],
        body=_lines(made["body"]),
        author=Account(user["id"], user["login"], Kind.BOT if user["type"] == "Bot" else Kind.USER),
        at=_moment(made["created_at"]),
        head_repository=made["head"]["repo"]["full_name"],
        head_branch=made["head"]["ref"],
        head=made["head"]["sha"],
        base_branch=made["base"]["ref"],
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
_TIMELINE = ", itemTypes: [CLOSED_EVENT, REVIEW_DISMISSED_EVENT]"
#: What may be longer than one answer holds. All of it counts: an edit left out hides what a voter
#: saw, a dismissal left out releases a hold.
_LISTS = {
    "userContentEdits": ("", f"editedAt editor {_WHO}"),
    "reviews": ("", f"{_SAID} state submittedAt commit {{ oid }}"),
    "comments": ("", f"{_SAID} createdAt"),
    "timelineItems": (
        _TIMELINE,
        f"__typename ... on ClosedEvent {{ createdAt actor {_WHO} closer {{ __typename }} }}"
        f" ... on ReviewDismissedEvent {{ actor {_WHO} previousReviewState review {{ id }} }}",
    ),
}
_SITE = (
    "viewer { login databaseId }"
    " site: repository(owner: $owner, name: $name) { nameWithOwner url"
    " defaultBranchRef { name target { oid } }"
    f' policy: object(expression: "HEAD:{PATH}") {{ ... on Blob {{ text isTruncated }} }}'
    f' labels(first: 20, query: "{LABELS}") {{ nodes {{ id name }} }} }}'
)
_PAGE = (
    "fragment Page on PullRequest { id number url state title body createdAt"
    f" author {_WHO} headRepository {{ nameWithOwner }} headRefName headRefOid"
    " headRef { name } baseRefName labels(first: 100) { nodes { name } }"
    + "".join(
        f" {name}(first: 100{arguments}) {{ nodes {{ {fields} }} {_MORE} }}"
        for name, (arguments, fields) in _LISTS.items()
    )
    + f" }} {_ACCOUNT}"
)
_FURTHER = (
    "query($owner: String!, $name: String!, $base: String!, $branch: String!, $after: String!) {"
    " repository(owner: $owner, name: $name) { pullRequests(headRefName: $branch,"
    " baseRefName: $base, first: 50, after: $after,"
    f" orderBy: {{field: CREATED_AT, direction: DESC}}) {{ nodes {{ ...Page }} {_MORE} }} }} }}"
    f" {_PAGE}"
)
