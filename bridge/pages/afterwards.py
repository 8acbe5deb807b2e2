"""What a decided page says of the run: that it goes on, how it ended, or how it asks again.

A page that says nothing of a run's end says that it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.core.digest import digest_of
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import ApprovalRequest, Decision
from bridge.core.sanitize import in_code
from bridge.pages.marker import Part, Seal, seal_of
from bridge.pages.model import Comment, Page, Site, Voices
from bridge.pages.status_comment import newest, untouched
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


_CLAIMS: Final = {
    well: RunEnd(well, f"the run's own side says that it {how}. Nothing proves it.")
    for well, how in ((True, "ended well"), (False, "failed"))
}


def end_claim(request: ApprovalRequest, head: str, *, well: bool) -> str:
    """A comment by which the account that asked says how the run ended: nobody else can know."""
    seal = Seal(Part.END, request.gate.id, digest_of(request), head)
    return f"{_CLAIMS[well].word}\n\n{seal}\n"


def claims_of(page: Page, of: Seal, voices: Voices) -> tuple[Comment, ...]:
    """Such comments about the request that this seal names, oldest first."""
    return tuple(each for each in page.comments if _is_claim(each, of, voices))


def _is_claim(comment: Comment, of: Seal, voices: Voices) -> bool:
    seal = seal_of(comment.body)
    return (
        seal is not None
        and (seal.part, seal.gate_id, seal.digest) == (Part.END, of.gate_id, of.digest)
        and voices.own(comment.author)
        and untouched(comment.edited, voices)
    )


def claimed_end(claims: Sequence[Comment]) -> RunEnd | None:
    """What the newest says. None of its words is repeated."""
    return _CLAIMS[claims[-1].body.startswith(_FINISHED)] if claims else None


def says_end(page: Page, request: ApprovalRequest, voices: Voices, *, well: bool) -> bool:
    """Whether its status comment says that the run ended, or the newest claim how."""
    status = newest(page, voices)
    claims = claims_of(page, Seal(Part.END, request.gate.id, digest_of(request), ""), voices)
    said = claimed_end(claims)
    return (status is not None and has_ended(status)) or (said is not None and said.well == well)


def has_ended(status: Comment) -> bool:
    return any(line.startswith((_FINISHED, _FAILED)) for line in status.body.splitlines())


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
    change = "change what led to the rejection, then " if outcome is Outcome.REJECTED else ""
    ways = [f"`{in_code(each.command, 500)}` {each.what}" for each in asks_again(request)]
    how = f": {', or '.join(ways)}" if ways else ""
    return f"**To ask again,** {change}start a new run{flow}{how}. This run cannot ask again."
