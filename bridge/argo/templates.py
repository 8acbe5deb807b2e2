"""What the posts of a gate run: notify, suspend and verify, as templates of Argo."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.argo.guard import GIVEN, INIT, GatedCall
from bridge.argo.inject import (
    GATE,
    PAGE,
    Json,
    Post,
    calls,
    notify_name,
    spec_of,
    suspend_name,
    verify_name,
)
from bridge.argo.pod_settings import Pods
from bridge.core.errors import Faults
from bridge.core.rules import OnTimeout, Policy
from bridge.core.settings import ASKED, LABELLED, NODE

#: Where Metaflow's templates put what they hand on, a volume of their own.
OUT: Final = "/mnt/out"

#: Seconds after the deadline in which the clock's decision is recorded and delivered.
GRACE: Final = 600

#: A hundred years, in words that Argo reads: `templateDefaults.suspend.duration` would override a
#: duration that is absent or empty, and a node that ended would leave the clock nothing to resume.
WITHOUT_END: Final = "876000h"

#: The way a pod leaves whose gate is shut must not be a reason to try again.
_RETRY_UNLESS_SHUT: Final = "asInt(lastRetry.exitCode) != 202"

_RETRIES: Final = {
    "limit": 3,
    "retryPolicy": "Always",
    "backoff": {"duration": "20s", "factor": 2},
    "expression": _RETRY_UNLESS_SHUT,
}

#: Opening a gate takes seconds; what takes longer hangs, and is better tried again.
_OPENING_TAKES: Final = 900

#: By which the pod knows the node behind its own, for a link to it.
_NODE_NAME: Final = {"name": NODE, "value": "{{node.name}}"}

_OPENING_NEEDS: Final = {"cpu": "250m", "memory": "512Mi", "ephemeral-storage": "1Gi"}


@dataclass(frozen=True, slots=True)
class GatedStep:
    """A step of a Metaflow flow that has a gate, and how Metaflow compiled it.

    `bootstrap` are the shell commands that set up the step's own Python packages, and `python` the
    interpreter that they give it. `before_opening` and `before_step` are shell commands that run
    first in the notify pod and in that of the step, empty for none.
    """

    step: str
    name: str  # as the templates spell it
    template: str
    policy: Policy
    bootstrap: str = ""
    python: str = "python"
    before_opening: str = ""
    before_step: str = ""


def suspend(name: str, policy: Policy) -> Json:
    """The node that waits. A duration that runs out succeeds, so its output says expired."""
    ends = policy.timeout is not None and policy.on_timeout is OnTimeout.REJECT
    waits = str((policy.timeout or 0) + GRACE) if ends else WITHOUT_END
    decision = {"name": "decision", "valueFrom": {"supplied": {}, "default": "expired"}}
    return {
        "name": suspend_name(name),
        "inputs": {"parameters": [{"name": GATE}, {"name": PAGE}]},
        "outputs": {"parameters": [decision]},
        "suspend": {"duration": waits},
        # If the workflow or the cluster gives every template retries, a node set to Failed would
        # be suspended afresh.
        "retryStrategy": {"limit": 0},
    }


# -- plain workflows -----------------------------------------------------------------------------

#: Begins the parameters that hold an artifact each.
ARTIFACT: Final = "artifact-"

#: The folder in which a pod leaves what it hands on.
OUT_FOLDER: Final = "/tmp/hitl-out"  # noqa: S108 - a pod's own


#: The parameter that says where the gate is: the node of the template around it.
PLACE: Final = "place"

#: Each parameter of the workflow by its value, and the text of all under `json`: one that is named
#: `json` shadows that text, and then its own value is in it.
_OF_WORKFLOW: Final = "workflow-parameters={{=toBase64(toJson(workflow.parameters))}}"


def asking(name: str, parameters: Sequence[str], pods: Pods) -> tuple[Json, Json]:
    """The templates of notify and verify: they are given the same, and so come to one digest."""
    return (
        _node(notify_name(name), "open", parameters, [GATE, PAGE], pods, pods.opener),
        _node(verify_name(name), "verify", parameters, ["decision", "inputs"], pods, pods.reader),
    )


def checking(gated: GatedCall, pods: Pods) -> Json:
    """The init container of a guarded template."""
    inputs = {each: f"{GIVEN}{each}" for each in gated.parameters}
    container = _container("verify", inputs, pods, pods.reader)
    return {"name": INIT, **container}


def _node(
    name: str,
    verb: str,
    parameters: Sequence[str],
    hands_on: list[str],
    pods: Pods,
    secret: str | None,
) -> Json:
    return {
        "name": name,
        "inputs": {"parameters": [{"name": each} for each in parameters]},
        "outputs": {
            "parameters": [
                {"name": each, "valueFrom": {"path": f"{OUT_FOLDER}/{each}"}} for each in hands_on
            ]
        },
        "activeDeadlineSeconds": _OPENING_TAKES,
        "retryStrategy": _RETRIES,
        "container": _container(verb, {each: each for each in parameters}, pods, secret),
    }


def _container(verb: str, inputs: Mapping[str, str], pods: Pods, secret: str | None) -> Json:
    # In base64: what stands in an artifact is hostile, and Kubernetes itself would put the value of
    # a secret's variable in the place of a $(NAME).
    asked = [
        f"{word}={{{{=toBase64(inputs.parameters['{name}'])}}}}" for word, name in inputs.items()
    ]
    # -P: the folder of a pod may hold what a workflow put there, and is not imported from.
    run = f"python -P -m bridge.entrypoints.argo_pod {verb}"
    container = {
        "image": pods.image,
        "command": ["sh", "-c", run],
        "env": [
            {"name": ASKED, "value": " ".join([*asked, _OF_WORKFLOW])},
            {"name": LABELLED, "value": "{{workflow.labels.json}}"},
            _NODE_NAME,
        ],
        "resources": {"requests": _OPENING_NEEDS},
        # The end of its log becomes the message of the node, if it fails.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return pods.given(container, secret)


# -- Metaflow ------------------------------------------------------------------------------------


def posts_of(manifest: Mapping[str, Any], steps: list[GatedStep], pods: Pods) -> list[Post]:
    """A post for each gated step that has none yet. Raises `Faults` if Metaflow compiled them
    otherwise than is known here: then no gate could be relied upon."""
    faults: list[str] = []
    posts: list[Post] = []
    compiled = _Compiled(spec_of(manifest)["templates"])
    for step in steps:
        try:
            posts += _post_of(compiled, step, pods)
        except Faults as found:
            faults += found.faults
    if faults:
        raise Faults("the gates of this flow", faults)
    return posts


class _Compiled:
    """A manifest's templates by name, and by the template that they call who calls it."""

    def __init__(self, templates: list[Json]) -> None:
        self.named: dict[str, list[Json]] = defaultdict(list)
        self.callers: dict[str, list[tuple[Json, Mapping[str, Any]]]] = defaultdict(list)
        self.called: dict[str, set[str]] = {}  # the names of each template's tasks
        for template in templates:
            self.named[template["name"]].append(template)
            self.called[template["name"]] = {call["name"] for call in calls(template)}
            for call in calls(template):
                self.callers[call.get("template", "")].append((template, call))


