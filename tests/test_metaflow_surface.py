"""What a person meets: the declaration's faults, the commands, the typed input, other backends."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.ledger.git_ledger import create
from tests.githttp import serving
from tests.metaflows import CLOUDS, FLOWS, IMPORTED, Project
from tests.terminals import Screen
from tests.test_notify import Server


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def python(
    project: Project, code: str, *arguments: str, starts_warm: bool = False, **env: str
) -> str:
    pipe = subprocess.PIPE
    ran = project.python("-c", code, *arguments, stderr=pipe, starts_warm=starts_warm, **env)
    said, faults = ran.communicate(timeout=120)
    assert ran.returncode == 0, faults
    return said


# -- importing and declaring ---------------------------------------------------------------------

SEED = "from metaflow_extensions.hitl.plugins.hitl_decorator import hitl as seed"
STOCK = "from metaflow import hitl as stock"


@pytest.mark.parametrize("order", [[SEED, STOCK], [STOCK, SEED]])
def test_both_import_paths_give_the_same_decorator_in_any_order(
    project: Project, order: list[str]
) -> None:
    assert python(project, "\n".join([*order, "print(seed is stock)"])) == "True\n"


def test_a_message_without_its_name_is_told_how_to_write_it(project: Project) -> None:
    code = f"""{STOCK}
try:
    stock("Deploy?")
except Exception as error:
    print(error)
