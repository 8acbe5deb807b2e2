"""Delivery on a real Argo: the cluster that KUBECONFIG names, with its workflow controller.

The workflows need no pod: what stands behind the gate is a suspended node too, of a second.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.argo.argo_server import ArgoServer
from bridge.argo.inject import GATE, LABEL, PAGE
from bridge.argo.kubernetes import Kubernetes
from bridge.argo.nodes import nodes_of
from bridge.argo.templates import suspend
from bridge.core.delivery import Delivery, Workflow
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.core.rules import OnTimeout
from bridge.gates.deliver import amiss, deliver, over
from bridge.gates.ports import Cluster
from bridge.wiring import clock
from tests.ledgers import a_decision, a_rejection, a_request

pytestmark = pytest.mark.argo_real

WORKFLOWS = ("argoproj.io", "v1alpha1", os.environ.get("HITL_TEST_NAMESPACE", "argo"), "workflows")
SECONDS = 60
#: Read before a test is given a clean environment.
SERVER = os.environ.get("HITL_ARGO_SERVER", "")
TOKEN = os.environ.get("HITL_ARGO_TOKEN", "")


def test_a_cluster_with_argo_is_named() -> None:
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG to a cluster with Argo Workflows in it"


class Run:
    """One workflow with gates in it, as the controller has it."""

    def __init__(self, gates: int = 1, timeout: int | None = None) -> None:
        from kubernetes import client, config

        config.load_config(config_file=os.environ["KUBECONFIG"])
        self.api = client.CustomObjectsApi()
        self.name = f"gates-{uuid.uuid4().hex[:8]}"
        keys = [f"Flow/argo-{self.name}/deploy{number}/1" for number in range(gates)]
        self.requests = [a_request(key) for key in keys]
        if timeout is not None:
            policy = replace(self.requests[0].policy, timeout=timeout, on_timeout=OnTimeout.REJECT)
            self.requests = [replace(each, policy=policy) for each in self.requests]
        made = self.api.create_namespaced_custom_object(*WORKFLOWS, self.manifest())
        self.named = Workflow(WORKFLOWS[2], self.name, made["metadata"]["uid"])
        self.requests = [replace(each, workflow=self.named) for each in self.requests]

    def manifest(self) -> dict[str, Any]:
        templates, tasks = [], []
        for number, request in enumerate(self.requests):
            template = suspend(f"deploy{number}", request.policy)
            duration = template["suspend"].get("duration")
            if duration and request.policy.timeout == 1:
                template["suspend"]["duration"] = "1"  # nobody waits for the grace here
            templates.append(template)
            handed = {GATE: request.gate.id, PAGE: "https://page.example"}
            given = {"parameters": [{"name": k, "value": v} for k, v in handed.items()]}
            waits = {"name": template["name"], "template": template["name"], "arguments": given}
            goes = {"name": f"deploy{number}", "template": "goes"}
            tasks += [waits, {**goes, "depends": f"{template['name']}.Succeeded"}]
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": self.name, "labels": {LABEL: "true"}},
            "spec": {
                "entrypoint": "main",
                "templates": [
                    {"name": "main", "dag": {"tasks": tasks}},
                    {"name": "goes", "suspend": {"duration": "1"}},
                    *templates,
                ],
            },
        }

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get_namespaced_custom_object(*WORKFLOWS, self.name)
        return found

    def until(self, what: Any) -> dict[str, Any]:
        """The object as it is when this first holds."""
        from kubernetes import watch

        for event in watch.Watch().stream(
            self.api.list_namespaced_custom_object,
            *WORKFLOWS,
            field_selector=f"metadata.name={self.name}",
            timeout_seconds=SECONDS,
        ):
            found: dict[str, Any] = event["object"]
            if what(found):
                return found
        raise AssertionError(f"not within {SECONDS} s: {self.state().get('status')}")

    def waits(self) -> None:
        def all_wait(found: dict[str, Any]) -> bool:
            nodes = nodes_of(found).values()
            waiting = [each for each in nodes if is_gate(each) and each["phase"] == "Running"]
            return len(waiting) == len(self.requests)

        self.until(all_wait)

    def ends(self) -> str:
        ended = ("Succeeded", "Failed", "Error")
        found = self.until(lambda each: (each.get("status") or {}).get("phase") in ended)
        phase: str = found["status"]["phase"]
        return phase

    def phase(self, task: str) -> str | None:
        """None as long as the controller has not come to it."""
        nodes = nodes_of(self.state()).values()
        own = [each["phase"] for each in nodes if each["displayName"] == task]
        return own[0] if own else None

    def patch(self, patch: dict[str, Any]) -> None:
        self.api.patch_namespaced_custom_object(
            *WORKFLOWS, self.name, patch, _content_type="application/merge-patch+json"
        )

    def delete(self) -> None:
        self.api.delete_namespaced_custom_object(*WORKFLOWS, self.name)


def is_gate(node: dict[str, Any]) -> bool:
    given = (node.get("inputs") or {}).get("parameters") or ()
    return node["type"] == "Suspend" and any(each["name"] == GATE for each in given)


@pytest.fixture
def started() -> Iterator[Any]:
    runs: list[Run] = []

    def start(**how: Any) -> Run:
        runs.append(Run(**how))
        return runs[-1]

    yield start
    for run in runs:
        run.delete()


def kubernetes() -> Cluster:
    return Kubernetes(os.environ["KUBECONFIG"])


def server() -> Cluster:
    return ArgoServer(SERVER, TOKEN)


#: The server as well, where one is named.
WAYS = [kubernetes, server] if SERVER else [kubernetes]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def here(request: pytest.FixtureRequest) -> Any:
    return request.param


def recorded(request: ApprovalRequest, decision: Decision) -> Standing:
    return Standing(request, decision, "c" * 40, None)


def test_an_approval_lets_the_step_behind_its_gate_run(started: Any, here: Any) -> None:
    run = started()
    run.waits()
    [request] = run.requests
    standing = recorded(request, a_decision(request))
    assert deliver(here(), standing, clock()).delivery is Delivery.RESUMED
    assert run.ends() == "Succeeded"
    assert run.phase("deploy0") == "Succeeded"
    again = deliver(here(), standing, clock())
    assert again.delivery is Delivery.ALREADY
    assert amiss(again, standing) is None


def test_a_rejection_ends_the_run_and_starts_nothing(started: Any, here: Any) -> None:
    run = started()
    run.waits()
    [request] = run.requests
    assert deliver(here(), recorded(request, a_rejection(request)), clock()).node
    assert run.ends() == "Failed"
    assert run.phase("deploy0") == "Omitted"


def test_of_two_gates_the_other_waits_on(started: Any, here: Any) -> None:
    run = started(gates=2)
    run.waits()
    first, second = run.requests
    deliver(here(), recorded(first, a_decision(first)), clock())
    run.until(lambda _: run.phase("deploy0") == "Succeeded")
    assert run.phase("hitl-suspend-deploy1") == "Running"
    assert over(here(), second) == (None, None)
    deliver(here(), recorded(second, a_decision(second)), clock())
    assert run.ends() == "Succeeded"


def test_a_branch_that_was_rejected_is_told_to_those_who_are_asked_for_the_other(
    started: Any, here: Any
) -> None:
    run = started(gates=2)
    run.waits()
    first, second = run.requests
    deliver(here(), recorded(first, a_rejection(first)), clock())
    run.until(lambda _: run.phase("deploy0") == "Omitted")
    assert over(here(), second) == (None, "hitl-suspend-deploy0")


def test_a_deadline_that_overtook_the_decision_is_told(started: Any, here: Any) -> None:
    run = started(timeout=1)
    assert run.ends() == "Succeeded"  # here nothing verifies: the step behind it is no pod
    [request] = run.requests
    standing = recorded(request, a_decision(request))
    found = deliver(here(), standing, clock())
    assert found.delivery is Delivery.ALREADY
    assert amiss(found, standing) == found.says


def test_a_stopped_run_is_over(started: Any, here: Any) -> None:
    run = started()
    run.waits()
    run.patch({"spec": {"shutdown": "Stop"}})
    assert run.ends() == "Failed"
    [request] = run.requests
    says, _ = over(here(), request)
    assert says
    assert says.startswith(f"the run argo/{run.name} ended Failed")
    found = deliver(here(), recorded(request, a_decision(request)), clock())
    assert found.delivery is Delivery.STOPPED


def test_a_run_that_was_deleted_is_gone(started: Any, here: Any) -> None:
    run, other = started(), started()
    run.waits()
    [request] = run.requests
    gone = replace(request, workflow=replace(run.named, name="never-was"))
    assert over(here(), gone) == ("the run argo/never-was is gone", None)
    taken = replace(request, workflow=replace(run.named, name=other.name))
    assert deliver(here(), recorded(taken, a_decision(taken)), clock()).delivery is (
        Delivery.OTHER_RUN
    )


@pytest.mark.timeout(300)  # a schedule has minutes
def test_a_schedule_that_forbids_skips_its_runs_and_one_that_replaces_ends_the_one_that_waits(
    started: Any,
) -> None:
    from kubernetes import client

    started()  # and so the cluster is configured
    api, plural = client.CustomObjectsApi(), "cronworkflows"
    waits = {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}
    names = {each: f"{each.lower()}-{uuid.uuid4().hex[:8]}" for each in ("Forbid", "Replace")}

    def runs(policy: str) -> list[str]:
        label = f"workflows.argoproj.io/cron-workflow={names[policy]}"
        found = api.list_namespaced_custom_object(*WORKFLOWS, label_selector=label)["items"]
        found.sort(key=lambda each: each["metadata"]["creationTimestamp"])
        return [(each.get("status") or {}).get("phase") for each in found]

    for policy, name in names.items():
        spec = {"schedules": ["* * * * *"], "concurrencyPolicy": policy, "workflowSpec": waits}
        made = {"apiVersion": "/".join(WORKFLOWS[:2]), "kind": "CronWorkflow", "spec": spec}
        made["metadata"] = {"name": name}
        api.create_namespaced_custom_object(*WORKFLOWS[:3], plural, made)
    try:
        end = time.monotonic() + 200
        while runs("Replace")[:2] != ["Failed", "Running"]:
            assert time.monotonic() < end, runs("Replace")
            time.sleep(1)
        assert runs("Forbid") == ["Running"]
    finally:
        for name in names.values():  # its runs go with it
            api.delete_namespaced_custom_object(*WORKFLOWS[:3], plural, name)
