"""GitHub's GraphQL: queries validated against its whole schema, the served fields resolved.

A field of the schema that is not served is an error, and a failure of the test that asked.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    build_ast_schema,
    execute_sync,
    parse,
    validate,
)

from tests.github import shapes
from tests.github.accounts import Account, Organisation, Refusal, Team, Token
from tests.github.conversation import (
    REACTIONS,
    Comment,
    Edit,
    InlineComment,
    Issue,
    Reaction,
    Review,
    Thread,
    TimelineItem,
    Written,
    groups,
)
from tests.github.pulls import PullRequest
from tests.github.repository import Repository
from tests.github.rest.accounts import sees_members
from tests.github.rest.route import Need, require, visible

if TYPE_CHECKING:
    from tests.github.world import World

_MOST_PER_PAGE = 100


@lru_cache
def schema() -> GraphQLSchema:
    text = (Path(__file__).parent / "data" / "schema.graphql").read_text()
    return build_ast_schema(parse(text, no_location=True), assume_valid=True)


@dataclass
class Asked:
    """What a resolver knows of the request."""

    world: World
    token: Token
    problems: list[str] = field(default_factory=list)

    def need(self, repo: Repository, *needs: Need, role: str | None = None) -> None:
        require(self.token, repo, needs, role)


def answer(world: World, token: Token, request: Any) -> tuple[dict[str, Any], list[str]]:
    """The response's body, and what a test should fail for."""
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        return {"message": "A query attribute must be specified and must be a string."}, []
    asked = Asked(world, token)
    try:
        document, faults = _checked(request["query"])
    except GraphQLError as error:
        return {"errors": [_told(error)]}, [f"GraphQL: {error.message}"]
    if faults:
        return (
            {"errors": [_told(each) for each in faults]},
            [f"GraphQL: {each.message}" for each in faults],
        )
    body = _execute(asked, document, request)
    return body, asked.problems


@lru_cache(maxsize=256)
def _checked(query: str) -> tuple[DocumentNode, list[GraphQLError]]:
    """The same few queries come again and again: parsing and validating took half of the time."""
    document = parse(query)
    return document, validate(schema(), document)


def _execute(asked: Asked, document: DocumentNode, request: dict[str, Any]) -> dict[str, Any]:
    result = execute_sync(
        schema(),
        document,
        root_value=Root(),
        context_value=asked,
        variable_values=request.get("variables") or {},
        operation_name=request.get("operationName"),
        field_resolver=_resolve,
        type_resolver=lambda value, info, kind: _type_of(value),
    )
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_told(each) for each in result.errors]
        asked.problems += [
            f"GraphQL: {each.message}" for each in result.errors if _is_own_fault(each)
        ]
    return body


def _is_own_fault(error: GraphQLError) -> bool:
    """Neither GitHub's refusal nor a limit: the server cannot do it, or the variables are wrong."""
    return not isinstance(error.original_error, Refusal) and "type" not in (error.extensions or {})


def _told(error: GraphQLError) -> dict[str, Any]:
    told: dict[str, Any] = {"message": error.message}
    original = error.original_error
    if isinstance(original, Refusal):
        told["type"] = {403: "FORBIDDEN", 404: "NOT_FOUND"}.get(original.status, "UNPROCESSABLE")
        told["message"] = _words(original)
    elif error.extensions and "type" in error.extensions:
        told["type"] = error.extensions["type"]
    if error.path:
        told["path"] = error.path
    if error.locations:
        told["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    return told


def _words(refusal: Refusal) -> str:
    rows = [each if isinstance(each, str) else each.get("message") for each in refusal.errors]
    return ", ".join(row for row in rows if row) or refusal.message


# -- how a field is found --------------------------------------------------------------------


class Root:
    """What `query` and `mutation` start from."""


@dataclass
class Connection:
    """One page of a list."""

    nodes: Sequence[Any]
    start: int
    total: int
    edge_facts: Callable[[Any], dict[str, Any]] = lambda node: {}
    unbounded: str | None = None  # its name, where neither `first` nor `last` was given

    def page_info(self) -> dict[str, Any]:
        end = self.start + len(self.nodes)
        return {
            "hasNextPage": end < self.total,
            "hasPreviousPage": self.start > 0,
            "startCursor": _cursor(self.start) if self.nodes else None,
            "endCursor": _cursor(end - 1) if self.nodes else None,
        }

    def edges(self) -> list[dict[str, Any]]:
        return [
            {"node": node, "cursor": _cursor(self.start + index), **self.edge_facts(node)}
            for index, node in enumerate(self.nodes)
        ]


def _cursor(index: int) -> str:
    return base64.b64encode(f"cursor:v2:{index}".encode()).decode()


def _index(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor).decode().rsplit(":", 1)[1])
    except (ValueError, IndexError):
        raise GraphQLError(
            f"`{cursor}` does not appear to be a valid cursor.",
            extensions={"type": "INVALID_CURSOR_ARGUMENTS"},
        ) from None


