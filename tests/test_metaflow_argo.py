"""What stock Metaflow compiles for Argo Workflows where a flow has gates."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bridge.argo.inject import LABEL
from tests import objectstore
from tests.metaflows import CHECKOUT, Outcome, Project
from tests.test_inject import tasks, template

LEDGER = "https://git.example/approvals.git"
SECRETS = {"HITL_OPENER_SECRET": "hitl-opener", "HITL_READER_SECRET": "hitl-reader"}


def create(project: Project, flow: str, *arguments: str, **env: str) -> Outcome:
    options = ("--no-pylint", "argo-workflows", "create", "--only-json", *arguments)
    return project.flow(flow, *options, **{"HITL_LEDGER": LEDGER} | env)


def compiled(project: Project, flow: str, *arguments: str, **env: str) -> Any:
    made = create(project, flow, *arguments, **env)
    assert made.code == 0, made.said
    return json.loads(made.said[made.said.index("\n{") :])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory, store: dict[str, str]) -> Any:
    return compiled(Project(tmp_path_factory.mktemp("shapes")), "shapes.py", **store)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory, store: dict[str, str]) -> Any:
    project = Project(tmp_path_factory.mktemp("pods"))
    return compiled(project, "pods.py", **store, **SECRETS)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def test_a_poll_interval_is_said_once_to_have_no_effect(
    project: Project, store: dict[str, str]
) -> None:
    made = create(project, "declared.py", FLOW="Property", **store)
    assert made.code == 0, made.said
    assert made.said.count("`poll_interval` of @hitl on step gated has no effect") == 1


GATED = {
    "Shapes": ["start", "first", "second", "left", "joined", "fork", "parts-joined", "choice"],
    "fork-foreach-parts": ["part"],
    "part-foreach-rings": ["ring", "ring-after"],
}


@pytest.mark.parametrize("owner", GATED)
def test_every_shape_of_a_step_has_its_gate_before_it(shapes: Any, owner: str) -> None:
    row = tasks(shapes, owner)
    for name in GATED[owner]:
        assert row[f"hitl-suspend-{name}"]["depends"] == f"hitl-notify-{name}.Succeeded"
        assert row[name]["depends"].endswith(f"hitl-suspend-{name}.Succeeded")
        assert row[f"hitl-notify-{name}"]["arguments"] == row[name]["arguments"]


@pytest.mark.parametrize("name", ["taken", "left-out", "end"])
def test_behind_a_switch_only_the_branch_that_is_taken_asks(shapes: Any, name: str) -> None:
    row = tasks(shapes, "Shapes")
    assert row[f"hitl-notify-{name}"]["when"] == row[name]["when"]
    assert "switch-step" in row[name]["when"]


def test_a_recursive_step_asks_in_each_round(shapes: Any) -> None:
    groups = template(shapes, "loop")["steps"]
    assert [each["name"] for [each] in groups] == [
        "hitl-notify-loop",
        "hitl-suspend-loop",
        "loop-internal",
        "loop-recursion",
    ]


def test_two_gates_in_a_row_wait_one_after_the_other(shapes: Any) -> None:
    row = tasks(shapes, "Shapes")
    assert row["hitl-notify-second"]["depends"] == "first.Succeeded"


def test_each_notify_opens_the_gate_of_its_own_step(shapes: Any) -> None:
    for each in shapes["spec"]["templates"]:
        if each["name"].startswith("hitl-notify-"):
            step = each["name"].removeprefix("hitl-notify-").replace("-", "_")
            script = each["container"]["command"][2]
            assert script.count(f" hitl open --step {step} --run-id argo-") == 1
            assert f" step {step} --run-id" not in script
            assert f"/{step}/$METAFLOW_TASK_ID" not in script


def test_an_ungated_step_is_compiled_as_it_always_was(
    shapes: Any, project: Project, store: dict[str, str]
) -> None:
    script = template(shapes, "right")["container"]["command"][2]
    assert "hitl" not in script.replace(CHECKOUT.name, "")
    names = {each["name"] for each in template(shapes, "right")["container"]["env"]}
    assert not any(name.startswith("HITL_") for name in names)


def test_the_runs_carry_the_label_that_reconcilers_look_for(shapes: Any) -> None:
    assert shapes["spec"]["workflowMetadata"]["labels"][LABEL] == "true"
    assert shapes["spec"]["workflowMetadata"]["labels"]["app.kubernetes.io/name"] == "metaflow-run"


def test_the_gated_step_keeps_what_its_author_gave_it(pods: Any) -> None:
    deploy = template(pods, "deploy")
    assert deploy["activeDeadlineSeconds"] == 3600
    assert deploy["retryStrategy"]["limit"] > 2
    assert deploy["retryStrategy"]["expression"] == "asInt(lastRetry.exitCode) != 202"
    assert deploy["nodeSelector"] == {"pool": "gpu"}
    container = deploy["container"]
    assert container["image"] == "gpu/image:1"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert container["resources"]["requests"]["memory"] in ("64000M", "64000.0M")
    assert {"name": "TARGET", "value": "everywhere"}.items() <= next(
        each for each in container["env"] if each["name"] == "TARGET"
    ).items()


def test_the_notify_pod_is_small_and_has_its_own_retries(pods: Any) -> None:
    notify = template(pods, "hitl-notify-deploy")
    assert notify["container"]["resources"]["limits"] == {}
    assert notify["container"]["resources"]["requests"]["cpu"] == "250m"
    assert notify["retryStrategy"]["limit"] == 3
    assert notify["activeDeadlineSeconds"] == 900


def test_secrets_are_named_and_never_written(pods: Any) -> None:
    def secrets(name: str) -> list[str]:
        return [
            each["secret_ref"]["name"] if "secret_ref" in each else each["secretRef"]["name"]
            for each in template(pods, name)["container"]["envFrom"]
        ]

    assert secrets("hitl-notify-deploy") == ["of-the-step", "hitl-opener"]
    assert secrets("deploy") == ["of-the-step", "hitl-reader"]
    assert secrets("part") == []


def test_what_cannot_travel_is_installed_at_the_deployers_own_version(pods: Any) -> None:
    from importlib.metadata import version

    for name in ("deploy", "join"):  # typed by its author; by what the approver may keep
        for each in (name, f"hitl-notify-{name}"):
            script = template(pods, each)["container"]["command"][2]
            assert f"jsonschema=={version('jsonschema')}" in script
            assert script.startswith("if [ -z $METAFLOW_SKIP_INSTALL_DEPENDENCIES ]")
    assert "jsonschema" not in template(pods, "score-it")["container"]["command"][2]


def test_the_suspended_node_waits_as_long_as_the_gate_does(pods: Any) -> None:
    assert template(pods, "hitl-suspend-deploy")["suspend"] == {"duration": "7800"}


# -- what travels --------------------------------------------------------------------------------


def test_a_bare_python_can_verify_with_what_travels_in_the_code_package(
    pods: Any, store: dict[str, str], tmp_path: Path
) -> None:
    url = next(
        each["value"]
        for each in template(pods, "deploy")["container"]["env"]
        if each["name"] == "METAFLOW_CODE_URL"
    )
    package = objectstore.content(store, url)
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        tar.extractall(tmp_path, filter="data")
    said = subprocess.run(
        [
            sys.executable,
            "-S",  # nothing that is installed on this machine
            "-c",
            "import runpy\n"
            "runpy.run_path('.mf_code/metaflow_extensions/hitl/plugins/brought.py')['use']()\n"
            "import git, yaml, jinja2, bridge.ledger.git_ledger\n"
            "import bridge.gates.verify, bridge.core.message_template\n"
            "print(*[each.__file__ for each in (git, yaml, jinja2, bridge)], sep='\\n')",
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / ".mf_code")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert all(line.startswith(str(tmp_path)) for line in said.stdout.splitlines())


def test_an_image_that_has_it_all_is_brought_nothing(
    project: Project, store: dict[str, str]
) -> None:
    made = compiled(project, "pods.py", **store, HITL_BRING="0")
    assert "jsonschema" not in template(made, "deploy")["container"]["command"][2]


# -- what is refused -----------------------------------------------------------------------------


def test_a_gate_on_a_parallel_step_is_refused_when_compiled(
    project: Project, store: dict[str, str]
) -> None:
    refused = create(project, "gang.py", **store)
    assert refused.code != 0
    assert "The step train is @parallel" in refused.said
    assert "Traceback" not in refused.said


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        ("", "it is not set"),
        ("/srv/ledger.git", "it is a path of this machine"),
        ("https://ann:hunter2@git.example/l.git", "contains a credential"),
    ],
)
def test_a_ledger_that_pods_cannot_use_is_refused_when_compiled(
    project: Project, store: dict[str, str], ledger: str, said: str
) -> None:
    refused = create(project, "pods.py", **store, HITL_LEDGER=ledger)
    assert refused.code != 0
    assert said in refused.said
    assert "hunter2" not in refused.said
    assert "Traceback" not in refused.said


def test_a_ledger_with_a_credential_comes_from_the_secrets_alone(
    project: Project, store: dict[str, str]
) -> None:
    made = compiled(
        project,
        "pods.py",
        **store,
        **SECRETS,
        HITL_LEDGER="https://ann:hunter2@git.example/l.git",
    )
    assert "hunter2" not in json.dumps(made)
    names = {each["name"] for each in template(made, "deploy")["container"]["env"]}
    assert "HITL_LEDGER" not in names


def test_a_workflow_that_ends_before_its_gates_is_refused_when_compiled(
    project: Project, store: dict[str, str]
) -> None:
    refused = create(project, "pods.py", "--workflow-timeout", "3600", **store)
    assert refused.code != 0
    assert "deploy may wait 2 hours, and the workflow is ended after 1 hour" in refused.said
    assert "score-it may wait 24 hours" in refused.said


def test_another_metaflow_than_those_tried_compiles_nothing(
    project: Project, store: dict[str, str]
) -> None:
    spec = importlib.util.find_spec("metaflow")
    assert spec
    assert spec.origin
    newer = project.folder / "newer.py"
    flow = CHECKOUT / "tests" / "flows" / "pods.py"
    newer.write_text(
        "import runpy, sys, metaflow\n"
        "metaflow.__version__ = '2.20.0'\n"
        f"sys.argv[0] = {str(flow)!r}\n"
        f"sys.path.insert(0, {str(flow.parent)!r})\n"
        f"runpy.run_path({str(flow)!r}, run_name='__main__')\n"
    )
    refused = create(project, str(newer), **store)
    assert refused.code != 0
    assert "This is Metaflow 2.20.0, and gates on Argo Workflows were tried with 2.19.x" in (
        refused.said
    )
