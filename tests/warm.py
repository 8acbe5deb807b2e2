"""Pythons that have imported already: a command is a fork of one, where it would be a start.

Half of the processor time of a test with Metaflow was each process importing the same. A fork runs
the same command line, with the environment, the folder, the streams and the signals of a process
of its own. It ends as one: with its threads, its exit functions and its code.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What Python and the imported modules read of the environment when they are imported.
_READ_AT_IMPORT = ("METAFLOW_", "PYTHON", "PATH", "LANG", "LC_", "GIT_PYTHON_", "KUBE", "USER")
#: What is read when it is used, or set anew in each fork.
_READ_LATER = (
    "METAFLOW_HITL_", "METAFLOW_HOME", "METAFLOW_DATASTORE_SYSROOT_LOCAL", "METAFLOW_RUN_ID",
    "METAFLOW_STEP_NAME", "METAFLOW_TASK_ID", "METAFLOW_RETRY_COUNT", "METAFLOW_CODE_URL",
    "METAFLOW_CODE_SHA", "METAFLOW_VERSION", "METAFLOW_FLOW_", "METAFLOW_EXTRACTED_ROOT",
    "METAFLOW_INIT_", "PYTHONUNBUFFERED", "USERNAME",
)  # fmt: skip
_PLACE = "/of/the/fork"
_START = f"__import__('runpy').run_path({__file__!r})['serve']()"


def imports_alike(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment in which two processes have to agree to import the same."""
    return {
        name: value
        for name, value in env.items()
        if name.startswith(_READ_AT_IMPORT) and not name.startswith(_READ_LATER)
    }


class Process(subprocess.Popen[str]):
    """A command that a warm Python runs in a fork, as `Popen` would in a process."""

    def __init__(
        self,
        door: socket.socket,
        args: Sequence[str],
        starts_warm: bool = False,
        **options: Any,
    ) -> None:
        self._door = door
        self._starts_warm = starts_warm
        super().__init__(args, **options)

    def _execute_child(  # type: ignore[no-untyped-def]
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
        creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite,
        restore_signals, gid, gids, uid, umask, start_new_session, *more,
    ):  # fmt: skip
        job = {
            "args": list(args),
            "cwd": os.fspath(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
            "starts_warm": self._starts_warm,
        }
        given = [own if ours == -1 else ours
                 for own, ours in enumerate((p2cread, c2pwrite, errwrite))]  # fmt: skip
        self._answer, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._door, [marshal.dumps(job)], [*given, theirs.fileno()])
        self.pid = int(self._said())
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _said(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            got = self._answer.recv(1)
            if not got:
                raise ChildProcessError("the warm Python is gone")
            said += got
        return said.decode()

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if flags & os.WNOHANG and not select.select([self._answer], [], [], 0)[0]:
            return 0, 0
        status = int(self._said())
        self._answer.close()
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None, **_: object) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            with contextlib.ExitStack() as held:
                held.callback(self._waitpid_lock.release)  # type: ignore[attr-defined]
                if self._answer.fileno() < 0:  # nobody waited, and both were garbage
                    self.returncode = _deadstate  # type: ignore[assignment]
                    return self.returncode
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


_OPEN: dict[str, socket.socket] = {}


def start(
    modules: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
    read: str = "",
    **options: Any,
) -> subprocess.Popen[str]:
    """`[sys.executable, *args]`, by a Python that imported `modules` under such an environment.

    `read` is what else they depend on: Metaflow's `config.json`. With `starts_warm`, what it starts
    with `sys.executable` are such forks too.
    """
    key = json.dumps([modules, sorted(imports_alike(env).items()), read])
    if key not in _OPEN:
        _OPEN[key] = opened(modules, {**env, "METAFLOW_DATASTORE_SYSROOT_LOCAL": _PLACE})
    return Process(_OPEN[key], [sys.executable, *args], env=env, **options)


