"""Workflows, one pass after the other: what stands goes on, what may start is started."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.argo.expressions import evaluate, filled, said

Json = dict[str, Any]

_DONE = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
_BAD = ("Failed", "Error")
_BEFORE = re.compile(r"([A-Za-z0-9_][\w-]*)(?:\.([A-Z]\w*))?")

PODS = ("container", "script", "containerSet", "resource")
_KINDS = {"dag": "DAG", "steps": "Steps", "suspend": "Suspend", **dict.fromkeys(PODS, "Pod")}

_KNOWN = {
    "workflow": {
        "arguments", "entrypoint", "templates", "onExit", "shutdown", "hostNetwork", "hooks",
        "serviceAccountName", "parallelism", "priority", "workflowMetadata", "podMetadata",
        "activeDeadlineSeconds", "podGC", "ttlStrategy", "templateDefaults",
    },
    "template": {
        "name", "inputs", "outputs", "dag", "steps", "container", "suspend", "retryStrategy",
        "metadata", "volumes", "nodeSelector", "tolerations", "activeDeadlineSeconds", "failFast",
        "serviceAccountName", "podSpecPatch", "initContainers", *PODS,
    },
    "task": {
        "name", "template", "arguments", "depends", "when", "withParam", "withItems", "hooks",
    },
    "hook": {"template", "arguments"},
    "hook while it runs": {"template", "arguments", "expression"},
    "suspend": {"duration"},
    "status": {"phase", "message", "nodes"},
    "dag": {"tasks", "failFast"},
    "retryStrategy": {"limit", "retryPolicy", "backoff", "expression"},
}  # fmt: skip


class Process(Protocol):
    """A pod that runs. `refused`: what Argo says of an init container of it that failed."""

    refused: str | None

    def poll(self) -> int | None:
        """Its exit code, None as long as it runs."""
        ...

    def output(self, path: str) -> str | None: ...


def node_id(workflow: str, name: str) -> str:
    """As Argo makes it: FNV-1a of the name."""
    if name == workflow:
        return workflow
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) % 2**32
    return f"{workflow}-{value}"


def _strict(kind: str, value: Mapping[str, Any]) -> None:
    unknown = {key for key, each in value.items() if each is not None} - _KNOWN[kind]
    if unknown:
        raise AssertionError(f"the stand-in knows no {', '.join(sorted(unknown))} of a {kind}")


def _strict_hooks(owner: Mapping[str, Any]) -> None:
    for key, hook in (owner.get("hooks") or {}).items():
        _strict("hook" if key == "exit" else "hook while it runs", hook)


@dataclass
class Controller:
    """Runs one workflow. `start` runs a pod, given its template and its node."""

    workflow: Json
    start: Callable[[Json, Json], Process]
    now: float = 0.0  # seconds since the workflow began: a test lets them pass
    slots: int = 2
    pods: dict[str, Process] = field(default_factory=dict)
    _promised: dict[str, Json] = field(default_factory=dict)  # the outputs of those pods
    _began: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.workflow["spec"]
        _strict("workflow", spec)
        defaults = spec.get("templateDefaults") or {}
        self.templates = {each["name"]: _merged(defaults, each) for each in spec["templates"]}
        for template in self.templates.values():
            _strict("template", template)
            for kind in ("suspend", "dag", "retryStrategy"):
                _strict(kind, template.get(kind) or {})
            for task in self._calls(template):
                _strict("task", task)
                _strict_hooks(task)
        _strict_hooks(spec)
        status = self.workflow.setdefault("status", {})
        _strict("status", status)
        status.setdefault("phase", "Running")
        status.setdefault("nodes", {})
        metadata = self.workflow["metadata"]
        self.name: str = metadata["name"]
        self.globals = {
            "workflow.name": self.name,
            "workflow.namespace": metadata.get("namespace", "argo"),
            "workflow.uid": metadata["uid"],
            "workflow.creationTimestamp": metadata["creationTimestamp"],
            "workflow.labels.json": json.dumps(metadata.get("labels") or {}),
        }
        given = (spec.get("arguments") or {}).get("parameters")
        self.globals["workflow.parameters.json"] = json.dumps(given)
        for each in given or ():
            self.globals[f"workflow.parameters.{each['name']}"] = said(each.get("value"))

    @staticmethod
    def _calls(template: Json) -> Iterator[Json]:
        yield from (template.get("dag") or {}).get("tasks") or ()
        for group in template.get("steps") or ():
            yield from group

    # -- what a test sees --------------------------------------------------------------------

    @property
    def status(self) -> Json:
        found: Json = self.workflow["status"]  # a client's patch may have put another there
        return found

    @property
    def nodes(self) -> Json:
        found: Json = self.status["nodes"]
        return found

    def node(self, name: str) -> Json | None:
        found: Json | None = self.nodes.get(node_id(self.name, name))
        return found

    def at(self, path: str) -> Json | None:
        """The node of this path without the tries: a template around a gate has one."""
        for node in self.nodes.values():
            if node["name"].replace("(0)", "") == f"{self.name}.{path}":
                found: Json = node
                return found
        return None

    def fork(self) -> Controller:
        """The same workflow a second time, to see what would come of it. No pod runs now."""
        assert not self.pods
        other = Controller(copy.deepcopy(self.workflow), self.start, self.now, self.slots)
        other._began.update(self._began)
        return other

    def elsewhere(self, namespace: str) -> Controller:
        """A run of its own that comes to what waits now: its gates there are asked anew."""
        other = self.fork()
        other.workflow["metadata"] |= {"namespace": namespace, "uid": f"u-{namespace}"}
        for node in self.waiting():
            waits = _untried(node["name"])
            posts = waits, waits.replace("hitl-suspend-", "hitl-notify-")
            for key, each in list(other.nodes.items()):
                if _untried(each["name"]) in posts:
                    del other.nodes[key]
        return Controller(other.workflow, self.start, self.now, self.slots)

    def waiting(self) -> list[Json]:
        """The suspended nodes that wait."""
        return [
            each
            for each in self.nodes.values()
            if each["type"] == "Suspend" and each["phase"] == "Running"
        ]

    def settle(self) -> None:
        """Until nothing moves by itself any more."""
        while self.step() or self.pods:
            self.rest()

    def rest(self) -> None:
        """Until a pod has ended, or a fifth of a second: a client may have patched meanwhile."""
        for _ in range(20):
            if not self.pods or any(each.poll() is not None for each in self.pods.values()):
                return
            time.sleep(0.01)  # a pod is a process of its own

    def step(self) -> bool:
        """One pass; whether anything changed."""
        before = json.dumps(self.status, sort_keys=True)
        self._reap()
        if self.status["phase"] == "Running":
            self._operate()
        return json.dumps(self.status, sort_keys=True) != before

    @property
    def _stopped(self) -> bool:
        return bool(self.workflow["spec"].get("shutdown"))

    def _operate(self) -> None:
        spec = self.workflow["spec"]
        given = {"arguments": spec.get("arguments")}
        call = {"template": spec["entrypoint"], **given}
        root = self._run(self.name, self.name, call, None, {})
        phase = root["phase"]
        state = {"workflow": {"status": self.status["phase"]}}
        hooked = self._hooked_meanwhile(spec, self.name, self.name, None, state)
        if phase not in _DONE or not hooked:
            return
        hook = (spec.get("hooks") or {}).get("exit")
        last = hook or (spec.get("onExit") and {"template": spec["onExit"], **given})
        if last and spec.get("shutdown") != "Terminate":
            self.globals["workflow.status"] = phase
            call = filled(last, self.globals, _nested(self.globals))
            after = self._run(f"{self.name}.onExit", f"{self.name}.onExit", call, None, {})
            if after["phase"] not in _DONE:
                return
        self.status["phase"] = phase
        if self._stopped:
            self.status["message"] = f"Stopped with strategy '{spec['shutdown']}'"

    # -- nodes -------------------------------------------------------------------------------

    def _made(self, name: str, display: str, kind: str, **more: Any) -> Json:
        node = {
            "id": node_id(self.name, name),
            "name": name,
            "displayName": display,
            "type": kind,
            "phase": "Running",
            **{key: value for key, value in more.items() if value is not None},
        }
        self.nodes[node["id"]] = node
        self._began[node["id"]] = self.now
        return node

    def _run(self, name: str, display: str, call: Json, boundary: str | None, scope: Json) -> Json:
        """The node of this call, made if it is not there, and as far on as it gets now."""
        node = self.node(name)
        if node and node["phase"] in _DONE:
            return node
        template = self.templates[call["template"]]
        if template.get("retryStrategy"):
            return self._retried(name, display, call, boundary, template)
        return self._once(name, display, call, boundary, template, {})

    def _retried(
        self, name: str, display: str, call: Json, boundary: str | None, template: Json
    ) -> Json:
        strategy = template["retryStrategy"]
        node = self.node(name) or self._made(
            name, display, "Retry", boundaryID=boundary, templateName=template["name"]
        )
        last, attempt = None, 0
        while (tried := self.node(f"{name}({attempt})")) and tried["phase"] in _DONE:
            last, attempt = tried, attempt + 1
        if last is None or (last["phase"] in _BAD and self._again(strategy, last, attempt)):
            child = f"{name}({attempt})"
            extra = {"retries": str(attempt), "node.name": name}
            last = self._once(child, f"{display}({attempt})", call, boundary, template, extra)
            last["nodeFlag"] = {"retried": True}
        if last["phase"] in _DONE and not (
            last["phase"] in _BAD and self._again(strategy, last, attempt + 1)
        ):
            node["phase"] = last["phase"]
            if last["phase"] in _BAD:
                held = self._expression_holds(strategy, last)
                ended = "retryStrategy.expression evaluated to false"
                node["message"] = "No more retries left" if held else ended
            if "outputs" in last:
                node["outputs"] = copy.deepcopy(last["outputs"])
        return node

    def _again(self, strategy: Json, last: Json, attempts: int) -> bool:
        left = attempts <= int(strategy.get("limit", 0))
        return left and not self._stopped and self._expression_holds(strategy, last)

    @staticmethod
    def _expression_holds(strategy: Json, last: Json) -> bool:
        if not strategy.get("expression"):
            return True
        code = (last.get("outputs") or {}).get("exitCode", "-1")
        known = {"exitCode": code, "message": last.get("message", "")}
        return bool(evaluate(strategy["expression"], {"lastRetry": known}))

    def _once(
        self,
        name: str,
        display: str,
        call: Json,
        boundary: str | None,
        template: Json,
        extra: Mapping[str, str],
    ) -> Json:
        inputs = self._inputs(template, call)
        flat = {**self.globals, "node.name": name, **extra}
        flat |= {f"inputs.parameters.{each['name']}": each["value"] for each in inputs}
        kind = next(each for each in _KINDS if each in template)
        body = filled(template, flat, _nested(flat))
        node = self.node(name) or self._made(
            name,
            display,
            _KINDS[kind],
            boundaryID=boundary,
            templateName=template["name"],
            inputs={"parameters": inputs} if inputs else None,
        )
        runs = {"DAG": self._dag, "Steps": self._steps, "Suspend": self._suspend, "Pod": self._pod}
        runs[_KINDS[kind]](node, body)
        return node

    @staticmethod
    def _inputs(template: Json, call: Json) -> list[Json]:
        given = {
            each["name"]: each.get("value")
            for each in (call.get("arguments") or {}).get("parameters") or ()
        }
        found = []
        for each in (template.get("inputs") or {}).get("parameters") or ():
            value = given.get(each["name"], each.get("value"))
            if value is None:
                raise AssertionError(f"{template['name']} is not given {each['name']}")
            found.append({"name": each["name"], "value": said(value)})
        return found

    # -- pods and pauses ---------------------------------------------------------------------

    def _pod(self, node: Json, template: Json) -> None:
        if node["id"] in self.pods:
            return
        if self._stopped:
            node["phase"] = "Failed"
        elif len(self.pods) < self.slots:
            self.pods[node["id"]] = self.start(template, node)
            self._promised[node["id"]] = template.get("outputs") or {}

    def _reap(self) -> None:
        for key, process in list(self.pods.items()):
            code = process.poll()
            if code is None:
                continue
            del self.pods[key]
            node = self.nodes[key]
            node["phase"] = "Succeeded" if code == 0 else "Failed"
            if process.refused:
                node["message"] = process.refused
                continue
            node["outputs"] = {"exitCode": str(code)}
            if code:
                node["message"] = f"main: Error (exit code {code})"
                continue
            for each in self._promised[key].get("parameters") or ():
                value = process.output(each["valueFrom"]["path"])
                if value is None:
                    node["phase"], node["message"] = "Error", f"no output {each['name']}"
                    continue
                parameters = node["outputs"].setdefault("parameters", [])
                parameters.append({"name": each["name"], "value": value.rstrip("\n")})

    def _suspend(self, node: Json, template: Json) -> None:
        parameters = copy.deepcopy((template.get("outputs") or {}).get("parameters"))
        if parameters and "outputs" not in node:
            node["outputs"] = {"parameters": parameters}
        if self._stopped:
            node["phase"] = "Failed"
            node["message"] = f"Stopped with strategy '{self.workflow['spec']['shutdown']}'"
            return
        deadline = self.workflow["spec"].get("activeDeadlineSeconds")
        if deadline is not None and self.now > int(deadline):
            node["phase"], node["message"] = "Failed", "Step exceeded its deadline"
            return
        duration = (template["suspend"] or {}).get("duration")
        if duration is None or self.now - self._began[node["id"]] <= _seconds(duration):
            return
        node["phase"] = "Succeeded"
        for each in (node.get("outputs") or {}).get("parameters") or ():
            default = each.pop("valueFrom").get("default")
            if default is None:
                each["valueFrom"] = {"supplied": {}}
                node["phase"] = "Error"
                node["message"] = (
                    f"task '{node['name']}' errored: raw output parameter '{each['name']}' has not"
                    " been set and does not have a default value"
                )
            else:
                each["value"] = default

    # -- DAGs --------------------------------------------------------------------------------

    def _dag(self, node: Json, template: Json) -> None:
        tasks = {each["name"]: each for each in template["dag"]["tasks"]}
        scope: Json = {}
        for task in tasks.values():
            self._task(node, task, scope)
        states = {key: self.node(f"{node['name']}.{key}") for key in tasks}
        if len(scope) < len(tasks):
            return
        self._finished(node, template, scope, "tasks", _worst(tasks, states))

    def _task(self, dag: Json, task: Json, scope: Json) -> None:
        name = f"{dag['name']}.{task['name']}"
        node = self.node(name)
        if node is None or node["phase"] not in _DONE:
            node = self._begun(dag, task, name, scope)
        if node is None or node["phase"] in ("Skipped", "Omitted"):
            hooked = True
        else:
            state = {"tasks": {task["name"]: {"status": node["phase"]}}}
            hooked = self._hooked_meanwhile(task, name, task["name"], dag["id"], state)
        if not node or node["phase"] not in _DONE or not hooked:
            return
        if self._hooked(dag, task, node, scope, "tasks"):
            scope[task["name"]] = _as_scope(node)

    def _hooked_meanwhile(
        self, owner: Json, name: str, display: str, boundary: str | None, state: Json
    ) -> bool:
        """Start the hooks whose expression holds. Whether those that began are over."""
        over = True
        for key, hook in (owner.get("hooks") or {}).items():
            own = f"{name}.hooks.{key}"
            if key == "exit" or not (self.node(own) or evaluate(hook["expression"], state)):
                continue
            call = {each: hook[each] for each in hook if each != "expression"}
            call = filled(call, self.globals, _nested(self.globals))
            made = self._run(own, f"{display}.hooks.{key}", call, boundary, {})
            over = over and made["phase"] in _DONE
        return over

    def _hooked(self, parent: Json, call: Json, node: Json, scope: Json, kind: str) -> bool:
        """Whether the exit hook of this call is over, or it has none. One left out has none."""
        hook = (call.get("hooks") or {}).get("exit")
        if not hook or node["phase"] in ("Skipped", "Omitted"):
            return True
        flat = {**self.globals, **_flat(kind, scope)}
        hook = filled(hook, flat, _nested(self.globals) | {kind: scope})
        name = f"{node['name']}.onExit"
        after = self._run(name, f"{node['displayName']}.onExit", hook, parent["id"], scope)
        return after["phase"] in _DONE

    def _begun(self, dag: Json, task: Json, name: str, scope: Json) -> Json | None:
        before = ancestors(task)
        if not before <= scope.keys():
            return None
        made = self.node(name)
        if made is None and not depends_hold(task.get("depends") or "", scope):
            return self._left_out(name, task, dag, "Omitted", "omitted: depends condition not met")
        if made is None and self._stopped:
            return None
        return self._called(dag, task, name, name, scope, "tasks")

    def _left_out(self, name: str, task: Json, parent: Json, phase: str, why: str) -> Json:
        display = task["name"]
        node = self._made(name, display, "Skipped", boundaryID=parent["id"], message=why)
        node["templateName"], node["phase"] = task["template"], phase
        return node

    def _called(
        self, parent: Json, task: Json, name: str, prefix: str, scope: Json, kind: str
    ) -> Json:
        flat = {**self.globals, **_flat(kind, scope)}
        names = _nested(self.globals) | {kind: scope}
        task = filled(task, flat, names)
        if self.node(name) is None and task.get("when") and not _when(task["when"]):
            why = f"when '{task['when']}' evaluated false"
            return self._left_out(name, task, parent, "Skipped", why)
        absent = _absent(task, kind, scope)
        if absent:
            why = f"unable to substitute {absent}: output is an absent optional"
            return self._left_out(name, task, parent, "Error", why)
        if task.get("withParam") or task.get("withItems"):
            return self._group(parent, task, name)
        return self._run(name, task["name"], task, parent["id"], scope)

    def _group(self, parent: Json, task: Json, name: str) -> Json:
        node = self.node(name) or self._made(
            name, task["name"], "TaskGroup", boundaryID=parent["id"], templateName=task["template"]
        )
        items = json.loads(task["withParam"]) if task.get("withParam") else task["withItems"]
        call = {key: task[key] for key in ("template", "arguments") if key in task}
        children = []
        for index, item in enumerate(items):
            label = f"({index}:{said(item)})"
            given = filled(call, {"item": said(item)}, {})
            display = f"{task['name']}{label}"
            children.append(self._run(f"{name}{label}", display, given, parent["id"], {}))
        if all(each["phase"] in _DONE for each in children):
            node["phase"] = next((e["phase"] for e in children if e["phase"] in _BAD), "Succeeded")
        return node

    # -- steps -------------------------------------------------------------------------------

    def _steps(self, node: Json, template: Json) -> None:
        scope: Json = {}
        for index, group in enumerate(template["steps"]):
            name = f"{node['name']}[{index}]"
            held = self.node(name) or self._made(
                name, f"[{index}]", "StepGroup", boundaryID=node["id"]
            )
            children = [
                self._called(node, step, f"{name}.{step['name']}", name, scope, "steps")
                for step in group
            ]
            if any(each["phase"] not in _DONE for each in children):
                return
            pairs = list(zip(group, children, strict=True))
            if not all(self._hooked(node, call, each, scope, "steps") for call, each in pairs):
                return
            for step, each in zip(group, children, strict=True):
                scope[step["name"]] = _as_scope(each)
            bad = [each for each in children if each["phase"] in _BAD]
            held["phase"] = "Failed" if bad else "Succeeded"
            if bad:
                held["message"] = node["message"] = f"child '{bad[0]['id']}' failed"
                node["phase"] = "Failed"
                return
        self._finished(node, template, scope, "steps", "Succeeded")

    def _finished(self, node: Json, template: Json, scope: Json, kind: str, phase: str) -> None:
        node["phase"] = phase
        if phase != "Succeeded":
            return
        flat, names = _flat(kind, scope), {kind: scope}
        found = []
        for each in (template.get("outputs") or {}).get("parameters") or ():
            source = each["valueFrom"]
            if "expression" in source:
                value = said(evaluate(source["expression"], names))
            else:
                value = filled(source["parameter"], flat, names)
            if "{{" in value:
                raise AssertionError(f"{node['name']}: the output {each['name']} is {value}")
            found.append({"name": each["name"], "value": value})
        if found:
            node["outputs"] = {"parameters": found}


def _merged(defaults: Json, template: Json) -> Json:
    """The template over the defaults, of which those for another kind do not apply."""
    kinds = [each for each in _KINDS if each in defaults and each not in template]
    return _over({key: each for key, each in defaults.items() if key not in kinds}, template)


def _over(below: Json, above: Json) -> Json:
    found = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            found[key] = _over(below[key], above[key])
    return found


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * 3600 if duration.endswith("h") else int(duration)


def _untried(name: str) -> str:
    """Without the number of the try, which the nodes under a Retry have."""
    return re.sub(r"\(\d+\)$", "", name)


# -- words ---------------------------------------------------------------------------------------


def ancestors(task: Json) -> set[str]:
    return {name for name, _ in _BEFORE.findall(task.get("depends") or "")}


def depends_hold(depends: str, scope: Json) -> bool:
    if not depends:
        return True
    names = {
        name: {
            "Succeeded": state["status"] == "Succeeded",
            "Failed": state["status"] == "Failed",
            "Errored": state["status"] == "Error",
            "Skipped": state["status"] == "Skipped",
            "Omitted": state["status"] == "Omitted",
        }
        for name, state in scope.items()
    }
    spelt = _BEFORE.sub(
        lambda m: m[0] if m[2] else f"({m[1]}.Succeeded || {m[1]}.Skipped)", depends
    )
    return bool(evaluate(spelt, names))


def _worst(tasks: Json, states: Json) -> str:
    """What a branch that was left out came to is what came to those before it."""
    came: dict[str, str] = {}

    def of(name: str) -> str:
        if name not in came:
            phase = states[name]["phase"]
            before = [of(each) for each in ancestors(tasks[name])]
            if phase in ("Skipped", "Omitted"):
                phase = next((each for each in before if each in _BAD), "Succeeded")
            came[name] = phase
        return came[name]

    inner = {each for task in tasks.values() for each in ancestors(task)}
    ends = [of(name) for name in tasks if name not in inner]
    return next((each for each in ends if each in _BAD), "Succeeded")


def _absent(task: Json, kind: str, scope: Json) -> str | None:
    """An output that is asked for and never came: of a branch that was not taken."""
    asked = re.findall(rf"\{{\{{{kind}\.([\w-]+)\.outputs", json.dumps(task.get("arguments")))
    return next((f"{kind}.{name}" for name in asked if name in scope), None)


def _when(text: str) -> bool:
    if "{{" in text:
        raise AssertionError(f"the condition {text} holds what cannot be known")
    return bool(evaluate(text, {}, words=True))


def _as_scope(node: Json) -> Json:
    found: Json = {"status": node["phase"], "id": node["id"]}
    outputs = node.get("outputs")
    if outputs and any("value" in each for each in outputs.get("parameters") or ()):
        parameters = {each["name"]: each.get("value") for each in outputs["parameters"]}
        found["outputs"] = {"parameters": parameters}
    return found


def _flat(kind: str, scope: Json) -> dict[str, str]:
    found = {}
    for name, state in scope.items():
        found[f"{kind}.{name}.status"] = state["status"]
        for key, value in (state.get("outputs") or {}).get("parameters", {}).items():
            found[f"{kind}.{name}.outputs.parameters.{key}"] = said(value)
    return found


def _nested(flat: Mapping[str, str]) -> Json:
    found: Json = {}
    for path, value in flat.items():
        parts = path.split(".", 2)
        inner = found
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = value
    return found
