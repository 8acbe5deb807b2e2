"""The verifier is in the guarded template, whoever starts it, or the manifest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.argo.annotations import annotated
from bridge.argo.inject import inject
from bridge.core.errors import Faults
from tests.test_inject import PODS, container, dag, task, tasks, template, workflow

SHUT = "!(lastRetry.message startsWith 'hitl-verify: ')"


def leaf(name: str, **more: Any) -> Any:
    return {"name": name, "container": {"image": "x", "command": ["sh", name]}, **more}


def asking(*templates: Any, gates: tuple[str, ...] = ("deploy",), **spec: Any) -> Any:
    """A workflow whose first template is its entrypoint, with a gate at each of these tasks."""
    made = workflow(*templates, kind="Workflow", **{"entrypoint": templates[0]["name"], **spec})
    gate = "message: Go?\nartifacts: {size: 3}"
    made["metadata"]["annotations"] = {f"approval-bridge/{each}": gate for each in gates}
    return made


def gated(manifest: Any) -> Any:
    return inject(manifest, annotated(manifest, PODS))


def refusal(manifest: Any) -> str:
    with pytest.raises(Faults) as raised:
        gated(manifest)
    [fault] = raised.value.faults
    return fault


def one(kind: Any, **more: Any) -> Any:
    """A gated task that runs this template."""
    return asking(dag(task("deploy"), name="main"), {"name": "deploy", **kind}, **more)


def checks(manifest: Any, name: str = "deploy") -> list[str]:
    return [each["name"] for each in template(manifest, name).get("initContainers", ())]


PODS_OF_THEIR_OWN: dict[str, Any] = {
    "container": {"image": "x"},
    "script": {"image": "x", "command": ["sh"], "source": "echo hi"},
    "containerSet": {"containers": [{"name": "main", "image": "x"}]},
    "resource": {"action": "apply", "manifest": "kind: ConfigMap"},
}


@pytest.mark.parametrize("kind", PODS_OF_THEIR_OWN)
def test_each_kind_of_template_with_a_pod_checks_its_gate_first(kind: str) -> None:
    own = {"initContainers": [{"name": "mine", "image": "x"}], kind: PODS_OF_THEIR_OWN[kind]}
    made = gated(one(own))
    assert checks(made) == ["hitl-verify", "mine"]
    assert template(made, "deploy")[kind] == PODS_OF_THEIR_OWN[kind]


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ({"http": {"url": "https://x"}}, "Write it as a container or script template"),
        ({"plugin": {"hello": {}}}, "Write it as a container or script template"),
        ({"data": {"source": {}}}, "Write it as a container or script template"),
        ({"suspend": {}}, "Gate the task after it"),
    ],
)
def test_what_runs_without_a_pod_of_its_own_is_refused_with_the_way_to_write_it(
    kind: dict[str, Any], way: str
) -> None:
    said = refusal(one(kind))
    assert f"which is a {next(iter(kind))} template" in said
    assert way in said


def test_a_template_that_is_elsewhere_is_refused_with_the_way_to_write_it() -> None:
    call = {"name": "deploy", "templateRef": {"name": "shared", "template": "deploy"}}
    said = refusal(asking(dag(call, name="main")))
    assert "annotate a task of a dag in shared itself, inject that, and call that dag" in said


def test_a_template_inline_is_refused_with_the_way_to_write_it() -> None:
    call = {"name": "deploy", "inline": {"container": {"image": "x"}}}
    assert "give the template a name among `templates`" in refusal(asking(dag(call, name="main")))


def test_a_template_that_does_not_exist_is_refused() -> None:
    said = refusal(asking(dag(task("deploy"), name="main")))
    assert "this manifest has no template of that name" in said


def test_a_call_past_the_gate_is_a_call_that_argo_accepts_and_the_pod_refuses() -> None:
    """Each input that the gate needs has a value, so the template can be the entrypoint."""
    given = template(gated(one({"container": {"image": "x"}})), "deploy")["inputs"]["parameters"]
    assert {each["name"] for each in given} > {"hitl-gate", "hitl-message", "hitl-place"}
    assert all(each["value"] == "" for each in given)


# -- retries -------------------------------------------------------------------------------------


def retries(manifest: Any, name: str = "deploy") -> Any:
    return template(gated(manifest), name).get("retryStrategy")


def test_a_shut_gate_is_not_retried_whoever_gave_the_retries() -> None:
    own = {"limit": 2, "expression": "a || b"}
    held = {"limit": 2, "expression": f"(a || b) && {SHUT}"}
    plain = {"container": {"image": "x"}}
    assert retries(one({**plain, "retryStrategy": own})) == held
    assert retries(one(plain, templateDefaults={"retryStrategy": own})) == held
    assert retries(one(plain, retryStrategy=own)) == held
    assert retries(one({**plain, "retryStrategy": {"limit": 5}})) == {
        "limit": 5,
        "retryPolicy": "OnFailure",
        "expression": SHUT,
    }
    assert retries(one(plain)) is None


# -- DAGs and steps ------------------------------------------------------------------------------


def release(**inner: Any) -> Any:
    """A gated task that runs a DAG of two pods, one of them two templates down."""
    ship = {"name": "ship", "template": "ship", **inner}
    return asking(
        dag(task("deploy"), name="main"),
        dag(ship, {"name": "more", "template": "more"}, name="deploy"),
        {"name": "more", "steps": [[{"name": "again", "template": "again"}]]},
        leaf("ship"),
        leaf("again"),
        leaf("bystander"),
    )


def test_of_a_guarded_dag_each_pod_inside_checks_the_gate_that_the_dag_was_given() -> None:
    made = gated(release())
    assert checks(made, "ship") == checks(made, "again") == ["hitl-verify"]
    assert checks(made, "deploy") == checks(made, "bystander") == []
    handed = {"name": "hitl-message", "value": "{{inputs.parameters.hitl-message}}"}
    [again] = template(made, "more")["steps"][0]
    inside = tasks(made, "deploy")
    for call in (inside["ship"], inside["more"], again):
        assert handed in call["arguments"]["parameters"]
        place = {"name": "hitl-place", "value": "{{inputs.parameters.hitl-place}}"}
        assert place in call["arguments"]["parameters"]
    assert {"name": "hitl-message", "value": "Go?"} in (
        tasks(made, "main")["deploy"]["arguments"]["parameters"]
    )


def test_a_hook_inside_a_guarded_dag_is_guarded_too() -> None:
    made = gated(release(hooks={"exit": {"template": "again"}}))
    hook = tasks(made, "deploy")["ship"]["hooks"]["exit"]
    assert any(each["name"] == "hitl-gate" for each in hook["arguments"]["parameters"])


def test_a_pause_inside_a_guarded_dag_needs_no_check() -> None:
    flow = release()
    flow["spec"]["templates"].append({"name": "pause", "suspend": {"duration": "5"}})
    tasks_of = template(flow, "deploy")["dag"]["tasks"]
    tasks_of.append({"name": "pause", "template": "pause"})
    assert tasks(gated(flow), "deploy")["pause"] == {"name": "pause", "template": "pause"}


def test_what_runs_without_a_pod_inside_a_guarded_dag_is_refused() -> None:
    flow = release()
    template(flow, "again").update(http={"url": "https://x"}, container=None)
    said = refusal(flow)
    assert "again in more, after the gate deploy, runs again, which is a http template" in said


def test_an_exit_handler_by_its_name_alone_inside_a_guarded_dag_is_refused() -> None:
    """It has no arguments, so it could be given nothing of its gate."""
    said = refusal(release(onExit="again"))
    assert "hooks: {exit: {template: again}}" in said


# -- other callers -------------------------------------------------------------------------------


def test_two_gates_may_guard_one_template() -> None:
    flow = asking(
        dag(
            {"name": "staging", "template": "deploy"},
            {"name": "production", "template": "deploy"},
            name="main",
        ),
        leaf("deploy"),
        gates=("staging", "production"),
    )
    row = tasks(gated(flow), "main")
    for name in ("staging", "production"):
        named = {"name": "hitl-gate", "value": name}
        assert named in row[name]["arguments"]["parameters"]


def test_two_gates_of_one_template_that_show_different_artifacts_are_refused() -> None:
    flow = asking(
        dag(
            {"name": "staging", "template": "deploy"},
            {"name": "production", "template": "deploy"},
            name="main",
        ),
        leaf("deploy"),
        gates=("staging", "production"),
    )
    flow["metadata"]["annotations"]["approval-bridge/staging"] = "message: Go?"
    assert "list different artifacts: give each a template of its own" in refusal(flow)


@pytest.mark.parametrize(
    ("spec", "who"),
    [
        ({"onExit": "deploy"}, "the workflow's onExit"),
        ({"hooks": {"exit": {"template": "deploy"}}}, "the workflow's hook exit"),
        ({"entrypoint": "deploy"}, "the workflow's entrypoint"),
    ],
)
def test_a_caller_without_the_gate_is_named_for_it_would_never_pass(
    spec: dict[str, Any], who: str
) -> None:
    said = refusal(asking(dag(task("deploy"), name="main"), leaf("deploy"), **spec))
    assert said.startswith(f"{who} runs deploy too, without the gate deploy")


def test_a_gate_inside_what_another_gate_guards_is_refused() -> None:
    flow = release()
    flow["metadata"]["annotations"]["approval-bridge/ship"] = "message: Ship?"
    with pytest.raises(Faults, match="which the gate deploy guards as a whole"):
        gated(flow)


# -- ways around the check -----------------------------------------------------------------------

PATCH = '{"containers": [{"name": "main", "image": "{{workflow.parameters.image}}"}]}'


@pytest.mark.parametrize("where", ["template", "spec", "defaults"])
def test_a_patch_of_the_pod_that_a_parameter_fills_in_could_remove_the_check(where: str) -> None:
    plain: dict[str, Any] = {"container": {"image": "x"}}
    made = {
        "template": one({**plain, "podSpecPatch": PATCH}),
        "spec": one(plain, podSpecPatch=PATCH),
        "defaults": one(plain, templateDefaults={"podSpecPatch": PATCH}),
    }[where]
    assert "what is filled in there could replace the check" in refusal(made)
    fixed = json.loads(json.dumps(made).replace("{{workflow.parameters.image}}", "x"))
    assert checks(gated(fixed)) == ["hitl-verify"]


def test_init_containers_of_the_defaults_could_run_before_the_check() -> None:
    first = {"initContainers": [{"name": "first", "image": "x"}]}
    said = refusal(one({"container": {"image": "x"}}, templateDefaults=first))
    assert "could run before the check of a gate" in said


@pytest.mark.parametrize(
    "patch",
    [
        "initContainers: [{name: hitl-verify, command: ['true']}]",
        "initContainers: [{name: init, command: [sh, -c, deploy]}]",
        "initContainers: [{name: hitl-verify, $patch: delete}]",
        "initContainers: [{name: hitl-verify, restartPolicy: Always}]",
        "initContainers: [{name: hitl-verify, volumeMounts: [{name: x, mountPath: /usr/lib}]}]",
        "initContainers: null",
        "initContainers: []\ninitcontainers: []",
        "INITCONTAINERS: []",
        "initContainer\u017f: []",
        "$patch: replace",
        "$setElementOrder/initContainers: [{name: mine}]",
        '{"init\\u0043ontainers": {}}',
        "? !!binary aW5pdENvbnRhaW5lcnM=\n: []",
        "&a initContainers: null",
        "containers: [",
        7,
    ],
)
@pytest.mark.parametrize("where", ["template", "spec", "defaults"])
def test_a_patch_that_could_take_the_check_out_of_the_pod_is_refused(
    where: str, patch: object
) -> None:
    plain: dict[str, Any] = {"container": {"image": "x"}}
    made = {
        "template": one({**plain, "podSpecPatch": patch}),
        "spec": one(plain, podSpecPatch=patch),
        "defaults": one(plain, templateDefaults={"podSpecPatch": patch}),
    }[where]
    assert " has a podSpecPatch " in refusal(made)


def test_a_patch_may_say_what_the_init_containers_need() -> None:
    patch = "initContainers: [{name: init, resources: {limits: {memory: 1Gi}}}]"
    made = gated(one({"container": {"image": "x"}, "podSpecPatch": patch}))
    assert checks(made) == ["hitl-verify"]


def test_what_is_memoized_would_end_by_the_outputs_of_an_earlier_run() -> None:
    plain: dict[str, Any] = {"container": {"image": "x"}}
    kept = {"memoize": {"key": "k", "cache": {"configMap": {"name": "c"}}}}
    for made in (one({**plain, **kept}), one(plain, templateDefaults=kept)):
        assert "has memoize: a hit ends the task" in refusal(made)


def test_an_init_container_of_the_name_of_the_check_is_refused() -> None:
    own = {"container": {"image": "x"}, "initContainers": [{"name": "hitl-verify", "image": "x"}]}
    assert "give yours another name" in refusal(one(own))


def test_the_names_of_what_a_gate_is_given_are_not_taken_over() -> None:
    own = {"container": {"image": "x"}, "inputs": {"parameters": [{"name": "hitl-gate"}]}}
    assert "names with hitl- are for its gate" in refusal(one(own))


def test_a_task_as_metaflow_compiles_it_keeps_what_it_is_given() -> None:
    flow = asking(dag(task("deploy"), name="main"), container("deploy"))
    given = tasks(gated(flow), "main")["deploy"]["arguments"]["parameters"]
    assert given[:2] == task("deploy")["arguments"]["parameters"]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("retryStrategy", 3, "spec.templates[1].retryStrategy is not a mapping"),
        ("inputs", {"parameters": ["x"]}, "spec.templates[1].inputs.parameters is not a list"),
        ("initContainers", "x", "spec.templates[1].initContainers is not a list"),
        ("initContainers", ["x"], "spec.templates[1].initContainers is not a list of containers"),
    ],
)
def test_a_template_that_is_not_as_argo_has_it_is_a_fault_and_no_crash(
    key: str, value: object, fault: str
) -> None:
    assert fault in refusal(one({"container": {"image": "x"}, key: value}))


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"entrypoint": ["main"]}, "spec.entrypoint is not a name"),
        ({"hooks": {"exit": "deploy"}}, "spec.hooks is not a mapping from names to hooks"),
        ({"workflowMetadata": {"labels": ["x"]}}, "spec.workflowMetadata.labels is not a mapping"),
        ({"entrypoint": []}, "spec.entrypoint is not a name"),
        (
            {"templateDefaults": {"retryStrategy": 3}},
            "spec.templateDefaults.retryStrategy is not a mapping",
        ),
        ({"templateDefaults": "x"}, "spec.templateDefaults is not a mapping"),
    ],
)
def test_a_spec_that_is_not_as_argo_has_it_is_a_fault_and_no_crash(
    spec: dict[str, Any], fault: str
) -> None:
    assert fault in refusal(one({"container": {"image": "x"}}, **spec))


@pytest.mark.parametrize("where", ["the spec", "templateDefaults"])
def test_a_gate_whose_pods_would_have_no_token_is_refused(where: str) -> None:
    plain = {"container": {"image": "x"}}

    def made(**more: Any) -> Any:
        own = {"automountServiceAccountToken": False, **more}
        return one(plain, **own) if where == "the spec" else one(plain, templateDefaults=own)

    said = refusal(made())
    assert f"{where} has automountServiceAccountToken: false" in said
    assert "no gate could ask" in said
    assert checks(gated(made(executor={"serviceAccountName": "executor"}))) == ["hitl-verify"]


def test_what_a_template_defaults_goes_before_the_token_of_the_spec() -> None:
    defaults = {"automountServiceAccountToken": True}
    spec = {"automountServiceAccountToken": False, "templateDefaults": defaults}
    assert checks(gated(one({"container": {"image": "x"}}, **spec))) == ["hitl-verify"]
