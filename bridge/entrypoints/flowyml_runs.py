"""The runs that FlowyML keeps, for `hitl ledger coverage`: read from its file, without FlowyML.

The person who starts a run can write all of it, so it is a claim, as what Metaflow keeps.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bridge.core.coverage import TaskRun
from bridge.core.errors import BridgeError

#: What the table `runs` has in FlowyML 2.2 (`flowyml.storage.sql.SQLMetadataStore`).
_COLUMNS: Final = frozenset(
    {"run_id", "pipeline_name", "status", "end_time", "metadata", "created_at"}
)
#: Bytes of one run. One with a thousand steps, with their code and their errors, is smaller.
_MOST: Final = 32_000_000
#: Steps of SQLite's machine between two questions whether to go on: a file can be made to loop.
_STEPS, _QUESTIONS = 1_000_000, 2_000
#: The status of a run that goes on, or was killed: FlowyML writes its steps when it ends.
_RUNNING: Final = "running"
#: The origin of every gate of FlowyML.
_ROOT: Final = "flowyml"


@dataclass(frozen=True, slots=True)
class Runs:
    """What the runs of a pipeline ran, newest first, and the runs of which that is not known."""

    tasks: tuple[TaskRun, ...]
    unended: tuple[str, ...]
    unread: tuple[str, ...]


class _UnreadableRun(Exception):
    """Its text says why a run is not what FlowyML writes."""


def marks(gate: str) -> list[str]:
    """Assets that never exist: they make FlowyML's graph put later steps after a gate.

    Two, because FlowyML takes the whole result of a step with a single output for that output, and
    would hand it to the first free parameter of a step that names it.
    """
    return [f"asked:{gate}", f"approved:{gate}"]


def runs(store: Path, flow: str, steps: Collection[str], since: datetime | None) -> Runs:
    """The approvals of each run; with `steps`, the steps of these names, gated or not.

    Raises `BridgeError` if the file is not a store of FlowyML.
    """
    tasks: list[TaskRun] = []
    unended, unread = [], []
    for run_id, status, end_time, text in _rows(store, flow, since):
        run = f"{flow}/{run_id}"
        try:
            found = _steps(text)
            if found is not None:
                tasks += _tasks(run, found, steps, _ended(end_time))
            elif status == _RUNNING:
                unended.append(run)
            else:
                raise _UnreadableRun("it ended, and says nothing of its steps")
        except _UnreadableRun as error:
            unread.append(f"{run}: {error}")
    return Runs(tuple(tasks), tuple(unended), tuple(unread))


def _rows(store: Path, flow: str, since: datetime | None) -> Iterator[tuple[Any, ...]]:
    if not store.is_file():
        raise BridgeError(f"{store} is no file: give FlowyML's metadata.db")
    left = iter(range(_QUESTIONS))
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            base.set_progress_handler(lambda: next(left, None) is None, _STEPS)
            base.text_factory = lambda raw: raw.decode(errors="replace")
            _check(store, base)
            yield from base.execute(
                "SELECT run_id, status, end_time, CASE WHEN length(CAST(metadata AS BLOB)) <= ?"
                " THEN metadata END FROM runs WHERE pipeline_name = ?"
                # One without a time may be of any time.
                " AND (created_at >= ? OR created_at IS NULL)"
                " ORDER BY created_at DESC, rowid DESC",
                # SQLite's CURRENT_TIMESTAMP: in UTC, to the second.
                (_MOST, flow, f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if since else ""),
            )
    except sqlite3.Error as error:
        raise BridgeError(f"{store} cannot be read as FlowyML's metadata store: {error}") from None


def _check(store: Path, base: sqlite3.Connection) -> None:
    """Raises `BridgeError` if a column that is read is not there: a view can say anything."""
    kind = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'"
    if base.execute(kind).fetchone() is None:
        raise BridgeError(f"{store} is no metadata store of FlowyML 2.2: it has no table runs")
    lacks = _COLUMNS - {row[1] for row in base.execute("PRAGMA table_info(runs)")}
    if lacks:
        what = f"its table runs lacks {', '.join(sorted(lacks))}"
        raise BridgeError(f"{store} is no metadata store of FlowyML 2.2: {what}")


def _steps(text: object) -> Mapping[str, Any] | None:
    """What the run says of each of its steps; None if it says nothing yet."""
    if not isinstance(text, str):
        raise _UnreadableRun("what it says is empty, or too long")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _UnreadableRun("what it says is not JSON") from None
    steps = found.get("steps") if isinstance(found, dict) else None
    if steps is not None and not (
        isinstance(steps, dict) and all(_is_step(each) for each in steps.values())
    ):
        raise _UnreadableRun("its steps are not as FlowyML 2.2 writes them")
    return steps


def _is_step(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(each), list) for each in ("inputs", "outputs"))
        and isinstance(found.get("success"), bool)
        and isinstance(found.get("duration"), int | float)
    )


def _tasks(
    run: str, found: Mapping[str, Any], names: Collection[str], ended: datetime | None
) -> Iterator[TaskRun]:
    gates = {name for name, step in found.items() if set(marks(name)) <= _texts(step["outputs"])}
    # Each step is looked at once: a run can be made to have a hundred thousand gates.
    began = {mark for step in found.values() if _has_run(step) for mark in _texts(step["inputs"])}
    for name, step in found.items():
        key = f"{run}/{name}/1"
        if name in gates:
            if not names or name in names:
                # An approval that was refused is a step that failed.
                ran = step["success"] or marks(name)[1] in began
                yield TaskRun(key, True, ran, _ROOT, ended)
        elif name in names:
            needs = _texts(step["inputs"])
            own = [gate for gate in found if gate in gates and marks(gate)[1] in needs]
            for gate in own:
                of_gate = f"{run}/{gate}/1"
                yield TaskRun(key, True, _has_run(step), _ROOT, ended, gate=of_gate)
            if not own:
                yield TaskRun(key, False, _has_run(step), _ROOT, ended)


def _has_run(step: Mapping[str, Any]) -> bool:
    """FlowyML writes neither a time nor an error of a step that it never came to."""
    return bool(step["success"] or step["duration"] or step.get("error"))


def _texts(assets: list[Any]) -> set[str]:
    return {each for each in assets if isinstance(each, str)}


def _ended(text: object) -> datetime | None:
    """FlowyML writes the local time, without a zone: in an hour that comes twice, the later one."""
    try:
        return datetime.fromisoformat(str(text)).replace(fold=1).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