def connect(items: Iterable[Any], args: Mapping[str, Any], name: str) -> Connection:
    """The page that `first`, `after`, `last` and `before` ask for. GitHub wants one of the two."""
    rows = list(items)
    start, end = 0, len(rows)
    size = args.get("first") if args.get("first") is not None else args.get("last")
    if size is None:
        return Connection([], 0, len(rows), unbounded=name)
    if size > _MOST_PER_PAGE:
        raise GraphQLError(
            f"Requesting {size} records on the `{name}` connection exceeds the `first` limit of"
            f" {_MOST_PER_PAGE} records.",
            extensions={"type": "EXCESSIVE_PAGINATION"},
        )
    if args.get("after"):
        start = _index(args["after"]) + 1
    if args.get("before"):
        end = _index(args["before"])
    if args.get("first") is not None:
        end = min(end, start + size)
    else:
        start = max(start, end - size)
    return Connection(rows[start:end], start, len(rows))


@dataclass(frozen=True)
class GitObject:
    """A blob, tree or commit."""

    repo: Repository
    sha: str
    kind: str
    at: str = ""


@dataclass(frozen=True)
class Ref:
    """A branch or tag."""

    repo: Repository
    full: str
    sha: str
    #: The name is what follows the prefix that was asked for.
    prefix: str = ""

    @property
    def shown(self) -> tuple[str, str]:
        prefix = self.prefix or "/".join(self.full.split("/", 2)[:2]) + "/"
        return prefix, self.full.removeprefix(prefix)


@dataclass(frozen=True)
class Group:
    """A reaction and who reacted so."""

    subject: Written
    content: str
    people: tuple[Account, ...]


@dataclass(frozen=True)
class Label:
    """A label of a repository."""

    repo: Repository
    row: dict[str, Any]


@dataclass(frozen=True)
class Wrapped:
    """A node that only holds another: `PullRequestCommit`, `ReviewRequest`."""

    kind: str
    fields: dict[str, Any]


_NAMES = {
    Repository: "Repository",
    PullRequest: "PullRequest",
    Issue: "Issue",
    Comment: "IssueComment",
    Review: "PullRequestReview",
    InlineComment: "PullRequestReviewComment",
    Thread: "PullRequestReviewThread",
    Organisation: "Organization",
    Team: "Team",
    Ref: "Ref",
    Label: "Label",
    Group: "ReactionGroup",
    Reaction: "Reaction",
    Edit: "UserContentEdit",
    Root: "Query",
}


def _type_of(value: Any) -> str:
    if isinstance(value, Account) and not isinstance(value, Organisation):
        return "Bot" if value.is_bot else "User"
    if isinstance(value, GitObject):
        return value.kind.title()
    if isinstance(value, TimelineItem | Wrapped):
        return value.kind
    return _NAMES[type(value)]


Resolver = Callable[..., Any]
FIELDS: dict[tuple[str, str], Resolver] = {}


def resolves(kind: str, *names: str) -> Callable[[Resolver], Resolver]:
    """Register a resolver, `(noun, asked, **arguments)`, of a type's field."""

    def register(resolver: Resolver) -> Resolver:
        for name in names or (resolver.__name__.strip("_"),):
            FIELDS[kind, name] = resolver
        return resolver

    return register


def simply(kind: str, **fields: Callable[[Any], Any]) -> None:
    """Fields that need the noun alone."""
    for name, get in fields.items():
        FIELDS[kind, name] = lambda noun, asked, _get=get, **arguments: _get(noun)


