"""What `hitl github setup` finds: the repository as it is, and what stands in the way.

Attackers: anyone who can write may set the environment's variables, and anyone may register an App
by a name that is free. So an App counts only if the repository's owner owns it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from bridge.core.errors import Faults, ForgeUnavailable
from bridge.core.numbers import whole
from bridge.core.settings import APP_ID, GitHubSettings
from bridge.core.shards import FIRST
from bridge.github.transport import Denied, Json, Line
from bridge.policy.policy_file import PolicyFile, parse
from bridge.setup import workflow_files
from bridge.setup.app_manifest import Role, name_of
from bridge.setup.app_permissions import left_to_grant, needed
from bridge.setup.branch_rules import A_GATE, A_LATER, REFUSE, RuleBook
from bridge.setup.checks import Said
from bridge.setup.github_plan import DECIDED, GATES, KEPT, untried
from bridge.setup.github_steps import (
    ACTION_BRANCH,
    BRANCH,
    OURS,
    REMOVING,
    Found,
    FoundApp,
    Proposal,
)
from bridge.setup.github_survey import GitHubSurvey
from bridge.setup.survey import Actions, App, Environment, Unseen
from bridge.setup.workflow_files import ENVIRONMENT, MAIN, POLICY, SCHEDULE, TRIAL

#: What a classic token needs: GitHub hides a repository's workflows from one without `workflow`.
SCOPES: Final = ("repo", "workflow")
#: The same as permissions of a fine-grained token.
FINE_GRAINED: Final = (
    "administration, contents, environments, pull requests, variables and workflows: read and write"
)


#: Of members, a hundred each.
_MOST_PAGES: Final = 10


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is, and why it can't go on: one sentence each, with the way that remains."""

    found: Found
    policy: PolicyFile | None
    obstacles: tuple[str, ...]
    #: Permissions that an App still lacks, each with the click that grants it.
    grants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class People:
    me: str
    members: Mapping[str, int]  # login to number


def look(settings: GitHubSettings, line: Line, survey: GitHubSurvey) -> Looked:
    """Raises `ForgeUnavailable` if the repository itself can't be read."""
    return _Look(settings, line, survey, protects=True).looked()


def look_to_try(settings: GitHubSettings, line: Line, survey: GitHubSurvey) -> Looked:
    """The same for an installation that protects nothing: it needs no App and no ruleset."""
    return _Look(settings, line, survey, protects=False).looked()


def people(line: Line, organization: str | None) -> People:
    """The account of this token, and the organization's members, as far as it may see them."""
    me = line.get("/user", "who you are cannot be read")
    members = {str(me["login"]): int(me["id"])}
    page, rows = 1, [me] if organization else []
    while rows and page <= _MOST_PAGES:
        path = f"/orgs/{quote(organization or '')}/members?per_page=100&page={page}"
        try:
            rows = line.get(path, "the members cannot be read")
        except Denied:
            break
        members |= {str(each["login"]): int(each["id"]) for each in rows}
        page += 1
    return People(str(me["login"]), members)


