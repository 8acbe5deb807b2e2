"""The action's own way to install: what a lock does not name is never there, whoever serves it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
from packaging import tags as packaging_tags

from tests.actions import ROOT


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "install_wheels", ROOT / "action" / "install_wheels.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["install_wheels"] = module  # NamedTuple looks there
    spec.loader.exec_module(module)
    return module


wheels: Any = loaded()
NAME = "gate-1.0-py3-none-any.whl"


def wheel(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            path = name.replace("__", "/").replace("DOT", ".")
            archive.writestr(zipfile.ZipInfo(path), text)  # of no time: each process makes the same
    return made.getvalue()


GOOD = wheel(gate__initDOTpy="", gateDOTpy="OPEN = False")
EVIL = wheel(gateDOTpy="OPEN = True")
DIGEST = hashlib.sha256(GOOD).hexdigest()


class Served:
    """An index on loopback: path to status, kind or place, and body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, str, bytes]] = {}

    def page(self, name: str = NAME, digest: str | None = DIGEST, url: str = "/files/gate") -> None:
        rows = [{"filename": name, "url": url, "hashes": {"sha256": digest} if digest else {}}]
        body = json.dumps({"files": rows}).encode()
        self.answers["/simple/gate/"] = (200, "application/vnd.pypi.simple.v1+json", body)

    def file(self, content: bytes) -> None:
        self.answers["/files/gate"] = (200, "application/octet-stream", content)


@pytest.fixture(scope="module")
def loopback() -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = served.answers.get(self.path, (404, "text/plain", b""))
            self.send_response(status)
            self.send_header("Location" if status == 302 else "Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that each is waited for

    with Server(("127.0.0.1", 0), Handler) as server:
        served = Served(f"http://127.0.0.1:{server.server_port}")
        running = threading.Thread(target=server.serve_forever)
        running.start()
        yield served
        server.shutdown()
        running.join()


@pytest.fixture
def index(loopback: Served) -> Served:
    loopback.answers.clear()
    loopback.page()
    loopback.file(GOOD)
    return loopback


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "gate.lock"
    path.write_text(f"gate==1.0 \\\n    --hash=sha256:{DIGEST}\n")
    return path


def install(folder: Path, lock: Path, index: Served, **env: str) -> None:
    said = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{index.url}/simple"}
    wheels.main(folder / "venv", [lock], said | env)


def packages(folder: Path) -> set[str]:
    (found,) = (folder / "venv" / "lib").glob("python3.*/site-packages")
    return {str(each.relative_to(found)) for each in found.rglob("*")}


def test_a_locked_wheel_is_what_the_environment_imports(
    tmp_path: Path, lock: Path, index: Served
) -> None:
    install(tmp_path, lock, index)
    python = tmp_path / "venv" / "bin" / "python"
    script = "import gate, sys; print(gate.OPEN, [each for each in sys.path if 'packages' in each])"
    done = subprocess.run([python, "-P", "-c", script], capture_output=True, text=True, check=True)
    (own,) = (tmp_path / "venv" / "lib").glob("python3.*/site-packages")
    assert done.stdout == f"False {[str(own)]}\n"


def test_an_index_of_html_serves_as_well(tmp_path: Path, lock: Path, index: Served) -> None:
    page = f'<a href="/files/{NAME}">other</a><a href="../../files/{NAME}#sha256={DIGEST}">gate</a>'
    index.answers["/simple/gate/"] = (200, "text/html", page.encode())
    index.answers[f"/files/{NAME}"] = (200, "application/octet-stream", GOOD)
    install(tmp_path, lock, index)
    assert "gate.py" in packages(tmp_path)


@pytest.mark.parametrize("digest", [DIGEST, None], ids=["with its digest", "without"])
def test_another_file_than_the_locked_one_is_refused_whatever_the_index_says_of_it(
    tmp_path: Path, lock: Path, index: Served, digest: str | None
) -> None:
    index.page(digest=digest)
    index.file(EVIL)
    with pytest.raises(wheels.Refused, match="its hash differs"):
        install(tmp_path, lock, index)
    assert not packages(tmp_path)


def test_a_file_of_another_version_or_package_is_not_looked_at(
    tmp_path: Path, lock: Path, index: Served
) -> None:
    for name in ("gate-1.1-py3-none-any.whl", "bridge-1.0-py3-none-any.whl", "gate-1.0.tar.gz"):
        index.page(name=name)
        with pytest.raises(wheels.LeaveToPip, match="no wheel of gate"):
            install(tmp_path / name, lock, index)


def test_a_redirect_to_another_host_is_not_followed(
    tmp_path: Path, lock: Path, index: Served
) -> None:
    elsewhere = "http://127.0.0.1:1/simple/gate/"
    index.answers["/simple/gate/"] = (302, elsewhere, b"")
    with pytest.raises(wheels.LeaveToPip, match="another host"):
        install(tmp_path, lock, index)


def test_a_redirect_on_the_same_host_is_followed_but_not_in_a_circle(
    tmp_path: Path, lock: Path, index: Served
) -> None:
    index.answers["/simple/own/"] = index.answers["/simple/gate/"]
    index.answers["/simple/gate/"] = (302, "/simple/own/", b"")
    install(tmp_path / "one", lock, index)
    index.answers["/simple/own/"] = (302, "/simple/gate/", b"")
    with pytest.raises(wheels.LeaveToPip, match="one address to the next"):
        install(tmp_path / "two", lock, index)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "https://files.example/gate", "ftp://a/b"])
