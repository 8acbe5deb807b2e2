"""What each Python of a pod imports first: where it is not in a container of its own.

Each container has its own /mnt/out, which Metaflow's code names; processes share the machine's.
Two sidecars of a step, which send logs and look at the machine, would be two Pythons more.
Metaflow reads and writes its datastore in a Python of its own each time. It runs here as a fork of
the Python that starts it, which has imported all that it needs.
"""

import builtins
import os
import runpy
import subprocess
import sys
from typing import Any

if {"save_logs_periodically", "spot_termination_monitor"} & set(sys.orig_argv):
    os.execvp("cat", ["cat"])  # noqa: S606

_open: Any = builtins.open
_check_output: Any = subprocess.check_output


def open_here(file: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(file, str) and file.startswith("/mnt/out/"):
        file = os.environ["POD_OUT"] + file.removeprefix("/mnt/out")
    return _open(file, *args, **kwargs)


def run_script(command: list[str], cwd: str, env: dict[str, str]) -> Any:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = command[1:]
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:  # noqa: BLE001 - as a process of its own would
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def check_output(command: list[str], **kwargs: Any) -> Any:
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


builtins.open = open_here
subprocess.check_output = check_output
