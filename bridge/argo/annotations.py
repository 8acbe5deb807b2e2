"""Gates in plain Argo manifests, written as annotations: `approval-bridge/<task>: …`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.argo.guard import GatedCall, given, guarded
from bridge.argo.held import held
from bridge.argo.inject import (
    Json,
    Post,
    borrows,
    calls,
    inject,
    labelled,
    lost_retries,
    name_of,
    notify_name,
    spec_of,
    stands,
    suspend_name,
    verify_name,
)
from bridge.argo.manifests import KINDS, PREFIX, faults_of
from bridge.argo.manifests import read as read_manifests
from bridge.argo.pod_settings import Pods
from bridge.argo.templates import ARTIFACT, PLACE, asking, checking, suspend
from bridge.core.errors import BridgeError, Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.yaml_text import Written, ambiguous, dump, load

#: Values may hold Argo's `{{…}}`: the message is literal text here, and rendered by Argo.
FORM: Final = Form(
    approvers="approvers",
    timeout="timeout",
    on_timeout="on_timeout",
    input="input",
    timeout_default="24h",
    others=("artifacts",),
)


@dataclass(frozen=True, slots=True)
class Injected:
    """A file of manifests with its gates, and how many annotations ask for one."""

    text: str
    gates: int
    warnings: tuple[str, ...]


def injected(text: str, where: str, pods: Pods) -> Injected:
    """A file of manifests, with gates in those that ask for them. Raises `Faults`."""
    documents = read_manifests(text, where)
    faults: list[str] = []
    warnings: list[str] = []
    made = [_document(each, pods, faults, warnings) for each in documents]
    if faults:
        raise Faults(where, faults)
    lent = {name_of(each) for each in _flat(documents) if _asked_in(each)}
    made = [_borrowing(each, lent) for each in made]
    asked = sum(len(_asked_in(each)) for each in _flat(documents))
    return Injected("".join(f"---\n{dump(each)}" for each in made), asked, tuple(warnings))


def _flat(documents: Iterable[Json]) -> Iterator[Json]:
    for each in documents:
        yield from _flat(_items(each)) if each.get("kind") == "List" else [each]


def _items(document: Json) -> list[Json]:
    found = document.get("items") or []
    if not isinstance(found, list) or any(not isinstance(each, dict) for each in found):
        raise Faults("a List", ["its items are not a list of manifests"])
    return found


def _document(document: Json, pods: Pods, faults: list[str], warnings: list[str]) -> Json:
    try:
        if document.get("kind") == "List":
            items = [_document(each, pods, faults, warnings) for each in _items(document)]
            return {**document, "items": items}
        posts = annotated(document, pods)
        warnings += [*lost_retries(document, posts), *held(document, posts)]
        return inject(document, posts)
    except Faults as error:
        faults += [f"{error.subject}: {each}" for each in error.faults]
        return document


def _borrowing(document: Json, lent: set[str]) -> Json:
    """With the label, if it borrows templates of a manifest with gates: then it has some too."""
    if document.get("kind") == "List":
        return {**document, "items": [_borrowing(each, lent) for each in _items(document)]}
    found = document.get("kind") in KINDS and borrows(document, lent)
    return labelled(document) if found else document


def annotated(manifest: Mapping[str, Any], pods: Pods) -> list[Post]:
    """A post for each task that an annotation names, and that has none yet.

    Raises `Faults` with every fault of every annotation.
    """
    faults = list(faults_of(manifest))
    gates: list[_Gate] = []
    for key, text in _asked_in(manifest).items() if not faults else ():
        try:
            gates += _gate(spec_of(manifest), key.removeprefix(PREFIX), text)
        except BridgeError as error:
            said = error.faults if isinstance(error, Faults) else [str(error)]
            faults += [f"{key}: {each}" for each in said]
    if faults:
        raise Faults(f"the annotations of {name_of(manifest)}", faults)
    return _posts(manifest, gates, pods)


def _asked_in(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations that ask for a gate, in a manifest without faults."""
    if manifest.get("kind") not in KINDS:
        return {}
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    return {key: text for key, text in annotations.items() if str(key).startswith(PREFIX)}


@dataclass(frozen=True, slots=True)
class _Gate:
    """What one annotation asks for."""

    name: str
    owner: str
    task: Mapping[str, Any]
    asked: GateSpec
    values: Mapping[str, str]  # of the parameters of notify and verify

    @property
    def call(self) -> GatedCall:
        return GatedCall(self.name, self.owner, self.task, tuple(self.values))