class _Look:
    def __init__(
        self, settings: GitHubSettings, line: Line, survey: GitHubSurvey, *, protects: bool
    ) -> None:
        self._settings, self._line, self._survey = settings, line, survey
        self._protects = protects
        self._home = f"/repos/{settings.repository}"
        self._about: Json = self._get(self._home) or {}

    def _get(self, path: str) -> Any:
        """None if there is no such thing."""
        try:
            return self._line.get(path, f"{path} cannot be read")
        except Denied as denied:
            if denied.status in (404, 409):  # 409: the repository is empty
                return None
            raise

    def looked(self) -> Looked:
        if not self._about:
            raise ForgeUnavailable(
                f"{self._settings.repository} is not there, or this token may not see it"
            )
        repository = self._survey.repository()
        branch = repository.default_branch
        ref = self._get(f"{self._home}/git/ref/heads/{quote(branch)}")
        obstacles = list(self._first(branch, empty=ref is None))
        if obstacles or ref is None:
            return Looked(self._bare("", ""), None, tuple(obstacles))
        tip, tree = self._commit(ref)
        found = self._bare(tip, tree)
        files = self._files(branch)
        environment, rulesets = self._environment(), self._rulesets()
        proposal = self._proposal()
        apps = dict(self._apps(environment, {**(proposal.files if proposal else {}), **files}))
        found = Found(
            repository=found.repository,
            server=found.server,
            organization=found.organization,
            private=found.private,
            default_branch=branch,
            tip=tip,
            tree=tree,
            has_ledger=self._survey.has_branch(FIRST),
            environment=environment,
            apps=apps,
            rulesets=rulesets,
            held=frozenset(self._held(apps)),
            files=files,
            has_branch=self._survey.has_branch(BRANCH),
            proposal=proposal,
            former_keys=() if MAIN in files else self._former_keys(branch),
            action=self._tip(ACTION_BRANCH),
            has_removing=self._survey.has_branch(REMOVING),
            removal=self._pull_request(REMOVING),
        )
        later = (
            (*_of_environment(environment, branch), *self._later(apps))
            if self._protects
            else tuple(self._to_try(found))
        )
        policy = _policy(files)
        return Looked(found, policy, later, tuple(self._grants(apps, policy)))

    def _bare(self, tip: str, tree: str) -> Found:
        about = self._survey.repository()
        return Found(
            repository=self._settings.repository,
            server=self._settings.server_url,
            organization=about.owner if about.owned_by_organization else None,
            private=about.private,
            default_branch=about.default_branch,
            tip=tip,
            tree=tree,
        )

    # -- what stands in the way ----------------------------------------------------------------

    def _first(self, branch: str, *, empty: bool) -> Iterator[str]:
        name, about = self._settings.repository, self._survey.repository()
        missing = [each for each in SCOPES if each not in (self._line.scopes or SCOPES)]
        if missing:
            yield (
                f"this token lacks the scope {' and '.join(missing)}: run"
                f" `gh auth refresh --scopes {','.join(missing)}`, or use a fine-grained token with"
                f" {FINE_GRAINED}"
            )
        if not (self._about.get("permissions") or {}).get("admin"):
            yield f"you don't administer {name}: ask someone who does to run this"
        if about.archived:
            yield f"{name} is archived: unarchive it first"
        if empty:
            yield f"{name} is empty: push a first commit to {branch}"
        if self._no_rulesets() and self._protects:
            yield (
                "a private repository on the Free plan has neither rulesets nor environments, so"
                " nothing can protect a gate: take a plan that has them, make the repository"
                " public, or try the bridge unprotected: `hitl github try`"
            )
        if self._survey.has_branch("gate"):
            yield "the branch gate keeps git from making gate/…: rename or delete it"
        for each in self._survey.branches(f"{FIRST}/"):
            yield f"the branch {each} keeps git from making {FIRST}: rename or delete it"

    def _no_rulesets(self) -> bool:
        """Whether the plan has none for a repository that is private."""
        try:
            return self._survey.rules(FIRST) is None
        except Unseen:
            return False

    def _later(self, apps: dict[Role, FoundApp]) -> Iterator[str]:
        if not missing_apps(apps):
            yield from self._refusing(apps)
        elif not self._may_register():
            owner = self._survey.repository().owner
            yield (
                f"only an owner of {owner}, or a person that they made a manager of its Apps,"
                " can register an App for it: ask one of them to run `hitl github setup --only apps"
                " --only environment`, and run this again after that"
            )
        yield from self._of_actions()

    def _to_try(self, found: Found) -> Iterator[str]:
        proposed = found.proposal.files if found.proposal else {}
        if found.rulesets or MAIN in untried({**proposed, **found.files}):
            yield (
                f"{found.repository} has the bridge already, and this would take its protection"
                " away: use another repository"
            )
            return
        yield from self._refusing({})
        yield from self._of_actions()

    def _of_actions(self) -> Iterator[str]:
        try:
            yield from _of_actions(self._survey.actions())
        except Unseen:
            return

    def _may_register(self) -> bool:
        about = self._survey.repository()
        if not about.owned_by_organization:
            return True
        mine = self._get(f"/user/memberships/orgs/{quote(about.owner)}") or {}
        return mine.get("role") == "admin"

    def _refusing(self, apps: dict[Role, FoundApp]) -> Iterator[str]:
        """Rules of others under which no decision can be recorded, whatever we set."""
        found: list[Said] = []
        for branch, kinds in (
            (FIRST, REFUSE),
            (A_LATER, REFUSE),
            (A_GATE, REFUSE | {"non_fast_forward"}),
        ):
            book = self._book(branch, apps)
            opener = branch == A_GATE and Role.OPENER in apps
            found += book.refusing(kinds, "the bridge's pushes", opener=opener)
        yield from (f"{says}: {fix}" for _, says, fix in dict.fromkeys(found))

    # -- what is there -------------------------------------------------------------------------

    def _commit(self, ref: Json) -> tuple[str, str]:
        tip = str(ref["object"]["sha"])
        commit = self._get(f"{self._home}/git/commits/{tip}") or {}
        return tip, str(commit["tree"]["sha"])

    def _files(self, branch: str) -> dict[str, str]:
        found = {path: self._survey.file(path, branch) for path in (POLICY, MAIN, SCHEDULE, TRIAL)}
        return {path: text for path, text in found.items() if text is not None}

    def _former_keys(self, branch: str) -> tuple[str, ...]:
        """Those of the last workflow that the default branch had, before it was deleted there."""
        ref = quote(branch, safe="")
        path = f"{self._home}/commits?sha={ref}&path={quote(MAIN, safe='')}&per_page=1"
        deleted = next(iter(self._get(path) or ()), {"parents": ()})
        texts = [self._survey.file(MAIN, each["sha"]) for each in deleted["parents"]]
        return next((workflow_files.keys_of(text) for text in texts if text), ())

    def _environment(self) -> Environment | None:
        return self._survey.environment(ENVIRONMENT)

    def _rulesets(self) -> dict[str, tuple[int, Json]]:
        if self._no_rulesets():
            return {}
        path = f"{self._home}/rulesets?includes_parents=false&per_page=100"
        ours = [each for each in self._get(path) or () if each["name"].startswith(OURS)]
        return {
            each["name"]: (each["id"], self._get(f"{self._home}/rulesets/{each['id']}") or {})
            for each in ours
        }

    def _tip(self, branch: str) -> tuple[str, str] | None:
        """A branch's commit and its tree."""
        ref = self._get(f"{self._home}/git/ref/heads/{quote(branch)}")
        return self._commit(ref) if ref else None

    def _proposal(self) -> Proposal | None:
        number = self._pull_request(BRANCH)
        tip = self._tip(BRANCH) if number else None
        return Proposal(number, *tip, self._files(BRANCH)) if number and tip else None

    def _pull_request(self, branch: str) -> int | None:
        owner = self._survey.repository().owner
        path = f"{self._home}/pulls?state=open&head={quote(owner)}:{quote(branch)}"
        rows = self._get(path) or ()
        return next((int(each["number"]) for each in rows), None)

    def _apps(
        self, environment: Environment | None, files: dict[str, str]
    ) -> Iterator[tuple[Role, FoundApp]]:
        said = (environment.variables if environment else {}).get(APP_ID, "").strip()
        slugs = {
            Role.DECIDER: self._slug_of(said) or name_of(Role.DECIDER, self._settings.repository),
            Role.OPENER: workflow_files.opener_of(files.get(MAIN, ""))
            or name_of(Role.OPENER, self._settings.repository),
        }
        for role, slug in slugs.items():
            app = self._own_app(slug)
            if app is not None:
                yield role, FoundApp(app, self._is_installed(app))

    def _slug_of(self, number: str) -> str | None:
        if not whole(number) or not self._survey.repository().owned_by_organization:
            return None
        try:
            app = self._survey.installed(int(number))
        except ForgeUnavailable:
            return None
        return app.slug if app else None

    def _own_app(self, slug: str) -> App | None:
        found = self._get(f"/apps/{quote(slug)}")
        owner = self._survey.repository().owner
        if not found or found["owner"]["login"].lower() != owner.lower():
            return None
        return App(found["id"], found["slug"], dict(found["permissions"]))

    def _is_installed(self, app: App) -> bool | None:
        if not self._survey.repository().owned_by_organization:
            return None
        try:
            return self._survey.installed(app.id) is not None
        except ForgeUnavailable:
            return None

    def _grants(self, apps: dict[Role, FoundApp], policy: PolicyFile | None) -> Iterator[str]:
        private = self._survey.repository().private
        for role, there in apps.items():
            if there.installed is False:
                continue  # installing it grants what it asks for
            app = self._survey.installed(there.app.id) if there.installed else None
            wanted, asked = needed(role, policy, private=private), there.app.permissions
            granted = app.permissions if app else None
            if says := left_to_grant(role, there.app.slug, wanted, asked, granted):
                yield says

    # -- rules of others -----------------------------------------------------------------------

    def _book(self, branch: str, apps: dict[Role, FoundApp]) -> RuleBook:
        rules = [
            each for each in self._survey.rules(branch) or () if not each.ruleset.startswith(OURS)
        ]
        ids = {role: each.app.id for role, each in apps.items()}
        return RuleBook(branch, rules, ids.get(Role.OPENER), ids.get(Role.DECIDER))

    def _held(self, apps: dict[Role, FoundApp]) -> Iterator[str]:
        """Which of our rulesets aren't needed, because somebody made the same by hand."""
        ledgers = [self._book(each, apps) for each in (FIRST, A_LATER)]
        gate = self._book(A_GATE, apps)
        opener = Role.OPENER in apps
        kept: list[Said] = [
            said
            for ledger in ledgers
            for kind in ("deletion", "non_fast_forward")
            for said in ledger.without_bypass(kind, "")
        ]
        if not kept:
            yield KEPT
        if Role.DECIDER not in apps:
            return
        if not [
            said
            for ledger in ledgers
            for kind in ("creation", "update")
            for said in ledger.only(kind, "", opener=False)
        ]:
            yield DECIDED
        kinds = ("creation", "update", "deletion")
        if not [said for kind in kinds for said in gate.only(kind, "", opener=opener)]:
            yield GATES


def missing_apps(apps: dict[Role, FoundApp]) -> bool:
    return Role.DECIDER not in apps


def _of_environment(environment: Environment | None, default: str) -> Iterator[str]:
    """A key that is put there would be theirs too."""
    others = [each for each in (environment and environment.branches) or () if each != default]
    if others:
        yield (
            f"the environment {ENVIRONMENT} is open to {', '.join(others)} too: under Settings,"
            f" Environments, {ENVIRONMENT} leave only {default} among its branches and tags"
        )


def _of_actions(actions: Actions) -> Iterator[str]:
    if not actions.enabled:
        yield (
            "Actions are disabled here, and the decider runs there: allow them under Settings,"
            " Actions, General (or ask the person who set it for the organization)"
        )
    elif actions.allowed == "local_only":
        yield (
            "only actions of this repository's owner may be used here: allow the bridge's action"
            " under Settings, Actions, General, or use a copy of your own: --action"
        )


def _policy(files: dict[str, str]) -> PolicyFile | None:
    try:
        return parse(files[POLICY]) if POLICY in files else None
    except Faults:
        return None