def test_a_file_at_an_address_of_another_kind_is_not_fetched(
    tmp_path: Path, lock: Path, index: Served, url: str
) -> None:
    index.page(url=url)
    with pytest.raises(wheels.LeaveToPip, match="another kind"):
        install(tmp_path, lock, index)


@pytest.mark.parametrize(
    "name", ["../gate.py", "/tmp/gate.py", "gate/../../x.py", "..\\gate.py", "C:/gate.py", "x.pth",
             "gate.data/purelib/../../../x.py", "gate.data/purelib/x.pth"],
)  # fmt: skip
def test_a_wheel_whose_names_leave_the_folder_or_run_at_each_start_is_refused(name: str) -> None:
    with pytest.raises(wheels.Refused):
        wheels.place_of(zipfile.ZipInfo(name))


def test_a_link_in_a_wheel_is_refused() -> None:
    row = zipfile.ZipInfo("gate.py")
    row.external_attr = 0o120777 << 16
    with pytest.raises(wheels.Refused, match="a link"):
        wheels.place_of(row)


def test_only_what_is_imported_is_written() -> None:
    names = ("a.data/purelib/b.py", "a.data/scripts/run", "a.data/x", "a.dist-info/METADATA",
             "a.dist-info/RECORD", "a.pyi", "b/c.so")  # fmt: skip
    written = [wheels.place_of(zipfile.ZipInfo(each)) for each in names]
    assert [str(each) for each in written if each] == ["b.py", "a.dist-info/METADATA", "b/c.so"]


def test_what_is_compiled_is_what_python_takes(tmp_path: Path) -> None:
    sources = {PurePosixPath("gate.py"): b"OPEN = False", PurePosixPath("no.py"): b"a b"}
    ((place, content),) = wheels.compiled(sources, tmp_path).items()
    (tmp_path / place).parent.mkdir()
    (tmp_path / place).write_bytes(content)

    source = tmp_path / "gate.py"
    source.write_text("raise AssertionError('it was compiled again')")
    spec = importlib.util.spec_from_file_location("gate", source)
    assert spec is not None
    assert spec.loader is not None
    gate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gate)
    assert gate.OPEN is False
    assert gate.__cached__ == str(tmp_path / place)


def test_nothing_is_compiled_but_what_the_action_imports_at_its_start() -> None:
    script = (
        "import sys, bridge.entrypoints.github_action, bridge.github.client; print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    imported = {each.partition(".")[0] for each in run.stdout.decode().split()}
    theirs = {
        wheels.plain(package)
        for name, packages in metadata.packages_distributions().items()
        for package in packages
        if name in imported
    }
    assert theirs >= wheels.COMPILED


# -- what is left to pip ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env",
    [
        {"PIP_EXTRA_INDEX_URL": "https://a.example"},
        {"PIP_FIND_LINKS": "wheels"},
        {"PIP_INDEX_URL": "https://ann:secret@a.example/simple"},
        {"PIP_INDEX_URL": "http://a.example/simple"},
        {"HTTPS_PROXY": "http://proxy.example"},
    ],
)
def test_a_setting_that_is_not_known_is_left_to_pip_and_no_secret_is_said(
    tmp_path: Path, lock: Path, index: Served, env: Mapping[str, str]
) -> None:
    with pytest.raises(wheels.LeaveToPip) as left:
        install(tmp_path, lock, index, **env)
    assert "secret" not in str(left.value)


