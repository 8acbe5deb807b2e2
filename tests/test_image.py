"""The recipe of the image, as far as it goes without a container: what its `RUN pip` lines install.

`make test-act` runs this. It needs a package index.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bridge.setup.kubernetes_manifests import FOLDER, Deployed, files

ROOT = Path(__file__).resolve().parents[1]
COPIED = "/tmp/bridge"  # where the recipe copies its files to


@pytest.mark.timeout(600)
def test_the_recipe_installs_what_the_reconciler_and_the_pods_of_a_gate_start(
    tmp_path: Path,
) -> None:
    for path, text in files(Deployed("argo", "bridge:1", "github:acme/models")).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    context = tmp_path / FOLDER
    wheel = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(context), str(ROOT)]
    subprocess.run([sys.executable, *wheel], check=True, capture_output=True)
    recipe = (context / "Containerfile").read_text()
    [copied] = re.findall(rf"(?m)^COPY (.*) {COPIED}/$", recipe)
    assert all((context / each).is_file() for each in copied.split())
    venv.create(tmp_path / "image", with_pip=False)
    python = str(tmp_path / "image" / "bin" / "python")
    runs = re.findall(r"(?m)^RUN pip (.*)$", recipe)
    assert len(runs) == 2
    for run in runs:
        words = shlex.split(run.replace(COPIED, str(context)))
        subprocess.run([sys.executable, "-m", "pip", "--python", python, *words], check=True)

    def started(*command: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HITL_CACHE": str(tmp_path / "c")}
        return subprocess.run(
            [str(tmp_path / "image" / "bin" / command[0]), *command[1:]],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    [entrypoint] = re.findall(r'(?m)^ENTRYPOINT \["(.*)"\]$', recipe)
    watched = started(entrypoint, "--ledger", "https://git.invalid/l", "argo", "reconcile")
    assert "no cluster is configured" in watched.stderr
    for verb in ("open", "verify"):
        ran = started("python", "-P", "-m", "bridge.entrypoints.argo_pod", verb)
        assert ran.returncode != 0
        assert "Traceback" not in ran.stderr
        assert "hitl: " in ran.stderr
    imports = "import brotli, kubernetes, prometheus_client, zstandard, github, jsonschema, regex"
    assert started("python", "-c", imports).returncode == 0
