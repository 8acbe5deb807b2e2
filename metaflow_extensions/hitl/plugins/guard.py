"""What keeps a gated step shut in every process that has not verified its gate.

Metaflow has ways to run a step's function without its decorators' hooks (`spin`, a mutator that
removes the decorator). So the function itself asks here, and a gate that is not verified leaves by
`SystemExit`: no decorator can catch that.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

#: Metaflow neither retries nor catches a task that leaves with this code.
EXIT_SHUT = 202

#: Names a file of the process of `run`, to which a task says why its gate stayed shut.
NOTES = "HITL_METAFLOW_NOTES"

StepFunction = Callable[..., Any]

#: Set by Metaflow, and by AWS Batch, in the containers that they start.
_POD_SIGNS = ("METAFLOW_KUBERNETES_WORKLOAD", "AWS_BATCH_JOB_ID")

_verified: set[str] = set()


def in_pod() -> bool:
    """Whether this process is a container's, which only verifies: others opened, others wait."""
    return any(sign in os.environ for sign in _POD_SIGNS)


def has_verified(key: str | None) -> bool:
    return key in _verified


def mark_verified(key: str) -> None:
    """From now on this process may run the task `Flow/run/step/task`."""
    _verified.add(key)


def shut(reason: str) -> NoReturn:
    """End this process, telling why."""
    # If the run is gone, its end of the pipe is too; nothing may keep us from leaving.
    with contextlib.suppress(OSError):
        print(f"hitl: {reason}", file=sys.stderr, flush=True)
    notes = os.environ.get(NOTES)
    if notes:
        with contextlib.suppress(OSError), Path(notes).open("a", encoding="utf-8") as file:
            file.write(f"{reason}\n")
    sys.exit(EXIT_SHUT)


def say_stopped(reasons: Sequence[str], run_id: str) -> None:
    """At the end of the run: why its gates stayed shut, and how it asks again."""
    for reason in reasons:
        print(f"hitl: the run stops, because {reason.strip()}", file=sys.stderr)
    if reasons:
        again = shlex.join(["python", sys.argv[0], "resume", "--origin-run-id", run_id])
        keeps = "with what the earlier steps made"
        print(f"hitl: to be asked again {keeps}: {again}", file=sys.stderr, flush=True)


def guarded(function: StepFunction) -> StepFunction:
    """The step's function, which runs only if this process has verified its gate."""

    def step(flow: Any, *inputs: Any) -> Any:
        return _verified_only(function)(flow, *inputs)

    functools.update_wrapper(step, function)
    # Metaflow's graph and its linter read a step's file from the code object; in a traceback our
    # frame then points at the line of the user's decorator.
    code = function.__code__
    step.__code__ = step.__code__.replace(
        co_filename=code.co_filename, co_firstlineno=max(code.co_firstlineno - 1, 1)
    )
    return step


def _verified_only(function: StepFunction) -> StepFunction:
    from metaflow import current

    if not has_verified(current.pathspec):
        shut(
            f"{current.pathspec or function.__name__} does not run: this process has not verified"
            " its gate, for something left @hitl out; start a gated step with `run` or `resume`"
        )
    return function


@contextmanager
def alarm_held() -> Iterator[None]:
    """Waiting for a person is no running time: `@timeout`'s alarm stands still meanwhile."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)
