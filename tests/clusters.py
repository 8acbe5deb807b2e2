"""A real API server for the tests: the one that KUBECONFIG names, or our own (tests/apiserver)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import yaml
from kubernetes import client, config, utils

PROGRAM = Path(sys.executable).with_name("apiserver")
TYPES = Path(__file__).with_name("apiserver") / "types.yaml"
PATIENCE = 120


@contextmanager
def kubeconfig(folder: Path) -> Iterator[Path]:
    """The file of an administrator, while the server runs."""
    if given := os.environ.get("KUBECONFIG"):
        yield Path(given)
        return
    assert PROGRAM.exists(), f"there is no {PROGRAM}: make test-cluster builds it"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([PROGRAM, folder], stdout=log, stderr=log)
    try:
        wait(server, folder)
        utils.create_from_yaml(administrator(folder / "kubeconfig"), str(TYPES))
        yield folder / "kubeconfig"
    finally:
        server.terminate()
        server.wait(PATIENCE)


def administrator(file: Path) -> client.ApiClient:
    return config.new_client_from_config(str(file))


def wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Until it answers that it is ready; the file that names it stands before its certificate."""
    end = time.monotonic() + PATIENCE
    while not ready(folder):
        said = (folder / "log").read_text()[-2000:]
        assert server.poll() is None, f"the API server ended:\n{said}"
        assert time.monotonic() < end, f"no API server after {PATIENCE} s:\n{said}"
        time.sleep(0.2)


def ready(folder: Path) -> bool:
    trusted = folder / "served" / "apiserver.crt"
    if not trusted.exists():
        return False
    named = yaml.safe_load((folder / "kubeconfig").read_text())
    [server], [user] = named["clusters"], named["users"]
    who = {"Authorization": f"Bearer {user['user']['token']}"}
    try:
        url = server["cluster"]["server"] + "/readyz"
        return requests.get(url, headers=who, verify=str(trusted), timeout=5).ok
    except requests.RequestException:
        return False
