"""`hitl policy`: what a platform engineer asks of the policy file before anybody relies on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.core.errors import Faults
from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Declared, Gate, Subject
from bridge.core.rules import Actors, Approvals, Group, GroupKind, Policy
from bridge.gates.open_gate import open_gate
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from bridge.policy.describe import in_words
from bridge.policy.policy_file import PATH, parse
from bridge.policy.simulate import belonging, simulate
from bridge.wiring import clock

DOCS = Path(__file__).parents[1] / "docs" / "policy.md"
EXAMPLE = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the policy of the documentation; the test stands in a folder of it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "flows").mkdir()
    (tmp_path / PATH).parent.mkdir()
    (tmp_path / PATH).write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path / "flows")
    return tmp_path


PRODUCTION = ("--flow", "Train", "--step", "deploy", "--environment", "production")


def simulated(*more: str) -> int:
    return main(["policy", "simulate", *PRODUCTION, "--initiator", "ann.lee@corp.example", *more])


def test_a_simulation_holds_if_somebody_whom_the_policy_hears_says_no(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / PATH).write_text(MILD)
    supposed = ("--approver", "ann", "--member", "cat=acme/security")
    assert simulated(*supposed) == 0
    assert simulated(*supposed, "--objector", "dan", "--member", "dan=acme/ops") == 1  # unknown
    assert simulated(*supposed, "--objector", "cat") == 1
    assert "held by cat" in capsys.readouterr().out


# -- validate --------------------------------------------------------------------------------------


def test_a_sound_policy_is_found_from_any_folder_of_its_repository(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "validate"]) == 0
    assert "3 entries, no fault" in capsys.readouterr().out


def test_every_fault_is_told_at_once_with_file_and_line(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = repository / "bad.yml"
    bad.write_text("gates:\n  - name: x\n    requires: {}\n    timeout: soon\nidentity: {}\n")
    assert main(["policy", "validate", str(bad)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{bad}:")[:1] for line in told[:-1]] == ["2", "3", "4", "5"]
    assert "did you mean 'require'?" in told[1]
    assert "did you mean 'identities'?" in told[3]
    assert told[-1] == "4 faults: no gate can be decided"


def test_a_repository_without_a_policy_is_told_how_to_get_one(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / PATH).unlink()
    assert main(["policy", "validate"]) == 1
    assert "`hitl init` writes a first one" in capsys.readouterr().err


def test_a_policy_that_is_no_text_is_no_policy(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / PATH).write_bytes(b"gates: \xff")
    assert main(["policy", "validate"]) == 1
    assert "it is no UTF-8 text" in capsys.readouterr().err


# -- simulate --------------------------------------------------------------------------------------


def test_a_simulation_says_which_entry_covers_a_gate_and_why_the_others_do_not(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated("--approver", "bob") == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("· 'weak models in production'")
    assert told[0].endswith("does not cover it: its flow is Train, not TrainAndDeploy")
    assert told[1].startswith("✓ 'production'")
    assert told[2].startswith("pending: waiting: ")


def test_who_is_in_a_team_may_be_supposed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = ("--approver", "bob", "--approver", "cat", "--member", "bob=acme/ml")
    assert simulated(*two) == 1
    assert "whether cat is in acme/ml" in capsys.readouterr().out
    assert simulated(*two, "--member", "cat=acme/ml") == 0
    assert "approved by bob, cat" in capsys.readouterr().out


def test_whoever_started_the_run_does_not_do(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated("--approver", "ann", "--member", "ann=admin") == 1
    assert "ann, approve: you started this run" in capsys.readouterr().out


def test_without_approvers_it_says_what_is_missing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated() == 1
    assert "0 of 2 approvals from team acme/ml" in capsys.readouterr().out


def test_an_artifact_can_be_supposed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["policy", "simulate", "--flow", "TrainAndDeploy", "--step", "deploy"]
    command += ["--environment", "production", "--initiator", "argo-trainer"]
    main([*command, "--artifact", "accuracy=0.93"])
    assert "accuracy < 0.9 does not hold: accuracy is 0.93" in capsys.readouterr().out
    main([*command, "--artifact", "accuracy=0.89"])
    assert "✓ 'weak models in production'" in capsys.readouterr().out


def test_a_gate_that_the_policy_cannot_place_is_not_approved_by_anybody(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "simulate", "--flow", "A", "--step", "b", "--approver", "ann"]) == 4
    assert "the gate does not say its environment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "at least --flow and --step"),
        (["--gate", "ab", "--flow", "A"], "leave out flow"),
        ([*PRODUCTION, "--artifact", "accuracy"], "is not NAME=VALUE"),
        ([*PRODUCTION, "--member", "ann"], "write it like ann=acme/ml"),
    ],
)
def test_a_gate_that_is_not_described_is_asked_for(
    repository: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["policy", "simulate", *words]) == 2
    assert says in capsys.readouterr().err


def asked(**more: object) -> ApprovalRequest:
    about = Subject("Train", "deploy", "production", artifacts={"accuracy": 0.95})
    changes = {"facts": started_by("ann.lee@corp.example"), "declared": Declared(), **more}
    return ApprovalRequest(
        Gate("here", "Train/7/deploy/12"),
        "Deploy?",
        Policy(Approvals(Actors(anyone=True))),
        clock(),
        subject=about,
        **changes,  # type: ignore[arg-type]
    )


def test_a_gate_that_was_asked_is_simulated_with_all_that_it_says(
    repository: Path, ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = Declared(approvers=("cat",))
    open_gate(GitLedger(str(ledger), repository / "cache"), Silent(), asked(declared=declared))
    suppose = ["--member", "bob=admin", "--member", "cat=admin", "--approver"]
    command = ["policy", "simulate", "--gate", "Train/7/deploy/12", *suppose]
    assert main([*command, "bob"]) == 1
    assert "the flow itself names who approves this: cat" in capsys.readouterr().out
    assert main([*command, "cat"]) == 0


def test_a_condition_approves_in_a_simulation_only_where_the_policy_lets_it() -> None:
    text = "gates:\n  - {name: all, require: {users: bob}, bar: {initiator: false}"
    request = asked(declared=Declared(auto_approve_if="accuracy >= 0.9"))
    allowed = simulate(parse(text + ", auto_approve_if: accuracy >= 0.9, facts: claimed}"), request)
    assert allowed.evaluation.reason == "approved automatically: accuracy >= 0.9"
    assert simulate(parse(text + "}"), request).evaluation.reason.startswith("waiting")


def test_a_request_that_does_not_say_what_it_is_about_cannot_be_simulated() -> None:
    with pytest.raises(Faults, match="does not say what it is about"):
        simulate(parse(EXAMPLE), asked(declared=None))


def test_who_is_in_a_team_is_in_its_organization_and_a_permission_holds_those_beneath_it() -> None:
    assert belonging("ann=acme/ml") == (
        "ann",
        [Group(GroupKind.TEAM, "acme/ml"), Group(GroupKind.ORGANIZATION, "acme")],
    )
    assert [each.name for each in belonging("ann=maintain")[1]] == ["triage", "write", "maintain"]
    assert {each.kind for each in belonging("ann=ml-lead")[1]} == {
        GroupKind.ORGANIZATION,
        GroupKind.ROLE,
    }


# -- explain ---------------------------------------------------------------------------------------


def test_the_policy_in_words(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain"]) == 0
    told = capsys.readouterr().out
    assert "2. production (line 18)" in told
    assert "2 approvals from team acme/ml, or 1 approval from people with admin permission" in told
    assert "24 hours, then it is rejected" in told
    assert "a review that requests changes rejects" in told
    assert "argo-trainer is bob#583231" in told


MILD = """\
gates:
  - name: mild
    require: {users: [ann, bob]}
    bar: {initiator: false, author: false}
    timeout: 2h
    on_timeout: approve
    dismissed_reviews: deciders
    disapprove: {teams: acme/security}
"""


def test_what_is_milder_than_usual_is_said_plainly() -> None:
    told = "\n".join(in_words(parse(MILD)))
    assert "never     bots\n" in told
    assert "2 hours, then the clock approves it" in told
    assert "only people who may decide can cancel an approval" in told
    assert "an objection of team acme/security counts too" in told
