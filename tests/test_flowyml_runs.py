"""`hitl ledger coverage --flowyml`: what a file says of runs, whoever wrote it.

That FlowyML itself writes it so is in `tests/test_flowyml.py`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.core.coverage import TaskRun
from bridge.core.errors import BridgeError
from bridge.entrypoints import flowyml_runs
from bridge.entrypoints.flowyml_runs import Runs, marks, runs

TABLE = (
    "CREATE TABLE runs (run_id VARCHAR NOT NULL PRIMARY KEY, pipeline_name VARCHAR, status VARCHAR,"
    " start_time VARCHAR, end_time VARCHAR, duration FLOAT, metadata TEXT, project VARCHAR,"
    " created_at VARCHAR DEFAULT CURRENT_TIMESTAMP)"
)


def step(inputs: Any = (), outputs: Any = (), *, ran: bool = True, **said: Any) -> dict[str, Any]:
    """A step as FlowyML keeps it."""
    found = {"success": ran, "duration": 0.1 * ran, "error": None}
    return {**found, "inputs": list(inputs), "outputs": list(outputs), **said}


def behind(*gates: str, **said: Any) -> dict[str, Any]:
    return step([mark for gate in gates for mark in marks(gate)], **said)


def a_gate(name: str = "review", **said: Any) -> dict[str, Any]:
    return step(outputs=marks(name), **said)


def store(tmp_path: Path, *of_runs: Any, table: str = TABLE) -> Path:
    """A file with these runs: r1, r2 and so on, a day apart from 2026-11-01 on."""
    path = tmp_path / "metadata.db"
    with closing(sqlite3.connect(path)) as base:
        base.execute(table)
        for nth, found in enumerate(of_runs, 1):
            text = found if isinstance(found, str | bytes) else json.dumps({"steps": found})
            base.execute(
                "INSERT INTO runs (run_id, pipeline_name, status, metadata, created_at)"
                " VALUES (?, 'shop', 'completed', ?, ?)",
                (f"r{nth}", text, f"2026-11-{nth:02} 12:00:00"),
            )
        base.commit()
    return path


def of(path: Path, *steps: str, since: datetime | None = None) -> Runs:
    return runs(path, "shop", steps, since)


def ran_in(tmp_path: Path, **steps: Any) -> dict[str, bool]:
    """Each approval of a run, and whether the run went past it."""
    return {each.key: each.ran for each in of(store(tmp_path, steps)).tasks}


def test_each_approval_of_a_run_is_listed(tmp_path: Path) -> None:
    found = ran_in(tmp_path, train=step(), review=a_gate(), last=a_gate("last", ran=False))
    assert found == {"shop/r1/review/1": True, "shop/r1/last/1": False}


@pytest.mark.parametrize(
    "later", [{}, {"ran": False, "duration": 0.1}, {"ran": False, "error": "OSError: disk"}]
)
def test_an_approval_that_failed_was_passed_if_a_step_behind_it_began(
    tmp_path: Path, later: dict[str, Any]
) -> None:
    refused = a_gate(ran=False, duration=2.0, error="review/1 does not run: rejected")
    found = ran_in(tmp_path, review=refused, deploy=behind("review", **later))
    assert found == {"shop/r1/review/1": True}


def test_a_refused_approval_and_what_never_began_behind_it_did_not_run(tmp_path: Path) -> None:
    refused = a_gate(ran=False, duration=2.0, error="review/1 does not run: rejected")
    found = ran_in(tmp_path, review=refused, deploy=behind("review", ran=False))
    assert found == {"shop/r1/review/1": False}


def test_a_named_step_needs_each_approval_in_front_of_it(tmp_path: Path) -> None:
    both = {"a": a_gate("a"), "b": a_gate("b"), "deploy": behind("a", "b")}
    tasks = of(store(tmp_path, both, {"deploy": step()}), "deploy").tasks
    assert [(each.key, each.gated, each.gate_key) for each in tasks] == [
        ("shop/r2/deploy/1", False, "shop/r2/deploy/1"),
        ("shop/r1/deploy/1", True, "shop/r1/a/1"),
        ("shop/r1/deploy/1", True, "shop/r1/b/1"),
    ]


def test_only_runs_of_this_pipeline_from_this_time_on_are_listed(tmp_path: Path) -> None:
    path = store(tmp_path, {"review": a_gate()}, {"review": a_gate()})
    since = datetime(2026, 11, 2, tzinfo=UTC)
    assert [each.key for each in of(path, since=since).tasks] == ["shop/r2/review/1"]
    assert runs(path, "other", (), None) == Runs((), (), ())


def test_a_run_without_a_time_is_listed_whatever_the_time(tmp_path: Path) -> None:
    path = store(tmp_path, {"review": a_gate()})
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE runs SET created_at = NULL")
        base.commit()
    for since in (None, datetime(2026, 11, 2, tzinfo=UTC)):
        assert [each.key for each in of(path, since=since).tasks] == ["shop/r1/review/1"]


def test_a_run_of_many_approvals_takes_one_look_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def texts(assets: list[Any]) -> set[str]:
        looked.append(len(assets))
        return set(assets)

    monkeypatch.setattr(flowyml_runs, "_texts", texts)
    steps = {f"s{nth}": a_gate(f"s{nth}") for nth in range(20)}
    steps |= {f"t{nth}": behind(f"s{nth}") for nth in range(20)}
    assert len(of(store(tmp_path, steps)).tasks) == 20
    assert len(looked) <= 2 * len(steps)


@pytest.mark.parametrize(
    "said",
    [
        "{",
        "[" * 100_000,
        "7",
        "{}",
        '{"steps": []}',
        '{"steps": {"review": 7}}',
        b"\xff",
        json.dumps({"steps": {"review": {**a_gate(), "outputs": "approved:review"}}}),
        json.dumps({"steps": {"review": {**a_gate(), "success": 1}}}),
        " " * 5_000,
    ],
)
def test_one_run_that_cannot_be_read_is_named_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | bytes
) -> None:
    if said != "[" * 100_000:
        monkeypatch.setattr(flowyml_runs, "_MOST", 4_000)
    found = of(store(tmp_path, {"review": a_gate()}, said))
    assert found.tasks == (TaskRun("shop/r1/review/1", True, True, "flowyml"),)
    assert [each.partition(":")[0] for each in found.unread] == ["shop/r2"]


def a_loop(tmp_path: Path) -> Path:
    path = store(tmp_path, table="CREATE TABLE other (run_id)")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"CREATE VIEW runs AS {endless}")
    return path


def no_database(tmp_path: Path) -> Path:
    (tmp_path / "metadata.db").write_bytes(b"no database at all, and of some length" * 9)
    return tmp_path / "metadata.db"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path / "no.db", "is no file: give FlowyML's metadata.db"),
        (no_database, "cannot be read as FlowyML's metadata store: file is not a database"),
        (a_loop, "is no metadata store of FlowyML 2.2: it has no table runs"),
        (lambda path: store(path, table="CREATE TABLE other (a)"), "it has no table runs"),
        (
            lambda path: store(path, table="CREATE TABLE runs (run_id, metadata, status)"),
            "its table runs lacks created_at, end_time, pipeline_name",
        ),
    ],
)
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    with pytest.raises(BridgeError, match=says):
        of(make(tmp_path))


def test_a_file_that_takes_too_long_to_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flowyml_runs, "_STEPS", 1)
    monkeypatch.setattr(flowyml_runs, "_QUESTIONS", 1)
    with pytest.raises(BridgeError, match="cannot be read as FlowyML's metadata store"):
        of(store(tmp_path, {"review": a_gate()}))
