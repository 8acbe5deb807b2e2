"""FlowyML's approval step, as its documentation promises it."""

from __future__ import annotations

import copy
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowyml.core.approval import ApprovalStep as FlowymlStep
from flowyml.core.executor import MonitorThread
from flowyml.core.hooks import get_global_hooks
from flowyml.core.step import Step

from bridge.core.errors import GateShut
from bridge.core.gate_spec import GateSpec
from bridge.core.message_template import Known, Scope, render
from bridge.core.model import Gate
from bridge.core.sanitize import harmless_line
from bridge.entrypoints import python


def approval(
    name: str = "approval",
    approver: str | Sequence[str] | None = None,
    timeout_seconds: float | None = 3600,
    auto_approve_if: str | Callable[..., bool] | None = None,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    message: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    on_timeout: str = "reject",
) -> ApprovalStep:
    """A step that every step added to the pipeline after it waits for.

    `inputs` are the assets that the person is shown and that the approval binds; the first of them
    goes on unchanged as the first of `outputs`. A second output is the input that the person gave.
    `message` is a template over the inputs: `{self.accuracy:.1%}`. The rest is as for
    `bridge.approval`. If it is not approved, the step fails and the pipeline ends.
    """
    said = dict(locals())
    known = Known(artifacts=frozenset(map(_identifier, inputs)))
    step = ApprovalStep(
        name,
        python.declared(name, said, known),
        list(inputs),
        list(outputs),
        templated=bool(message),
    )
    # As FlowyML's own step has them.
    step.approver, step.timeout_seconds = approver, timeout_seconds
    step.auto_approve_if = auto_approve_if
    return step


class ApprovalStep(FlowymlStep):  # type: ignore[misc]
    """Neither cached nor retried: an approval is of one run, and a rejection is final.

    FlowyML's own class by kind alone: its `__init__` raises, and its `__call__` asks on stdin.
    """

    __call__ = Step.__call__

    def __init__(
        self, name: str, spec: GateSpec, inputs: list[str], outputs: list[str], *, templated: bool
    ) -> None:
        self.spec = spec
        self.templated = templated
        self.flow: str | None = None
        self.handed_on = outputs
        self._names = {_identifier(each): each for each in inputs}
        Step.__init__(
            self,
            self._function(),
            name,
            inputs,
            [*outputs, *_marks(name)],
            cache=False,
            retry=0,
        )
        hooks = get_global_hooks()
        if _hold_back not in hooks.on_pipeline_start:
            hooks.register_pipeline_start_hook(_hold_back)

    def in_pipeline(self, flow: str) -> ApprovalStep:
        """This step, once it is certain that the steps after it wait for it."""
        held = copy.copy(self)
        held.flow = flow
        held.func = held._function()
        return held

    def _function(self) -> Callable[..., Any]:
        def ask(**given: Any) -> dict[str, Any]:
            return self._ask(given)

        # FlowyML hands over what the signature names.
        ask.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY) for each in self._names]
        )
        return ask

    def _ask(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if self.flow is None:
            raise GateShut(
                f"{self.name} does not run: FlowyML's local orchestrator did not announce this"
                " pipeline, so nothing would make the steps after it wait"
            )
        gate = Gate("flowyml", f"{self.flow}/{_run_id(self.name)}/{self.name}/1")
        spec = self.spec
        if self.templated:
            message = render(spec.message, Scope(artifacts=given), harmless_line)
            spec = replace(spec, message=message)
        decision = python.ask(spec, gate, given)
        first = next(iter(given.values()), None)
        passed = [first if given else dict(decision.inputs), dict(decision.inputs)]
        return dict(zip(self.handed_on, passed, strict=False))


def _identifier(asset: str) -> str:
    return re.sub(r"\W", "_", asset)


def _marks(name: str) -> list[str]:
    """Assets that never exist: they make FlowyML's graph put later steps after a gate.

    Two, because FlowyML takes the whole result of a step with a single output for that output, and
    would hand it to the first free parameter of a step that names it.
    """
    return [f"asked:{name}", f"approved:{name}"]


def _hold_back(pipeline: Any) -> None:
    """Put each gate between the steps added before and after it.

    FlowyML orders steps by assets alone, and those that share an input in no certain order: a step
    that never reads what the gate hands on could run first. The pipeline gets copies of its steps
    that name the gate as well; the user's own stay as they are.
    """
    done: list[Any] = []
    gates: list[str] = []
    for step in pipeline.steps:
        if isinstance(step, ApprovalStep):
            step = step.in_pipeline(pipeline.name)
            before = [asset for each in done for asset in each.outputs]
        else:
            step = copy.copy(step)
            before = gates
        step.inputs = list(dict.fromkeys([*step.inputs, *before]))
        if isinstance(step, ApprovalStep):
            gates = [*gates, *_marks(step.name)]
        done.append(step)
    pipeline.steps = done


def _run_id(name: str) -> str:
    """FlowyML tells its monitor which run a step belongs to, and nobody else."""
    for thread in threading.enumerate():
        if isinstance(thread, MonitorThread) and thread.target_tid == threading.get_ident():
            return str(thread.run_id)
    raise GateShut(f"{name} does not run: FlowyML does not say which run it belongs to")
