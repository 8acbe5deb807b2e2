"""Flows in real pods on a real Argo: `create` and `trigger`, GitHub, push and pull, to their end.

`make test-argo-pods`, on a node of this machine whose pods share its network, for the test GitHub,
the git server and the object store listen on 127.0.0.1. KUBECONFIG names it, and HITL_TEST_IMAGE
an image with Python and git; what else the pods need they are brought, or install as they start.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from bridge.argo.kubernetes import Kubernetes
from bridge.argo.nodes import json_patch, nodes_of, waiting
from bridge.cli import main as cli
from bridge.core.delivery import Move
from bridge.core.evaluation import Decider, Outcome
from bridge.gates.open_page import Desk
from bridge.ledger.git_ledger import GitLedger, create
from tests import objectstore
from tests.githttp import GitServer, serving
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.metaflows import Project
from tests.test_metaflow_github import Flows

pytestmark = [pytest.mark.argo_pods, pytest.mark.timeout(1800)]

SPACE = os.environ.get("HITL_TEST_NAMESPACE", "argo")
IMAGE = os.environ.get("HITL_TEST_IMAGE", "")
WORKFLOWS = ("argoproj.io", "v1alpha1", SPACE, "workflows")
PATIENCE = 600


class InPods:
    """A flow of this project, deployed to the cluster and triggered there."""

    project: Project

    @cached_property
    def own(self) -> str:
        """In the names of what is made for this run alone."""
        return uuid.uuid4().hex[:8]

    @cached_property
    def core(self) -> Any:
        return client.CoreV1Api()

    @cached_property
    def objects(self) -> Any:
        return client.CustomObjectsApi()

    def begin(self, flow: str, store: dict[str, str], **told: str) -> None:
        self.project.configure()  # every plugin of Metaflow, Argo's too
        self.store = store
        self.marked = f"s3://{objectstore.BUCKET}/marks-{self.own}"
        keys = {name: value for name, value in store.items() if name.startswith("AWS_")}
        told = {
            **store,
            "KUBECONFIG": os.environ["KUBECONFIG"],
            "METAFLOW_OWNER": "ann",
            "METAFLOW_KUBERNETES_NAMESPACE": SPACE,
            "METAFLOW_KUBERNETES_SECRETS": self.secret("store", {**keys, "MARKS": self.marked}),
            "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": "workflow",
            "METAFLOW_KUBERNETES_CONTAINER_IMAGE": IMAGE,
            "METAFLOW_KUBERNETES_IMAGE_PULL_POLICY": "IfNotPresent",
            **told,
        }
        for verb in ("create", "trigger"):
            named = ("--name", f"flows-{self.own}", verb)
            made = self.project.flow(flow, "--no-pylint", "argo-workflows", *named, **told)
            assert made.code == 0, made.said
        found = re.search(r"run-id argo-([\w-]+)", made.said)
        assert found, made.said
        self.name = found[1]

    def secret(self, role: str, values: dict[str, str]) -> str:
        """Its name."""
        name = f"{role}-{self.own}"
        made = {"metadata": {"name": name}, "stringData": values}
        self.core.create_namespaced_secret(SPACE, made)
        return name

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

    def wait_for(self, gates: int = 1) -> list[str]:
        """The gates, once so many wait and the run's pods are gone."""
        end = time.monotonic() + PATIENCE
        while not (len(waiting(self.state())) == gates and not self.pods("Running")):
            assert time.monotonic() < end, self.state().get("status")
            assert self.state().get("status", {}).get("phase") not in ("Failed", "Error")
            time.sleep(1)
        return list(waiting(self.state()))

    def ends(self) -> str:
        end = time.monotonic() + PATIENCE
        while (phase := self.state()["status"]["phase"]) not in ("Succeeded", "Failed", "Error"):
            assert time.monotonic() < end, self.state()["status"]
            time.sleep(1)
        return str(phase)

    def ran(self, step: str) -> list[dict[str, Any]]:
        """What the bodies of this step's tasks left."""
        import boto3

        named = self.marked.removeprefix(f"s3://{objectstore.BUCKET}/") + f"/{step}/"
        kept = boto3.client("s3", endpoint_url=self.store["METAFLOW_S3_ENDPOINT_URL"])
        found = kept.list_objects_v2(Bucket=objectstore.BUCKET, Prefix=named).get("Contents", ())
        read = [kept.get_object(Bucket=objectstore.BUCKET, Key=each["Key"]) for each in found]
        kept.close()
        return [json.loads(each["Body"].read()) for each in read]


class OnGitHub(InPods, Flows):
    """The README's flow, whose gates are asked on the test GitHub."""

    pushes = True

    def deploy(self, store: dict[str, str]) -> None:
        reads = str(self.github.actions_token(self.repo, {"contents": "read"}))
        opener = self.secret("opener", {"HITL_TOKEN": self.tokens[self.opener]})
        reader = self.secret("reader", {"HITL_TOKEN": reads})
        secrets = {"HITL_OPENER_SECRET": opener, "HITL_READER_SECRET": reader}
        self.begin("deploy.py", store, HITL_TOKEN="", **secrets)

    def desk(self, app: Any = None) -> Desk:
        there = Kubernetes(os.environ["KUBECONFIG"]) if self.pushes and app is None else None
        return replace(super().desk(app), cluster=there)

    def asked(self) -> PullRequest:
        """Its page, once it waits and its pods are gone."""
        gates = self.wait_for()
        [pull] = self.repo.pulls
        assert gates == [pull.head_ref.removeprefix("gate/")]
        return pull


