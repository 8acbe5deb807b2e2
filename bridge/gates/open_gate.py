"""Open a gate: put the request in the ledger, then tell people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.core.artifacts import as_recorded
from bridge.core.comparison import last_run
from bridge.core.digest import digest_of
from bridge.core.model import ApprovalRequest, Standing
from bridge.core.picture import Drawn, NotDrawn
from bridge.core.picture import as_recorded as pictures_as_recorded
from bridge.gates.ports import Ledger, Notices
from bridge.policy.narrow import check_policy
from bridge.render.request import request_md


def compared(ledger: Ledger, request: ApprovalRequest, before: Standing | None) -> ApprovalRequest:
    """The request beside the last approved gate of its kind, or of the run that it names. What it
    was compared with when it was asked first stays: a later approval voids nothing."""
    if request.kind is None:
        return request
    asked = (request.kind, request.against)
    if before and (before.request.kind, before.request.against) == asked:
        return replace(request, baseline=before.request.baseline)
    return replace(request, baseline=last_run(request, ledger.baselines(request)))


def placed(ledger: Ledger, request: ApprovalRequest, before: Standing | None) -> ApprovalRequest:
    """The request with the branch that records it: the same if it was asked before."""
    shard = before.request.shard if before else ledger.branch_for(request)
    return replace(request, shard=shard)


def as_asked(
    request: ApprovalRequest,
    before: Standing | None,
    drawn: Sequence[Drawn],
    not_drawn: Sequence[NotDrawn],
) -> ApprovalRequest:
    """The request as it was asked before, if it differs only in what each process makes in its own
    way: a figure that is drawn once more, or a value that cannot be read here. Its votes hold."""
    if before is None:
        return request
    asked = before.request
    same = replace(
        request,
        artifacts=as_recorded(request.artifacts, asked.artifacts),
        pictures=pictures_as_recorded(drawn, not_drawn, asked.pictures),
    )
    return same if digest_of(same) == digest_of(asked) else request


def open_gate(
    ledger: Ledger,
    notices: Notices,
    request: ApprovalRequest,
    drawn: Sequence[Drawn] = (),
    not_drawn: Sequence[NotDrawn] = (),
) -> Standing:
    """The gate as it stands: opening twice finds the first, and a decided one stays decided."""
    with ledger.connected():
        before = ledger.before_opening(request)
        standing = open_after(ledger, request, before, drawn, not_drawn)
    if is_asked_now(standing, before):
        notices.opened(standing.request)
    return standing


def open_after(
    ledger: Ledger,
    request: ApprovalRequest,
    before: Standing | None,
    drawn: Sequence[Drawn] = (),
    not_drawn: Sequence[NotDrawn] = (),
) -> Standing:
    """The same, if you read the gate as it was `before`, and without a notice."""
    check_policy(request.policy, request.schema)
    request = compared(ledger, placed(ledger, request, before), before)
    request = as_asked(request, before, drawn, not_drawn)
    return ledger.open(request, request_md(request), drawn)


def is_asked_now(standing: Standing, before: Standing | None) -> bool:
    """Whether people are asked again: a gate that was found again asks nobody twice."""
    return standing.decision is None and (before is None or before.commit != standing.commit)