def _resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    asked: Asked = info.context
    if isinstance(source, Connection):
        return _of_connection(source, info)
    if isinstance(source, dict):
        return source.get(info.field_name)
    if isinstance(source, Wrapped):
        return source.fields.get(info.field_name)
    resolver = FIELDS.get((info.parent_type.name, info.field_name))
    if resolver is None:
        raise GraphQLError(f"not served: {info.parent_type.name}.{info.field_name}")
    with asked.world.acting(asked.token):
        return resolver(source, asked, **arguments)


def _of_connection(source: Connection, info: GraphQLResolveInfo) -> Any:
    values: dict[str, Callable[[], Any]] = {
        "nodes": lambda: source.nodes,
        "totalCount": lambda: source.total,
        "pageInfo": source.page_info,
        "edges": source.edges,
    }
    if info.field_name not in values:
        raise GraphQLError(f"not served: {info.parent_type.name}.{info.field_name}")
    if source.unbounded and info.field_name != "totalCount":  # which GitHub gives without
        raise GraphQLError(
            f"You must provide a `first` or `last` value to properly paginate the"
            f" `{source.unbounded}` connection.",
            extensions={"type": "MISSING_PAGINATION_BOUNDARIES"},
        )
    return values[info.field_name]()


def listed(kind: str, name: str, items: Callable[..., Iterable[Any]]) -> None:
    """A field that is a connection over what `items(noun, asked, arguments)` gives."""

    def resolver(noun: Any, asked: Asked, **arguments: Any) -> Connection:
        return connect(items(noun, asked, arguments), arguments, name)

    FIELDS[kind, name] = resolver


# -- queries ---------------------------------------------------------------------------------


@resolves("Query")
def _viewer(root: Root, asked: Asked) -> Account:
    return asked.token.actor


@resolves("Query")
def _repository(
    root: Root,
    asked: Asked,
    owner: str,
    name: str,
    followRenames: bool = True,  # noqa: N803
) -> Repository:
    found = asked.world.find_repository(f"{owner}/{name}")
    if found is None or not visible(asked.token, found):
        raise Refusal(404, f"Could not resolve to a Repository with the name '{owner}/{name}'.")
    return found


@resolves("Query")
def _user(root: Root, asked: Asked, login: str) -> Account:
    found = asked.world.find_account(login)
    if found is None or found.type != "User":
        raise Refusal(404, f"Could not resolve to a User with the login of '{login}'.")
    return found


@resolves("Query")
def _organization(root: Root, asked: Asked, login: str) -> Organisation:
    found = asked.world.find_account(login)
    if not isinstance(found, Organisation):
        raise Refusal(404, f"Could not resolve to an Organization with the login of '{login}'.")
    return found


@resolves("Query", "rateLimit")
def _rate_limit(root: Root, asked: Asked, dryRun: bool = False) -> dict[str, Any]:  # noqa: N803
    shown = asked.world.limit_of(asked.token, "graphql")
    at = shapes.moment(asked.world.moment_of(shown["reset"]))
    return {**shown, "cost": 1, "nodeCount": 0, "resetAt": at}


@resolves("Query")
def _node(root: Root, asked: Asked, id: str) -> Any:  # noqa: A002
    return found(asked, id)


@resolves("Query")
def _nodes(root: Root, asked: Asked, ids: list[str]) -> list[Any]:
    return [found(asked, each) for each in ids]


def found(asked: Asked, id: str) -> Any:  # noqa: A002
    """The noun of a node id that this token may see. Raises the NOT_FOUND."""
    for noun in _everything(asked):
        if shapes.node_id(noun) == id:
            return noun
    raise Refusal(404, f"Could not resolve to a node with the global id of '{id}'")


def _everything(asked: Asked) -> Iterable[Any]:
    yield from asked.world.accounts.values()
    for repo in asked.world.repositories.values():
        if not visible(asked.token, repo):
            continue
        yield repo
        yield from repo.teams
        for issue in repo.issues.values():
            yield issue
            yield from issue.comments
            if isinstance(issue, PullRequest):
                yield from issue.reviews
                for thread in issue.threads:
                    yield thread
                    yield from thread.comments


# -- people ----------------------------------------------------------------------------------

