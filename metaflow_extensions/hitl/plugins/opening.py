"""`python flow.py ... hitl open --step NAME ...`: what a notify pod on Argo does before it ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaflow._vendor import click
from metaflow.util import decompress_list

from bridge.core.errors import BridgeError, Faults, NoPolicy
from bridge.core.settings import from_environment

from .guard import EXIT_SHUT
from .hitl_decorator import HitlException

#: Metaflow itself reads more parents than these side by side.
_FEW = 4


def opened(state: Any, arguments: Sequence[str]) -> int:
    """The exit code. 202 if trying again cannot help: Argo's retries leave that alone."""
    try:
        _open.main(list(arguments), prog_name="hitl open", standalone_mode=False, obj=state)
    except click.ClickException as error:
        error.show()
        return EXIT_SHUT
    except HitlException as error:
        click.secho(f"hitl: {error}", err=True)
        return EXIT_SHUT
    except Faults as faults:
        for each in faults.faults:
            click.secho(f"hitl: {faults.subject}: {each}", err=True)
        return EXIT_SHUT
    except BridgeError as error:
        click.secho(f"hitl: the gate could not be opened: {error}", err=True)
        return EXIT_SHUT if isinstance(error, NoPolicy) else error.exit_code
    return 0


@click.command(add_help_option=False)
@click.option("--step", required=True)
@click.option("--run-id", required=True)
@click.option("--task-id", required=True)
@click.option("--input-paths-filename", required=True)
@click.option("--split-index", type=int)
@click.option("--out", required=True)
@click.pass_obj
def _open(
    state: Any,
    step: str,
    run_id: str,
    task_id: str,
    input_paths_filename: str,
    split_index: int | None,
    out: str,
) -> None:
    from bridge.argo.inject import GATE, PAGE
    from bridge.core import log

    from .passing import open_task

    log.turn_on_if_asked(os.environ)
    gate = next(each for each in getattr(state.flow, step).decorators if each.name == "hitl")
    paths = decompress_list(Path(input_paths_filename).read_text(encoding="utf-8").strip(" \n\"'"))
    task = gate.gated_task(
        run_id, task_id, split_index, _parents(state.flow_datastore, run_id, paths)
    )
    opened = open_task(from_environment(os.environ), task, gate.declared)
    standing = opened.standing
    for name, value in ((GATE, standing.request.gate.id), (PAGE, opened.where)):
        (Path(out) / name).write_text(value, encoding="utf-8")
    says = f"waits for a decision (gate {standing.request.gate.id}); {opened.how}"
    if standing.decision:
        says = f"is {standing.decision.outcome}: {standing.decision.reason}"
    click.secho(f"hitl: {task.gate.key} {says}")


def _parents(flow_datastore: Any, run_id: str, paths: Sequence[str]) -> list[Any]:
    from metaflow.datastore.datastore_set import TaskDataStoreSet

    if len(paths) > _FEW:
        found = TaskDataStoreSet(flow_datastore, run_id, pathspecs=paths)
        return list(found)
    return [flow_datastore.get_task_datastore(*path.split("/")[:3]) for path in paths]
