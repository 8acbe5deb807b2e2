"""What users of metaflow-hitl declare: each form works, or one sentence says what to write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.core.evaluation import Decider
from bridge.core.model import Standing
from tests.metaflows import Project
from tests.test_notify import Server

FLOW = "declared.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def standing(project: Project, run_id: str) -> Standing:
    found = project.gate(f"{run_id}/gated/2")
    assert found
    return found


def passed(project: Project, flow: str, **env: str) -> tuple[Standing, str]:
    """The gate of a run that passed without a person, and what the run said."""
    run = project.flow(FLOW, "run", FLOW=flow, **env)
    assert run.code == 0, run.said
    return standing(project, f"{flow}/{run.run_id}"), run.said


def refused(project: Project, flow: str, command: str = "check", **env: str) -> str:
    done = project.flow(FLOW, command, FLOW=flow, **env)
    assert done.code != 0
    assert "Traceback" not in done.said
    return done.said


def test_a_message_reads_a_property_of_the_flow_and_the_seeds_command_decides(
    project: Project,
) -> None:
    run = project.start(FLOW, "run", FLOW="Property")
    assert run.stdout
    before = []
    for line in run.stdout:
        before.append(line)
        if found := re.search(r"hitl: (\S+) waits for anyone", line):
            break
    assert sum("`poll_interval`" in line for line in before) == 1
    assert found
    gate = project.gate(found[1])
    assert gate
    assert gate.request.message == "fir at 25% with 3, FIR?"
    given = json.dumps({"n": 3, "dry": True, "where": "here"})
    approved = subprocess.run(
        [sys.executable, "-m", "metaflow_extensions.hitl.plugins.hitl_cli", "approve",
         gate.request.gate.id, "--input", given],
        cwd=project.folder, env=project.env, capture_output=True, text=True,
    )  # fmt: skip
    assert approved.returncode == 0, approved.stderr
    assert approved.stderr == ""
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert "`poll_interval`" not in said
    assert project.ran("end")[0]["given"] == json.loads(given)


def test_a_condition_may_be_a_function_of_artifacts_and_the_environment(project: Project) -> None:
    decision = passed(project, "Function", HITL_ENVIRONMENT="test")[0].decision
    assert decision
    assert decision.by is Decider.CONDITION
    assert decision.condition
    assert decision.condition.text.startswith("lambda accuracy, environment: environment == ")
    assert decision.condition.seen == {"accuracy": 0.5, "environment": "test"}


def test_an_input_whose_fields_have_defaults_goes_with_a_clock_that_approves(
    project: Project,
) -> None:
    decision = passed(project, "Clock")[0].decision
    assert decision
    assert decision.by is Decider.CLOCK
    assert project.ran("end")[0]["given"] == {"n": 2, "notes": ""}


def test_an_input_that_nobody_would_fill_in_is_refused_with_the_way_out(project: Project) -> None:
    said = refused(project, "Owes")
    assert "`on_timeout` 'approve' would approve with nobody to fill in n" in said
    assert "give each a default in `input_schema`, such as 'n': 'int = …'" in said


def test_unknown_attributes_are_refused_beside_every_other_fault(project: Project) -> None:
    said = refused(project, "Unknown")
    assert "unknown key `retries`; use `message`, `approvers`, `timeout`" in said
    assert "unknown key `timeut`; did you mean `timeout`?" in said
    assert "`timeout`: the duration 'x'" in said


def test_braces_that_name_nothing_are_refused_with_the_form_to_write(project: Project) -> None:
    said = refused(project, "Braces")
    written = re.findall(r"write (\{\{ .*? \}\}) \(the message is then a Jinja2 template", said)
    assert sorted(written) == ["{{ '{HOME}' }}", "{{ '{}' }}"]
    escaped = "Copy {{ '{}' }} to ${{ '{HOME}' }}?"
    assert project.flow(FLOW, "check", FLOW="Braces", MESSAGE=escaped).code == 0


def test_a_property_that_fails_shuts_the_gate_in_one_sentence(project: Project) -> None:
    said = refused(project, "Broken", "run")
    assert "the property broken of Broken: it cannot be computed before the step runs" in said


# -- whom to notify ------------------------------------------------------------------------------


def test_a_list_of_addresses_is_notified(project: Project) -> None:
    server = Server()
    try:
        passed(project, "Notified", TO=server.url)
        assert "Approval wanted" in server.next()["title"]
        assert "Approved" in server.next()["title"]
    finally:
        server.close()


def test_a_notifier_that_comes_to_no_address_is_one_line_with_apprises_form(
    project: Project,
) -> None:
    _, said = passed(project, "Notified", TO="smtp")
    line = "notifier 'smtp' notifies nobody: set METAFLOW_HITL_APPRISE_URLS to mailtos://"
    assert said.count(line) == 1
