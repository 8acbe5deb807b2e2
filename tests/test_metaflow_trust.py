"""No code of an artifact runs in the process of a gated step before its approval is found, and
only the bytes that were approved are loaded afterwards.

Metaflow's real processes, on a flow whose artifacts leave a file that names the process.
"""

from __future__ import annotations

import gzip
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.core.evaluation import Outcome as Decided
from bridge.core.model import Standing
from tests.metaflows import Outcome, Project


class Runs:
    """The one project of these tests."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.run_id = ""

    def flow(self, *arguments: str, **env: str) -> Outcome:
        return self.project.flow(
            "unpickled.py", *arguments, LOADED=str(self.project.folder / "loaded"), **env
        )

    def step(self, name: str, task: int, parent: str, **env: str) -> Outcome:
        """A task by hand, as Metaflow starts it."""
        given = ["--run-id", self.run_id, "--task-id", str(task), "--input-paths"]
        return self.flow("step", name, *given, f"{self.run_id}/{parent}", **env)

    def pod(self, task: int, parent: str) -> Outcome:
        """The gated step in a pod, which only verifies."""
        ledger = str(self.project.folder / ".hitl" / "ledger.git")
        return self.step("gated", task, parent, METAFLOW_KUBERNETES_WORKLOAD="1",
                         HITL_LEDGER=ledger, HITL_ENVIRONMENT="test")  # fmt: skip

    def gate(self, task: int) -> Standing:
        found = self.project.gate(f"Unpickled/{self.run_id}/gated/{task}")
        assert found
        return found

    def loaded(self) -> dict[str, set[str]]:
        """The artifacts that were loaded, and the processes that did it."""
        found: dict[str, set[str]] = {}
        for each in self.project.folder.glob("loaded-*"):
            _, name, process = each.name.split("-")
            found.setdefault(name, set()).add(process)
        return found

    def forget(self) -> None:
        for each in self.project.folder.glob("loaded-*"):
            each.unlink()

    def stored(self, task: int, name: str) -> Path:
        """The stored bytes of an artifact of this task of the first step."""
        root = self.project.folder / ".metaflow" / "Unpickled"
        about = root / self.run_id / "start" / str(task) / "0.data.json"
        key = json.loads(about.read_text())["objects"][name]
        return root / "data" / key[:2] / key


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(Project(tmp_path_factory.mktemp("trust"), clouds=False))


@dataclass(frozen=True)
class Unapproved:
    said: str
    loaded: dict[str, set[str]]
    marked: list[Path]


@pytest.fixture(scope="module")
def unapproved(runs: Runs) -> Unapproved:
    """A run on this machine that nobody approves; its message names objects, and its condition
    one that says that it is a number."""
    ended = runs.flow("run", EVIL="shown hidden number frame",
                      MESSAGE="{self.shown}, {self.hidden}", CONDITION="number >= 0",
                      WAIT="1s")  # fmt: skip
    assert ended.code != 0
    runs.run_id = ended.run_id
    return Unapproved(ended.said, runs.loaded(), runs.project.marked())


def test_no_object_is_loaded_where_the_step_would_run_before_an_approval(
    unapproved: Unapproved,
) -> None:
    assert "nobody answered by" in unapproved.said
    assert unapproved.marked == []
    gated = re.search(r"/gated/\d+ \(pid (\d+)\)", unapproved.said)
    assert gated
    # To show them takes loading them, in a process of its own that ends before anybody is asked.
    assert unapproved.loaded.keys() == {"shown", "hidden", "frame"}
    assert not any(gated[1] in processes for processes in unapproved.loaded.values())


def test_what_says_that_it_is_a_number_is_no_number_to_a_condition_or_a_page(
    runs: Runs, unapproved: Unapproved
) -> None:
    assert "number" not in unapproved.loaded
    standing = runs.gate(2)
    (number,) = [each for each in standing.request.artifacts if each.name == "number"]
    assert (number.type, number.is_read) == ("int", False)
    assert standing.decision
    assert standing.decision.outcome is Decided.EXPIRED


@pytest.mark.usefixtures("unapproved")
def test_a_pod_loads_nothing_before_it_has_found_an_approval(runs: Runs) -> None:
    runs.forget()
    before = runs.project.marked()
    for task, says in ((50, "nobody was asked"), (2, "nobody answered by")):
        shut = runs.pod(task, "start/1")
        assert shut.code == 202, shut.said
        assert says in shut.said
    assert runs.loaded() == {}
    assert runs.project.marked() == before


@pytest.mark.usefixtures("unapproved")
def test_what_metaflow_loads_before_any_decorator_runs_no_code(runs: Runs) -> None:
    runs.forget()
    parent = runs.step("start", 60, "_parameters/0", EVIL="_foreach_stack")
    assert parent.code == 0, parent.said
    shut = runs.pod(61, "start/60")
    assert (shut.code, runs.loaded()) == (202, {}), shut.said
    assert "loads an object, which can run code, before its gate is verified" in shut.said


@pytest.mark.usefixtures("unapproved")
def test_an_artifact_whose_stored_bytes_are_replaced_after_the_approval_is_not_loaded(
    runs: Runs,
) -> None:
    parent = runs.step("start", 80, "_parameters/0")
    assert parent.code == 0, parent.said
    approved = runs.step("gated", 81, "start/80", HITL_ENVIRONMENT="test")
    assert approved.code == 0, approved.said
    (mark,) = runs.project.ran("gated")
    digests = {each.name: each.digest for each in runs.gate(81).request.artifacts}
    assert digests.keys() == {"shown", "hidden", "number", "frame"}
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in digests.values())

    stored = runs.stored(80, "hidden")
    honest = stored.read_bytes()
    stored.write_bytes(gzip.compress(pickle.dumps("harmless, and not what was approved")))
    replaced = runs.pod(81, "start/80")
    assert replaced.code == 202
    assert "what was approved is not what is here now (changed: hidden)" in replaced.said
    assert runs.project.ran("gated") == [mark]
    stored.write_bytes(honest)
    assert runs.pod(81, "start/80").code == 0
    assert runs.project.ran("gated") != [mark]


@pytest.mark.usefixtures("unapproved")
def test_an_object_cannot_show_other_values_than_the_artifacts_beside_it_have(runs: Runs) -> None:
    before = runs.project.marked()
    parent = runs.step("start", 90, "_parameters/0", EVIL="liar")
    assert parent.code == 0, parent.said
    shut = runs.step("gated", 91, "start/90", HITL_ENVIRONMENT="test", MESSAGE="{self.shown}")
    shown = {each.name: each.value for each in runs.gate(91).request.artifacts}
    assert shown["number"] == "99"
    assert shut.code == 202
    assert "the page showed other values of: number" in shut.said
    assert runs.project.marked() == before
