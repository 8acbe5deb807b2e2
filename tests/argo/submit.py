"""What Argo makes of manifests: the workflow that runs, with the templates that others lend it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from bridge.argo.inject import calls

Json = dict[str, Any]

_LENT = ("WorkflowTemplate", "ClusterWorkflowTemplate")


def submitted(documents: Sequence[Json], uid: str = "u-1") -> Json:
    """The run of the last manifest, as `kubectl create`, `argo submit --from` and a schedule do.

    The others lend it their templates, by `templateRef` or as a whole by `workflowTemplateRef`.
    """
    lent = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] in _LENT}
    last = copy.deepcopy(documents[-1])
    spec, labels = last["spec"], (last["metadata"].get("labels") or {})
    if last["kind"] != "Workflow":
        labels = (spec.pop("workflowMetadata", None) or {}).get("labels", {})
    if last["kind"] == "CronWorkflow":
        spec = spec["workflowSpec"]
    whole = spec.pop("workflowTemplateRef", None)
    if whole:
        own = lent[whole["name"]]
        labels = {**(own.get("workflowMetadata") or {}).get("labels", {}), **labels}
        spec = {**copy.deepcopy(own), **spec}
    spec.pop("workflowMetadata", None)
    spec["templates"] = [*spec.get("templates", ()), *_borrowed(spec.get("templates", ()), lent)]
    metadata = {
        "name": "run-1",
        "namespace": "argo",
        "uid": uid,
        "creationTimestamp": "2026-11-24T00:00:00Z",
        "labels": labels,
    }
    return {
        "apiVersion": last["apiVersion"],
        "kind": "Workflow",
        "metadata": metadata,
        "spec": spec,
    }


def _borrowed(templates: Sequence[Json], lent: dict[str, Json]) -> list[Json]:
    """The templates of those that are referred to, under names of their own."""
    found: dict[str, list[Json]] = {}
    for template in templates:
        for call in calls(template):
            reference = call.pop("templateRef", None)
            if reference:
                source = reference["name"]
                call["template"] = f"{source}/{reference['template']}"
                found.setdefault(source, [])
    for source in found:
        for template in copy.deepcopy(lent[source]["templates"]):
            template["name"] = f"{source}/{template['name']}"
            for call in calls(template):
                call["template"] = f"{source}/{call['template']}"
            found[source].append(template)
    return [template for each in found.values() for template in each]
