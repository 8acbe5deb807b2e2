"""A flow in real pods on a real Argo: `create` and `trigger`, GitHub, push and pull, to its end.

`make test-argo-pods`, on a node of this machine whose pods share its network, for the test GitHub
and the object store listen on 127.0.0.1. KUBECONFIG names it, and HITL_TEST_IMAGE an image with
Python and git; what else the pods need they are brought, or install as they start.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from bridge.argo.kubernetes import Kubernetes
from bridge.argo.nodes import json_patch, nodes_of, waiting
from bridge.core.delivery import Move
from bridge.core.evaluation import Decider, Outcome
from bridge.gates.open_page import Desk
from tests import objectstore
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.test_metaflow_github import Flows

pytestmark = [pytest.mark.argo_pods, pytest.mark.timeout(600)]

SPACE = os.environ.get("HITL_TEST_NAMESPACE", "argo")
IMAGE = os.environ.get("HITL_TEST_IMAGE", "")
WORKFLOWS = ("argoproj.io", "v1alpha1", SPACE, "workflows")
PATIENCE = 300


class InPods(Flows):
    """The README's flow, deployed to the cluster and triggered there."""

    pushes = True

    def deploy(self, store: dict[str, str]) -> None:
        self.project.configure()  # every plugin of Metaflow, Argo's too
        self.store = store
        own = uuid.uuid4().hex[:8]
        self.marked = f"s3://{objectstore.BUCKET}/marks-{own}"
        self.objects, self.core = client.CustomObjectsApi(), client.CoreV1Api()
        reads = str(self.github.actions_token(self.repo, {"contents": "read"}))
        keys = {name: value for name, value in store.items() if name.startswith("AWS_")}
        self.secret(f"store-{own}", {**keys, "MARKS": self.marked})
        self.secret(f"opener-{own}", {"HITL_TOKEN": self.tokens[self.opener]})
        self.secret(f"reader-{own}", {"HITL_TOKEN": reads})
        told = {
            **store,
            "HITL_TOKEN": "",
            "HITL_OPENER_SECRET": f"opener-{own}",
            "HITL_READER_SECRET": f"reader-{own}",
            "KUBECONFIG": os.environ["KUBECONFIG"],
            "METAFLOW_OWNER": "ann",
            "METAFLOW_KUBERNETES_NAMESPACE": SPACE,
            "METAFLOW_KUBERNETES_SECRETS": f"store-{own}",
            "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": "workflow",
            "METAFLOW_KUBERNETES_CONTAINER_IMAGE": IMAGE,
            "METAFLOW_KUBERNETES_IMAGE_PULL_POLICY": "IfNotPresent",
        }
        for verb in ("create", "trigger"):
            named = ("--name", f"deploys-{own}", verb)
            made = self.project.flow("deploy.py", "--no-pylint", "argo-workflows", *named, **told)
            assert made.code == 0, made.said
        found = re.search(r"run-id argo-([\w-]+)", made.said)
        assert found, made.said
        self.name = found[1]

    def secret(self, name: str, values: dict[str, str]) -> None:
        made = {"metadata": {"name": name}, "stringData": values}
        self.core.create_namespaced_secret(SPACE, made)

    def desk(self, app: Any = None) -> Desk:
        there = Kubernetes(os.environ["KUBECONFIG"]) if self.pushes and app is None else None
        return replace(super().desk(app), cluster=there)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.objects.get_namespaced_custom_object(*WORKFLOWS, self.name)
        return found

    def nodes(self, **facts: str) -> list[dict[str, Any]]:
        found = nodes_of(self.state()).values()
        return [each for each in found if facts.items() <= each.items()]

    def pods(self, phase: str) -> int:
        """How many of this run's are in this phase."""
        ours = f"workflows.argoproj.io/workflow={self.name}"
        found = self.core.list_namespaced_pod(SPACE, label_selector=ours).items
        return sum(each.status.phase == phase for each in found)

    def asked(self) -> PullRequest:
        """Its page, once it waits and its pods are gone."""
        end = time.monotonic() + PATIENCE
        while not (waiting(self.state()) and not self.pods("Running")):
            assert time.monotonic() < end, self.state().get("status")
            assert self.state().get("status", {}).get("phase") not in ("Failed", "Error")
            time.sleep(1)
        [pull] = self.repo.pulls
        assert list(waiting(self.state())) == [pull.head_ref.removeprefix("gate/")]
        return pull

    def ends(self) -> str:
        end = time.monotonic() + PATIENCE
        while (phase := self.state()["status"]["phase"]) not in ("Succeeded", "Failed", "Error"):
            assert time.monotonic() < end, self.state()["status"]
            time.sleep(1)
        return str(phase)

    def given(self) -> str | None:
        """What the gated step's body left."""
        import boto3

        named = self.marked.removeprefix(f"s3://{objectstore.BUCKET}/") + "/deploy/"
        kept = boto3.client("s3", endpoint_url=self.store["METAFLOW_S3_ENDPOINT_URL"])
        found = kept.list_objects_v2(Bucket=objectstore.BUCKET, Prefix=named).get("Contents", ())
        read = [kept.get_object(Bucket=objectstore.BUCKET, Key=each["Key"]) for each in found]
        kept.close()
        return read[0]["Body"].read().decode() if read else None


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InPods]:
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG to a node with Argo Workflows on it"
    assert IMAGE, "set HITL_TEST_IMAGE to an image with Python and git"
    config.load_config(config_file=os.environ["KUBECONFIG"])
    with GitHub() as github, objectstore.serving() as store:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, store[name])
        made = InPods(github, tmp_path)
        made.deploy(store)
        yield made


