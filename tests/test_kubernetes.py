"""On a real API server: every write, every refusal, the roles.

`make test-cluster`; each test has a namespace of its own. It takes the resource types of Argo
Workflows, and no controller: nothing here is run.
"""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

from bridge.argo.compressed_nodes import packed_again
from bridge.argo.inject import LABEL
from bridge.argo.kubernetes import Kubernetes
from bridge.argo.nodes import nodes_of
from bridge.cli import main as cli
from bridge.core.delivery import Delivery, Move, Workflow
from bridge.core.errors import ClusterUnavailable
from bridge.core.model import ApprovalRequest, Decision, Standing, on_github
from bridge.gates.deliver import deliver, over
from bridge.gates.on_github import OnGitHub
from bridge.gates.reconciler import Watch
from bridge.ledger.git_ledger import GitLedger, create
from bridge.local.notify import Silent
from bridge.setup.kubernetes_manifests import Deployed, files
from bridge.wiring import clock
from tests.clusters import administrator, kubeconfig
from tests.ledgers import NOON, a_decision, a_rejection, a_request

pytestmark = pytest.mark.cluster

WORKFLOWS = ("argoproj.io", "v1alpha1")


class Place:
    """A namespace of the cluster, as whoever administers it."""

    def __init__(self, folder: Path, api: client.ApiClient) -> None:
        self.folder = folder
        self.name = f"hitl-{uuid.uuid4().hex[:8]}"
        self.api, self.core = api, client.CoreV1Api(api)
        self.objects = client.CustomObjectsApi(api)
        self.core.create_namespace({"metadata": {"name": self.name}})

    def submit(self, name: str = "run-1", **status: Any) -> ApprovalRequest:
        """A run that waits at one gate, and has another suspended node."""
        request = a_request(f"Flow/argo-{self.name}-{name}/deploy/1")
        nodes = {"ours": node("ours", request.gate.id), "another": node("another", "0" * 12)}
        made = self.objects.create_namespaced_custom_object(
            *WORKFLOWS,
            self.name,
            "workflows",
            {
                "apiVersion": "/".join(WORKFLOWS),
                "kind": "Workflow",
                "metadata": {"name": name, "labels": {LABEL: "true"}},
                "spec": {},
            },
        )
        # As its controller does: no run has nodes when it is made.
        self.patch({"status": {"phase": "Running", "nodes": nodes, **status}}, name)
        return replace(request, workflow=Workflow(self.name, name, made["metadata"]["uid"]))

    def get(self, name: str = "run-1") -> dict[str, Any]:
        found: dict[str, Any] = self.objects.get_namespaced_custom_object(
            *WORKFLOWS, self.name, "workflows", name
        )
        return found

    def patch(self, patch: dict[str, Any], name: str = "run-1") -> None:
        self.objects.patch_namespaced_custom_object(
            *WORKFLOWS, self.name, "workflows", name, patch,
            _content_type="application/merge-patch+json",
        )  # fmt: skip

    def nodes(self, name: str = "run-1") -> dict[str, Any]:
        return nodes_of(self.get(name))

    def apply(self) -> None:
        """The manifests that we ship."""
        for path, text in files(Deployed(self.name, "bridge:1", "github:acme/models")).items():
            if path.endswith(("reconciler.yaml", "push.yaml")):
                for each in yaml.safe_load_all(text):
                    utils.create_from_dict(self.api, each)

    def kubeconfig(self, account: str) -> str:
        """A file by which one is this service account, with a token of its own."""
        asked = {"spec": {"audiences": None, "expirationSeconds": 3600}}
        token = self.core.create_namespaced_service_account_token(account, self.name, asked)
        made = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        made["users"] = [{"name": "us", "user": {"token": token.status.token}}]
        for each in made["contexts"]:
            each["context"]["user"] = "us"
        path = self.folder / f"{account}.yaml"
        path.write_text(yaml.safe_dump(made))
        return str(path)


