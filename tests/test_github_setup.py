"""`hitl github setup`: from nothing to a gate that only the decider can settle, in one command."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from getpass import getuser
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import yaml

from bridge.cli.main import main
from bridge.core.decision_keys import parse_keys
from bridge.core.errors import BridgeError, Faults
from bridge.core.facts import started_by
from bridge.core.model import Declared, Draft, Gate, Subject
from bridge.core.settings import GitHubSettings, from_environment, github_from_environment
from bridge.entrypoints.github_action import main as action
from bridge.gates.open_page import ask
from bridge.local.signing import signing_key
from bridge.policy.policy_file import parse
from bridge.setup import vendored_action, workflow_files
from bridge.setup.action_address import action_address, of_project, of_release
from bridge.setup.app_manifest import Manifest, Role, code_in, name_of
from bridge.setup.app_page import AppPage
from bridge.setup.checks import Level
from bridge.setup.doctor import examine
from bridge.setup.github_steps import DECIDER_ID
from bridge.setup.github_survey import GitHubSurvey
from bridge.setup.propose_identities import propose
from bridge.setup.workflow_files import ENVIRONMENT, MAIN, POLICY, RELAY, SCHEDULE
from bridge.wiring import desk
from tests.github import GitHub

ROOT = Path(__file__).parents[1]
ACTION = "acme/approval-bridge/action@" + "0123456789" * 4
SETUP = ["github", "setup", "--yes", "--action", ACTION]


class Acme:
    """An organization with a repository, its owner, and the owner's browser."""

    def __init__(
        self, github: GitHub, monkeypatch: pytest.MonkeyPatch, name: str = "acme/models"
    ) -> None:
        self.github = github
        self.repo = github.repository(name)
        self.admin = github.user("root")
        if self.repo.owner is not self.admin:
            self.repo.owner.add(self.admin, "admin")  # type: ignore[attr-defined]
        self.shown: list[str] = []
        self.token = github.token(self.admin)
        for name, value in github.environment(self.repo).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GH_TOKEN", str(self.token))
        for name in ("HITL_TOKEN", "GITHUB_TOKEN", "SSH_CONNECTION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("webbrowser.open", self.browser)
        monkeypatch.setattr("time.sleep", lambda _: None)

    def browser(self, address: str) -> bool:
        """Press the only button of each page that is opened."""
        self.shown.append(address)
        if not address.startswith(self.github.url):
            back = self.confirm(requests.get(address, timeout=20).text)
            assert requests.get(back, timeout=20).status_code == 200
            return True
        slug = re.search(r"/apps/([\w-]+)/installations/new$", address)
        assert slug, address
        self.github.apps[slug[1]].install(self.repo.owner, [self.repo])
        return True

    def confirm(self, page: str) -> str:
        """Press our button and GitHub's; the address that the browser ends at."""
        at_github = self.press(page)
        assert at_github.status_code == 200, at_github.text
        reply = self.press(at_github.text)
        assert reply.status_code == 302, reply.text
        return reply.headers["Location"]

    def press(self, page: str) -> requests.Response:
        """Post the form as a browser does."""
        action = re.search(r'action="([^"]+)"', page)
        assert action, page
        given = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page))
        return requests.post(
            urljoin(self.github.url, unescape(action[1])),
            data={name: unescape(value) for name, value in given.items()},
            allow_redirects=False,
            timeout=20,
        )

    def merge(self) -> None:
        """What the administrator does with the pull request."""
        (pull,) = self.repo.open_pulls()
        pull.merge(self.admin)
        self.github.tick()

    def ailing(self) -> list[tuple[str, Level, str]]:
        settings = GitHubSettings(
            repository=self.repo.full_name,
            api_url=self.github.api_url,
            graphql_url=self.github.graphql_url,
            server_url=self.github.url,
            token=str(self.token),
        )
        checks = examine(GitHubSurvey(settings), self.github.clock.now())
        return [(c.name, c.level, c.says) for c in checks if c.level is not Level.FINE]

    def signs(self) -> bool:
        """Whether what the decider signs counts for the workflow on the default branch."""
        secret = self.repo.environments[ENVIRONMENT].values["HITL_SIGNING_KEY"]
        keys = parse_keys("\n".join(workflow_files.keys_of(self.repo.file(MAIN) or "")), "")
        return signing_key(secret).public in [each.key for each in keys]

    def writes(self) -> list[str]:
        return [
            f"{each.method} {each.path}"
            for each in self.github.requests
            if each.kind in ("rest", "mint") and each.method != "GET"
        ]


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Acme]:
    monkeypatch.chdir(tmp_path)
    with GitHub() as github:
        yield Acme(github, monkeypatch)


