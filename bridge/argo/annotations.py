"""Gates in plain Argo manifests, written as annotations: `approval-bridge/<task>: …`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.argo.inject import Json, Post, calls, inject, spec_of, stands
from bridge.argo.pod_settings import Pods
from bridge.argo.templates import ARTIFACT, asking, suspend
from bridge.core.errors import BridgeError, Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.yaml_text import ambiguous, dump, load

PREFIX: Final = "approval-bridge/"

#: Values may hold Argo's `{{…}}`: the message is literal text here, and rendered by Argo.
FORM: Final = Form(
    approvers="approvers",
    timeout="timeout",
    on_timeout="on_timeout",
    input="input",
    timeout_default="24h",
    others=("artifacts",),
)

#: The kinds that hold a workflow; anything else in a file is passed on as it is.
_KINDS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


def injected(text: str, where: str, pods: Pods) -> str:
    """A file of manifests, with gates in those that ask for them. Raises `Faults`."""
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise Faults(where, [f"it is no YAML: {' '.join(str(error).split())}"]) from None
    except (ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # PyYAML raises these for a value that is not of its type, such as a date of a 13th month:
        # https://github.com/yaml/pyyaml/issues/386
        said = " ".join(str(error).split())
        raise Faults(where, [f"it holds a value that YAML cannot read: {said}"]) from None
    faults = [
        "it holds something that is no manifest"
        for each in documents
        if each is not None and not isinstance(each, dict)
    ]
    if faults:
        raise Faults(where, faults)
    return "".join(f"---\n{dump(_with_gates(each, pods))}" for each in documents if each)


def _with_gates(document: Json, pods: Pods) -> Json:
    if document.get("kind") not in _KINDS:
        return document
    return inject(document, annotated(document, pods))


def annotated(manifest: Mapping[str, Any], pods: Pods) -> list[Post]:
    """A post for each task that an annotation names, and that has none yet.

    Raises `Faults` with every fault of every annotation.
    """
    faults: list[str] = []
    posts: list[Post] = []
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    for key, text in annotations.items():
        if key.startswith(PREFIX):
            try:
                posts += _post(spec_of(manifest), key.removeprefix(PREFIX), text, pods)
            except BridgeError as error:
                said = error.faults if isinstance(error, Faults) else [str(error)]
                faults += [f"{key}: {each}" for each in said]
    if faults:
        raise Faults("the annotations", faults)
    return posts


def _post(spec: Mapping[str, Any], name: str, text: str, pods: Pods) -> Iterator[Post]:
    said = load(text, "the annotation")
    faults = list(ambiguous(text))
    artifacts = _artifacts(said, text, faults)
    owners = [
        each for each in spec["templates"] if any(call["name"] == name for call in calls(each))
    ]
    if len(owners) != 1:
        faults.append(f"{len(owners)} tasks and steps are called {name}; it takes exactly one")
    asked = read(said, FORM, name, asks=f"May {name} run?", besides=faults)
    arguments = _arguments(name, asked, artifacts)
    [owner] = owners
    if stands(owner, name):
        return
    opens, verifies = asking(name, list(arguments), pods)
    yield Post(
        name=name,
        owner=owner["name"],
        task=name,
        templates=(opens, suspend(name, asked.policy), verifies),
        timeout=asked.timeout,
        arguments={"parameters": [{"name": k, "value": v} for k, v in arguments.items()]},
    )


def _artifacts(said: Json, text: str, faults: list[str]) -> dict[str, str]:
    """Each as it is written, for Argo hands on text: `1.10` is not 1.1. What is nested is JSON."""
    import yaml

    found = said.get("artifacts") or {}
    if not isinstance(found, dict):
        faults.append("`artifacts` must be a mapping from names to values")
        return {}
    unclear = [each for each in found if not isinstance(each, str)]
    faults += [
        f"`artifacts`: the name {each!r} must be text: put it in quotation marks"
        for each in unclear
    ]
    if not found or unclear:
        return {}
    written = yaml.load(text, Loader=yaml.BaseLoader)["artifacts"]  # noqa: S506 - of texts alone
    return {
        name: json.dumps(value, default=str) if isinstance(value, dict | list) else as_written
        for (name, as_written), value in zip(written.items(), found.values(), strict=True)
    }


def _arguments(name: str, asked: GateSpec, artifacts: Mapping[str, str]) -> dict[str, str]:
    """The parameters of notify and verify: all text, as Argo hands it on."""
    return {
        "gate": name,
        "message": asked.message,
        "approvers": ", ".join(asked.approvers),
        "timeout": str(asked.timeout or ""),
        "on-timeout": asked.on_timeout.value,
        "input": json.dumps(asked.schema or {}),
        **{f"{ARTIFACT}{key}": value for key, value in artifacts.items()},
    }