for _kind in ("User", "Bot", "Organization", "Mannequin", "EnterpriseUserAccount"):
    simply(
        _kind,
        id=shapes.node_id,
        databaseId=lambda a: a.id,
        login=(lambda a: a.slug) if _kind == "Bot" else (lambda a: a.login),
        name=lambda a: a.name,
        avatarUrl=lambda a: "https://avatars.invalid/u",
        url=lambda a: f"https://github.invalid/{a.slug}",
        resourcePath=lambda a: f"/{a.slug}",
    )
simply(
    "Team",
    id=shapes.node_id,
    databaseId=lambda t: t.id,
    slug=lambda t: t.slug,
    name=lambda t: t.slug,
    combinedSlug=lambda t: f"{t.organisation.login}/{t.slug}",
    organization=lambda t: t.organisation,
)


@resolves("Organization")
def _team(org: Organisation, asked: Asked, slug: str) -> Team | None:
    """Null where the token may not look: the same as where there is no such team."""
    return org.teams.get(slug) if sees_members(asked.token, org) else None


def _matching(people: Iterable[Account], arguments: dict[str, Any]) -> list[Account]:
    wanted = (arguments.get("query") or "").lower()
    return [each for each in people if wanted in each.login.lower()]


listed("Team", "members", lambda team, asked, a: _matching(team.members, a))
listed(
    "Organization",
    "teams",
    lambda org, asked, a: org.teams.values() if sees_members(asked.token, org) else [],
)
listed(
    "Organization",
    "membersWithRole",
    lambda org, asked, a: org.members if sees_members(asked.token, org) else [],
)

# -- repositories ----------------------------------------------------------------------------

simply(
    "Repository",
    id=shapes.node_id,
    databaseId=lambda r: r.id,
    name=lambda r: r.name,
    nameWithOwner=lambda r: r.full_name,
    owner=lambda r: r.owner,
    url=lambda r: r.url,
    isPrivate=lambda r: r.private,
    isFork=lambda r: r.parent is not None,
    isArchived=lambda r: r.archived,
    visibility=lambda r: "PRIVATE" if r.private else "PUBLIC",
    parent=lambda r: r.parent,
    description=lambda r: r.description,
    deleteBranchOnMerge=lambda r: r.delete_branch_on_merge,
)


@resolves("Repository", "viewerPermission")
def _viewer_permission(repo: Repository, asked: Asked) -> str | None:
    role = repo.role(asked.token.actor).upper()
    return None if role == "NONE" else role


@resolves("Repository", "pullRequest")
def _pull_request(repo: Repository, asked: Asked, number: int) -> PullRequest:
    asked.need(repo, ("pull_requests", "read"))
    found = repo.issues.get(number)
    if not isinstance(found, PullRequest):
        raise Refusal(404, f"Could not resolve to a PullRequest with the number of {number}.")
    return found


@resolves("Repository")
def _issue(repo: Repository, asked: Asked, number: int) -> Issue:
    asked.need(repo, ("issues", "read"))
    found = repo.issues.get(number)
    if found is None or found.is_pull_request:
        raise Refusal(404, f"Could not resolve to an Issue with the number of {number}.")
    return found


@resolves("Repository", "issueOrPullRequest")
def _either(repo: Repository, asked: Asked, number: int) -> Issue:
    asked.need(repo, ("issues", "read"), ("pull_requests", "read"))
    if number not in repo.issues:
        raise Refusal(
            404, f"Could not resolve to an issue or pull request with the number of {number}."
        )
    return repo.issues[number]


def _state(issue: Issue) -> str:
    if isinstance(issue, PullRequest) and issue.merged:
        return "MERGED"
    return issue.state.upper()


_SELECTS = {
    *("first", "last", "after", "before", "orderBy", "filterBy"),
    *("states", "labels", "headRefName", "baseRefName"),
}


def _selected(issues: Iterable[Issue], arguments: dict[str, Any]) -> list[Issue]:
    if unknown := {key for key, value in arguments.items() if value} - _SELECTS:
        raise GraphQLError(f"not served: {' '.join(sorted(unknown))} of a list of issues")
    states, labels = arguments.get("states"), arguments.get("labels")
    wanted = {
        attribute: arguments[name]
        for name, attribute in (("headRefName", "head_ref"), ("baseRefName", "base_ref"))
        if arguments.get(name) is not None
    }
    rows = [
        each
        for each in issues
        if (not states or _state(each) in states)
        and (not labels or set(labels) & set(each.labels))
        and all(getattr(each, key) == value for key, value in wanted.items())
    ]
    order = arguments.get("orderBy")
    if order:
        key = {"UPDATED_AT": "updated_at", "CREATED_AT": "created_at"}[order["field"]]
        rows.sort(key=lambda each: getattr(each, key), reverse=order["direction"] == "DESC")
    return rows


