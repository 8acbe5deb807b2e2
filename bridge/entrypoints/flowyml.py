"""FlowyML's approval step, as its documentation promises it."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowyml.core.step import Step

from bridge.core.errors import GateShut
from bridge.core.gate_spec import GateSpec
from bridge.core.message_template import Known, Scope, render
from bridge.core.model import Gate
from bridge.core.sanitize import harmless_line
from bridge.entrypoints import flowyml_pipeline, python
from bridge.entrypoints.flowyml_pipeline import GateStep, run_at
from bridge.entrypoints.flowyml_runs import marks

flowyml_pipeline.install()


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
    compare: bool | Mapping[str, str] | None = None,
    better: Mapping[str, str] | None = None,
    pictures: Sequence[str] | None = None,
) -> ApprovalStep:
    """A step that every step added to the pipeline after it waits for.

    `inputs` are the assets that the person is shown and that the approval binds; the first of them
    goes on unchanged as the first of `outputs`. A second output is the input that the person gave,
    a third the approval: who gave it, when, why, and the commit that records it.
    `message` is a template over the inputs: `{self.accuracy:.1%}`. The rest is as for
    `bridge.approval`. If it is not approved, the step fails and the pipeline ends. A pipeline that
    could run a later step without it is refused when it is built.
    """
    said = dict(locals())
    known = Known(artifacts=frozenset(map(_identifier, inputs)))
    step = ApprovalStep(
        name,
        python.declared(name, said, known, besides=_unreadable(inputs)),
        list(inputs),
        list(outputs),
        templated=bool(message),
    )
    # As FlowyML's own step has them.
    step.approver, step.timeout_seconds = approver, timeout_seconds
    step.auto_approve_if = auto_approve_if
    return step


class ApprovalStep(GateStep):
    """Neither cached nor retried: an approval is of one run, and a rejection is final.

    FlowyML's own class by kind alone: its `__init__` raises, and its `__call__` asks on stdin.
    """

    __call__ = Step.__call__

    def __init__(
        self, name: str, spec: GateSpec, inputs: list[str], outputs: list[str], *, templated: bool
    ) -> None:
        self.spec = spec
        self.templated = templated
        self.handed_on = outputs
        self._names = {_identifier(each): each for each in inputs}
        Step.__init__(
            self,
            self._function(),
            name,
            inputs,
            [*outputs, *marks(name)],
            cache=False,
            retry=0,
        )
        self.asks = self.func
        self.declared.append(name)

    def check_before_run(self, flow: str) -> None:
        python.check_before_run(self.spec, flow, self.name)

    def _function(self) -> Callable[..., Any]:
        def ask(**given: Any) -> dict[str, Any]:
            return self._ask(given)

        # FlowyML hands over what the signature names.
        ask.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY) for each in self._names]
        )
        return ask

    def _ask(self, given: Mapping[str, Any]) -> dict[str, Any]:
        run = run_at(self.name)
        absent = [asset for name, asset in self._names.items() if name not in given]
        if absent:
            raise GateShut(f"{self.name} does not run: no step produced {', '.join(absent)}")
        gate = Gate("flowyml", f"{run.flow}/{run.id}/{self.name}/1")
        spec = self.spec
        if self.templated:
            message = render(spec.message, Scope(artifacts=given), harmless_line)
            spec = replace(spec, message=message)
        approval = python.ask(spec, gate, given)
        first = next(iter(given.values()), None)
        inputs = dict(approval.inputs)
        passed = [first if given else inputs, inputs, approval.plain()]
        return dict(zip(self.handed_on, passed, strict=False))


def _identifier(asset: str) -> str:
    return re.sub(r"\W", "_", asset)


def _unreadable(inputs: Sequence[str]) -> Iterator[str]:
    """Assets that neither a message nor a condition could read, nor FlowyML hand over."""
    seen: dict[str, str] = {}
    for asset in inputs:
        name = _identifier(asset)
        if not name.isidentifier() or keyword.iskeyword(name):
            yield f"`inputs`: {asset!r} cannot be read as a name: rename the asset"
        elif seen.setdefault(name, asset) != asset:
            yield f"`inputs`: {seen[name]!r} and {asset!r} are both read as {name}: rename one"
    if reason := flowyml_pipeline.unusable_version():
        yield reason
