"""The action, from its first step to its first request, with a package index on loopback.

    python bench/action.py [--rounds 5]

Before that it fetches the locked wheels, from the index that pip is configured for. pip, which
installs where the bridge's own way does not, is measured beside it, with its cache cold as on a
runner. So is the action's start over what it cannot do without: Python itself and `import git`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "action" / "requirements.lock"
PINNED = ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={LOCK}"]
_START = "import bridge.entrypoints.github_action, bridge.github.client, bridge.ledger.git_ledger"


class Loopback(BaseHTTPRequestHandler):
    """A package index at /simple/, and a GitHub that knows no token: it notes the first request."""

    protocol_version = "HTTP/1.1"
    wheels: dict[str, bytes]
    digests: dict[str, str]
    asked: threading.Event

    def do_GET(self) -> None:
        _, kind, *rest = self.path.split("/")
        if kind == "simple":
            rows = [
                f'<a href="/wheels/{each}#sha256={digest}">{each}</a>'
                for each, digest in self.digests.items()
                if each.split("-")[0].lower().replace("_", "-") == rest[0]
            ]
            self._say(200, "text/html", "\n".join(rows).encode())
        elif kind == "wheels":
            self._say(200, "application/octet-stream", self.wheels[rest[0]])
        else:
            self.asked.set()
            self._say(401, "application/json", b'{"message": "Bad credentials"}')

    do_POST = do_GET  # noqa: N815 - http.server names it

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as made, served(Path(made)) as (url, asked):
        temp = Path(made) / "temp"
        pairs = [
            (
                first_request(own_way, temp, url, asked),
                first_request(by_pip, temp, url, asked),
            )
            for _ in range(rounds)
        ]
        env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        python = f"{temp}/approval-bridge/venv/bin/python"
        bare, git, start = (
            median([python, "-P", "-c", script], env, rounds)
            for script in ("pass", "import git", _START)
        )
    own, pip = (statistics.median(column) for column in zip(*pairs, strict=True))
    print("| measure | must reach | seconds | ratio |\n|---|---|---|---|")
    print(f"| bare Python, over `import git` | | {bare:.3f} | {bare / git:.1f} |")
    print(f"| the action's imports, over `import git` | ≤ 5 | {start:.3f} | {start / git:.1f} |")
    print(f"| first step to first request, by pip | | {pip:.2f} | 1 |")
    print(f"| first step to first request | ≤ 0.33 | {own:.2f} | {own / pip:.2f} |")
    return int(own / pip > 1 / 3 or start / git > 5)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, threading.Event]]:
    wheels = folder / "wheels"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={wheels}", *PINNED]
    subprocess.run(fetch, check=True)
    asked = threading.Event()
    # An index knows its digests: this one must not take the time of those that it serves.
    held = {each.name: each.read_bytes() for each in wheels.glob("*.whl")}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    handler = type("Served", (Loopback,), {"wheels": held, "digests": digests, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def first_request(
    install: Callable[[Path, Mapping[str, str]], None],
    temp: Path,
    url: str,
    asked: threading.Event,
) -> float:
    """Seconds until the action, which has just been installed, asks GitHub for the first time."""
    subprocess.run(["rm", "-rf", str(temp)], check=True)
    temp.mkdir()
    asked.clear()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP", "PY"))}
    # Both ways with the same Python, and not one of them through a version manager's script.
    python = Path(sys.base_exec_prefix, "bin")
    env = {
        **kept, "PATH": f"{python}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(temp), "GITHUB_ACTION_PATH": str(ROOT / "action"),
        "PIP_INDEX_URL": f"{url}/simple", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1",
        "GITHUB_API_URL": f"{url}/api", "GITHUB_GRAPHQL_URL": f"{url}/graphql",
        "GITHUB_SERVER_URL": url, "GITHUB_REPOSITORY": "acme/models", "HITL_TOKEN": "none",
        "HITL_MODE": "tend", "HITL_NUMBER": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    begin = time.perf_counter()
    install(temp, env)
    command = [
        f"{temp}/approval-bridge/venv/bin/python",
        "-P",
        "-m",
        "bridge.entrypoints.github_action",
    ]
    run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not asked.wait(60):
        run.kill()
        raise SystemExit(f"the action asked nothing: {run.communicate()[0].decode()}")
    took = time.perf_counter() - begin
    run.kill()
    run.communicate()
    return took


def own_way(_: Path, env: Mapping[str, str]) -> None:
    said = subprocess.run(
        ["bash", str(ROOT / "action" / "install.sh")], env=env, check=True, capture_output=True
    ).stdout
    assert not said, said.decode()  # it says so if it left the work to pip


def by_pip(temp: Path, env: Mapping[str, str]) -> None:
    venv = f"{temp}/approval-bridge/venv"
    python = f"{sys.base_exec_prefix}/bin/python3"
    subprocess.run([python, "-I", "-m", "venv", "--without-pip", venv], check=True)
    pip = [python, "-I", "-m", "pip", "--python", f"{venv}/bin/python", "install"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    subprocess.run([*pip, *quiet, *PINNED], env=env, check=True)


def median(command: list[str], env: Mapping[str, str], rounds: int) -> float:
    seconds(command, env)
    return statistics.median(seconds(command, env) for _ in range(rounds))


def seconds(command: list[str], env: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
