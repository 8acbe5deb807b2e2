"""`hitl ledger coverage`: what ran, and is not in the ledger."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli import main as cli
from bridge.core.coverage import Coverage, Found, TaskRun, cover
from bridge.core.model import Gate, Standing
from bridge.gates.coverage import coverage
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledgers import NOON, a_decision, a_rejection, a_request, decided, opened
from tests.metaflows import FLOWS, Outcome, Project
from tests.test_signed_decisions import BEFORE, Signed

KEY_OF = "Flow/1/gate/3"
RAN = TaskRun(KEY_OF, gated=True, ran=True, root="here", finished_at=NOON + timedelta(hours=1))
REQUEST = a_request(KEY_OF)
APPROVED = Standing(REQUEST, a_decision(REQUEST), "c")
REJECTED = Standing(REQUEST, a_rejection(REQUEST), "c")


def at(origin: str, standing: Standing = APPROVED) -> Standing:
    """The same gate, asked where another datastore is."""
    request = replace(standing.request, gate=Gate(origin, KEY_OF))
    return replace(standing, request=request)


@pytest.mark.parametrize(
    ("task", "standings", "says"),
    [
        (RAN, [], "the ledger has no decision"),
        (RAN, [REJECTED], "the ledger says rejected: rejected by Ann"),
        (RAN, [at("elsewhere")], "in another datastore"),
        (replace(RAN, finished_at=NOON), [APPROVED], "was approved after that"),
        (replace(RAN, gated=False), [APPROVED], "ran without a gate"),
        (replace(RAN, gated=False, cloned_from="Flow/0/gate/3"), [APPROVED], "without a gate"),
        (replace(RAN, gated=None), [], "the code of its run is not known"),
        (replace(RAN, cloned_from="Flow/0/gate/3"), [APPROVED], "in another datastore"),
    ],
)
def test_a_task_that_ran_without_an_earlier_approval_of_its_own_is_a_gap(
    task: TaskRun, standings: Sequence[Standing], says: str
) -> None:
    found = cover(task, standings)
    assert found.found is Found.GAP
    assert says in found.why


@pytest.mark.parametrize(
    ("task", "standings"),
    [
        (RAN, [APPROVED]),
        (RAN, [REJECTED, at("here#uid-of-a-workflow")]),
        (RAN, [at("elsewhere", REJECTED), APPROVED]),
        (replace(RAN, finished_at=None), [APPROVED]),
        (replace(RAN, root=None), [at("elsewhere")]),
        (replace(RAN, gated=None), [APPROVED]),
        (replace(RAN, key="Flow/2/gate/1", cloned_from=KEY_OF), [APPROVED]),
        (replace(RAN, key="Flow/2/gate/1", cloned_from=KEY_OF, gated=False), [APPROVED]),
    ],
)
def test_a_task_is_covered_by_an_approval_of_itself_or_of_the_task_that_it_is_cloned_from(
    task: TaskRun, standings: Sequence[Standing]
) -> None:
    found = cover(task, standings)
    assert (found.found, found.why) == (Found.COVERED, "approved by Ann <ann@example.org>")


@pytest.mark.parametrize("standings", [[], [APPROVED], [REJECTED]])
def test_a_task_that_waits_or_was_stopped_is_no_gap(standings: Sequence[Standing]) -> None:
    assert cover(replace(RAN, ran=False), standings).found is Found.NOT_RUN


def test_a_decision_that_does_not_count_covers_nothing() -> None:
    found = cover(RAN, [], unreadable=True)
    assert found.found is Found.GAP
    assert f"`hitl ledger verify-gate {KEY_OF}`" in found.why


@settings(max_examples=50)
@given(
    st.builds(
        replace,
        st.just(RAN),
        gated=st.sampled_from([True, False, None]),
        root=st.sampled_from([None, "here", "elsewhere"]),
        finished_at=st.sampled_from([None, NOON, NOON + timedelta(hours=1)]),
        cloned_from=st.sampled_from([None, KEY_OF, "Flow/0/gate/3"]),
    ),
    st.lists(st.sampled_from([REJECTED, at("elsewhere", REJECTED)])),
)
def test_nothing_that_ran_is_covered_without_an_approval(
    task: TaskRun, standings: list[Standing]
) -> None:
    assert cover(task, standings).found is Found.GAP


def found_in(ledger: GitLedger, *tasks: TaskRun) -> list[Coverage]:
    return list(coverage(ledger, "Flow", tasks))


def test_a_step_that_no_run_has_is_named(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bridge.wiring.metaflow_tasks", lambda *_: [])
    assert cli.main(["ledger", "coverage", "--flow", "Flow", "--step", "gaet"]) == 0
    assert "no run of Flow in this time has a step gaet: is that its name?" in (
        capsys.readouterr().err
    )


def test_every_task_is_held_against_the_records_of_the_ledger(tmp_path: Path) -> None:
    create(tmp_path / "ledger.git")
    ledger = GitLedger(str(tmp_path / "ledger.git"), tmp_path / "cache")
    approved = decided(ledger, KEY_OF).request
    decided(ledger, "Other/1/gate/5")
    rejected = opened(ledger, "Flow/1/gate/4")
    ledger.record(a_rejection(rejected))

    tasks = [replace(RAN, key=f"Flow/1/gate/{number}") for number in (3, 4, 5)]
    found = found_in(ledger, *tasks)

    assert [each.task for each in found] == tasks
    assert [each.found for each in found] == [Found.COVERED, Found.GAP, Found.GAP]
    assert [each.gate_id for each in found] == [approved.gate.id, rejected.gate.id, None]


def test_an_approval_that_no_known_key_signed_covers_nothing(tmp_path: Path) -> None:
    signed = Signed(tmp_path)
    signed.decide()
    signed.decide("Flow/1/gate/4", by=BEFORE)
    tasks = [replace(RAN, key=f"Flow/1/gate/{number}") for number in (3, 4)]
    good, other = found_in(signed.reader(), *tasks)
    assert good.found is Found.COVERED
    assert (other.found, other.gate_id) == (Found.GAP, None)
    assert "does not count" in other.why


STORED = '''
import os, pickle
from types import SimpleNamespace
from metaflow.datastore import FlowDataStore
from metaflow.plugins.datastores.local_storage import LocalStorage
from metaflow_extensions.hitl.runs import _gates, _has_run

class Bomb:
    def __reduce__(self):
        return print, ("it ran",)

class Artifacts(dict):
    """A run, or a task, as Metaflow's Client gives it."""
    pathspec = "Flow/1/deploy/2"

