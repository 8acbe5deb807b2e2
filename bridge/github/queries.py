"""What is asked of GitHub in GraphQL: texts of queries.

`graphql.py` says what an answer means.
"""

from __future__ import annotations

from bridge.policy.policy_file import PATH

#: The start of the names of the bridge's labels.
LABELS = "gate:"

MORE = "pageInfo { hasNextPage endCursor }"
_WHO = "{ ...Who }"
#: To be added wherever a person is asked for.
ACCOUNT = (
    "fragment Who on Actor { __typename login"
    " ... on User { databaseId } ... on Bot { databaseId } }"
)
_SAID = (
    f"id author {_WHO} body url lastEditedAt editor {_WHO}"
    " reactionGroups { content viewerHasReacted }"
)
_CLOSED = f"... on ClosedEvent {{ createdAt actor {_WHO} closer {{ __typename }} }}"
_OPENED = "... on ReopenedEvent { createdAt } ... on UnlockedEvent { createdAt }"
_RENAMED = f"... on RenamedTitleEvent {{ createdAt actor {_WHO} previousTitle currentTitle }}"
_DISMISSED = (
    f"... on ReviewDismissedEvent {{ createdAt actor {_WHO} previousReviewState review {{ id }} }}"
)
#: The reviewer is null if the credential may not see the team.
_INVITED = (
    "... on ReviewRequestedEvent { requestedReviewer"
    " { __typename ... on User { login } ... on Team { combinedSlug } } }"
)
_DELETED = f"... on CommentDeletedEvent {{ createdAt actor {_WHO} deletedCommentAuthor {_WHO} }}"
#: What may be longer than one answer holds: name, further arguments, fields. All of it counts: an
#: edit that is left out hides what a voter saw, a deletion that is left out hides an objection.
_EDITS = ("userContentEdits", "", f"editedAt editor {_WHO}")
_COMMENTS = ("comments", "", f"{_SAID} createdAt")
_REVIEWS = ("reviews", "", f"{_SAID} state submittedAt commit {{ oid }}")
LISTS = {
    "PullRequest": (
        _EDITS,
        _COMMENTS,
        _REVIEWS,
        (
            "timelineItems",
            ", itemTypes: [CLOSED_EVENT, REOPENED_EVENT, UNLOCKED_EVENT, COMMENT_DELETED_EVENT,"
            " RENAMED_TITLE_EVENT, REVIEW_DISMISSED_EVENT, REVIEW_REQUESTED_EVENT]",
            f"__typename {_CLOSED} {_OPENED} {_DELETED} {_RENAMED} {_DISMISSED} {_INVITED}",
        ),
    ),
    "Issue": (
        _EDITS,
        _COMMENTS,
        (
            "timelineItems",
            ", itemTypes: [CLOSED_EVENT, REOPENED_EVENT, UNLOCKED_EVENT, COMMENT_DELETED_EVENT,"
            " RENAMED_TITLE_EVENT]",
            f"__typename {_CLOSED} {_OPENED} {_DELETED} {_RENAMED}",
        ),
    ),
}
_THREADS = (
    "reviewThreads",
    "",
    f"id comments(first: 100) {{ nodes {{ {_SAID} createdAt }} {MORE} }}",
)
INLINE = ("comments", "", f"{_SAID} createdAt")
#: Of a text that was edited. GitHub calls it a diff, and gives the whole text of the revision.
REVISIONS = ("userContentEdits", "", f"editedAt editor {_WHO} diff deletedAt")
#: What can be edited and may hold a command, as GraphQL names the types.
_EDITABLE = (
    "IssueComment", "PullRequestReview", "PullRequestReviewComment", "PullRequest", "Issue",
)  # fmt: skip


def _lists(kind: str) -> str:
    return " ".join(
        f"{name}(first: 100{arguments}) {{ nodes {{ {fields} }} {MORE} }}"
        for name, arguments, fields in LISTS[kind]
    )


_TEXTS = (
    f"__typename id number url title body createdAt author {_WHO} lastEditedAt editor {_WHO}"
    " locked labels(first: 100) { nodes { name } }"
)
#: With `ACCOUNT`; asked as `...Page` and `...Issue`.
PAGE = (
    f"fragment Page on PullRequest {{ {_TEXTS} state headRepository {{ nameWithOwner }}"
    f" headRefName headRefOid headRef {{ name }} baseRefName"
    f" threads: reviewThreads {{ totalCount }} {_lists('PullRequest')} }}"
)
ISSUE = f"fragment Issue on Issue {{ {_TEXTS} issueState: state {_lists('Issue')} }}"
#: With `$owner` and `$name`.
SITE = (
    "viewer { login databaseId }"
    " site: repository(owner: $owner, name: $name) { databaseId nameWithOwner url"
    " defaultBranchRef { name target { oid } }"
    f' policy: object(expression: "HEAD:{PATH}") {{ ... on Blob {{ text isTruncated }} }}'
    f' labels(first: 20, query: "{LABELS}") {{ nodes {{ id name }} }} }}'
)

