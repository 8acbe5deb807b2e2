"""An approval in a FlowyML pipeline: what is added after it waits, or the pipeline is refused.

FlowyML takes 1.4 s to import, so all pipelines run in the process of the tests.
"""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flowyml
import pytest
from flowyml import If, Pipeline, Step, Switch, VersionedPipeline, dynamic, map_task
from flowyml.core.approval import ApprovalStep as FlowymlStep
from flowyml.core.graph import DAG, Node
from flowyml.core.orchestrator import LocalOrchestrator
from flowyml.core.remote_orchestrator import RemoteOrchestrator
from flowyml.core.retry_policy import OrchestratorRetryPolicy
from flowyml.core.step import clear_step_registry
from flowyml.core.step_grouping import get_execution_units
from flowyml.core.step_runner import StepRunner
from flowyml.core.subpipeline import SubPipelineStep, sub_pipeline
from flowyml.evals import EvalStep
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge import wiring
from bridge.cli import main as cli
from bridge.core.errors import Faults, GateShut, LedgerUnavailable
from bridge.core.evaluation import Actor, Decider, Outcome, Vote
from bridge.core.model import ApprovalRequest
from bridge.entrypoints import flowyml_pipeline, python
from bridge.entrypoints.flowyml import ApprovalStep, approval

from .gates import ROOT, a_vote, the_decision


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    """Each test has the hooks and the discovered steps of its own pipelines alone."""
    hooks = flowyml.core.hooks.get_global_hooks().on_pipeline_start
    before = list(hooks)
    yield
    hooks[:] = before
    clear_step_registry()


@dataclass
class Asked:
    """What the approvals of a test were asked, in the place of a ledger."""

    no: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)
    values: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, _spec: object, gate: Any, values: Mapping[str, Any]) -> Any:
        self.keys.append(gate.key)
        self.values.append(dict(values))
        name = gate.key.split("/")[2]
        ran.append(f"ask {name}")
        if name in self.no:
            raise GateShut(f"{gate.key} does not run: rejected")
        return SimpleNamespace(inputs={}, plain=dict)


#: The steps that ran, in order.
ran: list[str] = []


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> Asked:
    ran.clear()
    asked = Asked()
    monkeypatch.setattr(python, "ask", asked)
    return asked


def a_step(name: str, inputs: tuple[str, ...] = (), **said: Any) -> Step:
    """A step that only says that it ran."""
    return Step(lambda **_: ran.append(name), name=name, inputs=list(inputs), **said)


def a_gate(name: str = "review", **said: Any) -> ApprovalStep:
    return approval(name, "Ann", **said)


def a_pipeline(*steps: Any, flows: tuple[Any, ...] = (), name: str = "shop", **said: Any) -> Any:
    pipeline = Pipeline(name, **said)
    for each in steps:
        pipeline.add_step(each)
    for each in flows:
        pipeline.add_control_flow(each)
    return pipeline


def run(pipeline: Any, **said: Any) -> Any:
    return pipeline.run(auto_start_ui=False, **said)


def why(result: Any, step: str = "review") -> str:
    return str(result.step_results[step].error)


# -- a pipeline that is held -----------------------------------------------------------------------


def test_every_step_added_after_an_approval_waits_for_it_whatever_it_reads(asks: Asked) -> None:
    train = Step(lambda: {"accuracy": 0.94}, name="train", outputs=["model"])
    deploy = Step(
        lambda approved: ran.append(f"deploy {approved}"), name="deploy", inputs=["approved"]
    )
    gate = a_gate(inputs=["model"], outputs=["approved"])
    assert run(a_pipeline(train, a_step("check"), gate, a_step("announce"), deploy)).success
    assert ran[:2] == ["check", "ask review"]
    assert set(ran[2:]) == {"announce", "deploy {'accuracy': 0.94}"}
    assert asks.values == [{"model": {"accuracy": 0.94}}]


