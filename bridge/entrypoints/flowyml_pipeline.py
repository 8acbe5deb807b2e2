"""Make every later step of a FlowyML pipeline wait for its approvals, or refuse the pipeline.

FlowyML runs the steps of a pipeline in the order of their assets, and knows more ways to run one:
control flows, pipelines inside steps, groups, caches, checkpoints, other orchestrators. So its
pipelines are held twice. When one is built, it is refused if a step could run in a way that is not
ordered; and each step after an approval becomes a copy whose function checks, in whatever way it is
called, that the approval was given in the run at hand.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import flowyml
from flowyml.core.approval import ApprovalStep as FlowymlStep
from flowyml.core.map_task import MapTaskStep
from flowyml.core.orchestrator import LocalOrchestrator
from flowyml.core.pipeline import Pipeline
from flowyml.core.step import Step
from flowyml.core.subpipeline import SubPipelineStep

from bridge.core.errors import Faults, GateShut
from bridge.core.sanitize import one_line, shortened
from bridge.entrypoints.flowyml_runs import marks

#: What is wrapped below is FlowyML's own, and another version may run steps in other ways.
_TRIED: Final = "2.2."

#: The kinds of steps that FlowyML runs by their function alone.
_KINDS: Final = (Step, MapTaskStep, SubPipelineStep)

#: What would let FlowyML skip an approval, repeat it or run it with others: never set on one.
_UNSET: Final = {"cache": False, "retry": 0, "condition": None, "execution_group": None}

#: How deep an approval is looked for in what is no step.
_DEPTH: Final = 6


class GateStep(FlowymlStep):  # type: ignore[misc]
    """An approval, as far as a pipeline must know it."""

    handed_on: list[str]  # the assets that later steps may read
    asks: Callable[..., Any]  # its function as it was declared

    #: The names of all that this process declared: FlowyML discovers steps, but no approvals.
    declared: Final[list[str]] = []

    def check_before_run(self, flow: str) -> None:
        """Raises a `BridgeError` if it is sure already that nobody could be asked."""
        raise NotImplementedError


@dataclass
class Run:
    """A run of a pipeline in this thread, and the approvals that were given in it."""

    flow: str
    id: str
    gates: tuple[str, ...]
    passed: set[str] = field(default_factory=set)


_run: ContextVar[Run | None] = ContextVar("_run", default=None)


def run_at(gate: str) -> Run:
    """The run that this approval belongs to. Raises `GateShut` if nothing would wait for it."""
    run = _run.get()
    if run is None or gate not in run.gates:
        raise GateShut(
            f"{gate} does not run: it is no step of a pipeline that FlowyML's local orchestrator"
            " runs, so nothing would wait for it"
        )
    return run


def unusable_version() -> str | None:
    """Why approvals cannot be held in the FlowyML that is installed."""
    if flowyml.__version__.startswith(_TRIED):
        return None
    return (
        f"this is FlowyML {flowyml.__version__}, and approvals were tried with {_TRIED}x: install"
        f" 'flowyml>={_TRIED}0,<2.3'"
    )


# -- when a pipeline is built ----------------------------------------------------------------------


def hold(pipeline: Any) -> None:
    """Put each gate between the steps added before and after it. Raises `Faults`.

    The pipeline gets copies of its steps; the user's own stay as they are. A pipeline that was held
    before is held anew, from what its copies were made of.
    """
    _check(pipeline)
    steps = [getattr(step, "_unheld", step) for step in pipeline.steps]
    if any(isinstance(step, GateStep) for step in steps):
        pipeline.steps = _in_order(steps)
        pipeline._held = _functions(pipeline)


def _functions(pipeline: Any) -> list[Any]:
    """What the steps are and run, one after the other, so that a change by hand shows."""
    return [each for step in pipeline.steps for each in (step, getattr(step, "func", None))]


def _in_order(steps: list[Any]) -> list[Any]:
    """Copies of the steps that name the gates before them, and whose functions check them."""
    produced = {asset for step in steps for asset in step.outputs}
    last = max(place for place, step in enumerate(steps) if isinstance(step, GateStep))
    done: list[Any] = []
    gates: list[str] = []
    for place, step in enumerate(steps):
        held = copy.copy(step)
        held._unheld = step
        if isinstance(step, GateStep):
            before = [asset for each in done for asset in each.outputs]
            held.outputs = [*step.handed_on, *marks(step.name)]
        else:
            before = [mark for gate in gates for mark in marks(gate)]
        if place < last and not step.outputs:
            # A gate waits for outputs alone. FlowyML keeps the result of a step without any under
            # the step's name.
            held.outputs = [f"done:{step.name}" if step.name in produced else step.name]
        held.inputs = list(dict.fromkeys([*step.inputs, *before]))
        held.func = _checked(step, tuple(gates))
        if gates:
            held.cache = False  # a result of an earlier run was not approved in this one
        if isinstance(step, GateStep):
            gates.append(step.name)
        done.append(held)
    return done


def _checked(step: Any, gates: tuple[str, ...]) -> Callable[..., Any]:
    """The function of this step, which checks that these gates were passed in this run."""
    name, func, is_gate = step.name, step.func, isinstance(step, GateStep)

    @functools.wraps(func)
    def checked(*args: Any, **kwargs: Any) -> Any:
        run = _run.get()
        missing = [gate for gate in gates if run is None or gate not in run.passed]
        if missing:
            raise GateShut(f"{name} does not run: not approved in this run: {', '.join(missing)}")
        result = func(*args, **kwargs)
        if is_gate:
            run_at(name).passed.add(name)
        return result

    return checked


# -- what is refused -------------------------------------------------------------------------------


def _check(pipeline: Any) -> None:
    faults = list(_faults(pipeline, list(pipeline.steps)))
    if faults:
        raise Faults(f"the pipeline {shortened(str(pipeline.name), 80)!r}", faults)


def _faults(pipeline: Any, steps: list[Any]) -> Iterator[str]:
    yield from _inside(pipeline, steps)
    there = {id(getattr(step, "_unheld", step)) for step in steps}
    for gate in _added(pipeline):
        if id(gate) not in there:
            yield (
                f"the approval {_name(gate)} was added to it and isn't among its steps any more:"
                " build a pipeline without it, or leave it there"
            )
    gates = [step for step in steps if isinstance(step, FlowymlStep)]
    if gates:
        yield from _flat(pipeline, steps)
        for gate in gates:
            yield from _gate_faults(gate)
    elif getattr(pipeline, "_auto_discover", False) and not steps and GateStep.declared:
        yield (
            "it discovers its steps, and FlowyML discovers no approvals (this program declares"
            f" {', '.join(sorted(set(GateStep.declared)))}): add each step with `add_step`"
        )
    for step in steps:
        lost = [each for each in getattr(step, "outputs", ()) if each in marks(_name(step))]
        if lost and not isinstance(step, FlowymlStep):
            yield (
                f"its step {_name(step)} was an approval, and FlowyML rebuilt it without one:"
                " build the pipeline from its code"
            )


def _inside(pipeline: Any, steps: Iterable[Any]) -> Iterator[str]:
    """Approvals in places after which FlowyML goes on, whatever became of them."""
    for step in steps:
        if isinstance(step, FlowymlStep):
            continue
        for gate in _gates_in(step):
            yield (
                f"the approval {gate.name} is inside its step {_name(step)}, and FlowyML goes on"
                " if a step inside another fails: add it to this pipeline with `add_step`"
            )
    for gate in _gates_in([getattr(each, "__dict__", each) for each in pipeline.control_flows]):
        yield (
            f"the approval {gate.name} is in a control flow, and FlowyML goes on if a branch fails:"
            " add it with `add_step`"
        )


def _flat(pipeline: Any, steps: list[Any]) -> Iterator[str]:
    """What cannot be ordered after an approval."""
    if not _is_name(pipeline.name):
        yield "its name must be one line without a /, as it has an approval"
    for flow in pipeline.control_flows:
        yield (
            f"it has an approval and the control flow {type(flow).__name__}, whose branch would run"
            " before anyone is asked: make the branch a step with `@step(condition=…)`"
        )
    for step in steps:
        if type(step) not in _KINDS and not isinstance(step, FlowymlStep):
            yield (
                f"its step {_name(step)} is a {type(step).__name__}, which cannot wait for an"
                " approval: write it as a function with `@step`"
            )
    yield from _circles(steps)
    for name, times in Counter(map(_name, steps)).items():
        if times > 1:
            yield f"{times} of its steps are named {name}, and FlowyML runs one of them: rename"


def _circles(steps: list[Any]) -> Iterator[str]:
    """Steps that would wait for an approval that waits for them."""
    makers = {each: place for place, step in enumerate(steps) for each in _assets(step, "outputs")}
    for at, gate in enumerate(steps):
        for step in steps[: at + 1] if isinstance(gate, FlowymlStep) else ():
            for asset in _assets(step, "inputs"):
                if (place := makers.get(asset, at)) > at:
                    later = _name(steps[place])
                    yield (
                        f"{_name(step)} reads {asset}, which {later} makes, and {later} was added"
                        f" after the approval {gate.name}: add it before"
                    )


def _assets(step: Any, kind: str) -> list[str]:
    return list(getattr(step, kind, ()))


def _gate_faults(gate: Any) -> Iterator[str]:
    own: Any = getattr(gate, "_unheld", gate)
    if not isinstance(gate, GateStep):
        yield (
            f"{gate.name} is FlowyML's own approval, which nothing waits for: use `approval` of"
            " bridge.entrypoints.flowyml"
        )
    elif own.func is not own.asks:
        yield f"the function of the approval {gate.name} was replaced, so it asks nobody: leave it"
    for name, value in _UNSET.items():
        if getattr(gate, name) != value:
            yield f"`{name}` is set on the approval {gate.name}, and it cannot have one: remove it"


def _name(step: Any) -> str:
    return one_line(str(getattr(step, "name", None) or getattr(step, "__name__", type(step))))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name) and "/" not in name and name == one_line(name)


def _gates_in(thing: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """The approvals in a control flow, a pipeline, a function's variables, or a list of them."""
    if isinstance(thing, FlowymlStep):
        yield thing
    elif depth:
        for part in _parts(thing):
            yield from _gates_in(part, depth - 1)