"""
    says = "Give @hitl its parameters by name: @hitl(message='Deploy?')."
    assert says in python(project, code)


def test_every_fault_of_a_declaration_is_reported_at_once_when_the_flow_is_checked(
    project: Project,
) -> None:
    said = project.flow("shut.py", "check", FLOW="Faulty")
    assert said.code != 0
    assert "Invalid `@hitl` declaration on step gated:" in said.said
    for fault in ("self.acuracy", "self.too_late", "`approvers` is", "`timeout`: ",
                  "`on_timeout` is", "'integer-ish'", "reads loss", "`notifier` is"):  # fmt: skip
        assert fault in said.said
    assert "Traceback" not in said.said


DECLARED = {
    "a join's artifact without its branch": (
        "joined(self, inputs)",
        'message="{self.score}?"',
        "inputs.left.score or inputs.right.score",
    ),
    "a branch's artifact that no branch sets": (
        "joined(self, inputs)",
        'message="{inputs.left.scores}?"',
        "there is inputs.left.score",
    ),
    "a condition over an artifact of several branches": (
        "joined(self, inputs)",
        'auto_approve_if="score > 1"',
        "differs between the branches of a join",
    ),
    "an endless gate that the clock approves": (
        "left(self)",
        'timeout=None, on_timeout="approve"',
        "there is no `timeout` to wait for",
    ),
}

FLOW = """
from metaflow import FlowSpec, hitl, step
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.left, self.right)
    {left}
    @step
    def left(self):
        self.score = 1
        self.next(self.joined)
    @step
    def right(self):
        self.score = 1
        self.next(self.joined)
    {joined}
    @step
    def joined(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    F()
"""


def checked(project: Project, *change: str, **gates: str) -> tuple[int, str]:
    """`show` on the flow above, with gates on its steps and one text in place of another."""
    file = project.folder / "flow.py"
    text = FLOW.format(**{"left": "", "joined": "", **gates})
    file.write_text(text.replace(*change) if change else text)
    ran = project.python(str(file), "show")
    said, _ = ran.communicate(timeout=120)
    return ran.returncode, said


@pytest.mark.parametrize("case", DECLARED)
def test_a_declaration_that_can_be_known_to_fail_fails_at_the_check(
    project: Project, case: str
) -> None:
    step, declared, says = DECLARED[case]
    code, said = checked(project, **{step.partition("(")[0]: f"@hitl({declared})"})
    assert code != 0
    assert says in said
    assert "Traceback" not in said


def test_two_gates_on_one_step_are_refused(project: Project) -> None:
    code, said = checked(project, left="@hitl\n    @hitl")
    assert code != 0
    assert "already has a decorator 'hitl'" in said


def test_a_gate_below_step_is_refused(project: Project) -> None:
    code, said = checked(project, "@step\n    def left", "@step\n    @hitl\n    def left")
    assert code != 0
    assert "@hitl is above @step" in said


def test_names_that_cannot_be_known_are_not_held_against_a_message(project: Project) -> None:
    change = ["self.next(self.left,", "setattr(self, 'who', 1)\n        self.next(self.left,"]
    assert checked(project, left='@hitl(message="{self.who}?")')[0] != 0
    assert checked(project, *change, left='@hitl(message="{self.who}?")')[0] == 0


# -- the input -----------------------------------------------------------------------------------


def test_a_typed_input_arrives_and_a_wrong_one_decides_nothing(project: Project) -> None:
    run = project.start("branches.py", "run")
    keys: set[str] = set()
    assert run.stdout
    for line in run.stdout:
        if " waits for " in line:
            keys.add(line.split("hitl: ")[1].split()[0])
        if len(keys) == 2:
            break
    left, right = sorted(keys, key=lambda key: "right" in key)
    listed = project.flow("branches.py", "hitl", "list")
    assert left in listed.said
    assert right in listed.said
    other = project.flow("shut.py", "hitl", "list", FLOW="Plain")
    assert left not in other.said  # another flow's gates are not listed

    wrong = project.flow("branches.py", "hitl", "approve", left, "--input", '{"replicas": "three"}')
    assert wrong.code != 0
    assert "replicas" in wrong.said
    gate = project.gate(left)
    assert gate is not None
    assert gate.decision is None
    given = json.dumps({"replicas": 3})
    assert project.flow("branches.py", "hitl", "approve", left, "--input", given).code == 0
    assert project.flow("branches.py", "hitl", "approve", right).code == 0
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert project.ran("left")[0]["given"] == {"replicas": 3, "notes": "none"}
    assert sorted(map(str, project.ran("end")[0]["given"])) == [
        "{'replicas': 3, 'notes': 'none'}",
        "{}",
    ]


# -- every other command -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project, and the task `run/left/2` of a run in it that passed its gates."""
    project = Project(tmp_path_factory.mktemp("done"))
    ran = project.flow("branches.py", "run", HITL_ENVIRONMENT="test")
    assert ran.code == 0, ran.said
    return project, project.ran("left")[0]["key"].partition("/")[2]


COMMANDS = {
    "--help": "hitl",
    "show": "joined",
    "dump TASK": "hitl_input",
    "logs TASK": "",
    "argo-workflows --help": "create",
    "batch --help": "step",
    "hitl --help": "branches.py hitl",
    "hitl list": "",
}


#: Runs each command as `python branches.py COMMAND` does, in a child of its own. They share what
#: is the same for all: the start of Python with its hash seed, and the import of Metaflow.
EACH_COMMAND = f"""
import importlib, json, os, runpy, sys
for each in {IMPORTED + CLOUDS!r}:
    importlib.import_module(each)

def run(command):
    sys.argv = [{str(FLOWS / "branches.py")!r}, *command.split()]
    sys.path[0] = {str(FLOWS)!r}
    runpy.run_path(sys.argv[0], run_name="__main__")

commands, said = json.loads(sys.argv[1]), sys.argv[2]
for number, command in enumerate(commands):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    written = os.open(f"{{said}}/{{number}}", os.O_WRONLY | os.O_CREAT)
    os.dup2(written, 1)
    os.dup2(written, 2)
    run(command)
    sys.exit()
"""


@pytest.mark.parametrize("seed", range(6))
def test_the_commands_of_metaflow_work_for_any_hash_seed(
    done: tuple[Project, str], tmp_path: Path, seed: int
) -> None:
    project, task = done
    commands = [command.replace("TASK", task) for command in COMMANDS]
    said = tmp_path / "said"
    said.mkdir()
    told = python(project, EACH_COMMAND, json.dumps(commands), str(said), PYTHONHASHSEED=str(seed))
    for number, (command, expected) in enumerate(COMMANDS.items()):
        shown = (said / str(number)).read_text()
        assert told.splitlines()[number] == "0", (command, shown)
        assert expected in shown


def test_the_runner_and_dump_see_a_gated_run(project: Project) -> None:
    said = python(
        project,
        f"""
import json
from metaflow import Runner
from metaflow.cards import get_cards
flow = Runner({str(FLOWS / "branches.py")!r}, show_output=False,
              decospecs=["card:type=hitl", "card"])
with flow.run() as running:
    task = running.run["left"].task
    print(running.status, task.pathspec, task["hitl_input"].data)
    joined = running.run["joined"].task
    print(json.dumps([task["hitl_decision"].data, "hitl_decision" in joined,
                      task.metadata_dict["hitl-decision"],
                      get_cards(task, type="hitl")[0].get(),
                      get_cards(joined, type="hitl")[0].get(),
                      get_cards(task, type="default")[0].get()]))
""",
        starts_warm=True,
        HITL_ENVIRONMENT="test",
    )
    first, values = said.splitlines()
    status, task, given = first.split(maxsplit=2)
    assert (status, given.strip()) == ("successful", "{'replicas': 1, 'notes': 'none'}")
    decision, is_joined, datum, card, no_card, default = json.loads(values)
    assert decision["key"] == task
    assert (decision["outcome"], decision["by"]) == ("approved", "condition")
    assert decision["inputs"] == {"replicas": 1, "notes": "none"}
    assert not is_joined  # each branch has its own, and a join of two has none
    assert datum == f"approved by condition, commit {decision['commit']}"
    assert f"<h1>{task}</h1>" in card
    assert decision["commit"] in card
    assert "This step has no <code>@hitl</code>." in no_card
    packed = re.findall(r'"([A-Za-z0-9+/=]{200,})"', default)
    texts = [base64.b64decode(each).decode("utf-8", "replace") for each in packed]
    (text,) = [each for each in texts if "### Gate: approved" in each]
    assert f"Recorded in commit `{decision['commit']}`" in text
    assert text.index("replicas: 1") > text.index("### Gate: approved")
    dumped = project.flow("branches.py", "dump", task.partition("/")[2])
    assert dumped.code == 0, dumped.said
    assert "hitl_input" in dumped.said


# -- the flow of metaflow-hitl -------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_the_flow_of_the_seeds_readme_runs_and_its_commands_decide(
    project: Project, server: Server
) -> None:
    told = {"METAFLOW_HITL_APPRISE_URLS": server.url, "METAFLOW_HITL_ARGO_NAMESPACE": "ml",
            "METAFLOW_HITL_ARGO_UI_URL": "https://argo.example"}  # fmt: skip
    run = project.start("seed.py", "run", **told)
    opened = server.next()
    assert "Accuracy: 94.0% — approve to deploy?" in opened["message"]
    assert "https://argo.example" in opened["message"]
    listed = project.flow("seed.py", "hitl", "list")
    assert "Accuracy: 94.0% — approve to deploy?" in listed.said
    gate = re.findall(r"^[0-9a-f]{16}\b", listed.said, re.MULTILINE)[0]
    given = project.flow(
        "seed.py", "hitl", "approve", gate, "--input", '{"deploy_target": "staging"}', **told
    )
    assert given.code == 0, given.said
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert "Approved for: staging" in said
    assert "Approved" in server.next()["title"]


