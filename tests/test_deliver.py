"""A recorded decision is brought to its node, and to no other, through the Kubernetes client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.argo.kubernetes import Kubernetes
from bridge.core.delivery import Delivery, Move, Workflow
from bridge.core.errors import ClusterUnavailable, NothingToDeliver
from bridge.core.evaluation import Outcome
from bridge.core.model import OnReject, Standing
from bridge.gates.deliver import amiss, deliver, over
from tests.argo import api
from tests.ledgers import NOON, a_decision, a_rejection, a_request

WHERE = Workflow("argo", "run-1", "u-1")
REQUEST = replace(a_request(), workflow=WHERE)


def here() -> Kubernetes:
    return Kubernetes(os.environ["KUBECONFIG"])


def node(name: str, gate: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "type": "Suspend",
        "phase": "Running",
        "inputs": {"parameters": [{"name": "gate", "value": gate}]},
        "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
        **changes,
    }


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Cluster]:
    with api.serving() as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig(tmp_path)))
        found.submit(
            {
                "metadata": {"name": "run-1", "namespace": "argo", "uid": "u-1"},
                "status": {
                    "phase": "Running",
                    "nodes": {
                        "ours": node("ours", REQUEST.gate.id),
                        "another": node("another", "0" * 12),
                    },
                },
            }
        )
        yield found


def nodes(cluster: api.Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("argo", "run-1")["status"]["nodes"]
    return found


def recorded(decision: Any) -> Standing:
    return Standing(REQUEST, decision, "c" * 40, None)


APPROVED = recorded(a_decision(REQUEST))


def test_an_approval_lets_its_own_node_succeed_and_no_other(cluster: api.Cluster) -> None:
    assert deliver(here(), APPROVED, NOON).delivery is Delivery.RESUMED
    after = nodes(cluster)
    assert (after["ours"]["phase"], after["another"]["phase"]) == ("Succeeded", "Running")
    assert after["ours"]["outputs"]["parameters"] == [{"name": "decision", "value": "approved"}]
    assert after["ours"]["message"].endswith(" @cccccccccccc")


def test_a_rejection_fails_the_node_with_its_reason(cluster: api.Cluster) -> None:
    rejected = recorded(a_rejection(REQUEST))
    assert rejected.decision
    assert deliver(here(), rejected, NOON).delivery is Delivery.RESUMED
    ours = nodes(cluster)["ours"]
    assert ours["phase"] == "Failed"
    assert rejected.decision.reason in ours["message"]
    assert rejected.decision.outcome is Outcome.REJECTED


def test_a_rejection_that_skips_lets_the_run_go_on(cluster: api.Cluster) -> None:
    request = replace(REQUEST, on_reject=OnReject.SKIP)
    standing = Standing(request, a_rejection(request), "c" * 40, None)
    found = deliver(here(), standing, NOON)
    assert found.delivery is Delivery.RESUMED
    ours = nodes(cluster)["ours"]
    assert ours["phase"] == "Succeeded"
    assert ours["outputs"]["parameters"] == [{"name": "decision", "value": "rejected"}]
    assert amiss(deliver(here(), standing, NOON), standing) is None


def test_delivering_twice_writes_once(cluster: api.Cluster) -> None:
    deliver(here(), APPROVED, NOON)
    before = cluster.version
    assert deliver(here(), APPROVED, NOON).delivery is Delivery.ALREADY
    assert cluster.version == before


def test_who_wrote_first_wins_and_is_read(cluster: api.Cluster) -> None:
    class Overtaken(Kubernetes):
        def move(self, named: Workflow, seen: Any, move: Move) -> bool:
            there = cluster.get("argo", "run-1")["status"]["nodes"]["ours"]
            if there["phase"] == "Running":  # a person resumes it between our look and our write
                resumed = {
                    "op": "replace",
                    "path": "/status/nodes/ours/phase",
                    "value": "Succeeded",
                }
                cluster.patch("argo", "run-1", api.JSON_PATCH, [resumed])
            return super().move(named, seen, move)

    found = deliver(Overtaken(os.environ["KUBECONFIG"]), APPROVED, NOON)
    assert found.delivery is Delivery.ALREADY
    assert "is Succeeded already" in found.says
    assert "message" not in nodes(cluster)["ours"]


def test_a_run_of_the_same_name_made_later_is_left_alone(cluster: api.Cluster) -> None:
    later = replace(REQUEST, workflow=replace(WHERE, uid="u-2"))
    found = deliver(here(), replace(APPROVED, request=later), NOON)
    assert found.delivery is Delivery.OTHER_RUN
    assert nodes(cluster)["ours"]["phase"] == "Running"


def test_a_workflow_that_is_gone_is_said_to_be(cluster: api.Cluster) -> None:
    gone = replace(REQUEST, workflow=replace(WHERE, name="run-2"))
    found = deliver(here(), replace(APPROVED, request=gone), NOON)
    assert (found.delivery, found.says) == (Delivery.GONE, "the workflow argo/run-2 is gone")


def test_what_is_not_decided_is_not_delivered(cluster: api.Cluster) -> None:
    with pytest.raises(NothingToDeliver, match="is not decided yet"):
        deliver(here(), recorded(None), NOON)
    assert not cluster.requests


def test_a_cluster_out_of_reach_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = api.Cluster(url="http://127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", str(nowhere.kubeconfig(tmp_path)))
    with pytest.raises(ClusterUnavailable, match="cannot be reached: check KUBECONFIG"):
        deliver(here(), APPROVED, NOON)


def test_no_cluster_at_all_is_one_sentence_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kubernetes.config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnavailable, match="set KUBECONFIG, or run this in a pod"):
        Kubernetes(None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("asked", "here_is"), [("blue", "green"), ("blue", ""), ("", "green")])
def test_that_a_run_is_not_in_another_cluster_says_nothing(
    cluster: api.Cluster, asked: str, here_is: str
) -> None:
    elsewhere = replace(REQUEST, workflow=replace(WHERE, name="run-2", cluster=asked))
    there = Kubernetes(os.environ["KUBECONFIG"], name=here_is)
    assert over(there, elsewhere) == (None, None)
    standing = Standing(elsewhere, a_decision(elsewhere), "c" * 40, None)
    found = deliver(there, standing, NOON)
    assert (found.delivery, found.done) == (Delivery.ELSEWHERE, True)
    assert "argo/run-2 is not here" in found.says
    assert amiss(found, standing) is None


def test_that_a_run_is_not_in_its_own_cluster_says_that_it_is_gone(cluster: api.Cluster) -> None:
    gone = replace(REQUEST, workflow=replace(WHERE, name="run-2", cluster="blue"))
    blue = Kubernetes(os.environ["KUBECONFIG"], name="blue")
    assert over(blue, gone) == ("the run argo/run-2 is gone", None)


def test_a_node_that_is_here_is_moved_whatever_the_cluster_is_called(cluster: api.Cluster) -> None:
    # A uid is one run's in all the world: only that it is missing depends on where one looks.
    asked = replace(REQUEST, workflow=replace(WHERE, cluster="blue"))
    found = deliver(here(), Standing(asked, a_decision(asked), "c" * 40, None), NOON)
    assert found.delivery is Delivery.RESUMED
