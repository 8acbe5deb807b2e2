"""The stand-ins for Argo's controller and its API do what the real ones were recorded doing.

`data/argo` holds workflows as Argo 4.1.2 ran them: what was submitted, each patch that was sent,
and what stood whenever the workflow had come to rest; `summary.yaml` has its nodes at a glance.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch

from bridge.argo.inject import LABEL
from tests.argo import api
from tests.argo.controller import Controller

OBJECTS = Path(__file__).parent / "data" / "argo"

#: What the stand-in does not speak: nodes that the real one packed, because it was told to.
NOT_SPOKEN = ["compressed-brotli", "compressed-gzip", "compressed-zstd"]
RECORDINGS = [each for each in sorted(OBJECTS.iterdir()) if each.name not in NOT_SPOKEN]

LONG = 100_000  # seconds: longer than any recorded duration


class Shell:
    """A pod of the recordings: a line of shell."""

    refused = None

    def __init__(self, template: Any, node: Any) -> None:
        command = template["container"]["command"] + template["container"]["args"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def poll(self) -> int | None:
        return self._process.poll()

    def output(self, path: str) -> str | None:
        return None


def submitted(folder: Path) -> Any:
    made = yaml.safe_load((folder / "workflow.yaml").read_text())
    own = {"uid": uid_in(folder), "creationTimestamp": "2026-11-23T18:00:00Z"}
    made["metadata"] = {"namespace": "argo", **made["metadata"], **own}
    return made


def uid_in(folder: Path) -> str:
    """The one that the patches ask for."""
    first = [json.loads(each.read_text())[0] for each in folder.glob("*-patch.json")]
    return next((each["value"] for each in first if each["path"] == "/metadata/uid"), "u")


def shown(controller: Controller) -> Any:
    """In the words of a recording's summary."""

    def node(each: Any) -> Any:
        found = {key: each[key] for key in ("type", "phase", "message") if each.get(key)}
        parameters = (each.get("outputs") or {}).get("parameters")
        if parameters:
            found["outputs"] = {one["name"]: one.get("value") for one in parameters}
        return {"name": each["name"].replace(controller.name, "WF", 1), **found}

    return {
        "phase": controller.status["phase"],
        "message": controller.status.get("message"),
        "nodes": sorted(map(node, controller.nodes.values()), key=lambda each: str(each["name"])),
    }


def expected(step: Any) -> Any:
    nodes = sorted(step["nodes"], key=lambda each: each["name"])
    return {"phase": step["phase"], "message": step["message"], "nodes": nodes}


def nameless(value: Any, name: str) -> str:
    return re.sub(rf"(WF|{name})(-\d+)?", "WF", json.dumps(value, indent=1, sort_keys=True))


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda each: each.name)
def test_every_recorded_state_is_reached(folder: Path) -> None:
    cluster, controller = api.Cluster(), Controller(submitted(folder), Shell)
    cluster.submit(controller.workflow)
    before = ""
    for step in yaml.safe_load((folder / "summary.yaml").read_text())["steps"]:
        number, kind = step["file"].removesuffix(".json").split("-", 1)
        if kind in ("patched", "refused"):
            patch = json.loads((folder / f"{number}-patch.json").read_text())
            with pytest.raises(api.Refused) if kind == "refused" else nullcontext():
                cluster.patch("argo", folder.name, api.JSON_PATCH, patch)
        elif before == "settled":
            controller.now += LONG
        if kind == "settled":
            cluster.settle(controller)
        if kind != "refused":
            assert nameless(shown(controller), folder.name) == nameless(expected(step), folder.name)
        before = kind


def test_packed_nodes_are_not_spoken() -> None:
    [linear] = [each for each in RECORDINGS if each.name == "linear-approved"]
    assert len(RECORDINGS) == 22
    for name in NOT_SPOKEN:
        packed = recorded(f"{name}/01-settled.json")
        with pytest.raises(AssertionError, match=r"knows no .*compressedNodes.* of a status"):
            Controller({**submitted(linear), "status": packed["status"]}, Shell)