def test_a_gate_without_a_notifier_tells_nobody(project: Project, server: Server) -> None:
    run = project.flow(
        "shut.py", "run", FLOW="Plain", WAIT="1s", METAFLOW_HITL_APPRISE_URLS=server.url
    )
    assert "nobody answered by" in run.said
    assert server.got.empty()


# -- at a terminal -------------------------------------------------------------------------------


def test_two_gated_branches_of_a_run_are_asked_about_one_after_the_other(project: Project) -> None:
    argv = [sys.executable, str(FLOWS / "branches.py"), "run"]
    with Screen(
        "program", {"argv": argv, "cwd": str(project.folder), "env": project.env}
    ) as screen:
        for _ in range(2):
            left = "Left?" in screen.expect("You answer as ")
            screen.expect("Approve? ")
            screen.type("y\n")
            if left:
                screen.expect("replicas (")
                screen.type("three\n")
                screen.expect("'three' is not a whole number")
                screen.expect("replicas (")
                screen.type("3\n")
                screen.expect("notes (")
                screen.type("\n")
        screen.expect("Done!")
    assert project.ran("left")[0]["given"] == {"replicas": 3, "notes": "none"}
    assert project.ran("right")[0]["given"] == {}


# -- elsewhere -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["step-functions", "airflow"])
def test_a_deployment_with_gates_is_refused_in_one_sentence(project: Project, command: str) -> None:
    refused = project.flow("branches.py", command, "create", "x.py")
    assert refused.code != 0
    assert "are not in this version yet" in refused.said
    assert "Traceback" not in refused.said