def node(name: str, gate: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "type": "Suspend",
        "phase": "Running",
        "inputs": {"parameters": [{"name": "gate", "value": gate}]},
        "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
    }


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    with (
        kubeconfig(tmp_path_factory.mktemp("apiserver")) as file,
        pytest.MonkeyPatch.context() as to,
    ):
        to.setenv("KUBECONFIG", str(file))
        yield administrator(file)


@pytest.fixture
def at(tmp_path: Path, api: client.ApiClient) -> Iterator[Place]:
    place = Place(tmp_path, api)
    yield place
    if place.objects.list_namespaced_custom_object(*WORKFLOWS, place.name, "workflows", limit=1)[
        "items"
    ]:
        place.objects.delete_collection_namespaced_custom_object(
            *WORKFLOWS, place.name, "workflows"
        )
    place.core.delete_namespace(place.name)


def here(file: str | None = None, namespace: str | None = None) -> Kubernetes:
    return Kubernetes(file or os.environ["KUBECONFIG"], namespace)


def recorded(request: ApprovalRequest, decision: Decision) -> Standing:
    return Standing(request, decision, "c" * 40, None)


def approved(request: ApprovalRequest) -> Standing:
    return recorded(request, a_decision(request))


# -- writing ---------------------------------------------------------------------------------------


def test_an_approval_moves_its_own_node_and_no_other(at: Place) -> None:
    request = at.submit()
    assert deliver(here(), approved(request), NOON).delivery is Delivery.RESUMED
    assert (at.nodes()["ours"]["phase"], at.nodes()["another"]["phase"]) == ("Succeeded", "Running")
    outputs = at.nodes()["ours"]["outputs"]["parameters"]
    assert outputs == [{"name": "decision", "value": "approved"}]
    assert deliver(here(), approved(request), NOON).delivery is Delivery.ALREADY


def test_a_rejection_fails_its_node(at: Place) -> None:
    request = at.submit()
    deliver(here(), recorded(request, a_rejection(request)), NOON)
    assert at.nodes()["ours"]["phase"] == "Failed"


def test_compressed_nodes_are_written_again_with_all_the_others(at: Place) -> None:
    request = at.submit()
    nodes = at.nodes()
    at.patch({"status": {"nodes": None, "compressedNodes": packed_again(nodes)}})
    assert deliver(here(), approved(request), NOON).delivery is Delivery.RESUMED
    assert "nodes" not in at.get()["status"]
    assert at.nodes()["ours"]["phase"] == "Succeeded"
    assert at.nodes()["another"] == nodes["another"]


@pytest.mark.parametrize("packed", [False, True], ids=["a failed test", "a stale version"])
def test_who_wrote_between_our_look_and_our_write_wins(at: Place, packed: bool) -> None:
    class Overtaken(Kubernetes):
        def move(self, named: Workflow, seen: Any, move: Move) -> bool:
            nodes = nodes_of(seen)
            nodes["ours"] |= {"phase": "Failed", "message": "stopped by hand"}
            at.patch({"status": {"compressedNodes": packed_again(nodes)} if packed else
                      {"nodes": nodes}})  # fmt: skip
            assert not super().move(named, seen, move)
            return False

    request = at.submit()
    if packed:
        at.patch({"status": {"nodes": None, "compressedNodes": packed_again(at.nodes())}})
    found = deliver(Overtaken(os.environ["KUBECONFIG"]), approved(request), NOON)
    assert found.delivery is Delivery.ALREADY
    assert "is Failed already (stopped by hand)" in found.says
    assert at.nodes()["ours"]["message"] == "stopped by hand"


def test_a_write_elsewhere_in_compressed_nodes_is_read_again_and_not_lost(at: Place) -> None:
    class Written(Kubernetes):
        times = 0

        def move(self, named: Workflow, seen: Any, move: Move) -> bool:
            self.times += 1
            if self.times == 1:
                nodes = nodes_of(seen)
                nodes["third"] = node("third", "1" * 12)
                at.patch({"status": {"compressedNodes": packed_again(nodes)}})
            return super().move(named, seen, move)

    request = at.submit()
    at.patch({"status": {"nodes": None, "compressedNodes": packed_again(at.nodes())}})
    cluster = Written(os.environ["KUBECONFIG"])
    assert deliver(cluster, approved(request), NOON).delivery is Delivery.RESUMED
    assert cluster.times == 2
    assert set(at.nodes()) == {"ours", "another", "third"}


