"""Pull requests: opened, pushed to, reviewed, merged, closed, and what GitHub refuses of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from tests.github.accounts import Account, Kind, Refusal, Team, invalid
from tests.github.conversation import InlineComment, Issue, Review, Thread
from tests.github.gitserver import NOTHING

if TYPE_CHECKING:
    from tests.github.repository import Repository

_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


@dataclass(eq=False)
class PullRequest(Issue):
    """A pull request. `head_sha` moves with pushes to its head while it is open."""

    head_repository: Repository | None = field(kw_only=True, repr=False)
    head_ref: str = field(kw_only=True)
    head_sha: str = field(kw_only=True)
    base_ref: str = field(kw_only=True)
    base_sha: str = field(kw_only=True)
    draft: bool = field(kw_only=True, default=False)
    merged_at: datetime | None = field(default=None, init=False)
    merged_by: Account | None = field(default=None, init=False)
    merge_sha: str | None = field(default=None, init=False)
    reviews: list[Review] = field(default_factory=list, init=False, repr=False)
    threads: list[Thread] = field(default_factory=list, init=False, repr=False)
    requested: list[Account] = field(default_factory=list, init=False)
    requested_teams: list[Team] = field(default_factory=list, init=False)

    is_pull_request = True

    @property
    def merged(self) -> bool:
        return self.merged_at is not None

    @property
    def head_label(self) -> str:
        owner = self.head_repository.owner if self.head_repository else self.author
        return f"{owner.login}:{self.head_ref}"

    # -- reviews -----------------------------------------------------------------------------

    def review(self, by: Account, state: str, body: str = "", commit: str | None = None) -> Review:
        """`state`: APPROVED, CHANGES_REQUESTED, COMMENTED; or PENDING, which nobody sees yet."""
        with self.world.lock:
            self._check_reviewer(by, state)
            if state in ("CHANGES_REQUESTED", "COMMENTED") and not body.strip():
                raise Refusal(422, "Unprocessable Entity", ["Body can not be blank"])
            commit = commit or self.head_sha
            if not self._has(commit):
                raise Refusal(
                    422, "Unprocessable Entity", ["Commit is not part of the pull request"]
                )
            now = self.world.clock.now()
            made = Review(
                self.world.number(),
                self.world,
                self.repository,
                by,
                body,
                now,
                state=state,
                commit=commit,
                pull=self,
            )
            self.reviews.append(made)
            if state != "PENDING":
                self._submitted(made)
            return made

    def comment_inline(
        self,
        by: Account,
        body: str,
        path: str = "README.md",
        line: int = 1,
        reply_to: InlineComment | None = None,
    ) -> InlineComment:
        """A single inline comment: GitHub makes a review of it, which has no text of its own."""
        with self.world.lock:
            self._check_reviewer(by, "COMMENTED")
            if not body.strip():
                raise Refusal(422, "Unprocessable Entity", ["Body can not be blank"])
            commit = reply_to.review.commit if reply_to else self.head_sha
            about = (self.world, self.repository, by)
            review = Review(
                self.world.number(), *about, "", self.world.clock.now(),
                state="COMMENTED", commit=commit, pull=self,
            )  # fmt: skip
            made = InlineComment(
                self.world.number(), *about, body, self.world.clock.now(),
                review=review, path=path, line=line, reply_to=reply_to,
            )  # fmt: skip
            self.reviews.append(review)
            threads = [each for each in self.threads if reply_to in each.comments]
            if threads:
                threads[0].comments.append(made)
            else:
                self.threads.append(Thread([made]))
            self._submitted(review)
            return made

    def submit(self, review: Review, state: str, body: str | None = None) -> None:
        """Send a pending review off."""
        with self.world.lock:
            self._check_reviewer(review.author, state)
            review.state, review.body = state, review.body if body is None else body
            self._submitted(review)

    def _submitted(self, review: Review) -> None:
        review.submitted_at = self.updated_at = self.world.clock.now()
        if review.author in self.requested:
            self.requested.remove(review.author)
        self.world.emit("pull_request_review", "submitted", review.author, self, review=review)

    def _check_reviewer(self, by: Account, state: str) -> None:
        if by is self.author and state in ("APPROVED", "CHANGES_REQUESTED"):
            verb = "approve" if state == "APPROVED" else "request changes on"
            raise Refusal(422, "Unprocessable Entity", [f"Can not {verb} your own pull request"])
        if state == "APPROVED":
            self.repository.check_actions_may("approve")

    def _has(self, commit: str) -> bool:
        bare = self.repository.bare
        return bare.kind(commit) == "commit" and bare.contains(self.head_sha, commit)

    def request(self, by: Account, logins: Iterable[str] = (), teams: Iterable[str] = ()) -> None:
        """All or nobody: one unknown reviewer fails the whole request."""
        with self.world.lock:
            people = [self._reviewer(login) for login in logins]
            groups = [self._team(slug) for slug in teams]
            for person in people:
                if person not in self.requested:
                    self.requested.append(person)
                    self._asked(by, "ReviewRequestedEvent", reviewer=person)
            for group in groups:
                if group not in self.requested_teams:
                    self.requested_teams.append(group)
                    self._asked(by, "ReviewRequestedEvent", team=group)

    def unrequest(self, logins: Iterable[str] = (), teams: Iterable[str] = ()) -> None:
        with self.world.lock:
            gone, gone_teams = set(logins), set(teams)
            self.requested = [each for each in self.requested if each.login not in gone]
            self.requested_teams = [t for t in self.requested_teams if t.slug not in gone_teams]

    def _asked(self, by: Account, kind: str, **whom: object) -> None:
        self.updated_at = self.world.clock.now()
        self.happened(kind, by, **whom)
        self.world.emit("pull_request", "review_requested", by, self, **whom)

    def _reviewer(self, login: str) -> Account:
        person = self.world.find_account(login)
        if person is self.author:
            raise Refusal(422, "Review cannot be requested from pull request author.")
        if person is None or self.repository.granted(person) == "none":
            raise self._strange()
        return person

    def _team(self, slug: str) -> Team:
        for team in self.repository.teams:
            if team.slug == slug:
                via = self.world.via
                if via and (via.kind is Kind.ACTIONS or not via.allows("members", "read")):
                    raise Refusal(
                        422, "Could not resolve to a node with the global id of the team."
                    )
                return team
        raise self._strange()

    def _strange(self) -> Refusal:
        return Refusal(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams "
            f"you specified is not a collaborator of the {self.repository.full_name} repository.",
        )

    # -- its branches ------------------------------------------------------------------------

    def head_moved(self, by: Account, old: str, new: str) -> None:
        """A push to the head of an open pull request."""
        bare = self.repository.bare
        if self.head_repository is not self.repository and self.head_repository is not None:
            self.repository.borrow(self.head_repository, new)
        self.head_sha = new
        self.updated_at = self.world.clock.now()
        bare.set_ref(f"refs/pull/{self.number}/head", new)
        if not bare.contains(new, old):
            self.happened("HeadRefForcePushedEvent", by, before=old, after=new)
        self.world.emit("pull_request", "synchronize", by, self, before=old, after=new)
        tip = bare.sha(f"refs/heads/{self.base_ref}")
        if tip and bare.contains(tip, new) and not self.repository.awaits_merge(self):
            self.close(by)  # nothing is left to merge

    def head_deleted(self, by: Account) -> None:
        self.happened("HeadRefDeletedEvent", by, ref=self.head_ref)
        self.close(by)

    def retarget(self, by: Account, base: str) -> None:
        with self.world.lock:
            tip = self.repository.bare.sha(f"refs/heads/{base}")
            if tip is None:
                raise invalid({"resource": "PullRequest", "field": "base", "code": "invalid"})
            if base == self.base_ref:
                return
            former, former_sha = self.base_ref, self.base_sha
            self.base_ref, self.base_sha = base, tip
            self.updated_at = self.world.clock.now()
            self.happened("BaseRefChangedEvent", by, previous=former, current=base)
            changes = {"base": {"ref": {"from": former}, "sha": {"from": former_sha}}}
            self.world.emit("pull_request", "edited", by, self, changes=changes)

    def reopen(self, by: Account) -> None:
        with self.world.lock:
            if self.state == "open":
                return
            why = self._why_shut()
            if why:
                raise invalid(
                    {
                        "resource": "PullRequest",
                        "code": "invalid",
                        "field": "state",
                        "message": f"state cannot be changed. {why}",
                    }
                )
            super().reopen(by)

    def _why_shut(self) -> str:
        if self.merged:
            return "The pull request cannot be reopened because it was merged."
        head = self.head_repository
        tip = head.bare.sha(f"refs/heads/{self.head_ref}") if head else None
        if tip is None:
            return f"The {self.head_ref} branch has been deleted."
        if tip != self.head_sha:
            return f"The {self.head_ref} branch was force-pushed or recreated."
        if self.repository.open_pull(self.head_repository, self.head_ref, self.base_ref):
            return f"There is already an open pull request from {self.head_label}."
        return ""

    # -- merging -----------------------------------------------------------------------------

    def merge(
        self,
        by: Account,
        method: str = "merge",
        sha: str | None = None,
        message: str | None = None,
    ) -> str:
        """The merge button; the new commit. A stale `sha` is 409, a second merge 405."""
        with self.world.lock:
            if self.state == "closed" or self.draft:
                raise Refusal(405, "Pull Request is not mergeable")
            if sha is not None and sha != self.head_sha:
                raise Refusal(409, "Head branch was modified. Review and try the merge again.")
            commit = self._merge_commit(by, method, message)
            ref = f"refs/heads/{self.base_ref}"
            old = self.repository.bare.sha(ref) or NOTHING
            self.repository.check_rules([(ref, old, commit)], status=405)
            self.repository.bare.set_ref(ref, commit)
            self.show_merged(by, commit)
            self.repository.noticed(by)
            return commit

    def _merge_commit(self, by: Account, method: str, message: str | None) -> str:
        bare = self.repository.bare
        tip = bare.sha(f"refs/heads/{self.base_ref}")
        tree = bare.merged_tree(tip, self.head_sha) if tip else None
        if tip is None or tree is None:
            raise Refusal(405, "Pull Request is not mergeable")
        parents = [tip, self.head_sha] if method == "merge" else [tip]
        text = message or f"Merge pull request #{self.number} from {self.head_label}"
        return bare.write_commit(tree, parents, text, self.world.clock.now(), signature(by))

    def show_merged(self, by: Account, commit: str) -> None:
        """GitHub has noticed that the base contains the head."""
        self.merged_at = self.world.clock.now()
        self.merged_by, self.merge_sha = by, commit
        self.happened("MergedEvent", by, commit=commit)
        self.close(by)
        if self.base_ref == self.repository.default_branch:
            self.repository.close_fixed(self.body, by, self)
        head = f"refs/heads/{self.head_ref}"
        if self.repository.delete_branch_on_merge and self.head_repository is self.repository:
            self.repository.push(by, head, None)

    def merge_ref(self) -> str | None:
        """`refs/pull/N/merge`, whose files workflows on pull request events run; None: conflict."""
        bare = self.repository.bare
        tip = bare.sha(f"refs/heads/{self.base_ref}")
        tree = bare.merged_tree(tip, self.head_sha) if tip else None
        if tip is None or tree is None:
            return None
        sha = bare.write_commit(
            tree,
            [tip, self.head_sha],
            f"Merge {self.head_sha} into {tip}",
            self.world.clock.now(),
            signature(self.author),
        )
        bare.set_ref(f"refs/pull/{self.number}/merge", sha)
        return sha


def signature(account: Account) -> str:
    """The name and address that GitHub puts on a commit of an account."""
    name = account.name or account.login
    return f"{name} <{account.id}+{account.login}@users.noreply.github.com>"


def state_of(event: str) -> str:
    """A review's state, from the `event` that a request names."""
    return _STATES[event]