LAUNCH = f"""
import runpy, sys
sys.argv[0] = {str(FLOWS / "shut.py")!r}
sys.path.insert(0, {str(FLOWS)!r})
from metaflow.plugins.kubernetes import kubernetes_cli
class Cluster:
    def __init__(self, **_):
        pass
    def launch_job(self, env, **_):
        print("POD", {{name: env.get(name) for name in ("HITL_LEDGER", "METAFLOW_FLOW_FILENAME")}})
        sys.exit(3)
kubernetes_cli.Kubernetes = Cluster
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("own", ["", 'vars={"ELSE": "1"}'])
def test_the_pod_is_told_the_ledgers_address_and_no_credential(project: Project, own: str) -> None:
    """All but the cluster, which shows what it is given."""
    with serving(project.folder) as server:
        create(project.folder / "led.git")
        url = server.of("led.git", "ann:s3cret")
        run = project.flow("shut.py", "run", FLOW="Plain", HITL_LEDGER=url,
                           HITL_ENVIRONMENT="test")  # fmt: skip
        assert run.code == 0, run.said
        task = {"step": "gated", "run_id": run.run_id, "task_id": "2", "split_index": None,
                "input_paths": [f"{run.run_id}/start/1"]}  # fmt: skip
        given = ["--run-id", run.run_id, "--task-id", "2", "--input-paths", f"{run.run_id}/start/1"]
        launched = subprocess.run(
            [sys.executable, "-c", LAUNCH, *(["--with", f"environment:{own}"] if own else []),
             "kubernetes", "step", "gated", "{}", "sha", "url", *given],
            cwd=project.folder, capture_output=True, text=True,
            env=project.env | {"FLOW": "Plain", "HITL_LEDGER": url, "HITL_ENVIRONMENT": "test",
                               "HITL_METAFLOW_TASK": json.dumps(task)},
        )  # fmt: skip
    assert launched.returncode == 3, launched.stderr
    told = {"HITL_LEDGER": server.of("led.git"), "METAFLOW_FLOW_FILENAME": "shut.py"}
    if own:
        told["METAFLOW_FLOW_FILENAME"] = None
    assert launched.stdout.splitlines()[-1] == f"POD {told}"


def test_a_pod_that_is_told_no_ledger_says_so(project: Project) -> None:
    said = project.flow("shut.py", "run", FLOW="Plain", METAFLOW_KUBERNETES_WORKLOAD="1").said
    assert "does not run: HITL_LEDGER is not set in this pod" in said


def test_a_fault_of_the_environment_is_told_before_the_first_step(project: Project) -> None:
    refused = project.flow("shut.py", "run", FLOW="Plain", HITL_SIGN="perhaps")
    assert refused.code != 0
    assert "HITL_SIGN is 'perhaps'" in refused.said
    assert "Task is starting" not in refused.said
    assert "Traceback" not in refused.said


def test_the_process_that_launches_a_pod_waits_and_the_pod_only_verifies(project: Project) -> None:
    """The real commands of Metaflow, up to the cluster: no pod is run here."""
    base = project.flow("shut.py", "run", FLOW="Plain", WAIT="1s")  # leaves start's artifacts
    task = {"step": "gated", "run_id": base.run_id, "task_id": "50", "split_index": None,
            "input_paths": [f"{base.run_id}/start/1"]}  # fmt: skip
    inputs = ["--run-id", base.run_id, "--task-id", "50", "--input-paths", f"{base.run_id}/start/1"]

    def launcher(**env: str) -> tuple[int, str]:
        told = json.dumps(task)
        done = project.flow("shut.py", "kubernetes", "step", "gated", "{}", "sha", "url", *inputs,
                            FLOW="Plain", HITL_METAFLOW_TASK=told, **env)  # fmt: skip
        return done.code, done.said

    def pod() -> tuple[int, str]:
        done = project.flow("shut.py", "step", "gated", *inputs,
                            FLOW="Plain", METAFLOW_KUBERNETES_WORKLOAD="1", HITL_ENVIRONMENT="test",
                            HITL_LEDGER=str(project.folder / ".hitl" / "ledger.git"))  # fmt: skip
        return done.code, done.said

    code, said = pod()
    assert code == 202
    assert "nobody was asked" in said
    code, said = launcher(HITL_ENVIRONMENT="test")
    assert code not in (0, 202), said  # past the gate, and then there is no cluster
    assert "does not run" not in said
    code, said = pod()
    assert code == 0, said
    assert len(project.ran("gated")) == 1
    task["task_id"] = "51"
    code, said = launcher(WAIT="1s")
    assert code == 202
    assert "nobody answered by" in said


def test_a_ledger_on_this_disk_is_refused_before_the_first_step_of_a_run_in_pods(
    project: Project,
) -> None:
    """The hook that `run` calls before the first step; it needs no cluster's datastore."""
    code = """
import types
from metaflow.exception import MetaflowException
from bridge.ledger.git_ledger import GitLedger
from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator

GitLedger.head = lambda _: None  # it is there
pods = types.SimpleNamespace(name="kubernetes")
gate = HitlDecorator()
gate._step = "deploy"
gate._flow = types.SimpleNamespace(name="Flow", deploy=types.SimpleNamespace(decorators=[pods]))
gate.declared = types.SimpleNamespace(declared=None)
try:
    gate.runtime_init(gate._flow, None, None, "1")
    print("goes on")
except MetaflowException as refused:
    print(refused.message)
"""
    assert "set HITL_LEDGER to the URL" in python(project, code)
    assert "set HITL_LEDGER to the URL" in python(project, code, HITL_LEDGER="some/folder.git")
    assert "set HITL_LEDGER to the URL" in python(project, code, HITL_LEDGER="file:///ledger.git")
    assert python(project, code, HITL_LEDGER="https://git.example/ledger.git") == "goes on\n"
