"""The tasks that Metaflow ran, for `hitl ledger coverage`: read by Metaflow's Client."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from metaflow import Flow, Task, namespace
from metaflow.datastore import FlowDataStore
from metaflow.exception import MetaflowException, MetaflowInvalidPathspec, MetaflowNotFound
from metaflow.plugins import DATASTORES

from bridge.core import plain_pickle
from bridge.core.coverage import TaskRun
from bridge.core.errors import BridgeError
from bridge.core.plain_pickle import NotPlain
from metaflow_extensions.hitl.stored_bytes import StoredBytes

#: What a task leaves once it has passed its gate (`hitl_decorator._datum`).
_PASSED = "hitl-decision"


def tasks(flow: str, steps: Collection[str], since: datetime | None) -> Iterator[TaskRun]:
    """The tasks of the gated steps, run by run. With `steps`, those of these steps, gated or not.

    Raises `BridgeError` if Metaflow does not know the flow here, or cannot be read.
    """
    try:
        namespace(None)  # the runs of all users
        for run in Flow(flow):
            if since is None or _utc(run.created_at) >= since:
                yield from _of_run(run, steps)
    except MetaflowNotFound as error:
        raise BridgeError(
            f"Metaflow cannot find every run of {flow} here ({error}): run this in the project's"
            " folder, or with the METAFLOW_* settings of its runs"
        ) from None
    except (MetaflowException, OSError) as error:
        raise BridgeError(f"Metaflow's runs of {flow} cannot be read: {error}") from None


def _of_run(run: Any, steps: Collection[str]) -> Iterator[TaskRun]:
    gates = _gates(run)
    for step in run:
        gated = step.id in gates if gates is not None else None
        if step.id in steps or (not steps and gated is not False):
            for task in step:
                yield _task(task, gated=gated)


def _gates(run: Any) -> Collection[str] | None:
    """The gated steps, as the run's own code says: a person who changes the code changes this too.
    None if it is not known."""
    try:
        graph = _plain(run["_parameters"].task, "_graph_info")
        return {
            name
            for name, node in graph["steps"].items()
            if any(each["name"] == "hitl" for each in node["decorators"])
        }
    except (KeyError, TypeError, AttributeError, NotPlain):  # what a run stores can be anything
        return None


def _task(task: Any, *, gated: bool | None) -> TaskRun:
    key, origin, said = _origin(task)
    root = said.get("ds-root")
    return TaskRun(
        key=task.pathspec,
        gated=gated,
        ran=_has_run(origin, said),
        root=root if root is None or "://" in root else os.path.realpath(root),
        # A task that is stopped at its gate has it too.
        finished_at=_utc(origin["_task_ok"].created_at) if "_task_ok" in origin else None,
        cloned_from=None if key == task.pathspec else key,
    )


def _has_run(task: Any, said: Mapping[str, str]) -> bool:
    """Whether its body began. Only what finished is cloned; what fails leaves its exception."""
    if said.get("attempt_ok") == "True" or not said.keys().isdisjoint((_PASSED, "origin-task-id")):
        return True
    try:
        return "_exception" in task and _plain(task, "_exception") is not None
    except (KeyError, NotPlain):
        return True


def _plain(task: Any, name: str) -> Any:
    """An artifact of plain values. The Client would run whatever a run stored under this name."""
    about = task[name]._object
    kind = {each.TYPE: each for each in DATASTORES}[about["ds_type"]]
    root = about["location"].removeprefix(":root:")
    flow = task.pathspec.partition("/")[0]
    store = FlowDataStore(flow, None, storage_impl=kind, ds_root=root).ca_store
    return plain_pickle.load(StoredBytes(store).load(about["sha"]))


def _origin(task: Any) -> tuple[str, Any, dict[str, str]]:
    """The key, the task and the metadata of what ran: `resume` takes over the results of an earlier
    task, which may have been taken over as well, and may be deleted by now."""
    key, said = task.pathspec, task.metadata_dict
    known = {key}
    while "origin-task-id" in said:
        flow, _, step, _ = task.pathspec.split("/")
        key = f"{flow}/{said['origin-run-id']}/{step}/{said['origin-task-id']}"
        if key in known:
            break
        known.add(key)
        try:
            task = Task(key)
        except (MetaflowNotFound, MetaflowInvalidPathspec):
            break
        said = task.metadata_dict
    return key, task, said


def _utc(at: datetime) -> datetime:
    """Metaflow's Client gives local times without a zone."""
    return at.astimezone(UTC)
