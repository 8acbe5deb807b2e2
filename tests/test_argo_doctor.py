"""What the doctor says of a cluster, from what an account sees there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.argo.admission import Admission, admission
from bridge.argo.kubernetes import NEEDLESS, PULL, PUSH, SERVER, ClusterSurvey, Kubernetes
from bridge.core.errors import ClusterUnavailable
from bridge.setup.argo_doctor import examine_cluster
from bridge.setup.checks import Level, is_safe

GOOD = ClusterSurvey(
    "argo",
    has_workflows=True,
    may={
        **{(verb, "workflows"): verb in PULL for verb in (*PULL, *SERVER)},
        **dict.fromkeys(NEEDLESS, False),
    },
    controller="quay.io/argoproj/workflow-controller:v4.1.2",
    admission=Admission(rewrites=False, delivers=True),
)


def level(survey: ClusterSurvey, name: str) -> Level:
    [found] = [each for each in examine_cluster(survey) if each.name == name]
    return found.level


def test_a_cluster_with_argo_and_the_shipped_account_is_fine() -> None:
    assert {each.level for each in examine_cluster(GOOD)} == {Level.FINE}


def test_without_argos_types_nothing_can_be_delivered() -> None:
    bare = replace(GOOD, has_workflows=False)
    assert level(bare, "argo") is Level.FAULT
    assert not is_safe(examine_cluster(bare))


@pytest.mark.parametrize("verb", PULL)
def test_what_push_needs_must_be_there_and_what_pull_needs_besides_is_told(verb: str) -> None:
    without = replace(GOOD, may={**GOOD.may, (verb, "workflows"): False})
    assert level(without, "access") is (Level.FAULT if verb in PUSH else Level.FINE)
    assert any(f"{verb}" in each.says for each in examine_cluster(without))


def test_the_account_of_argo_server_delivers_with_update_in_place_of_patch() -> None:
    may = {**GOOD.may, **{(verb, "workflows"): verb in SERVER for verb in (*PULL, *SERVER)}}
    served = replace(GOOD, may=may, admission=Admission())
    [access] = [each for each in examine_cluster(served) if each.name == "access"]
    assert access.level is Level.FINE
    assert access.says.endswith("through Argo Server, with its token")
    assert level(served, "admission") is Level.NOTE
    neither = replace(served, may={**may, ("get", "workflows"): False})
    assert level(neither, "access") is Level.FAULT


STRICT = {"workflowRestrictions": "templateReferencing: Strict"}
RETRIES = "spec: {templateDefaults: {retryStrategy: {limit: 2}}}"


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, (Level.FINE, Level.NOTE)),
        (STRICT, (Level.FINE, Level.FINE)),
        ({**STRICT, "workflowDefaults": RETRIES}, (Level.NOTE, Level.FINE)),
        ({"workflowDefaults": "spec: {retryStrategy: {limit: 2}}"}, (Level.NOTE, Level.NOTE)),
        ({"config": f"workflowDefaults:\n  {RETRIES}"}, (Level.NOTE, Level.NOTE)),
        (
            {"workflowDefaults": "spec: {podSpecPatch: 'initContainers: null'}"},
            (Level.FAULT, Level.NOTE),
        ),
        (
            {"workflowDefaults": "spec: {templateDefaults: {memoize: {key: k}}}"},
            (Level.FAULT, Level.NOTE),
        ),
        (
            {"workflowDefaults": "spec: {automountServiceAccountToken: false}"},
            (Level.FAULT, Level.NOTE),
        ),
        ({"workflowDefaults": "spec: [3]"}, (Level.FINE, Level.NOTE)),
    ],
)
def test_what_the_controllers_configuration_does_to_gates(
    configuration: dict[str, str], expected: tuple[Level, Level]
) -> None:
    found = replace(GOOD, configuration=configuration)
    assert (level(found, "defaults"), level(found, "referencing")) == expected


def test_a_configuration_that_cannot_be_read_is_told_and_no_crash() -> None:
    broken = replace(GOOD, configuration={"workflowDefaults": "spec: ["})
    assert level(broken, "defaults") is Level.NOTE


@pytest.mark.parametrize("right", NEEDLESS)
def test_an_account_that_may_more_than_it_needs_is_told(right: tuple[str, str]) -> None:
    more = replace(GOOD, may={**GOOD.may, right: True})
    assert level(more, "least") is Level.NOTE
    assert is_safe(examine_cluster(more))


@pytest.mark.parametrize(
    "image", [None, "workflow-controller:v3.4.0", "workflow-controller:latest"]
)
def test_a_controller_that_was_not_tried_is_told_and_is_no_fault(image: str | None) -> None:
    assert level(replace(GOOD, controller=image), "controller") is Level.NOTE


ADMINISTRATOR = {**GOOD.may, ("create", "workflows"): True}


@pytest.mark.parametrize(
    ("tried", "may", "expected"),
    [
        (Admission(rewrites=True, delivers=True), GOOD.may, Level.FAULT),
        (Admission(rewrites=True, delivers=True), ADMINISTRATOR, Level.NOTE),
        (Admission(rewrites=False, delivers=False), GOOD.may, Level.FAULT),
        (Admission(rewrites=False, delivers=None), GOOD.may, Level.FINE),
        (Admission(), GOOD.may, Level.NOTE),
    ],
)
def test_an_account_that_delivers_must_not_be_able_to_rewrite_a_run(
    tried: Admission, may: Any, expected: Level
) -> None:
    assert level(replace(GOOD, admission=tried, may=may), "admission") is expected


def run(name: str, **node: Any) -> dict[str, Any]:
    gate = {"parameters": [{"name": "gate", "value": "g"}]}
    suspended = {"id": name, "name": name, "type": "Suspend", "phase": "Running", "inputs": gate}
    nodes = {name: {**suspended, **node}}
    return {
        "metadata": {"name": name, "namespace": "argo", "uid": f"u-{name}"},
        "status": {"phase": "Running", "nodes": nodes},
    }


def test_the_policies_are_tried_on_a_run_that_waits() -> None:
    seen: list[tuple[str, bool]] = []

    def tries(workflow: Any, patch: Any) -> bool:
        delivery = isinstance(patch, list)
        seen.append((workflow["metadata"]["name"], delivery))
        return delivery

    runs = [run("odd", phase=7), run("ended", phase="Succeeded"), run("waits")]
    assert admission(runs, tries) == Admission(rewrites=False, delivers=True)
    assert seen == [("waits", False), ("waits", True)]
    assert admission(runs[:2], tries) == Admission(rewrites=False)
    assert admission([], tries) == Admission()


@pytest.mark.parametrize("written", [b"{a: [", b"- 1", b"", b"apiVersion: v1", b"\xff\xfe", None])
def test_a_kubeconfig_that_names_no_cluster_is_one_sentence_with_its_path(
    tmp_path: Path, written: bytes | None
) -> None:
    file = tmp_path / "kubeconfig"
    if written is not None:
        file.write_bytes(written)
    with pytest.raises(ClusterUnavailable, match=r"kubeconfig configures no cluster \(\w+\): KUBE"):
        Kubernetes(str(file))
    with pytest.raises(ClusterUnavailable, match=r"configures no cluster"):
        Kubernetes(str(tmp_path))