def _post_of(compiled: _Compiled, step: GatedStep, pods: Pods) -> Iterator[Post]:
    found = compiled.named.get(step.template, [])
    callers = compiled.callers.get(step.template, [])
    if len(found) != 1 or len(callers) != 1 or not found[0].get("container"):
        raise Faults(
            f"the step {step.step}",
            [
                f"the step {step.step} is compiled to {len(found)} templates {step.template} with"
                f" {len(callers)} callers; one container template with one caller was expected"
            ],
        )
    [gated], [(owner, call)] = found, callers
    if suspend_name(step.name) in compiled.called[owner["name"]]:
        return  # it is in already
    yield Post(
        name=step.name,
        owner=owner["name"],
        task=call["name"],
        templates=(_notify_copied(gated, step, pods), suspend(step.name, step.policy)),
        timeout=step.policy.timeout,
        gated=(_gated(gated, step, pods),),
    )


def _gated(template: Json, step: GatedStep, pods: Pods) -> Json:
    container = pods.given(template["container"], pods.reader)
    container["command"] = _after(step.before_step, container["command"])
    retries = template.get("retryStrategy")
    if retries:
        own = retries.get("expression")
        says = f"({own}) && {_RETRY_UNLESS_SHUT}" if own else _RETRY_UNLESS_SHUT
        retries = {**retries, "expression": says}
        return {**template, "container": container, "retryStrategy": retries}
    return {**template, "container": container}


