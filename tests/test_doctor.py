"""`hitl doctor`: each check of a live repository, when all is well there and when it is not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.core.errors import LedgerUnavailable
from bridge.core.model import Declared
from bridge.core.settings import TOKENS, GitHubSettings
from bridge.ledger.readme import README
from bridge.setup import workflow_files
from bridge.setup.checks import Check, Level, is_safe
from bridge.setup.doctor import examine
from bridge.setup.github_survey import GitHubSurvey
from bridge.setup.workflow_files import MAIN, POLICY, RELAY, SCHEDULE
from tests.forge import World
from tests.github import GitHub
from tests.ledgers import a_decision, git

POLICY_TEXT = """\
gates:
  - name: deploy
    require: {teams: acme/ml}
"""
WORKFLOW = workflow_files.workflow("acme/approval-bridge/action@0123", "approval-opener")
LEDGER, GATES = "refs/heads/approvals*", "refs/heads/gate/**/*"


@dataclass
class Installed:
    """A repository that is set up as it should be, and one of its administrators."""

    github: GitHub
    repo: Any
    opener: Any
    decider: Any
    admin: Any
    world: World

    def settings(self, token: object | None = None) -> GitHubSettings:
        return GitHubSettings(
            repository=self.repo.full_name,
            api_url=self.github.api_url,
            graphql_url=self.github.graphql_url,
            server_url=self.github.url,
            token=str(token or self.github.token(self.admin)),
        )

    def examined(self, token: object | None = None) -> tuple[Check, ...]:
        return examine(GitHubSurvey(self.settings(token)), self.github.clock.now())

    def ailing(self, token: object | None = None) -> list[tuple[str, Level, str]]:
        return [
            (each.name, each.level, each.says)
            for each in self.examined(token)
            if each.level is not Level.FINE
        ]

    def ruleset(self, name: str) -> Any:
        return next(each for each in self.repo.rulesets if each.name == name)

    def main(self, text: str | None) -> None:
        self.repo.commit("main", {MAIN: text})

    def replace_in_main(self, old: str, new: str) -> None:
        assert old in WORKFLOW
        self.main(WORKFLOW.replace(old, new))


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Installed]:
    with GitHub() as github:
        world = World(github, tmp_path, POLICY_TEXT)
        repo, opener, decider = world.repo, world.opener, world.decider
        admin = github.user("root")
        repo.owner.add(admin, "admin")
        repo.owner.team("ml", world.alice)
        repo.commit("main", {MAIN: WORKFLOW, SCHEDULE: workflow_files.text(SCHEDULE)})
        repo.commit(
            "approvals", {"README.md": README, RELAY: workflow_files.text(RELAY)}, orphan=True
        )
        repo.ruleset("kept", "deletion", "non_fast_forward", branches=[LEDGER])
        repo.ruleset("decided", "creation", "update", branches=[LEDGER], bypass=[decider])
        rules = ("creation", "update", "deletion")
        repo.ruleset("gates", *rules, branches=[GATES], bypass=[opener, decider])
        environment = repo.environment("approvals", ["main"], {"HITL_APP_KEY", "HITL_SIGNING_KEY"})
        environment.variables["HITL_APP_ID"] = str(decider.id)
        yield Installed(github, repo, opener, decider, admin, world)


def test_a_safe_installation_has_one_line_a_check_and_nothing_to_do(acme: Installed) -> None:
    checks = acme.examined()
    assert [each for each in checks if each.level is not Level.FINE] == []
    assert is_safe(checks)
    assert len({each.name for each in checks}) == len(checks) == 14


def test_where_it_finds_all_well_only_the_decider_can_record_a_decision(acme: Installed) -> None:
    world = acme.world
    pull = world.open(declared=Declared(), facts=())
    standing = world.standing(pull)
    opener = world.desk(world.opener).ledger
    with pytest.raises(LedgerUnavailable):
        opener.record(a_decision(standing.request))
    assert world.recorded(pull) is None
    desk = world.desk(world.decider).ledger
    assert desk.record(a_decision(standing.request)).decision


# -- each check, failing ---------------------------------------------------------------------------

Change = Callable[[Installed], None]


def _unset(name: str) -> Change:
    return lambda acme: acme.repo.rulesets.remove(acme.ruleset(name))


def _bypass(name: str, *more: str) -> Change:
    """Let more people past a ruleset: the opener, or a role."""

    def change(acme: Installed) -> None:
        from tests.github.rules import bypass_row

        for each in more:
            who = {"opener": acme.opener, "decider": acme.decider}.get(each, each)
            acme.ruleset(name).bypass.append(bypass_row(who))

    return change


def _nobody(name: str) -> Change:
    return lambda acme: acme.ruleset(name).bypass.clear()


def _inherited(rule: str | dict[str, Any], branch: str = "~ALL") -> Change:
    return lambda acme: (
        acme.github.add_organisation_ruleset(acme.repo.owner, "everywhere", rule, branches=[branch])
        and None
    )


def _free(acme: Installed) -> None:
    acme.repo.private, acme.repo.paid = True, False


def _in_environment(**changes: Any) -> Change:
    def change(acme: Installed) -> None:
        for name, value in changes.items():
            setattr(acme.repo.environments["approvals"], name, value)

    return change


def _permit(app: str, **permissions: str | None) -> Change:
    """Another set of permissions, granted where the App is installed."""

    def change(acme: Installed) -> None:
        found = getattr(acme, app)
        kept = {**found.permissions, **permissions}
        found.permissions = {name: level for name, level in kept.items() if level}
        found.installations[0].permissions = found.permissions

    return change


def _policy(text: str | None) -> Change:
    return lambda acme: acme.repo.commit("main", {POLICY: text}) and None


def _idle(acme: Installed) -> None:
    acme.repo.pushed_at = acme.github.clock.now() - timedelta(days=45)


def _no_ledger(acme: Installed) -> None:
    acme.repo.push(acme.repo.owner, "refs/heads/approvals", None)


def _blocked(acme: Installed) -> None:
    acme.repo.commit("gate", {"x": "y"})


def _blocked_ledger(acme: Installed) -> None:
    _no_ledger(acme)
    acme.repo.commit("approvals/old", {"x": "y"})


def _setting(**changes: Any) -> Change:
    def change(acme: Installed) -> None:
        for name, value in changes.items():
            setattr(acme.repo, name, value)

    return change


def _protected(**rows: Any) -> Change:
    return lambda acme: acme.repo.protections.update({"approvals": rows})


def _by_token(acme: Installed) -> None:
    text = WORKFLOW.replace("app-id: ${{ vars.HITL_APP_ID }}", "token: ${{ github.token }}")
    acme.main(text.replace("          app-key: ${{ secrets.HITL_APP_KEY }}\n", ""))


RESTRICTED = {"restricted_file_paths": ["**/decision.yaml"]}

FAULTS: list[tuple[Change, str, str]] = [
    (_setting(archived=True), "repository", "it is archived"),
    (_policy(None), "policy", "there is no .github/approvals.yml on main"),
    (_policy("gates: []\n"), "policy", ".github/approvals.yml:1: gates is an empty list"),
    (_policy(POLICY_TEXT.replace("acme/ml", "acme/gone")), "groups", "team acme/gone is not there"),
    (_policy(POLICY_TEXT.replace("acme/ml", "other/ml")), "groups", "cannot see into other"),
    (_permit("decider", members=None), "groups", "the decider may not read who is in a team"),
    (lambda acme: acme.main(None), "workflow", "is not on the default branch"),
    (
        lambda acme: acme.replace_in_main("cancel-in-progress: false", "cancel-in-progress: true"),
        "workflow",
        "is not what this version writes",
    ),
    (
        lambda acme: acme.repo.workflow_states.update({"approvals.yml": "disabled_inactivity"}),
        "workflow",
        "GitHub stopped it",
    ),
    (
        lambda acme: acme.repo.workflow_states.update(
            {"approvals-schedule.yml": "disabled_inactivity"}
        ),
        "schedule",
        "approvals-schedule.yml: GitHub stopped it",
    ),
    (
        lambda acme: acme.repo.commit("main", {SCHEDULE: None}),
        "schedule",
        "no deadline passes by itself",
    ),
    (
        lambda acme: acme.repo.commit("main", {SCHEDULE: "on: push"}),
        "schedule",
        "is not what this version writes",
    ),
    (_by_token, "workflow", "unprotected"),
    (_by_token, "workflow", "Actions may not create pull requests here"),
    (_setting(actions_enabled=False), "actions", "Actions are disabled"),
    (_no_ledger, "ledger", "there is no branch approvals"),
    (lambda acme: acme.repo.commit("approvals", {RELAY: None}), "ledger", "is not on approvals"),
    (lambda acme: acme.repo.commit("approvals-2031", {"x": "y"}), "ledger", "on approvals-2031: a"),
    (
        lambda acme: acme.repo.commit("approvals", {RELAY: "on: push\n"}),
        "ledger",
        "is not what this version writes",
    ),
    (_blocked, "branches", "the branch gate is where gate/… must be"),
    (_blocked_ledger, "branches", "the branch approvals/old is where approvals must be"),
    (
        lambda acme: acme.replace_in_main("approval-opener[bot]", "gone[bot]"),
        "opener",
        "there is no GitHub App gone",
    ),
    (_permit("opener", contents="read"), "opener", "the opener approval-opener lacks contents"),
    (_permit("opener", administration="write"), "opener", "has administration: write"),
    (
        lambda acme: acme.replace_in_main("approval-opener[bot]", "approval-decider[bot]"),
        "opener",
        "is opener and decider at once",
    ),
    (_in_environment(variables={}), "decider", "no variable HITL_APP_ID"),
    (_in_environment(variables={"HITL_APP_ID": "7"}), "decider", "no App 7 is installed for acme"),
    (_permit("decider", statuses=None), "decider", "lacks statuses: write"),
    (lambda acme: acme.repo.secrets.add("HITL_APP_KEY"), "key", "is a secret of the repository"),
    (
        lambda acme: acme.repo.secrets.add("HITL_SIGNING_KEY"),
        "key",
        "HITL_SIGNING_KEY is a secret of the repository",
    ),
    (
        lambda acme: acme.repo.owner.secrets.add("HITL_APP_KEY"),
        "key",
        "is a secret of the repository or its organization",
    ),
    (lambda acme: acme.repo.environments.clear(), "key", "there is no environment approvals"),
    (_in_environment(branches=None), "key", "is open to other branches than main"),
    (_in_environment(branches=["main", "gate/*"]), "key", "(main, gate/*)"),
    (_in_environment(branches=None, protected_branches=True), "key", "any that is protected"),
    (_in_environment(secrets={"HITL_SIGNING_KEY"}), "key", "has no secret HITL_APP_KEY"),
    (
        lambda acme: _in_environment(reviewers=[acme.admin])(acme),
        "key",
        "has reviewers or a timer",
    ),
    (_unset("kept"), "ledger rules", "no ruleset forbids to delete the ledger"),
    (_unset("kept"), "ledger rules", "no ruleset forbids to rewrite the ledger"),
    (_bypass("kept", "decider"), "ledger rules", "the decider can rewrite the ledger"),
    (_unset("decided"), "ledger rules", "anyone who can write can push the ledger, the opener too"),
    (_bypass("decided", "opener"), "ledger rules", "the opener can push the ledger"),
    (
        _bypass("decided", "maintain"),
        "ledger rules",
        "everyone who may maintain can push the ledger",
    ),
    (_nobody("decided"), "ledger rules", "the decider cannot push the ledger"),
    (_inherited("required_linear_history"), "ledger rules", "of acme asks for linear history"),
    (
        _inherited({"type": "file_path_restriction", "parameters": RESTRICTED}),
        "ledger rules",
        "asks for file path restriction, and refuses the file gates/",
    ),
    (_inherited("required_signatures"), "ledger rules", "of acme asks for signatures"),
    (
        _protected(required_linear_history={"enabled": True}),
        "ledger rules",
        "asks for linear history",
    ),
    (_free, "ledger rules", "on the Free plan has no rulesets"),
    (_free, "gate rules", "on the Free plan has no rulesets"),
    (_unset("gates"), "gate rules", "anyone who can write can push to a gate's branch"),
    (_nobody("gates"), "gate rules", "the opener cannot make a gate's branch"),
    (_bypass("gates", "write"), "gate rules", "everyone who may write can push to a gate's branch"),
    (_inherited("required_signatures", GATES), "gate rules", "and refuses a gate's branch"),
    (_inherited("deletion"), "gate rules", "cannot delete a gate's branch"),
]


@pytest.mark.parametrize(
    ("change", "name", "says"), FAULTS, ids=[f"{n}: {s}" for _, n, s in FAULTS]
)
def test_what_is_wrong_is_named_with_a_fix(
    acme: Installed, change: Change, name: str, says: str
) -> None:
    change(acme)
    checks = acme.examined()
    found = [each for each in checks if each.name == name and says in each.says]
    assert found, acme.ailing()
    assert found[0].fix
    assert not is_safe(checks)


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (_idle, "schedule", "nothing was pushed for 45 days"),
        (_setting(allowed_actions="selected"), "actions", "are limited (selected)"),
        (_in_environment(secrets={"HITL_APP_KEY"}), "signing", "decisions are not signed"),
    ],
)
def test_what_only_may_bite_is_a_note(
    acme: Installed, change: Change, name: str, says: str
) -> None:
    change(acme)
    ((found, level, told),) = acme.ailing()
    assert (found, level) == (name, Level.NOTE)
    assert says in told
    assert is_safe(acme.examined())


@pytest.mark.parametrize("voices", ["''", "ann#583231"])
def test_a_set_up_without_an_openers_app_is_safe_and_says_who_can_open(
    acme: Installed, voices: str
) -> None:
    acme.replace_in_main("approval-opener[bot]", voices)
    gates = acme.ruleset("gates").bypass
    gates[:] = [each for each in gates if each["actor_id"] != acme.opener.id]
    ((found, level, told),) = acme.ailing()
    assert (found, level) == ("opener", Level.NOTE)
    assert "jobs that ask with their run's token can open gates" in told
    assert is_safe(acme.examined())
    _bypass("gates", "opener")(acme)
    assert not is_safe(acme.examined())


def test_a_decider_that_cannot_see_the_runs_of_a_private_repository_is_a_note(
    acme: Installed,
) -> None:
    acme.repo.private = True
    _permit("decider", actions="read")(acme)
    assert acme.ailing() == []
    _permit("decider", actions=None)(acme)
    ((found, level, told),) = acme.ailing()
    assert (found, level) == ("decider", Level.NOTE)
    assert "lacks actions: read" in told


def test_a_private_repository_keeps_its_schedule(acme: Installed) -> None:
    _idle(acme)
    acme.repo.private = True
    _permit("decider", actions="read")(acme)
    assert acme.ailing() == []


def test_a_rule_that_the_decider_may_bypass_refuses_nothing(acme: Installed) -> None:
    acme.repo.ruleset("linear", "required_linear_history", branches=[LEDGER], bypass=[acme.decider])
    assert acme.ailing() == []


def test_who_may_bypass_only_in_a_pull_request_cannot_push(acme: Installed) -> None:
    from tests.github.rules import bypass_row

    acme.ruleset("decided").bypass.append(bypass_row("admin", "pull_request"))
    assert acme.ailing() == []


def test_a_ruleset_that_is_switched_off_protects_nothing(acme: Installed) -> None:
    acme.ruleset("decided").enforcement = "evaluate"
    assert {name for name, _, _ in acme.ailing()} == {"ledger rules"}


def test_a_writer_who_can_make_a_branch_of_a_later_year_is_told_of(acme: Installed) -> None:
    for name in ("kept", "decided"):
        acme.ruleset(name).include[:] = ["refs/heads/approvals"]
    assert any("make a branch of the ledger" in says for _, _, says in acme.ailing())


def test_the_variable_of_the_repository_or_its_organization_will_do(acme: Installed) -> None:
    acme.repo.environments["approvals"].variables.clear()
    acme.repo.owner.variables["HITL_APP_ID"] = str(acme.decider.id)
    assert acme.ailing() == []


# -- what cannot be read ---------------------------------------------------------------------------


def test_what_cannot_be_read_is_never_fine(acme: Installed) -> None:
    reader = acme.github.token(acme.github.user("passer-by"))
    told = acme.ailing(reader)
    unread = {name for name, level, _ in told if level is Level.UNKNOWN}
    assert {"key", "ledger rules", "gate rules", "decider", "actions"} <= unread
    assert not is_safe(acme.examined(reader))


def test_who_may_bypass_a_ruleset_is_told_to_its_administrators_alone(acme: Installed) -> None:
    narrow = acme.github.token(acme.admin, {"contents": "read", "administration": "read",
        "actions": "read", "secrets": "read", "environments": "read", "variables": "read",
        "members": "read", "organization_administration": "read"})  # fmt: skip
    told = acme.ailing(narrow)
    assert {name for name, _, _ in told} == {"ledger rules", "gate rules"}
    assert {level for _, level, _ in told} == {Level.UNKNOWN}


def test_of_a_repository_that_cannot_be_seen_nothing_is_found_fine(acme: Installed) -> None:
    settings = replace(acme.settings(), repository="acme/gone")
    (check,) = examine(GitHubSurvey(settings), acme.github.clock.now())
    assert (check.name, check.level) == ("repository", Level.UNKNOWN)
    assert check.says == "acme/gone cannot be read: this credential does not see it"


def test_a_github_that_cannot_be_reached_is_no_matter_of_credentials(acme: Installed) -> None:
    settings = replace(acme.settings(), api_url="http://127.0.0.1:1")
    (check,) = examine(GitHubSurvey(settings, pause=lambda _: None), acme.github.clock.now())
    assert "it cannot be reached" in check.says
    assert (check.level, check.fix) == (Level.UNKNOWN, "")


def test_on_a_persons_account_what_is_granted_is_left_to_be_looked_at(acme: Installed) -> None:
    ann = acme.github.user("ann")
    repo = acme.github.repository("ann/models")
    for app in (acme.opener, acme.decider):
        app.install(ann)
    repo.environment("approvals", ["main"]).variables["HITL_APP_ID"] = str(acme.decider.id)
    theirs = replace(acme, repo=repo, admin=ann)
    told = [each for each in theirs.ailing() if each[0] == "decider"]
    assert [level for _, level, _ in told] == [Level.NOTE]


# -- the command -----------------------------------------------------------------------------------


def hitl_doctor(acme: Installed, monkeypatch: pytest.MonkeyPatch) -> int:
    token = acme.github.token(acme.admin)
    for name, value in acme.github.environment(acme.repo, token).items():
        monkeypatch.setenv(name, value)
    return main(["doctor"])


def test_the_command_says_each_check_and_leaves_with_0_where_a_gate_is_safe(
    acme: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hitl_doctor(acme, monkeypatch) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 14
    assert all(line.startswith("✓ ") for line in told)


def test_the_command_leaves_with_1_where_it_is_not_and_says_the_fix(
    acme: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _unset("decided")(acme)
    assert hitl_doctor(acme, monkeypatch) == 1
    told = capsys.readouterr()
    assert "✗ ledger rules: anyone who can write can push the ledger, the opener too" in told.out
    assert "    add a ruleset for the branch approvals*: restrict update, bypass" in told.out
    assert not [secret for secret in acme.github.secrets if secret in told.out + told.err]


def test_doctor_reads_and_writes_nothing(acme: Installed) -> None:
    acme.github.forget_requests()
    acme.examined()
    assert {each.method for each in acme.github.requests} == {"GET"}
    paths = [(each.path, tuple(sorted(each.query.items()))) for each in acme.github.requests]
    assert len(paths) == len(set(paths)), "each is asked once"


def test_without_a_repository_in_the_environment_the_checkout_says_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [each for each in os.environ if each.startswith(("GITHUB_", "GH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GH_TOKEN", "nothing")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 1
    assert "is in no git repository" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["doctor"], ["github", "setup"], ["github", "try"]])
def test_a_checkout_without_remote_and_token_hears_of_both_at_once(
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [each for each in os.environ if each.startswith(("GITHUB_", "GH_", "HITL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("bridge.cli.github_target._token_of_gh", lambda _: "")
    git(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    told = capsys.readouterr().err
    assert (
        "  - no repository on GitHub: `git remote add origin` its address, or set GITHUB_" in told
    )
    assert "  - no token: set GH_TOKEN to one of somebody who administers the repository, " in told
    assert "HITL_APP_ID" not in told


def test_doctor_takes_the_token_of_gh_as_setup_does(
    acme: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = str(acme.github.token(acme.admin))
    for name, value in acme.github.environment(acme.repo, token).items():
        monkeypatch.setenv(name, value)
    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("bridge.cli.github_target._token_of_gh", lambda _: token)
    assert main(["doctor"]) == 0
    assert token not in capsys.readouterr().out


def test_the_documentation_tells_every_check(acme: Installed) -> None:
    text = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text()
    rows = re.findall(r"^\| ([a-z ]+) \|", text, re.M)
    assert [each for each in rows if each not in ("check", "it writes")] == [
        each.name for each in acme.examined()
    ]