def test_pips_own_files_are_read_and_variables_go_before_them(tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    own = tmp_path / ".config" / "pip" / "pip.conf"
    own.write_text("[global]\nindex_url = https://a.example\n[install]\nno-binary = :all:\n")
    env = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://b.example", "PIP_NO_INPUT": ""}
    said = wheels.settings(env, prefix=str(tmp_path))
    assert said["index-url"] == "https://b.example"
    assert said["no-binary"] == ":all:"
    assert "no-input" not in said


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/vnd.pypi.simple.v1+json", b"[]", "TypeError"),
        ("application/vnd.pypi.simple.v1+json", b"[" * 200_000, "RecursionError"),
        ("text/html", b"<![login[ the page of a hotel", "AssertionError"),
    ],
    ids=["other JSON", "deep JSON", "odd HTML"],
)
def test_an_index_that_answers_nonsense_ends_in_one_sentence(
    tmp_path: Path, lock: Path, index: Served, kind: str, body: bytes, said: str
) -> None:
    index.answers["/simple/gate/"] = (200, kind, body)
    env = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{index.url}/simple"}
    script = str(ROOT / "action" / "install_wheels.py")
    command = [sys.executable, "-I", script, str(tmp_path / "venv"), str(lock)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{said}\n", "")


def test_a_folder_that_cannot_be_written_is_said() -> None:
    env = {"PATH": os.environ["PATH"], "RUNNER_TEMP": os.devnull, "GITHUB_ACTION_PATH": "/nowhere"}
    script = str(ROOT / "action" / "install.sh")
    done = subprocess.run(["bash", script], env=env, capture_output=True, text=True, check=False)
    said = f"::error title=Approval bridge::{os.devnull} cannot be written: "
    assert (done.returncode, done.stdout.startswith(said)) == (1, True)


def test_a_second_step_that_reaches_a_cluster_gets_its_client(tmp_path: Path) -> None:
    home = tmp_path / "approval-bridge"
    home.mkdir()
    (home / "ready").touch()
    script = str(ROOT / "action" / "install.sh")
    env = {"PATH": str(tmp_path), "RUNNER_TEMP": str(tmp_path)}  # without git it stops at once

    def said(**more: str) -> str:
        command, given = ["/bin/bash", script], {**env, **more}
        return subprocess.run(
            command, env=given, capture_output=True, text=True, check=False
        ).stdout

    assert said() == ""
    assert "there is no git" in said(KUBECONFIG="/kubeconfig")
    (home / "ready-for-a-cluster").touch()
    assert said(KUBECONFIG="/kubeconfig") == said() == ""


# -- the locks and the tags ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requirements", "kubernetes"])
def test_each_line_of_the_actions_locks_is_known(name: str) -> None:
    text = (ROOT / "action" / f"{name}.lock").read_text()
    packages = list(wheels.locked(text))
    assert len(packages) == text.count("==") - text.count("=='")
    assert sum(len(each.hashes) for each in packages) == text.count("--hash=sha256:")


@pytest.mark.parametrize(
    "line", ["gate", "gate==1.0", "gate==1.0 ; sys_platform == 'linux' --hash=sha256:00",
             "gate @ https://a.example/gate.whl --hash=sha256:00", "-r other.lock"],
)  # fmt: skip
def test_a_line_of_a_lock_that_is_not_known_is_left_to_pip(line: str) -> None:
    with pytest.raises(wheels.LeaveToPip, match="line of the lock"):
        list(wheels.locked(line))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_the_tags_are_those_of_the_interpreter(
    minor: int, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from packaging import _manylinux

    monkeypatch.setattr(_manylinux, "_get_glibc_version", lambda: (2, 39))
    monkeypatch.setattr(_manylinux, "_is_compatible", lambda *_: True)
    monkeypatch.setattr(_manylinux, "_have_compatible_abi", lambda *_: True)
    systems = [*_manylinux.platform_tags([machine]), f"linux_{machine}"]
    wanted = [
        *packaging_tags.cpython_tags((3, minor), [f"cp3{minor}"], systems),
        *packaging_tags.compatible_tags((3, minor), f"cp3{minor}", systems),
    ]
    assert wheels.tags(minor, machine, 39) == [str(each) for each in wanted]