def test_a_deadline_that_overtook_us_after_our_write_is_what_is_told(at: Place) -> None:
    class Overtaken(Kubernetes):
        def move(self, named: Workflow, seen: Any, move: Move) -> bool:
            moved = super().move(named, seen, move)
            at.patch({"status": {"nodes": {"ours": {"message": "deadline", "phase": "Succeeded"}}}})
            return moved

    request = at.submit()
    found = deliver(Overtaken(os.environ["KUBECONFIG"]), approved(request), NOON)
    assert (found.delivery, found.message) == (Delivery.ALREADY, "deadline")


def test_what_is_gone_ended_offloaded_or_another_run_is_classified(at: Place) -> None:
    request = at.submit()
    assert request.workflow
    away = replace(request, workflow=replace(request.workflow, name="gone"))
    assert deliver(here(), approved(away), NOON).delivery is Delivery.GONE
    assert over(here(), away) == (f"the run {at.name}/gone is gone", None)
    other = replace(request, workflow=replace(request.workflow, uid="u"))
    assert deliver(here(), approved(other), NOON).delivery is Delivery.OTHER_RUN
    at.patch({"status": {"offloadNodeStatusVersion": "fnv:1"}})
    assert deliver(here(), approved(request), NOON).delivery is Delivery.OFFLOADED
    at.patch({"status": {"offloadNodeStatusVersion": None, "phase": "Failed"}})
    assert deliver(here(), approved(request), NOON).delivery is Delivery.ENDED


# -- who may ---------------------------------------------------------------------------------------


def refused(action: Any) -> bool:
    with pytest.raises(client.ApiException) as raised:
        action()
    return bool(raised.value.status == 403)


def acting_as(file: str) -> tuple[client.CustomObjectsApi, client.CoreV1Api]:
    own = config.new_client_from_config(file)
    return client.CustomObjectsApi(own), client.CoreV1Api(own)


@pytest.mark.parametrize("account", ["hitl-push", "hitl-reconciler"])
def test_each_account_delivers_and_can_do_nothing_besides(at: Place, account: str) -> None:
    at.apply()
    request = at.submit()
    file = at.kubeconfig(account)
    assert deliver(here(file), approved(request), NOON).delivery is Delivery.RESUMED
    objects, core = acting_as(file)
    where = (*WORKFLOWS, at.name, "workflows")
    elsewhere = (*WORKFLOWS, "default", "workflows")
    assert refused(lambda: objects.create_namespaced_custom_object(*where, at.get()))
    assert refused(lambda: objects.delete_namespaced_custom_object(*where, "run-1"))
    assert refused(lambda: objects.replace_namespaced_custom_object(*where, "run-1", at.get()))
    assert refused(lambda: objects.get_namespaced_custom_object(*elsewhere, "run-1"))
    assert refused(lambda: objects.list_cluster_custom_object(*WORKFLOWS, "workflows"))
    assert refused(lambda: core.list_namespaced_secret(at.name))
    assert refused(lambda: core.list_namespaced_pod(at.name))
    lists = lambda: objects.list_namespaced_custom_object(*where)  # noqa: E731
    if account == "hitl-push":
        assert refused(lists)
    else:
        assert lists()["items"]


def test_the_account_for_argo_server_reads_and_updates_and_patches_nothing(at: Place) -> None:
    at.apply()
    request = at.submit()
    file = at.kubeconfig("hitl-push-server")
    objects, _ = acting_as(file)
    where = (*WORKFLOWS, at.name, "workflows")
    found = objects.get_namespaced_custom_object(*where, "run-1")
    objects.replace_namespaced_custom_object(*where, "run-1", found)
    with pytest.raises(
        ClusterUnavailable, match=r"refuses to patch the workflow .*: 403 Forbidden"
    ):
        deliver(here(file), approved(request), NOON)
    assert refused(lambda: objects.list_namespaced_custom_object(*where))