def test_one_command_and_one_merge_make_a_repository_that_the_doctor_calls_safe(
    acme: Acme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "opener.pem"
    assert main([*SETUP, "--opener", str(key)]) == 0, capsys.readouterr().err
    acme.merge()
    assert acme.ailing() == []
    told = capsys.readouterr().out
    (decider,) = [app for app in acme.github.apps.values() if "decider" in app.slug]
    (opener,) = [app for app in acme.github.apps.values() if "opener" in app.slug]
    environment = acme.repo.environments["approvals"]
    assert environment.values["HITL_APP_KEY"] == decider.key
    assert key.read_text() == opener.key
    assert key.stat().st_mode & 0o777 == 0o600
    for secret in (*environment.values.values(), opener.key, str(acme.token)):
        assert not [each for each in secret.splitlines() if len(each) > 40 and each in told]
    assert "placeholder" not in told
    assert ACTION in (acme.repo.file(MAIN) or "")
    public = re.search(r"HITL_KEYS=(.*)", told)
    assert public
    assert f"keys: {public[1]}\n" in (acme.repo.file(MAIN) or "")


def test_without_a_cluster_there_is_one_app_and_no_voice_but_its_own(acme: Acme) -> None:
    assert main(SETUP) == 0
    acme.merge()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []
    assert len(acme.shown) == 2  # register, install
    assert 'voices: ""' in (acme.repo.file(MAIN) or "")


def test_a_persons_own_repository_is_set_up_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with GitHub() as github:
        github.logged_in = github.user("root")
        acme = Acme(github, monkeypatch, "root/models")
        assert main(SETUP) == 0
        acme.github.forget_requests()
        assert main(SETUP) == 0
        assert acme.writes() == []
        acme.merge()
        assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []


# -- again, and again after an interruption --------------------------------------------------------


def test_run_twice_it_changes_nothing(acme: Acme, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SETUP) == 0
    for _ in ("before the merge", "after it"):
        acme.github.forget_requests()
        assert main(SETUP) == 0
        assert acme.writes() == []
        assert "nothing is left to do" in capsys.readouterr().out
        if acme.repo.open_pulls():
            acme.merge()


def test_a_dry_run_prints_every_request_and_sends_none_of_them(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SETUP, "--dry-run"]) == 0
    assert acme.writes() == []
    assert acme.shown == []
    told = capsys.readouterr().out
    assert main(SETUP) == 0
    for each in acme.writes():
        path = each.removeprefix("POST ").replace("/api/v3", "")
        assert re.sub(r"manifests/\w+/", "manifests/‹code›/", path) in told
    assert "‹decider's id›" in told
    assert '"members"' not in told


