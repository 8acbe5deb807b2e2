"""A gate on every shape of step, in one real run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.evaluation import Decider
from tests.metaflows import Outcome, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(Path(tmp_path_factory.mktemp("shapes")) / "a b é", clouds=False)


@pytest.fixture(scope="module")
def run(project: Project) -> Outcome:
    outcome = project.flow("shapes.py", "run", HITL_ENVIRONMENT="test")
    assert outcome.code == 0, outcome.said
    return outcome


SHAPES = {
    "start": ["Start fir of the forest?"],
    "first": ["First: 90.0%, fir?"],
    "second": ["Second in a row, 0.9?"],
    "left": ["Left?"],
    "joined": ["Join 1 and 2 of fir?"],
    "fork": ["Fork?"],
    "part": ["Part 0 is oak?", "Part 1 is elm?"],
    "ring": ["Ring 1?", "Ring 2?", "Ring 3?"],
    "ring_after": ["After ring 1: 10?", "After ring 2: 20?", "After ring 3: 30?"],
    "parts_joined": ["Widths 20 and 30?"],
    "choice": ["Choose taken?"],
    "taken": ["Taken?"],
    "loop": ["Round 0?", "Round 1?"],
    "end": ["End after 2?"],
}


@pytest.mark.parametrize("step", SHAPES)
def test_each_task_of_a_gated_step_is_asked_for_by_itself(
    project: Project, run: Outcome, step: str
) -> None:
    assert sorted(project.asked(step)) == SHAPES[step]


def test_a_branch_that_is_not_taken_is_not_asked_for(project: Project, run: Outcome) -> None:
    assert project.ran("left_out") == []
    assert "left_out" not in run.said


def test_a_condition_is_recorded_as_what_approved(project: Project, run: Outcome) -> None:
    gate = project.gate(project.ran("first")[0]["key"])
    assert gate is not None
    assert gate.decision is not None
    assert gate.decision.by is Decider.CONDITION
    assert gate.decision.condition is not None
    assert gate.decision.condition.seen == {"environment": "test"}
    assert gate.request.initiator == "ann"


def test_the_input_is_there_even_where_nobody_gave_one(project: Project, run: Outcome) -> None:
    assert project.ran("end")[0]["given"] == {}


def test_the_branches_of_a_join_are_told_apart(project: Project, run: Outcome) -> None:
    gate = project.gate(project.ran("joined")[0]["key"])
    assert gate is not None
    names = {each.name: each.value for each in gate.request.artifacts}
    assert names["left.score"] == "1"
    assert names["right.score"] == "2"
    assert names["model"] == "fir"  # the same in both: shown once


def test_the_tasks_of_a_foreach_join_are_told_apart_by_their_index(
    project: Project, run: Outcome
) -> None:
    gate = project.gate(project.ran("parts_joined")[0]["key"])
    assert gate is not None
    names = {each.name: each.value for each in gate.request.artifacts}
    assert names["rings_joined[0].width"] == "20"
    assert names["rings_joined[1].width"] == "30"


@pytest.mark.parametrize(
    ("step", "splits"),
    [
        ("fork", [()]),
        ("part", [("elm",), ("oak",)]),
        ("ring", [("elm", "3"), ("oak", "1"), ("oak", "2")]),
        ("ring_after", [("elm", "3"), ("oak", "1"), ("oak", "2")]),
        ("parts_joined", [()]),
    ],
)
def test_a_split_of_a_foreach_is_compared_with_that_of_the_same_items(
    project: Project, run: Outcome, step: str, splits: list[tuple[str, ...]]
) -> None:
    gates = [project.gate(each["key"]) for each in project.ran(step)]
    assert sorted(gate.request.kind.splits for gate in gates if gate and gate.request.kind) == (
        splits
    )


def test_a_split_of_a_foreach_shows_its_own_item(project: Project, run: Outcome) -> None:
    gates = [project.gate(each["key"]) for each in project.ran("part")]
    shown = [{a.name: a for a in gate.request.artifacts} for gate in gates if gate]
    assert {each["input"].value for each in shown} == {"oak", "elm"}
    assert shown[0]["input"].digest != shown[1]["input"].digest