def _pulls(repo: Repository, asked: Asked, arguments: dict[str, Any]) -> list[Issue]:
    asked.need(repo, ("pull_requests", "read"))
    return _selected(repo.pulls, arguments)


def _issues(repo: Repository, asked: Asked, arguments: dict[str, Any]) -> list[Issue]:
    asked.need(repo, ("issues", "read"))
    rows = [i for i in repo.issues.values() if not i.is_pull_request]
    return _selected(_filtered(rows, arguments.get("filterBy") or {}), arguments)


def _filtered(issues: list[Issue], by: dict[str, Any]) -> list[Issue]:
    """`IssueFilters`. `viewerSubscribed` is false by default, which filters nothing."""
    if unknown := {key for key, value in by.items() if value} - {"since", "labels", "states"}:
        raise GraphQLError(f"not served: IssueFilters.{' '.join(sorted(unknown))}")
    since = by.get("since")
    at = datetime.fromisoformat(since) if since else None
    return [
        each
        for each in _selected(issues, {key: by.get(key) for key in ("labels", "states")})
        if at is None or each.updated_at >= at
    ]


listed("Repository", "pullRequests", _pulls)
listed("Repository", "issues", _issues)


def _labels(repo: Repository, asked: Asked, arguments: dict[str, Any]) -> list[Label]:
    wanted = (arguments.get("query") or "").lower()
    rows = repo.labels.values()
    return [
        Label(repo, row) for row in rows if wanted in f"{row['name']} {row['description']}".lower()
    ]


listed("Repository", "labels", _labels)


@resolves("Repository")
def _label(repo: Repository, asked: Asked, name: str) -> Label | None:
    row = repo.labels.get(name.lower())
    return Label(repo, row) if row else None


simply(
    "Label",
    id=lambda each: shapes.label_id(each.row),
    name=lambda each: each.row["name"],
    color=lambda each: each.row["color"],
    description=lambda each: each.row["description"],
)


@resolves("Repository")
def _collaborators(repo: Repository, asked: Asked, **arguments: Any) -> Connection:
    asked.need(repo, ("metadata", "read"), role="write")
    people = [who for who in asked.world.accounts.values() if repo.granted(who) != "none"]
    login = arguments.get("login")
    people = [who for who in _matching(people, arguments) if login in (None, who.login)]
    page = connect(people, arguments, "collaborators")
    page.edge_facts = lambda who: {"permission": repo.role(who).upper()}
    return page


def _ref(repo: Repository, full: str) -> Ref | None:
    sha = repo.bare.sha(full)
    return Ref(repo, full, sha) if sha else None


def _branch(repo: Repository, name: str) -> Ref | None:
    sha = repo.seen(name)
    return Ref(repo, f"refs/heads/{name}", sha) if sha else None


@resolves("Repository", "ref")
def _get_ref(repo: Repository, asked: Asked, qualifiedName: str) -> Ref | None:  # noqa: N803
    asked.need(repo, ("contents", "read"))
    for start in ("", "refs/heads/", "refs/tags/"):
        name = f"{start}{qualifiedName}"
        if name.startswith("refs/") and _ref(repo, name):
            return _ref(repo, name)
    return None


@resolves("Repository", "defaultBranchRef")
def _default_branch(repo: Repository, asked: Asked) -> Ref | None:
    return _ref(repo, f"refs/heads/{repo.default_branch}")


def _refs(repo: Repository, asked: Asked, arguments: dict[str, Any]) -> list[Ref]:
    asked.need(repo, ("contents", "read"))
    query = arguments.get("query") or ""
    prefix = arguments["refPrefix"]
    rows = repo.bare.refs(prefix)
    return [Ref(repo, name, sha, prefix) for name, sha in rows.items() if query in name]