folder = os.getcwd()
store = FlowDataStore("Flow", None, storage_impl=LocalStorage, ds_root=folder).ca_store
for stored in (Bomb(), "text", {"steps": {"deploy": None}}):
    (saved,) = store.save_blobs([pickle.dumps(stored)])
    about = {"sha": saved.key, "ds_type": "local", "location": f":root:{folder}"}
    artifact = SimpleNamespace(_object=about)
    parameters = Artifacts()
    parameters.task = Artifacts(_graph_info=artifact)
    failed = Artifacts(_exception=artifact)
    print(_gates(Artifacts(_parameters=parameters)), _has_run(failed, {"attempt_ok": "False"}))
print(_gates(Artifacts()), _has_run(Artifacts(), {"attempt_ok": "False"}))
'''


def test_what_a_run_stores_in_place_of_its_graph_runs_nothing_and_every_step_needs_a_gate(
    tmp_path: Path,
) -> None:
    process = Project(tmp_path, clouds=False).python("-c", STORED)
    said, _ = process.communicate(timeout=120)
    assert said.splitlines() == ["None True", "None True", "None True", "None False"]


def test_a_run_is_held_against_the_ledger_and_one_whose_code_lost_its_gate_by_the_steps_name(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, clouds=False)
    gated = project.flow("deploy.py", "run", HITL_ENVIRONMENT="dev").run_id
    resumed = project.flow("deploy.py", "resume", "end").run_id
    again = project.flow("deploy.py", "resume", "end").run_id
    bare = re.sub(r"    @hitl\(.*?\n    \)\n", "", (FLOWS / "deploy.py").read_text(), flags=re.S)
    flow = tmp_path / "deploy.py"
    flow.write_text(bare.replace("given=self.hitl_input", "").replace(" hitl,", ""))
    shutil.copy(FLOWS / "marks.py", tmp_path)
    said, _ = project.python(str(flow), "run").communicate(timeout=120)
    ungated = Outcome(0, said).run_id

    plain = project.flow("deploy.py", "hitl", "ledger", "coverage")
    assert plain.code == 0, plain.said
    assert plain.said.endswith(
        "TrainAndDeploy: 0 gaps, 3 covered, 0 did not run (unverified: HITL_KEYS is not set)\n"
    )
    command = ("hitl", "ledger", "coverage", "--step", "deploy", "--export", "csv")
    by_step = project.flow("deploy.py", *command)
    assert by_step.code == 1, by_step.said
    lines = by_step.said.splitlines()[1:-1]  # Metaflow's own line, and the counts
    rows = list(csv.DictReader(lines))
    assert [(row["found"], row["key"].split("/")[1]) for row in rows] == [
        ("gap", ungated),
        ("covered", again),
        ("covered", resumed),
        ("covered", gated),
    ]
    origin = rows[3]["key"]
    assert [row["cloned_from"] for row in rows] == ["", origin, origin, ""]
    assert len({row["gate"] for row in rows[1:]}) == 1
    later = project.flow("deploy.py", *command, "--since", "2999-01-01")
    assert (later.code, later.said.count("deploy/")) == (0, 0)
