"""The verifier in the guarded template itself, so that anyone who starts it meets the gate.

An init container runs before the pod's own containers. `argo submit --entrypoint`, a hook or
`argo retry -p` start the template past the tasks of its gate, and end there. Of a DAG or a steps
template, each pod inside verifies: the calls in there hand on what the gated call was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.argo.inject import Json, calls
from bridge.argo.pod_spec_patch import fault_of
from bridge.core.errors import Faults

#: Begins the inputs of a guarded template that its gate needs, beside those it has itself.
GIVEN: Final = "hitl-"

#: The init container. Argo begins the message of a node with the name of the container that failed.
INIT: Final = "hitl-verify"

#: A failed init container has no exit code for `lastRetry.exitCode` (it is -1): see its message.
RETRY_UNLESS_SHUT: Final = f"!(lastRetry.message startsWith '{INIT}: ')"

_PODS: Final = ("container", "script", "containerSet", "resource")
_FLOWS: Final = ("dag", "steps")
#: Kinds that run without a pod of their own, and ignore init containers.
_WITHOUT_POD: Final = ("suspend", "http", "plugin", "data")


@dataclass(frozen=True, slots=True)
class GatedCall:
    """The call of a task or a step that has a gate, and what notify and verify are given."""

    gate: str
    owner: str  # the template that it is in
    call: Mapping[str, Any]
    parameters: tuple[str, ...]

    @property
    def template(self) -> str:
        return str(self.call.get("template") or "")


def given(arguments: Mapping[str, Any] | None, values: Mapping[str, str]) -> Json:
    """Arguments, with what the gate needs beside their own."""
    arguments = arguments or {}
    own = [
        each
        for each in arguments.get("parameters") or ()
        if not str(each["name"]).startswith(GIVEN)
    ]
    more = [{"name": f"{GIVEN}{name}", "value": value} for name, value in values.items()]
    return {**arguments, "parameters": [*own, *more]}


def guarded(
    spec: Mapping[str, Any], gated: Sequence[GatedCall], container: Callable[[GatedCall], Json]
) -> list[Json]:
    """The templates that these calls run, guarded. `container` makes the init container.

    Raises `Faults` naming everything that cannot be guarded.
    """
    guard = _Guard(spec)
    for each in gated:
        guard.of(each)
    guard.check_callers(gated)
    if guard.faults:
        raise Faults("the guarded templates", guard.faults)
    return [guard.made(name, container) for name in guard.gates]


@dataclass
class _Guard:
    spec: Mapping[str, Any]
    faults: list[str] = field(default_factory=list)
    gates: dict[str, GatedCall] = field(default_factory=dict)  # by guarded template, one that does

    def __post_init__(self) -> None:
        self._named = {each["name"]: each for each in self.spec["templates"]}
        self.faults += default_faults(self.spec)

    def of(self, gated: GatedCall) -> None:
        """Everything that this call runs."""
        at = f"{gated.call['name']} in {gated.owner}"
        if self._missing(at, gated.call):
            return
        kind = _kind(self._named[gated.template])
        if kind in _WITHOUT_POD:
            self.faults.append(
                f"{at} runs {gated.template}, which is a {kind} template: no pod of its own runs,"
                f" so nothing can check the gate in it. {_instead(kind)}"
            )
            return
        self._reach(gated.template, gated)

    def _reach(self, name: str, gated: GatedCall) -> None:
        template = self._named[name]
        if name in self.gates:
            if set(self.gates[name].parameters) != set(gated.parameters):
                self.faults.append(
                    f"the gates {self.gates[name].gate} and {gated.gate} both guard {name} and list"
                    " different artifacts: give each a template of its own"
                )
            return
        self.gates[name] = gated
        self._check_template(template, gated)
        for call in _all_calls(template):
            at = f"{call['name']} in {name}, after the gate {gated.gate},"
            if call.get("onExit"):
                self.faults.append(
                    f"{at} has an onExit, which can be given nothing of the gate: write"
                    f" hooks: {{exit: {{template: {call['onExit']}}}}}"
                )
            if self._missing(at, call):
                continue
            inner = call["template"]
            kind = _kind(self._named[inner])
            if kind in _WITHOUT_POD and kind != "suspend":
                self.faults.append(
                    f"{at} runs {inner}, which is a {kind} template: no pod of its own runs, so"
                    f" nothing can check the gate in it. {_instead(kind)}"
                )
            elif kind != "suspend":
                self._reach(inner, gated)

    def _missing(self, at: str, call: Mapping[str, Any]) -> bool:
        """Whether what it runs is not in this manifest, to be guarded."""
        reference = call.get("templateRef")
        if reference:
            self.faults.append(
                f"{at} runs the template {reference.get('template')} of {reference.get('name')},"
                " which is not in this manifest and cannot be guarded from here: annotate a task"
                f" of a dag in {reference.get('name')} itself, inject that, and call that dag"
            )
        elif call.get("inline"):
            self.faults.append(
                f"{at} has its template inline: give the template a name among `templates`, and"
                " call it by that"
            )
        elif call.get("template") not in self._named:
            self.faults.append(
                f"{at} runs {call.get('template')}, and this manifest has no template of that name"
            )
        else:
            return False
        return True

    def _check_template(self, template: Mapping[str, Any], gated: GatedCall) -> None:
        name = template["name"]
        if name == gated.owner:
            self.faults.append(
                f"{gated.gate} runs {name}, in which it is itself: gate a template that does not"
                " run the one around it"
            )
        self.faults += _pod_faults(f"the template {name}", template)
        if any(each.get("name") == INIT for each in template.get("initContainers") or ()):
            self.faults.append(
                f"the template {name} has an init container {INIT}, as the check of its gate is"
                " called: give yours another name"
            )
        for each in _inputs(template):
            if str(each["name"]).startswith(GIVEN):
                self.faults.append(
                    f"the template {name} has an input {each['name']}: names with {GIVEN} are for"
                    " its gate, so give yours another"
                )

    def check_callers(self, gated: Sequence[GatedCall]) -> None:
        """Nobody else calls a guarded template: without the gate's arguments it would never run."""
        named = {(each.owner, each.call["name"]) for each in gated}
        for each in gated:
            if each.owner in self.gates:
                self.faults.append(
                    f"the gate {each.gate} is in {each.owner}, which the gate"
                    f" {self.gates[each.owner].gate} guards as a whole: keep one of the two, or"
                    " gate tasks side by side"
                )
        for where, owner, name, template in _references(self.spec):
            if template in self.gates and owner not in self.gates and (owner, name) not in named:
                self.faults.append(
                    f"{where} runs {template} too, without the gate {self.gates[template].gate}:"
                    " annotate it as well, or give it a template of its own"
                )

    def made(self, name: str, container: Callable[[GatedCall], Json]) -> Json:
        template, gated = self._named[name], self.gates[name]
        # Without a value nobody could call it past its gate, and Argo would refuse the manifest.
        inputs = [{"name": f"{GIVEN}{each}", "value": ""} for each in gated.parameters]
        own = template.get("inputs") or {}
        made = {**template, "inputs": {**own, "parameters": [*_inputs(template), *inputs]}}
        if _kind(template) in _FLOWS:
            return self._handing_on(made, gated)
        made["initContainers"] = [container(gated), *(template.get("initContainers") or ())]
        retries = _held(self.spec, template)
        return {**made, "retryStrategy": retries} if retries else made

    def _handing_on(self, template: Json, gated: GatedCall) -> Json:
        values = {each: f"{{{{inputs.parameters.{GIVEN}{each}}}}}" for each in gated.parameters}

        def handed(call: Json) -> Json:
            made = dict(call)
            if call.get("template") in self.gates:
                made["arguments"] = given(call.get("arguments"), values)
            hooks = call.get("hooks")
            if hooks:
                made["hooks"] = {key: handed(hook) for key, hook in hooks.items()}
            return made

        if template.get("dag"):
            tasks = [handed(each) for each in template["dag"].get("tasks") or ()]
            return {**template, "dag": {**template["dag"], "tasks": tasks}}
        steps = [[handed(each) for each in group] for group in template["steps"]]
        return {**template, "steps": steps}


