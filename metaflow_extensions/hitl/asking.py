"""What a gate asks, found out in a process of its own.

To show the values of artifacts is to load them, and to load an object is to run its code. The
process that will run the gated step does not do that before an approval is recorded: a child of it
does, says what is asked, and ends. On Argo this child is the notify pod.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bridge.core.converter import plain, read
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition
from bridge.core.model import Draft

Asked = tuple[Draft, Condition | None]


def apart(compute: Callable[[], Asked]) -> Asked:
    """What `compute` returns in a child of this process. Raises the `Faults` that it raises."""
    sys.stdout.flush()
    sys.stderr.flush()
    theirs, ours = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(compute, ours)
    os.close(ours)
    with os.fdopen(theirs, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return _asked(answer)


def _answer(compute: Callable[[], Asked], pipe: int) -> NoReturn:
    """Write what is asked to the pipe, and end this process."""
    try:
        answer = json.dumps(_computed(compute)).encode()
        with os.fdopen(pipe, "wb") as written:
            written.write(answer)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)  # whatever happened: nothing of the step or of Metaflow runs in here


def _computed(compute: Callable[[], Asked]) -> dict[str, Any]:
    try:
        draft, condition = compute()
    except Faults as error:
        return {"subject": error.subject, "faults": list(error.faults)}
    except Exception as error:  # noqa: BLE001 - code of the flow or of an artifact: anything
        said = f"{type(error).__name__}: {error}"
        return {"subject": "the gate", "faults": [f"what it asks cannot be computed ({said})"]}
    return {"draft": plain(draft), "condition": plain(condition)}


def _asked(answer: bytes) -> Asked:
    """The answer of a process in which an artifact's code may have run."""
    try:
        found = json.loads(answer)
        if "faults" in found:
            raise Faults(str(found["subject"]), list(map(str, found["faults"])))
        draft, faults = read(Draft, found["draft"], "draft")
        condition = None
        if found["condition"] is not None:
            condition, more = read(Condition, found["condition"], "condition")
            faults += more
    except (ValueError, KeyError, TypeError):
        draft, faults = None, ["the process that reads its artifacts ended without an answer"]
    if draft is None or faults:
        raise Faults("the gate", faults)
    return draft, condition
