"""Pods of compiled flows as local processes, each in a folder of its own."""

from __future__ import annotations

import atexit
import hashlib
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from tests import metaflows, warm
from tests.ledgers import GITCONFIG

#: What a pod has in the place of a machine's Python.
_TOOLS = Path(__file__).resolve().parent / "pod"
_PACKAGES = ".mf_code"  # where Metaflow's code package has what it brings
#: What a pod's processes import, sooner or later; not the modules of Metaflow's commands that look
#: for the flow's parameters when they are imported (`add_custom_parameters`).
_IMPORTED = (
    *metaflows.IMPORTED,
    *metaflows.CLOUDS,
    "boto3.s3.inject",
    "metaflow.plugins.argo",
    "metaflow.plugins.datatools.s3.s3",
    "metaflow_extensions.hitl.plugins.opening",
    "s3transfer.manager",
    "clients",  # of the object store: see _TOOLS
)


_RUNS = itertools.count()


def created() -> str:
    """When the next run was: Metaflow makes its tasks' ids of it, and keeps what has their ids."""
    return f"{datetime(2026, 11, 24) + timedelta(seconds=next(_RUNS)):%Y-%m-%dT%H:%M:%SZ}"


class Pods:
    """Starts pods. `store` is the environment that reaches the object store, `package` the code."""

    def __init__(self, folder: Path, store: Mapping[str, str], package: bytes, **env: str) -> None:
        self.folder = folder
        self.started: list[str] = []  # the names of the nodes, in their order
        self.logs: dict[str, Path] = {}
        folder.mkdir()
        self.code = _unpacked(package)
        credentials = {key: value for key, value in store.items() if key.startswith("AWS_")}
        self._env = {
            **credentials,
            **env,
            "PYTHONPATH": str(_TOOLS),
            "PATH": f"{_TOOLS}:{os.environ['PATH']}",
            "POD_PYTHON": sys.executable,
            "POD_CODE": str(self.code / "job.tar"),
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",
            "METAFLOW_S3_WORKER_COUNT": "1",  # processes, each a Python; 64 unless told
            "GIT_CONFIG_GLOBAL": str(GITCONFIG),
        }
        self._free = [folder / f"slot{n}" for n in range(8)]

    def start(self, template: Any, node: Any) -> Pod:
        slot = self._free.pop(0)
        shutil.rmtree(slot, ignore_errors=True)
        (slot / "out").mkdir(parents=True)
        self.started.append(node["name"])
        log = Path(tempfile.mkstemp(dir=self.folder, suffix=".log")[1])
        self.logs[node["name"]] = log
        return Pod(self, slot, template, log)

    def said(self, name: str) -> str:
        return self.logs[name].read_text()

    def free(self, slot: Path) -> None:
        self._free.insert(0, slot)

    def environment(self, slot: Path, container: Any) -> dict[str, str]:
        told = {}
        for each in container["env"]:
            source = each.get("valueFrom") or {}
            if source.get("fieldRef"):
                told[each["name"]] = source["fieldRef"]["fieldPath"]
            elif each.get("value") is not None:
                told[each["name"]] = each["value"]
        here = {"HOME": str(slot), "POD_OUT": str(slot / "out"), "HITL_CACHE": str(slot / "cache")}
        return {**self._env, **told, **here}


class Pod:
    refused = None  # Metaflow's pods check their gates themselves

    def __init__(self, pods: Pods, slot: Path, template: Any, log: Path) -> None:
        self._pods, self._slot = pods, slot
        command = [self._here(each) for each in template["container"]["command"]]
        assert "{{" not in "".join(command), f"{template['name']}: {command[-1]}"
        env = pods.environment(slot, template["container"])
        door = _door(pods.code, env).fileno()
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command,
                cwd=slot,
                env={**env, "POD_DOOR": str(door)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=[door],
            )
        self._code: int | None = None
        self._outputs: dict[str, str] = {}

    def _here(self, text: str) -> str:
        own = text.replace("/mnt/out", f"{self._slot}/out")
        return own.replace("/tmp/mf-input-paths", f"{self._slot}/input-paths")

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None and self._code is None:
            self._code = code
            self._outputs = {each.name: each.read_text() for each in (self._slot / "out").iterdir()}
            self._pods.free(self._slot)
        return code

    def output(self, path: str) -> str | None:
        return self._outputs.get(Path(path).name)


@cache
def _unpacked(package: bytes) -> Path:
    """A folder with the code package, and with a `job.tar` that makes another just like it.

    Both have a link to the packages, which are two thousand files: each pod unpacks it anew.
    """
    folder = Path(tempfile.mkdtemp(prefix="pods-"))
    atexit.register(shutil.rmtree, folder)
    with tarfile.open(fileobj=io.BytesIO(package)) as given:
        members: dict[bool, list[tarfile.TarInfo]] = {True: [], False: []}
        for each in given:
            members[each.name.split("/")[0] == _PACKAGES].append(each)
        packages = _shared(given, members[True])
        given.extractall(folder, members[False], filter="data")
    kept = sorted(folder.iterdir())
    with tarfile.open(folder / "job.tar", "w:gz", compresslevel=0) as tar:
        for each in kept:
            tar.add(each, each.name)
        link = tarfile.TarInfo(_PACKAGES)
        link.type, link.linkname = tarfile.SYMTYPE, str(packages)
        tar.addfile(link)
    (folder / _PACKAGES).symlink_to(packages)
    return folder


_SHARED: dict[str, Path] = {}


def _shared(package: tarfile.TarFile, members: Sequence[tarfile.TarInfo]) -> Path:
    """The packages of a code package: one folder for all flows that bring the same.

    Python compiles them once, and imports them once for the pods of all these flows.
    """
    told = hashlib.sha256()
    for each in members:
        content = package.extractfile(each) if each.isreg() else None
        told.update(repr((each.name, each.type, each.linkname, each.size)).encode())
        told.update(content.read() if content else b"")
    if told.hexdigest() not in _SHARED:
        folder = Path(tempfile.mkdtemp(prefix="packages-"))
        atexit.register(shutil.rmtree, folder)
        package.extractall(folder, filter="data")  # Metaflow looks for what is beside them
        _SHARED[told.hexdigest()] = folder / _PACKAGES
    return _SHARED[told.hexdigest()]


_DOORS: dict[str, socket.socket] = {}


def _door(code: Path, env: Mapping[str, str]) -> socket.socket:
    """Of a Python that has imported the pod's code in the pod's environment."""
    packages = (code / _PACKAGES).resolve()
    alike = warm.imports_alike(env)
    key = json.dumps([str(packages), sorted(alike.items())])
    if key not in _DOORS:
        own = {
            "PYTHONPATH": f"{packages}:{env['PYTHONPATH']}",
            "METAFLOW_EXTRACTED_ROOT": str(packages.parent),
        }
        _DOORS[key] = warm.opened(_IMPORTED, {**env, **own})
    return _DOORS[key]
