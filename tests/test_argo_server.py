"""The client for Argo Server asks what was recorded, and takes every recorded answer rightly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import yaml

from bridge import wiring
from bridge.argo.argo_server import ArgoServer
from bridge.core.delivery import Delivery, Move, Workflow
from bridge.core.errors import ClusterUnavailable, Faults
from bridge.core.evaluation import Outcome
from bridge.core.model import Standing
from bridge.core.settings import from_environment
from bridge.gates.deliver import deliver
from tests.ledgers import NOON, a_decision, a_request

URL = "https://argo.test"
RECORDED = yaml.safe_load(
    (Path(__file__).parent / "data" / "argo-server" / "calls.yaml").read_text()
)
SETS = [each for each in RECORDED if each["request"]["path"].endswith("/set")]
TAKEN = [each for each in SETS if each["response"]["status"] == 200]
REFUSED = [each for each in SETS if each["response"]["status"] != 200]
WHERE = Workflow("argo", "run-1", "u-1")
REQUEST = replace(a_request(), workflow=WHERE)
APPROVED = Standing(REQUEST, a_decision(REQUEST), "c" * 40, None)


def label(call: Any) -> str:
    return str(call["label"])


def asked_in(call: Any) -> tuple[Workflow, dict[str, Any], Move]:
    """The workflow, what was seen of it, and what it was asked."""
    body = call["request"]["body"]
    name = call["request"]["path"].split("/")[-2]
    node = body["nodeFieldSelector"].removeprefix("id=")
    said = body["outputParameters"]
    outcome = json.loads(said)["decision"] if "decision" in said else "approved"
    move = Move(node, "g1", body["phase"], Outcome(outcome), body["message"], NOON)
    seen = {"status": {"nodes": {node: {"outputs": {"parameters": [{"name": "decision"}]}}}}}
    return Workflow("argo", name, "u"), seen, move


def answer(call: Any) -> None:
    found = call["response"]["body"]
    body = {"metadata": {}, **found} if call["response"]["status"] == 200 else found
    path = call["request"]["path"]
    responses.add(
        call["request"]["method"], URL + path, json=body, status=call["response"]["status"]
    )


@responses.activate
@pytest.mark.parametrize("call", TAKEN, ids=label)
def test_what_was_taken_is_what_we_ask(call: Any) -> None:
    answer(call)
    named, seen, move = asked_in(call)
    assert ArgoServer(URL + "/", "t").move(named, seen, move)
    sent = json.loads(responses.calls[0].request.body)
    recorded = {key: each for key, each in call["request"]["body"].items() if key != "name"}
    # The gate besides: a run made later under the same name has a node of the same id.
    recorded["nodeFieldSelector"] += ",inputs.parameters.gate.value=g1"
    assert json.loads(sent.pop("outputParameters")) == json.loads(recorded.pop("outputParameters"))
    assert sent == recorded
    assert responses.calls[0].request.headers["Authorization"] == "Bearer t"


@responses.activate
@pytest.mark.parametrize("call", REFUSED, ids=label)
def test_what_was_refused_is_looked_at_again_or_told(call: Any) -> None:
    answer(call)
    named, seen, move = asked_in(call)
    status = call["response"]["status"]
    if status in (404, 500):  # which of many it is, only the workflow tells
        assert not ArgoServer(URL, "t").move(named, seen, move)
        return
    means = {400: "answered 400", 401: "refuses the token", 403: "does not let this token"}
    with pytest.raises(ClusterUnavailable, match=means[status]):
        ArgoServer(URL, "t").move(named, seen, move)


def test_every_kind_of_answer_was_recorded() -> None:
    assert {each["response"]["status"] for each in SETS} == {200, 400, 401, 403, 404, 500}


def workflow(phase: str = "Running", **node: Any) -> dict[str, Any]:
    wait = {
        "id": "run-1-7",
        "type": "Suspend",
        "phase": phase,
        "inputs": {"parameters": [{"name": "gate", "value": REQUEST.gate.id}]},
        "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
        **node,
    }
    own = {"name": "run-1", "namespace": "argo", "uid": "u-1"}
    return {"metadata": own, "status": {"phase": "Running", "nodes": {"run-1-7": wait}}}


@responses.activate
def test_a_decision_is_delivered_and_read_back() -> None:
    at = f"{URL}/api/v1/workflows/argo/run-1"
    reason = APPROVED.decision.reason if APPROVED.decision else ""
    responses.get(at, json=workflow())
    responses.put(f"{at}/set", json=workflow())
    responses.get(at, json=workflow("Succeeded", message=f"{reason} @{'c' * 12}"))
    assert deliver(ArgoServer(URL, "t"), APPROVED, NOON).delivery is Delivery.RESUMED


@responses.activate
def test_a_node_that_moved_meanwhile_is_read_again() -> None:
    at = f"{URL}/api/v1/workflows/argo/run-1"
    responses.get(at, json=workflow())
    responses.put(f"{at}/set", json={"code": 13, "message": "no suspend nodes"}, status=500)
    responses.get(at, json=workflow("Succeeded", message="by hand"))
    found = deliver(ArgoServer(URL, "t"), APPROVED, NOON)
    assert (found.delivery, "by hand" in found.says) == (Delivery.ALREADY, True)


@responses.activate
def test_a_server_that_never_takes_it_is_asked_three_times_and_no_more() -> None:
    at = f"{URL}/api/v1/workflows/argo/run-1"
    responses.get(at, json=workflow())
    put = responses.put(f"{at}/set", json={"code": 13, "message": "broken"}, status=500)
    found = deliver(ArgoServer(URL, "t"), APPROVED, NOON)
    assert (found.delivery, put.call_count) == (Delivery.CONFLICT, 3)
    assert not found.done


@responses.activate
@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({"body": requests.ConnectionError("secret-token refused")}, "cannot be reached at"),
        ({"json": {}, "status": 502}, "answered 502"),
        ({"json": {}, "status": 500}, "answered 500"),
        ({"body": "<html>", "status": 200}, "is no Argo Server"),
        ({"json": {}, "status": 302, "headers": {"Location": "https://x.test"}}, "answered 302"),
    ],
    ids=["no connection", "a gateway", "a fault", "another site", "a redirect"],
)
def test_a_server_that_cannot_be_asked_is_one_sentence_without_the_token(
    reply: Any, says: str
) -> None:
    responses.get(f"{URL}/api/v1/workflows/argo/run-1", **reply)
    with pytest.raises(ClusterUnavailable, match=says) as raised:
        deliver(ArgoServer(URL, "secret-token"), APPROVED, NOON)
    assert "secret-token" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://argo.example", "argo.example", "https://"])
def test_a_token_does_not_travel_in_the_open(url: str) -> None:
    with pytest.raises(Faults, match="HITL_ARGO_SERVER is not an https address"):
        from_environment({"HITL_ARGO_SERVER": url})


def test_the_server_comes_before_kubernetes_and_without_either_nobody_delivers() -> None:
    both = {"HITL_ARGO_SERVER": "http://127.0.0.1:1", "HITL_ARGO_TOKEN": "s", "KUBECONFIG": "k"}
    settings = from_environment(both)
    assert isinstance(wiring.cluster(settings), ArgoServer)
    assert "'s'" not in repr(settings)
    assert wiring.cluster(from_environment({})) is None