def _parts(thing: Any) -> Iterable[Any]:
    """What to look into next."""
    if isinstance(thing, Mapping):
        return thing.values()
    if isinstance(thing, list | tuple | set | frozenset):
        return thing
    if isinstance(thing, functools.partial):
        return (thing.func, *thing.args, *thing.keywords.values())
    if isinstance(thing, SubPipelineStep):
        return (thing.sub_pipeline,)
    if isinstance(thing, Step):
        return (thing.func,) if isinstance(thing.func, Step) else ()
    if isinstance(thing, Pipeline):
        return (*thing.steps, *thing.control_flows)
    if inspect.isfunction(thing):
        read = inspect.getclosurevars(thing)
        found = (*read.nonlocals.values(), *read.globals.values())
        return [each for each in found if isinstance(each, FlowymlStep | SubPipelineStep)]
    if type(thing).__module__.startswith("flowyml."):
        return list(vars(thing).values())
    return ()


# -- when a pipeline runs --------------------------------------------------------------------------


class _OnlyLocal:
    """The orchestrator that a pipeline with an approval is given: FlowyML's local one, or none."""

    def __init__(self, wanted: Any) -> None:
        self._wanted = wanted

    def run_pipeline(self, pipeline: Any, **said: Any) -> Any:
        found = self._wanted
        if found is None:
            found = getattr(pipeline.stack, "orchestrator", None) or LocalOrchestrator()
        if type(found) is not LocalOrchestrator:
            raise Faults(
                f"the pipeline {pipeline.name!r}",
                [
                    f"it has an approval, and a {type(found).__name__} would run its steps"
                    " elsewhere, with nothing that waits: use FlowyML's local orchestrator"
                ],
            )
        return found.run_pipeline(pipeline, **said)