def test_after_a_rejection_no_later_step_runs(asks: Asked) -> None:
    asks.no.add("review")
    result = run(a_pipeline(a_step("train"), a_gate(), a_step("deploy"), a_step("announce")))
    assert not result.success
    assert ran == ["train", "ask review"]
    assert "review/1 does not run: rejected" in why(result)


def test_several_approvals_make_stages(asks: Asked) -> None:
    asks.no.add("production")
    stages = (a_gate("staging"), a_step("stage"), a_gate("production"), a_step("ship"))
    assert not run(a_pipeline(*stages)).success
    assert ran == ["ask staging", "stage", "ask production"]


def test_however_a_pipeline_is_made_its_later_steps_wait(asks: Asked) -> None:
    asks.no.add("review")
    steps = [a_gate(), a_step("deploy")]
    listed = Pipeline("listed")
    listed.add_steps(steps)
    versioned = Pipeline("versioned", version="v1")
    assert isinstance(versioned, VersionedPipeline)
    for each in steps:
        versioned.add_step(each)
    behind_its_back = Pipeline("appended")
    behind_its_back.build()
    behind_its_back.steps.extend(steps)
    for pipeline in (Pipeline.from_steps(*steps, name="made"), listed, versioned, behind_its_back):
        assert not run(pipeline).success
    direct = a_pipeline(*steps)
    assert not LocalOrchestrator().run_pipeline(direct, "r1").success
    retried = run(a_pipeline(*steps), retry_policy=OrchestratorRetryPolicy(initial_delay=0.0))
    assert not retried.success
    assert ran == ["ask review"] * 6


def test_maps_sub_pipelines_and_groups_after_an_approval_wait_too(asks: Asked) -> None:
    mapped = map_task(name="mapped")(lambda: ran.append("mapped"))
    inner = sub_pipeline(a_pipeline(a_step("inner"), name="inner"), name="nested")
    grouped = partial(a_step, execution_group="gpu")
    steps = (grouped("fit"), a_gate(), mapped, inner, grouped("serve"), a_step("announce"))
    assert run(a_pipeline(*steps)).success
    assert ran[:2] == ["fit", "ask review"]
    assert set(ran[2:]) == {"mapped", "inner", "serve", "announce"}
    ran.clear()
    asks.no.add("review")
    assert not run(a_pipeline(*steps)).success
    assert ran == ["fit", "ask review"]


@settings(max_examples=60)
@given(st.data())
def test_no_order_of_assets_and_groups_puts_a_step_before_an_approval_it_was_added_after(
    data: Any,
) -> None:
    names = [f"s{each}" for each in range(data.draw(st.integers(2, 7)))]
    steps: list[Any] = []
    made: list[str] = []
    for name in names:
        reads = data.draw(st.lists(st.sampled_from(made), unique=True)) if made else []
        if data.draw(st.booleans()):
            steps.append(a_gate(name, inputs=reads))
            continue
        writes = [f"{name}.out"] * data.draw(st.integers(0, 1))
        group = data.draw(st.sampled_from([None, "a", "b"]))
        steps.append(a_step(name, tuple(reads), outputs=writes, execution_group=group))
        made += writes
    assume(has_order(steps))
    pipeline = SimpleNamespace(name="shop", steps=steps, control_flows=[])
    flowyml_pipeline.hold(pipeline)
    units = units_of(pipeline.steps)
    order = [name for each in units for name in getattr(each, "execution_order", [each_name(each)])]
    assert sorted(order) == sorted(names)
    for place, gate in enumerate(steps):
        if isinstance(gate, ApprovalStep):
            at = order.index(gate.name)
            assert set(order[:at]) == set(names[:place])


def units_of(steps: Sequence[Any]) -> list[Any]:
    dag = DAG()
    for each in steps:
        dag.add_node(Node(each.name, each, each.inputs, each.outputs))
    dag.build_edges()
    return list(get_execution_units(dag, list(steps)))


def has_order(steps: Sequence[Any]) -> bool:
    """Whether FlowyML runs these at all: it joins the steps of a group, and refuses a pipeline in
    which another step reads what one of them makes and makes what another of them reads."""
    try:
        return bool(units_of(steps))
    except ValueError:
        return False