listed("Repository", "refs", _refs)
simply(
    "Ref",
    id=lambda ref: f"REF_{ref.repo.id}_{ref.full}",
    name=lambda ref: ref.shown[1],
    prefix=lambda ref: ref.shown[0],
    repository=lambda ref: ref.repo,
    target=lambda ref: _object(ref.repo, ref.sha),
)


def _object(repo: Repository, expression: str, at: str = "") -> GitObject | None:
    sha = repo.bare.sha(expression)
    kind = repo.bare.kind(sha) if sha else None
    return GitObject(repo, sha, kind, at) if sha and kind else None


@resolves("Repository", "object")
def _get_object(
    repo: Repository, asked: Asked, expression: str | None = None, oid: str | None = None
) -> GitObject | None:
    asked.need(repo, ("contents", "read"))
    return _object(repo, expression or oid or "HEAD")


def _text(blob: GitObject) -> str | None:
    content = blob.repo.bare.read(blob.sha)
    return None if b"\0" in content else content.decode("utf-8", "replace")


for _kind in ("Blob", "Tree", "Commit", "Tag"):
    simply(
        _kind,
        id=lambda each: f"G_{each.sha}",
        oid=lambda each: each.sha,
        abbreviatedOid=lambda each: each.sha[:7],
        repository=lambda each: each.repo,
    )
simply(
    "Blob",
    text=_text,
    byteSize=lambda blob: len(blob.repo.bare.read(blob.sha)),
    isBinary=lambda blob: _text(blob) is None,
    isTruncated=lambda blob: False,
)


def _entries(tree: GitObject) -> list[dict[str, Any]]:
    rows = []
    for line in tree.repo.bare.run("ls-tree", tree.sha).splitlines():
        about, _, name = line.partition("\t")
        mode, kind, sha = about.split()
        inner = GitObject(tree.repo, sha, kind)
        rows.append({"name": name, "type": kind, "mode": int(mode, 8), "oid": sha, "object": inner})
    return rows


simply("Tree", entries=_entries)


def _log(form: str) -> Callable[[GitObject], str]:
    return lambda commit: commit.repo.bare.about(commit.sha, form)


simply(
    "Commit",
    message=_log("%B"),
    messageHeadline=_log("%s"),
    committedDate=_log("%cI"),
    authoredDate=_log("%aI"),
    url=lambda commit: f"{commit.repo.url}/commit/{commit.sha}",
    tree=lambda commit: _object(commit.repo, f"{commit.sha}^{{tree}}"),
    author=lambda commit: {"name": _log("%an")(commit), "email": _log("%ae")(commit)},
)
listed(
    "Commit",
    "parents",
    lambda c, asked, a: [GitObject(c.repo, sha, "commit") for sha in _log("%P")(c).split()],
)

# -- what people wrote -----------------------------------------------------------------------


def _url(noun: Written) -> str:
    if isinstance(noun, Comment):
        return f"{noun.issue.url}#issuecomment-{noun.id}"
    if isinstance(noun, Review):
        return shapes.review_url(noun)
    if isinstance(noun, InlineComment):
        return f"{noun.review.pull.url}#discussion_r{noun.id}"
    assert isinstance(noun, Issue)
    return noun.url


def _groups(noun: Written) -> list[Group]:
    return [
        Group(noun, content, tuple(people)) for content, people in groups(noun.reactions).items()
    ]


def _reactions(noun: Written, asked: Asked, arguments: dict[str, Any]) -> list[Reaction]:
    wanted = arguments.get("content")
    return [each for each in noun.reactions if wanted in (None, REACTIONS[each.content])]


def _did_author(noun: Written, asked: Asked) -> bool:
    return noun.author is asked.token.actor


for _kind in (
    "Issue",
    "PullRequest",
    "IssueComment",
    "PullRequestReview",
    "PullRequestReviewComment",
):
    simply(
        _kind,
        id=shapes.node_id,
        databaseId=lambda n: n.id,
        fullDatabaseId=lambda n: str(n.id),
        author=lambda n: n.author,
        authorAssociation=lambda n: shapes.association(n.author, n.repository),
        body=lambda n: n.body,
        createdAt=lambda n: shapes.moment(n.created_at),
        updatedAt=lambda n: shapes.moment(n.updated_at),
        publishedAt=lambda n: shapes.moment(n.created_at),
        lastEditedAt=lambda n: shapes.moment(n.last_edited_at),
        editor=lambda n: n.editor,
        includesCreatedEdit=lambda n: bool(n.edits),
        url=_url,
        repository=lambda n: n.repository,
        reactionGroups=_groups,
        createdViaEmail=lambda n: False,
    )
    FIELDS[_kind, "viewerDidAuthor"] = _did_author
    listed(_kind, "reactions", _reactions)
    listed(_kind, "userContentEdits", lambda n, asked, a: n.edits[::-1])