class OnLedger(InPods):
    """A flow whose gates are decided on a ledger that its pods reach over HTTP."""

    def __init__(self, folder: Path, server: GitServer) -> None:
        self.project = Project(folder / "project")
        self.url = server.of("ledger.git")
        self.ledger = GitLedger(self.url, folder / "own-cache")

    def asked(self, gates: int = 1) -> dict[str, str]:
        """What the gates that wait ask, each with its gate."""
        found = {gate: self.ledger.read(gate) for gate in self.wait_for(gates)}
        return {each.request.message: gate for gate, each in found.items() if each}

    def decide(self, verb: str, gate: str, *words: str) -> None:
        assert cli.main([verb, gate, *words]) == 0
        assert cli.main(["resume", gate]) == 0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG to a node with Argo Workflows on it"
    assert IMAGE, "set HITL_TEST_IMAGE to an image with Python and git"
    config.load_config(config_file=os.environ["KUBECONFIG"])
    with objectstore.serving() as kept:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, kept[name])
        yield kept


@pytest.fixture
def at(tmp_path: Path, store: dict[str, str]) -> Iterator[OnGitHub]:
    with GitHub() as github:
        made = OnGitHub(github, tmp_path)
        made.deploy(store)
        yield made


@pytest.fixture
def orchard(
    tmp_path: Path, store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[OnLedger]:
    create(tmp_path / "ledger.git")
    with serving(tmp_path) as server:
        made = OnLedger(tmp_path, server)
        monkeypatch.setenv("HITL_LEDGER", made.url)
        made.begin("orchard.py", store, HITL_LEDGER=made.url)
        yield made


def test_a_run_in_pods_waits_for_its_review_and_the_step_reads_the_record(at: OnGitHub) -> None:
    pull = at.asked()
    at.github.forget_requests()
    time.sleep(60)  # nothing runs, and nothing is asked
    assert not at.pods("Running")
    assert not at.github.requests
    pull.review(at.alice, "APPROVED", "/approve target=production")
    at.tend(pull)
    assert at.ends() == "Succeeded"
    assert [each["given"] for each in at.ran("deploy")] == [{"target": "production"}]


def test_a_rejected_run_in_pods_starts_no_pod_for_the_step(at: OnGitHub) -> None:
    pull = at.asked()
    pull.comment(at.alice, "/reject the recall is too low")
    at.tend(pull)
    assert at.ends() == "Failed"
    [gate] = at.nodes(type="Suspend")
    assert "the recall is too low" in gate["message"]
    [step] = at.nodes(displayName="deploy")
    assert (step["type"], step["phase"]) == ("Skipped", "Omitted")  # of no pod
    assert not at.ran("deploy")


def test_a_step_that_a_stranger_resumed_starts_once_and_stays_shut(at: OnGitHub) -> None:
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
    assert not at.ran("deploy")
    assert at.recorded(pull) is None


def test_a_reconciler_brings_the_decision_where_github_holds_no_credential(at: OnGitHub) -> None:
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
    assert at.ran("deploy")


def test_in_pods_a_rejected_split_is_skipped_and_its_join_gets_the_branches_that_are_kept(
    orchard: OnLedger,
) -> None:
    begins = orchard.asked()["Begin?"]
    pods = ["hitl-notify-start"]
    assert runs(orchard) == pods
    orchard.decide("approve", begins)

    splits = orchard.asked(3)
    pods += ["start", *["hitl-notify-plant"] * 3]
    assert runs(orchard) == sorted(pods)
    orchard.decide("approve", splits["Plant oak?"])
    orchard.decide("reject", splits["Plant elm?"], "--reason", "too dry")
    orchard.decide("approve", splits["Plant fir?"])

    joins = orchard.asked()["Harvest?"]
    pods += [*["plant"] * 3, "hitl-notify-joined"]
    assert runs(orchard) == sorted(pods)
    assert sorted(each["tree"] for each in orchard.ran("plant")) == ["fir", "oak"]
    assert cli.main(["approve", joins, "-i", "keep=yew"]) != 0  # there is no such branch
    orchard.decide("approve", joins, "-i", "keep=oak,elm")

    ends = orchard.asked()["Sell the harvest?"]
    pods += ["joined", "hitl-notify-end"]
    assert runs(orchard) == sorted(pods)
    orchard.decide("approve", ends, "-i", "price=3")
    assert orchard.ends() == "Succeeded"
    assert runs(orchard) == sorted([*pods, "end"])
    [joined], [end] = orchard.ran("joined"), orchard.ran("end")
    assert joined["outcomes"] == {"oak": "approved", "elm": "rejected"}  # fir is left out
    assert (end["sold"], end["given"]) == (["oak"], {"price": 3})


def test_in_pods_a_rejected_start_runs_nothing(orchard: OnLedger) -> None:
    orchard.decide("reject", orchard.asked()["Begin?"], "--reason", "no spring yet")
    assert orchard.ends() == "Failed"
    assert runs(orchard) == ["error-msg-capture-hook", "hitl-notify-start"]  # Metaflow's own hook
    assert not orchard.ran("start")


def runs(run: InPods) -> list[str]:
    """The templates whose pods ran, each as often as one did."""
    return sorted(each["templateName"] for each in run.nodes(type="Pod", phase="Succeeded"))
