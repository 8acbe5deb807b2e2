"""What a decided page says of the run: that it goes on, how it ended, or how it asks again.

A page that says nothing of a run's end says that it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import ApprovalRequest, Decision
from bridge.core.sanitize import in_code
from bridge.pages.model import Comment, Site
from bridge.render.run_again import asks_again, workflow_file

RESUMED: Final = "**Resumed:** "
_FINISHED, _FAILED = "**Finished:** ", "**Failed:** "
#: How GitHub Actions concludes a run that did what it should.
_WELL: Final = ("success", "neutral", "skipped")


def word_delivered(request: ApprovalRequest, outcome: Outcome) -> str:
    """The same however often it is delivered."""
    workflow = request.workflow
    if workflow is None:
        return ""
    run = in_code(f"{workflow.namespace}/{workflow.name}", 200)
    if outcome is Outcome.APPROVED or request.skips(outcome):
        return f"{RESUMED}the workflow `{run}` goes on."
    return f"**Delivered:** the gate's step in the workflow `{run}` failed with this reason."


def word_started(request: ApprovalRequest, site: Site) -> str:
    """Of a job of GitHub Actions, which ended when it had asked."""
    file = workflow_file(request)
    if file is None:
        return ""
    return f"{RESUMED}GitHub Actions starts {_runs(file, site)} for the commit that asked."


def _runs(file: str, site: Site) -> str:
    return f"[`{file}`]({site.url}/actions/workflows/{file})"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """`says` is Markdown of this module's own."""

    well: bool
    says: str

    @property
    def word(self) -> str:
        return f"{_FINISHED if self.well else _FAILED}{self.says}"


def workflow_end(request: ApprovalRequest, phase: str) -> RunEnd | None:
    """Of a workflow of Argo that ended in this phase."""
    workflow = request.workflow
    if workflow is None:
        return None
    run = in_code(f"{workflow.namespace}/{workflow.name}", 200)
    return RunEnd(phase == "Succeeded", f"the workflow `{run}` ended as `{in_code(phase, 40)}`.")


def actions_end(number: int, conclusion: str, site: Site) -> RunEnd:
    """Of the run of GitHub Actions that the approval started."""
    run = f"[run {number}]({site.url}/actions/runs/{number})"
    return RunEnd(
        conclusion in _WELL, f"{run} of GitHub Actions ended as `{in_code(conclusion, 40)}`."
    )


def awaited(status: Comment) -> bool:
    """Whether this status comment says that a run was resumed, and not yet how it ended."""
    # No text of others begins a line there.
    return any(line.startswith(RESUMED) for line in status.body.splitlines())


def what_now(request: ApprovalRequest, decision: Decision, site: Site) -> str:
    """A run that was refused finds its decision each time: only a new one asks again."""
    outcome = decision.outcome
    if outcome is Outcome.APPROVED or decision.by is Decider.RUN:
        return ""
    if request.skips(outcome):
        return "**The run goes on** without this step's body."
    flow = f" of `{in_code(request.subject.flow, 200)}`" if request.subject else ""
    if file := workflow_file(request):
        flow = f" of {_runs(file, site)}"
    change = "change what the reason above names, then " if outcome is Outcome.REJECTED else ""
    ways = [f"`{in_code(each.command, 500)}` {each.what}" for each in asks_again(request)]
    how = f": {', or '.join(ways)}" if ways else ""
    return f"**To ask again,** {change}start a new run{flow}{how}. This run cannot ask again."