def each_name(unit: Any) -> str:
    return getattr(unit, "name", "")


def test_what_nobody_produced_is_not_asked_about(asks: Asked) -> None:
    skipped = Step(lambda: 1, name="train", outputs=["model"], condition=lambda: False)
    result = run(a_pipeline(skipped, a_gate(inputs=["model"], outputs=["approved"])))
    assert "review does not run: no step produced model" in why(result)
    assert ran == []


# -- what an earlier run left ----------------------------------------------------------------------


def test_no_step_after_an_approval_is_taken_from_the_cache_of_an_earlier_run(asks: Asked) -> None:
    def deploy() -> str:
        ran.append("deploy")
        return "deployed"

    def train() -> str:
        ran.append("train")
        return "model"

    for _ in range(2):
        steps = (Step(train, outputs=["model"]), a_gate(), Step(deploy, outputs=["address"]))
        assert run(a_pipeline(*steps)).success
    assert ran == ["train", "ask review", "deploy", "ask review", "deploy"]
    assert asks.keys[0] != asks.keys[1]


def test_a_run_that_is_resumed_finds_its_approval_in_the_ledger_and_not_in_a_checkpoint(
    asks: Asked,
) -> None:
    broken = [True]

    def deploy() -> None:
        if broken.pop():
            raise OSError("no such host")
        ran.append("deploy")

    pipeline = a_pipeline(Step(lambda: 1, name="train", outputs=["model"]), a_gate(), Step(deploy))
    assert not run(pipeline, run_id="r1").success
    broken.append(False)
    assert pipeline.rerun("r1", auto_start_ui=False).success
    assert ran == ["ask review", "ask review", "deploy"]
    assert asks.keys == ["shop/r1/review/1"] * 2
    asks.no.add("review")
    ran.clear()
    assert not pipeline.rerun("r1", auto_start_ui=False).success
    assert ran == ["ask review"]


# -- a pipeline that is refused --------------------------------------------------------------------


def after(*steps: Any, **said: Any) -> Any:
    """A pipeline with an approval, these steps after it, and perhaps control flows."""
    return a_pipeline(a_step("train"), a_gate(), *steps, **said)


def flow(**branches: Any) -> Any:
    """A pipeline without an approval of its own, and a control flow with these branches."""
    return a_pipeline(a_step("train"), flows=(If(condition=lambda _: True, **branches),))


def inside(*steps: Any, **said: Any) -> Any:
    """A pipeline whose one step is a pipeline with these."""
    return a_pipeline(a_step("train"), sub_pipeline(a_pipeline(*steps, name="inner", **said)))


def with_set(**said: Any) -> Any:
    gate = a_gate()
    for name, value in said.items():
        setattr(gate, name, value)
    return a_pipeline(gate)


def discovering() -> Any:
    a_gate()
    flowyml.step(name="train")(lambda: ran.append("train"))
    return Pipeline("shop", auto_discover=True)


def rebuilt() -> Any:
    pipeline = after()
    return Pipeline.from_definition(pipeline.to_definition())


def flowymls_own() -> Any:
    own = object.__new__(FlowymlStep)
    Step.__init__(own, lambda: ran.append("own"), name="own")
    own.cache = False
    return a_pipeline(own)