#: One query reads so many gates: their pages cost GitHub little, and its answer stays in its time.
AT_ONCE = 50
#: The heads of issues that changed since `$since`. Nobody can take an issue out of this list, as
#: they can take a label off. A body holds the bridge's marker.
_CHANGED = (
    "issues(first: 100, after: $after, filterBy: {since: $since},"
    " orderBy: {field: CREATED_AT, direction: DESC})"
    f" {{ nodes {{ id number author {_WHO} body lastEditedAt }} {MORE} }}"
)
MORE_CHANGED = (
    "query Changed($owner: String!, $name: String!, $since: DateTime!, $after: String) {"
    f" repository(owner: $owner, name: $name) {{ {_CHANGED} }} }} {ACCOUNT}"
)
ISSUES_BY_ID = f"query Issues($ids: [ID!]!) {{ nodes(ids: $ids) {{ ...Issue }} }} {ISSUE} {ACCOUNT}"
_BY_BRANCH = "orderBy: {field: CREATED_AT, direction: DESC}) { nodes { ...Page } " + MORE + " }"
MORE_PULLS = (
    "query MorePulls($owner: String!, $name: String!, $branch: String!, $after: String!)"
    " { repository(owner: $owner, name: $name) { pullRequests(headRefName: $branch,"
    f" first: {AT_ONCE}, after: $after, {_BY_BRANCH} }} }} {PAGE} {ACCOUNT}"
)
WAITING_ISSUES = (
    f"query Waiting($owner: String!, $name: String!, $label: String!, $after: String) {{ {SITE}"
    f" pages: repository(owner: $owner, name: $name) {{ issues(first: {AT_ONCE}, after: $after,"
    " labels: [$label], orderBy: {field: CREATED_AT, direction: DESC})"
    f" {{ nodes {{ ...Issue }} {MORE} }} }} }} {ISSUE} {ACCOUNT}"
)
_NEWEST = "orderBy: {field: UPDATED_AT, direction: DESC}"
#: Of a decided page, only what the bridge said there last. A stranger's thousand comments behind it
#: cost nothing, and hide it.
_LAST_SAID = (
    f"nodes {{ id number url createdAt comments(last: 50) {{ nodes {{ {_SAID} createdAt }} }} }}"
)
#: Approved gates, and those whose run may go on without the step (`on_reject="skip"`): by label.
_DECIDED = (("approved", AT_ONCE), ("rejected", 20), ("expired", 20))


def _closed(decided: str) -> str:
    return (
        f"query Closed($owner: String!, $name: String!, $label: String!) {{ {SITE}"
        " pages: repository(owner: $owner, name: $name) {"
        f" stranded: pullRequests(first: {AT_ONCE}, labels: [$label],"
        f" states: [CLOSED, MERGED], {_NEWEST}) {{ nodes {{ ...Page }} }}"
        f"{decided} }} }} {PAGE} {ACCOUNT}"
    )


STRANDED = _closed("")
CLOSED = _closed(
    "".join(
        f' {label}Pulls: pullRequests(first: {most}, labels: ["{LABELS}{label}"],'
        f" states: [CLOSED, MERGED], {_NEWEST}) {{ {_LAST_SAID} }}"
        f' {label}Issues: issues(first: {most}, labels: ["{LABELS}{label}"], states: [CLOSED],'
        f" {_NEWEST}) {{ {_LAST_SAID} }}"
        for label, most in _DECIDED
    )
)
DECIDED = tuple(f"{label}{kind}" for label, _ in _DECIDED for kind in ("Pulls", "Issues"))
ONE_PAGE = (
    f"query Page($owner: String!, $name: String!, $number: Int!) {{ {SITE}"
    " page: repository(owner: $owner, name: $name)"
    " { issueOrPullRequest(number: $number) { ...Page ...Issue } } }"
    f" {PAGE} {ISSUE} {ACCOUNT}"
)


def pages_of(branches: int, *, changed: bool) -> str:
    """The query for the pull requests of so many branches, `$b0` and so on; `changed` asks for
    the issues that changed since `$since` as well."""
    if not branches:
        return f"query Site($owner: String!, $name: String!) {{ {SITE} }}"
    asked = "".join(
        f" b{index}: pullRequests(headRefName: $b{index}, first: 3, {_BY_BRANCH}"
        for index in range(branches)
    )
    names = "".join(f", $b{index}: String!" for index in range(branches))
    if changed:
        names += ", $since: DateTime!, $after: String"
        asked += f" {_CHANGED}"
    return (
        f"query Pages($owner: String!, $name: String!{names}) {{ {SITE}"
        f" pages: repository(owner: $owner, name: $name) {{{asked} }} }} {PAGE} {ACCOUNT}"
    )


def rest_of(kind: str, name: str, arguments: str, fields: str) -> str:
    """The query for what follows in one list of a page; `$id` and `$after`."""
    return (
        f"query Rest($id: ID!, $after: String!) {{ node(id: $id) {{ ... on {kind} {{"
        f" {name}(first: 100, after: $after{arguments}) {{ nodes {{ {fields} }} {MORE} }}"
        f" }} }} }} {ACCOUNT}"
    )


def threads_of_page() -> str:
    """The query for the inline comments of a page; `$id` and `$after`.

    Asked apart, of a page that has some: a list within a list is dear, and a gate rarely has any.
    """
    name, _, fields = _THREADS
    return (
        f"query Threads($id: ID!, $after: String) {{ node(id: $id) {{ ... on PullRequest {{"
        f" {name}(first: 100, after: $after) {{ nodes {{ {fields} }} {MORE} }} }} }} }} {ACCOUNT}"
    )


def revisions_of_texts() -> str:
    """The query for every state of texts that were edited; `$ids`. Asked apart, as the threads."""
    name, _, fields = REVISIONS
    states = f"includesCreatedEdit {name}(first: 100) {{ nodes {{ {fields} }} {MORE} }}"
    kinds = " ".join(f"... on {kind} {{ {states} }}" for kind in _EDITABLE)
    found = f"nodes(ids: $ids) {{ __typename id {kinds} }}"
    return f"query Revisions($ids: [ID!]!) {{ {found} }} {ACCOUNT}"
