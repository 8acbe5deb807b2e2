"""Gates in plain Argo manifests, written as annotations: `approval-bridge/<task>: …`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from bridge.argo.inject import Json, Post, calls, inject, spec_of, stands
from bridge.argo.pod_settings import Pods
from bridge.argo.templates import ARTIFACT, asking, suspend
from bridge.core import durations
from bridge.core.errors import BridgeError, Faults
from bridge.core.input_fields import schema_of
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.core.yaml_text import dump, load

T = TypeVar("T")

PREFIX: Final = "approval-bridge/"

_KEYS: Final = ("message", "approvers", "timeout", "on_timeout", "input", "artifacts")


#: Where workflows stand; whatever else a file holds is handed on as it is.
_KINDS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


def injected(text: str, where: str, pods: Pods) -> str:
    """A file of manifests, with gates in those that ask for them. Raises `Faults`."""
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise Faults(where, [f"it is no YAML: {' '.join(str(error).split())}"]) from None
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
    asked = _Annotation(load(text, "the annotation"))
    arguments, policy = asked.arguments(name), asked.policy()
    owners = [
        each for each in spec["templates"] if any(call["name"] == name for call in calls(each))
    ]
    if len(owners) != 1:
        asked.faults.append(
            f"{len(owners)} tasks and steps are called {name}; it takes exactly one"
        )
    if asked.faults:
        raise Faults(name, asked.faults)
    [owner] = owners
    if stands(owner, name):
        return
    opens, verifies = asking(name, list(arguments), pods)
    yield Post(
        name=name,
        owner=owner["name"],
        task=name,
        templates=(opens, suspend(name, policy), verifies),
        timeout=policy.timeout,
        arguments={"parameters": [{"name": k, "value": v} for k, v in arguments.items()]},
    )


class _Annotation:
    """What a gate asks, as its author wrote it. Values may hold Argo's `{{…}}`."""

    def __init__(self, said: Json) -> None:
        self._said = said
        self.faults = [
            f"{key} is no word of a gate; there are {', '.join(_KEYS)}"
            for key in said
            if key not in _KEYS
        ]

    def arguments(self, name: str) -> dict[str, str]:
        """The parameters of notify and verify: all text, as Argo hands it on."""
        found = {
            "gate": name,
            "message": str(self._said.get("message") or f"May {name} run?"),
            "approvers": ", ".join(self._approvers()),
            "timeout": str(self._timeout() or ""),
            "on-timeout": self._on_timeout().value,
            "input": json.dumps(self._schema() or {}),
        }
        artifacts = self._said.get("artifacts") or {}
        if not isinstance(artifacts, dict):
            self.faults.append("artifacts is a mapping from names to values")
            return found
        return found | {f"{ARTIFACT}{key}": str(value) for key, value in artifacts.items()}

    def policy(self) -> Policy:
        return Policy(Approvals(Actors(anyone=True)), self._timeout(), self._on_timeout())

    def _approvers(self) -> list[str]:
        said = self._said.get("approvers") or []
        names = [said] if isinstance(said, str) else said
        if isinstance(names, list) and all(isinstance(each, str) and each for each in names):
            return names
        self.faults.append("approvers is a name or a list of names")
        return []

    def _timeout(self) -> int | None:
        said = self._said.get("timeout", "24h")
        return None if said is None else self._tried(lambda: durations.seconds(said))

    def _on_timeout(self) -> OnTimeout:
        said = self._said.get("on_timeout", OnTimeout.REJECT)
        choices = ", ".join(OnTimeout)
        if said in set(OnTimeout):
            return OnTimeout(said)
        self.faults.append(f"on_timeout is {said!r}; it can be {choices}")
        return OnTimeout.REJECT

    def _schema(self) -> dict[str, Any] | None:
        return self._tried(lambda: schema_of(self._said.get("input")))

    def _tried(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Faults as faults:
            self.faults += [each for each in faults.faults if each not in self.faults]
            return None