def default_faults(spec: Mapping[str, Any]) -> list[str]:
    """What a spec says for all of its templates by which a pod would do without its check."""
    defaults = spec.get("templateDefaults") or {}
    faults = [
        *_pod_faults("the spec", {"podSpecPatch": spec.get("podSpecPatch")}),
        *_pod_faults("templateDefaults", defaults),
    ]
    faults += _without_token(spec, defaults)
    if defaults.get("initContainers"):
        faults.append(
            "templateDefaults has initContainers, which could run before the check of a gate: give"
            " them to the templates that need them"
        )
    return faults


def _without_token(spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Argo makes no pod whose executor has no token: neither asks a gate there, nor says so.

    https://github.com/argoproj/argo-workflows/blob/v4.1.2/workflow/controller/workflowpod.go
    """
    key = "automountServiceAccountToken"
    where = "templateDefaults" if defaults.get(key) is not None else "the spec"
    holds = defaults if where == "templateDefaults" else spec
    executors = (each.get("executor") for each in (defaults, spec))
    named = any(isinstance(each, dict) and each.get("serviceAccountName") for each in executors)
    if holds.get(key) is False and not named:
        yield (
            f"{where} has {key}: false and there is no executor.serviceAccountName: Argo makes no"
            " pod then, so no gate could ask. Name the service account of the executor"
        )


def _pod_faults(where: str, holds: Mapping[str, Any]) -> Iterator[str]:
    said = fault_of(holds.get("podSpecPatch"))
    if said:
        yield f"{where} has a podSpecPatch {said}"
    if holds.get("memoize"):
        yield (
            f"{where} has memoize: a hit ends the task with the outputs of an earlier run, and"
            " nothing checks the gate. Memoize a template that has no gate"
        )


def _held(spec: Mapping[str, Any], template: Mapping[str, Any]) -> Json | None:
    """The retries that are in force, and not for a shut gate. Argo merges the defaults beneath."""
    defaults = (spec.get("templateDefaults") or {}).get("retryStrategy") or {}
    own = {**defaults, **(template.get("retryStrategy") or {})} or spec.get("retryStrategy")
    if not own:
        return None
    says = own.get("expression")
    if says:
        return {**own, "expression": f"({says}) && {RETRY_UNLESS_SHUT}"}
    # Without a policy, Argo retries failures alone; with an expression it would retry errors too.
    return {"retryPolicy": "OnFailure", **own, "expression": RETRY_UNLESS_SHUT}


def _kind(template: Mapping[str, Any]) -> str:
    kinds = (*_PODS, *_FLOWS, *_WITHOUT_POD)
    return next((each for each in kinds if template.get(each) is not None), "nameless")


def _instead(kind: str) -> str:
    if kind == "suspend":
        return "Gate the task after it."
    return "Write it as a container or script template that does the same, and gate that."


def _inputs(template: Mapping[str, Any]) -> list[Json]:
    return list((template.get("inputs") or {}).get("parameters") or ())


def _all_calls(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Calls, and those of their hooks."""
    for call in calls(template):
        yield call
        for key, hook in (call.get("hooks") or {}).items():
            yield {"name": f"the hook {key} of {call['name']}", **hook}


def _references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Who runs which template: where it says so, in which template and task, and the template."""
    for key in ("entrypoint", "onExit"):
        if spec.get(key):
            yield f"the workflow's {key}", "", "", spec[key]
    for key, hook in (spec.get("hooks") or {}).items():
        yield f"the workflow's hook {key}", "", "", hook.get("template") or ""
    for template in spec["templates"]:
        for call in _all_calls(template):
            where = f"{call['name']} in {template['name']}"
            yield where, template["name"], call["name"], call.get("template") or ""
            if call.get("onExit"):
                yield f"onExit of {where}", template["name"], "", call["onExit"]
