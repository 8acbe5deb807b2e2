"""Gates in plain Argo workflows: an annotation, a file of manifests, and the pods they start."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.argo.annotations import annotated, injected
from bridge.argo.inject import inject
from bridge.argo.pod_settings import pods_from_environment
from bridge.argo.templates import asking
from bridge.cli import main as cli
from bridge.core.errors import Faults
from bridge.core.settings import from_environment
from bridge.entrypoints import argo_pod
from bridge.ledger.git_ledger import GitLedger
from tests.test_inject import PODS, container, dag, task, tasks, template, workflow

SHIPPED = Path(__file__).parents[1] / "templates" / "argo" / "approval-gate.yaml"
HERA = Path(__file__).parents[1] / "examples" / "hera_gate.py"

ASKS = """
message: Deploy {{tasks.train.outputs.parameters.accuracy}}?
approvers: [ann, bob]
timeout: 2h
input: {target: str}
artifacts:
  accuracy: "{{tasks.train.outputs.parameters.accuracy}}"
"""


def asking_for(text: str, **spec: Any) -> Any:
    made = workflow(
        dag(task("train"), task("deploy", "train.Succeeded"), task("end", "deploy.Succeeded")),
        container("train"),
        container("deploy"),
        container("end"),
        kind="Workflow",
        **spec,
    )
    made["metadata"]["annotations"] = {"approval-bridge/deploy": text, "else": "x"}
    return made


def gated(manifest: Any) -> Any:
    return inject(manifest, annotated(manifest, PODS))


def faults_of(manifest: Any) -> tuple[str, ...]:
    with pytest.raises(Faults) as raised:
        gated(manifest)
    return raised.value.faults


# -- an annotation -------------------------------------------------------------------------------


def test_a_guarded_task_waits_for_its_suspended_node_and_verifies_in_its_own_pod() -> None:
    made = gated(asking_for(ASKS))
    row = tasks(made)
    assert list(row) == ["train", "hitl-notify-deploy", "hitl-suspend-deploy", "deploy", "end"]
    assert row["deploy"]["depends"] == "(train.Succeeded) && hitl-suspend-deploy.Succeeded"
    [check] = template(made, "deploy")["initContainers"]
    assert check["name"] == "hitl-verify"
    assert check["command"] == ["sh", "-c", "python -P -m bridge.entrypoints.argo_pod verify"]
    assert check["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert {"secretRef": {"name": "hitl-reader"}} in check["envFrom"]


def test_a_gate_that_cannot_open_says_why_on_its_node() -> None:
    notify = template(gated(asking_for(ASKS)), "hitl-notify-deploy")
    assert notify["container"]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def reading_inputs(name: str = "deploy") -> Any:
    """Its task is given what the approver filled in."""
    made = asking_for(ASKS)
    value = f"{{{{tasks.hitl-verify-{name}.outputs.parameters.inputs}}}}"
    tasks(made)["deploy"]["arguments"]["parameters"].append({"name": "inputs", "value": value})
    return made


def test_a_pod_hands_on_decision_and_inputs_if_something_reads_them() -> None:
    made = gated(reading_inputs())
    row = tasks(made)
    assert row["hitl-verify-deploy"]["depends"] == "hitl-suspend-deploy.Succeeded"
    assert row["deploy"]["depends"] == "(train.Succeeded) && hitl-verify-deploy.Succeeded"
    outputs = template(made, "hitl-verify-deploy")["outputs"]["parameters"]
    assert [each["name"] for each in outputs] == ["decision", "inputs"]
    assert "hitl-verify-deploy" not in tasks(gated(reading_inputs("deploy-2")))


def values(call: Any, begins: str = "") -> dict[str, str]:
    """What a call is given under names that begin so, by the rest of the name."""
    given = call["arguments"]["parameters"]
    return {
        each["name"].removeprefix(begins): each["value"]
        for each in given
        if each["name"].startswith(begins)
    }


def test_notify_and_the_checks_are_told_the_same() -> None:
    row = tasks(gated(reading_inputs()))
    told = values(row["hitl-notify-deploy"])
    assert row["hitl-verify-deploy"]["arguments"] == row["hitl-notify-deploy"]["arguments"]
    assert values(row["deploy"], "hitl-") == told
    assert told["message"] == "Deploy {{tasks.train.outputs.parameters.accuracy}}?"
    assert told["approvers"] == "ann, bob"
    assert told["timeout"] == "7200"
    assert told["artifact-accuracy"] == "{{tasks.train.outputs.parameters.accuracy}}"
    assert json.loads(told["input"])["properties"] == {"target": {"type": "string"}}
    # Of the template around them, so that all three mean one gate, in a loop and in steps too.
    assert told["place"] == "{{node.name}}"


def test_what_an_artifact_holds_reaches_no_shell_and_no_variable_of_kubernetes() -> None:
    made = gated(reading_inputs())
    containers = [
        template(made, "hitl-notify-deploy")["container"],
        template(made, "hitl-verify-deploy")["container"],
        *template(made, "deploy")["initContainers"],
    ]
    for each in containers:
        asked = each["env"][0]["value"]
        assert re.sub(r"[\w-]+=\{\{=toBase64\([^{}]*\)\}\}", "", asked).strip() == ""
        assert "{{" not in json.dumps(each["command"])


def test_a_gate_in_steps_gets_groups_of_its_own() -> None:
    steps = [[{"name": "train", "template": "t"}], [{"name": "deploy", "template": "d"}]]
    steps[1][0]["when"] = "{{steps.train.outputs.result}} == yes"
    made = workflow(
        {"name": "main", "steps": steps}, container("t"), container("d"), kind="Workflow"
    )
    made["metadata"]["annotations"] = {"approval-bridge/deploy": "message: Deploy?"}
    groups = template(gated(made), "main")["steps"]
    assert [[each["name"] for each in group] for group in groups] == [
        ["train"],
        ["hitl-notify-deploy"],
        ["hitl-suspend-deploy"],
        ["deploy"],
    ]
    whens = [group[0].get("when") for group in groups]
    assert whens == [None, *(3 * ["{{steps.train.outputs.result}} == yes"])]


def test_a_dag_that_speaks_of_dependencies_is_put_in_words_that_know_success() -> None:
    made = asking_for(ASKS)
    for each in template(made, "Flow")["dag"]["tasks"]:
        depends = each.pop("depends", None)
        if depends:
            each["dependencies"] = [depends.removesuffix(".Succeeded")]
    row = tasks(gated(made))
    assert not any("dependencies" in each for each in row.values())
    assert row["deploy"]["depends"] == "(train) && hitl-suspend-deploy.Succeeded"
    assert row["end"]["depends"] == "deploy"


def test_a_cron_workflow_is_gated_one_level_down_and_its_runs_are_labelled() -> None:
    plain = asking_for(ASKS)
    cron = {**plain, "kind": "CronWorkflow", "spec": {"workflowSpec": plain["spec"]}}
    after = gated(cron)
    names = [each["name"] for each in after["spec"]["workflowSpec"]["templates"]]
    assert "hitl-suspend-deploy" in names
    assert after["spec"]["workflowMetadata"]["labels"] == {"approval-bridge/gated": "true"}


# -- what cannot stand ---------------------------------------------------------------------------


def test_every_fault_of_an_annotation_is_named_at_once() -> None:
    faults = faults_of(
        asking_for("mesage: x\ntimeout: soon\non_timeout: panic\napprovers: 7\nartifacts: [1]")
    )
    said = "\n".join(faults)
    for words in (
        "unknown key `mesage`; did you mean `message`?",
        "write it like 30m",
        "`on_timeout` is 'panic'",
        "`approvers` is 7",
        "`artifacts` must be a mapping",
    ):
        assert words in said
    assert all(fault.startswith("approval-bridge/deploy: ") for fault in faults)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("timeout: 1:30", "timeout"),  # 90 to YAML 1.1
        ("artifacts: {seed: 010}", "artifacts.seed"),  # 8 to YAML 1.1
        ("approvers: [ann, no]", "approvers[1]"),
        ("message: yes", "message"),
    ],
)
def test_a_value_that_yaml_reads_in_two_ways_is_refused_as_in_the_policy_file(
    line: str, place: str
) -> None:
    assert any(f"{place}: " in each and "ambiguous" in each for each in faults_of(asking_for(line)))


def test_an_artifact_is_handed_on_as_it_is_written() -> None:
    said = 'artifacts: {version: 1.10, seed: "010", day: 2026-11-01, rows: [1, a, 2026-11-01]}'
    row = tasks(gated(asking_for(said)))["hitl-notify-deploy"]["arguments"]["parameters"]
    told = {each["name"]: each["value"] for each in row}
    names = ("version", "seed", "day", "rows")
    assert [told[f"artifact-{name}"] for name in names] == [
        "1.10", "010", "2026-11-01", '[1, "a", "2026-11-01"]'
    ]  # fmt: skip


def test_anyone_named_in_an_annotation_or_a_parameter_means_that_anyone_may_decide(
    pod: Pod,
) -> None:
    row = tasks(gated(asking_for("approvers: anyone")))["hitl-notify-deploy"]["arguments"]
    assert {"name": "approvers", "value": ""} in row["parameters"]
    assert pod.run("open", approvers="anyone") == 0
    pod.approve()
    assert pod.run("verify", approvers="anyone") == 0


def test_an_annotation_that_names_no_task_is_an_error() -> None:
    made = asking_for(ASKS)
    made["metadata"]["annotations"] = {"approval-bridge/deplyo": ASKS}
    [fault] = faults_of(made)
    assert "0 tasks and steps are called deplyo" in fault


def test_a_task_that_fans_out_is_refused_with_the_way_out() -> None:
    made = asking_for(ASKS)
    tasks(made)["deploy"]["withItems"] = [1, 2]
    [fault] = faults_of(made)
    assert "fans out with withItems" in fault


def test_a_step_beside_others_is_refused_for_they_would_wait_too() -> None:
    group = [{"name": "deploy", "template": "d"}, {"name": "other", "template": "o"}]
    main = {"name": "main", "steps": [group]}
    made = workflow(main, container("d"), container("o"), kind="Workflow")
    made["metadata"]["annotations"] = {"approval-bridge/deploy": "message: Deploy?"}
    [fault] = faults_of(made)
    assert "give it a group of its own" in fault


# -- files ---------------------------------------------------------------------------------------


def test_a_file_injected_twice_is_the_file_injected_once() -> None:
    text = yaml.safe_dump_all([asking_for(ASKS), {"kind": "ConfigMap", "data": {"a": "b"}}])
    once = injected(text, "wf.yaml", PODS).text
    assert injected(once, "wf.yaml", PODS).text == once
    assert list(yaml.safe_load_all(once))[1] == {"kind": "ConfigMap", "data": {"a": "b"}}


def test_an_annotation_changed_after_its_gate_was_put_in_is_refused_and_not_left_out() -> None:
    once = gated(asking_for(ASKS))
    once["metadata"]["annotations"]["approval-bridge/deploy"] = ASKS.replace("2h", "3h")
    assert faults_of(once) == (
        "approval-bridge/deploy: its gate is in this manifest already, with another timeout: change"
        " the annotation in the manifest without gates, and inject that",
    )


def test_a_task_of_a_name_that_a_gate_would_have_is_no_gate() -> None:
    made = asking_for(ASKS)
    made["spec"]["templates"][0]["dag"]["tasks"].append(task("hitl-suspend-deploy"))
    assert faults_of(made) == (
        "approval-bridge/deploy: the task hitl-suspend-deploy is not a gate's: give yours another"
        " name",
    )
    made = asking_for(ASKS)
    made["spec"]["templates"][0]["dag"]["tasks"].append(task("hitl-notify-deploy"))
    assert faults_of(made) == (
        "Flow has a task hitl-notify-deploy already: give yours another name",
    )


def test_a_kind_of_template_that_is_written_and_empty_is_none() -> None:
    made = asking_for(ASKS)
    made["spec"]["templates"].append({"name": "then", "dag": None, "steps": [[task("deploy2")]]})
    made["metadata"]["annotations"]["approval-bridge/deploy2"] = ASKS
    made["spec"]["templates"].append({**container("deploy"), "name": "deploy2"})
    [found] = (each for each in gated(made)["spec"]["templates"] if each["name"] == "then")
    assert [group[0]["name"] for group in found["steps"]] == [
        "hitl-notify-deploy2",
        "hitl-suspend-deploy2",
        "deploy2",
    ]


def test_the_command_prints_the_manifest_with_its_gates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wf.yaml"
    path.write_text(yaml.safe_dump(asking_for(ASKS)))
    url = "https://git.example/l.git"
    assert cli.main(["--ledger", url, "inject", "--image", "mine", str(path)]) == 0
    [made] = yaml.safe_load_all(capsys.readouterr().out)
    notify = template(made, "hitl-notify-deploy")["container"]
    assert notify["image"] == "mine"
    assert notify["command"] == ["sh", "-c", "python -P -m bridge.entrypoints.argo_pod open"]
    assert {"name": "HITL_LEDGER", "value": url} in notify["env"]


def test_a_file_that_is_no_manifest_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wf.yaml"
    path.write_text("- just\n- a list\n")
    code = cli.main(["--ledger", "https://g.example/l", "inject", "--image", "x", str(path)])
    assert code == 2
    assert "it contains something that is not a manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    "value",
    [
        "!!bool maybe",
        "!!int ''",
        "!!timestamp x",
        "2024-13-45",
        "9" * 6000,
        "0000-01-01",
        "[" * 3000,
    ],
    ids=["bool", "int", "timestamp", "month", "digits", "year", "nest"],
)
def test_a_value_that_yaml_cannot_read_is_a_fault_of_the_file_and_never_a_crash(value: str) -> None:
    with pytest.raises(Faults, match=r"wf\.yaml"):
        injected(f"kind: Workflow\nlater: {value}\n", "wf.yaml", PODS)


GATE = {"approval-bridge/deploy": ASKS}

#: Where a manifest is not as Argo has it, and what is said.
CRASHED: dict[str, tuple[dict[str, Any], str]] = {
    "a template of another": ({"spec": {"workflowTemplateRef": {"name": "x"}}}, "WorkflowTemplate"),
    "no spec": ({"spec": None}, "it has no spec"),
    "a spec that is text": ({"spec": "text"}, "it has no spec"),
    "no templates": ({"spec": {"templates": None}}, "spec.templates is not a list"),
    "templates by name": ({"spec": {"templates": {"a": 1}}}, "spec.templates is not a list"),
    "a template that is text": ({"spec": {"templates": ["x"]}}, "[0] is not a mapping"),
    "a template without name": ({"spec": {"templates": [{}]}}, "[0] has no name"),
    "a dag that is a list": ({"spec": {"templates": [{"name": "a", "dag": []}]}}, "dag.tasks is"),
    "a task that is text": (
        {"spec": {"templates": [{"name": "a", "dag": {"tasks": ["x"]}}]}},
        "dag.tasks[0] has no name",
    ),
    "steps that are no groups": (
        {"spec": {"templates": [{"name": "a", "steps": [{"name": "x"}]}]}},
        "steps[0] is not a list",
    ),
    "annotations as a list": ({"metadata": {"annotations": ["x"]}}, "annotations is not a mapping"),
    "metadata as text": ({"metadata": "x"}, "metadata is not a mapping"),
    "an annotation that is a number": (
        {"metadata": {"annotations": {"approval-bridge/deploy": 5}}},
        "its value is not text",
    ),
    "a deadline in words": (
        {"spec": {**asking_for(ASKS)["spec"], "activeDeadlineSeconds": "soon"}},
        "is not a whole number",
    ),
    "a cron without a workflow": (
        {"kind": "CronWorkflow", "spec": {"schedule": "* * * * *"}},
        "it has no spec.workflowSpec",
    ),
    "a misspelled prefix": (
        {"metadata": {"annotations": {"aproval-bridge/deploy": ASKS}}},
        "did you mean approval-bridge/deploy?",
    ),
    "a prefix with a domain": (
        {"metadata": {"annotations": {"approval-bridge.dev/deploy": ASKS}}},
        "did you mean approval-bridge/deploy?",
    ),
    "another sign than a slash": (
        {"metadata": {"annotations": {"approval-bridge.deploy": ASKS}}},
        "did you mean approval-bridge/deploy?",
    ),
    "the prefix within a domain": (
        {"metadata": {"annotations": {"gate.approval-bridge.acme.com/deploy": "x"}}},
        "did you mean approval-bridge/deploy?",
    ),
    "another prefix for what a gate says": (
        {"metadata": {"annotations": {"hitl/deploy": ASKS}}},
        "did you mean approval-bridge/deploy?",
    ),
    "a dag and steps": (
        {"spec": {"templates": [{"name": "a", "dag": {"tasks": []}, "steps": []}]}},
        "has both dag and steps",
    ),
    "no task": (
        {"metadata": {"annotations": {"approval-bridge": ASKS}}},
        "did you mean approval-bridge/TASK?",
    ),
    "a key that Argo does not know": (
        {"metadata": {"annotation": GATE}},
        "metadata.annotation has approval-bridge/deploy, which counts only in",
    ),
    "a task's own metadata": (
        {"metadata": {}, "spec": {"templates": [{"dag": {"tasks": [{"metadata": GATE}]}}]}},
        "spec.templates.0.dag.tasks.0.metadata has approval-bridge/deploy, which counts only in",
    ),
    "an annotation of the runs": (
        {"metadata": {}, "spec": {"workflowMetadata": {"annotations": GATE}}},
        "spec.workflowMetadata.annotations has approval-bridge/deploy, which counts only in",
    ),
    "a label of a template": (
        {"metadata": {}, "spec": {"templates": [{"metadata": {"labels": GATE}}]}},
        "spec.templates.0.metadata.labels has approval-bridge/deploy, which counts only in",
    ),
    "another kind": ({"kind": "Job"}, "which counts only in metadata.annotations of a Workflow"),
}


@pytest.mark.parametrize("kind", CRASHED)
@pytest.mark.parametrize("listed", [False, True])
def test_a_gate_that_cannot_be_put_in_is_a_fault_of_its_file_and_never_left_out(
    kind: str, listed: bool
) -> None:
    change, says = CRASHED[kind]
    manifest = {**asking_for(ASKS), **change}
    if "metadata" not in change:
        manifest["metadata"] = {"name": "wf", "annotations": GATE}
    whole = {"kind": "List", "items": [manifest]} if listed else manifest
    with pytest.raises(Faults, match=r"^wf\.yaml: ") as refused:
        injected(yaml.safe_dump(whole), "wf.yaml", PODS)
    assert any(says in each for each in refused.value.faults), refused.value.faults
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("metadata: {name: other}\n", "the key 'metadata' is there twice"),  # the last one counts
        ("x: &x [*x]\n", "its aliases repeat too much, or themselves"),
        ("x: &x {y: *x}\n", "its aliases repeat too much, or themselves"),
        (
            "x0: &x0 [a]\n" + "".join(f"x{n}: &x{n} [{f'*x{n - 1},' * 9}]\n" for n in range(1, 9)),
            "its aliases repeat too much, or themselves",
        ),
    ],
    ids=["a key twice", "a list in itself", "a mapping in itself", "aliases of aliases"],
)
def test_a_manifest_that_loses_its_gate_or_has_no_end_is_refused(more: str, says: str) -> None:
    manifest = {**asking_for(ASKS), "metadata": {"name": "wf", "annotations": GATE}}
    with pytest.raises(Faults, match=says):
        injected(f"{yaml.safe_dump(manifest)}{more}", "wf.yaml", PODS)


def test_a_nest_that_is_too_deep_is_a_fault_and_never_a_crash() -> None:
    whole = yaml.safe_dump(asking_for(ASKS))
    with pytest.raises(Faults, match="nested more than 100 deep"):
        injected(f"{whole}x: {'[' * 400}{']' * 400}\n", "wf.yaml", PODS)


@pytest.mark.parametrize("text", ["name: {{ .Release.Name }}-wf", "{{- if .Values.on }}\na: 1"])
def test_a_helm_chart_that_nobody_rendered_is_told_to_be_one(text: str) -> None:
    with pytest.raises(Faults, match=r"render it first \(`helm template`\)"):
        injected(text, "wf.yaml", PODS)


def test_a_value_in_double_braces_without_quotation_marks_is_told_to_need_them() -> None:
    with pytest.raises(Faults, match=r"begins with \{\{ or \[ in quotation marks") as refused:
        injected("kind: Workflow\nvalue: {{inputs.parameters.x}}\n", "wf.yaml", PODS)
    assert "helm" not in str(refused.value)


def test_an_alias_and_a_merged_key_are_no_fault() -> None:
    whole = yaml.safe_dump(asking_for(ASKS))
    more = "x: &x {a: 1}\ny: {<<: *x, a: 2}\nz: *x\n"
    assert injected(f"{whole}{more}", "wf.yaml", PODS).gates == 1


def test_a_workflow_in_a_list_has_its_gate_put_in() -> None:
    listed = {"kind": "List", "items": [asking_for(ASKS), {"kind": "ConfigMap"}]}
    made = injected(yaml.safe_dump(listed), "wf.yaml", PODS)
    [found] = yaml.safe_load_all(made.text)
    assert found["items"] == [gated(asking_for(ASKS)), {"kind": "ConfigMap"}]
    assert made.gates == 1
    within = yaml.safe_dump({"kind": "List", "items": [listed]})
    assert injected(within, "wf.yaml", PODS).gates == 1


@pytest.mark.parametrize(
    "value",
    ["010", "1:30", "0x1F", "1_000", "1.10", "1e3", "2024-01-02", ".5", "7", "~", "'010'", "yes",
     "OFF", "true", "Null", "=", "<<"],
)  # fmt: skip
def test_what_belongs_to_no_gate_comes_out_as_it_was_written(value: str) -> None:
    whole = asking_for(ASKS)
    whole["spec"]["arguments"] = {"parameters": [{"name": "n", "value": "HERE"}]}
    made = injected(yaml.safe_dump(whole).replace("HERE", value), "wf.yaml", PODS).text
    written = {"~": "null", "Null": "null", "1e3": '"1e3"', "'010'": '"010"'}.get(value, value)
    assert f"value: {written}\n" in made


def test_a_file_without_a_gate_is_passed_on_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wf.yaml"
    path.write_text("kind: Workflow\nspec: {templates: null}\n")
    assert cli.main(["--ledger", "https://g.example/l", "inject", "--image", "x", str(path)]) == 0
    said = capsys.readouterr()
    assert yaml.safe_load(said.out) == {"kind": "Workflow", "spec": {"templates": None}}
    assert said.err == f"{path} has no gate: it has no annotation approval-bridge/TASK\n"
    path.write_bytes(b"kind: \xff")
    assert cli.main(["--ledger", "https://g.example/l", "inject", "--image", "x", str(path)]) == 2
    assert "it is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "a.b", "", "größe"])
def test_the_name_of_an_artifact_is_one_that_argo_takes_for_a_parameter(name: str) -> None:
    [fault] = faults_of(asking_for(f"artifacts: {{{json.dumps(name)}: 1}}"))
    assert "may have letters, digits, - and _ alone" in fault


def test_the_name_of_an_artifact_is_text() -> None:
    (fault,) = faults_of(asking_for("artifacts: {1: a, '1': b}"))
    assert "the name 1 must be text: put it in quotation marks" in fault


# -- the pods ------------------------------------------------------------------------------------


class Pod:
    """What Argo makes of a node: its variables, with the parameters filled in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, ledger: Path) -> None:
        self.folder = folder
        self._patch = monkeypatch
        self.ledger = GitLedger(str(ledger), from_environment({"HOME": str(folder)}).cache)

    def run(self, verb: str, place: str = "wf", uid: str = "u-1", **parameters: str) -> int:
        of_workflow = parameters.pop("of_workflow", '{"json": "null"}')
        given = {
            "gate": "deploy", "place": place, "message": "Deploy?", "approvers": "Ann", **parameters
        }  # fmt: skip
        opens, verifies = asking("deploy", [each.replace("_", "-") for each in given], PODS)
        made = opens if verb == "open" else verifies
        values = {key.replace("_", "-"): value for key, value in given.items()}

        def filled(match: re.Match[str]) -> str:
            return base64.b64encode(values[match[1]].encode()).decode()

        asked = re.sub(
            r"\{\{=toBase64\(inputs\.parameters\['([^']*)'\]\)\}\}",
            filled,
            made["container"]["env"][0]["value"],
        )
        whole = "{{=toBase64(toJson(workflow.parameters))}}"
        bound = base64.b64encode(of_workflow.encode()).decode()
        self._patch.setenv("HITL_ASKED", asked.replace(whole, bound))
        self._patch.setenv("HITL_WORKFLOW", f"argo/wf/{uid}")
        self._patch.setenv("HITL_OUT", str(self.folder / "out"))
        return argo_pod.main([verb])

    def out(self, name: str) -> str:
        return (self.folder / "out" / name).read_text()

    def approve(self, **inputs: str) -> None:
        pairs = [part for key, value in inputs.items() for part in ("-i", f"{key}={value}")]
        assert cli.main(["approve", self.out("gate"), *pairs]) == 0


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Path) -> Pod:
    monkeypatch.chdir(tmp_path)  # a checkout may say who its committer is
    return Pod(tmp_path, monkeypatch, ledger)


