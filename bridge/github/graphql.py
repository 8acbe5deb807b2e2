"""GitHub's words as nouns, and back: what an answer of GraphQL means.

Values in, values out. An answer that lacks what GitHub describes raises `KeyError`, `TypeError`,
`ValueError` or `AttributeError`; `github.py` makes one sentence of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bridge.core.evaluation import Answer
from bridge.core.rules import Group
from bridge.core.sanitize import as_text
from bridge.github.queries import REVISIONS
from bridge.pages.marker import seal_of
from bridge.pages.model import (
    Account,
    Amend,
    Branch,
    Close,
    Closing,
    Comment,
    Deletion,
    Edit,
    Kind,
    Label,
    Mark,
    Page,
    React,
    Reaction,
    Remove,
    Rename,
    Reopen,
    Review,
    ReviewState,
    Revision,
    Rewrite,
    Say,
    Site,
    State,
    Voices,
    Write,
)
from bridge.policy.approvers import LEVELS, reaches

Json = dict[str, Any]


def edited_texts(node: Json, voices: Voices) -> Iterator[Json]:
    """The texts of a page that somebody edited, its body too, but for what the Apps wrote."""
    if node["lastEditedAt"]:
        yield node
    lists = [node["comments"]["nodes"], node.get("reviews", {}).get("nodes", [])]
    for text in [*(each for found in lists for each in found), *node.get("inline", [])]:
        author = _account(text["author"])
        of_app = voices.own(author) and author is not None and author.kind is not Kind.USER
        if text["lastEditedAt"] and not of_app:
            yield text


def may_show(
    heads: Sequence[Json], voices: Voices, gates: Collection[str], known: Collection[int]
) -> list[str]:
    """The ids of the issues, but for the `known` numbers, that may be pages of these gates.

    Of a body that was edited only its history says what it showed.
    """
    return [
        each["id"]
        for each in heads
        if each["number"] not in known
        and voices.own(_account(each["author"]))
        and (each["lastEditedAt"] or _names(each["body"], gates))
    ]


def _names(body: str, gates: Collection[str]) -> bool:
    seal = seal_of(_lines(body))
    return seal is not None and seal.gate_id in gates


def cursor(part: Json) -> str | None:
    """Where a list goes on; None at its end. Raises `ValueError` where GitHub does not say."""
    if not part["pageInfo"]["hasNextPage"]:
        return None
    found = part["pageInfo"]["endCursor"]
    if not found:
        raise ValueError(found)  # without one it would begin anew, for ever
    return str(found)


# -- what an answer means --------------------------------------------------------------------------


def site(found: Json, configured: Sequence[str]) -> Site:
    """`configured`: the logins of the bridge's other accounts."""
    repository, branch = found["site"], found["site"]["defaultBranchRef"]
    blob = repository["policy"]
    return Site(
        repository=repository["nameWithOwner"],
        repository_id=repository["databaseId"],
        url=repository["url"],
        default_branch=branch["name"],
        commit=branch["target"]["oid"],
        policy=blob["text"] if blob else None,
        voices=_voices(configured, found["viewer"]),
        labels={each["name"]: each["id"] for each in repository["labels"]["nodes"]},
        viewer=found["viewer"]["databaseId"],
        unprotected=found["viewer"]["login"].removesuffix("[bot]") == "github-actions",
    )


def _voices(configured: Sequence[str], viewer: Json) -> Voices:
    numbers = {viewer["databaseId"]} - {None}
    people = {int(number) for _, mark, number in (e.partition("#") for e in configured) if mark}
    apps = frozenset(each.casefold() for each in configured if "#" not in each)
    return Voices(frozenset(numbers | people), apps, viewer["databaseId"])


