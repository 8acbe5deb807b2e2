"""How a run asks again whose gate was rejected, or was decided by nobody. Values in, text out."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

from bridge.core.facts import About
from bridge.core.model import ApprovalRequest

#: A name that every shell and every program takes for a name: it comes from the request.
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,200}", re.ASCII)
_REF: Final = re.compile(r"refs/(?:heads|tags)/([A-Za-z0-9_][\w./-]{0,200})", re.ASCII)
#: What opens gates in one process, of which nobody knows how it was called.
_SCRIPTS: Final = ("python", "flowyml")


@dataclass(frozen=True, slots=True)
class Again:
    """A command that asks again. `what` says in words what it keeps of the run before."""

    command: str
    what: str


def asks_again(request: ApprovalRequest) -> tuple[Again, ...]:
    """The commands that start a new run of the same, ready to copy; none if they are not known.

    The run itself cannot ask again: started once more, it finds its decision.
    """
    if request.workflow:
        named = (request.workflow.namespace, request.workflow.name)
        if all(map(_NAME.fullmatch, named)):
            return (_again("with the same parameters", "argo", "resubmit", "-n", *named),)
        return ()
    if file := workflow_file(request):
        return _of_actions(request, file)
    parts = request.gate.key.split("/")
    if request.gate.origin in _SCRIPTS or len(parts) != 4 or not all(map(_NAME.fullmatch, parts)):
        return ()
    resume = ("python", "flow.py", "resume", "--origin-run-id", parts[1])
    return (
        _again("with what the earlier steps made", *resume),
        _again("from the start", "python", "flow.py", "run"),
    )


def workflow_file(request: ApprovalRequest) -> str | None:
    """The workflow's file, if a job of GitHub Actions asked."""
    file = request.gate.key.split("/")[0]
    of_job = request.gate.origin.endswith("/actions") and request.workflow is None
    return file if of_job and _NAME.fullmatch(file) else None


def _of_actions(request: ApprovalRequest, file: str) -> tuple[Again, ...]:
    """A command starts only what a person may start by hand; a push starts the others."""
    event, ref = request.fact(About.EVENT), request.fact(About.REF)
    branch = _REF.fullmatch(ref.value) if ref else None
    if event is None or event.value != "workflow_dispatch" or branch is None:
        return ()
    return (_again("from the same branch", "gh", "workflow", "run", file, "--ref", branch[1]),)


def _again(what: str, *words: str) -> Again:
    return Again(shlex.join(words), what)
