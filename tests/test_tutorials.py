"""The tutorial of the laptop, followed to the letter: its flow, its commands, what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "first-gate-here.md").read_text("utf-8")
#: What differs from run to run: folder, ids, numbers, spaces of a table, and how long ago it was.
CHANGES = re.compile(
    r"/\S+(?=/\.hitl/)|\b[0-9a-f]{16}\b|\b[0-9a-f]{40}\b"
    r"|\d+ s ago|\bnow\b|in \d+ (?:h|min)\b|\d+|\s+"
)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that it prints there."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def alike(text: str) -> str:
    return " ".join(CHANGES.sub(" ", text).split())


def test_the_tutorial_of_the_laptop_runs_as_it_is_written(tmp_path: Path) -> None:
    (flow,) = blocks("python")
    (tmp_path / "flow.py").write_text(flow)
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
    folder = Path(sys.executable).parent
    env = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ} | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "USERNAME": "ann",
    }
    (start, says), *others = commands()
    with (tmp_path / "run.txt").open("w") as output:
        run = subprocess.Popen(
            shlex.split(start),
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        told = until(tmp_path / "run.txt", "waits for anyone", run)
        assert alike(says[0]) in alike(told)
        gate = re.search(r"approve ([0-9a-f]{16})", told)
        assert gate
        for command, lines in others:
            done = subprocess.run(
                shlex.split(command.replace("39be", gate[1][:4])),
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            printed = alike(done.stdout + done.stderr)
            for line in lines:
                assert alike(line) in printed, (command, line, done.stdout + done.stderr)
        assert run.wait(timeout=60) == 0
    finally:
        run.kill()
        run.wait()
    told = (tmp_path / "run.txt").read_text()
    assert "deploying to production" in told
    assert "decided by" in told


def until(path: Path, text: str, run: subprocess.Popen[bytes]) -> str:
    while text not in (told := path.read_text()):
        assert run.poll() is None, told
        time.sleep(0.05)
    return told
