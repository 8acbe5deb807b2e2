"""Running flows in tests as a person does: real processes, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import wiring
from bridge.core.model import Gate, Standing
from bridge.core.settings import from_environment
from tests import warm
from tests.ledgers import GITCONFIG

CHECKOUT = Path(__file__).resolve().parent.parent
FLOWS = Path(__file__).resolve().parent / "flows"

#: What Metaflow loads if a run needs no cloud: a third of the processor time of each of its
#: processes is plugins for clusters. A list is read from `config.json` only, not from a variable.
NO_CLOUDS = {
    "METAFLOW_ENABLED_DATASTORE": ["local", "spin"],
    "METAFLOW_ENABLED_METADATA_PROVIDER": ["local", "spin"],
    "METAFLOW_ENABLED_DEPLOYER_IMPL_PROVIDER": [],
    "METAFLOW_ENABLED_ENVIRONMENT": [],
    "METAFLOW_ENABLED_SECRETS_PROVIDER": [],
    "METAFLOW_ENABLED_SIDECAR": [],
    "METAFLOW_ENABLED_STEP_DECORATOR": [
        "catch", "retry", "timeout", "environment", "resources", "parallel", "hitl",
    ],
}  # fmt: skip


#: What a flow's process imports, sooner or later; not the modules of Metaflow's commands that look
#: for the flow's parameters when they are imported (`add_custom_parameters`).
IMPORTED = (
    "metaflow.cli",
    "metaflow.runtime",
    "metaflow.task",
    "metaflow_extensions.hitl.plugins.declaration",
    "metaflow_extensions.hitl.plugins.hitl_cli",
    "metaflow_extensions.hitl.plugins.passing",
    "metaflow_extensions.hitl.plugins.properties",
    "metaflow_extensions.hitl.plugins.request",
    "bridge.argo.pod_settings",
    "bridge.core.yaml_meanings",
    "bridge.gates.this_machine",
    "bridge.ledger.git_ledger",
    "bridge.local.identity",
    "bridge.local.notify",
    "bridge.local.prompt",
    "bridge.render.request",
    "bridge.wiring",
    "getpass",
    "git",
    "html",
    "idna",
    "jinja2",
    "jsonpointer",
    "jsonschema",
    "rfc3339_validator",
)
CLOUDS = (
    "metaflow.plugins.airflow.airflow",
    "metaflow.plugins.argo.argo_workflows",
    "metaflow.plugins.aws.batch.batch_cli",
    "metaflow.plugins.aws.step_functions.step_functions",
    "metaflow.plugins.cards.card_cli",
    "metaflow.plugins.kubernetes.kubernetes_cli",
    "metaflow.plugins.logs_cli",
    "metaflow.plugins.package_cli",
    "metaflow.plugins.tag_cli",
)
#: Where a flow keeps what it makes, and for whom: few, and not another in each test.
_KEPT = (
    "METAFLOW_DATASTORE_SYSROOT_S3", "METAFLOW_DEFAULT_DATASTORE", "METAFLOW_OWNER",
    "METAFLOW_S3_ENDPOINT_URL",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and all that it printed."""

    code: int
    said: str

    @property
    def run_id(self) -> str:
        found = re.search(r"\(run-id (\d+)\)", self.said)
        assert found, self.said
        return found[1]


class Project:
    """A folder in which flows are run; nothing of the machine's own Metaflow reaches in."""

    def __init__(self, folder: Path, *, clouds: bool = True) -> None:
        self.folder = folder
        self.marks = folder / "marks"
        folder.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = kept | {
            "HOME": str(folder),
            "USERNAME": "ann",
            "PYTHONPATH": str(CHECKOUT),
            "METAFLOW_HOME": str(folder / "metaflow-home"),
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
            "HITL_CACHE": str(folder / "cache"),
            "MARKS": str(self.marks),
            "GIT_CONFIG_GLOBAL": str(GITCONFIG),
            # Metaflow asks git four things about the folder of the flow, in each process.
            "GIT_CEILING_DIRECTORIES": str(CHECKOUT),
        }
        self._configuration = ""
        if not clouds:
            self.configure(**NO_CLOUDS)

    def configure(self, **metaflow: list[str]) -> None:
        """Write Metaflow's own configuration; without any it loads every plugin."""
        self._configuration = json.dumps(metaflow)
        home = self.folder / "metaflow-home"
        home.mkdir(exist_ok=True)
        (home / "config.json").write_text(self._configuration)

    def start(self, flow: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return self.python(str(FLOWS / flow), *arguments, **env)

    def python(
        self,
        *arguments: str,
        stderr: int = subprocess.STDOUT,
        starts_warm: bool = False,
        **env: str,
    ) -> subprocess.Popen[str]:
        """`python ARGUMENTS` in this folder."""
        options: dict[str, Any] = {
            "cwd": self.folder,
            "env": self.env | env,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": stderr,
            "text": True,
            "start_new_session": True,  # no terminal to ask at, and a group of its own
        }
        told, own = (warm.imports_alike(each) for each in (options["env"], self.env))
        kept = {name: value for name, value in told.items() if name in _KEPT}
        if told == own | kept:
            imported = IMPORTED if self._configuration.strip("{}") else IMPORTED + CLOUDS
            imported += ("boto3.s3.inject",) if kept else ()
            options["starts_warm"] = starts_warm
            return warm.start(imported, arguments, read=self._configuration, **options)
        return subprocess.Popen([sys.executable, *arguments], **options)

    def flow(self, flow: str, *arguments: str, **env: str) -> Outcome:
        process = self.start(flow, *arguments, **env)
        said, _ = process.communicate(timeout=120)
        return Outcome(process.returncode, said)

    def ran(self, step: str) -> list[dict[str, Any]]:
        """What the bodies of this step's tasks left, in the order of their tasks' numbers."""
        folder = self.marks / step
        found = list(folder.iterdir()) if folder.exists() else []
        found.sort(key=lambda each: (len(each.name), each.name))
        return [json.loads(each.read_text()) for each in found]

    def marked(self) -> list[Path]:
        """What all the bodies together left."""
        return sorted(self.marks.rglob("*"))

    def gate(self, key: str) -> Standing | None:
        ledger = wiring.ledger(from_environment(self.env), self.folder)
        origin = os.path.realpath(self.folder / ".metaflow")
        return ledger.read(Gate(origin, key).id)

    def asked(self, step: str) -> list[str]:
        """The messages that the gates of this step's tasks showed."""
        gates = [self.gate(each["key"]) for each in self.ran(step)]
        return [each.request.message if each else "nobody was asked" for each in gates]