@pytest.mark.parametrize("merged", [False, True], ids=["merged at the end", "merged at once"])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done, and no answer came"])
def test_interrupted_once_at_each_change_it_goes_on(
    acme: Acme, done: bool, merged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.github.transport._TRIES", 1)
    struck: set[str] = set()

    def once(request: Any) -> bool:
        named = re.search(r'"name": "[^"]+"', request.text)
        change = re.sub(r"manifests/\w+", "", f"{request.method} {request.path} {named}")
        new = request.method != "GET" and request.kind != "web" and change not in struck
        return new and not struck.add(change)

    acme.github.faults.cut(when=once, after=done, times=None)
    again = SETUP
    while code := main(again):
        assert code in (1, 8)
        for app in acme.github.apps.values():
            if "decider" in app.slug:  # GitHub shows its key once: a person makes another
                (tmp_path / "key.pem").write_text(app.key)
                again = [*SETUP, "--decider-key", str(tmp_path / "key.pem")]
        if merged and acme.repo.open_pulls():
            acme.merge()
    assert len(struck) > 12
    acme.github.faults.clear()
    if acme.repo.open_pulls():
        acme.merge()
    assert acme.signs()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []
    assert sum("decider" in slug for slug in acme.github.apps) == 1


@pytest.mark.parametrize("cut", ["/models/pulls", "/secrets/HITL_SIGNING_KEY"])
def test_a_workflow_whose_key_nobody_has_gets_another_beside_it(
    acme: Acme, cut: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bridge.github.transport._TRIES", 1)
    assert main(SETUP) == 0
    acme.merge()
    (former,) = workflow_files.keys_of(acme.repo.file(MAIN) or "")
    acme.repo.environments[ENVIRONMENT].secrets.remove("HITL_SIGNING_KEY")
    capsys.readouterr()
    acme.github.faults.cut(when=lambda each: each.method != "GET" and each.path.endswith(cut))
    assert main(SETUP) == 8
    acme.github.faults.clear()
    assert main(SETUP) == 0
    assert "Add this line to HITL_KEYS" in capsys.readouterr().out
    # A newer action, before that is merged, drops no key.
    assert main([*SETUP[:-1], ACTION.replace("0123", "4567")]) == 0
    acme.merge()
    keys = workflow_files.keys_of(acme.repo.file(MAIN) or "")
    assert (len(keys), keys[0]) == (2, former)
    assert acme.signs()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []
    acme.github.forget_requests()
    assert main([*SETUP[:-1], ACTION.replace("0123", "4567")]) == 0
    assert acme.writes() == []


def test_the_part_that_names_the_key_puts_it_where_the_decider_has_it(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SETUP, "--only", "files"]) == 8
    assert "do the part `environment` first" in capsys.readouterr().err
    assert acme.repo.pulls == []
    assert main([*SETUP, "--only", "environment"]) == 0
    assert main([*SETUP, "--only", "files"]) == 0
    acme.merge()
    assert acme.signs()


def test_an_opener_and_a_newer_action_can_be_added_later(acme: Acme, tmp_path: Path) -> None:
    assert main(SETUP) == 0
    acme.merge()
    text = (acme.repo.file(MAIN) or "").replace("ubuntu-latest", "[self-hosted]")
    acme.repo.commit("main", {MAIN: text})
    newer = ACTION.replace("0123", "4567")
    later = ["github", "setup", "--yes", "--action", newer, "--opener", str(tmp_path / "key")]
    assert main(later) == 0
    acme.merge()
    (opener,) = [slug for slug in acme.github.apps if "opener" in slug]
    wanted = text.replace(ACTION, newer).replace('voices: ""', f"voices: {opener}[bot]")
    assert acme.repo.file(MAIN) == wanted
    assert acme.ailing() == []
    acme.github.forget_requests()
    assert main(later) == 0
    assert acme.writes() == []


# -- doctor --fix ----------------------------------------------------------------------------------

FIX = ["doctor", "--fix"]


def test_doctor_does_what_its_failed_checks_need_and_nothing_before_you_say_yes(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SETUP) == 0
    acme.merge()
    acme.repo.rulesets = [each for each in acme.repo.rulesets if "gates" not in each.name]
    acme.repo.environments[ENVIRONMENT].secrets.remove("HITL_SIGNING_KEY")
    assert {name for name, level, _ in acme.ailing() if level is Level.FAULT} == {
        "signing",
        "gate rules",
    }
    acme.github.forget_requests()
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", StringIO(""))
    assert main(FIX) == 130  # nobody answers
    assert acme.writes() == []
    plan = re.findall(r"(?m)^ \d\. (\w+) ", capsys.readouterr().out)
    assert plan == ["rulesets", "files", "files"]

    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    assert main(FIX) == 1
    assert len(asked) == 1
    told = capsys.readouterr()
    assert "Left for you: read and merge" in told.out
    assert "until you merge the pull request, no gate can be decided" in told.err
    acme.merge()
    assert ACTION in (acme.repo.file(MAIN) or "")
    acme.github.forget_requests()
    assert main(FIX) == 0
    assert acme.writes() == []
    assert len(asked) == 1
    assert acme.signs()


def test_doctor_leaves_what_setup_has_no_step_for(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FIX) == 1
    assert "`hitl github setup` must write the workflow: it is not" in capsys.readouterr().err
    assert main(SETUP) == 0
    acme.github.forget_requests()
    assert main(FIX) == 1
    assert "Left for you: read and merge" in capsys.readouterr().out
    assert acme.writes() == []
    acme.merge()
    acme.repo.commit("gate", {"x": "y"})
    acme.github.forget_requests()
    capsys.readouterr()
    assert main(FIX) == 1
    assert "`hitl github setup` has no step for any of this" in capsys.readouterr().out
    assert acme.writes() == []


def test_doctor_mends_nothing_for_somebody_who_does_not_administer_the_repository(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    acme.repo.owner.members.clear()  # type: ignore[attr-defined]
    acme.repo.grant(acme.admin, "write")
    assert main(FIX) == 1
    assert "you don't administer acme/models: ask someone who does" in capsys.readouterr().err
    assert acme.writes() == []


# -- who starts runs -------------------------------------------------------------------------------

MEMBERS = {"annlee": 7, "bob": 8, "root": 9}


@pytest.mark.parametrize(
    ("authors", "proposed"),
    [
        (
            [("Ann", "7+AnnLee@users.noreply.github.com"), ("Ann", "ann.lee@corp.example")],
            {"ann.lee": "annlee#7", "ann.lee@corp.example": "annlee#7"},
        ),
        # Nobody whom the organization doesn't have, and nobody under another's number.
        ([("Eve", "66+eve@users.noreply.github.com"), ("Eve", "eve@corp.example")], {}),
        ([("Eve", "66+bob@users.noreply.github.com"), ("Eve", "eve@corp.example")], {}),
        # One name, two accounts: whose runs these are is not known.
        (
            [
                ("Ann", "7+annlee@users.noreply.github.com"),
                ("Ann", "8+bob@users.noreply.github.com"),
                ("Ann", "ann.lee@corp.example"),
            ],
            {},
        ),
        ([("Bob", "8+bob@users.noreply.github.com"), ("Bob", "x: y\n@corp")], {}),
        *(
            ([("B", "8+bob@users.noreply.github.com"), ("B", f"{odd}@c")], {f"{odd}@c": "bob#8"})
            for odd in ("yes", "0x1F", "1.5", "1e5", "2026-13-45", "1_000", "0o17")
        ),
    ],
)
def test_accounts_are_proposed_only_where_one_member_fits(
    authors: list[tuple[str, str]], proposed: dict[str, str]
) -> None:
    assert propose(authors, MEMBERS, "me", "root") == {**proposed, "me": "root#9"}


def test_the_proposal_is_shown_and_stands_in_the_policy_that_is_to_be_merged(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SETUP) == 0
    account = f"root#{acme.admin.id}"
    assert f"    {getuser()}: {account}\n" in capsys.readouterr().out
    acme.merge()
    policy = parse(acme.repo.file(POLICY) or "")
    assert dict(policy.identities) == {getuser(): account}


def test_an_app_that_needs_one_more_permission_says_which_click_accepts_it(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    acme.repo.private = True
    assert main(SETUP) == 0
    acme.merge()
    policy = acme.repo.file(POLICY) or ""
    policy = policy.replace("    timeout: 7d", "    checks: build\n    timeout: 7d")
    acme.repo.commit("main", {POLICY: policy})
    slug = name_of(Role.DECIDER, "acme/models")
    app = acme.github.apps[slug]
    accept = f"an owner accepts it: Settings, GitHub Apps, Configure beside {slug}, Review request"

    def told() -> str:
        capsys.readouterr()
        assert main(SETUP) == 0
        return capsys.readouterr().out

    lacks = (
        f"Left for you: the decider's App lacks checks: read: give checks: read to its App: {HOW}"
    )
    assert lacks.format(slug=slug) in told()
    assert ("decider", Level.FAULT) in [(name, level) for name, level, _ in acme.ailing()]
    app.permissions = {**app.permissions, "checks": "read"}  # the App asks, and nobody accepted
    assert f"Left for you: the decider's App lacks checks: read: {accept}" in told()
    assert ("decider", Level.FAULT) in [(name, level) for name, level, _ in acme.ailing()]
    (installation,) = app.installations
    installation.permissions = app.permissions
    assert "lacks" not in told()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []


HOW = (
    "Settings, Developer settings, GitHub Apps, {slug}, Permissions & events; then an owner accepts"
)


# -- taking it back --------------------------------------------------------------------------------


def test_what_it_made_is_taken_back_and_the_ledger_stays(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SETUP) == 0
    acme.merge()
    ledger = acme.repo.branch("approvals")
    assert main(["github", "remove", "--dry-run"]) == 0
    assert acme.repo.environments
    capsys.readouterr()
    assert main(["github", "remove", "--yes"]) == 0
    told = capsys.readouterr().out
    acme.merge()
    assert [acme.repo.file(each) for each in (MAIN, SCHEDULE, POLICY)] == [None] * 3
    assert acme.repo.environments == {}
    assert [each.name for each in acme.repo.rulesets] == ["Approval bridge: ledger is kept"]
    assert acme.repo.branch("approvals") == ledger
    decider = name_of(Role.DECIDER, "acme/models")
    assert f"/organizations/acme/settings/apps/{decider}/advanced" in told
    acme.github.forget_requests()
    assert main(["github", "remove", "--yes"]) == 0
    assert acme.writes() == []


def test_what_is_not_merged_yet_is_taken_back_too_and_can_be_made_again(acme: Acme) -> None:
    assert main(SETUP) == 0
    assert main(["github", "remove", "--yes"]) == 0
    assert acme.repo.open_pulls() == []
    app = acme.github.apps.pop(name_of(Role.DECIDER, "acme/models"))
    app.installations.clear()
    assert main(SETUP) == 0
    acme.merge()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []


def test_after_a_removal_the_former_key_still_verifies_what_it_signed(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SETUP) == 0
    acme.merge()
    (former,) = workflow_files.keys_of(acme.repo.file(MAIN) or "")
    assert main(["github", "remove", "--yes"]) == 0
    acme.merge()
    capsys.readouterr()
    app = acme.github.apps.pop(name_of(Role.DECIDER, "acme/models"))
    app.installations.clear()
    assert main(SETUP) == 0
    assert "Add this line to HITL_KEYS" in capsys.readouterr().out
    acme.merge()
    keys = workflow_files.keys_of(acme.repo.file(MAIN) or "")
    assert (len(keys), keys[0]) == (2, former)
    assert acme.signs()


# -- what stands in the way ------------------------------------------------------------------------


def test_a_code_counts_only_with_the_state_of_this_page() -> None:
    manifest = Manifest(Role.DECIDER, "x", {}, "acme/models", "https://github.test", "acme")
    with AppPage(manifest) as shown:
        host = shown.address.removeprefix("http://").strip("/")
        assert shown.answer("/", "evil.test")[0] == 403
        assert shown.answer("/registered?code=theirs&state=guess", host)[0] == 403
        assert shown.answer("/registered?code=theirs", host)[0] == 403
        assert shown.answer(f"/registered?state={shown.state}", host)[0] == 400
        assert shown.code(0) is None
        assert shown.answer(f"/registered?code=ours&state={shown.state}", host)[0] == 200
        assert shown.code(0) == "ours"


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("http://127.0.0.1:1/registered?code=a1b2&state=mine", "a1b2"),
        ("  http://127.0.0.1:1/registered?state=mine&code=a1b2 ", "a1b2"),
        ("a1b2", "a1b2"),
        ("http://127.0.0.1:1/registered?code=a1b2&state=other", None),
        ("http://127.0.0.1:1/registered?code=a1b2", None),
        ("", None),
        ("no code / here", None),
    ],
)
def test_the_code_is_read_from_the_address_that_is_pasted(pasted: str, code: str | None) -> None:
    assert code_in(pasted, "mine") == code


def test_without_a_browser_here_the_address_is_pasted(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pasted(*_: object, **__: object) -> str:
        said = re.findall(r"data:text/html;base64,(\S+)", capsys.readouterr().out)
        return acme.confirm(base64.b64decode(said[-1]).decode())

    def waiting(_: float) -> None:
        for app in acme.github.apps.values():
            if app.owner is acme.repo.owner and not app.installations:
                app.install(acme.repo.owner, [acme.repo])

    monkeypatch.setattr("click.prompt", pasted)
    monkeypatch.setattr("time.sleep", waiting)
    assert main([*SETUP, "--no-browser"]) == 0
    acme.merge()
    assert acme.shown == []
    assert acme.repo.environments["approvals"].secrets == {"HITL_APP_KEY", "HITL_SIGNING_KEY"}


def _named(acme: Acme) -> None:
    """Somebody registers an App by the name that ours will have."""
    slug = name_of(Role.DECIDER, "acme/models")
    acme.github.app(slug, {"contents": "write"}, acme.github.user("mallory"))


def _variable(acme: Acme) -> None:
    """Somebody who can write sets the variable to an App of theirs, which is installed here."""
    app = acme.github.app("helpful", {"contents": "write"}, acme.github.user("mallory"))
    app.install(acme.repo.owner)
    environment = acme.repo.environment("approvals", ["main"], {"HITL_APP_KEY"})
    environment.variables["HITL_APP_ID"] = str(app.id)


@pytest.mark.parametrize("attack", [_named, _variable])
def test_an_app_of_somebody_else_is_never_taken_for_the_decider(
    acme: Acme, attack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(acme)
    assert main([*SETUP, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "register the decider's GitHub App" in told
    assert f'"actor_id": "{DECIDER_ID}"' in told


def _member(acme: Acme) -> None:
    acme.repo.owner.add(acme.admin, "member")  # type: ignore[attr-defined]
    acme.repo.grant(acme.admin, "admin")


def _set(**settings: Any) -> Any:
    def change(acme: Acme) -> None:
        for name, value in settings.items():
            setattr(acme.repo, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set(private=True, paid=False), "a private repository on the Free plan has neither"),
        (_set(archived=True), "acme/models is archived"),
        (_set(actions_enabled=False), "Actions are disabled here"),
        (_set(allowed_actions="local_only"), "only actions of this repository's owner"),
        (_member, "only an owner of acme"),
        (
            lambda acme: acme.repo.environment("approvals", ["main", "dev"]),
            "the environment approvals is open to dev too",
        ),
        (lambda acme: setattr(acme.github, "scopes", "repo"), "lacks the scope workflow"),
        (lambda acme: acme.repo.commit("gate", {"x": "y"}), "the branch gate keeps git from"),
        (
            lambda acme: acme.repo.push(acme.admin, "refs/heads/main", None),
            "acme/models is empty: push a first commit",
        ),
        (
            lambda acme: (
                acme.repo.owner.members.clear(),
                acme.repo.grant(acme.admin, "write"),
            ),
            "you don't administer acme/models",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_first_and_nothing_is_done(
    acme: Acme, change: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(acme)
    assert main(SETUP) == 1
    told = capsys.readouterr().err
    assert says in told
    assert acme.writes() == []
    assert "Traceback" not in told


def test_the_parts_that_are_left_out_are_not_done(acme: Acme) -> None:
    assert main([*SETUP, "--only", "ledger", "--only", "environment"]) == 0
    assert acme.repo.file(RELAY, "refs/heads/approvals") == workflow_files.text(RELAY)
    assert acme.repo.environments["approvals"].branches == ["main"]
    assert (acme.repo.rulesets, acme.repo.pulls, acme.shown) == ([], [], [])


def test_the_action_can_be_the_repositorys_own(
    acme: Acme, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor = ["github", "setup", "--yes", "--vendor"]
    assert main([*vendor, "--dry-run"]) == 0
    assert len(capsys.readouterr().out) < 10_000
    assert main(vendor) == 0
    tip = acme.repo.branch("approval-bridge/action")
    acme.github.forget_requests()
    assert main(vendor) == 0
    assert acme.writes() == []
    acme.merge()
    assert f"uses: acme/models/action@{tip}\n" in (acme.repo.file(MAIN) or "")
    for path in ("action/action.yml", "action/requirements.lock", "LICENSE"):
        assert acme.repo.file(path, tip) == (ROOT / path).read_text()
    assert [name for name, level, _ in acme.ailing() if level is not Level.NOTE] == []


def test_the_action_that_is_put_there_runs_by_itself(tmp_path: Path) -> None:
    for path, text in vendored_action.files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    code = "from bridge.entrypoints import github_action as a; print(a.__file__); a.main({})"
    env = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, *said = done.stdout.splitlines()
    assert first == str(tmp_path / "bridge" / "entrypoints" / "github_action.py")
    assert "no credential: give `app-id` and `app-key`" in "".join(said)


def test_an_action_that_is_not_pinned_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Faults, match="names no commit"):
        action_address("acme/approval-bridge/action@v1", "https://github.com")
    with pytest.raises(BridgeError, match="give --action"):
        action_address(None, "https://github.test")


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (
            '{"url": "https://github.com/acme/approval-bridge.git",'
            f' "vcs_info": {{"vcs": "git", "commit_id": "{"ab" * 20}"}}}}',
            f"acme/approval-bridge/action@{'ab' * 20}",
        ),
        (
            f'{{"url": "https://github.com/acme/bridge/archive/{"ab" * 20}.zip"}}',
            f"acme/bridge/action@{'ab' * 20}",
        ),
        ('{"url": "https://github.com/acme/bridge/archive/main.zip"}', None),
        ('{"url": "https://elsewhere.test/acme/bridge", "vcs_info": {"commit_id": "ab"}}', None),
        ('{"url": "file:///home/ann/bridge", "dir_info": {"editable": true}}', None),
        ("[]", None),
        (None, None),
    ],
)
def test_the_action_is_where_the_release_was_installed_from(
    told: str | None, address: str | None
) -> None:
    assert of_release(told, "https://github.com") == address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            f"Action, https://github.com/acme/bridge/tree/{'ab' * 20}/action",
            f"acme/bridge/action@{'ab' * 20}",
        ),
        ("Action, https://github.com/acme/bridge/tree/main/action", None),
        (f"Action, https://elsewhere.test/acme/bridge/tree/{'ab' * 20}/action", None),
        (f"Homepage, https://github.com/acme/bridge/tree/{'ab' * 20}/action", None),
    ],
)
def test_the_action_is_where_a_published_release_says_it_is(url: str, address: str | None) -> None:
    assert of_project(["Homepage, https://github.com/acme/bridge", url], "https://github.com") == (
        address
    )


# -- the first gate --------------------------------------------------------------------------------


def test_the_first_gate_is_decided_by_the_workflow_that_was_merged(
    acme: Acme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SETUP, "--opener", str(tmp_path / "opener.pem")]) == 0
    acme.merge()
    decides_a_first_gate(acme, tmp_path, capsys.readouterr().out)


def decides_a_first_gate(acme: Acme, folder: Path, told: str) -> None:
    """What `setup --opener opener.pem` told, up to the first decision that a reader believes."""
    opener = re.search(r"HITL_APP_ID=(\d+)", told)
    keys = re.search(r"HITL_KEYS=(.*)", told)
    assert opener
    assert keys
    alice = acme.github.user("alice")
    acme.repo.grant(alice, "maintain")

    # A run that root started asks, with the opener's key.
    ours = {**acme.github.environment(acme.repo), "HITL_CACHE": str(folder / "cache")}
    key = (folder / "opener.pem").read_text()
    asks = {**ours, "HITL_APP_ID": opener[1], "HITL_APP_KEY": key}
    place = desk(from_environment(asks), github_from_environment(asks))
    draft = Draft(
        gate=Gate("https://metadata.test", "Train/7/deploy/12"),
        message="Deploy?",
        facts=started_by(getuser()),
        subject=Subject("Train", "deploy"),
        declared=Declared(),
    )
    _, page = ask(place, draft)
    assert page
    pull = acme.repo.pull(page.number)
    pull.review(acme.admin, "APPROVED")
    pull.review(alice, "APPROVED")

    # The workflow on the default branch looks at it, with what the environment holds.
    (step,) = yaml.safe_load(acme.repo.file(MAIN) or "")["jobs"]["tend"]["steps"]
    environment = acme.repo.environments[ENVIRONMENT]
    held = {**environment.values, **environment.variables}
    given = {
        f"HITL_{name.upper().replace('-', '_')}": re.sub(
            r"\$\{\{ (?:vars|secrets)\.(\w+) \}\}", lambda found: held.get(found[1], ""), text
        )
        for name, text in step["with"].items()
        if name != "number"
    }
    assert action({**ours, **given, "HITL_NUMBER": str(pull.number)}) == 0
    assert pull.state == "closed" or acme.repo.awaits_merge(pull)

    # A reader who has the public key believes the decision, and knows who approved.
    reads = {**ours, "HITL_TOKEN": str(acme.token), "HITL_KEYS": keys[1]}
    ledger = desk(from_environment(reads), github_from_environment(reads)).ledger
    standing = ledger.read(pull.head_ref.removeprefix("gate/"))
    assert standing
    assert standing.decision
    assert standing.decision.outcome == "approved"
    assert "alice" in standing.decision.reason
    assert "root" not in standing.decision.reason
