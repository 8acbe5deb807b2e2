"""`hitl argo inject` warns of what a run holds while its gates wait."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.argo.annotations import annotated
from bridge.argo.held import held
from bridge.argo.inject import inject
from bridge.argo.pod_settings import pods_from_environment

PODS = pods_from_environment({"HITL_LEDGER": "https://git.example/ledger.git"})


def workflow(main: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    templates = [
        {"name": "main", "dag": {"tasks": [{"name": "deploy", "template": "do"}]}, **(main or {})},
        {"name": "do", "container": {"image": "busybox", "command": ["true"]}},
    ]
    return {
        "kind": "Workflow",
        "metadata": {"name": "train", "annotations": {"approval-bridge/deploy": "message: Go?"}},
        "spec": {"entrypoint": "main", "templates": templates, **spec},
    }


def cron(policy: str) -> dict[str, Any]:
    made = workflow()
    spec = {"schedule": "@daily", "concurrencyPolicy": policy, "workflowSpec": made["spec"]}
    return {**made, "kind": "CronWorkflow", "spec": spec}


LOCK = {"mutexes": [{"name": "gpu"}]}
DAEMON = {"name": "db", "daemon": True, "container": {"image": "redis", "command": ["redis"]}}


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (workflow(synchronization=LOCK), "the workflow keeps its lock"),
        (workflow({"synchronization": LOCK}), "the template main keeps its lock"),
        (workflow(templateDefaults={"synchronization": LOCK}), "also to the node that waits"),
        (workflow(volumeClaimTemplates=[{"metadata": {"name": "w"}}]), "keeps its volumes"),
        (cron("Forbid"), "the schedule skips its runs"),
        (cron("Replace"), "the schedule's next run ends the one"),
    ],
)
def test_what_a_waiting_run_holds_is_a_warning(manifest: dict[str, Any], says: str) -> None:
    posts = annotated(manifest, PODS)
    [warning] = held(manifest, posts)
    assert warning.startswith("train: ")
    assert says in warning
    after = inject(manifest, posts)
    assert not list(held(after, annotated(after, PODS)))


def test_a_daemon_that_may_run_while_a_gate_waits_is_a_warning() -> None:
    manifest = workflow()
    manifest["spec"]["templates"].append(DAEMON)
    [warning] = held(manifest, annotated(manifest, PODS))
    assert "the daemon db keeps its pod" in warning


@pytest.mark.parametrize(
    "manifest",
    [workflow(), workflow(parallelism=1), cron("Allow")],
    ids=["plain", "parallelism", "cron"],
)
def test_what_holds_nothing_is_no_warning(manifest: dict[str, Any]) -> None:
    assert not list(held(manifest, annotated(manifest, PODS)))


def test_the_lock_of_a_gated_template_is_taken_behind_the_gate() -> None:
    manifest = workflow()
    manifest["spec"]["templates"][1]["synchronization"] = LOCK
    assert not list(held(manifest, annotated(manifest, PODS)))