class _Fixed(tuple[Any, ...]):
    """The steps of a pipeline while it runs."""

    __slots__ = ()

    def append(self, _: Any) -> None:
        raise GateShut("a pipeline with an approval takes no further step while it runs")


@contextmanager
def _running(pipeline: Any, run_id: Any) -> Iterator[None]:
    gates = tuple(step.name for step in pipeline.steps if isinstance(step, GateStep))
    outer = _run.get()
    if gates:
        _check_run(pipeline, run_id, outer)
        for step in pipeline.steps:
            if isinstance(step, GateStep):
                step.check_before_run(str(pipeline.name))
        # An approval is found in the ledger again, never in a checkpoint.
        done = getattr(pipeline, "_completed_steps_from_checkpoint", ())
        pipeline._completed_steps_from_checkpoint = set(done) - set(gates)
    before = pipeline.steps, pipeline.control_flows
    token = _run.set(Run(str(pipeline.name), str(run_id), gates))
    try:
        if gates:
            pipeline.steps, pipeline.control_flows = map(_Fixed, before)
        yield
    finally:
        _run.reset(token)
        if gates:
            pipeline.steps, pipeline.control_flows = before


def _check_run(pipeline: Any, run_id: Any, outer: Run | None) -> None:
    if outer:
        raise GateShut(
            f"the pipeline {pipeline.name!r} does not run: it has an approval, and runs inside a"
            f" step of {outer.flow!r}, which goes on if it fails: run it by itself"
        )
    if not _is_name(run_id):
        raise GateShut(
            f"the pipeline {pipeline.name!r} does not run: it has an approval, and its run id must"
            " be one line without a /"
        )