def opened(modules: Sequence[str], env: Mapping[str, str]) -> socket.socket:
    """The door of a Python that has imported `modules` under this environment."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs.fileno()), *modules],
            env=env,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# -- in the warm Python ----------------------------------------------------------------------------


class _Job:
    """What a fork is to become. `argo/pod/ask.py` asks for one in the same words."""

    def __init__(self, told: bytes, fds: Sequence[int]) -> None:
        said = marshal.loads(told)  # noqa: S302 - a process of ours says it
        self.options = [each for each in said["args"][1:2] if each == "-u"]
        self.args: list[str] = said["args"][1 + len(self.options) :]
        self.cwd: str = said["cwd"]
        self.env: dict[str, str] = said["env"]
        self.session: bool = said["session"]
        self.starts_warm: bool = said["starts_warm"]
        self.streams = fds[:3]


def _serve(door: socket.socket) -> _Job:
    """Fork for each command, and tell how it ended; returns in the fork."""
    running: dict[int, socket.socket] = {}
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready = select.select([door, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _reap(running)
        if door not in ready:
            continue
        told, fds, _, _ = socket.recv_fds(door, 1 << 20, 4)
        if not told:
            os._exit(0)  # who asked is gone, and its children have to see it
        if not (pid := os.fork()):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (door, *running.values()):
                each.close()
            for fd in (woken, wake, fds[3]):
                os.close(fd)
            return _Job(told, fds)
        for fd in fds[:3]:
            os.close(fd)
        running[pid] = socket.socket(fileno=fds[3])
        running[pid].send(f"{pid}\n".encode())


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as answer, contextlib.suppress(BrokenPipeError):
            answer.send(f"{status}\n".encode())


def _become(job: _Job) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if job.session:
        os.setsid()
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.env)
    for fd, stream in enumerate(job.streams):
        os.dup2(stream, fd)
        os.close(stream)
    if job.starts_warm and job.session and os.isatty(0):
        # A process has its session's terminal from its parent: later, the forks would have none.
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    unbuffered = "-u" in job.options or bool(job.env.get("PYTHONUNBUFFERED"))
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, f"__{name}__")
        buffering = 0 if fd and unbuffered else -1
        raw: Any = open(fd, "wb" if fd else "rb", buffering, closefd=False)  # noqa: SIM115
        lines = fd == 2 or os.isatty(fd)
        new = io.TextIOWrapper(
            raw, old.encoding, old.errors, line_buffering=lines, write_through=unbuffered and fd > 0
        )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


class _Places:
    """Where Metaflow keeps what it read of `METAFLOW_DATASTORE_SYSROOT_LOCAL`."""

    def __init__(self) -> None:
        modules = [each for name, each in sys.modules.items() if name.startswith("metaflow.")]
        classes = [
            each
            for module in modules
            for each in vars(module).values()
            if isinstance(each, type) and each.__module__ == module.__name__
        ]
        self._found = [
            (holder, name, value.removeprefix(_PLACE))
            for holder in (*modules, *classes)
            for name, value in list(vars(holder).items())
            if isinstance(value, str) and value.startswith(_PLACE)
        ]

    def move(self, place: str | None) -> None:
        for holder, name, rest in self._found:
            setattr(holder, name, None if place is None else place + rest)


class _Imported:
    """What the imports depended on."""

    def __init__(self) -> None:
        self._path = _folders(os.environ)
        self._env = self._read(os.environ)

    @staticmethod
    def _read(env: Mapping[str, str]) -> dict[str, str]:
        apart = (
            "PYTHONPATH",
            "LC_CTYPE",
        )  # Python sets the second itself if no locale is (PEP 538)
        return {key: each for key, each in imports_alike(env).items() if key not in apart}

    def serve(self, env: Mapping[str, str]) -> bool:
        """Whether a process with this environment imports the same; its path is as it says then."""
        path = _folders(env)
        alike = len(path) == len(self._path) and self._read(env) == self._env
        if not alike or not all(map(os.path.samefile, path, self._path)):
            return False
        sys.path[: len(path)] = path
        return True


def _folders(env: Mapping[str, str]) -> list[str]:
    return [each for each in env.get("PYTHONPATH", "").split(os.pathsep) if each]


def _run(job: _Job, places: _Places, imported: _Imported) -> None:
    """Become the process that was asked for; the caller returns, and Python ends as it does."""
    _become(job)
    if not imported.serve(job.env):
        os.execve(sys.executable, [sys.executable, *job.options, *job.args], job.env)  # noqa: S606
    places.move(job.env.get("METAFLOW_DATASTORE_SYSROOT_LOCAL"))
    # A task draws each of its cards in a process, which it starts by `subprocess.check_output`.
    draws = "step" in job.args and any("card" in each for each in job.args)
    if job.starts_warm or draws:
        _start_warm(subprocess, places, imported)
    elif {"run", "resume"} & set(job.args) and (runtime := sys.modules.get("metaflow.runtime")):
        runtime.subprocess = types.SimpleNamespace(**vars(subprocess))
        _start_warm(runtime.subprocess, places, imported)
    if job.args[0] == "-m":
        sys.argv = job.args[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(job.args[1], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"]  # it has what Metaflow's modules put there, and no more
    if job.args[0] == "-c":
        sys.argv = ["-c", *job.args[2:]]
        sys.path.insert(0, "")
        code = compile(job.args[1], "<string>", "exec", dont_inherit=True)
    else:
        sys.argv = job.args
        sys.path.insert(0, os.path.dirname(os.path.realpath(job.args[0])))
        main.__file__ = job.args[0]
        source = Path(job.args[0]).read_bytes()
        code = compile(source, job.args[0], "exec", dont_inherit=True)
    exec(code, vars(main))  # noqa: S102 - it is what Python does with a script


def _start_warm(subprocess: Any, places: _Places, imported: _Imported) -> None:
    """What a module starts by `subprocess`: forks of a child of this process that ran nothing yet.

    Their parent is that child, which ends as soon as this process does: as if it were its own.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not (spare := os.fork()):
        ours.close()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _run(_serve(theirs), places, imported)
        sys.exit()
    theirs.close()
    parent = os.getpid()

    def end() -> None:
        if os.getpid() == parent:
            ours.close()
            os.waitpid(spare, 0)

    atexit.register(end)

    real = subprocess.Popen

    def popen(args: Sequence[str], **options: Any) -> Any:
        warm = args[0] == sys.executable
        return Process(ours, args, **options) if warm else real(args, **options)

    subprocess.Popen = popen


