"""`@hitl(on_reject="skip")`: a no in a foreach leaves out one split's body, and the run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.approval import approval_of
from bridge.core.coverage import Found, TaskRun, cover
from bridge.core.errors import GateShut
from bridge.core.evaluation import Outcome as Decided
from bridge.core.model import ApprovalRequest, Kind, OnReject, Standing
from bridge.gates.open_gate import open_gate
from bridge.gates.verify import GateSkipped, verify
from bridge.ledger.git_ledger import GitLedger, create
from bridge.pages.model import Site, Voices
from bridge.pages.page_text import body
from tests.gates import Heard
from tests.ledgers import a_rejection, a_request
from tests.metaflows import Project

from .test_metaflow_fail_closed import waiting


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, clouds=False)


def test_a_rejected_split_of_a_nested_foreach_is_skipped_and_the_others_run(
    project: Project,
) -> None:
    process = project.start("skips.py", "run")
    _, key, _ = waiting(process)
    rejected = project.flow("skips.py", "hitl", "reject", key, "--reason", "too dry")
    assert rejected.code == 0, rejected.said
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert f"{key} is skipped: rejected by " in said
    assert sorted(each["tree"] for each in project.ran("plant")) == ["fir", "oak"]
    (end,) = project.ran("end")
    assert sorted(end["kept"]) == ["fir", "oak"]
    assert [each.endswith("too dry") for each in end["said"]] == [True]
    gate = project.gate(key)
    assert gate
    assert gate.decision
    assert gate.decision.outcome is Decided.REJECTED


def test_only_a_body_of_a_foreach_that_goes_on_to_one_step_can_be_skipped(
    project: Project,
) -> None:
    (project.folder / "wrong.py").write_text(
        "from metaflow import FlowSpec, hitl, step\n\n"
        "class Wrong(FlowSpec):\n"
        '    @hitl(on_reject="skip", keep=True, compare={"rum": 3})\n    @step\n'
        "    def start(self):\n        self.next(self.end)\n\n"
        "    @step\n    def end(self):\n        pass\n\n"
        'if __name__ == "__main__":\n    Wrong()\n'
    )
    made = project.python(str(project.folder / "wrong.py"), "check")
    said, _ = made.communicate(timeout=60)
    assert made.returncode != 0
    assert 'has `on_reject="skip"`, which is for a step inside a foreach' in said
    assert "has `keep=True`, which is for the join of a foreach" in said
    assert "`compare` is {'rum': 3}" in said  # every fault at once


# -- what a no is bound to -------------------------------------------------------------------------


SKIPS = a_request(on_reject=OnReject.SKIP)


@pytest.fixture
def ledger(tmp_path: Path) -> GitLedger:
    create(tmp_path / "ledger.git")
    return GitLedger(str(tmp_path / "ledger.git"), tmp_path / "cache")


def refused(ledger: GitLedger, request: ApprovalRequest) -> None:
    open_gate(ledger, Heard(), request)
    ledger.record(a_rejection(request))


def test_a_no_of_exactly_what_the_step_asks_skips_it(ledger: GitLedger) -> None:
    refused(ledger, SKIPS)
    with pytest.raises(GateSkipped) as skipped:
        verify(ledger, SKIPS.draft)
    assert skipped.value.decision.outcome is Decided.REJECTED
    assert approval_of(Standing(SKIPS, None, "c"), skipped.value.decision).approvers == ()


@pytest.mark.parametrize(
    "now",
    [
        replace(SKIPS, on_reject=OnReject.END),
        replace(SKIPS, message="another"),
        replace(SKIPS, artifacts=()),
    ],
)
def test_a_no_skips_a_step_only_if_it_is_of_exactly_what_the_step_asks(
    ledger: GitLedger, now: ApprovalRequest
) -> None:
    refused(ledger, SKIPS)
    with pytest.raises(GateShut) as shut:
        verify(ledger, now.draft)
    assert not isinstance(shut.value, GateSkipped)


def test_a_no_that_nobody_gave_skips_nothing(ledger: GitLedger) -> None:
    open_gate(ledger, Heard(), SKIPS)
    ledger.record(replace(a_rejection(SKIPS), considered=()))
    with pytest.raises(GateShut, match="does not carry it") as shut:
        verify(ledger, SKIPS.draft)
    assert not isinstance(shut.value, GateSkipped)


def test_a_no_ends_the_run_of_a_step_that_says_nothing_of_it(ledger: GitLedger) -> None:
    refused(ledger, a_request())
    with pytest.raises(GateShut) as shut:
        verify(ledger, SKIPS.draft)
    assert not isinstance(shut.value, GateSkipped)


@pytest.mark.parametrize(
    ("outcome", "skips"),
    [
        (Decided.REJECTED, True),
        (Decided.EXPIRED, True),
        (Decided.WITHDRAWN, False),
        (Decided.APPROVED, False),
        (Decided.PENDING, False),
    ],
)
def test_a_no_and_a_deadline_skip_and_the_end_of_a_run_does_not(
    outcome: Decided, skips: bool
) -> None:
    assert SKIPS.skips(outcome) is skips
    assert not a_request().skips(outcome)


def test_a_split_that_was_skipped_is_no_gap_of_an_audit() -> None:
    task = TaskRun(SKIPS.gate.key, gated=True, ran=True, root="here")
    found = cover(task, [Standing(SKIPS, a_rejection(SKIPS), "c")])
    assert (found.found, found.why) == (
        Found.COVERED,
        "its body was skipped: rejected by Ann <ann@example.org>",
    )
    without = cover(replace(task, gated=False), [Standing(SKIPS, a_rejection(SKIPS), "c")])
    assert without.found is Found.GAP


SITE = Site("acme/models", 1, "https://github.example/acme/models", "main", "c", None, Voices())


def test_a_page_says_what_a_no_does() -> None:
    split = replace(a_request(), kind=Kind("Flow", "gate", splits=("oak",)))
    texts = [body(each, "f" * 40, SITE) for each in (a_request(), split, SKIPS)]
    assert "If you reject it" not in texts[0]
    assert "If you reject it, the whole run ends, with the other splits." in texts[1]
    assert "If you reject it, this step is skipped and the run goes on." in texts[2]
    assert "the request expires and this step is skipped" in texts[2]
