"""Doctor: whether a gate in this repository would be safe, one line a check, each with its fix.

What could not be read is no "yes": it is reported, and counts against the repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from bridge.core.errors import Faults, ForgeUnavailable
from bridge.core.rules import Group, GroupKind
from bridge.core.settings import APP_ID, APP_KEY, KEYS, SIGNING_KEY
from bridge.core.shards import FIRST, oldest_first
from bridge.policy.approvers import leaves
from bridge.policy.policy_file import PolicyFile, parse
from bridge.setup import workflow_files
from bridge.setup.app_permissions import in_words, lacking, names_checks, which_click
from bridge.setup.branch_rules import (
    A_GATE,
    A_LATER,
    NO_RULESETS,
    REFUSE,
    REFUSING_PROTECTION,
    RuleBook,
    words,
)
from bridge.setup.checks import Check, Level, Said, fault
from bridge.setup.survey import App, Survey, Unseen
from bridge.setup.workflow_files import ENVIRONMENT, MAIN, POLICY, RELAY, SCHEDULE

_IDLE_DAYS: Final = 60


def examine(survey: Survey, now: datetime) -> tuple[Check, ...]:
    """Every check, in the order in which a repository is set up.

    One line alone if the repository itself cannot be read: whatever is not found there is then
    no sign of anything.
    """
    doctor = _Doctor(survey, now)
    first = tuple(_checked("repository", doctor.repository, "it takes pushes"))
    if any(each.level is Level.UNKNOWN for each in first):
        return first
    checks: tuple[tuple[str, Callable[[], Iterator[Said]], str], ...] = (
        ("policy", doctor.policy, f"{POLICY} is sound"),
        ("groups", doctor.groups, "every team of the policy can be read"),
        ("workflow", doctor.workflow, f"{MAIN} is on the default branch, current and running"),
        ("schedule", doctor.schedule, "the hourly sweep is not about to stop"),
        ("actions", doctor.actions, "workflows may run here, and may use the action"),
        ("ledger", doctor.ledger, f"{FIRST} is there, and each branch of the ledger has the relay"),
        ("branches", doctor.branches, "no branch is in the way"),
        ("opener", doctor.opener, "the opener may open gates, and may change no setting"),
        ("decider", doctor.decider, "the decider may record decisions"),
        ("key", doctor.key, f"only the default branch's workflow can read {APP_KEY}"),
        ("signing", doctor.signing, "the decider has a key to sign its decisions with"),
        ("ledger rules", doctor.ledger_rules, "only the decider can push the ledger, nobody force"),
        ("gate rules", doctor.gate_rules, "only opener and decider can push the gates' branches"),
    )
    return first + tuple(check for each in checks for check in _checked(*each))


def _checked(name: str, look: Callable[[], Iterator[Said]], fine: str) -> Iterator[Check]:
    found: list[Said] = []
    try:
        found.extend(look())
    except ForgeUnavailable as error:
        unseen = isinstance(error, Unseen)
        fix = "run this with the token of someone who administers the repository" if unseen else ""
        found.append((Level.UNKNOWN, str(error), fix))
    if not found:
        yield Check(name, Level.FINE, fine)
    yield from (Check(name, *said) for said in found)


# -- the checks ------------------------------------------------------------------------------------


class _Doctor:
    def __init__(self, survey: Survey, now: datetime) -> None:
        self._survey = survey
        self._now = now

    # -- what is in the repository -----------------------------------------------------------------

    def repository(self) -> Iterator[Said]:
        if self._survey.repository().archived:
            yield fault("it is archived: nothing can be written", "unarchive it")

    def policy(self) -> Iterator[Said]:
        branch = self._survey.repository().default_branch
        text = self._survey.file(POLICY, branch)
        if text is None:
            yield fault(
                f"there is no {POLICY} on {branch}: no gate can be decided",
                "`hitl init` writes a first one: merge it",
            )
            return
        try:
            parse(text)
        except Faults as error:
            for each in error.faults:
                yield fault(each, "`hitl policy validate` lists them all in a checkout")

    def _policy(self) -> PolicyFile | None:
        text = self._survey.file(POLICY, self._survey.repository().default_branch)
        try:
            return parse(text) if text is not None else None
        except Faults:
            return None

    def groups(self) -> Iterator[Said]:
        groups = self._groups()
        owner = self._survey.repository().owner
        for group in groups:
            organization = group.name.partition("/")[0]
            if organization.lower() != owner.lower():
                yield fault(
                    f"{group}: an App installed for {owner} cannot see into {organization}, and who"
                    " is in it counts for nobody",
                    f"name a team or members of {owner}, or a permission",
                )
            elif group.kind is GroupKind.TEAM and not self._survey.has_team(group.name):
                yield fault(
                    f"the team {group.name} is not there, or this credential may not see it",
                    "correct the policy, or let the credential read members",
                )
        decider = self._decider() if groups else None
        if decider and "members" not in decider.permissions:
            yield fault(
                "the decider may not read who is in a team, so nobody counts as a member",
                which_click(
                    decider.slug,
                    {"members": "read"},
                    (self._survey.app(decider.slug) or decider).permissions,
                ),
            )

    def _groups(self) -> list[Group]:
        policy = self._policy()
        kinds = (GroupKind.TEAM, GroupKind.ORGANIZATION)
        found = [
            group
            for entry in (policy.entries if policy else ())
            for actors in leaves(entry.selected.policy.require)
            for group in actors.groups
            if group.kind in kinds
        ]
        return list(dict.fromkeys(found))

    # -- workflows ---------------------------------------------------------------------------------

    def _main(self) -> str | None:
        return self._survey.file(MAIN, self._survey.repository().default_branch)

    def workflow(self) -> Iterator[Said]:
        text = self._main()
        anew = "`hitl init --overwrite` rewrites it: merge it"
        if text is None:
            yield fault(f"{MAIN} is not on the default branch: nobody decides", anew)
            return
        if "app-key:" not in text:
            yield from self._by_token()
        elif not workflow_files.is_current(MAIN, text):
            yield fault(f"{MAIN} is not what this version writes", anew)
        yield from self._stopped(MAIN)

    def _stopped(self, path: str) -> Iterator[Said]:
        state = self._survey.workflow_state(path.rpartition("/")[2])
        if state != "active":
            why = {
                "disabled_inactivity": "GitHub stopped it, because nothing happened here for long",
                "disabled_manually": "someone disabled it",
                None: "GitHub does not know it as a workflow",
            }.get(state, f"GitHub says that it is {state}")
            name = "Approvals schedule" if path == SCHEDULE else "Approvals"
            yield fault(f"{path}: {why}", f"enable it: Actions, {name}, Enable workflow")

    def _by_token(self) -> Iterator[Said]:
        yield fault(
            "unprotected: it acts with GITHUB_TOKEN, and any branch's workflow can do the same, so"
            " anyone who can push one can record an approval",
            "for more than trying it out: `hitl github setup`",
        )
        if not self._survey.actions().may_open_pull_requests:
            yield fault(
                "Actions may not create pull requests here, so no gate can be opened with"
                " GITHUB_TOKEN",
                "Settings, Actions, General: allow GitHub Actions to create pull requests",
            )

    def schedule(self) -> Iterator[Said]:
        repository = self._survey.repository()
        text = self._survey.file(SCHEDULE, repository.default_branch)
        anew = "`hitl init --overwrite` rewrites it: merge it"
        if text is None:
            yield fault(
                f"{SCHEDULE} is not on {repository.default_branch}: no deadline passes by itself",
                anew,
            )
            return
        if not workflow_files.is_current(SCHEDULE, text):
            yield fault(f"{SCHEDULE} is not what this version writes", anew)
        yield from self._stopped(SCHEDULE)
        if repository.private or repository.pushed_at is None:
            return
        idle = (self._now - repository.pushed_at).days
        if idle >= _IDLE_DAYS // 2:
            yield (
                Level.NOTE,
                f"nothing was pushed for {idle} days, and after {_IDLE_DAYS} GitHub stops the"
                " schedule of a public repository: what an event missed is then not mended, and no"
                " deadline passes by itself",
                "push something, or run the workflow from a scheduler of your own",
            )

    def actions(self) -> Iterator[Said]:
        found = self._survey.actions()
        if not found.enabled:
            yield fault("Actions are disabled", "Settings, Actions, General: allow them")
        elif found.allowed != "all":
            yield (
                Level.NOTE,
                f"the actions that may be used are limited ({found.allowed})",
                "see that the bridge's own action is among them",
            )

    # -- branches ----------------------------------------------------------------------------------

    def ledger(self) -> Iterator[Said]:
        shards = oldest_first(self._survey.branches(FIRST))
        if FIRST not in shards:
            yield fault(f"there is no branch {FIRST}", "`hitl init --push` makes it")
        for shard in shards:
            text = self._survey.file(RELAY, shard)
            if text is None:
                yield fault(
                    f"{RELAY} is not on {shard}: a review is not heard until the next sweep",
                    "`hitl init --push` writes it there",
                )
            elif not workflow_files.is_current(RELAY, text):
                yield fault(
                    f"{RELAY} on {shard} is not what this version writes",
                    "`hitl init --overwrite --push` rewrites it",
                )

    def branches(self) -> Iterator[Said]:
        blocking = ["gate"] if self._survey.has_branch("gate") else []
        blocking += self._survey.branches(f"{FIRST}/")
        for each in blocking:
            needed = "gate/…" if each == "gate" else FIRST
            yield fault(
                f"the branch {each} is where {needed} must be, and git allows only one of them",
                f"rename or delete the branch {each}",
            )

    # -- the identities ----------------------------------------------------------------------------

    def _opener(self) -> App | None:
        slug = workflow_files.opener_of(self._main() or "")
        return self._survey.app(slug) if slug else None

    def _decider_id(self) -> int | None:
        environment = self._survey.environment(ENVIRONMENT)
        found = (environment.variables if environment else {}).get(APP_ID)
        found = found or self._survey.variables().get(APP_ID) or ""
        return int(found) if re.fullmatch(r"[1-9][0-9]{0,18}", found.strip()) else None

    def _decider(self) -> App | None:
        number = self._decider_id()
        return self._survey.installed(number) if number else None

    def opener(self) -> Iterator[Said]:
        slug = workflow_files.opener_of(self._main() or "")
        app = self._opener()
        if slug is None:
            yield (
                Level.NOTE,
                f"{MAIN} names no opener's App in `voices`: jobs that ask with their run's token"
                " can open gates, and people with their own; gates of pods on Argo are ignored",
                "for those, make a GitHub App that opens gates, and put its slug there: SLUG[bot]",
            )
            return
        if app is None:
            yield fault(
                f"there is no GitHub App {slug}, which `voices` in {MAIN} names",
                "put the slug of the App that opens gates there, as SLUG[bot]",
            )
            return
        yield from _lacking(app, "the opener", dict.fromkeys(_OPENS, "write"), app)
        for name in sorted(_SETS & app.permissions.keys()):
            if app.permissions[name] in ("write", "admin"):
                yield fault(
                    f"the opener {slug} has {name}: {app.permissions[name]}, and runs beside the"
                    " initiator's code: it could lift the rules that keep it from the ledger",
                    f"take {name} from its App",
                )
        if app.id == self._decider_id():
            yield fault(
                f"{slug} is opener and decider at once: anyone who has the opener's key, such as"
                " a pod, can record an approval",
                "make a second App for the decider",
            )

    def decider(self) -> Iterator[Said]:
        if self._decider_id() is None:
            yield fault(
                f"no variable {APP_ID} says which App decides",
                f"set it in the environment {ENVIRONMENT}: the number of the App",
            )
            return
        if not self._survey.repository().owned_by_organization:
            yield (
                Level.NOTE,
                "what is granted to an App on a person's account cannot be read here",
                f"see that the decider has {_granted(_OPENS)}",
            )
            return
        app = self._decider()
        if app is None:
            yield fault(
                f"no App {self._decider_id()} is installed for {self._survey.repository().owner}",
                f"install it, or correct the variable {APP_ID}",
            )
            return
        asked = self._survey.app(app.slug) or app
        private = self._survey.repository().private
        reads = {"checks": "read"} if private and names_checks(self._policy()) else {}
        yield from _lacking(app, "the decider", dict.fromkeys(_OPENS, "write") | reads, asked)
        sees = {"actions": "read"}
        if private and lacking(sees, app.permissions):
            yield (
                Level.NOTE,
                f"the decider {app.slug} lacks actions: read: it cannot see the run of a job that"
                " asks with its run's token, and refuses the gate",
                which_click(app.slug, sees, asked.permissions),
            )

    def key(self) -> Iterator[Said]:
        for name in sorted({APP_KEY, SIGNING_KEY} & self._survey.secrets()):
            yield fault(
                f"{name} is a secret of the repository or its organization: anyone who can push"
                " a branch can write a workflow that reads it",
                f"delete it there, and set it in the environment {ENVIRONMENT} alone",
            )
        environment = self._survey.environment(ENVIRONMENT)
        if environment is None:
            private = self._survey.repository().private
            plan = "; a private repository on the Free plan cannot have one" if private else ""
            yield fault(
                f"there is no environment {ENVIRONMENT}{plan}",
                "Settings, Environments: make it, limited to the default branch",
            )
            return
        default = self._survey.repository().default_branch
        if environment.branches != (default,):
            now = ", ".join(environment.branches or ()) or "any that is protected, or any at all"
            yield fault(
                f"the environment {ENVIRONMENT} is open to other branches than {default} ({now})",
                f"limit its deployment branches to {default}",
            )
        if APP_KEY not in environment.secrets:
            yield fault(
                f"the environment {ENVIRONMENT} has no secret {APP_KEY}",
                "put the decider's private key there",
            )
        if environment.asks_people:
            yield fault(
                f"the environment {ENVIRONMENT} has reviewers or a timer: every run for a gate"
                " waits for them",
                "remove them: the bridge's own policy says who decides",
            )

    def signing(self) -> Iterator[Said]:
        environment = self._survey.environment(ENVIRONMENT)
        if environment is not None and SIGNING_KEY in environment.secrets:
            return
        named = workflow_files.keys_of(self._main() or "")
        if named and SIGNING_KEY not in self._survey.secrets():
            yield fault(
                f"{MAIN} names keys, and the environment {ENVIRONMENT} has no {SIGNING_KEY}: the"
                " decider refuses every gate",
                "`hitl github setup` makes a new key, and proposes its public half for `keys:`",
            )
        elif environment is not None:
            yield (
                Level.NOTE,
                f"decisions are not signed: anyone who can push to {FIRST}, as an administrator or"
                " with the decider's token, can write a decision that every step trusts",
                f"make a key with `ssh-keygen -t ed25519`, make it the secret {SIGNING_KEY} of the"
                f" environment {ENVIRONMENT}, and give its public half to readers as {KEYS}",
            )

    # -- the rules ---------------------------------------------------------------------------------

    def _rule_book(self, branch: str) -> RuleBook | None:
        opener, rules = self._opener(), self._survey.rules(branch)
        if rules is None:
            return None
        return RuleBook(branch, rules, opener.id if opener else None, self._decider_id())

    def ledger_rules(self) -> Iterator[Said]:
        # The same holds for the branches of later years, which aren't there yet.
        found = [said for branch in (FIRST, A_LATER) for said in self._shard_rules(branch)]
        yield from dict.fromkeys(found)
        for each in sorted(self._survey.protection(FIRST) & REFUSING_PROTECTION):
            yield fault(
                f"the branch protection of {FIRST} asks for {words(each)}, and refuses the"
                " decider's merge commit",
                "remove it there: the rulesets protect the ledger",
            )

    def _shard_rules(self, branch: str) -> Iterator[Said]:
        book = self._rule_book(branch)
        if book is None:
            yield NO_RULESETS
            return
        yield from book.without_bypass("deletion", "delete the ledger")
        yield from book.without_bypass("non_fast_forward", "rewrite the ledger")
        unknown = tuple(book.unknown(opener=False))
        yield from unknown or book.only("creation", "make a branch of the ledger", opener=False)
        yield from unknown or book.only("update", "push the ledger", opener=False)
        yield from book.refusing(REFUSE, "the decider's merge commit", opener=False)

    def gate_rules(self) -> Iterator[Said]:
        book = self._rule_book(A_GATE)
        if book is None:
            yield NO_RULESETS
            return
        opener = workflow_files.opener_of(self._main() or "") is not None
        unknown = tuple(book.unknown(opener=opener))
        if unknown:
            yield from unknown
            return
        yield from book.only("creation", "make a gate's branch", opener=opener)
        yield from book.only("update", "push to a gate's branch", opener=opener)
        yield from book.only("deletion", "delete a gate's branch", opener=opener)
        yield from book.refusing(REFUSE | {"non_fast_forward"}, "a gate's branch", opener=opener)


#: What an App needs to open gates, and to decide them.
_OPENS: Final = ("contents", "issues", "pull_requests", "statuses")
#: With these, an App could undo what keeps it from the ledger.
_SETS: Final = frozenset({"administration", "environments", "organization_administration"})


def _lacking(app: App, who: str, wanted: Mapping[str, str], asked: App | None) -> Iterator[Said]:
    """`asked` is the App with what it asks for; `app` has what is granted where it's installed."""
    if missing := lacking(wanted, app.permissions):
        yield fault(
            f"{who} {app.slug} lacks {in_words(missing)}",
            which_click(app.slug, missing, (asked or app).permissions),
        )


def _granted(names: Sequence[str]) -> str:
    return ", ".join(f"{words(name)}: write" for name in names)
