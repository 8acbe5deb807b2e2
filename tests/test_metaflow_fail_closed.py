"""No way past a gate: each test runs a real flow that tries, and looks whether user code ran."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

from bridge.core.evaluation import Outcome as Decided
from tests.metaflows import Outcome, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, clouds=False)


def run(project: Project, flow: str, *arguments: str, **env: str) -> Outcome:
    return project.flow("shut.py", *(arguments or ("run",)), FLOW=flow, **env)


def waiting(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    """The output until a gate waits, its key, and the process of its task."""
    said = ""
    assert process.stdout
    for line in process.stdout:
        said += line
        found = re.search(r"\(pid (\d+)\)\] hitl: (\S+) waits for", line)
        if found:
            return said, found[2], int(found[1])
    raise AssertionError(said)


def nothing_ran(project: Project) -> bool:
    return not project.ran("gated") and not project.ran("after") and not project.ran("end")


@pytest.mark.parametrize("flow", ["CaughtOutside", "CaughtInside"])
def test_a_shut_gate_is_neither_caught_nor_retried(project: Project, flow: str) -> None:
    outcome = run(project, flow, WAIT="1s")
    assert outcome.code != 0
    assert nothing_ran(project)
    assert "nobody answered by" in outcome.said
    assert "(retry)" not in outcome.said
    assert "fallback" not in outcome.said


def test_an_alarm_that_rings_inside_the_gate_passes_nobody(project: Project) -> None:
    process = project.start("shut.py", "run", FLOW="CaughtInside")
    _, _, task = waiting(process)
    os.kill(task, signal.SIGALRM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert nothing_ran(project)
    assert "something failed before its gate was verified (TimeoutException" in said


def test_waiting_for_a_person_is_no_running_time(project: Project) -> None:
    outcome = run(project, "CaughtInside", WAIT="2s", THEN="approve", ALARM="1")
    assert outcome.code == 0, outcome.said
    assert 0 < project.ran("gated")[0]["left"] <= 1


def test_a_failing_hook_of_another_decorator_passes_nobody(project: Project) -> None:
    outcome = run(project, "HookFails", HITL_ENVIRONMENT="test")
    assert outcome.code != 0
    assert nothing_ran(project)
    assert "(RuntimeError: a hook of somebody else)" in outcome.said


def test_a_mutator_that_takes_the_gate_off_does_not_open_it(project: Project) -> None:
    outcome = run(project, "Mutated", HITL_ENVIRONMENT="test")
    assert outcome.code != 0
    assert nothing_ran(project)
    assert "this process has not verified its gate" in outcome.said


def test_a_mutator_can_put_a_gate_on(project: Project) -> None:
    outcome = run(project, "GatedByMutator")
    assert outcome.code != 0
    assert nothing_ran(project)
    assert "nobody answered by" in outcome.said


KEEPS = "with what the earlier steps made"


@pytest.mark.parametrize("flow", ["Heir", "Bare"])
def test_inherited_and_bare_gates_are_gates(project: Project, flow: str) -> None:
    process = project.start("shut.py", "run", FLOW=flow)
    _, key, _ = waiting(process)
    rejected = project.flow("shut.py", "hitl", "reject", key, "--reason", "no", FLOW=flow)
    assert rejected.code == 0, rejected.said
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert nothing_ran(project)
    assert re.search("the run stops, because .* rejected", said)
    run_id = key.split("/")[1]
    resume = rf"to be asked again {KEEPS}: python \S*shut\.py resume --origin-run-id {run_id}\n"
    assert re.search(resume, said)


def test_leaving_the_plugin_out_by_configuration_leaves_the_gate(project: Project) -> None:
    project.configure(METAFLOW_ENABLED_STEP_DECORATOR=["catch", "retry", "timeout"])
    outcome = run(project, "Plain", WAIT="1s")
    assert outcome.code != 0
    assert nothing_ran(project)
    assert "nobody answered by" in outcome.said


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project and the gated task of a run in it that ended well; the task's mark is gone."""
    project = Project(tmp_path_factory.mktemp("passed"), clouds=False)
    first = run(project, "Plain", HITL_ENVIRONMENT="test")
    assert first.code == 0, first.said
    task = project.ran("gated")[0]["key"]
    (project.marks / "gated" / task.rpartition("/")[2]).unlink()
    return project, task


@pytest.mark.parametrize("flag", ["--no-skip-decorators", "--skip-decorators"])
def test_a_gated_step_cannot_be_spun(passed: tuple[Project, str], flag: str) -> None:
    project, task = passed
    refused = run(project, "Plain", "spin", task, flag, HITL_ENVIRONMENT="test")
    assert refused.code != 0
    assert "Spinning steps with @hitl decorator is not supported" in refused.said
    # The command that `spin` starts can be given by hand.
    given = ["--run-id", "5", "--task-id", "6", "--input-paths", f"{task.split('/')[1]}/start/1/0"]
    origin = f"local@{project.folder / '.metaflow'}"
    spin = ["--metadata", "spin", "--datastore", "spin", "spin-step"]
    refused = run(project, "Plain", *spin, "gated",
                  *given, "--orig-flow-datastore", origin, flag)  # fmt: skip
    assert refused.code == 202
    assert "this process has not verified its gate" in refused.said
    assert project.ran("gated") == []


