"""Pods of compiled flows as local processes, each in a folder of its own."""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

#: Metaflow fetches the code package and handles logs with four more Pythons a pod.
_PYTHON = """#!/bin/sh
case "$1 $2" in
"-m metaflow.mflog.save_logs") exit 0 ;;
"-m metaflow.mflog.tee") exec cat ;;
"-c import boto3, os;"*) exec cp {package} job.tar ;;
esac
exec {python} "$@"
"""

#: Each container has its own /mnt/out, which Metaflow's code names; processes share the machine's.
#: Two sidecars of a step, which send logs and look at the machine, would be two Pythons more.
#: Metaflow reads and writes its datastore in a Python of its own each time. It runs here as a fork
#: of the Python that starts it, which has imported all that it needs.
_SITE = """
import builtins, os, runpy, subprocess, sys
if {"save_logs_periodically", "spot_termination_monitor"} & set(sys.orig_argv):
    os.execvp("cat", ["cat"])
_open = builtins.open
def open_here(file, *args, **kwargs):
    if isinstance(file, str) and file.startswith("/mnt/out/"):
        file = os.environ["POD_OUT"] + file.removeprefix("/mnt/out")
    return _open(file, *args, **kwargs)
builtins.open = open_here

def run_script(command, cwd, env):
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = command[1:]
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0

_check_output = subprocess.check_output
def check_output(command, **kwargs):
    if os.path.basename(command[1]) != "s3op.py":
        return _check_output(command, **kwargs)
    sys.stdout.flush()
    sys.stderr.flush()
    theirs, ours = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(ours, 1)
        os.dup2(kwargs["stderr"].fileno(), 2)
        os.close(ours)
        code = run_script(command, kwargs["cwd"], kwargs["env"])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os.close(ours)
    with _open(theirs, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise subprocess.CalledProcessError(code, command, said)
    return said
subprocess.check_output = check_output
"""


class Pods:
    """Starts pods. `store` is the environment that reaches the object store, `package` the code."""

    def __init__(self, folder: Path, store: Mapping[str, str], package: bytes, **env: str) -> None:
        self.folder = folder
        self.started: list[str] = []  # the names of the nodes, in their order
        self.logs: dict[str, Path] = {}
        tools = folder / "bin"
        tools.mkdir(parents=True)
        code = folder / "job.tar"
        code.write_bytes(_compiled(package))
        (tools / "python").write_text(_PYTHON.format(python=sys.executable, package=code))
        (tools / "python").chmod(0o755)
        (tools / "sitecustomize.py").write_text(_SITE)
        credentials = {key: value for key, value in store.items() if key.startswith("AWS_")}
        self._env = {
            **credentials,
            **env,
            "PYTHONPATH": str(tools),
            "PATH": f"{tools}:{os.environ['PATH']}",
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",
            "METAFLOW_S3_WORKER_COUNT": "1",  # processes, each a Python; 64 unless told
            "GIT_CONFIG_GLOBAL": os.devnull,
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
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command,
                cwd=slot,
                env=pods.environment(slot, template["container"]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
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


def _compiled(package: bytes) -> bytes:
    """The code package with its bytecode: each pod unpacks it anew, and would compile Metaflow."""
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(package)) as given,
        tarfile.open(fileobj=made, mode="w:gz", compresslevel=0) as tar,
    ):
        for member in given:
            content = given.extractfile(member)
            source = content.read() if content else b""
            tar.addfile(member, io.BytesIO(source))
            if member.name.endswith(".py"):
                code = _bytecode(source)
                name = importlib.util.cache_from_source(member.name)
                extra = member.replace(name=name, deep=False)
                extra.size = len(code)
                tar.addfile(extra, io.BytesIO(code))
    return made.getvalue()


@cache
def _bytecode(source: bytes) -> bytes:
    """As in a `.pyc` that Python does not compare with the source (PEP 552)."""
    flags = (0b01).to_bytes(4, "little")
    head = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    code = compile(source, "from the code package", "exec", dont_inherit=True)
    return head + marshal.dumps(code)
