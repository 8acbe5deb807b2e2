"""A fork of a warm Python is to its command what a process of its own would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import warm

ROOT = Path(__file__).resolve().parent.parent
SAYS = """
import json, os, sys, __main__
from signal import SIG_DFL, SIGCHLD, SIGINT, SIGTERM, default_int_handler, getsignal
print(json.dumps([
    sys.argv, sys.path, os.getcwd(), sys.stdin.read(), sys.stdout.encoding, sys.stdout.errors,
    sys.stdout.line_buffering, sys.stderr.line_buffering, os.getpgid(0) == os.getpid(),
    sorted(os.environ.items()), __name__, [name for name in vars(__main__) if name[:2] != "__"],
    getsignal(SIGINT) is default_int_handler, getsignal(SIGTERM) is SIG_DFL,
    getsignal(SIGCHLD) is SIG_DFL, len(os.listdir("/dev/fd")),
], indent=0))
"""
ENDS = {
    "an end": "print('done', end='')",
    "a code": "import sys; sys.exit(3)",
    "words": "import sys; sys.exit('no')",
    "a fault": "1 / 0",
    "a signal": "import os; os.kill(os.getpid(), 15)",
    "Ctrl-C": "import os, time; os.kill(os.getpid(), 2); time.sleep(60)",
    "at exit": "import atexit; atexit.register(print, 'last')",
    "a thread": "import threading as t; t.Timer(0.05, print, ['thread']).start()",
    "a code of many bits": "import sys; sys.exit(-1)",
    "None": "import sys; sys.exit(None)",
    "nobody listens": "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r); print(1)",
    "a worker": "import multiprocessing as m; p = m.Process(target=print, args=['w']); p.start()",
}


def both(folder: Path, *args: str) -> list[subprocess.Popen[str]]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "ELSE": "é"}
    options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                               "stderr": subprocess.PIPE, "text": True,
                               "start_new_session": True}  # fmt: skip
    own = subprocess.Popen([sys.executable, *args], env=env, **options)
    return [warm.start(["json"], args, env, **options), own]


@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_it_finds_what_a_process_of_its_own_finds(tmp_path: Path, how: str) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    args = {"-c": ["-c", SAYS], "-m": ["-m", "says"], "script": [str(tmp_path / "says.py")]}[how]
    found, expected = (each.communicate("typed", timeout=60) for each in both(tmp_path, *args, "a"))
    assert found == expected


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_as_a_process_of_its_own_ends(tmp_path: Path, how: str) -> None:
    ends = []
    for each in both(tmp_path, "-c", ENDS[how]):
        said, faults = each.communicate(timeout=60)
        ends.append((each.returncode, said, faults.splitlines()[-1:]))
    assert ends[0] == ends[1]


def test_it_is_killed_by_its_number(tmp_path: Path) -> None:
    sleeps, own = both(tmp_path, "-c", "import time; print(1, flush=True); time.sleep(600)")
    own.kill()
    own.communicate(timeout=60)
    assert sleeps.stdout
    assert sleeps.stdout.readline() == "1\n"
    assert sleeps.poll() is None
    os.kill(sleeps.pid, signal.SIGKILL)
    sleeps.communicate(timeout=60)
    assert sleeps.poll() == -signal.SIGKILL


def test_a_command_that_would_import_otherwise_is_a_process_of_its_own(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    door = warm.opened(["colorsys"], env)
    asks = "import sys; print('colorsys' in sys.modules)"
    for other, imported in (
        ({}, True),
        ({"PYTHONHASHSEED": "0"}, False),
        ({"PYTHONPATH": "/"}, False),
    ):
        process = warm.Process(
            door, [sys.executable, "-c", asks], env=env | other, stdout=subprocess.PIPE, text=True
        )
        assert process.communicate(timeout=60)[0] == f"{imported}\n"


def test_one_that_nobody_waited_for_stops_no_other(tmp_path: Path) -> None:
    forgotten, own = both(tmp_path, "-c", "import time; time.sleep(600)")
    assert isinstance(forgotten, warm.Process)
    forgotten._answer.close()
    assert forgotten._internal_poll(_deadstate=sys.maxsize) == sys.maxsize
    for each in (forgotten, own):
        os.kill(each.pid, signal.SIGKILL)
        each.communicate(timeout=60)