def test_a_step_started_by_hand_stands_before_its_gate(project: Project) -> None:
    first = run(project, "Plain", HITL_ENVIRONMENT="test", AFTER="fails")
    task = project.ran("gated")[0]["key"]
    run_id, _, task_id = task.split("/")[1:]
    (project.marks / "gated" / task_id).unlink()

    def by_hand(number: str, parent: str, **env: str) -> Outcome:
        inputs = f"{run_id}/{parent}"
        given = ["--run-id", run_id, "--task-id", number, "--input-paths", inputs]
        return run(project, "Plain", "step", "gated", *given, WAIT="1s", **env)

    assert first.code != 0
    unasked = by_hand("77", "start/1")
    assert unasked.code == 202
    assert "nobody answered by" in unasked.said
    other_inputs = by_hand(task_id, f"gated/{task_id}")
    assert other_inputs.code == 202
    assert "what was approved is not what is here now" in other_inputs.said
    assert project.ran("gated") == []
    elsewhere = by_hand(task_id, "start/1")
    assert elsewhere.code == 202
    assert "the condition environment == test approved it, and does not hold" in elsewhere.said
    assert project.ran("gated") == []
    assert by_hand(task_id, "start/1", HITL_ENVIRONMENT="test").code == 0


def test_resume_keeps_a_gated_step_that_ran_and_asks_for_one_that_did_not(
    project: Project,
) -> None:
    rejected = run(project, "Plain", WAIT="1s")
    assert nothing_ran(project)
    again = run(project, "Plain", "resume", "--origin-run-id", rejected.run_id, WAIT="1s")
    assert again.code != 0
    assert nothing_ran(project)
    failed = run(project, "Plain", "resume", "--origin-run-id", rejected.run_id,
                 HITL_ENVIRONMENT="test", AFTER="fails")  # fmt: skip
    assert failed.code != 0
    assert len(project.ran("gated")) == 1
    resumed = run(project, "Plain", "resume", "--origin-run-id", failed.run_id, WAIT="1s")
    assert resumed.code == 0, resumed.said  # the step that ran is cloned: nobody is asked again
    assert len(project.ran("gated")) == 1
    from_gate = run(
        project, "Plain", "resume", "gated", "--origin-run-id", failed.run_id, WAIT="1s"
    )
    assert from_gate.code != 0  # to run it once more is a new question
    assert len(project.ran("gated")) == 1


def test_a_ledger_out_of_reach_or_broken_stops_the_run_before_its_first_step(
    project: Project,
) -> None:
    broken = project.folder / "broken.git"
    broken.mkdir()
    for where in (broken, project.folder / "nowhere.git", "https://127.0.0.1:1/ledger.git"):
        outcome = run(project, "CaughtOutside", HITL_LEDGER=str(where), HITL_ENVIRONMENT="test")
        assert outcome.code != 0
        assert not project.marked()
        assert re.search("Approval gate:\n.*the ledger .* cannot be", outcome.said)
        assert "Traceback" not in outcome.said


def test_a_module_that_the_image_cannot_load_is_one_sentence(project: Project) -> None:
    broken = project.folder / "broken"
    broken.mkdir()
    (broken / "jsonschema.py").write_text("raise ImportError('libgcc_s.so.1: cannot open it')")
    path = f"{broken}:{project.env['PYTHONPATH']}"
    outcome = project.flow("deploy.py", "run", PYTHONPATH=path)
    assert outcome.code != 0
    assert "a module of it fails (libgcc_s.so.1: cannot open it)" in outcome.said
    assert "Traceback" not in outcome.said
    assert not project.ran("start")


def test_the_same_run_id_in_another_datastore_is_another_gate(
    project: Project, tmp_path: Path
) -> None:
    def by_hand(root: str, **env: str) -> Outcome:
        stored = ["--datastore-root", str(tmp_path / root)]
        run(project, "Plain", *stored, "init", "--run-id", "1", "--task-id", "0")
        run(project, "Plain", *stored, "step", "start", "--run-id", "1", "--task-id", "1",
            "--input-paths", "1/_parameters/0")  # fmt: skip
        return run(project, "Plain", *stored, "step", "gated", "--run-id", "1", "--task-id", "2",
                   "--input-paths", "1/start/1", WAIT="1s", **env)  # fmt: skip

    assert by_hand("one", HITL_ENVIRONMENT="test").code == 0
    assert by_hand("two").code == 202


def test_a_gate_is_withdrawn_when_the_run_vanishes(project: Project) -> None:
    process = project.start("shut.py", "run", FLOW="Plain")
    _, key, task = waiting(process)
    watched = os.pidfd_open(task)
    process.kill()
    process.communicate()
    ended, _, _ = select.select([watched], [], [], 60)
    os.close(watched)
    assert ended
    gate = project.gate(key)
    assert gate is not None
    assert gate.decision is not None
    assert gate.decision.outcome is Decided.WITHDRAWN
    assert nothing_ran(project)


def test_a_gate_is_withdrawn_when_the_run_fails_elsewhere(project: Project) -> None:
    fifo = project.folder / "fifo"
    os.mkfifo(fifo)
    process = project.start("shut.py", "run", FLOW="Racing", FIFO=str(fifo))
    _, key, _ = waiting(process)
    fifo.open("w").close()  # the other branch fails now
    process.communicate(timeout=60)
    assert process.returncode != 0
    gate = project.gate(key)
    assert gate is not None
    assert gate.decision is not None
    assert gate.decision.outcome is Decided.WITHDRAWN
    assert project.ran("gated") == []
