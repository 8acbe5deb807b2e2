"""An approval step in a real FlowyML pipeline: what comes after it waits, whatever it reads."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import flowyml
import pytest

from bridge.core.errors import Faults, GateShut
from bridge.core.evaluation import Decider, Outcome
from bridge.entrypoints.flowyml import approval

from .gates import ROOT, asked, hitl, running, the_decision

#: With a gate in Python's words. Every step leaves a line in the file `ran`; `announce` reads
#: nothing of what goes before it.
PIPELINE = """\
import json, sys
from flowyml import Pipeline, step
from bridge.entrypoints.flowyml import approval

def ran(name, **saw):
    print(json.dumps([name, saw]), file=open("ran", "a"))

@step(outputs=["model"])
def train():
    ran("train")
    return {"accuracy": 0.94}

@step(inputs=["model"], outputs=["checked"])
def check(model):
    ran("check")
    return True

@step(inputs=["approved"], outputs=["deployed"])
def deploy(approved):
    ran("deploy", approved=approved)
    return True

@step(outputs=["announced"])
def announce():
    ran("announce")
    return True

@step(inputs=["answer"])
def report(answer):
    ran("report", answer=answer)

gate = approval(**{"name": "review", "approver": "Ann", "inputs": ["model"],
                   "outputs": ["approved", "answer"], **eval(sys.argv[1])})
pipeline = Pipeline("shop", enable_cache=False)
for each in (train, check, gate, deploy, announce, report):
    pipeline.add_step(each)
result = pipeline.run(auto_start_ui=False)
print("ERROR", json.dumps(str(result.step_results["review"].error)))
sys.exit(0 if result.success else 1)
"""


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and why the gate failed: FlowyML's own table cuts that."""
    said = process.communicate(timeout=60)[0]
    return process.returncode, said.rpartition("ERROR ")[2]


def ran(folder: Path) -> dict[str, Any]:
    return dict(json.loads(line) for line in (folder / "ran").read_text().splitlines())


def test_every_later_step_waits_and_gets_what_was_approved_and_the_input(
    ledger: Path, tmp_path: Path
) -> None:
    with running(tmp_path, PIPELINE, "{'input_schema': {'target': 'str'}}") as process:
        gate = asked(process)
        assert gate.key.startswith("shop/")
        assert gate.key.endswith("/review/1")
        assert hitl("approve", gate.id).returncode == 2, "without its input it stays open"
        assert set(ran(tmp_path)) == {"train", "check"}
        assert hitl("approve", gate.id, "-i", "target=staging").returncode == 0
        code, said = ended(process)
    assert code == 0, said
    found = ran(tmp_path)
    assert set(found) == {"train", "check", "deploy", "announce", "report"}
    assert found["deploy"] == {"approved": {"accuracy": 0.94}}
    assert found["report"] == {"answer": {"target": "staging"}}


def test_after_a_rejection_no_later_step_runs_and_the_reason_is_told(
    ledger: Path, tmp_path: Path
) -> None:
    with running(tmp_path, PIPELINE, "{}") as process:
        assert hitl("reject", asked(process).id, "--reason", "too low").returncode == 0
        code, said = ended(process)
    assert code == 1
    assert "review/1 does not run: rejected by Ann <ann@example.org>: too low" in said
    assert set(ran(tmp_path)) == {"train", "check"}


def test_a_gate_that_nobody_answers_in_time_is_rejected_by_the_clock(
    ledger: Path, tmp_path: Path
) -> None:
    with running(tmp_path, PIPELINE, "{'timeout_seconds': 1}") as process:
        code, said = ended(process)
    assert code == 1
    assert "nobody answered" in said
    decision = the_decision()
    assert (decision.outcome, decision.by) == (Outcome.EXPIRED, Decider.CLOCK)
    assert set(ran(tmp_path)) == {"train", "check"}


def test_a_condition_that_holds_approves_and_what_it_saw_is_recorded(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITL_ENVIRONMENT", "staging")
    condition = "{'auto_approve_if': lambda environment: environment == 'staging'}"
    with running(tmp_path, PIPELINE, condition) as process:
        code, said = ended(process)
    assert code == 0, said
    decision = the_decision()
    assert (decision.outcome, decision.by) == (Outcome.APPROVED, Decider.CONDITION)
    assert decision.condition
    assert decision.condition.seen == {"environment": "staging"}
    assert set(ran(tmp_path)) == {"train", "check", "deploy", "announce", "report"}


def test_each_run_is_asked_with_a_message_of_its_own_values(ledger: Path, tmp_path: Path) -> None:
    gate = "{'message': 'At {self.model[accuracy]:.0%}?', 'auto_approve_if': lambda model: False}"
    keys = []
    for _ in range(2):
        with running(tmp_path, PIPELINE, gate) as process:
            found = asked(process)
            assert found.headline == "At 94%?"
            assert hitl("approve", found.id).returncode == 0
            assert ended(process)[0] == 0
        keys.append(found.key)
    assert keys[0] != keys[1]


def test_the_example_of_the_documentation_runs(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "flowyml.md").read_text(encoding="utf-8")
    monkeypatch.setenv("HITL_ENVIRONMENT", "staging")
    with running(tmp_path, re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1]) as process:
        said = process.communicate(timeout=60)[0]
    assert "✅ deploy" in said  # what a step prints, FlowyML keeps to itself
    assert the_decision().by is Decider.CONDITION


def test_what_a_gate_is_declared_with_is_checked_when_it_is_declared() -> None:
    with pytest.raises(Faults) as caught:
        approval("", (), timeout_seconds=-1, on_timeout="perhaps")
    assert len(caught.value.faults) == 4
    with pytest.raises(Faults, match="acuracy"):
        approval(approver="Ann", inputs=["accuracy"], message="{self.acuracy}")
    with pytest.raises(Faults, match="reads ctx, which does not exist"):
        approval(approver="Ann", inputs=["accuracy"], auto_approve_if=lambda ctx: True)


@pytest.mark.parametrize("said", [{}, {"approver": None}])
def test_an_approver_left_out_or_none_is_one_sentence(said: dict[str, Any]) -> None:
    with pytest.raises(Faults) as caught:
        approval("review", **said)
    assert caught.value.faults == ("`approver` is missing: name a person or a team, or 'anyone'",)


def test_a_step_is_flowymls_own_kind_and_says_what_it_was_made_with() -> None:
    step = approval("review", "ml-team", timeout_seconds=3600.0)
    assert isinstance(step, flowyml.ApprovalStep)
    assert (step.approver, step.timeout_seconds, step.auto_approve_if) == ("ml-team", 3600.0, None)
    assert step.spec.timeout == 3600
    with pytest.raises(GateShut, match="review does not run"):
        step()  # FlowyML's own would read an answer from stdin


def test_a_step_that_no_pipeline_announced_does_not_run(ledger: Path) -> None:
    with pytest.raises(GateShut, match="review does not run"):
        approval("review", "Ann").func()