@pytest.mark.parametrize(
    ("place", "splits"),
    [
        ("wf", ()),
        ("wf.each(0:oak)", ("oak",)),
        ("wf[1].each(3:1.5)(0)", ("1.5",)),  # retried
        ("wf.each(0:oak).ring(12:2)", ("oak", "2")),
        ("wf.each(4:a (small) one)", ("#4",)),
        ("wf.each(2:)", ("#2",)),
    ],
)
def test_a_gate_in_a_loop_is_compared_with_that_of_the_same_item(
    pod: Pod, place: str, splits: tuple[str, ...]
) -> None:
    assert pod.run("open", place=place) == 0
    standing = pod.ledger.read(pod.out("gate"))
    assert standing
    assert standing.request.kind
    assert standing.request.kind.splits == splits


def test_an_approved_gate_hands_on_the_decision_and_the_input(pod: Pod) -> None:
    asked = {"input": '{"target": "str"}', "artifact_accuracy": "0.93"}
    assert pod.run("open", **asked) == 0
    pod.approve(target="staging")
    assert pod.run("verify", **asked) == 0
    assert pod.out("decision") == "approved"
    assert json.loads(pod.out("inputs")) == {"target": "staging"}


@pytest.mark.parametrize(
    ("written", "seconds"), [("2h", 7200), ("7200", 7200), ("90s", 90), ("null", None)]
)
def test_every_way_to_write_a_timeout_reaches_the_pod(
    pod: Pod, written: str, seconds: int | None
) -> None:
    made = gated(asking_for(f"message: Deploy?\ntimeout: {written}"))
    told = values(tasks(made)["hitl-notify-deploy"])
    assert pod.run("open", timeout=told["timeout"]) == 0
    standing = pod.ledger.read(pod.out("gate"))
    assert standing
    assert standing.request.policy.timeout == seconds