def test_what_it_does_not_know_it_does_not_run() -> None:
    strange = submitted(RECORDINGS[0])
    strange["spec"]["templates"][0]["parallelism"] = 3
    with pytest.raises(AssertionError, match="knows no parallelism of a template"):
        Controller(strange, Shell)


# -- the API, as the client of Kubernetes meets it -----------------------------------------------

KIND = ("argoproj.io", "v1alpha1", "argo", "workflows")


@pytest.fixture
def cluster() -> Iterator[api.Cluster]:
    with api.serving() as found:
        yield found


@pytest.fixture
def kubernetes(cluster: api.Cluster, tmp_path: Path) -> Iterator[client.CustomObjectsApi]:
    with config.new_client_from_config(str(cluster.kubeconfig(tmp_path))) as made:
        yield client.CustomObjectsApi(made)


def recorded(name: str) -> Any:
    return json.loads((OBJECTS / name).read_text())


@pytest.mark.parametrize(
    ("patch", "how"),
    [
        ("compressed-gzip/02-merge-patch.json", api.MERGE_PATCH),
        ("linear-approved/02-patch.json", api.JSON_PATCH),
    ],
)
def test_a_patch_is_taken_once_and_refused_in_the_recorded_words(
    patch: str, how: str, cluster: api.Cluster, kubernetes: client.CustomObjectsApi
) -> None:
    folder = patch.partition("/")[0]
    submitted = recorded(f"{folder}/01-settled.json")
    cluster.version = int(submitted["metadata"]["resourceVersion"]) - 1
    cluster.submit(submitted)
    sent = [*KIND, folder, recorded(patch)]
    after = kubernetes.patch_namespaced_custom_object(*sent, _content_type=how)
    assert after["status"] == recorded(f"{folder}/02-patched.json")["status"]
    with pytest.raises(client.ApiException) as refused:
        kubernetes.patch_namespaced_custom_object(*sent, _content_type=how)
    json_patch = how == api.JSON_PATCH
    of = "approved-twice/04-refused.json" if json_patch else "compressed-gzip/03-refused.json"
    assert refused.value.status == recorded(of)["status"]
    assert json.loads(refused.value.body) == recorded(of)["body"]
    assert kubernetes.get_namespaced_custom_object(*KIND, folder) == after


def test_a_list_sent_as_a_merge_patch_is_a_bad_request(
    cluster: api.Cluster, kubernetes: client.CustomObjectsApi
) -> None:
    cluster.submit(recorded("linear-approved/01-settled.json"))
    with pytest.raises(client.ApiException) as refused:
        kubernetes.patch_namespaced_custom_object(
            *KIND, "linear-approved", [], _content_type=api.MERGE_PATCH
        )
    assert refused.value.status == 400


def test_a_label_is_listed_by_pages_and_watched_from_there(
    cluster: api.Cluster, kubernetes: client.CustomObjectsApi
) -> None:
    for name in ("a", "b", "c", "d"):
        labels = {} if name == "b" else {LABEL: "true"}
        own = {"namespace": "argo", "name": name, "uid": name, "labels": labels}
        cluster.submit({"metadata": own})
    asked = {"label_selector": f"{LABEL}=true", "limit": 2}
    first = kubernetes.list_namespaced_custom_object(*KIND, **asked)
    follow = first["metadata"]["continue"]
    second = kubernetes.list_namespaced_custom_object(*KIND, **asked, _continue=follow)
    names = [each["metadata"]["name"] for page in (first, second) for each in page["items"]]
    assert names == ["a", "c", "d"]
    assert "continue" not in second["metadata"]
    for name in ("b", "c"):
        cluster.delete(cluster.get("argo", name))
    since = second["metadata"]["resourceVersion"]
    seen = watch.Watch().stream(
        kubernetes.list_namespaced_custom_object,
        *KIND,
        label_selector=f"{LABEL}=true",
        resource_version=since,
        timeout_seconds=1,
    )
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in seen] == [
        ("DELETED", "c")
    ]
