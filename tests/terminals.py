"""A terminal with a run in it: real processes, a real pseudo-terminal, real process groups.

Run as a program, this is what happens inside the terminal: the session's leader, and the gates that
wait there. The test is outside, reads the screen and types.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import runpy
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Screen:
    """A terminal seen from outside. `mode` is a function below, run as the session's leader.

    `start` is what starts it, in place of `python`.
    """

    def __init__(
        self,
        mode: str,
        *questions: dict[str, Any],
        start: Callable[..., subprocess.Popen[str]] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        self.text = ""
        self.leader = (start or _start)(
            [__file__, mode, json.dumps(questions)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.leader.pid, signal.SIGKILL)
        self.leader.wait()
        os.close(self._master)

    def expect(self, words: str) -> str:
        """Read until these words appear; what stood before them is forgotten."""
        end = time.monotonic() + 30
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} never came: {self.text!r}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._master, 4096).decode(errors="replace")
                except OSError:  # the last process of the session has ended
                    raise AssertionError(f"{words!r} never came: {self.text!r}") from None
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, words: str) -> None:
        os.write(self._master, words.encode())


def _start(args: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    return subprocess.Popen([sys.executable, *args], env=env, text=True, **options)


# -- inside --------------------------------------------------------------------------------------


def alone(questions: list[dict[str, Any]]) -> None:
    """One gate waits in the foreground, with a pipe for stdin as a Metaflow step has."""
    raise SystemExit(_gate(questions[0]).wait())


def then_the_shell(questions: list[dict[str, Any]]) -> None:
    """One gate, and after it whoever reads the terminal next."""
    _gate(questions[0]).wait()
    print(f"THE SHELL {sys.stdin.readline()!r}", flush=True)


def program(questions: list[dict[str, Any]]) -> None:
    """Any program, as the session's leader: `argv`, `cwd` and `env`."""
    what = questions[0]
    os.chdir(what["cwd"])
    os.execvpe(what["argv"][0], what["argv"], what["env"])  # noqa: S606 - it is to lead


def script(questions: list[dict[str, Any]]) -> None:
    """A script of Python, as the session's leader: `argv`, in the folder `cwd`."""
    what = questions[0]
    os.chdir(what["cwd"])
    sys.argv = what["argv"]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


def together(questions: list[dict[str, Any]]) -> None:
    """All of them at once, in the foreground."""
    for gate in [_gate(each) for each in questions]:
        gate.wait()


def background(questions: list[dict[str, Any]]) -> None:
    """In a process group of its own, as `run &` puts it."""
    _gate(questions[0], process_group=0).wait()


def sent_away(questions: list[dict[str, Any]]) -> None:
    """In the foreground until SIGUSR1, then in the background, as Ctrl-Z and `bg` put it."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: os.tcsetpgrp(1, os.getpgrp()))
    _gate(questions[0], foreground=True, process_group=0).wait()


def _gate(
    question: dict[str, Any], *, foreground: bool = False, **how: Any
) -> subprocess.Popen[bytes]:
    """A gate, which begins once its group has the foreground if it is to have it."""
    begin, held = os.pipe()
    gate = subprocess.Popen(
        [sys.executable, __file__, "wait", json.dumps({**question, "begin": begin})],
        stdin=subprocess.PIPE,
        pass_fds=[begin],
        **how,
    )
    os.close(begin)
    if foreground:
        os.tcsetpgrp(1, gate.pid)
    os.close(held)
    return gate


def wait(question: dict[str, Any]) -> None:
    """The gate itself: says what came of it."""
    begin = question.pop("begin")
    os.read(begin, 1)  # until our parent closes its end
    os.close(begin)
    from gates import a_request

    from bridge import wiring
    from bridge.core.errors import GateShut
    from bridge.core.settings import from_environment
    from bridge.gates.wait import pass_gate

    by = question.pop("by", ())
    request = a_request(question.pop("key"), *by, **question)
    try:
        settings = from_environment(os.environ)
        decision = pass_gate(wiring.venue(settings), wiring.run(settings), request.draft)
    except GateShut as shut:
        print(f"SHUT {shut}", flush=True)
        raise SystemExit(shut.exit_code) from None
    channel = decision.votes[0].channel
    print(f"PASSED {request.gate.key} {json.dumps(dict(decision.inputs))} {channel}", flush=True)


if __name__ == "__main__":
    mode, given = sys.argv[1], json.loads(sys.argv[2])
    if mode != "wait":
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    globals()[mode](given)
