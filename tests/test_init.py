"""`hitl init`: a repository made ready for gates, twice, and by somebody who changed things."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.core.errors import BridgeError
from bridge.core.remote_url import repository_on
from bridge.gates.audit import audit
from bridge.ledger.git_ledger import GitLedger
from bridge.policy.policy_file import parse
from bridge.setup import workflow_files
from bridge.setup.action_address import action_address
from bridge.setup.checkout import Checkout
from bridge.setup.init import Deed, Filling, for_a_person, init
from bridge.setup.workflow_files import MAIN, POLICY, RELAY, SCHEDULE
from tests.ledgers import decided, git, opened

ACTION = "acme/approval-bridge/action@" + "0123456789" * 4
INIT = ["init", "--action", ACTION]


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "acme" / "models.git"
    path.parent.mkdir()
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
    return path


@pytest.fixture
def checkout(tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with something staged and something not, and the test stands in it."""
    path = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(path)], check=True)
    (path / "flow.py").write_text("one\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "-m", "A flow")
    (path / "flow.py").write_text("two\n")
    git(path, "add", ".")
    (path / "notes").write_text("three\n")
    git(path, "remote", "add", "origin", str(origin))
    monkeypatch.chdir(path)
    return path


def deeds(path: Path, *, overwrite: bool = False, **filling: str) -> dict[str, Deed]:
    said = Filling(filling.get("action"), filling.get("opener"), lambda: ACTION)
    done = init(Checkout(path), said, overwrite=overwrite)
    return {each.path: each.deed for each in done}


def test_a_repository_gets_its_policy_its_workflow_and_its_ledger(checkout: Path) -> None:
    assert set(deeds(checkout).values()) == {Deed.WRITTEN}
    parse((checkout / POLICY).read_text())
    assert (checkout / MAIN).read_text() == workflow_files.workflow(ACTION)
    assert git(checkout, "show", f"approvals:{RELAY}") == workflow_files.text(RELAY).strip()
    assert git(checkout, "log", "--format=%P %s", "approvals") == "The ledger begins"


def test_what_was_not_committed_stays_as_it_was(checkout: Path) -> None:
    before = git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD")
    deeds(checkout)
    status = git(checkout, "status", "--porcelain").replace("\n?? .github/", "")
    assert (status, git(checkout, "rev-parse", "HEAD")) == before
    assert git(checkout, "branch", "--show-current") == "main"


def test_run_twice_it_changes_nothing(checkout: Path) -> None:
    deeds(checkout)
    before = git(checkout, "rev-parse", "approvals"), (checkout / MAIN).stat().st_mtime_ns
    assert not {Deed.WRITTEN, Deed.REPLACED, Deed.FILLED} & set(deeds(checkout).values())
    assert (git(checkout, "rev-parse", "approvals"), (checkout / MAIN).stat().st_mtime_ns) == before


def test_a_clone_finds_the_ledger_that_was_pushed(checkout: Path, tmp_path: Path) -> None:
    assert main([*INIT, "--push"]) == 0
    second = tmp_path / "second"
    subprocess.run(["git", "clone", "--quiet", str(tmp_path / "acme/models.git"), str(second)])
    found = deeds(second)
    assert (found[POLICY], found[RELAY], found["README.md"]) == (
        Deed.WRITTEN,
        Deed.UNCHANGED,
        Deed.KEPT,
    )
    assert git(second, "rev-parse", "approvals") == git(checkout, "rev-parse", "approvals")


def test_a_ledger_without_the_relay_gets_it_upon_its_record(checkout: Path, origin: Path) -> None:
    ledger = GitLedger(str(origin), checkout / "cache")
    standing = decided(ledger)
    head = git(origin, "rev-parse", "approvals")
    assert deeds(checkout)[RELAY] is Deed.WRITTEN
    Checkout(checkout).push_ledger()
    assert git(origin, "rev-parse", "approvals^") == head
    assert not audit(ledger).faults
    assert ledger.read(standing.request.gate.id).decision  # type: ignore[union-attr]


def test_each_branch_of_the_ledger_gets_the_relay(
    checkout: Path, origin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*INIT, "--push"])
    git(origin, "branch", "approvals-2031", "approvals")
    git(origin, "branch", "approvals-old", "approvals")  # which is none of the ledger's
    Checkout(checkout).catch_up()
    Checkout(checkout).add_to_ledger({RELAY: "on: push\n"}, "Mine", "approvals-2031")
    before = git(checkout, "rev-parse", "approvals")
    capsys.readouterr()
    assert main([*INIT, "--overwrite", "--push"]) == 0
    told = capsys.readouterr().out
    assert f"{RELAY} on the branch approvals: {Deed.UNCHANGED}\n" in told
    assert f"{RELAY} on the branch approvals-2031: {Deed.REPLACED}\n" in told
    assert "The ledger is on origin: approvals, approvals-2031." in told
    assert git(origin, "show", f"approvals-2031:{RELAY}") == workflow_files.text(RELAY).strip()
    assert git(origin, "rev-parse", "approvals") == before