@pytest.fixture
def guarded(at: Place) -> Iterator[Place]:
    """A namespace, for which alone the shipped admission policies are in force."""
    at.apply()
    text = files(Deployed(at.name, "bridge:1", "github:acme/models"))["kubernetes/admission.yaml"]
    here_alone = {"matchLabels": {"kubernetes.io/metadata.name": at.name}}
    rules = client.AdmissionregistrationV1Api(at.api)
    names = []
    for each in yaml.safe_load_all(text):
        name = each["metadata"]["name"] = f"{each['metadata']['name']}-{at.name}"
        if each["kind"] == "ValidatingAdmissionPolicy":
            rules.create_validating_admission_policy(each)
            names.append(name)
            continue
        each["spec"]["policyName"] = name
        each["spec"]["matchResources"] = {"namespaceSelector": here_alone}
        rules.create_validating_admission_policy_binding(each)
    at.submit("probe")
    in_force(at)
    yield at
    for name in names:
        rules.delete_validating_admission_policy_binding(name)
        rules.delete_validating_admission_policy(name)


def in_force(at: Place) -> None:
    """A policy takes a moment. Both are read together, so the one for everybody is there too."""
    objects, _ = acting_as(at.kubeconfig("hitl-push"))
    end = time.monotonic() + 60
    while tried(objects, at, {"metadata": {"labels": {"x": "y"}}}, "probe") != 403:
        assert time.monotonic() < end, "the policies are not in force after a minute"
        time.sleep(0.5)
    while made(at, nodes=True) != 403:
        assert time.monotonic() < end, "the policies are not in force after a minute"
        time.sleep(0.5)


def tried(objects: client.CustomObjectsApi, at: Place, patch: Any, name: str = "run-1") -> int:
    """The answer to this patch, 200 if it is taken. Nothing is changed."""
    kind = "json-patch" if isinstance(patch, list) else "merge-patch"
    try:
        objects.patch_namespaced_custom_object(
            *WORKFLOWS, at.name, "workflows", name, patch, dry_run="All",
            _content_type=f"application/{kind}+json",
        )  # fmt: skip
    except client.ApiException as error:
        return int(error.status)
    return 200


def made(at: Place, *, nodes: bool) -> int:
    """The answer to a new workflow with gates, whose nodes another run has done or not."""
    found = {key: value for key, value in at.get("probe").items() if key != "status"}
    found["metadata"] = {"generateName": "again-", "labels": {LABEL: "true"}}
    status = {"status": at.get("probe")["status"]} if nodes else {}
    try:
        at.objects.create_namespaced_custom_object(
            *WORKFLOWS, at.name, "workflows", {**found, **status}, dry_run="All"
        )
    except client.ApiException as error:
        return int(error.status)
    return 201


OURS = "/status/nodes/ours"
REWRITES: dict[str, Any] = {
    "the spec": {"spec": {"entrypoint": "x"}},
    "a stop": {"spec": {"shutdown": "Stop"}},
    "a label": {"metadata": {"labels": {LABEL: "false"}}},
    "an annotation": {"metadata": {"annotations": {"x": "y"}}},
    "an owner": {"metadata": {"finalizers": ["x/y"]}},
    "the stored spec": {"status": {"storedWorkflowTemplateSpec": {"templates": []}}},
    "the phase of the run": {"status": {"phase": "Succeeded"}},
    "the outputs of the run": {"status": {"outputs": {"parameters": []}}},
    "compression": {"status": {"compressedNodes": "x"}},
    "two nodes": [
        {"op": "replace", "path": f"{OURS}/phase", "value": "Succeeded"},
        {"op": "replace", "path": "/status/nodes/another/phase", "value": "Succeeded"},
    ],
    "a new node": [{"op": "add", "path": "/status/nodes/new", "value": {"phase": "Succeeded"}}],
    "a node removed": [{"op": "remove", "path": "/status/nodes/another"}],
    "the gate of the node": [{"op": "replace", "path": f"{OURS}/inputs", "value": {}}],
    "the node skipped": [{"op": "replace", "path": f"{OURS}/phase", "value": "Skipped"}],
    "an output more": [
        {"op": "add", "path": f"{OURS}/outputs/parameters/-", "value": {"name": "x", "value": "y"}}
    ],
    "an exit code": [{"op": "add", "path": f"{OURS}/outputs/exitCode", "value": "0"}],
    "a delivery and more": [
        {"op": "replace", "path": f"{OURS}/phase", "value": "Succeeded"},
        {"op": "add", "path": "/spec/entrypoint", "value": "x"},
    ],
}