def test_a_gate_that_nobody_decided_stays_shut(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pod.run("verify") == 202
    assert "nobody was asked" in capsys.readouterr().err
    assert pod.run("open") == 0
    assert pod.run("verify") == 202
    assert "it is still waiting for a decision" in capsys.readouterr().err
    assert not (pod.folder / "out" / "decision").exists()


def test_an_approval_of_another_value_is_none(pod: Pod, capsys: pytest.CaptureFixture[str]) -> None:
    pod.run("open", artifact_accuracy="0.93")
    pod.approve()
    assert pod.run("verify", artifact_accuracy="0.12") == 202
    assert "changed: accuracy" in capsys.readouterr().err


def test_a_workflow_made_again_under_the_same_name_inherits_nothing(pod: Pod) -> None:
    pod.run("open")
    pod.approve()
    assert pod.run("verify") == 0
    assert pod.run("verify", uid="u-2") == 202


def test_each_node_of_a_fan_out_has_a_gate_of_its_own(pod: Pod) -> None:
    pod.run("open", place="wf.each(0:a.b)")
    first = pod.out("gate")
    pod.run("open", place="wf.each(1:a.c)")
    assert pod.out("gate") != first


def test_other_parameters_of_the_workflow_meet_a_shut_gate(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = '{"target": "staging", "json": "[…]"}'
    pod.run("open", of_workflow=asked)
    pod.approve()
    assert pod.run("verify", of_workflow=asked) == 0
    for other in (
        '{"target": "production", "json": "[…]"}',
        '{"target": "staging", "more": "x", "json": "[…]"}',
        '{"json": "null"}',
        # `-p json=…` shadows the text of all of them.
        '{"target": "production", "json": "[…]"}',
    ):
        assert pod.run("verify", of_workflow=other) == 202
        assert "changed: workflow.parameters" in capsys.readouterr().err


def test_a_parameter_that_hides_another_by_a_dot_shuts_the_gate(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pod.run("open", of_workflow='{"target": {"x": "1"}, "json": "[]"}') == 202
    assert "a name with a dot in it hides another" in capsys.readouterr().err


def test_of_the_parameters_of_a_workflow_the_digest_alone_is_shown(pod: Pod) -> None:
    pod.run("open", of_workflow='{"password": "hunter2", "json": "hunter2"}')
    standing = pod.ledger.read(pod.out("gate"))
    assert standing
    [bound] = standing.request.artifacts
    assert (bound.name, bound.type, bound.value) == ("workflow.parameters", "1 parameter", None)
    assert "hunter2" not in repr(standing)


def test_a_template_that_is_started_past_its_gate_says_so(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pod.run("verify", place="", gate="", message="") == 202
    said = capsys.readouterr().err
    assert "started past its gate: start the workflow at its entrypoint" in said


def test_what_is_asked_says_where_the_decision_is_delivered(pod: Pod) -> None:
    pod.run("open")
    standing = pod.ledger.read(pod.out("gate"))
    assert standing
    workflow = standing.request.workflow
    assert workflow
    assert (workflow.namespace, workflow.name, workflow.uid) == ("argo", "wf", "u-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "no json"},
        {"artifacts": "[1]"},
        {"timeout": "soon"},
        {"on_timeout": "panic"},
        {"approvers": " , "},
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_not_tried_again(
    pod: Pod, capsys: pytest.CaptureFixture[str], wrong: dict[str, str]
) -> None:
    assert pod.run("open", **wrong) == 202
    assert capsys.readouterr().err.startswith("hitl: the ")


def test_a_ledger_that_cannot_be_reached_may_be_tried_again(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HITL_LEDGER", "http://127.0.0.1:1/l.git")
    assert pod.run("open") == 6
    assert "the gate could not be opened" in capsys.readouterr().err
    assert pod.run("verify") == 202


# -- what is shipped -----------------------------------------------------------------------------


def test_the_shipped_template_runs_what_the_injection_runs() -> None:
    shipped = yaml.safe_load(SHIPPED.read_text())
    parameters = ["message", "gate", "approvers", "timeout", "input", "artifacts", "place"]
    pods = pods_from_environment({"HITL_LEDGER": "https://git.example/l.git"})
    for made in asking("gate", parameters, pods):
        own = template(shipped, made["name"])
        assert {**own, "container": None} == {**made, "container": None}
        for each in ("command", "terminationMessagePolicy"):
            assert own["container"][each] == made["container"][each]
        names = {each["name"]: each["value"] for each in made["container"]["env"]}
        for each in own["container"]["env"]:
            assert each["value"] == names[each["name"]]


def test_the_hera_example_makes_a_workflow_that_refers_to_the_shipped_template() -> None:
    said = subprocess.run(
        [sys.executable, str(HERA)], capture_output=True, text=True, check=True
    ).stdout
    made = yaml.safe_load(said)
    row = tasks(made, "main")
    shipped = yaml.safe_load(SHIPPED.read_text())
    assert row["approve"]["templateRef"] == {"name": "approval-gate", "template": "gate"}
    known = {each["name"] for each in template(shipped, "gate")["inputs"]["parameters"]}
    assert {each["name"] for each in row["approve"]["arguments"]["parameters"]} <= known
    assert row["deploy"]["depends"] == "approve.Succeeded"
    assert made["metadata"]["labels"] == {"approval-bridge/gated": "true"}