_build, _run_pipeline, _run_locally = Pipeline.build, Pipeline.run, LocalOrchestrator.run_pipeline
_add_step, _add_steps = Pipeline.add_step, Pipeline.add_steps


def _added(pipeline: Any) -> list[Any]:
    """The approvals that were ever added to it: its list of steps is anybody's to change."""
    found: list[Any] = pipeline.__dict__.setdefault("_approvals", [])
    return found


def _held_add_step(self: Any, step: Any) -> Any:
    return _remembered(self, [step], _add_step(self, step))


def _held_add_steps(self: Any, steps: Iterable[Any]) -> Any:
    steps = list(steps)
    return _remembered(self, steps, _add_steps(self, steps))


def _remembered(pipeline: Any, steps: Iterable[Any], result: Any) -> Any:
    _added(pipeline).extend(step for step in steps if isinstance(step, GateStep))
    return result


def _held_build(self: Any) -> None:
    if not self._built:
        hold(self)
    _build(self)


@functools.wraps(_run_pipeline)
def _held_run(self: Any, *args: Any, **kwargs: Any) -> Any:
    if _added(self) or any(isinstance(step, FlowymlStep) for step in self.steps):
        _check(self)
        said = inspect.signature(_run_pipeline).bind(self, *args, **kwargs)
        said.arguments["orchestrator"] = _OnlyLocal(said.arguments.get("orchestrator"))
        return _run_pipeline(*said.args, **said.kwargs)
    return _run_pipeline(self, *args, **kwargs)


def _held_run_locally(self: Any, pipeline: Any, run_id: Any, *args: Any, **kwargs: Any) -> Any:
    # Steps and control flows can change after the pipeline was built, and it need not be built.
    _check(pipeline)
    if list(map(id, getattr(pipeline, "_held", ()))) != list(map(id, _functions(pipeline))):
        hold(pipeline)
        pipeline._built = False
        _build(pipeline)
    with _running(pipeline, run_id):
        return _run_locally(self, pipeline, run_id, *args, **kwargs)


def install() -> None:
    """Hold every pipeline that is built or run from now on. FlowyML has no hook that can refuse:
    what its hooks raise is printed, and the run goes on (`HookRegistry.run_pipeline_start_hooks`).
    """
    Pipeline.add_step = functools.wraps(_add_step)(_held_add_step)
    Pipeline.add_steps = functools.wraps(_add_steps)(_held_add_steps)
    Pipeline.build = functools.wraps(_build)(_held_build)
    Pipeline.run = _held_run
    LocalOrchestrator.run_pipeline = functools.wraps(_run_locally)(_held_run_locally)