def test_under_the_policies_an_account_delivers_and_rewrites_nothing(guarded: Place) -> None:
    approves, rejects = guarded.submit(), guarded.submit("run-2")
    file = guarded.kubeconfig("hitl-reconciler")
    objects, _ = acting_as(file)
    answers = {what: tried(objects, guarded, patch) for what, patch in REWRITES.items()}
    assert answers == dict.fromkeys(REWRITES, 403)
    assert deliver(here(file), approved(approves), NOON).delivery is Delivery.RESUMED
    rejected = recorded(rejects, a_rejection(rejects))
    assert deliver(here(file), rejected, NOON).phase == "Failed"
    packed = guarded.submit("run-3")
    nodes = packed_again(guarded.nodes("run-3"))
    guarded.patch({"status": {"nodes": None, "compressedNodes": nodes}}, "run-3")
    assert deliver(here(file), approved(packed), NOON).delivery is Delivery.RESUMED


def test_under_the_policies_a_run_with_gates_begins_without_another_runs_nodes(
    guarded: Place,
) -> None:
    assert made(guarded, nodes=True) == 403
    assert made(guarded, nodes=False) == 201


def test_the_shipped_manifests_are_taken_whole(at: Place) -> None:
    at.apply()
    apps = client.AppsV1Api(at.api)
    made = apps.read_namespaced_deployment("hitl-reconciler", at.name)
    [container] = made.spec.template.spec.containers
    assert container.security_context.read_only_root_filesystem


