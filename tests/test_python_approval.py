"""`approval()` in plain Python: asked in one process, decided in another."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bridge import approval
from bridge.core.errors import Faults
from bridge.core.evaluation import Decider, Outcome

from .gates import ROOT, TARGET, asked, hitl, hitl_json, running, the_decision

#: Says what came of it: the outcome with the input, or what was raised.
SCRIPT = """\
import json, sys
from bridge import approval
from bridge.core.errors import GateShut

for asked in json.loads(sys.argv[1]):
    try:
        decision = approval(**asked)
        print(json.dumps([decision.outcome, dict(decision.inputs)]), flush=True)
    except (GateShut, KeyboardInterrupt) as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)
"""


def calling(folder: Path, *gates: dict[str, Any]) -> Any:
    """A script that asks for these one after another."""
    return running(folder, SCRIPT, json.dumps([{"approver": "Ann", **each} for each in gates]))


def results(process: subprocess.Popen[str]) -> list[list[Any]]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_the_call_returns_the_decision_and_its_input_from_another_process(
    ledger: Path, tmp_path: Path
) -> None:
    gate = {"name": "ship it", "input_schema": TARGET, "artifacts": {"accuracy": 0.94}}
    with calling(tmp_path, gate) as process:
        found = asked(process)
        assert found.key.startswith("train/")
        assert found.key.endswith("/ship it/1")
        shown = hitl_json("show", found.id, "--json")["request"]
        assert (shown["message"], shown["artifacts"][0]["name"]) == ("Approve ship it?", "accuracy")
        assert hitl("approve", found.id, "-i", "target=staging").returncode == 0
        assert results(process) == [["approved", {"target": "staging", "replicas": 2}]]


def test_a_rejection_is_raised_with_its_reason(ledger: Path, tmp_path: Path) -> None:
    with calling(tmp_path, {"name": "ship"}) as process:
        assert hitl("reject", asked(process).key, "--reason", "too low").returncode == 0
        ((raised, said),) = results(process)
    assert raised == "GateShut"
    assert "rejected by Ann <ann@example.org>: too low" in said


def test_a_deadline_that_passes_is_raised_and_recorded_as_the_clocks(
    ledger: Path, tmp_path: Path
) -> None:
    with calling(tmp_path, {"name": "ship", "timeout_seconds": 1}) as process:
        ((raised, said),) = results(process)
    assert raised == "GateShut"
    assert "nobody answered" in said
    assert (the_decision().outcome, the_decision().by) == (Outcome.EXPIRED, Decider.CLOCK)


def test_the_clock_may_approve_where_that_was_asked_for(ledger: Path, tmp_path: Path) -> None:
    with calling(
        tmp_path, {"name": "ship", "timeout_seconds": 1, "on_timeout": "approve"}
    ) as process:
        assert results(process) == [["approved", {}]]
    assert the_decision().by is Decider.CLOCK


def test_one_name_asked_twice_is_two_gates_and_two_answers(ledger: Path, tmp_path: Path) -> None:
    again = {"name": "ship", "compare": {"run": "nightly-6"}}
    with calling(tmp_path, {"name": "ship"}, again) as process:
        first = asked(process)
        assert hitl("approve", first.id).returncode == 0
        second = asked(process)
        assert second.key == first.key.removesuffix("1") + "2"
        # It is compared with the second one of the last approved run.
        request = hitl_json("show", second.id, "--json")["request"]
        assert request["kind"]["splits"] == ["#2"]
        assert request["against"] == "nightly-6"
        assert hitl("reject", second.id, "--reason", "once is enough").returncode == 0
        assert [result[0] for result in results(process)] == ["approved", "GateShut"]


def test_a_run_that_is_named_finds_its_decision_when_it_is_started_again(
    ledger: Path, tmp_path: Path
) -> None:
    gate = {"name": "ship", "run": "nightly-7", "artifacts": {"accuracy": 0.94}}
    with calling(tmp_path, gate) as process:
        assert asked(process).key == "train/nightly-7/ship/1"
        assert hitl("approve", "train/nightly-7/ship/1").returncode == 0
        assert results(process) == [["approved", {}]]
    with calling(tmp_path, gate) as process:
        assert results(process) == [["approved", {}]]
    with calling(tmp_path, {**gate, "artifacts": {"accuracy": 0.49}}) as process:
        ((raised, said),) = results(process)
    assert raised == "GateShut"
    assert "what was approved is not what is here now (changed: accuracy)" in said


@pytest.mark.parametrize(
    ("signum", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "GateShut")]
)
def test_a_run_that_is_ended_withdraws_its_gate(
    ledger: Path, tmp_path: Path, signum: signal.Signals, raised: str
) -> None:
    with calling(tmp_path, {"name": "ship"}) as process:
        assert process.stderr
        assert "waits for Ann" in process.stderr.readline()  # from here on it holds its signals
        process.send_signal(signum)
        assert results(process)[0][0] == raised
    assert (the_decision().outcome, the_decision().by) == (Outcome.WITHDRAWN, Decider.RUN)


def test_a_script_whose_shell_is_gone_waits_on(ledger: Path, tmp_path: Path) -> None:
    # Like `nohup`: unlike a step, which is nothing without its run, the script is the run.
    (tmp_path / "train.py").write_text(SCRIPT)
    gate = json.dumps([{"name": "ship", "approver": "Ann"}])
    orphan = 'import subprocess, sys; subprocess.Popen([sys.executable, "train.py", sys.argv[1]])'
    with subprocess.Popen(
        [sys.executable, "-c", orphan, gate],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        assert shell.wait() == 0
        assert shell.stdout
        while not (found := hitl_json("list", "--json")):
            time.sleep(0.1)
        assert hitl("approve", found[0]["id"]).returncode == 0
        assert json.loads(shell.stdout.readline()) == ["approved", {}]


def test_a_condition_that_holds_asks_nobody_and_its_values_are_recorded(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITL_ENVIRONMENT", "staging")
    by_words = approval(
        "words", "Ann", auto_approve_if="accuracy >= 0.9", artifacts={"accuracy": 0.94}
    )
    by_function = approval("function", "Ann", auto_approve_if=lambda environment: True)
    for decision, seen in (
        (by_words, {"accuracy": 0.94}),
        (by_function, {"environment": "staging"}),
    ):
        assert (decision.outcome, decision.by) == (Outcome.APPROVED, Decider.CONDITION)
        assert decision.record.condition
        assert decision.record.condition.seen == seen
        assert decision.approvers == ()


def test_every_fault_of_the_arguments_is_told_at_once_and_nobody_is_asked(ledger: Path) -> None:
    with pytest.raises(Faults) as caught:
        approval(
            "a/b",
            [],
            timeout_seconds=-5,
            on_timeout="perhaps",
            input_schema={"x": "strin"},
            auto_approve_if="accuracy ~ 1",
        )
    assert caught.value.subject == "the approval 'a/b'"
    assert [fault.partition("`")[2].partition("`")[0] for fault in caught.value.faults] == [
        "name",
        "approver",
        "timeout_seconds",
        "on_timeout",
        "input_schema",
        "auto_approve_if",
    ]
    assert hitl_json("list", "--json") == []


def test_an_approver_of_none_is_one_sentence(ledger: Path) -> None:
    with pytest.raises(Faults) as caught:
        approval("x", approver=None)  # type: ignore[arg-type] - what a caller without types writes
    assert str(caught.value) == (
        "the approval 'x': `approver` is missing: name a person or a team, or 'anyone'"
    )


def test_anyone_may_decide_what_asks_anyone(ledger: Path, tmp_path: Path) -> None:
    gate = {"name": "ship", "approver": "anyone", "timeout_seconds": 3600.0}
    with calling(tmp_path, gate) as process:
        assert hitl("approve", asked(process).id).returncode == 0
        assert results(process) == [["approved", {}]]


def test_a_value_that_cannot_be_bound_is_refused(ledger: Path) -> None:
    with pytest.raises(Faults, match="a lock cannot be bound"):
        approval("ship", "Ann", artifacts={"lock": threading.Lock()})


# -- docs/flowyml.md -----------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "flowyml.md").read_text(encoding="utf-8")


def test_every_argument_is_documented_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| .* \| ?(.*?) ?\|$", PAGE, re.MULTILINE))
    for name, parameter in inspect.signature(approval).parameters.items():
        default = re.match(r"`(.*?)`", told.pop(name))
        assert bool(default) == (parameter.default is not parameter.empty), name
        if default:
            assert ast.literal_eval(default[1]) == parameter.default
    assert told == {}