def page(node: Json) -> Page:
    """A pull request or an issue, its lists whole."""
    edits = [
        Edit(_account(each["editor"]), moment(each["editedAt"]))
        # Newest first, by the second: in one second the order alone says who wrote last.
        for each in reversed(node["userContentEdits"]["nodes"])
    ]
    return Page(
        node=node["id"],
        number=node["number"],
        url=node["url"],
        state=State(node.get("issueState") or node["state"]),
        title=node["title"],
        body=_lines(node["body"]),
        author=_account(node["author"]),
        at=moment(node["createdAt"]),
        branch=_branch(node) if node["__typename"] == "PullRequest" else None,
        edits=tuple(sorted(edits, key=lambda each: each.at)),
        reviews=tuple(_reviews(node)) if node["__typename"] == "PullRequest" else (),
        comments=tuple(_comment(each) for each in node["comments"]["nodes"]),
        inline=tuple(_comment(each) for each in node.get("inline", ())),
        revisions=_revisions(node, node["createdAt"]),
        renames=tuple(_renames(node)),
        deletions=tuple(_deletions(node)),
        closing=_closing(node),
        invited=frozenset(_invited(node)),
        locked=node["locked"],
        shut_until=max(_openings(node), default=None),
        labels=tuple(each["name"] for each in node["labels"]["nodes"]),
    )


def last_said(node: Json) -> Page:
    """A decided page with its last comments alone: no evidence."""
    return Page(
        node=node["id"],
        number=node["number"],
        url=node["url"],
        state=State.CLOSED,
        title="",
        body="",
        author=None,
        at=moment(node["createdAt"]),
        comments=tuple(_comment(each) for each in node["comments"]["nodes"]),
    )