@pytest.mark.parametrize(
    ("account", "access"),
    [
        ("hitl-reconciler", "✓ access: this account delivers to workflows in {}, by push and by"
         " pull"),
        ("hitl-push", "✓ access: this account delivers to workflows in {} by push; for pull it"
         " lacks list, watch"),
        ("hitl-push-server", "✓ access: this account delivers to workflows in {} through Argo"
         " Server, with its token"),
        ("default", "✗ access: this account may not get, patch, list, watch workflows in {}"),
    ],
)  # fmt: skip
def test_the_doctor_says_what_an_account_may(
    at: Place, account: str, access: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    at.apply()
    if account == "default":  # which the controller manager makes, and there may be none
        with suppress(client.ApiException):
            at.core.create_namespaced_service_account(at.name, {"metadata": {"name": account}})
    monkeypatch.setenv("KUBECONFIG", at.kubeconfig(account))
    code = cli.main(["doctor", "--kubernetes", "--namespace", at.name])
    said = capsys.readouterr().out.splitlines()
    assert "✓ argo: the cluster knows Argo's workflows" in said
    assert access.format(at.name) in said
    assert not [each for each in said if "which no delivery needs" in each]
    assert code == (1 if account == "default" else 0)


def test_the_doctor_warns_of_an_account_that_may_everything(
    at: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--kubernetes", "--namespace", at.name]) == 0
    said = capsys.readouterr().out
    assert "! least: this account may also create workflows, delete workflows, get secrets" in said
    assert f"✓ access: this account delivers to workflows in {at.name}, by push and by pull" in said
    assert "defaults:" not in said  # no controller is configured in this namespace


def test_the_doctor_reads_the_controllers_configuration_as_an_administrator_alone(
    at: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at.apply()
    retries = "spec: {templateDefaults: {retryStrategy: {limit: 2}}}"
    name = {"name": "workflow-controller-configmap"}
    made = {"metadata": name, "data": {"workflowDefaults": retries}}
    at.core.create_namespaced_config_map(at.name, made)
    asked = ["doctor", "--kubernetes", "--namespace", at.name]
    assert cli.main(asked) == 0
    said = capsys.readouterr().out
    assert "! defaults: the controller's workflowDefaults retry every template" in said
    assert "! referencing: anyone who may create workflows can write one without a gate" in said
    monkeypatch.setenv("KUBECONFIG", at.kubeconfig("hitl-reconciler"))
    assert cli.main(asked) == 0
    assert "defaults:" not in capsys.readouterr().out


def test_the_doctor_tries_the_policies_as_the_account_that_delivers(
    guarded: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = guarded.get("probe")
    asked = ["doctor", "--kubernetes", "--namespace", guarded.name]
    monkeypatch.setenv("KUBECONFIG", guarded.kubeconfig("hitl-reconciler"))
    assert cli.main(asked) == 0
    said = "rewriting a workflow is refused, and a delivery is accepted, tried by dry runs"
    assert f"✓ admission: {said}" in capsys.readouterr().out
    assert guarded.get("probe") == before


def test_the_doctor_finds_that_no_policy_holds(
    at: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at.apply()
    at.submit()
    before = at.get()
    asked = ["doctor", "--kubernetes", "--namespace", at.name]
    assert cli.main(asked) == 0  # an administrator
    assert "! admission: this account may rewrite a waiting workflow" in capsys.readouterr().out
    monkeypatch.setenv("KUBECONFIG", at.kubeconfig("hitl-reconciler"))
    assert cli.main(asked) == 1
    assert "✗ admission: this account may rewrite a waiting workflow" in capsys.readouterr().out
    assert at.get() == before


# -- many ------------------------------------------------------------------------------------------


class Counted(Kubernetes):
    """Counts what is asked of the API."""

    pages = 0

    def gated(self) -> Any:
        for each in super().gated():
            self.pages += 1
            yield each


def test_ten_thousand_waiting_runs_are_one_list_and_one_watch(at: Place) -> None:
    at.apply()
    with ThreadPoolExecutor(16) as pool:
        requests = list(pool.map(lambda number: at.submit(f"run-{number}"), range(10_000)))
    create(at.folder / "l.git")
    ledger = GitLedger(str(at.folder / "l.git"), at.folder / "people")
    for request in requests[:3]:
        ledger.open(request, "")
    ledger.record(a_decision(requests[0]))
    cluster = Counted(at.kubeconfig("hitl-reconciler"), at.name)
    own = GitLedger(str(at.folder / "l.git"), at.folder / "watch")
    # On GitHub, where no clock of the cluster decides: what is asked here is long overdue.
    venue = OnGitHub(on_github("acme/models"), own, Silent(), clock, lambda: pytest.fail("GitHub"))
    watch = Watch(cluster, venue, lambda _: venue, clock, lambda _: None)

    version = watch.list_all()
    watch.round()
    assert (watch.progress.waiting, cluster.pages) == (2 * 10_000, 20)
    assert at.nodes("run-0")["ours"]["phase"] == "Succeeded"

    ledger.record(a_decision(requests[1]))
    ledger.record(a_rejection(requests[2]))
    version = watch.listen(version, 1)
    watch.round()
    assert at.nodes("run-1")["ours"]["phase"] == "Succeeded"
    assert at.nodes("run-2")["ours"]["phase"] == "Failed"
    watch.listen(version, 1)
    watch.round()
    assert watch.progress.deliveries == {"resumed": 3}
    assert cluster.pages == 20


def test_a_watch_from_a_version_that_never_was_is_listed_again_or_told(at: Place) -> None:
    with pytest.raises(ClusterUnavailable, match="refuses to watch workflows"):
        list(here(None, at.name).changes("not-a-version", 1))


def test_a_token_that_is_nobodys_is_one_sentence(at: Place) -> None:
    made = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    secret = base64.b64encode(b"nobody").decode()
    made["users"] = [{"name": each["name"], "user": {"token": secret}} for each in made["users"]]
    path = at.folder / "nobody.yaml"
    path.write_text(yaml.safe_dump(made))
    with pytest.raises(ClusterUnavailable, match="401 Unauthorized") as raised:
        deliver(here(str(path)), approved(at.submit()), NOON)
    assert secret not in str(raised.value)
    assert at.nodes()["ours"]["phase"] == "Running"
