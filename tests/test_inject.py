"""Gates go into an Argo manifest, and nothing else in it changes."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.inject import DESCRIPTION, LABEL, TITLE, calls, inject, lost_retries
from bridge.argo.pod_settings import Pods
from bridge.argo.templates import GatedStep, posts_of
from bridge.core.errors import Faults
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy

DAY = 86_400
ANYONE = Approvals(Actors(anyone=True))
PODS = Pods(
    env={"HITL_LEDGER": "https://git.example/l.git"}, opener="hitl-opener", reader="hitl-reader"
)


def command(step: str, more: str = "", before: str = "") -> list[str]:
    """As Metaflow 2.19 compiles it, shortened."""
    return [
        "bash",
        "-c",
        "mkdir -p $PWD/.logs && export PYTHONUNBUFFERED=x"
        f" MF_PATHSPEC=Flow/argo-{{{{workflow.name}}}}/{step}/$METAFLOW_TASK_ID"
        f" MF_ATTEMPT={{{{retries}}}} && ({before}echo $INPUT >> /tmp/mf-input-paths"
        f" && python flow.py --quiet --no-pylint step {step}"
        " --run-id argo-{{workflow.name}} --task-id $METAFLOW_TASK_ID --retry-count {{retries}}"
        f" --max-user-code-retries 2 --input-paths-filename /tmp/mf-input-paths{more})"
        " 1>> >(tee $OUT); c=$?; exit $c",
    ]


def container(step: str, **changed: Any) -> dict[str, Any]:
    name = step.replace("_", "-")
    return {
        "name": name,
        "inputs": {"parameters": [{"name": "input-paths"}, {"name": "split-index"}]},
        "outputs": {"parameters": [{"name": "task-id", "valueFrom": {"path": "/mnt/out/task_id"}}]},
        "activeDeadlineSeconds": 432_000,
        "retryStrategy": {"limit": 2, "retryPolicy": "Always"},
        "container": {
            "name": name,
            "image": "gpu/image",
            "command": command(step),
            "env": [{"name": "METAFLOW_STEP_NAME", "value": step}],
            "envFrom": [{"secretRef": {"name": "of-the-step"}}],
            "resources": {"requests": {"cpu": "16"}, "limits": {"nvidia.com/gpu": "4"}},
            "volumeMounts": [{"name": "out", "mountPath": "/mnt/out"}],
        },
        "volumes": [{"name": "out", "emptyDir": {}}],
        **changed,
    }


def task(step: str, depends: str | None = None, **more: Any) -> dict[str, Any]:
    name = step.replace("_", "-")
    parameters = [
        {"name": "input-paths", "value": "argo-{{workflow.name}}/x"},
        {"name": "split-index", "value": "{{inputs.parameters.split-index}}"},
    ]
    made = {"name": name, "template": name, "arguments": {"parameters": parameters}}
    return {**made, **({"depends": depends} if depends is not None else {}), **more}


def workflow(*templates: dict[str, Any], kind: str = "WorkflowTemplate", **spec: Any) -> Any:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "flow"},
        "spec": {"entrypoint": "Flow", "templates": list(templates), **spec},
    }


def dag(*tasks: dict[str, Any], name: str = "Flow") -> dict[str, Any]:
    return {"name": name, "dag": {"failFast": True, "tasks": list(tasks)}}


def gated(step: str = "deploy", timeout: int | None = DAY, **more: Any) -> GatedStep:
    name = step.replace("_", "-")
    on_timeout = more.pop("on_timeout", OnTimeout.REJECT)
    policy = Policy(ANYONE, timeout, on_timeout)
    return GatedStep(step, name, more.pop("template", name), policy, **more)


LINEAR = workflow(
    dag(task("train"), task("deploy", "train.Succeeded"), task("end", "deploy.Succeeded")),
    container("train"),
    container("deploy"),
    container("end"),
)


def with_gates(manifest: Any, *steps: GatedStep, pods: Pods = PODS) -> Any:
    return inject(manifest, posts_of(manifest, list(steps), pods))


def template(manifest: Any, name: str) -> Any:
    [found] = [each for each in manifest["spec"]["templates"] if each["name"] == name]
    return found


def tasks(manifest: Any, name: str = "Flow") -> dict[str, Any]:
    return {each["name"]: each for each in calls(template(manifest, name))}


# -- where the gate stands -----------------------------------------------------------------------


def test_notify_and_suspend_stand_in_a_row_before_the_gated_task() -> None:
    row = tasks(with_gates(LINEAR, gated()))
    assert list(row) == ["train", "hitl-notify-deploy", "hitl-suspend-deploy", "deploy", "end"]
    assert row["hitl-notify-deploy"]["depends"] == "train.Succeeded"
    assert row["hitl-suspend-deploy"]["depends"] == "hitl-notify-deploy.Succeeded"
    assert row["deploy"]["depends"] == "(train.Succeeded) && hitl-suspend-deploy.Succeeded"
    assert row["end"] == tasks(LINEAR)["end"]


def test_notify_is_called_with_all_the_arguments_of_the_gated_task() -> None:
    row = tasks(with_gates(LINEAR, gated()))
    assert row["hitl-notify-deploy"]["arguments"] == row["deploy"]["arguments"]


def test_the_suspended_node_is_known_by_the_gate_that_notify_opened_and_says_where() -> None:
    row = tasks(with_gates(LINEAR, gated()))
    handed = "tasks.hitl-notify-deploy.outputs.parameters"
    assert row["hitl-suspend-deploy"]["arguments"]["parameters"] == [
        {"name": each, "value": f"{{{{{handed}.{each}}}}}"} for each in ("gate", "page")
    ]


def test_argos_list_of_workflows_says_that_a_person_decides() -> None:
    said = with_gates(LINEAR, gated())["spec"]["workflowMetadata"]["annotations"]
    assert said[DESCRIPTION].endswith("the input `page` of `hitl-suspend-deploy` says where.")
    assert TITLE not in said  # it would be the name of every run of this template
    own = copy.deepcopy(LINEAR)
    own["spec"]["workflowMetadata"] = {"annotations": {TITLE: "Nightly", DESCRIPTION: "Mine."}}
    kept = with_gates(own, gated())["spec"]["workflowMetadata"]["annotations"]
    assert kept[TITLE] == "Nightly"
    assert kept[DESCRIPTION] == f"Mine.\n\n{said[DESCRIPTION]}"


def test_a_workflow_that_runs_once_has_a_title_with_its_name() -> None:
    once = {**copy.deepcopy(LINEAR), "kind": "Workflow", "metadata": {"name": "train-7"}}
    said = with_gates(once, gated())["metadata"]["annotations"]
    assert said[TITLE] == "train-7 (approval: `deploy`)"


def test_a_branch_not_taken_opens_no_gate() -> None:
    switch = workflow(
        dag(task("fork"), task("deploy", "fork.Succeeded", when="{{tasks.fork.x}} == deploy")),
        container("fork"),
        container("deploy"),
    )
    row = tasks(with_gates(switch, gated()))
    assert row["hitl-notify-deploy"]["when"] == "{{tasks.fork.x}} == deploy"
    assert row["deploy"]["when"] == "{{tasks.fork.x}} == deploy"
    assert "when" not in row["hitl-suspend-deploy"]


def test_a_gate_on_the_first_step_waits_for_nothing_else() -> None:
    row = tasks(with_gates(LINEAR, gated("train")))
    assert "depends" not in row["hitl-notify-train"]
    assert row["train"]["depends"] == "hitl-suspend-train.Succeeded"


def test_a_gate_in_a_recursive_step_is_asked_again_in_each_round() -> None:
    inside = {
        "name": "loop-internal",
        "template": "recursive-loop",
        "arguments": {"parameters": []},
    }
    again = {
        "name": "loop-recursion",
        "template": "loop",
        "when": "{{steps.loop-internal.x}}==loop",
    }
    flow = workflow(
        dag({"name": "loop", "template": "loop"}),
        {"name": "loop", "steps": [[inside], [again]]},
        container("loop", name="recursive-loop"),
    )
    after = with_gates(flow, gated("loop", template="recursive-loop"))
    groups = template(after, "loop")["steps"]
    assert [[each["name"] for each in group] for group in groups] == [
        ["hitl-notify-loop"],
        ["hitl-suspend-loop"],
        ["loop-internal"],
        ["loop-recursion"],
    ]
    parameter = groups[1][0]["arguments"]["parameters"][0]
    assert parameter["value"] == "{{steps.hitl-notify-loop.outputs.parameters.gate}}"
    assert groups[2:] == [[inside], [again]]


def test_the_workflow_carries_the_label_that_reconcilers_look_for() -> None:
    after = with_gates(LINEAR, gated())
    assert after["spec"]["workflowMetadata"]["labels"] == {LABEL: "true"}
    labelled = workflow(*LINEAR["spec"]["templates"], kind="Workflow")
    labelled["metadata"]["labels"] = {"mine": "too"}
    after = with_gates(labelled, gated())
    assert after["metadata"]["labels"] == {"mine": "too", LABEL: "true"}


# -- what the nodes run --------------------------------------------------------------------------


def test_the_suspended_node_ends_ten_minutes_after_the_deadline_and_then_says_expired() -> None:
    node = template(with_gates(LINEAR, gated(timeout=DAY)), "hitl-suspend-deploy")
    assert node["suspend"] == {"duration": "87000"}
    [decision] = node["outputs"]["parameters"]
    assert decision["valueFrom"] == {"supplied": {}, "default": "expired"}


@pytest.mark.parametrize(
    ("timeout", "on_timeout"),
    [(None, OnTimeout.REJECT), (DAY, OnTimeout.NOTIFY), (DAY, OnTimeout.APPROVE)],
)
def test_a_gate_that_no_deadline_rejects_waits_longer_than_any_default(
    timeout: int | None, on_timeout: OnTimeout
) -> None:
    after = with_gates(LINEAR, gated(timeout=timeout, on_timeout=on_timeout))
    assert template(after, "hitl-suspend-deploy")["suspend"] == {"duration": "876000h"}


def test_what_is_around_a_gate_is_not_retried_and_what_is_beside_it_stays() -> None:
    inner = dag(task("deploy"), name="inner")
    beside = dag(task("end"), name="beside")
    flow = workflow(
        dag(task("inner"), task("beside")),
        {**inner, "retryStrategy": {"limit": 3}},
        beside,
        container("deploy"),
        container("end"),
        templateDefaults={"retryStrategy": {"limit": 2}},
    )
    after = with_gates(flow, gated())
    assert template(after, "Flow")["retryStrategy"] == {"limit": 0}
    assert template(after, "inner")["retryStrategy"] == {"limit": 0}
    assert template(after, "beside") is beside
    said = list(lost_retries(flow, posts_of(flow, [gated()], PODS)))
    assert ["the template Flow has" in said[0], "the template inner has" in said[1]] == 2 * [True]
    assert not list(lost_retries(after, posts_of(flow, [gated()], PODS)))


def test_a_suspended_node_that_was_rejected_is_not_suspended_afresh() -> None:
    node = template(with_gates(LINEAR, gated()), "hitl-suspend-deploy")
    assert node["retryStrategy"] == {"limit": 0}


def test_notify_runs_the_steps_own_command_with_only_its_verb_replaced() -> None:
    after = with_gates(LINEAR, gated())
    was, now = command("deploy")[2], template(after, "hitl-notify-deploy")["container"]["command"]
    assert now[:2] == ["bash", "-c"]
    opened = (
        " hitl open --step deploy --run-id argo-{{workflow.name}} --task-id $METAFLOW_TASK_ID"
        " --input-paths-filename /tmp/mf-input-paths --out /mnt/out)"
    )
    expected = re.sub(r" step deploy --run-id .*?\)", opened, was)
    assert now[2] == expected.replace("}}/deploy/$METAFLOW", "}}/_hitl/$METAFLOW")


def test_notify_keeps_the_split_that_it_asks_about() -> None:
    fan = copy.deepcopy(LINEAR)
    more = " --split-index {{inputs.parameters.split-index}} --tag a:b --namespace=user:ann"
    template(fan, "deploy")["container"]["command"] = command("deploy", more)
    said = template(with_gates(fan, gated()), "hitl-notify-deploy")["container"]["command"][2]
    assert "paths --split-index {{inputs.parameters.split-index}} --out /mnt/out)" in said


def test_notify_is_small_and_ends_soon_and_holds_no_gpu() -> None:
    notify = template(with_gates(LINEAR, gated()), "hitl-notify-deploy")
    assert notify["container"]["resources"]["limits"] == {}
    assert notify["container"]["resources"]["requests"]["memory"] == "512Mi"
    assert notify["activeDeadlineSeconds"] == 900
    assert notify["retryStrategy"]["expression"] == "asInt(lastRetry.exitCode) != 202"
    assert notify["outputs"] == {
        "parameters": [
            {"name": each, "valueFrom": {"path": f"/mnt/out/{each}"}} for each in ("gate", "page")
        ]
    }


def test_the_node_of_a_notify_that_fails_says_why() -> None:
    notify = template(with_gates(LINEAR, gated()), "hitl-notify-deploy")
    assert notify["container"]["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert "terminationMessagePolicy" not in template(LINEAR, "deploy")["container"]


def test_notify_has_limits_where_the_step_has_for_a_quota_may_ask_for_them() -> None:
    limited = copy.deepcopy(LINEAR)
    template(limited, "deploy")["container"]["resources"]["limits"] = {"memory": "64Gi", "cpu": "9"}
    notify = template(with_gates(limited, gated()), "hitl-notify-deploy")
    assert notify["container"]["resources"]["limits"] == {"cpu": "250m", "memory": "512Mi"}


def test_notify_drops_the_set_up_of_the_steps_own_packages() -> None:
    conda = copy.deepcopy(LINEAR)
    setup = "echo 'Bootstrapping' && python -m boot"
    script = command("deploy", before=f"{setup} && ")
    script[2] = script[2].replace("python flow.py", "$MF_ARCH/1/bin/python -s flow.py")
    template(conda, "deploy")["container"]["command"] = script
    step = gated(bootstrap=setup, python="$MF_ARCH/1/bin/python -s")
    after = with_gates(conda, step)
    notify = template(after, "hitl-notify-deploy")["container"]["command"][2]
    assert "Bootstrapping" not in notify
    assert "&& python flow.py --quiet" in notify
    assert template(after, "deploy")["container"]["command"] == script


def test_the_gated_pod_reads_and_only_notify_opens() -> None:
    after = with_gates(LINEAR, gated())

    def secrets(name: str) -> list[str]:
        sources = template(after, name)["container"]["envFrom"]
        return [each["secretRef"]["name"] for each in sources]

    assert secrets("deploy") == ["of-the-step", "hitl-reader"]
    assert secrets("hitl-notify-deploy") == ["of-the-step", "hitl-opener"]


def test_a_shut_gate_is_no_reason_to_try_the_step_again() -> None:
    after = template(with_gates(LINEAR, gated()), "deploy")
    assert after["retryStrategy"] == {
        "limit": 2,
        "retryPolicy": "Always",
        "expression": "asInt(lastRetry.exitCode) != 202",
    }
    own = copy.deepcopy(LINEAR)
    template(own, "deploy")["retryStrategy"]["expression"] = "a || b"
    after = template(with_gates(own, gated()), "deploy")
    assert after["retryStrategy"]["expression"] == "(a || b) && asInt(lastRetry.exitCode) != 202"


# -- what cannot stand ---------------------------------------------------------------------------


def faults_of(manifest: Any, *steps: GatedStep) -> tuple[str, ...]:
    with pytest.raises(Faults) as raised:
        with_gates(manifest, *steps)
    return raised.value.faults


def test_every_step_that_is_compiled_otherwise_is_named_at_once() -> None:
    strange = copy.deepcopy(LINEAR)
    for name in ("train", "deploy"):
        template(strange, name)["container"]["command"][2] = "python flow.py run-it"
    first, second = faults_of(strange, gated("train"), gated())
    assert "train holds 0 times" in first
    assert "deploy holds 0 times" in second


def test_a_command_that_stands_there_twice_is_not_guessed_at() -> None:
    twice = copy.deepcopy(LINEAR)
    template(twice, "deploy")["container"]["command"][2] *= 2
    [fault] = faults_of(twice, gated())
    assert "2 times" in fault


def test_a_step_with_no_container_is_not_gated() -> None:
    parallel = copy.deepcopy(LINEAR)
    del template(parallel, "deploy")["container"]
    [fault] = faults_of(parallel, gated())
    assert "one container template with one caller" in fault


def test_a_workflow_that_ends_before_the_gate_does_is_an_error() -> None:
    short = workflow(*LINEAR["spec"]["templates"], activeDeadlineSeconds=3600)
    first, second = faults_of(short, gated(timeout=7200), gated("train", timeout=None))
    assert "may wait 2 hours, and the workflow is ended after 1 hour" in first
    assert "waits forever" in second
    with_gates(short, gated(timeout=3600))


def test_a_name_that_is_taken_is_not_taken_over() -> None:
    taken = workflow(*LINEAR["spec"]["templates"], {"name": "hitl-suspend-deploy", "suspend": {}})
    [fault] = faults_of(taken, gated())
    assert "there is a template hitl-suspend-deploy already" in fault


# -- what holds for every workflow ---------------------------------------------------------------

STEPS = [f"s_{n}" for n in range(6)]


@st.composite
def flows(draw: st.DrawFn) -> tuple[Any, list[GatedStep]]:
    """A flow of any shape, and which of its steps are gated."""
    rows = []
    for n, step in enumerate(STEPS):
        before = draw(st.sets(st.sampled_from(STEPS[:n]))) if n else set()
        glue = draw(st.sampled_from([" && ", " || "]))
        depends = glue.join(f"{each.replace('_', '-')}.Succeeded" for each in sorted(before))
        more = {"when": "1 == 2"} if draw(st.booleans()) else {}
        rows.append(task(step, depends or draw(st.sampled_from([None, ""])), **more))
    cut = draw(st.integers(0, len(rows)))
    dags = [dag(*rows[:cut]), dag(*rows[cut:], name="inner")]
    chosen = draw(st.lists(st.sampled_from(STEPS), unique=True))
    timeouts = st.none() | st.integers(1, 10**6)
    steps = [gated(each, timeout=draw(timeouts)) for each in chosen]
    return workflow(*dags, *map(container, STEPS)), steps


@given(flows())
def test_putting_gates_in_twice_is_putting_them_in_once(
    drawn: tuple[Any, list[GatedStep]],
) -> None:
    flow, steps = drawn
    once = with_gates(flow, *steps)
    assert with_gates(once, *steps) == once


@given(flows())
def test_the_manifest_that_was_given_is_left_alone(drawn: tuple[Any, list[GatedStep]]) -> None:
    flow, steps = drawn
    before = json.dumps(flow)
    with_gates(flow, *steps)
    assert json.dumps(flow) == before


@given(flows())
def test_no_dependency_is_lost_and_nothing_else_changes(
    drawn: tuple[Any, list[GatedStep]],
) -> None:
    flow, steps = drawn
    after = with_gates(flow, *steps)
    names = {step.name for step in steps}
    for owner in ("Flow", "inner"):
        was, now = tasks(flow, owner), tasks(after, owner)
        for name, before in was.items():
            if name not in names:
                assert now[name] == before
                continue
            own = before.get("depends")
            passed = f"hitl-suspend-{name}.Succeeded"
            assert now[name]["depends"] == (f"({own}) && {passed}" if own else passed)
            assert now[f"hitl-notify-{name}"].get("depends") == (own or None)
            rest = {key: value for key, value in now[name].items() if key != "depends"}
            assert rest == {key: value for key, value in before.items() if key != "depends"}
    for each in flow["spec"]["templates"]:
        if "container" in each and each["name"] not in names:
            assert template(after, each["name"]) is each


@given(flows())
def test_nothing_of_a_gate_runs_on_what_was_skipped_or_left_out(
    drawn: tuple[Any, list[GatedStep]],
) -> None:
    flow, steps = drawn
    written = json.dumps(with_gates(flow, *steps))
    assert ".Omitted" not in written
    assert ".Skipped" not in written
    assert "dependencies" not in written