def test_the_ledger_it_begins_holds_decisions_and_stands_an_audit(
    checkout: Path, origin: Path
) -> None:
    main([*INIT, "--push"])
    ledger = GitLedger(str(origin), checkout / "cache")
    decided(ledger)
    result = audit(ledger)
    assert (result.decisions, result.faults) == (1, ())
    assert git(origin, "show", f"approvals:{RELAY}") == workflow_files.text(RELAY).strip()


# -- what somebody changed -------------------------------------------------------------------------


def test_a_changed_workflow_is_kept_and_that_is_said(checkout: Path) -> None:
    deeds(checkout)
    changed = (checkout / MAIN).read_text().replace("cancel-in-progress: false", "")
    (checkout / MAIN).write_text(changed)
    assert deeds(checkout)[MAIN] is Deed.CHANGED
    assert (checkout / MAIN).read_text() == changed
    assert deeds(checkout, overwrite=True)[MAIN] is Deed.REPLACED
    assert (checkout / MAIN).read_text() == workflow_files.workflow(ACTION)


def test_a_policy_is_never_written_over(checkout: Path) -> None:
    (checkout / POLICY).parent.mkdir()
    (checkout / POLICY).write_text("gates: mine\n")
    assert deeds(checkout, overwrite=True)[POLICY] is Deed.KEPT
    assert (checkout / POLICY).read_text() == "gates: mine\n"


def test_a_changed_relay_is_kept_until_it_is_to_be_written_over(checkout: Path) -> None:
    deeds(checkout)
    ours = Checkout(checkout)
    ours.add_to_ledger({RELAY: "on: push\n"}, "Mine")
    assert deeds(checkout)[RELAY] is Deed.CHANGED
    assert ours.in_ledger(RELAY) == "on: push"
    assert deeds(checkout, overwrite=True)[RELAY] is Deed.REPLACED
    assert ours.in_ledger(RELAY) == workflow_files.text(RELAY).strip()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("runs-on: ubuntu-latest", "runs-on: [self-hosted, gpu]"),
        ("timeout-minutes: 15", "timeout-minutes: 5"),
        ("action@commit", ACTION),
        ('""', "acme-opener[bot], old-opener[bot]"),
        ("# Written by", "# Changed from what was written by"),
    ],
)
def test_what_is_anybodys_to_set_is_no_change(old: str, new: str) -> None:
    text = workflow_files.text(MAIN)
    assert old in text
    assert workflow_files.is_current(MAIN, text.replace(old, new))


def test_a_schedule_of_ones_own_is_no_change(checkout: Path) -> None:
    deeds(checkout)
    text = (checkout / SCHEDULE).read_text()
    assert text == workflow_files.text(SCHEDULE)
    rarer = text.replace('cron: "17 * * * *"', 'cron: "5 4 * * *"')
    (checkout / SCHEDULE).write_text(rarer)
    assert deeds(checkout, overwrite=True)[SCHEDULE] is Deed.UNCHANGED
    (checkout / SCHEDULE).write_text(text.replace("actions: write", "contents: write"))
    assert deeds(checkout)[SCHEDULE] is Deed.CHANGED
    assert deeds(checkout, overwrite=True)[SCHEDULE] is Deed.REPLACED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environment: approvals", "environment: other"),
        ("permissions: {} # the App", "permissions: write-all # the App"),
        ("issues:", "push:"),
        ("issue_comment:", "pull_request_target:"),
        ("    steps:", "    steps:\n      - run: curl evil"),
    ],
)
def test_what_makes_it_safe_is(old: str, new: str) -> None:
    text = workflow_files.text(MAIN)
    assert old in text
    assert not workflow_files.is_current(MAIN, text.replace(old, new))