def _notify_copied(template: Json, step: GatedStep, pods: Pods) -> Json:
    """The gated template with its one command replaced: what it asks about is read the same way."""
    container = pods.given(template["container"], pods.opener)
    limits = (container.get("resources") or {}).get("limits") or {}
    return {
        **template,
        "name": notify_name(step.name),
        "activeDeadlineSeconds": _OPENING_TAKES,
        "outputs": {
            "parameters": [
                {"name": each, "valueFrom": {"path": f"{OUT}/{each}"}} for each in (GATE, PAGE)
            ]
        },
        # Its own, in any case: the copied command may hold {{retries}}, which Argo leaves as it
        # stands in a template that has none.
        "retryStrategy": _RETRIES,
        "container": {
            **container,
            "name": notify_name(step.name),
            # The end of its log becomes the message of the node, if it fails.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "env": [*container["env"], _NODE_NAME],
            "command": _after(step.before_opening, _opening(container["command"], step)),
            "resources": {
                "requests": _OPENING_NEEDS,
                # A namespace's quota may ask for limits; then the step has some.
                "limits": {key: _OPENING_NEEDS[key] for key in _OPENING_NEEDS if key in limits},
            },
        },
    }


def _after(first: str, command: list[str]) -> list[str]:
    *shell, script = command
    return [*shell, f"{first} && {script}" if first else script]


def _opening(command: list[str], step: GatedStep) -> list[str]:
    *shell, script = command
    found = [match for match in _STEP_COMMAND.finditer(script) if match["step"] == step.step]
    _once(len(found), step, "step command")
    script = script[: found[0].start()] + _open_command(found[0]) + script[found[0].end() :]
    # Else its log would be written over that of the task.
    own = [match for match in _PATHSPEC.finditer(script) if match["step"] == step.step]
    _once(len(own), step, "MF_PATHSPEC")
    script = script[: own[0].start("step")] + "_hitl" + script[own[0].end("step") :]
    if step.bootstrap:
        bootstrap = f"{step.bootstrap} && "
        _once(script.count(bootstrap), step, "set-up of its packages")
        script = script.replace(bootstrap, "")
    if step.python != "python":
        script = script.replace(f"{step.python} ", "python ")
    return [*shell, script]


# One pattern for every step: a pattern of each one's own takes longer to compile than to find.
_STEP_COMMAND: Final = re.compile(
    r" step (?P<step>\w+)(?= --run-id )(?P<options>(?: --[a-z-]+[ =][^\s)]+)+)"
)
_PATHSPEC: Final = re.compile(r" MF_PATHSPEC=[^/\s]+/[^/\s]+/(?P<step>\w+)/")


def _open_command(match: re.Match[str]) -> str:
    given = dict(re.findall(r" --([a-z-]+)[ =]([^\s)]+)", match["options"]))
    kept = [
        f"--{name} {given[name]}"
        for name in ("run-id", "task-id", "input-paths-filename", "split-index")
        if name in given
    ]
    return " ".join([" hitl open", f"--step {match['step']}", *kept, f"--out {OUT}"])


def _once(times: int, step: GatedStep, what: str) -> None:
    if times != 1:
        raise Faults(
            f"the step {step.step}",
            [
                f"the compiled command of {step.step} holds {times} times what should be its"
                f" {what}: this version of Metaflow compiles it in another way"
            ],
        )
