"""The workflow files and the action: what linters and act do not look at is held here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.setup.action_address import EXAMPLE
from bridge.setup.workflow_files import (
    MAIN,
    POLICY,
    RELAY,
    SCHEDULE,
    TRIAL,
    action_of,
    is_current,
    keys_of,
    text,
    with_action,
    with_keys,
    workflow,
    workflow_to_try,
)
from tests.actions import ROOT, USED, example, load, written
from tests.expressions import evaluate

PATHS = (MAIN, RELAY, SCHEDULE)
DECIDING, PASSING, STRIKING = (load(written(path)) for path in PATHS)
MANIFEST = load((ROOT / "action" / "action.yml").read_text())


def job(workflow: dict[str, Any]) -> dict[str, Any]:
    (only,) = workflow["jobs"].values()
    made: dict[str, Any] = only
    return made


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the workflows as `hitl init` writes them, our own, and the action."""
    folder = tmp_path_factory.mktemp("linted")
    (folder / ".github" / "workflows").mkdir(parents=True)
    for path in PATHS:
        (folder / path).write_text(written(path))
    (folder / ".github" / "workflows" / "deploy.yml").write_text(example())
    (folder / ".github" / "workflows" / "by-token.yml").write_text(workflow_to_try(USED))
    (folder / TRIAL).write_text(with_action(text(TRIAL), USED))
    for own in (ROOT / ".github" / "workflows").iterdir():
        (folder / ".github" / "workflows" / own.name).write_text(own.read_text())
    (folder / "action").mkdir()
    (folder / "action" / "action.yml").write_text((ROOT / "action" / "action.yml").read_text())
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def linted(folder: Path, tool: str, *args: str) -> subprocess.CompletedProcess[str]:
    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"  # actionlint looks for shellcheck there
    return subprocess.run(
        [str(tools / tool), *args],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command", [("zizmor", "--offline", "--no-progress", "."), ("actionlint",)]
)
def test_the_linters_find_nothing(repository: Path, command: tuple[str, ...]) -> None:
    done = linted(repository, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_would_find_a_secret_put_into_a_script(repository: Path, tmp_path: Path) -> None:
    bad = written(RELAY).replace('"$BRANCH"', '"${{ github.event.pull_request.title }}"')
    (tmp_path / "bad.yml").write_text(bad)
    done = linted(tmp_path, "zizmor", "--offline", "--no-progress", "bad.yml")
    assert "template-injection" in done.stdout


def test_actionlint_would_find_a_fault_in_a_script(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text(written(RELAY).replace('"$TOKEN"', "$TOKEN"))
    assert "SC2086" in linted(tmp_path, "actionlint", "bad.yml").stdout


def test_the_shell_of_the_action_is_sound() -> None:
    done = linted(ROOT, "shellcheck", "action/install.sh")
    assert done.returncode == 0, done.stdout


# -- who starts what -------------------------------------------------------------------------------


def test_the_relay_hears_what_runs_a_branchs_own_file_and_the_other_what_does_not() -> None:
    assert set(PASSING["on"]) == {"pull_request_review", "pull_request"}
    assert set(DECIDING["on"]) == {
        "issue_comment",
        "issues",
        "workflow_dispatch",
        "repository_dispatch",
    }


def test_the_relay_hears_every_change_of_a_review_and_of_the_pull_request() -> None:
    assert set(PASSING["on"]["pull_request_review"]["types"]) == {
        "submitted",
        "edited",
        "dismissed",
    }
    kinds = set(PASSING["on"]["pull_request"]["types"])
    assert kinds == {"closed", "reopened", "synchronize", "edited"}


def test_edited_and_deleted_comments_are_looked_at_too() -> None:
    assert set(DECIDING["on"]["issue_comment"]["types"]) == {"created", "edited", "deleted"}
    assert "closed" in DECIDING["on"]["issues"]["types"]


def test_the_sweep_is_hourly_and_not_on_the_hour() -> None:
    assert set(STRIKING["on"]) == {"schedule"}
    (at,) = STRIKING["on"]["schedule"]
    assert re.fullmatch(r"[1-9]\d? \* \* \* \*", at["cron"])


@pytest.mark.parametrize("path", PATHS)
def test_pull_request_target_is_not_used(path: str) -> None:
    assert "pull_request_target" not in written(path)


# -- what they may ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [RELAY, SCHEDULE])
def test_what_starts_the_decider_may_start_workflows_and_nothing_else(path: str) -> None:
    workflow = load(written(path))
    assert workflow["permissions"] == {}
    assert job(workflow)["permissions"] == {"actions": "write"}
    assert "environment" not in job(workflow)
    assert "secrets." not in written(path)


def test_the_decider_uses_its_own_key_and_nothing_of_the_runs_token() -> None:
    assert DECIDING["permissions"] == {}
    assert job(DECIDING)["permissions"] == {}
    assert "github.token" not in written(MAIN)


def test_the_deciders_key_comes_from_an_environment() -> None:
    assert job(DECIDING)["environment"] == "approvals"
    assert set(re.findall(r"secrets\.\w+", written(MAIN))) == {
        "secrets.HITL_APP_KEY",
        "secrets.HITL_ARGO_TOKEN",
        "secrets.HITL_SIGNING_KEY",
    }


def test_who_speaks_for_the_bridge_is_said_in_the_file_and_not_in_a_variable() -> None:
    # Whoever may write can set a repository's variables, and would speak for the bridge.
    (step,) = job(DECIDING)["steps"]
    assert step["with"]["voices"] == "approval-opener[bot]"


def test_where_the_token_of_argo_server_goes_is_said_in_the_file_and_not_in_a_variable() -> None:
    (step,) = job(DECIDING)["steps"]
    assert step["with"]["argo-server"] == ""
    assert is_current(MAIN, written(MAIN).replace('argo-server: ""', "argo-server: https://a.b"))


def test_the_keys_are_said_in_the_file_and_may_take_several_lines() -> None:
    (step,) = job(DECIDING)["steps"]
    assert step["with"]["keys"] == "none"
    assert step["with"]["signing-key"] == "${{ secrets.HITL_SIGNING_KEY }}"
    two = "keys: |\n            ssh-ed25519 AAAA now\n            ssh-ed25519 AAAB before"
    assert is_current(MAIN, written(MAIN).replace("keys: none", two))
    assert not is_current(MAIN, written(MAIN).replace("keys: none", f"{two}\n          token: t"))


def test_nothing_is_checked_out_and_no_action_is_used_but_the_bridges() -> None:
    used = [step.get("uses") for each in (PASSING, DECIDING) for step in job(each)["steps"]]
    assert [each for each in used if each] == [USED]
    assert all("uses" not in step for step in MANIFEST["runs"]["steps"])


@pytest.mark.parametrize("path", PATHS)
def test_what_an_event_says_reaches_a_shell_through_its_environment_alone(path: str) -> None:
    for step in job(load(written(path)))["steps"]:
        assert "${{" not in step.get("run", "")
    for step in MANIFEST["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_the_key_is_not_there_while_packages_are_installed() -> None:
    install, run = MANIFEST["runs"]["steps"]
    assert "env" not in install
    assert {"HITL_APP_KEY", "HITL_SIGNING_KEY"} <= run["env"].keys()


# -- one look after the other ----------------------------------------------------------------------


def test_looks_at_one_gate_queue_behind_each_other_and_none_is_cancelled() -> None:
    assert "concurrency" not in DECIDING, "a run that is skipped would push a waiting one out"
    held = job(DECIDING)["concurrency"]
    assert held["cancel-in-progress"] == "false"
    number = job(DECIDING)["steps"][0]["with"]["number"]
    asked = number.removeprefix("${{ ").removesuffix(" }}")
    # A request or a token that is pushed out would be lost.
    own = "(inputs.request || inputs.token) && github.run_id"
    assert held["group"] == f"approvals-${{{{ {own} || {asked} || 'all' }}}}"


def test_a_request_and_its_token_are_in_no_variable_of_a_step_because_those_are_logged() -> None:
    assert set(DECIDING["on"]["workflow_dispatch"]["inputs"]) == {"number", "request", "token"}
    held = job(DECIDING)["concurrency"]["group"]
    for name in ("inputs.token", "inputs.request"):
        assert written(MAIN).count(name) == held.count(name) == 1


@pytest.mark.parametrize("workflow", [PASSING, DECIDING])
def test_a_job_stands_behind_an_if_and_ends_by_itself(workflow: dict[str, Any]) -> None:
    assert "sender.type != 'Bot'" in job(workflow)["if"]
    assert int(job(workflow)["timeout-minutes"]) <= 15


GATE = {"labels": [{"name": "bug"}, {"name": "gate:pending"}]}
OTHER = {"labels": [{"name": "a gate: no"}], "title": '"gate:pending"'}
ANN, BOT = {"type": "User"}, {"type": "Bot"}


@pytest.mark.parametrize(
    ("name", "event", "starts"),
    [
        ("issue_comment", {"issue": GATE, "sender": ANN}, True),
        ("issue_comment", {"issue": GATE, "sender": BOT}, False),
        ("issue_comment", {"issue": OTHER, "sender": ANN}, False),
        ("issues", {"issue": {"labels": []}, "sender": ANN}, False),
        ("issues", {"issue": {"labels": None}, "sender": ANN}, False),
        ("workflow_dispatch", {"sender": BOT}, True),
        ("repository_dispatch", {}, True),
    ],
)
def test_a_comment_on_something_else_and_a_bots_own_start_no_job(
    name: str, event: dict[str, Any], starts: bool
) -> None:
    given = {"github": {"event_name": name, "event": event}}
    assert evaluate(job(DECIDING)["if"], given) is starts


@pytest.mark.parametrize(
    ("head", "sender", "passes"),
    [
        ({"ref": "gate/1", "repo": {"full_name": "acme/models"}}, ANN, True),
        ({"ref": "gate/1", "repo": {"full_name": "acme/models"}}, BOT, False),
        ({"ref": "gate/1", "repo": {"full_name": "mallory/models"}}, ANN, False),
        ({"ref": "gate/1", "repo": None}, ANN, False),  # the fork is gone
        ({"ref": "fix", "repo": {"full_name": "acme/models"}}, ANN, False),
    ],
)
def test_the_relay_passes_on_what_people_do_on_a_gates_own_branch(
    head: dict[str, Any], sender: dict[str, Any], passes: bool
) -> None:
    event = {"sender": sender, "pull_request": {"head": head}}
    given = {"github": {"event": event, "repository": "acme/models"}}
    assert evaluate(job(PASSING)["if"], given) is passes


# -- what is filled in -----------------------------------------------------------------------------


def test_nothing_that_is_written_has_a_placeholder() -> None:
    for each in (written(MAIN), workflow(USED), text(RELAY), text(POLICY)):
        assert not re.search(r"OWNER|REF\b|OPENER", each)
    assert action_of(written(MAIN)) == action_of(workflow(USED)) == USED
    assert "voices: approval-opener[bot]\n" in written(MAIN)
    assert 'voices: ""\n' in workflow(USED)


def test_nothing_that_people_copy_has_a_placeholder_or_an_action_of_no_commit() -> None:
    assert used_in(f"- uses: {EXAMPLE}") == [EXAMPLE]
    named = re.compile(r"\b(?:OWNER|REF)\b|@(?:COMMIT|SHA|TAG|VERSION|REF|main|latest)\b")
    faults = []
    for each in copied():
        said = each.read_text()
        where = str(each.relative_to(ROOT))
        faults += [f"{where}: {word[0]}" for word in named.finditer(said)]
        faults += [f"{where}: {uses}" for uses in used_in(said) if uses != EXAMPLE]
    assert not faults


def copied() -> list[Path]:
    """What people read and copy: not what this project's own jobs use."""
    folders = ("docs", "examples", "templates", "action")
    kinds = {".md", ".yml", ".yaml", ".py", ".j2", ".sh"}
    found = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in kinds]
    assert len(found) > 30
    return [ROOT / "README.md", *found]


def used_in(said: str) -> list[str]:
    return re.findall(r"[\w.-]+/approval-bridge/action@?[\w.-]*", said)


@pytest.mark.parametrize("name", ["requirements", "kubernetes"])
def test_the_actions_locks_have_a_hash_for_everything_and_no_address(name: str) -> None:
    lock = (ROOT / "action" / f"{name}.lock").read_text()
    assert "://" not in lock
    assert len(re.findall(r"(?m)^[\w.-]+==", lock)) == len(
        re.findall(r"(?m)^[\w.-]+==\S+ .*\\$", lock)
    )
    assert all(
        line.startswith(("    --hash=sha256:",)) or "==" in line for line in lock.splitlines()
    )


def test_the_action_installs_nothing_that_a_decision_does_not_need() -> None:
    lock = (ROOT / "action" / "requirements.lock").read_text()
    needless = {"apprise", "click", "metaflow", "flowyml", "pytest"}
    assert not needless & set(re.findall(r"(?m)^([\w.-]+)==", lock))


def test_the_example_proves_the_approval_first_and_deploys_what_the_record_says() -> None:
    deploy = load(example())["jobs"]["deploy"]
    first, *rest = deploy["steps"]
    assert first["with"]["mode"] == "verify"
    assert deploy["permissions"] == {"contents": "read", "actions": "read"}
    assert "github.event.client_payload.gate" in load(example())["run-name"]
    assert all("client_payload" not in str(step) for step in rest)


# -- the page --------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "github.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading: the first cell's code to the other cells."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {cell[0].strip(" `"): [each.strip() for each in cell[1:]] for cell in cells}


def test_the_page_tells_of_every_input_with_its_default_and_of_every_output() -> None:
    told = {
        name: [f"`{given['default']}`" if given["default"] else "", given["description"]]
        for name, given in MANIFEST["inputs"].items()
    }
    assert rows("Inputs") == told
    assert rows("Outputs") == {n: [o["description"]] for n, o in MANIFEST["outputs"].items()}


def test_every_input_reaches_the_bridge_and_every_output_comes_from_it() -> None:
    _, run = MANIFEST["runs"]["steps"]
    assert sorted(run["env"].values()) == sorted(
        f"${{{{ inputs.{n} }}}}" for n in MANIFEST["inputs"]
    )
    for name, output in MANIFEST["outputs"].items():
        assert output["value"] == f"${{{{ steps.bridge.outputs.{name} }}}}"


def test_the_page_names_what_the_workflows_listen_to_and_how_often() -> None:
    assert f"`{STRIKING['on']['schedule'][0]['cron']}`" in PAGE
    for name in ("HITL_APP_KEY", "HITL_APP_ID", job(DECIDING)["environment"]):
        assert name in PAGE


def test_what_the_page_shows_of_a_gate_in_ci_names_inputs_that_there_are() -> None:
    shown = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    steps = [yaml.safe_load(each) for each in shown if "uses:" in each]
    assert len(steps) == 2
    for (step,) in steps:
        assert set(step["with"]) <= set(MANIFEST["inputs"])


def test_the_permissions_that_the_page_shows_are_those_of_the_example() -> None:
    (shown,) = (
        each for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "id-t" in each
    )
    asks = load(example())["jobs"]["ask"]
    assert yaml.safe_load(shown) == {"permissions": asks["permissions"]}
    assert "app-key" not in str(asks)


@pytest.mark.parametrize(
    "said",
    [
        "keys: ssh-ed25519 AAAA decider",
        'keys: "ssh-ed25519 AAAA decider"',
        "keys: |\n            ssh-ed25519 AAAA decider",
        "keys: |-\n              # the first\n              ssh-ed25519 AAAA decider",
        "keys: |\n            until=ab sk-ssh-ed25519@openssh.com AAAA ann",
    ],
)
def test_a_key_is_added_below_those_that_a_workflow_names(said: str) -> None:
    before = written(MAIN).replace("keys: none", said)
    after = with_keys(before, (*keys_of(before), "ssh-ed25519 BBBB next"))
    was, now = (job(load(each))["steps"][0]["with"] for each in (before, after))
    assert now["keys"].split("\n")[:-1] == [*was["keys"].splitlines(), "ssh-ed25519 BBBB next"]
    assert {**now, "keys": was["keys"]} == was
    assert is_current(MAIN, after)


@pytest.mark.parametrize("said", ["none", "${{ vars.HITL_KEYS }}", "|\n            # ssh-x y"])
def test_a_workflow_that_names_no_key_has_none(said: str) -> None:
    assert keys_of(written(MAIN).replace("keys: none", f"keys: {said}")) == ()