def test_another_action_or_opener_is_put_in_and_nothing_else(checkout: Path) -> None:
    deeds(checkout)
    workflow = checkout / MAIN
    workflow.write_text(workflow.read_text().replace("ubuntu-latest", "mine"))
    newer = ACTION.replace("0123", "4567")
    assert deeds(checkout, action=newer, opener="acme-opener")[MAIN] is Deed.FILLED
    assert f"uses: {newer}" in workflow.read_text()
    assert "voices: acme-opener[bot]" in workflow.read_text()
    assert "runs-on: mine" in workflow.read_text()
    assert deeds(checkout)[MAIN] is Deed.UNCHANGED


def test_a_workflow_that_is_written_anew_keeps_its_action_and_its_opener(checkout: Path) -> None:
    deeds(checkout, action=ACTION.replace("0123", "4567"), opener="acme-opener")
    before = (checkout / MAIN).read_text()
    (checkout / MAIN).write_text(before.replace("cancel-in-progress: false", ""))
    assert deeds(checkout, overwrite=True)[MAIN] is Deed.REPLACED
    assert (checkout / MAIN).read_text() == before


@pytest.mark.parametrize(
    "said",
    [
        "ssh-ed25519 AAAA decider",
        "|\n            until=ab ssh-ed25519 AAAA 2026\n            ssh-ed25519 BBBB 2027",
        '"${{ vars.HITL_KEYS }}"',
    ],
)
def test_a_workflow_that_is_written_anew_keeps_its_keys(checkout: Path, said: str) -> None:
    deeds(checkout, action=ACTION)
    before = (checkout / MAIN).read_text().replace("keys: none", f"keys: {said}")
    (checkout / MAIN).write_text(before.replace("cancel-in-progress: false", ""))
    assert deeds(checkout, overwrite=True)[MAIN] is Deed.REPLACED
    assert (checkout / MAIN).read_text() == before


RUNNER = "runs-on:\n      group: gpu\n      labels: [big]"


@pytest.mark.parametrize(
    ("path", "set_to"),
    [
        (MAIN, ("runs-on: ubuntu-latest", RUNNER)),
        (MAIN, ("runs-on: ubuntu-latest", "runs-on: [self-hosted, x64]")),
        (MAIN, ('argo-server: ""', "argo-server: https://argo.acme.example")),
        (MAIN, ("timeout-minutes: 15", "timeout-minutes: 9")),
        (SCHEDULE, ("runs-on: ubuntu-latest", RUNNER)),
        (SCHEDULE, ('- cron: "17 * * * *"', '- cron: "7 * * * *"\n    - cron: "37 * * * *"')),
    ],
)
def test_a_workflow_that_is_written_anew_keeps_its_runner_its_times_and_its_argo_server(
    checkout: Path, path: str, set_to: tuple[str, str]
) -> None:
    deeds(checkout, action=ACTION)
    before = (checkout / path).read_text().replace(*set_to)
    (checkout / path).write_text(before)
    assert deeds(checkout)[path] is Deed.UNCHANGED
    (checkout / path).write_text(before.replace("permissions: {}", "", 1))
    assert deeds(checkout, overwrite=True)[path] is Deed.REPLACED
    assert (checkout / path).read_text() == before


def test_nothing_is_written_if_nobody_says_where_the_action_is(checkout: Path) -> None:
    with pytest.raises(BridgeError, match="give --action"):
        init(Checkout(checkout), Filling(release=lambda: action_address(None, "https://no.test")))
    assert not (checkout / ".github").exists()


# -- what it tells ---------------------------------------------------------------------------------


