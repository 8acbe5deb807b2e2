"""Deliver: bring a recorded decision to the one node that waits for it, and to no other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.argo.compressed_nodes import UnreadableWorkflow
from bridge.argo.nodes import classify, lost, passed, run_of
from bridge.core.delivery import Delivery, Move, Resumption, Workflow
from bridge.core.errors import NothingToDeliver
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.gates.ports import Cluster

#: Each is a new look at what stands there: the controller writes a running workflow often.
_LOOKS = 3


def deliver(cluster: Cluster, standing: Standing, now: datetime) -> Resumption:
    """Move the gate's node as the record says; what was moved already is left as it is.

    Raises `NothingToDeliver` if nothing is recorded, or no workflow of Argo waits.
    """
    request, decision = standing.request, standing.decision
    if request.workflow is None:
        raise NothingToDeliver(
            f"{request.gate.key} waits in no workflow of Argo: its step reads the ledger itself"
        )
    if decision is None:
        raise NothingToDeliver(f"{request.gate.key} is not decided yet, so nothing is delivered")
    for _ in range(_LOOKS):
        try:
            found = _moved(cluster, request.workflow, standing, decision, now)
        except UnreadableWorkflow as error:
            place = f"{request.workflow.namespace}/{request.workflow.name}"
            return Resumption(Delivery.UNREADABLE, f"the workflow {place} is unreadable: {error}")
        if found.delivery is not Delivery.CONFLICT:
            return found
    return found


def _moved(
    cluster: Cluster, named: Workflow, standing: Standing, decision: Decision, now: datetime
) -> Resumption:
    gate = standing.request.gate.id
    workflow = cluster.workflow(named)
    if _elsewhere(cluster, named, workflow):
        return Resumption(Delivery.ELSEWHERE, _says_elsewhere(cluster, named))
    found = classify(workflow, named, gate)
    if workflow is None or found.delivery is not Delivery.WAITING or found.node is None:
        return found
    phase, says = _phase(standing.request, decision), f"{decision.reason} @{standing.commit[:12]}"
    move = Move(found.node, gate, phase, decision.outcome, says, now)
    if not cluster.move(named, workflow, move):
        return Resumption(
            Delivery.CONFLICT,
            f"{named.namespace}/{named.name} changed in between, or refused the write,"
            f" each of {_LOOKS} times: nothing was delivered, try again",
        )
    # The deadline may have overtaken us: what the controller kept is what is said.
    after = classify(cluster.workflow(named), named, gate)
    if (after.phase, after.message) != (phase, says):
        return after
    place = f"{named.namespace}/{named.name}"
    return Resumption(
        Delivery.RESUMED, f"the node {found.node} of {place} is {phase} now", *_of(after)
    )


def _phase(request: ApprovalRequest, decision: Decision) -> str:
    goes_on = decision.outcome is Outcome.APPROVED or request.skips(decision.outcome)
    return "Succeeded" if goes_on else "Failed"


def amiss(found: Resumption, standing: Standing) -> str | None:
    """What people should know of a delivery; None if the node bears the decision, as it should.

    A person or the deadline may have moved the node first. The record is what holds: the step
    reads it, and not the node.
    """
    if found.delivery in (Delivery.RESUMED, Delivery.ELSEWHERE) or standing.decision is None:
        return None
    decision = standing.decision
    # Of the commit that stands behind it each deliverer names the one that it read.
    phase = _phase(standing.request, decision)
    ours = found.phase == phase and found.message.startswith(f"{decision.reason} @")
    return None if found.delivery is Delivery.ALREADY and ours else found.says


def over(cluster: Cluster, request: ApprovalRequest) -> tuple[str | None, str | None]:
    """Why the gate can't wait any more, if its run or its node ended; else a step that failed in
    the run already, if any.

    Raises `ClusterUnavailable`, also if the workflow object is unreadable.
    """
    if request.workflow is None:
        return None, None
    workflow = cluster.workflow(request.workflow)
    if _elsewhere(cluster, request.workflow, workflow):
        return None, None
    says = passed(workflow, request.workflow, request.gate.id)
    return says, lost(workflow) if workflow and not says else None


def surely_over(cluster: Cluster, request: ApprovalRequest) -> str | None:
    """The same of a cluster that happens to be set: one without a name need not be the run's."""
    says, _ = over(cluster, request)
    named = request.workflow
    if says and named and not cluster.name and cluster.workflow(named) is None:
        return None
    return says


def _elsewhere(cluster: Cluster, named: Workflow, workflow: Mapping[str, Any] | None) -> bool:
    """Whether this is not the cluster to say that the run is gone."""
    absent = workflow is None or run_of(workflow).named.uid != named.uid
    return absent and named.cluster != cluster.name


def _says_elsewhere(cluster: Cluster, named: Workflow) -> str:
    asked = f"the cluster {named.cluster}" if named.cluster else "a cluster without a name"
    here = f"this is {cluster.name}" if cluster.name else "this one has no name (HITL_CLUSTER)"
    return f"{named.namespace}/{named.name} is not here: it was started in {asked}, and {here}"


def _of(found: Resumption) -> tuple[str | None, str | None, str]:
    return found.node, found.phase, found.message