def _gate(spec: Mapping[str, Any], name: str, text: object) -> Iterator[_Gate]:
    if not isinstance(text, str) or isinstance(text, Written):
        raise Faults("the annotation", ["its value is not text: begin it with `|`"])
    said = load(text, "the annotation")
    faults = list(ambiguous(text))
    artifacts = _artifacts(said, text, faults)
    found = [
        (each, call) for each in spec["templates"] for call in calls(each) if call["name"] == name
    ]
    if len(found) != 1:
        faults.append(f"{len(found)} tasks and steps are called {name}; it takes exactly one")
    asked = read(said, FORM, name, asks=f"May {name} run?", besides=faults)
    [(owner, task)] = found
    values = _arguments(name, asked, artifacts)
    if not stands(owner, name):
        yield _Gate(name, owner["name"], task, asked, values)
    elif differs := _other_than(values, spec, owner):
        raise Faults("the annotation", [differs])


def _other_than(
    values: Mapping[str, str], spec: Mapping[str, Any], owner: Mapping[str, Any]
) -> str | None:
    """How the gate that is in already is not the one of these values; None if it is."""
    name = values["gate"]
    waits = suspend_name(name)
    is_ours = any(each["name"] == waits and each.get("suspend") for each in spec["templates"])
    [*opens] = (each for each in calls(owner) if each["name"] == notify_name(name))
    if not is_ours or not opens:
        return f"the task {waits} is not a gate's: give yours another name"
    given = {each["name"]: each.get("value") for each in _parameters(opens[0])}
    others = sorted(
        key for key in values.keys() | given.keys() if values.get(key) != given.get(key)
    )
    if not others:
        return None
    return (
        f"its gate is in this manifest already, with another {' and '.join(others)}: change the"
        " annotation in the manifest without gates, and inject that"
    )


def _parameters(call: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (call.get("arguments") or {}).get("parameters") or []


def _posts(manifest: Mapping[str, Any], gates: list[_Gate], pods: Pods) -> list[Post]:
    if not gates:
        return []
    spec = spec_of(manifest)
    guards = guarded(spec, [gate.call for gate in gates], lambda call: checking(call, pods))
    written = json.dumps(spec, default=str)
    posts: list[Post] = []
    for gate in gates:
        opens, verifies = asking(gate.name, list(gate.values), pods)
        waits = suspend(gate.name, gate.asked.policy)
        read_there = re.search(rf"\b{re.escape(verify_name(gate.name))}\b(?!-)", written)
        posts.append(
            Post(
                name=gate.name,
                owner=gate.owner,
                task=gate.name,
                templates=(opens, waits, verifies) if read_there else (opens, waits),
                timeout=gate.asked.timeout,
                arguments={"parameters": [{"name": k, "value": v} for k, v in gate.values.items()]},
                task_arguments=given(gate.task.get("arguments"), gate.values),
                gated=tuple(guards),
            )
        )
    return posts


#: Of a parameter: https://github.com/argoproj/argo-workflows/blob/v4.1.2/workflow/validate/validate.go
_NAME: Final = re.compile(r"[-A-Za-z0-9_]+")


def _artifacts(said: Json, text: str, faults: list[str]) -> dict[str, str]:
    """Each as it is written, for Argo hands on text: `1.10` is not 1.1. What is nested is JSON."""
    import yaml

    found = said.get("artifacts") or {}
    if not isinstance(found, dict):
        faults.append("`artifacts` must be a mapping from names to values")
        return {}
    unclear = [each for each in found if not isinstance(each, str)]
    faults += [
        f"`artifacts`: the name {each!r} may have letters, digits, - and _ alone, as Argo has it"
        for each in found
        if isinstance(each, str) and not _NAME.fullmatch(each)
    ]
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
        # In a template's own text it is the node of that template, which is around all three.
        PLACE: "{{node.name}}",
        "message": asked.message,
        "approvers": ", ".join(asked.approvers),
        "timeout": str(asked.timeout or ""),
        "on-timeout": asked.on_timeout.value,
        "input": json.dumps(asked.schema or {}),
        **{f"{ARTIFACT}{key}": value for key, value in artifacts.items()},
    }