simply(
    "UserContentEdit",
    id=shapes.node_id,
    createdAt=lambda edit: shapes.moment(edit.at),
    editedAt=lambda edit: shapes.moment(edit.at),
    updatedAt=lambda edit: shapes.moment(edit.deleted_at or edit.at),
    editor=lambda edit: edit.by,
    # GitHub calls it a diff and gives the whole text, as importers of comments rely on.
    diff=lambda edit: None if edit.deleted_at else edit.text,
    deletedAt=lambda edit: shapes.moment(edit.deleted_at),
    deletedBy=lambda edit: edit.deleted_by,
)
simply(
    "Reaction",
    id=shapes.node_id,
    databaseId=lambda r: r.id,
    content=lambda r: REACTIONS[r.content],
    user=lambda r: r.by,
    createdAt=lambda r: shapes.moment(r.at),
)
simply(
    "ReactionGroup",
    content=lambda group: REACTIONS[group.content],
    subject=lambda group: group.subject,
)
for _name in ("reactors", "users"):
    listed("ReactionGroup", _name, lambda group, asked, a: group.people)


@resolves("ReactionGroup", "viewerHasReacted")
def _has_reacted(group: Group, asked: Asked) -> bool:
    return asked.token.actor in group.people


def _timeline(issue: Issue, asked: Asked, arguments: dict[str, Any]) -> list[TimelineItem]:
    kinds = arguments.get("itemTypes")
    names = {"".join(part.title() for part in kind.split("_")) for kind in kinds or []}
    return [each for each in issue.timeline if not kinds or each.kind in names]


for _kind in ("Issue", "PullRequest"):
    simply(
        _kind,
        number=lambda n: n.number,
        title=lambda n: n.title,
        state=_state,
        closed=lambda n: n.state == "closed",
        closedAt=lambda n: shapes.moment(n.closed_at),
        locked=lambda n: n.locked,
    )
    listed(
        _kind,
        "labels",
        lambda n, asked, a: [Label(n.repository, n.repository.label(name)) for name in n.labels],
    )
    listed(_kind, "comments", lambda n, asked, a: n.comments)
    listed(_kind, "timelineItems", _timeline)
    listed(_kind, "assignees", lambda n, asked, a: n.assignees)
simply("Issue", stateReason=lambda n: n.state_reason and n.state_reason.upper())
simply(
    "IssueComment",
    isMinimized=lambda c: c.minimized is not None,
    minimizedReason=lambda c: c.minimized and c.minimized.lower(),
    issue=lambda c: c.issue,
    pullRequest=lambda c: c.issue if c.issue.is_pull_request else None,
)
simply(
    "PullRequestReview",
    state=lambda r: r.state,
    submittedAt=lambda r: shapes.moment(r.submitted_at),
    commit=lambda r: GitObject(r.repository, r.commit, "commit"),
    pullRequest=lambda r: r.pull,
)
simply(
    "PullRequestReviewComment",
    path=lambda c: c.path,
    line=lambda c: c.line,
    replyTo=lambda c: c.reply_to,
    pullRequestReview=lambda c: c.review,
    pullRequest=lambda c: c.review.pull,
)
simply(
    "PullRequestReviewThread",
    id=shapes.node_id,
    path=lambda t: t.comments[0].path,
    line=lambda t: t.comments[0].line,
)
listed("PullRequestReviewThread", "comments", lambda t, asked, a: t.comments)
simply(
    "PullRequest",
    merged=lambda p: p.merged,
    mergedAt=lambda p: shapes.moment(p.merged_at),
    mergedBy=lambda p: p.merged_by,
    mergeCommit=lambda p: p.merge_sha and GitObject(p.repository, p.merge_sha, "commit"),
    isDraft=lambda p: p.draft,
    headRefName=lambda p: p.head_ref,
    headRefOid=lambda p: p.head_sha,
    headRepository=lambda p: p.head_repository,
    headRepositoryOwner=lambda p: p.head_repository and p.head_repository.owner,
    isCrossRepository=lambda p: p.head_repository is not p.repository,
    headRef=lambda p: p.head_repository and _branch(p.head_repository, p.head_ref),
    baseRefName=lambda p: p.base_ref,
    baseRefOid=lambda p: p.base_sha,
    baseRef=lambda p: _ref(p.repository, f"refs/heads/{p.base_ref}"),
    baseRepository=lambda p: p.repository,
    mergeable=lambda p: "UNKNOWN" if p.state == "closed" else "MERGEABLE",
    maintainerCanModify=lambda p: False,
)


