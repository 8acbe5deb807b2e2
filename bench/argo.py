"""Gates on Argo: what they add to a pod, to a compile, and to a patch. Ratios in one run.

    python bench/argo.py [--rounds 5] [--steps 500]

- notify: the command of the notify pod, to `python flow.py dump` of the parent's task.
- injection: the gates of a flow in which every step has one, to the rest of
  `argo-workflows create --only-json`.
- delivery: in the process that decides, from the recorded decision to the patched node, the making
  of the client included; and `hitl argo resume`, a process that reads the ledger first. Both to a
  process that starts Python, makes the same client and sends the bare patch.
- pull: what `hitl argo reconcile` does, with 100 and with 10,000 gates that wait.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from measures import Row, tell, timed  # noqa: E402
from metaflow.util import compress_list  # noqa: E402

from bridge import wiring  # noqa: E402
from bridge.argo.inject import LABEL  # noqa: E402
from bridge.argo.nodes import json_patch  # noqa: E402
from bridge.core.delivery import Move, Workflow  # noqa: E402
from bridge.core.evaluation import Outcome  # noqa: E402
from bridge.core.model import ApprovalRequest, on_github  # noqa: E402
from bridge.core.records import decision_out  # noqa: E402
from bridge.ledger.git_ledger import GitLedger, create  # noqa: E402
from tests import objectstore  # noqa: E402
from tests.argo import api  # noqa: E402 - the helpers of the tests
from tests.githttp import serving  # noqa: E402
from tests.ledgers import a_decision, a_request  # noqa: E402
from tests.metaflows import Project  # noqa: E402

#: As `dump` does: it reads the parent's artifacts.
_PARENT = "start"
_BARE = """
import json, sys
from kubernetes import client, config
config.load_config(config_file=sys.argv[1])
client.CustomObjectsApi().patch_namespaced_custom_object(
    "argoproj.io", "v1alpha1", "argo", "workflows", sys.argv[2], json.load(open(sys.argv[3])),
    _content_type="application/json-patch+json",
)
"""
_DECIDE = """
import sys, time
from pathlib import Path
from bridge.gates.deliver import deliver
from bridge.ledger.git_ledger import GitLedger
from bridge.core.delivery import Delivery
from bridge.core.records import decision_in
from bridge.wiring import clock
ledger = GitLedger(sys.argv[2], Path(sys.argv[3]))
standing = ledger.record(decision_in(Path(sys.argv[4]).read_text()))
began = time.perf_counter()
from bridge.argo.kubernetes import Kubernetes
found = deliver(Kubernetes(sys.argv[1]), standing, clock())
took = time.perf_counter() - began
assert found.delivery is Delivery.RESUMED, found
print(took)
"""
#: A watch, for so many rounds: the requests of a round, the seconds that the last one took, and the
#: most memory, in MB.
_WATCH = """
import resource, sys, time
from pathlib import Path
from bridge.argo.kubernetes import Kubernetes
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from bridge.core.model import on_github
from bridge.gates.on_github import OnGitHub
from bridge.gates.reconciler import Watch
from bridge.wiring import clock
ledger = GitLedger(sys.argv[2], Path(sys.argv[3]))
venue = OnGitHub(on_github("acme/models"), ledger, Silent(), clock, connect=None)
watch = Watch(Kubernetes(sys.argv[1]), venue, lambda _: venue, clock, print)
version = watch.list_all()
watch.round()
assert watch.progress.waiting == int(sys.argv[4]), watch.progress
print("listed", flush=True)
sys.stdin.readline()
for _ in range(3):
    version = watch.listen(version, 1)
    began = time.perf_counter()
    watch.round()
    took = time.perf_counter() - began
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
#: The same as the command, for gates that are decided on GitHub.
_FOLLOW = """
import sys, time
from pathlib import Path
from bridge.argo.kubernetes import Kubernetes
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from bridge.core.model import on_github
from bridge.gates.on_github import OnGitHub
from bridge.gates.reconciler import Watch
from bridge.wiring import clock
ledger = GitLedger(sys.argv[2], Path(sys.argv[3]))
venue = OnGitHub(on_github("acme/models"), ledger, Silent(), clock, connect=None)
tell = lambda line: print(line, flush=True)
Watch(Kubernetes(sys.argv[1]), venue, lambda _: venue, clock, tell).follow(3, time.sleep)
"""
#: The end of a flow's file, which leaves in `took` the seconds that the gates took to put in.
_TIMED = """
if __name__ == "__main__":
    import time
    from metaflow_extensions.hitl.plugins import argo

    own = argo._with_gates

    def timed(*given):
        began = time.perf_counter()
        made = own(*given)
        open("took", "w").write(str(time.perf_counter() - began))
        return made

    argo._with_gates = timed
    Long()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    return tell("base, s", "found, s", rows(given.rounds, given.steps))


def rows(rounds: int, steps: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield notify(folder, rounds)
        yield injection(folder, steps)
        yield from delivery(folder, rounds)
        yield from watching(folder)


def notify(folder: Path, rounds: int) -> Row:
    create(folder / "asked.git")
    with serving(folder) as git:
        project = Project(folder / "project")
        told = {"HITL_LEDGER": git.of("asked.git"), "HITL_WORKFLOW": "argo/run-1/u-1",
                # A Python of its own for each command: the tests fork one that has imported.
                "PYTHONNOUSERSITE": "1"}  # fmt: skip
        waits = project.start("deploy.py", "--no-pylint", "run", **told)
        assert waits.stdout
        for line in waits.stdout:
            if "waits" in line or "waiting" in line:
                break
        waits.terminate()
        waits.communicate(timeout=60)
        [run] = [each.name for each in (folder / "project/.metaflow/TrainAndDeploy").iterdir()
                 if each.name.isdigit()]  # fmt: skip
        parents = folder / "parents"
        parents.write_text(compress_list([f"{run}/{_PARENT}/1"]))
        asks = ("hitl", "open", "--step", "deploy", "--run-id", run,
                "--input-paths-filename", str(parents), "--out", str(folder / "gate"))  # fmt: skip

        def done(*command: str) -> None:
            made = project.flow("deploy.py", "--no-pylint", *command, **told)
            assert made.code == 0, made.said

        base, found = [], []
        for each in range(rounds):
            base.append(timed(lambda: done("dump", f"{run}/{_PARENT}/1")))
            task = f"t-{each}"  # a gate of its own each time: it is opened, not found
            found.append(timed(lambda: done(*asks, "--task-id", task)))  # noqa: B023
    return Row("notify", statistics.median(base), statistics.median(found), most=3)


def injection(folder: Path, steps: int) -> Row:
    """The flow has so many steps, and each of them but the last has a gate."""
    project = Project(folder / "compiled")
    lines = ["from metaflow import FlowSpec, hitl, step", "", "class Long(FlowSpec):"]
    names = ["start", *(f"step{number}" for number in range(1, steps - 1)), "end"]
    for name, after in zip(names, [*names[1:], None], strict=True):
        gate = [] if after is None else ["    @hitl(message='Go on?')"]
        goes = f"self.next(self.{after})" if after else "pass"
        lines += [*gate, "    @step", f"    def {name}(self):", f"        {goes}", ""]
    flow = project.folder / "long.py"
    flow.write_text("\n".join([*lines, _TIMED]))
    told = {"HITL_LEDGER": "https://git.example/ledger.git", "HITL_BRING": "0"}
    create = ("--no-pylint", "argo-workflows", "create", "--only-json")
    with objectstore.serving() as store:
        began = time.perf_counter()
        made = project.flow(str(flow), *create, **store, **told)
        whole = time.perf_counter() - began
    assert made.code == 0, made.said[-2000:]
    took = float((project.folder / "took").read_text())
    return Row(f"injection, {steps} steps, all gated", whole - took, took, most=0.05)


def delivery(folder: Path, rounds: int) -> Iterator[Row]:
    create(folder / "decided.git")
    bare, decider, by_hand = [], [], []
    with serving(folder) as git, api.serving() as cluster:
        config = str(cluster.kubeconfig(folder))
        env = {**os.environ, "HITL_LEDGER": git.of("decided.git"), "KUBECONFIG": config,
               "HITL_CACHE": str(folder / "delivering"), "PYTHONPATH": str(ROOT)}  # fmt: skip
        ledger = GitLedger(env["HITL_LEDGER"], folder / "deciding")
        for each in range(rounds + 1):
            began = Workflow("argo", f"bare-{each}", f"bare-{each}")
            submit(cluster, began, "g")
            move = Move("wait", "g", "Succeeded", Outcome.APPROVED, "ok", wiring.clock())
            patch = folder / "patch.json"
            patch.write_text(json.dumps(json_patch(cluster.get("argo", began.name), move)))
            command = [sys.executable, "-c", _BARE, config, began.name, str(patch)]
            bare.append(timed(lambda: run(command, env)))  # noqa: B023

            request = asked(ledger, cluster, f"push-{each}")
            offered = folder / "decision.yaml"
            offered.write_text(decision_out(a_decision(request)))
            where = (env["HITL_LEDGER"], str(folder / "deciding"), str(offered))
            decider.append(float(run([sys.executable, "-c", _DECIDE, config, *where], env)))

            request = asked(ledger, cluster, f"hand-{each}")
            ledger.record(a_decision(request))
            resume = [sys.executable, "-m", "bridge.cli.main", "resume", request.gate.id]
            by_hand.append(timed(lambda: run(resume, env)))  # noqa: B023
        nodes = [
            each["status"]["nodes"]["wait"]
            for each in (
                cluster.get("argo", f"{kind}-{number}")
                for kind in ("bare", "push", "hand")
                for number in range(rounds + 1)
            )
        ]
        assert {each["phase"] for each in nodes} == {"Succeeded"}
    # The first of each warms the clone and the caches.
    base, pushed, resumed = (statistics.median(each[1:]) for each in (bare, decider, by_hand))
    yield Row("delivery, in the decider", base, pushed, most=2)
    yield Row("delivery, `hitl argo resume`", base, resumed)


def watching(folder: Path) -> Iterator[Row]:
    """With 100 gates that wait, and with 10,000."""
    few, many = (watched(folder, gates) for gates in (100, 10_000))
    yield Row("pull: from the decision to the node, longest of 5, s", few[4], many[4], 5, True)
    yield Row("reconciler: git's bytes a round", few[3], many[3], most=1.1)
    yield Row("reconciler: requests a round, 100 and 10,000 gates", few[0], many[0], most=1)
    yield Row("reconciler: seconds of a round", few[1], many[1])
    yield Row("reconciler: memory, MB", few[2], many[2])


def watched(folder: Path, gates: int) -> tuple[float, float, float, float, float]:
    """Requests, seconds, memory and git's bytes of a round; the longest of five deliveries."""
    repository = folder / f"watched-{gates}.git"
    create(repository)
    ledger = GitLedger(str(repository), folder / f"asking-{gates}")
    ledger.record(a_decision(_opened(ledger, "first")))
    head = ledger.head()
    packed = "".join(f"{head} refs/heads/gate/{number:016x}\n" for number in range(gates))
    (repository / "packed-refs").write_text("# pack-refs with: peeled sorted\n" + packed)
    with serving(folder) as git, api.serving() as cluster:
        for number in range(gates):
            name = f"run-{number}"
            submit(cluster, Workflow("argo", name, name), f"{number:016x}")
        there = (str(cluster.kubeconfig(folder)), git.of(f"watched-{gates}.git"))
        command = [sys.executable, "-c", _WATCH, *there, str(folder / f"w-{gates}"), str(gates)]
        delivered = pulled(ledger, cluster, there)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:  # fmt: skip
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "listed\n"
            cluster.requests.clear()
            git.forget()
            process.stdin.write("\n")
            process.stdin.flush()
            took, memory = map(float, process.stdout.readline().split())
        asked = (len(cluster.requests) + len(git.requests)) / 3
        return asked, took, memory, git.wire / 3, delivered