def serve() -> None:
    """What a warm Python does."""
    door = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    del sys.path[0]
    for name in sys.argv[2:]:
        importlib.import_module(name)
    _make_once()
    places, imported = _Places(), _Imported()
    gc.collect()
    gc.freeze()
    code = 0
    try:
        _run(_serve(door), places, imported)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise  # Python prints it
        code = ended.code or 0
    except Exception:  # noqa: BLE001 - as at the top of a process of its own
        sys.excepthook(*sys.exc_info())
        code = 1
    _end(code)


class _Asked(threading.Thread):
    """Runs once somebody waits for it, if anybody does."""

    def start(self) -> None:
        pass

    def join(self, timeout: float | None = None) -> None:
        if self.ident is None:
            super().start()
        super().join(timeout)


def _make_once() -> None:
    """What a process makes of what is installed, and keeps: the same in each fork.

    Each run packs its code, in a thread, and only one with tasks elsewhere asks for it.
    """
    if package := sys.modules.get("metaflow.package"):
        package.threading = types.SimpleNamespace(**vars(threading) | {"Thread": _Asked})
    packaging = sys.modules.get("metaflow.packaging_sys.distribution_support")
    if packaging and not os.environ.get("METAFLOW_EXTRACTED_ROOT"):  # a pod packages nothing
        packaging.modules_to_distributions()
    if pages := sys.modules.get("bridge.render.request"):
        environment = sys.modules["bridge.render.shipped_templates"]._environment(pages._shown)
        for name in ("request.md.j2", "summary.md.j2"):
            environment.get_template(name)


def _end(code: int) -> None:
    """As Python ends, without taking the imported modules apart: that is nine tenths of a fork."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # Python tries again, and says what the fault is
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)
    sys.exit(code)