class Own(Step):  # type: ignore[misc]
    """A kind of step that is not FlowyML's."""


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a branch after it": (
        lambda: after(flows=(If(lambda _: True, then_step=lambda: ran.append("deploy")),)),
        "it has an approval and the control flow If, whose branch would run before anyone is",
    ),
    "a switch after it": (lambda: after(flows=(Switch(lambda _: "a"),)), "control flow Switch"),
    "unknown flow": (lambda: after(flows=(SimpleNamespace(),)), "control flow SimpleNamespace"),
    "then": (lambda: flow(then_step=a_gate()), "the approval review is in a control flow"),
    "else": (lambda: flow(else_step=a_gate()), "the approval review is in a control flow"),
    "its function": (lambda: flow(then_step=a_gate().func), "review is in a control flow"),
    "a call of it": (
        lambda: (lambda gate: flow(then_step=lambda: gate()))(a_gate()),
        "review is in a control flow",
    ),
    "a partial": (lambda: flow(then_step=partial(a_gate())), "review is in a control flow"),
    "a pipeline in a branch": (
        lambda: flow(then_step=sub_pipeline(a_pipeline(a_gate(), name="inner"))),
        "review is in a control flow",
    ),
    "a pipeline in a step": (
        lambda: inside(a_gate()),
        "the approval review is inside its step sub:inner, and FlowyML goes on if",
    ),
    "two pipelines deep": (
        lambda: a_pipeline(sub_pipeline(inside(a_gate()))),
        "review is inside its step sub:shop",
    ),
    "a versioned pipeline in a step": (
        lambda: a_pipeline(SubPipelineStep(Pipeline.from_steps(
            a_gate(), name="inner", version="v1"))),
        "review is inside its step sub:inner",
    ),
    "a branch in a pipeline in a step": (
        lambda: inside(a_step("t"), flows=(If(lambda _: True, then_step=a_gate()),)),
        "review is inside its step sub:inner",
    ),
    "a step around it": (lambda: a_pipeline(Step(a_gate(), name="s")), "inside its step s"),
    "two of one name": (
        lambda: after(a_gate()),
        "2 of its steps are named review, and FlowyML runs one of them: rename",
    ),
    "the default name twice": (
        lambda: a_pipeline(approval(approver="Ann"), approval(approver="Bob")),
        "2 of its steps are named approval",
    ),
    "a step of its name": (lambda: after(a_step("review")), "2 of its steps are named review"),
    "an input made after it": (
        lambda: a_pipeline(a_gate(inputs=["model"]), a_step("train", outputs=["model"])),
        "review reads model, which train makes, and train was added after the approval review",
    ),
    "an input of a step before it made after it": (
        lambda: a_pipeline(a_step("c", ("m",)), a_gate(), a_step("t", outputs=["m"])),
        "c reads m, which t makes, and t was added after the approval review: add it before",
    ),
    "discovery": (discovering, "FlowyML discovers no approvals"),
    "a dynamic step": (
        lambda: after(dynamic(name="grow")(lambda _: None)),
        "its step grow is a DynamicStep, which cannot wait for an approval",
    ),
    "an evaluation": (lambda: after(EvalStep()), "its step evaluation is a EvalStep"),
    "a function": (lambda: after(ran.append), "its step append is a builtin_function_or_method"),
    "a kind of its own": (lambda: after(Own(print, name="p")), "its step p is a Own"),
    "FlowyML's approval": (flowymls_own, "own is FlowyML's own approval, which nothing waits for"),
    "a condition": (lambda: with_set(condition=lambda: False), "`condition` is set on"),
    "retries": (lambda: with_set(retry=3), "`retry` is set on the approval review"),
    "a cache": (lambda: with_set(cache="code_hash"), "`cache` is set on the approval review"),
    "a group": (lambda: with_set(execution_group="gpu"), "`execution_group` is set"),
    "a name with a slash": (
        lambda: a_pipeline(a_gate(), name="a/b"),
        "its name must be one line without a /",
    ),
    "a definition": (rebuilt, "its step review was an approval, and FlowyML rebuilt it without"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_held_is_refused_when_it_is_built(asks: Asked, kind: str) -> None:
    make, says = REFUSED[kind]
    pipeline = make()
    with pytest.raises(Faults, match=re.escape(says)):
        pipeline.build()
    with pytest.raises(Faults, match=re.escape(says)):
        run(pipeline)
    with pytest.raises(Faults, match=re.escape(says)):
        LocalOrchestrator().run_pipeline(pipeline, "r1")
    assert ran == []


def without(pipeline: Any) -> None:
    pipeline.steps = [step for step in pipeline.steps if step.name != "review"]


def in_place(pipeline: Any) -> None:
    del pipeline.steps[1]


def replaced(pipeline: Any) -> None:
    pipeline.steps[1] = a_step("review")


def its_function(pipeline: Any) -> None:
    gate = getattr(pipeline.steps[1], "_unheld", pipeline.steps[1])
    gate.func = lambda **_: ran.append("nobody asked")


BY_HAND = {
    without: "the approval review was added to it and isn't among its steps any more",
    in_place: "the approval review was added to it and isn't among its steps any more",
    replaced: "the approval review was added to it and isn't among its steps any more",
    its_function: "the function of the approval review was replaced, so it asks nobody",
}


@pytest.mark.parametrize("built", [False, True], ids=["before it is built", "afterwards"])
@pytest.mark.parametrize("way", BY_HAND)
def test_an_approval_that_is_taken_out_by_hand_is_missed_before_anything_runs(
    asks: Asked, way: Callable[[Any], None], built: bool
) -> None:
    steps = [a_step("train"), a_gate(), a_step("deploy")]
    for pipeline in (a_pipeline(*steps), Pipeline("shop").add_steps(steps),
                     Pipeline.from_steps(*steps, name="shop")):  # fmt: skip
        asked = steps[1].func
        if built:
            pipeline.build()
        way(pipeline)
        with pytest.raises(Faults, match=BY_HAND[way]):
            run(pipeline)
        with pytest.raises(Faults, match=BY_HAND[way]):
            run(
                pipeline,
                orchestrator=SimpleNamespace(run_pipeline=lambda *_, **__: ran.append("?")),
            )
        with pytest.raises(Faults, match=BY_HAND[way]):
            LocalOrchestrator().run_pipeline(pipeline, "r1")
        steps[1].func = asked
    assert ran == []


def test_a_held_function_that_is_replaced_by_hand_is_put_back(asks: Asked) -> None:
    pipeline = a_pipeline(a_step("train"), a_gate(), a_step("deploy"))
    pipeline.build()
    for step in pipeline.steps[1:]:
        step.func = lambda **_: ran.append("unheld")
    asks.no.add("review")
    assert not run(pipeline).success
    assert ran == ["train", "ask review"]


def test_every_fault_of_a_pipeline_is_told_at_once() -> None:
    with pytest.raises(Faults) as caught:
        after(a_gate(), Own(print, name="p"), flows=(Switch(lambda _: "a"),)).build()
    assert caught.value.subject == "the pipeline 'shop'"
    assert len(caught.value.faults) == 3


def test_a_branch_that_is_added_after_the_pipeline_was_built_is_refused(asks: Asked) -> None:
    pipeline = after()
    pipeline.build()
    pipeline.control_flows.append(If(lambda _: True, then_step=lambda: ran.append("deploy")))
    with pytest.raises(Faults, match="whose branch would run before anyone is asked"):
        run(pipeline)
    assert ran == []


def test_a_step_or_a_branch_that_is_added_during_the_run_is_refused(
    asks: Asked, capfd: pytest.CaptureFixture[str]
) -> None:
    @flowyml.core.hooks.on_pipeline_start
    def extend(pipeline: Any) -> None:
        pipeline.add_step(a_step("late"))

    pipeline = after()
    pipeline.add_step(
        Step(lambda: pipeline.add_control_flow(If(lambda _: True, a_step("x"))), name="branch")
    )
    assert "takes no further step while it runs" in why(run(pipeline), "branch")
    assert "takes no further step while it runs" in capfd.readouterr().out  # what the hook raised
    assert ran == ["train", "ask review"]
    assert isinstance(pipeline.add_step(a_step("deploy")).steps, list)


@pytest.mark.parametrize("way", ["argument", "stack"])
def test_an_orchestrator_that_runs_steps_elsewhere_is_refused(asks: Asked, way: str) -> None:
    pipeline = after()
    said = {}
    if way == "argument":
        said["orchestrator"] = RemoteOrchestrator()
    else:
        pipeline.stack = SimpleNamespace(orchestrator=RemoteOrchestrator())
        pipeline._stack_locked = True
    with pytest.raises(Faults, match="a RemoteOrchestrator would run its steps elsewhere"):
        run(pipeline, **said)
    assert ran == []


def test_in_a_container_of_its_own_no_step_after_an_approval_runs(
    asks: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shop_pipeline.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    import shop_pipeline

    shop_pipeline.make = lambda: after(a_step("deploy"))
    runner = partial(StepRunner, "shop_pipeline:make", run_id="r1", artifact_dir=str(tmp_path))
    with pytest.raises(GateShut, match="deploy does not run: not approved in this run: review"):
        runner(step_names=["deploy"]).run()
    with pytest.raises(GateShut, match="review does not run: it is no step of a pipeline"):
        runner(step_names=["review"]).run()
    assert ran == []


def test_a_pipeline_with_an_approval_does_not_run_inside_a_step_of_another(asks: Asked) -> None:
    step = Step(lambda: run(after()), name="inner")
    result = run(a_pipeline(step, a_step("last"), name="outer"))
    assert "runs inside a step of 'outer', which goes on if it fails" in why(result, "inner")
    grown = dynamic(name="grow")(lambda _=None: after())
    with pytest.raises(GateShut, match="runs inside a step of 'outer'"):
        run(a_pipeline(grown, a_step("last"), name="outer"))
    assert ran == []


def test_an_approval_that_is_called_by_hand_is_no_approval(asks: Asked) -> None:
    gate = a_gate()
    assert "it is no step of a pipeline" in why(
        run(a_pipeline(Step(lambda: gate(), name="s"))), "s"
    )
    for call in (gate, gate.func):
        with pytest.raises(GateShut, match="review does not run"):
            call()
    assert ran == []


def test_a_run_id_that_would_be_read_as_another_gate_is_refused(asks: Asked) -> None:
    with pytest.raises(GateShut, match="its run id must be one line without a /"):
        LocalOrchestrator().run_pipeline(after(), "r1/review")
    assert ran == []


# -- the declaration -------------------------------------------------------------------------------


def test_what_a_gate_is_declared_with_is_checked_when_it_is_declared() -> None:
    with pytest.raises(Faults) as caught:
        approval("", (), timeout_seconds=-1, on_timeout="perhaps")
    assert len(caught.value.faults) == 4
    with pytest.raises(Faults, match="acuracy"):
        approval(approver="Ann", inputs=["accuracy"], message="{self.acuracy}")
    with pytest.raises(Faults, match="reads ctx, which does not exist"):
        approval(approver="Ann", inputs=["accuracy"], auto_approve_if=lambda ctx: True)
    with pytest.raises(Faults) as caught:
        approval(approver="Ann", inputs=["a/b", "a_b", "2024", "class"])
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("said", [{}, {"approver": None}])
def test_an_approver_left_out_or_none_is_one_sentence(said: dict[str, Any]) -> None:
    with pytest.raises(Faults) as caught:
        approval("review", **said)
    assert caught.value.faults == ("`approver` is missing: name a person or a team, or 'anyone'",)


def test_a_step_is_flowymls_own_kind_and_says_what_it_was_made_with() -> None:
    step = approval("review", "ml-team", timeout_seconds=3600.0)
    assert isinstance(step, flowyml.ApprovalStep)
    assert (step.approver, step.timeout_seconds, step.auto_approve_if) == ("ml-team", 3600.0, None)
    assert step.spec.timeout == 3600


def test_a_flowyml_that_was_not_tried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flowyml, "__version__", "2.3.0")
    with pytest.raises(Faults, match=re.escape("this is FlowyML 2.3.0, and approvals were tried")):
        a_gate()


# -- with a real ledger ----------------------------------------------------------------------------


@dataclass
class Person:
    """Ann, at the terminal of the run."""

    verdict: str = "approve"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seen: list[ApprovalRequest] = field(default_factory=list)

    def ask(self, request: ApprovalRequest, actor: Actor, _: Callable[[], bool]) -> Vote | None:
        self.seen.append(request)
        return a_vote(request, self.verdict, actor=actor, inputs=self.inputs)


@pytest.fixture
def ann(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    person, venue = Person(), wiring.venue
    monkeypatch.setattr(wiring, "venue", lambda said: replace(venue(said), asker=person))
    return person


def model() -> Step:
    return Step(lambda: {"accuracy": 0.94}, name="train", outputs=["model"])


def test_what_was_approved_and_what_the_person_filled_in_go_on(ann: Person) -> None:
    ann.inputs = {"target": "staging"}
    got: list[Any] = []
    gate = a_gate(
        inputs=["model"],
        outputs=["approved", "answer", "decision"],
        message="At {self.model[accuracy]:.0%}?",
        input_schema={"target": "str"},
    )
    report = Step(
        lambda approved, answer, decision: got.append((approved, answer, decision["approvers"])),
        name="report",
        inputs=["approved", "answer", "decision"],
    )
    result = run(a_pipeline(model(), gate, report), run_id="r1")
    assert result.success, why(result)
    assert got == [({"accuracy": 0.94}, {"target": "staging"}, ["Ann <ann@example.org>"])]
    assert (ann.seen[0].gate.key, ann.seen[0].message) == ("shop/r1/review/1", "At 94%?")


def test_a_ledger_that_is_not_there_stops_the_pipeline_before_its_first_step(
    tmp_path: Path, asks: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HITL_LEDGER", str(tmp_path / "nowhere.git"))
    with pytest.raises(LedgerUnavailable, match=re.escape("nowhere.git")):
        run(after())
    assert ran == []


def test_a_rejection_is_told_with_its_reason(ann: Person) -> None:
    ann.verdict = "reject"
    result = run(a_pipeline(model(), a_gate(inputs=["model"])))
    assert "review/1 does not run: rejected by Ann <ann@example.org>: no" in why(result)


def test_a_gate_that_nobody_answers_in_time_is_rejected_by_the_clock(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann, "ask", lambda *_: None)
    result = run(a_pipeline(a_gate(timeout_seconds=1)))
    assert "nobody answered" in why(result)
    decision = the_decision()
    assert (decision.outcome, decision.by) == (Outcome.EXPIRED, Decider.CLOCK)


def test_runs_are_held_against_the_ledger_and_one_without_its_approval_by_the_steps_name(
    ann: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked() -> Any:
        return a_pipeline(model(), a_gate(inputs=["model"]), a_step("deploy"))

    assert run(asked(), run_id="approved").success
    ann.verdict = "reject"
    assert not run(asked(), run_id="rejected").success
    bare = a_pipeline(model(), a_step("deploy"))
    assert run(bare, run_id="bare").success
    bare.metadata_store.save_run("killed", {"pipeline_name": "shop", "status": "running"})

    command = ["ledger", "coverage", "--flow", "shop", "--flowyml", ".flowyml/metadata.db"]
    capsys.readouterr()
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert "shop: 0 gaps, 1 covered, 1 did not run" in said.out
    assert "not known: shop/killed: it goes on or was killed" in said.err
    assert cli.main([*command, "--step", "deploy", "--export", "jsonl"]) == 1
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(each["found"], each["key"], each["gate"] is None) for each in rows] == [
        ("gap", "shop/bare/deploy/1", True),
        ("not run", "shop/rejected/deploy/1", False),
        ("covered", "shop/approved/deploy/1", False),
    ]


def test_the_example_of_the_documentation_runs_and_its_condition_is_recorded(
    ledger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "flowyml.md").read_text(encoding="utf-8")
    monkeypatch.setenv("HITL_ENVIRONMENT", "staging")
    example = tmp_path / "train.py"
    example.write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1])
    runpy.run_path(str(example))
    assert "✅ deploy" in capfd.readouterr().out  # what a step prints, FlowyML keeps to itself
    decision = the_decision()
    assert decision.by is Decider.CONDITION
    assert decision.condition
    assert decision.condition.seen == {"environment": "staging"}