def pulled(ledger: GitLedger, cluster: api.Cluster, there: tuple[str, str]) -> float:
    """The longest of five, from the recorded decision to the node."""
    command = [sys.executable, "-c", _FOLLOW, *there, f"{there[0]}-{len(cluster.requests)}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    took = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout
        try:
            for number in range(5):
                request = asked(ledger, cluster, f"pulled-{number}")
                time.sleep(4 + number / 2)  # it is known to wait, and decided at any moment
                began = time.perf_counter()
                ledger.record(a_decision(request))
                assert any("is Succeeded now" in line for line in process.stdout)
                took.append(time.perf_counter() - began)
        finally:
            process.terminate()
    return max(took)


def asked(ledger: GitLedger, cluster: api.Cluster, name: str) -> ApprovalRequest:
    """A gate, and the run that waits for it."""
    run = Workflow("argo", name, name)
    there = on_github("acme/models")  # where no clock of a ledger alone ends it
    request = replace(a_request(f"Flow/argo-{name}/deploy/1"), workflow=run, venue=there)
    submit(cluster, run, request.gate.id)
    ledger.open(request, "")
    return request


def _opened(ledger: GitLedger, name: str) -> ApprovalRequest:
    request = a_request(f"Flow/argo-{name}/deploy/1")
    ledger.open(request, "")
    return request


def submit(cluster: api.Cluster, run: Workflow, gate: str) -> None:
    """A run with one suspended node."""
    node: dict[str, Any] = {
        "id": "wait",
        "type": "Suspend",
        "phase": "Running",
        "inputs": {"parameters": [{"name": "gate", "value": gate}]},
        "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
    }
    own = {"name": run.name, "namespace": run.namespace, "uid": run.uid, "labels": {LABEL: "true"}}
    cluster.submit({"metadata": own, "status": {"phase": "Running", "nodes": {"wait": node}}})


def run(command: list[str], env: dict[str, str]) -> str:
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