def test_a_run_in_pods_waits_for_its_review_and_the_step_reads_the_record(at: InPods) -> None:
    pull = at.asked()
    at.github.forget_requests()
    time.sleep(60)  # nothing runs, and nothing is asked
    assert not at.pods("Running")
    assert not at.github.requests
    pull.review(at.alice, "APPROVED", "/approve target=production")
    at.tend(pull)
    assert at.ends() == "Succeeded"
    given = at.given()
    assert given
    assert '"given": {"target": "production"}' in given


def test_a_rejected_run_in_pods_starts_no_pod_for_the_step(at: InPods) -> None:
    pull = at.asked()
    pull.comment(at.alice, "/reject the recall is too low")
    at.tend(pull)
    assert at.ends() == "Failed"
    [gate] = at.nodes(type="Suspend")
    assert "the recall is too low" in gate["message"]
    [step] = at.nodes(displayName="deploy")
    assert (step["type"], step["phase"]) == ("Skipped", "Omitted")  # of no pod
    assert at.given() is None


def test_a_step_that_a_stranger_resumed_starts_once_and_stays_shut(at: InPods) -> None:
    pull = at.asked()
    [node] = waiting(at.state()).values()
    move = Move(node, "", "Succeeded", Outcome.APPROVED, "approved", at.now())
    at.objects.patch_namespaced_custom_object(
        *WORKFLOWS, at.name, json_patch(at.state(), move),
        _content_type="application/json-patch+json",
    )  # fmt: skip
    assert at.ends() == "Failed"
    [failed] = at.nodes(type="Pod", phase="Failed")
    assert "exit code 202" in failed["message"]
    assert at.given() is None
    assert at.recorded(pull) is None


def test_a_reconciler_brings_the_decision_where_github_holds_no_credential(at: InPods) -> None:
    pull = at.asked()
    at.pushes = False
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.by is Decider.PERSON
    assert waiting(at.state())
    reads = str(at.github.actions_token(at.repo, {"contents": "read"}))
    told = {**os.environ, **at.project.env, "KUBECONFIG": os.environ["KUBECONFIG"]}
    hitl = "import sys; from bridge.cli.main import main; sys.exit(main())"
    asks = ("argo", "reconcile", "--namespace", SPACE, "--interval", "3")
    command = [sys.executable, "-c", hitl, *asks]
    with subprocess.Popen(command, env={**told, "HITL_TOKEN": reads}) as watch:
        try:
            assert at.ends() == "Succeeded"
        finally:
            watch.terminate()
    assert at.given()
