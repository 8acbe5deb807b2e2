"""What people write on GitHub: issues, comments, reviews, reactions, and how each may change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.github.accounts import Account, Refusal, invalid

if TYPE_CHECKING:
    from tests.github.repository import Repository
    from tests.github.world import World

LONGEST_BODY, LONGEST_TITLE = 65_536, 256
#: REST's names of the reactions, and GraphQL's.
REACTIONS = {
    "+1": "THUMBS_UP",
    "-1": "THUMBS_DOWN",
    "laugh": "LAUGH",
    "hooray": "HOORAY",
    "confused": "CONFUSED",
    "heart": "HEART",
    "rocket": "ROCKET",
    "eyes": "EYES",
}


@dataclass(eq=False)
class Edit:
    """One state of a body; the first is the one it was created with."""

    id: int
    at: datetime
    by: Account
    text: str
    deleted_at: datetime | None = None
    deleted_by: Account | None = None


@dataclass(eq=False)
class Reaction:
    """One person's reaction; `content` as REST names it."""

    id: int
    by: Account
    content: str
    at: datetime


@dataclass(eq=False)
class TimelineItem:
    """Something that happened: `kind` as GraphQL names the type, `closer` for a `ClosedEvent`."""

    id: int
    kind: str
    by: Account
    at: datetime
    closer: object | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def checked_body(body: str | None) -> str:
    if body is not None and len(body) > LONGEST_BODY:
        raise invalid(
            {
                "resource": "Issue",
                "code": "custom",
                "field": "body",
                "message": f"body is too long (maximum is {LONGEST_BODY} characters)",
            }
        )
    return body or ""


@dataclass(eq=False)
class Written:
    """What has an author, a body that can be edited, and reactions."""

    id: int
    world: World = field(repr=False)
    repository: Repository = field(repr=False)
    author: Account
    body: str
    created_at: datetime
    updated_at: datetime = field(init=False)
    edits: list[Edit] = field(default_factory=list, init=False, repr=False)
    reactions: list[Reaction] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.body = checked_body(self.body)
        self.updated_at = self.created_at

    @property
    def last_edited_at(self) -> datetime | None:
        return self.edits[-1].at if self.edits else None

    @property
    def editor(self) -> Account | None:
        return self.edits[-1].by if self.edits else None

    def _rewrite(self, by: Account, body: str) -> str:
        """The former body. Saving the same text again leaves no trace of an edit."""
        former, body = self.body, checked_body(body)
        self.updated_at = self.world.clock.now()
        if body != former:
            if not self.edits:
                first = Edit(self.world.number(), self.created_at, self.author, former)
                self.edits.append(first)
            self.edits.append(Edit(self.world.number(), self.updated_at, by, body))
            self.body = body
        return former

    def delete_revision(self, index: int, by: Account) -> None:
        """GitHub forgets the text, and keeps who wrote it and when. The current text cannot go.

        Its author may, and so may anybody with write access:
        https://docs.github.com/en/communities/moderating-comments-and-conversations/tracking-changes-in-a-comment
        """
        with self.world.lock:
            edit = self.edits[index]
            if edit is self.edits[-1]:
                raise Refusal(422, "The current revision cannot be deleted.")
            if by is not self.author and self.repository.role(by) in ("none", "read", "triage"):
                raise Refusal(403, "You may only delete revisions of your own text.")
            edit.text, edit.deleted_at, edit.deleted_by = "", self.world.clock.now(), by

    @property
    def reacted(self) -> list[tuple[str, str]]:
        """(login, reaction) in the order they came."""
        return [(each.by.login, each.content) for each in self.reactions]

    def react(self, by: Account, content: str) -> Reaction:
        """The reaction, the one that was there where they had reacted so before."""
        with self.world.lock:
            for each in self.reactions:
                if each.by is by and each.content == content:
                    return each
            made = Reaction(self.world.number(), by, content, self.world.clock.now())
            self.reactions.append(made)
            return made

    def unreact(self, by: Account, content: str) -> Reaction | None:
        with self.world.lock:
            for each in self.reactions:
                if each.by is by and each.content == content:
                    self.reactions.remove(each)
                    return each
            return None


