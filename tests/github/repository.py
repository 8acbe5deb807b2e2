"""A repository: its git, who may do what in it, its settings, issues and pull requests."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from tests.github.accounts import (
    ROLES,
    Account,
    Kind,
    Organisation,
    Refusal,
    Team,
    invalid,
    not_found,
)
from tests.github.conversation import Issue
from tests.github.gitserver import NOTHING, Bare
from tests.github.pulls import PullRequest, signature
from tests.github.rules import Ruleset, bypass_row, hook_environment
from tests.github.runs import Attempt, Run

if TYPE_CHECKING:
    from tests.github.world import World

_FIXES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)", re.IGNORECASE)


@dataclass(eq=False)
class Environment:
    """A deployment environment: the branches it is limited to (None: any), and its secrets."""

    id: int
    name: str
    branches: list[str] | None = None
    protected_branches: bool = False
    secrets: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    reviewers: list[Account] = field(default_factory=list)
    #: The secrets that came through the API, as GitHub decrypted them.
    values: dict[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def _pair(self) -> PrivateKey:
        return PrivateKey.generate()

    @property
    def key_id(self) -> str:
        return str(568250000000000000 + self.id)

    @property
    def key(self) -> str:
        """The public key that secrets are sealed with."""
        return base64.b64encode(bytes(self._pair.public_key)).decode()

    def opened(self, key_id: str, value: str) -> str | None:
        if key_id != self.key_id:
            return None
        try:
            return SealedBox(self._pair).decrypt(base64.b64decode(value)).decode()
        except (CryptoError, ValueError):
            return None


@dataclass(eq=False)
class Status:
    """A commit status."""

    id: int
    sha: str
    context: str
    state: str
    description: str | None
    target_url: str | None
    by: Account
    at: datetime


@dataclass(eq=False)
class CheckRun:
    """A check run of an App."""

    id: int
    sha: str
    facts: dict[str, Any]
    token_app: Any
    at: datetime


@dataclass(eq=False)
class Repository:
    """`repo = github.repository("acme/models")`; settings are plain attributes to set."""

    id: int
    world: World = field(repr=False)
    owner: Account
    name: str
    bare: Bare = field(repr=False)
    private: bool = False
    #: False: on the Free plan, where a private repository has neither rulesets nor environments.
    paid: bool = True
    default_branch: str = "main"
    parent: Repository | None = field(default=None, repr=False)
    description: str | None = None
    archived: bool = False
    pushed_at: datetime | None = None  # None: now
    #: "Allow GitHub Actions to create and approve pull requests": off, as on github.com.
    actions_may_open_pull_requests: bool = False
    actions_enabled: bool = True
    allowed_actions: str = "all"
    default_workflow_permissions: str = "read"
    delete_branch_on_merge: bool = False
    collaborators: dict[Account, tuple[str, str]] = field(default_factory=dict, repr=False)
    team_roles: dict[Team, tuple[str, str]] = field(default_factory=dict, repr=False)
    issues: dict[int, Issue] = field(default_factory=dict, repr=False)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    rulesets: list[Ruleset] = field(default_factory=list, repr=False)
    #: Branch to an older branch protection, as the API shows it.
    protections: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    environments: dict[str, Environment] = field(default_factory=dict, repr=False)
    secrets: set[str] = field(default_factory=set, repr=False)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    statuses: list[Status] = field(default_factory=list, repr=False)
    check_runs: list[CheckRun] = field(default_factory=list, repr=False)
    #: (workflow file, ref, inputs) and (event type, client payload), as they were asked for.
    dispatches: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list, repr=False)
    repository_dispatches: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list, repr=False
    )
    #: The runs of Actions, by their ids.
    runs: dict[int, Run] = field(default_factory=dict, repr=False)
    #: Workflow file name to the state that `disabled_inactivity` and its like are.
    workflow_states: dict[str, str] = field(default_factory=dict, repr=False)
    #: The branches as the last push left them. Of two pushes at once, the first sees both.
    _seen: dict[str, str] = field(default_factory=dict, repr=False)
    _unnoticed: list[tuple[PullRequest, str, Account]] = field(default_factory=list, repr=False)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def url(self) -> str:
        return f"{self.world.url}/{self.full_name}"

    @property
    def clone_url(self) -> str:
        return f"{self.url}.git"

    def clone_url_for(self, token: object) -> str:
        """The address with the credential in it, as `actions/checkout` would have it."""
        return self.clone_url.replace("://", f"://x-access-token:{token}@", 1)

    # -- who may ------------------------------------------------------------------------------

    def grant(self, who: Account | Team, permission: str, role_name: str | None = None) -> None:
        """`permission`: read, triage, write, maintain, admin; `role_name` for a custom role."""
        assert permission in ROLES
        row = (permission, role_name or permission)
        if isinstance(who, Team):
            self.team_roles[who] = row
        else:
            self.collaborators[who] = row

    def revoke(self, who: Account | Team) -> None:
        self.collaborators.pop(who, None)  # type: ignore[arg-type]
        self.team_roles.pop(who, None)  # type: ignore[arg-type]

    @property
    def teams(self) -> list[Team]:
        return list(self.team_roles)

    def granted(self, account: Account) -> str:
        """The role given to an account, by name or through a team; `none` for everybody else."""
        return self._best(account)[0]

    def role(self, account: Account) -> str:
        """The role it acts with: on a public repository anyone may read."""
        given = self.granted(account)
        return "read" if given == "none" and not self.private else given

    def role_name(self, account: Account) -> str:
        given, name = self._best(account)
        return self.role(account) if given == "none" else name

    def _best(self, account: Account) -> tuple[str, str]:
        rows = [("none", "none")]
        if account is self.owner or (
            isinstance(self.owner, Organisation) and self.owner.members.get(account) == "admin"
        ):
            rows.append(("admin", "admin"))
        if account in self.collaborators:
            rows.append(self.collaborators[account])
        rows += [row for team, row in self.team_roles.items() if account in team.members]
        return max(rows, key=lambda row: ROLES.index(row[0]))

    def check_actions_may(self, verb: str) -> None:
        via = self.world.via
        if via and via.kind is Kind.ACTIONS and not self.actions_may_open_pull_requests:
            raise Refusal(
                403 if verb == "create" else 422,
                "GitHub Actions is not permitted to create or approve pull requests.",
            )

    # -- git ----------------------------------------------------------------------------------

    def commit(
        self,
        branch: str,
        files: Mapping[str, str | bytes | None],
        message: str = "A change",
        by: Account | None = None,
        orphan: bool = False,
        parents: Sequence[str] | None = None,
    ) -> str:
        """Commit and push to a branch (a new one starts at the default branch); the new sha."""
        with self.world.lock:
            tip = self.branch(branch) or self.branch(self.default_branch)
            own = [tip] if tip and not orphan else []
            sha = self.bare.commit(
                f"refs/heads/{branch}",
                files,
                message,
                self.world.clock.now(),
                signature(by or self.owner),
                own if parents is None else parents,
            )
            self.noticed(by or self.owner)
            return sha

    def push(self, by: Account, ref: str, sha: str | None) -> None:
        """Point a ref elsewhere, or delete it (None), as that person's push; no rule is asked."""
        with self.world.lock:
            if sha is None:
                self.bare.delete_ref(ref)
            else:
                self.bare.set_ref(ref, sha)
            self.noticed(by)

    def branch(self, name: str) -> str | None:
        """The branch's tip."""
        return self.bare.sha(f"refs/heads/{name}")

    def seen(self, name: str) -> str | None:
        """The branch's tip, as the last push left it: asked for without starting a process."""
        return self._seen.get(f"refs/heads/{name}")

    def file(self, path: str, ref: str | None = None) -> str | None:
        """A file's text at a branch, tag or sha; None where there is none."""
        sha = self.bare.sha(f"{ref or self.default_branch}:{path}")
        return self.bare.read(sha).decode() if sha else None

    def fork(self, owner: Account) -> Repository:
        with self.world.lock:
            made = self.world.repository(f"{owner.login}/{self.name}")
            made.parent = self
            made.bare.run("fetch", "--quiet", str(self.bare.path), "+refs/heads/*:refs/heads/*")
            made._seen = made.bare.refs("refs/heads/")
            return made

    def borrow(self, other: Repository, sha: str) -> None:
        """Bring a fork's commit here, as GitHub's shared object store does."""
        self.bare.run("fetch", "--quiet", "--no-write-fetch-head", str(other.bare.path), sha)

    def check_rules(self, changes: list[tuple[str, str, str]], status: int = 422) -> None:
        """Raises the refusal of a REST call that would move these (ref, old, new)."""
        token = self.world.via
        if token is None:
            return
        refs = [ref for ref, _, _ in changes]
        told = hook_environment(self.all_rulesets(), refs, self, token)
        said = self.bare.refused(changes, told)
        if said:
            raise Refusal(status, "Repository rule violations found\n\n" + said)

    @property
    def free(self) -> bool:
        """Private on the Free plan."""
        return self.private and not self.paid

    def all_rulesets(self) -> list[Ruleset]:
        """Its own, and those of its organisation."""
        if self.free:
            return []
        return [*self.rulesets, *self.world.organisation_rulesets(self.owner)]

    def ruleset(
        self,
        name: str,
        *rules: str | dict[str, Any],
        branches: Iterable[str] = ("~DEFAULT_BRANCH",),
        bypass: Iterable[object] = (),
        enforcement: str = "active",
    ) -> Ruleset:
        """`repo.ruleset("ledger", "deletion", branches=["refs/heads/approvals"], bypass=[app])`."""
        made = Ruleset(
            self.world.number(),
            name,
            self,
            [{"type": each} if isinstance(each, str) else each for each in rules],
            list(branches),
            bypass=[bypass_row(who) for who in bypass],
            enforcement=enforcement,
        )
        self.rulesets.append(made)
        return made

    def noticed(self, by: Account) -> None:
        """Whatever a push changed: merged and closed pull requests, moved heads, fixed issues."""
        before, after = self._seen, self.bare.refs("refs/heads/")
        self._seen = after
        changed = [
            (ref.removeprefix("refs/heads/"), before.get(ref), after.get(ref))
            for ref in sorted(before.keys() | after.keys())
            if before.get(ref) != after.get(ref)
        ]
        for branch, old, new in changed:
            if new is not None:
                self._base_moved(branch, old or NOTHING, new, by)
        if self.world.merges_at_once:
            self.notice_merges()
        for branch, old, new in changed:
            self._head_moved(branch, old, new, by)

    def _base_moved(self, branch: str, old: str, new: str, by: Account) -> None:
        waiting = [pull for pull in self.open_pulls() if pull.base_ref == branch]
        is_default = branch == self.default_branch and old != NOTHING
        if not waiting and not is_default:
            return
        arrived = set(self.bare.between(old, new))
        for pull in waiting:
            if pull.head_sha in arrived:
                self._unnoticed.append((pull, new, by))
        if is_default:
            for commit in arrived:
                self.close_fixed(self.bare.about(commit, "%B"), by, commit)

    def _head_moved(self, branch: str, old: str | None, new: str | None, by: Account) -> None:
        for pull in self.world.pulls_from(self, branch):
            if old is not None and new is not None:
                pull.head_moved(by, pull.head_sha, new)
            elif new is None:
                pull.head_deleted(by)
        if new is None:
            for pull in self.open_pulls():
                if pull.base_ref == branch:
                    pull.happened("BaseRefDeletedEvent", by, ref=branch)
                    pull.close(by)

    def awaits_merge(self, pull: PullRequest) -> bool:
        return any(pull is each for each, _, _ in self._unnoticed)

    def notice_merges(self) -> None:
        """What GitHub does a little after the push: it shows the pull requests as merged."""
        with self.world.lock:
            waiting, self._unnoticed = self._unnoticed, []
            for pull, commit, by in waiting:
                if pull.state == "open":
                    pull.show_merged(by, commit)

    def close_fixed(self, text: str, by: Account, closer: object) -> None:
        """`Fixes #7` in a commit on the default branch, or in the body of a merged pull request."""
        for number in _FIXES.findall(text):
            issue = self.issues.get(int(number))
            if issue is not None and issue is not closer:
                issue.close(by, closer=closer)

    # -- issues and pull requests --------------------------------------------------------------

    def open_issue(self, author: Account, title: str = "A question", body: str = "") -> Issue:
        with self.world.lock:
            made = Issue(
                self.world.number(),
                self.world,
                self,
                author,
                body,
                self.world.clock.now(),
                number=len(self.issues) + 1,
                title=title,
            )
            self.issues[made.number] = made
            self.world.emit("issues", "opened", author, made)
            return made

    def open_pull_request(
        self,
        author: Account,
        head: str,
        base: str | None = None,
        title: str = "A change",
        body: str = "",
        draft: bool = False,
    ) -> PullRequest:
        """`head`: a branch here, or `owner:branch` of a fork. Raises the 422s of GitHub."""
        with self.world.lock:
            base = base or self.default_branch
            self.check_actions_may("create")
            source, branch, head_sha, base_sha = self._ends(head, base)
            made = PullRequest(
                self.world.number(),
                self.world,
                self,
                author,
                body,
                self.world.clock.now(),
                number=len(self.issues) + 1,
                title=title,
                head_repository=source,
                head_ref=branch,
                head_sha=head_sha,
                base_ref=base,
                base_sha=base_sha,
                draft=draft,
            )
            self.issues[made.number] = made
            self.bare.set_ref(f"refs/pull/{made.number}/head", head_sha)
            self.world.emit("pull_request", "opened", author, made)
            return made

    def many_pull_requests(
        self,
        author: Account,
        branches: Mapping[str, Mapping[str, str]],
        base: str | None = None,
        body: str = "",
    ) -> list[PullRequest]:
        """A pull request of one commit (path to content) for each branch: a thousand in a second.

        No event tells of them.
        """
        with self.world.quietly():
            base = base or self.default_branch
            tip, at = self.branch(base) or NOTHING, self.world.clock.now()
            first = len(self.issues) + 1
            refs = {f"refs/heads/{name}": files for name, files in branches.items()}
            self.bare.commit_each(refs, "A change", at, signature(author), tip)
            self._seen = self.bare.refs("refs/heads/")
            made = [
                PullRequest(
                    self.world.number(),
                    self.world,
                    self,
                    author,
                    body,
                    at,
                    number=first + index,
                    title=name,
                    head_repository=self,
                    head_ref=name,
                    head_sha=self._seen[f"refs/heads/{name}"],
                    base_ref=base,
                    base_sha=tip,
                )
                for index, name in enumerate(branches)
            ]
            self.issues |= {each.number: each for each in made}
            self.bare.set_refs({f"refs/pull/{each.number}/head": each.head_sha for each in made})
            return made

    def _ends(self, head: str, base: str) -> tuple[Repository, str, str, str]:
        owner, _, branch = head.rpartition(":")
        source = self.world.find_repository(f"{owner or self.owner.login}/{self.name}")
        head_sha = source.branch(branch) if source else None
        faults = []
        if source is None or head_sha is None:
            faults.append({"resource": "PullRequest", "field": "head", "code": "invalid"})
        base_sha = self.branch(base)
        if base_sha is None:
            faults.append({"resource": "PullRequest", "field": "base", "code": "invalid"})
        if faults or source is None or head_sha is None or base_sha is None:
            raise invalid(*faults)
        self._check_new(source, branch, head_sha, base, base_sha)
        return source, branch, head_sha, base_sha

    def _check_new(
        self, source: Repository, branch: str, head_sha: str, base: str, base_sha: str
    ) -> None:
        def fault(message: str) -> Refusal:
            return invalid({"resource": "PullRequest", "code": "custom", "message": message})

        if self.open_pull(source, branch, base):
            raise fault(f"A pull request already exists for {source.owner.login}:{branch}.")
        if source is not self:
            self.borrow(source, head_sha)
        if self.bare.contains(base_sha, head_sha):
            raise fault(f"No commits between {base} and {branch}")
        if not self.bare.related(base_sha, head_sha):
            raise fault(f"The {branch} branch has no history in common with {base}")

    def issue(self, number: int) -> Issue:
        """An issue or a pull request by its number. Raises the 404."""
        if number not in self.issues:
            raise not_found()
        return self.issues[number]

    def pull(self, number: int) -> PullRequest:
        found = self.issue(number)
        if not isinstance(found, PullRequest):
            raise not_found()
        return found

    @property
    def pulls(self) -> list[PullRequest]:
        return [each for each in self.issues.values() if isinstance(each, PullRequest)]

    def open_pulls(self) -> list[PullRequest]:
        return [each for each in self.pulls if each.state == "open"]

    def open_pull(self, source: Repository | None, branch: str, base: str) -> PullRequest | None:
        for each in self.open_pulls():
            if (each.head_repository, each.head_ref, each.base_ref) == (source, branch, base):
                return each
        return None

    def label(
        self, name: str, color: str = "ededed", description: str | None = None
    ) -> dict[str, Any]:
        """The label, made where there is none."""
        if name.lower() not in self.labels:
            self.labels[name.lower()] = {
                "id": self.world.number(),
                "name": name,
                "color": color,
                "description": description,
            }
        return self.labels[name.lower()]

    # -- Actions ------------------------------------------------------------------------------

    def environment(
        self, name: str, branches: Iterable[str] | None = None, secrets: Iterable[str] = ()
    ) -> Environment:
        """`branches`: the name patterns it is limited to."""
        if name not in self.environments:
            self.environments[name] = Environment(self.world.number(), name)
        found = self.environments[name]
        found.branches = None if branches is None else list(branches)
        found.secrets |= set(secrets)
        return found

    def workflows(self) -> list[str]:
        """Paths of the workflow files on the default branch."""
        tip = self.branch(self.default_branch)
        if tip is None:
            return []
        listed = self.bare.run("ls-tree", "--name-only", tip, ".github/workflows/").splitlines()
        return [path for path in listed if path.endswith((".yml", ".yaml"))]

    def run(
        self,
        path: str,
        by: Account,
        ref: str = "refs/heads/main",
        event: str = "push",
        sha: str | None = None,
        number: int | None = None,
        head: tuple[str, str] | None = None,
    ) -> Run:
        """A run of this workflow file. `head`: branch and commit, if they are a pull request's."""
        with self.world.lock:
            sha = sha or self.bare.sha(ref)
            assert sha, f"{self.full_name} has no {ref}"
            branch, tip = head or (re.sub(r"^refs/(heads|tags)/", "", ref), sha)
            first = Attempt(1, by, self.world.clock.now())
            number = number or self.world.number()
            made = Run(number, self, path, ref, sha, event, by, [first], branch, tip)
            self.runs[made.id] = made
            return made

    def dispatch(self, by: Account, workflow: str, ref: str, inputs: dict[str, Any]) -> None:
        """`workflow_dispatch`: it runs the workflow file of the ref that it is given."""
        with self.world.lock:
            self.dispatches.append((workflow, ref, inputs))
            self.world.emit(
                "workflow_dispatch", None, by, self, workflow=workflow, ref=ref, inputs=inputs
            )

    def repository_dispatch(self, by: Account, event_type: str, payload: dict[str, Any]) -> None:
        with self.world.lock:
            self.repository_dispatches.append((event_type, payload))
            self.world.emit("repository_dispatch", event_type, by, self, client_payload=payload)

    def schedule(self, cron: str = "17 * * * *") -> None:
        """The clock of Actions strikes: the default branch's workflows get a `schedule` event."""
        with self.world.lock:
            self.world.emit("schedule", None, self.owner, self, schedule=cron)