def _reviews(pull: PullRequest, asked: Asked, arguments: dict[str, Any]) -> list[Review]:
    states, author = arguments.get("states"), arguments.get("author")
    return [
        each
        for each in pull.reviews
        if (each.state != "PENDING" or each.author is asked.token.actor)
        and (not states or each.state in states)
        and author in (None, each.author.login)
    ]


def _latest(pull: PullRequest, asked: Asked, arguments: dict[str, Any]) -> list[Review]:
    rows = {r.author: r for r in _reviews(pull, asked, {}) if r.state != "PENDING"}
    return list(rows.values())


listed("PullRequest", "reviews", _reviews)
listed("PullRequest", "latestReviews", _latest)
listed("PullRequest", "reviewThreads", lambda p, asked, a: p.threads)
listed(
    "PullRequest",
    "reviewRequests",
    lambda p, asked, a: [
        Wrapped("ReviewRequest", {"requestedReviewer": each})
        for each in (*p.requested, *p.requested_teams)
    ],
)
listed(
    "PullRequest",
    "commits",
    lambda p, asked, a: [
        Wrapped("PullRequestCommit", {"commit": GitObject(p.repository, sha, "commit")})
        for sha in p.repository.bare.between(p.base_sha, p.head_sha)[::-1]
    ],
)

# -- the timeline ----------------------------------------------------------------------------


@resolves("ClosedEvent", "closer")
def _closer(item: TimelineItem, asked: Asked) -> Any:
    if isinstance(item.closer, str):
        for repo in asked.world.repositories.values():
            if repo.bare.kind(item.closer) == "commit":
                return GitObject(repo, item.closer, "commit")
    return item.closer


def _fact(name: str) -> Callable[[TimelineItem], Any]:
    return lambda item: item.facts.get(name)


for _kind in (
    "ClosedEvent",
    "ReopenedEvent",
    "LockedEvent",
    "UnlockedEvent",
    "MergedEvent",
    "LabeledEvent",
    "UnlabeledEvent",
    "RenamedTitleEvent",
    "ReviewDismissedEvent",
    "ReviewRequestedEvent",
    "HeadRefDeletedEvent",
    "HeadRefForcePushedEvent",
    "BaseRefChangedEvent",
    "BaseRefDeletedEvent",
    "CommentDeletedEvent",
):
    simply(
        _kind,
        id=lambda item: f"EV_{item.id}",
        actor=lambda item: item.by,
        createdAt=lambda item: shapes.moment(item.at),
    )
simply("RenamedTitleEvent", previousTitle=_fact("previous"), currentTitle=_fact("current"))
simply("BaseRefChangedEvent", previousRefName=_fact("previous"), currentRefName=_fact("current"))
simply(
    "CommentDeletedEvent",
    databaseId=lambda item: item.id,  # of the event: which comment it was, GitHub does not say
    deletedCommentAuthor=_fact("author"),
)
simply("HeadRefDeletedEvent", headRefName=_fact("ref"))
simply("BaseRefDeletedEvent", baseRefName=_fact("ref"))
simply(
    "ReviewDismissedEvent",
    review=_fact("review"),
    previousReviewState=_fact("previous"),
    dismissalMessage=_fact("message"),
)


@resolves("ReviewRequestedEvent", "requestedReviewer")
def _requested(item: TimelineItem, asked: Asked) -> Any:
    team = item.facts.get("team")
    if team is not None:
        return team if sees_members(asked.token, team.organisation) else None
    return item.facts.get("reviewer")