@dataclass(eq=False)
class Comment(Written):
    """A comment on an issue or pull request."""

    issue: Issue = field(kw_only=True, repr=False)
    minimized: str | None = field(default=None, init=False)
    deleted: bool = field(default=False, init=False)

    def edit(self, body: str, by: Account | None = None) -> None:
        by = by or self.author
        with self.world.lock:
            former = self._rewrite(by, body)
            self.world.emit(
                "issue_comment",
                "edited",
                by,
                self.issue,
                comment=self,
                changes={"body": {"from": former}},
            )

    def delete(self, by: Account | None = None) -> None:
        with self.world.lock:
            by = by or self.author
            self.issue.comments.remove(self)
            self.deleted = True
            # The event says whose comment it was, and not which.
            self.issue.happened("CommentDeletedEvent", by, author=self.author)
            self.world.emit("issue_comment", "deleted", by, self.issue, comment=self)

    def minimize(self, reason: str = "OUTDATED") -> None:
        self.minimized = reason


@dataclass(eq=False)
class Issue(Written):
    """An issue, and what a pull request has in common with one."""

    number: int = field(kw_only=True)
    title: str = field(kw_only=True)
    state: str = field(default="open", init=False)
    state_reason: str | None = field(default=None, init=False)
    closed_at: datetime | None = field(default=None, init=False)
    closed_by: Account | None = field(default=None, init=False)
    locked: bool = field(default=False, init=False)
    labels: list[str] = field(default_factory=list, init=False)
    assignees: list[Account] = field(default_factory=list, init=False)
    comments: list[Comment] = field(default_factory=list, init=False, repr=False)
    timeline: list[TimelineItem] = field(default_factory=list, init=False, repr=False)

    is_pull_request = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.title = _checked_title(self.title)

    @property
    def noun(self) -> str:
        return "pull_request" if self.is_pull_request else "issues"

    @property
    def url(self) -> str:
        """The page a person sees."""
        kind = "pull" if self.is_pull_request else "issues"
        return f"{self.repository.url}/{kind}/{self.number}"

    def happened(
        self, kind: str, by: Account, closer: object | None = None, **facts: Any
    ) -> TimelineItem:
        item = TimelineItem(self.world.number(), kind, by, self.world.clock.now(), closer, facts)
        self.timeline.append(item)
        return item

    def comment(self, by: Account, body: str) -> Comment:
        with self.world.lock:
            if not body.strip():
                raise invalid(
                    {"resource": "IssueComment", "code": "missing_field", "field": "body"}
                )
            if self.locked and self.repository.role(by) in ("none", "read"):
                raise Refusal(403, "Unable to create comment because issue is locked.")
            now = self.world.clock.now()
            made = Comment(
                self.world.number(), self.world, self.repository, by, body, now, issue=self
            )
            self.comments.append(made)
            self.updated_at = now
            self.world.emit("issue_comment", "created", by, self, comment=made)
            return made

    def edit(self, by: Account, body: str | None = None, title: str | None = None) -> None:
        with self.world.lock:
            changes: dict[str, Any] = {}
            if title is not None and title != self.title:
                changes["title"] = {"from": self.title}
                self.happened("RenamedTitleEvent", by, previous=self.title, current=title)
                self.title = _checked_title(title)
            if body is not None and body != self.body:
                changes["body"] = {"from": self._rewrite(by, body)}
            if changes:
                self.updated_at = self.world.clock.now()
                self.world.emit(self.noun, "edited", by, self, changes=changes)

    def close(self, by: Account, closer: object | None = None, reason: str | None = None) -> None:
        """`closer`: the commit or pull request that closed it, where no person did by hand."""
        with self.world.lock:
            if self.state == "closed":
                return
            self.state = "closed"
            self.state_reason = reason or (None if self.is_pull_request else "completed")
            self.closed_at = self.updated_at = self.world.clock.now()
            self.closed_by = by
            self.happened("ClosedEvent", by, closer)
            self.world.emit(self.noun, "closed", by, self)

    def reopen(self, by: Account) -> None:
        with self.world.lock:
            if self.state == "open":
                return
            self.state, self.closed_at, self.closed_by = "open", None, None
            self.state_reason = None if self.is_pull_request else "reopened"
            self.updated_at = self.world.clock.now()
            self.happened("ReopenedEvent", by)
            self.world.emit(self.noun, "reopened", by, self)

    def lock(self, by: Account) -> None:
        """Then only those with write access can comment."""
        with self.world.lock:
            self.locked, self.updated_at = True, self.world.clock.now()
            self.happened("LockedEvent", by)

    def unlock(self, by: Account) -> None:
        with self.world.lock:
            self.locked, self.updated_at = False, self.world.clock.now()
            self.happened("UnlockedEvent", by)

    def label(self, by: Account, *names: str) -> None:
        with self.world.lock:
            for name in names:
                self.repository.label(name)
                if name not in self.labels:
                    self.labels.append(name)
                    self.updated_at = self.world.clock.now()
                    self.happened("LabeledEvent", by, label=name)
                    self.world.emit(self.noun, "labeled", by, self, label=name)

    def unlabel(self, by: Account, *names: str) -> None:
        with self.world.lock:
            for name in names:
                if name in self.labels:
                    self.labels.remove(name)
                    self.updated_at = self.world.clock.now()
                    self.happened("UnlabeledEvent", by, label=name)
                    self.world.emit(self.noun, "unlabeled", by, self, label=name)


