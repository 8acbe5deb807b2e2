"""Plain workflows in pods of a real Argo, as `hitl argo inject` prints them, each to its end.

`make test-argo-pods`, as for `test_argo_pods.py`, with the command line of Argo on the PATH, and
HITL_TEST_GATE_IMAGE: an image there that has the bridge, as `kubernetes/Containerfile` makes it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from bridge.argo.annotations import injected
from bridge.argo.nodes import json_patch, nodes_of, waiting
from bridge.argo.pod_settings import Pods, pods_from_environment
from bridge.cli import main as cli
from bridge.core.delivery import Move
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import Decision
from bridge.ledger.git_ledger import GitLedger, create
from bridge.wiring import clock
from tests.githttp import GitServer, serving
from tests.test_plain_shapes import DAG, GATES, LEAF, SHAPES, manifest, of_kind

pytestmark = [pytest.mark.argo_pods, pytest.mark.timeout(1800)]

SPACE = os.environ.get("HITL_TEST_NAMESPACE", "argo")
IMAGE = os.environ.get("HITL_TEST_GATE_IMAGE", "")
WORKFLOWS = ("argoproj.io", "v1alpha1", SPACE, "workflows")
LENT = {
    "WorkflowTemplate": "workflowtemplates",
    "ClusterWorkflowTemplate": "clusterworkflowtemplates",
    "CronWorkflow": "cronworkflows",
}
PATIENCE = 300
ENDED = ("Succeeded", "Failed", "Error")
#: So many runs at once: each waits for its pods most of the time.
AT_ONCE = 6

Json = dict[str, Any]


@dataclass
class There:
    """The cluster, and a ledger that its pods reach."""

    server: GitServer
    ledger: GitLedger
    pods: Pods
    objects: Any = field(default_factory=client.CustomObjectsApi)

    def submit(self, text: str, *, warns: str = "") -> Run:
        """A run of these manifests: of the last of them, to which the others lend templates."""
        *lent, last = self.injected(text, warns)
        for each in lent:
            self.create(each)
        if last["kind"] == "Workflow":
            last["metadata"]["name"] = f"gates-{uuid.uuid4().hex[:6]}"
            return Run(self, self.create(last)["metadata"]["name"])
        return self.argo("submit", "--from", self.stored(last))

    def stored(self, manifest: Json) -> str:
        """What Argo's command line calls it, once it is in the cluster."""
        short = {"WorkflowTemplate": "wftmpl", "CronWorkflow": "cronwf"}[manifest["kind"]]
        if short == "cronwf":
            manifest["spec"]["suspend"] = True  # it runs if it is asked to, and not by its schedule
        manifest["metadata"]["name"] += f"-{uuid.uuid4().hex[:6]}"
        return f"{short}/{self.create(manifest)['metadata']['name']}"

    def injected(self, text: str, warns: str = "") -> list[Json]:
        own = uuid.uuid4().hex[:6]
        text = text.replace("image: x", f"image: {IMAGE}, imagePullPolicy: IfNotPresent")
        text = text.replace("command: ['true']", "command: [echo, quiet]")  # it has few programs
        text = text.replace("name: shared", f"name: shared-{own}")
        made = injected(text, "wf.yaml", self.pods)
        assert [each for each in made.warnings if warns in each] if warns else not made.warnings
        return list(yaml.safe_load_all(made.text))

    def create(self, manifest: Json) -> Json:
        plural = LENT.get(manifest["kind"], "workflows")
        made: Json
        if manifest["kind"].startswith("Cluster"):
            made = self.objects.create_cluster_custom_object(*WORKFLOWS[:2], plural, manifest)
        else:
            made = self.objects.create_namespaced_custom_object(*WORKFLOWS[:3], plural, manifest)
        return made

    def argo(self, *words: str) -> Run:
        """Argo's own command line; the run that it names."""
        return Run(self, self.tell(*words, "-o", "name").split()[-1].rpartition("/")[2])

    @staticmethod
    def tell(*words: str) -> str:
        command = ["argo", *words, "-n", SPACE]
        done = subprocess.run(command, capture_output=True, text=True, env=ITS_OWN)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Run:
    """One workflow, as the controller has it."""

    there: There
    name: str
    gates: dict[str, str] = field(default_factory=dict)  # that waited, and their nodes

    def state(self) -> Json:
        found: Json = self.there.objects.get_namespaced_custom_object(*WORKFLOWS, self.name)
        return found

    @property
    def phase(self) -> str:
        return str((self.state().get("status") or {}).get("phase"))

    def nodes(self) -> list[Json]:
        return list(nodes_of(self.state()).values())

    def guarded(self) -> list[Json]:
        """The pods of the guarded template."""
        return [each for each in self.nodes() if each["type"] == "Pod" and is_guarded(each)]

    def until(self, holds: Callable[[Json], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := holds(self.state())):
            assert time.monotonic() < end, self.state().get("status")
            time.sleep(0.5)
        return found

    def waits(self) -> str:
        """The one gate that waits, once it does."""
        [gate] = self.until(waiting)
        return str(gate)

    def ends(self) -> str:
        self.until(lambda found: (found.get("status") or {}).get("phase") in ENDED)
        return self.phase

    def decide(self, gate: str, verb: str) -> None:
        assert cli.main([verb, gate, *(["--reason", "no"] if verb == "reject" else [])]) == 0
        assert cli.main(["resume", gate]) == 0

    def approve(self, gate: str) -> None:
        self.decide(gate, "approve")

    def reject(self, gate: str) -> None:
        self.decide(gate, "reject")

    def expire(self, gate: str) -> None:
        """The clock decides: the gate asks for a second, and that is over."""
        assert cli.main(["reconcile"]) == 0
        assert cli.main(["resume", gate]) == 0

    def resume_as_a_stranger(self, gate: str) -> None:
        found = self.state()
        move = Move(waiting(found)[gate], gate, "Succeeded", Outcome.APPROVED, "approved", clock())
        self.there.objects.patch_namespaced_custom_object(
            *WORKFLOWS, self.name, json_patch(found, move),
            _content_type="application/json-patch+json",
        )  # fmt: skip

    def recorded(self, gate: str) -> Decision | None:
        standing = self.there.ledger.read(gate)
        assert standing
        return standing.decision


def is_guarded(node: Json) -> bool:
    display = node["displayName"]
    return not display.startswith("hitl-notify-") and display.partition("(")[0] != "idle"


#: The environment of this process as it was started: a test's own hides the person's.
ITS_OWN = dict(os.environ)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG to a node with Argo Workflows on it"
    assert IMAGE, "set HITL_TEST_GATE_IMAGE to an image with the bridge"
    config.load_config(config_file=os.environ["KUBECONFIG"])
    folder = tmp_path_factory.mktemp("there")
    bare = folder / "ledger.git"
    create(bare)
    subprocess.run(["git", "-C", bare, "config", "http.receivepack", "true"], check=True)
    with serving(folder) as server:
        ledger = server.of("ledger.git")
        pods = pods_from_environment({"HITL_LEDGER": ledger})
        yield There(server, GitLedger(ledger, folder / "cache"), Pods(pods.env, image=IMAGE))


@pytest.fixture(autouse=True)
def person(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who decides, on this machine."""
    monkeypatch.setenv("HITL_LEDGER", there.pods.env["HITL_LEDGER"])
    monkeypatch.setenv("KUBECONFIG", ITS_OWN["KUBECONFIG"])


ENDS: dict[str, Callable[[Run, str], None]] = {
    "approved": Run.approve,
    "rejected": Run.reject,
    "expired": Run.expire,
    "resumed by a stranger": Run.resume_as_a_stranger,
}


def of_a_second(text: str) -> str:
    """The same, with a gate that expires at once."""
    return text.replace('"message: Deploy?"', '"timeout: 1s"').replace("timeout: 1h", "timeout: 1s")


#: What a `resource` template makes: the one kind of object that pods of Argo may create anywhere.
MADE = (
    "{name: deploy, resource: {action: create, manifest: '{apiVersion: argoproj.io/v1alpha1, kind:"
    ' WorkflowTaskResult, metadata: {name: "ran-{{workflow.uid}}"}}\'}}'
)
IN_PODS = {**SHAPES, "resource": of_kind(MADE)}


@pytest.fixture
def ended(there: There, request: pytest.FixtureRequest) -> dict[str, Run]:
    """All shapes, each to this end, some of them at a time."""
    end = request.param
    left = dict(IN_PODS)
    runs: dict[str, Run] = {}
    open_ones: dict[str, Run] = {}
    limit = time.monotonic() + 4 * PATIENCE
    while left or open_ones:
        while left and len(open_ones) < AT_ONCE:
            shape, text = left.popitem()
            run = there.submit(of_a_second(text) if end == "expired" else text)
            runs[shape] = open_ones[shape] = run
        for shape, run in list(open_ones.items()):
            found = run.state()
            if (found.get("status") or {}).get("phase") in ENDED:
                del open_ones[shape]
            for gate, node in waiting(found).items():
                if gate not in run.gates:
                    run.gates[gate] = node
                    ENDS[end](run, gate)
        assert time.monotonic() < limit, [
            (e, r.state().get("status")) for e, r in open_ones.items()
        ]
        time.sleep(0.5)
    return runs


@pytest.mark.parametrize("ended", ["approved"], indirect=True)
def test_every_shape_runs_in_pods_once_it_is_approved(ended: dict[str, Run]) -> None:
    for shape, run in ended.items():
        assert run.phase == "Succeeded", shape
        assert len(run.gates) == GATES.get(shape, 1), shape
        ran = [each["phase"] for each in run.guarded()]
        assert ran == ["Succeeded"] * len(run.gates), shape


@pytest.mark.parametrize("ended", ["rejected", "expired"], indirect=True)
def test_no_shape_starts_a_pod_behind_a_gate_that_is_shut(
    ended: dict[str, Run], request: pytest.FixtureRequest
) -> None:
    says = request.node.callspec.params["ended"]
    for shape, run in ended.items():
        assert run.gates, shape
        assert not run.guarded(), shape
        for gate in run.gates:
            decision = run.recorded(gate)
            assert decision, shape
            assert decision.outcome == says, shape
            if says == "expired":
                assert decision.by is Decider.CLOCK, shape


@pytest.mark.parametrize("ended", ["resumed by a stranger"], indirect=True)
def test_every_shape_is_refused_by_its_own_pod_if_a_stranger_resumes_it(
    ended: dict[str, Run],
) -> None:
    for shape, run in ended.items():
        assert run.gates, shape
        tried = [each for each in run.guarded() if each["phase"] != "Omitted"]
        assert tried, shape
        for each in tried:
            assert each["phase"] == "Failed", shape
            assert each["message"].startswith("hitl-verify: "), shape
            assert "it is still waiting for a decision" in each["message"], shape


# -- whoever starts it, and however often ----------------------------------------------------------

#: It fails unless it is told not to.
TRIES = "{name: deploy, container: {image: x, command: [sh, -c, '{{workflow.parameters.does}}']}}"
GIVEN = "  arguments: {parameters: [{name: does, value: exit 1}]}\n"
RELEASE = manifest(DAG, TRIES, kind="WorkflowTemplate", name="release", more=GIVEN)


def shut(node: Json, why: str) -> bool:
    return node["phase"] == "Failed" and bool(
        re.match(f"hitl-verify: Error .*{why}", node["message"], re.S)
    )


def test_a_guarded_template_that_is_submitted_as_the_entrypoint_does_not_run(there: There) -> None:
    template = there.stored(there.injected(RELEASE)[0])
    given = ("-p", "does=echo", "-p", "hitl-gate=deploy", "-p", "hitl-message=x")
    run = there.argo("submit", "--from", template, "--entrypoint", "deploy", *given)
    assert run.ends() == "Failed"
    [node] = run.guarded()
    assert shut(node, "")


def test_a_run_that_is_tried_again_has_its_approval_with_the_same_parameters_and_no_others(
    there: There,
) -> None:
    run = there.argo("submit", "--from", there.stored(there.injected(RELEASE)[0]))
    gate = run.waits()
    run.approve(gate)
    assert run.ends() == "Failed"
    assert "main: Error (exit code 1)" in run.guarded()[0]["message"]
    there.argo("retry", run.name)
    assert run.ends() == "Failed"
    assert "main: Error (exit code 1)" in run.guarded()[0]["message"]
    there.argo("retry", run.name, "-p", "does=echo")
    assert run.ends() == "Failed"
    assert shut(run.guarded()[0], "")
    # Its nodes in a run of another name are no approval of that run.
    other = there.argo("resubmit", "--memoized", run.name)
    other.until(lambda found: [e for e in nodes_of(found).values() if e["phase"] in ENDED])
    time.sleep(10)
    assert not [each for each in other.guarded() if each["phase"] == "Succeeded"]
    there.tell("terminate", other.name)


def test_a_gate_that_is_suspended_again_is_delivered_again(there: There) -> None:
    run = there.argo("submit", "--from", there.stored(there.injected(RELEASE)[0]))
    gate = run.waits()
    run.approve(gate)
    assert run.ends() == "Failed"
    again = ("--restart-successful", "--node-field-selector", "templateName=hitl-suspend-deploy")
    there.argo("retry", run.name, *again)
    assert run.waits() == gate
    assert cli.main(["resume", gate]) == 0
    assert run.ends() == "Failed"
    assert "main: Error (exit code 1)" in run.guarded()[0]["message"]


DEFAULTS = "  templateDefaults: {suspend: {duration: '3'}, retryStrategy: {limit: 2}}\n"


def test_defaults_of_the_workflow_neither_end_the_wait_nor_ask_again(there: There) -> None:
    text = manifest(DAG, LEAF, more=DEFAULTS)
    text = text.replace('"message: Deploy?"', '"{timeout: 1h, on_timeout: notify}"')
    run = there.submit(text, warns="is no longer retried")
    gate = run.waits()
    time.sleep(10)
    assert run.waits() == gate
    run.reject(gate)
    assert run.ends() == "Failed"
    assert len([e for e in run.nodes() if e["type"] == "Suspend"]) == 1
    assert not run.guarded()


def test_a_pod_whose_gate_is_shut_is_not_tried_again(there: There) -> None:
    text = manifest(DAG, LEAF, more=DEFAULTS)
    run = there.submit(text, warns="is no longer retried")
    run.resume_as_a_stranger(run.waits())
    assert run.ends() == "Failed"
    [node] = run.guarded()
    assert shut(node, "it is still waiting for a decision")


def test_a_run_that_ends_or_goes_on_without_its_gate_has_it_withdrawn(there: There) -> None:
    text = manifest(DAG, LEAF)
    ways = {
        "stop": lambda run: there.tell("stop", run.name),
        "terminate": lambda run: there.tell("terminate", run.name),
        "resume": lambda run: there.tell("resume", run.name),
        "delete": lambda run: there.objects.delete_namespaced_custom_object(*WORKFLOWS, run.name),
    }
    runs = {way: there.submit(text) for way in ways}
    gates = {way: run.waits() for way, run in runs.items()}
    hitl = "import sys; from bridge.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", hitl, "argo", "reconcile", "--namespace", SPACE]
    with subprocess.Popen(command) as watch:
        try:
            time.sleep(10)  # it has seen them
            for way, does in ways.items():
                does(runs[way])
            end = time.monotonic() + PATIENCE
            while not all(run.recorded(gates[way]) for way, run in runs.items()):
                assert time.monotonic() < end, [
                    e for e, r in runs.items() if not r.recorded(gates[e])
                ]
                time.sleep(1)
        finally:
            watch.terminate()
    for way, run in runs.items():
        decision = run.recorded(gates[way])
        assert decision
        assert decision.outcome is Outcome.WITHDRAWN, way


def test_who_submitted_it_is_claimed_as_the_label_of_argo_says(there: There) -> None:
    template = there.stored(there.injected(RELEASE)[0])
    label = "workflows.argoproj.io/creator-preferred-username=alice"
    run = there.argo("submit", "--from", template, "-l", label)
    standing = there.ledger.read(run.waits())
    assert standing
    assert standing.request.initiator == "alice"
    there.tell("terminate", run.name)


def test_the_credential_of_a_ledgers_address_is_in_secrets_alone(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = uuid.uuid4().hex[:6]
    address = there.server.of("ledger.git", "us:s3cret")
    core = client.CoreV1Api()
    for role in ("opener", "reader"):
        made = {"metadata": {"name": f"{role}-{own}"}, "stringData": {"HITL_LEDGER": address}}
        core.create_namespaced_secret(SPACE, made)
    env = {"HITL_OPENER_SECRET": f"opener-{own}", "HITL_READER_SECRET": f"reader-{own}"}
    pods = pods_from_environment({**env, "HITL_LEDGER": address})
    monkeypatch.setattr(there.server, "credential", "us:s3cret")
    monkeypatch.setenv("HITL_LEDGER", address)
    run = replace(there, pods=replace(pods, image=IMAGE)).submit(manifest(DAG, LEAF))
    assert "s3cret" not in str(run.state())
    run.approve(run.waits())
    assert run.ends() == "Succeeded"
    assert "s3cret" not in str(run.state())