def test_it_says_what_it_did_how_to_push_and_what_only_a_person_can_set(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/models")  # its remote is a path
    assert main(INIT) == 0
    told = capsys.readouterr().out
    assert f"{RELAY} on the branch approvals: written" in told
    assert "git push origin approvals" in told
    assert "Two GitHub Apps of acme, installed on models alone" in told
    assert "`hitl github setup` does all that is left with one command. By hand:\n 1. Merge" in told
    main([*INIT, "--push"])
    assert "The ledger is on origin: approvals." in capsys.readouterr().out


def test_every_setting_of_a_safe_installation_is_named() -> None:
    told = "\n".join(for_a_person("acme/models"))
    for each in (
        "opener",
        "decider",
        "HITL_APP_KEY",
        "HITL_APP_ID",
        "gate/**/*",
        "force",
        "doctor",
    ):
        assert each in told


@pytest.mark.parametrize(
    ("address", "repository"),
    [
        ("https://github.com/acme/models.git", "acme/models"),
        ("https://github.com/acme/models", "acme/models"),
        ("https://ann:hunter2@GitHub.com/acme/models/", "acme/models"),
        ("git@github.com:acme/models.git", "acme/models"),
        ("git@github.com-work:acme/models.git", "acme/models"),  # a name of one's SSH configuration
        ("work:acme/models", "acme/models"),
        ("ssh://git@ssh.github.com:443/acme/models.git", "acme/models"),
        ("https://[/acme/models", None),
        ("https://github.com/acme", None),
        ("models", None),
        ("/srv/git/acme/models.git", None),
        ("file:///srv/git/acme/models.git", None),
    ],
)
def test_the_repository_is_read_from_the_remotes_address(
    checkout: Path, address: str, repository: str | None
) -> None:
    git(checkout, "remote", "set-url", "origin", address)
    assert Checkout(checkout).repository("https://github.com") == repository


@pytest.mark.parametrize(
    "address",
    [
        "https://gitlab.com/acme/models.git",
        "https://ann:hunter2@gitlab.com/acme/models",
        "git@gitlab.com:acme/models.git",
        "ssh://git@gitlab.com:22/acme/models.git",
        "git@notgithub.com:acme/models.git",
        "git@github.com-evil.test:acme/models.git",
        "https://github.com.evil.test/acme/models",
        "https://github.com-work/acme/models",
    ],
)
def test_a_remote_on_another_server_is_not_taken_for_the_repository_of_that_name(
    address: str,
) -> None:
    with pytest.raises(BridgeError, match=r"the remote is on .*set GITHUB_SERVER_URL") as caught:
        repository_on(address, "https://github.com")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://github.acme.test/acme/models", "ssh://git@github.acme.test:22/acme/models"]
)
def test_a_remote_on_an_enterprise_server_is_its_repository_if_the_server_is_set(
    address: str,
) -> None:
    assert repository_on(address, "https://github.acme.test/") == "acme/models"
    with pytest.raises(BridgeError, match=r"the remote is on github\.acme\.test"):
        repository_on(address, "https://github.com")


def test_init_writes_nothing_for_a_remote_on_another_server(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    git(checkout, "remote", "set-url", "origin", "https://gitlab.com/acme/models.git")
    assert main(INIT) == 1
    assert "the remote is on gitlab.com" in capsys.readouterr().err
    assert not (checkout / ".github").exists()


# -- what can go wrong -----------------------------------------------------------------------------


def test_outside_a_repository_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(INIT) == 1
    assert "is in no git repository" in capsys.readouterr().err


def test_without_a_remote_the_files_are_written_all_the_same(checkout: Path) -> None:
    git(checkout, "remote", "remove", "origin")
    assert set(deeds(checkout).values()) == {Deed.WRITTEN}


def test_a_remote_that_cannot_be_reached_makes_no_second_ledger(checkout: Path) -> None:
    git(checkout, "remote", "set-url", "origin", "/nowhere/acme/models.git")
    with pytest.raises(BridgeError, match="cannot be reached, so it is not known whether"):
        deeds(checkout)
    assert not (checkout / ".github").exists()


def test_two_ledgers_that_went_apart_are_not_joined(
    checkout: Path, origin: Path, tmp_path: Path
) -> None:
    deeds(checkout)
    opened(GitLedger(str(origin), tmp_path / "cache"))
    with pytest.raises(BridgeError, match=r"went apart.*git branch -D approvals"):
        deeds(checkout)


def test_no_credential_of_the_address_is_shown(checkout: Path) -> None:
    git(checkout, "remote", "set-url", "origin", "http://ann:hunter2@127.0.0.1:1/acme/models")
    with pytest.raises(BridgeError) as caught:
        deeds(checkout)
    assert "hunter2" not in str(caught.value)


def test_the_first_policy_stands_also_with_its_examples_taken_in() -> None:
    text = workflow_files.text(POLICY)
    every = re.sub(r"^#(?! )", "", text, flags=re.M)
    whole = re.sub(r"^#(?=  )", "", every, flags=re.M)
    assert [entry.selected.rule for entry in parse(whole).entries] == ["production", "everything"]
    assert parse(whole).identities == {"ann.lee@corp.example": "ann", "argo-trainer": "bob#583231"}
    assert [entry.selected.rule for entry in parse(text).entries] == ["everything"]