def _branch(node: Json) -> Branch:
    repository = node["headRepository"]
    return Branch(
        repository=repository["nameWithOwner"] if repository else None,
        name=node["headRefName"],
        head=node["headRefOid"],
        base=node["baseRefName"],
        exists=node["headRef"] is not None,
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
        yield Review(
            node=each["id"],
            author=_account(each["author"]),
            state=ReviewState(event["previousReviewState"] if event else each["state"]),
            body=_lines(each["body"]),
            at=moment(each["submittedAt"]),
            url=each["url"],
            commit=each["commit"]["oid"] if each["commit"] else None,
            edited=_edit(each),
            dismissed_by=_account(event["actor"]) if event else None,
            dismissed_at=moment(event["createdAt"]) if event else None,
            reactions=_reactions(each),
            revisions=_revisions(each, each["submittedAt"]),
        )


def _comment(node: Json) -> Comment:
    return Comment(
        node=node["id"],
        author=_account(node["author"]),
        body=_lines(node["body"]),
        at=moment(node["createdAt"]),
        url=node["url"],
        edited=_edit(node),
        reactions=_reactions(node),
        revisions=_revisions(node, node["createdAt"]),
    )


def _revisions(text: Json, written_at: str) -> tuple[Revision, ...]:
    """Every state of an edited text, oldest first; none if they were not asked for."""
    name, _, _ = REVISIONS
    if name not in text or "includesCreatedEdit" not in text:
        return ()
    body = _lines(text["body"])
    found = [
        Revision(
            _account(each["editor"]),
            moment(each["editedAt"]),
            None if each["deletedAt"] or each["diff"] is None else _lines(each["diff"]),
        )
        for each in reversed(text[name]["nodes"])  # GitHub gives the newest first
    ]
    newest = found.pop().text if found else None
    if newest is not None and newest.strip() != body.strip():
        # Then this is no list of whole texts, and nothing is known of the older ones.
        found = [replace(each, text=None) for each in found]
    if not text["includesCreatedEdit"]:
        found.insert(0, Revision(_account(text["author"]), moment(written_at), None))
    last = Revision(_account(text["editor"]), moment(text["lastEditedAt"]), body)
    return (*found, last)


def _renames(node: Json) -> Iterator[Rename]:
    for each in node["timelineItems"]["nodes"]:
        if each["__typename"] == "RenamedTitleEvent":
            by, at = _account(each["actor"]), moment(each["createdAt"])
            yield Rename(by, at, each["previousTitle"], each["currentTitle"])


def _deletions(node: Json) -> Iterator[Deletion]:
    for each in node["timelineItems"]["nodes"]:
        if each["__typename"] == "CommentDeletedEvent":
            of, by = _account(each["deletedCommentAuthor"]), _account(each["actor"])
            yield Deletion(of, by, moment(each["createdAt"]))


def _invited(node: Json) -> Iterator[str]:
    for each in node["timelineItems"]["nodes"]:
        who = each.get("requestedReviewer") or {}
        name = who.get("login") or who.get("combinedSlug")
        if name:
            yield str(name).lower()


def _closing(node: Json) -> Closing | None:
    events = [e for e in node["timelineItems"]["nodes"] if e["__typename"] == "ClosedEvent"]
    if not events:
        return None
    last = events[-1]  # GitHub lists them in order; by the second, two could be the same
    return Closing(_account(last["actor"]), moment(last["createdAt"]), last["closer"] is not None)


def _openings(node: Json) -> Iterator[datetime]:
    for each in node["timelineItems"]["nodes"]:
        if each["__typename"] in ("ReopenedEvent", "UnlockedEvent"):
            yield moment(each["createdAt"])


def _account(node: Json | None) -> Account | None:
    if node is None:
        return None
    kinds = {"User": Kind.USER, "Bot": Kind.BOT}
    kind = kinds.get(node["__typename"], Kind.OTHER)
    return Account(node.get("databaseId"), node["login"], kind)


def _edit(node: Json) -> Edit | None:
    at = node["lastEditedAt"]
    return Edit(_account(node["editor"]), moment(at)) if at else None


def _reactions(node: Json) -> frozenset[Reaction]:
    known = {each.value for each in Reaction}
    groups = node["reactionGroups"] or ()
    mine = {each["content"] for each in groups if each["viewerHasReacted"]}
    return frozenset(Reaction(each) for each in mine & known)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _lines(body: str | None) -> str:
    # GitHub's own editor sends CRLF, and gives back what it was sent.
    return as_text((body or "").replace("\r\n", "\n"))


def new_page(made: Mapping[str, Any]) -> Page:
    """A page as REST shows a new one: nobody has answered it yet."""
    user, head = made["user"], made.get("head")
    return Page(
        node=made["node_id"],
        number=made["number"],
        url=made["html_url"],
        state=State.OPEN,
        title=made["title"],
        body=_lines(made["body"]),
        author=Account(user["id"], user["login"], Kind.BOT if user["type"] == "Bot" else Kind.USER),
        at=moment(made["created_at"]),
        branch=Branch(head["repo"]["full_name"], head["ref"], head["sha"], made["base"]["ref"])
        if head
        else None,
        labels=tuple(each["name"] for each in made["labels"]),
    )


#: REST's older words for two of the levels.
_LEVELS = {"pull": "read", "push": "write"}


def permission(group: Group, found: Json, number: int) -> tuple[Answer, str]:
    """Whether the account of this number is in a group by its permission, and if not, why."""
    user = found.get("user") or {}
    if user.get("id") != number:
        return Answer.UNKNOWN, "the login belongs to another account now"
    # The field `permission` calls maintain write and triage read: the list of them is exact.
    own = {_LEVELS.get(name, name) for name, has in (user.get("permissions") or {}).items() if has}
    level = next((each for each in reversed(LEVELS) if each in own), "none")
    answer = reaches(group, level, found.get("role_name") or "")
    return answer, "" if answer is Answer.MEMBER else f"has {level} permission"


# -- what is written -------------------------------------------------------------------------------


def mutation(page: Page, write: Write) -> tuple[str, Json]:
    """The mutation's name and input. A label and a commit status are no mutations."""
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


def document(mutations: Sequence[tuple[str, Json]]) -> tuple[str, Json]:
    """Several mutations as one document and its variables; each may fail alone."""
    numbered = list(enumerate(mutations))
    heads = [f"$i{n}: {name[0].upper()}{name[1:]}Input!" for n, (name, _) in numbered]
    calls = [f"m{n}: {name}(input: $i{n}) {{ clientMutationId }}" for n, (name, _) in numbered]
    variables = {f"i{n}": given for n, (_, given) in numbered}
    named = "_".join(dict.fromkeys(name for name, _ in mutations))  # as the log shows it
    return f"mutation {named}({', '.join(heads)}) {{ {' '.join(calls)} }}", variables
