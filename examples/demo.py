"""The main job, end to end: a real flow on stock Metaflow trains, asks, and goes on.

At a terminal you are the approver. Without one, this script plays the colleague at another shell:
it prints the command that decides, waits a moment, runs it, and says that it did so.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from metaflow.util import get_username

from bridge import wiring
from bridge.core.settings import from_environment
from bridge.local import prompt

CHECKOUT = Path(__file__).resolve().parent.parent
FLOW = Path("examples") / "train_and_deploy.py"
ANSWER = ["-i", "deploy_target=staging", "-i", "notes=from make demo"]

#: `hitl` leaves with this in a folder that has no ledger.
NO_LEDGER = 6


def main() -> int:
    os.chdir(CHECKOUT)
    environment = of_the_demo(os.environ)
    hitl = Hitl(environment)
    earlier = hitl.ids("list") | hitl.ids("log")
    say("A flow that trains a small model, and asks a person before it deploys. It declares:")
    print(textwrap.indent(declaration(), "    "))
    asked_here = prompt.available(from_environment(environment).cache, wiring.clock) is not None
    say(
        f"You are asked here, in a moment. Any other shell may answer as well: {hitl.said} list"
        if asked_here
        else "Nobody can be asked here (no terminal, or in the background): the step will wait."
    )
    # A Ctrl-C reaches the run as well, which withdraws its gate: we stay to tell what came of it.
    signal.signal(signal.SIGINT, lambda *_: None)
    local = ["--datastore", "local", "--metadata", "local", "--no-pylint"]
    run = subprocess.Popen([sys.executable, str(FLOW), *local, "run"], env=environment)
    if not asked_here:
        answer_from_another_shell(hitl, run, earlier)
    return told(hitl, run.wait(), earlier)


def of_the_demo(given: os._Environ[str]) -> dict[str, str]:
    """The environment without what a person has set up for real work: a team's ledger, its chat."""
    ours = {
        name: value
        for name, value in given.items()
        if not name.startswith(("HITL_", "METAFLOW_HITL_")) or name == "HITL_CACHE"
    }
    # Metaflow wants to know who runs it, takes no root, and looks into these variables alone.
    return ours if get_username() else {**ours, "USERNAME": login()}


def login() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in the password file
        name = ""
    return name if name not in ("", "root") else "somebody"


def declaration() -> str:
    """The gate's decorator and the head of its step, as the flow's file has them."""
    lines = FLOW.read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith("@hitl"))
    end = next(n for n in range(start, len(lines)) if lines[n].strip().startswith("def "))
    return textwrap.dedent("\n".join(lines[start : end + 1]))


class Hitl:
    """The command line, as another shell has it."""

    def __init__(self, environment: dict[str, str]) -> None:
        installed = Path(sys.executable).with_name("hitl")
        python = [sys.executable, "-m", "bridge.cli.main"]
        self._command = [os.path.relpath(installed)] if installed.exists() else python
        self._environment = environment
        self.said = shlex.join(self._command)

    def __call__(self, *arguments: str) -> None:
        subprocess.run([*self._command, *arguments], env=self._environment, check=False)

    def found(self, verb: str) -> list[dict[str, Any]]:
        command = [*self._command, verb, "--json"]
        listed = subprocess.run(command, env=self._environment, check=False, capture_output=True)
        if listed.returncode == NO_LEDGER:  # the flow's first gate makes one
            return []
        if listed.returncode:
            sys.stderr.buffer.write(listed.stderr)
            raise SystemExit(listed.returncode)
        found: list[dict[str, Any]] = json.loads(listed.stdout)
        return found

    def ids(self, verb: str) -> set[str]:
        return {gate["id"] for gate in self.found(verb)}


def answer_from_another_shell(hitl: Hitl, run: subprocess.Popen[bytes], earlier: set[str]) -> None:
    while run.poll() is None:
        asked = hitl.ids("list") - earlier
        if asked:
            break
        time.sleep(0.5)
    else:
        return
    show, command = ["show", *asked], ["approve", *asked, *ANSWER]
    say("The step waits. Any shell may look at what is asked:", f"{hitl.said} {shlex.join(show)}")
    hitl(*show)
    say("and decide:", f"{hitl.said} {shlex.join(command)}")
    time.sleep(2)
    say("This script now runs that command itself, as a second process:")
    hitl(*command)


def told(hitl: Hitl, code: int, earlier: set[str]) -> int:
    """How it ended, and how that is read back. An answered gate has done its work, whatever the
    answer was."""
    decided = [gate for gate in hitl.found("log") if gate["id"] not in earlier]
    if not decided:
        say(f"The run ended (exit code {code}) before anybody was asked: see above for why.")
        return code or 1
    went = "went on" if code == 0 else "stopped before the step"
    ledger = ["-C", os.path.relpath(wiring.laptop_ledger(Path.cwd())), "log"]
    say(
        f"The gate was {decided[0]['outcome']}, and the run {went}. Read the decision back with:",
        f"{hitl.said} show {decided[0]['id']}",
        f"git {shlex.join(ledger)} approvals",
    )
    say("which has it as a commit:")
    subprocess.run(["git", "--no-pager", *ledger, "-1", "approvals"], check=False)
    return code if decided[0]["outcome"] == "approved" else 0


def say(text: str, *commands: str) -> None:
    print(f"\n── {text}", *(f"   {each}" for each in commands), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
