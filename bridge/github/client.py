"""GitHub: one GraphQL query or mutation if possible, else REST.

The `Forge` port. Every address comes from the settings. What GitHub leaves out of an answer is an
error here: half a page of reviews is not evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from bridge.core.errors import ForgeUnavailable, NoSuchPage, NothingToShow
from bridge.core.evaluation import Membership, Question
from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Place
from bridge.core.remote_url import of_repository
from bridge.core.rules import Via
from bridge.core.settings import GitHubSettings
from bridge.core.timestamps import moment_out
from bridge.github import graphql as words
from bridge.github import queries
from bridge.github.asking_run import read_run
from bridge.github.checks import facts_of
from bridge.github.memberships import Memberships
from bridge.github.queries import LABELS
from bridge.github.transport import Denied, Json, Line, told
from bridge.pages.model import (
    GATE_BRANCH,
    WAITING,
    Closed,
    Label,
    Look,
    Mark,
    Page,
    Run,
    Site,
    Started,
    State,
    Voices,
    Write,
)
from bridge.policy.policy_file import PATH

#: The context of the commit status.
STATUS = "approval"
_AT_ONCE = queries.AT_ONCE
#: GitHub finds so many nodes by their ids in one query.
_TEXTS_AT_ONCE = 100
#: GitHub lists a thousand runs at most.
_RUNS_AT_ONCE, _MOST_PAGES = 100, 10
#: Mutations in one document: more of them than GitHub does in the time that a request may take.
_WRITES_AT_ONCE = 50

T = TypeVar("T")


class GitHub:
    """One repository on GitHub, as one of the bridge's accounts. `pause` waits so many seconds."""

    def __init__(
        self, settings: GitHubSettings, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._repository = settings.repository
        self._line = Line(settings, pause)

    @property
    def name(self) -> str:
        return f"github:{self._repository}"

    @property
    def place(self) -> Place:
        return self._settings.place

    def git_url(self) -> str:
        """The repository for git, with a credential in it: not to be shown."""
        return of_repository(self._settings.server_url, self._repository, self._line.token)

    # -- reading -----------------------------------------------------------------------------

    def look(self, number: int) -> Look:
        found = self._query(queries.ONE_PAGE, {"number": number})
        look = self._look_of(found, lambda: [found["page"]["issueOrPullRequest"]])
        if not look.pages:
            raise NoSuchPage(f"{self._repository} has neither a pull request nor an issue {number}")
        return look

    def find(
        self,
        branches: Sequence[str],
        since: datetime | None = None,
        known: Collection[int] = (),
    ) -> Look:
        """One query for each fifty branches; without a branch it reads the repository alone."""
        first = self._find(branches[:_AT_ONCE], since)
        looks = [self._pages_of(first, branches[:_AT_ONCE])]
        for start in range(_AT_ONCE, len(branches), _AT_ONCE):
            some = branches[start : start + _AT_ONCE]
            looks.append(self._pages_of(self._find(some), some))
        pages = [page for look in looks for page in look.pages]
        if since and branches:
            pages += self._changed(first, looks[0].site, branches, since, known)
        return Look(looks[-1].site, tuple(pages))

    def _find(self, branches: Sequence[str], since: datetime | None = None) -> Json:
        given = {f"b{index}": branch for index, branch in enumerate(branches)}
        if since and branches:
            given |= {"since": moment_out(since)}
        return self._query(queries.pages_of(len(branches), changed=since is not None), given)

    def _pages_of(self, found: Json, branches: Sequence[str]) -> Look:
        return self._look_of(found, lambda: self._pulls(found.get("pages", {}), branches))

    def _changed(
        self,
        found: Json,
        site: Site,
        branches: Sequence[str],
        since: datetime,
        known: Collection[int],
    ) -> Iterator[Page]:
        """The issues that changed since then and may show a gate of these branches."""
        gates = {each.removeprefix(GATE_BRANCH) for each in branches}
        heads = self._understood(lambda: list(self._heads(found["pages"], since)))
        ids = self._understood(lambda: words.may_show(heads, site.voices, gates, known))
        for start in range(0, len(ids), _AT_ONCE):
            some = {"ids": ids[start : start + _AT_ONCE]}
            nodes = self._query(queries.ISSUES_BY_ID, some, everywhere=True)["nodes"]
            yield from self._understood(partial(self._read, nodes, site.voices))

    def _heads(self, part: Json, since: datetime) -> Iterator[Json]:
        yield from part["issues"]["nodes"]
        while after := words.cursor(part["issues"]):
            asked = {"since": moment_out(since), "after": after}
            part = self._query(queries.MORE_CHANGED, asked)["repository"]
            yield from part["issues"]["nodes"]

    def _pulls(self, found: Json, branches: Sequence[str]) -> Iterator[Json]:
        for index, branch in enumerate(branches):
            part = found[f"b{index}"]
            yield from part["nodes"]
            # Anyone may open more of them, from a fork's branch of that name, to hide ours.
            while after := words.cursor(part):
                asked = {"branch": branch, "after": after}
                part = self._query(queries.MORE_PULLS, asked)["repository"]["pullRequests"]
                yield from part["nodes"]

    def closed(self) -> Closed:
        try:
            found = self._query(queries.CLOSED, {"label": WAITING})
            pages = self._understood(lambda: tuple(_decided(found["pages"])))
            stranded = self._stranded(found)
            return Closed(stranded, replace(stranded, pages=pages))
        except ForgeUnavailable as error:  # old runs must not hide a page that still waits
            stranded = self._stranded(self._query(queries.STRANDED, {"label": WAITING}))
            return Closed(stranded, replace(stranded, pages=()), str(error))

    def _stranded(self, found: Json) -> Look:
        return self._look_of(found, lambda: found["pages"]["stranded"]["nodes"])

    def waiting(self) -> Look:
        found = self._query(queries.WAITING_ISSUES, {"label": WAITING, "after": None})
        return self._look_of(found, lambda: self._issues(found))

    def _issues(self, found: Json) -> Iterator[Json]:
        part = found["pages"]["issues"]
        yield from part["nodes"]
        while after := words.cursor(part):
            asked = {"label": WAITING, "after": after}
            part = self._query(queries.WAITING_ISSUES, asked)["pages"]["issues"]
            yield from part["nodes"]

    def _look_of(self, found: Json, nodes: Callable[[], Iterable[Json | None]]) -> Look:
        def read() -> Look:
            site = self._site(found)
            return Look(site, self._read(nodes(), site.voices))

        return self._understood(read)

    def _read(self, nodes: Iterable[Json | None], voices: Voices) -> tuple[Page, ...]:
        whole = [self._whole(node) for node in nodes if node]
        self._add_revisions(whole, voices)
        return tuple(map(words.page, whole))

    def _site(self, found: Json) -> Site:
        if found["site"]["defaultBranchRef"] is None:
            raise ForgeUnavailable(f"{self._repository} has no default branch: push one first")
        blob = found["site"]["policy"]
        if blob is not None and (blob.get("isTruncated") or blob.get("text") is None):
            raise ForgeUnavailable(f"{PATH} in {self._repository} cannot be read whole as text")
        return words.site(found, self._settings.voices)

    def _whole(self, node: Json) -> Json:
        """The page with what did not fit into the first answer."""
        kind = node["__typename"]
        for each in queries.LISTS[kind]:
            self._rest(kind, node, each)
        if kind == "PullRequest" and node["threads"]["totalCount"]:
            node["inline"] = list(self._inline(node["id"]))
        return node

    def _inline(self, page: str) -> Iterator[Json]:
        after: str | None = None
        while True:
            asked = {"id": page, "after": after}
            part = self._query(queries.threads_of_page(), asked, everywhere=True)["node"]
            for thread in part["reviewThreads"]["nodes"]:
                yield from self._rest("PullRequestReviewThread", thread, queries.INLINE)
            after = words.cursor(part["reviewThreads"])
            if after is None:
                return

    def _add_revisions(self, pages: Sequence[Json], voices: Voices) -> None:
        """Every state of the texts that were edited: one request for a hundred of them."""
        texts = [text for page in pages for text in words.edited_texts(page, voices)]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            asked = {"ids": [each["id"] for each in some]}
            found = self._query(queries.revisions_of_texts(), asked, everywhere=True)["nodes"]
            for text, states in zip(some, found, strict=True):
                self._rest(states["__typename"], states, queries.REVISIONS)
                text.update(states)

    def _rest(self, kind: str, node: Json, of: tuple[str, str, str]) -> list[Json]:
        """A list of a node, with what did not fit into the first answer."""
        name, arguments, fields = of
        part = node[name]
        while after := words.cursor(part):
            query = queries.rest_of(kind, name, arguments, fields)
            asked = {"id": node["id"], "after": after}
            part = self._query(query, asked, everywhere=True)["node"][name]
            node[name]["nodes"] += part["nodes"]
        found: list[Json] = node[name]["nodes"]
        return found

    def memberships(self, questions: Sequence[Question]) -> tuple[Membership, ...]:
        return Memberships(self._line, self._repository).answers(questions)

    def checks(self, commit: str, names: Sequence[str]) -> tuple[Fact, ...]:
        return facts_of(self._line, self._repository, commit, names)

    def number_of(self, repository: str) -> int | None:
        owner, _, name = repository.partition("/")
        asked = {"owner": owner, "name": name}
        query = "query Named($owner: String!, $name: String!)"
        query += " { named: repository(owner: $owner, name: $name) { databaseId } }"
        found = self._query(query, asked, everywhere=True)["named"]
        return self._understood(lambda: int(found["databaseId"]) if found else None)

    def signing_keys(self, login: str) -> tuple[tuple[str, datetime], ...]:
        found = self._lookup_list(f"/users/{quote(login, safe='[]')}/ssh_signing_keys?per_page=100")
        return self._understood(
            lambda: tuple((each["key"], words.moment(each["created_at"])) for each in found)
        )

    def _lookup_list(self, path: str) -> list[Json]:
        try:
            found = self._line.get(path, "signing keys cannot be read")
        except ForgeUnavailable:
            return []
        return found if isinstance(found, list) else []

    # -- writing -----------------------------------------------------------------------------

    def create(self, request: ApprovalRequest, title: str, body: str) -> Page:
        if request.policy.via is Via.ISSUE:
            return self._new_issue(title, body)
        branch, base = request.gate.branch, request.shard
        given = {"title": title, "body": body, "head": branch, "base": base}
        why = f"the pull request for {branch} in {self._repository} cannot be opened"
        try:
            made = self._line.post(f"/repos/{self._repository}/pulls", given, why, again=False)
        except Denied as denied:
            if denied.status == 422 and "No commits between" in denied.said:
                raise NothingToShow(
                    f"{branch} in {self._repository} holds nothing that {base} lacks"
                ) from None
            if denied.status == 422 and "already exists" in denied.said:
                return self._open_already(branch, base)
            raise
        return self._understood(lambda: words.new_page(made))

    def _open_already(self, branch: str, base: str) -> Page:
        """Ours, if another run was quicker or an answer was lost; else a stranger's."""
        look = self.find([branch])
        pages = [each for each in look.pages if each.state is State.OPEN and each.is_into(base)]
        for page in pages:
            if look.site.voices.own(page.author):
                return page
        where = " and ".join(page.url for page in pages) or "a pull request"
        raise ForgeUnavailable(
            f"{where} is open from {branch} and not the bridge's own, so that it cannot open one"
            " there: close it"
        )

    def _new_issue(self, title: str, body: str) -> Page:
        # With its label at once: it is by the label that an issue is found again.
        given = {"title": title, "body": body, "labels": [WAITING]}
        why = f"the issue in {self._repository} cannot be opened"
        made = self._line.post(f"/repos/{self._repository}/issues", given, why, again=False)
        return self._understood(lambda: words.new_page(made))

    def invite(self, page: Page, names: Sequence[str]) -> tuple[str, ...]:
        path = f"/repos/{self._repository}/pulls/{page.number}/requested_reviewers"
        owner = self._repository.partition("/")[0].lower()
        # A team of another organization could be taken for one of this that has its name.
        here = [each for each in names if each.partition("/")[0] == owner or "/" not in each]
        if not here or self._invited(path, here):
            done = here
        else:  # one unknown name fails the whole request
            done = [each for each in here if len(here) > 1 and self._invited(path, [each])]
        return tuple(each for each in names if each not in done)

    def approve(self, page: Page, commit: str | None, text: str) -> str:
        given = {"event": "APPROVE", "body": text, "commit_id": commit}
        return self._posted(f"pulls/{page.number}/reviews", given)

    def say(self, page: Page, text: str) -> str:
        return self._posted(f"issues/{page.number}/comments", {"body": text})

    def _posted(self, where: str, given: Json) -> str:
        path = f"/repos/{self._repository}/{where}"
        made = self._line.post(path, given, "your answer was not posted", again=False)
        return self._understood(lambda: str(made["html_url"]))

    def _invited(self, path: str, names: Sequence[str]) -> bool:
        given = {
            "reviewers": [each for each in names if "/" not in each],
            "team_reviewers": [each.partition("/")[2] for each in names if "/" in each],
        }
        try:
            self._line.post(path, given, "a review cannot be asked for", again=True)
        except ForgeUnavailable:
            return False
        return True

    def write(self, site: Site, page: Page, writes: Sequence[Write]) -> None:
        mutations: list[tuple[str, Json]] = []
        for each in writes:
            if isinstance(each, Mark):
                self._mark(each)
            elif isinstance(each, Label):
                mutations += self._label(site, page, each)
            else:
                mutations.append(words.mutation(page, each))
        for start in range(0, len(mutations), _WRITES_AT_ONCE):
            self._mutate(mutations[start : start + _WRITES_AT_ONCE])

    def _mutate(self, mutations: Sequence[tuple[str, Json]]) -> None:
        why = f"{self.name} did not take what was to be written"
        # Said twice, a comment stands there twice; all else is the same the second time.
        again = all(name != "addComment" for name, _ in mutations)
        answer = self._line.graphql(*words.document(mutations), why, again=again)
        # What was deleted while we wrote needs no answer any more; the next look sees what is left.
        bad = [each for each in answer.get("errors") or () if _type(each) != "NOT_FOUND"]
        if bad:
            raise ForgeUnavailable(f"{why}: {told(bad)}")

    def _label(self, site: Site, page: Page, label: Label) -> Iterator[tuple[str, Json]]:
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

    def send(self, event: str, payload: Mapping[str, str]) -> None:
        given = {"event_type": event, "client_payload": dict(payload)}
        path = f"/repos/{self._repository}/dispatches"
        self._line.post(path, given, f"the run for {event} cannot be started", again=False)

    # -- Actions -----------------------------------------------------------------------------

    def run(self, number: int, attempt: int) -> Run | None:
        path = f"/repos/{self._repository}/actions/runs/{number}/attempts/{attempt}"
        try:
            found = self._line.get(path, f"run {number} (attempt {attempt}) cannot be read")
        except Denied as denied:
            if denied.status == 404:
                return None
            raise
        return self._understood(lambda: read_run(found))

    def started(self, workflow: str) -> tuple[Started, ...]:
        path = f"/repos/{self._repository}/actions/workflows/{quote(workflow, safe='')}/runs"
        why = f"the runs of {workflow} cannot be read, which takes `permissions: actions: read`"
        query = f"event=repository_dispatch&per_page={Started.AT_ONCE}"
        found = self._line.get(f"{path}?{query}", why)
        return self._understood(lambda: tuple(map(_started, found["workflow_runs"])))

    def titles(self, workflow: str, since: datetime) -> Mapping[int, str]:
        """The runs of this file that repository dispatches started since then: their titles."""
        path = f"/repos/{self._repository}/actions/workflows/{workflow}/runs"
        why = f"the runs of {workflow} cannot be read, which takes `permissions: actions: read`"
        found: dict[int, str] = {}
        for page in range(1, _MOST_PAGES + 1):  # the newest run is the first
            query = f"event=repository_dispatch&per_page={_RUNS_AT_ONCE}&page={page}"
            runs = self._line.get(f"{path}?{query}", why)
            new = self._understood(partial(_titles, runs, since))
            found |= new
            if len(new) < _RUNS_AT_ONCE:
                break
        return found

    def start(self, workflow: str, inputs: Mapping[str, str]) -> None:
        """Run this workflow file of the default branch, by its name."""
        path = f"/repos/{self._repository}"
        why = f"{workflow} cannot be started, which takes `permissions: actions: write`"
        about = self._line.get(path, why)
        given = {"ref": self._understood(lambda: about["default_branch"]), "inputs": dict(inputs)}
        self._line.post(f"{path}/actions/workflows/{workflow}/dispatches", given, why, again=True)

    # -- exchanges ---------------------------------------------------------------------------

    def _query(self, query: str, variables: Json, *, everywhere: bool = False) -> Json:
        owner, _, name = self._repository.partition("/")
        given = variables if everywhere else {"owner": owner, "name": name, **variables}
        answer = self._line.graphql(query, given, f"{self.name} cannot be read")
        errors = answer.get("errors") or ()
        # Only what was asked for by number or name may be missing: any other hole in an answer is
        # not evidence.
        if any(_type(each) != "NOT_FOUND" or each.get("path") not in _MISSING for each in errors):
            raise ForgeUnavailable(f"{self.name} cannot be read: {told(errors)}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise ForgeUnavailable(f"{self.name} cannot be read: its answer holds no data")
        return data

    def _understood(self, read: Callable[[], T]) -> T:
        """What an answer means, if it is what GitHub's description says."""
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ForgeUnavailable(
                f"{self.name} cannot be read: an answer is not what GitHub describes"
            ) from None


_MISSING = (["page", "issueOrPullRequest"], ["named"])


def _decided(pages: Json) -> Iterator[Page]:
    for each in queries.DECIDED:
        yield from (words.last_said(node) for node in pages[each]["nodes"] if node)


def _titles(found: Json, since: datetime) -> dict[int, str]:
    return {
        int(each["id"]): str(each["display_title"])
        for each in found["workflow_runs"]
        if datetime.fromisoformat(each["created_at"]) >= since
    }


def _started(found: Json) -> Started:
    return Started(
        number=int(found["id"]),
        title=str(found["display_title"]),
        at=words.moment(found["created_at"]),
        conclusion=str(found["conclusion"]) if found["status"] == "completed" else None,
    )


def _type(error: Any) -> Any:
    return error.get("type") if isinstance(error, dict) else None