def _checked_title(title: str) -> str:
    if not title.strip():
        raise invalid({"resource": "Issue", "code": "missing_field", "field": "title"})
    if len(title) > LONGEST_TITLE:
        raise invalid(
            {
                "resource": "Issue",
                "code": "custom",
                "field": "title",
                "message": f"title is too long (maximum is {LONGEST_TITLE} characters)",
            }
        )
    return title


@dataclass(eq=False)
class Review(Written):
    """A review; `state` as REST has it, upper case."""

    state: str = field(kw_only=True)
    commit: str = field(kw_only=True)
    pull: Issue = field(kw_only=True, repr=False)
    submitted_at: datetime | None = field(default=None, init=False)

    def edit(self, body: str, by: Account | None = None) -> None:
        by = by or self.author
        with self.world.lock:
            former = self._rewrite(by, body)
            self.world.emit(
                "pull_request_review",
                "edited",
                by,
                self.pull,
                review=self,
                changes={"body": {"from": former}},
            )

    def dismiss(self, by: Account, message: str) -> None:
        with self.world.lock:
            if self.state not in ("APPROVED", "CHANGES_REQUESTED"):
                word = {"COMMENTED": "commented", "DISMISSED": "dismissed"}.get(
                    self.state, "pending"
                )
                raise Refusal(422, f"Can not dismiss a {word} pull request review")
            former, self.state = self.state, "DISMISSED"
            self.updated_at = self.world.clock.now()
            self.pull.happened(
                "ReviewDismissedEvent", by, review=self, previous=former, message=message
            )
            self.world.emit("pull_request_review", "dismissed", by, self.pull, review=self)


@dataclass(eq=False)
class InlineComment(Written):
    """A comment on a line of a pull request's change. The first of a thread is no reply."""

    review: Review = field(kw_only=True, repr=False)
    path: str = field(kw_only=True)
    line: int = field(kw_only=True)
    reply_to: InlineComment | None = field(default=None, kw_only=True, repr=False)

    def edit(self, body: str, by: Account | None = None) -> None:
        with self.world.lock:
            self._rewrite(by or self.author, body)


@dataclass(eq=False)
class Thread:
    """The inline comments on one line, oldest first."""

    comments: list[InlineComment]

    @property
    def id(self) -> int:
        return self.comments[0].id


def groups(reactions: Iterable[Reaction]) -> dict[str, list[Account]]:
    """Who reacted, by reaction; every reaction is a key."""
    found: dict[str, list[Account]] = {name: [] for name in REACTIONS}
    for each in reactions:
        found[each.content].append(each.by)
    return found
