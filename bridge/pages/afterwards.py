"""What a decided page says of the run: that it goes on, or how it asks again."""

from __future__ import annotations

from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import ApprovalRequest, Decision
from bridge.core.sanitize import in_code
from bridge.pages.model import Site
from bridge.render.run_again import asks_again, workflow_file


def word_delivered(request: ApprovalRequest, outcome: Outcome) -> str:
    """The same however often it is delivered."""
    workflow = request.workflow
    if workflow is None:
        return ""
    run = in_code(f"{workflow.namespace}/{workflow.name}", 200)
    if outcome is Outcome.APPROVED or request.skips(outcome):
        return f"**Resumed:** the workflow `{run}` goes on."
    return f"**Delivered:** the gate's step in the workflow `{run}` failed with this reason."


def word_started(request: ApprovalRequest, site: Site) -> str:
    """Of a job of GitHub Actions, which ended when it had asked."""
    file = workflow_file(request)
    if file is None:
        return ""
    return f"**Resumed:** GitHub Actions starts {_runs(file, site)} for the commit that asked."


def _runs(file: str, site: Site) -> str:
    return f"[`{file}`]({site.url}/actions/workflows/{file})"


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
