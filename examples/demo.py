"""The main job, end to end: a real flow on stock Metaflow trains, asks, and goes on.

At a terminal you are the approver. Without one, this script plays the colleague at another shell:
it prints the command that decides, waits a moment, runs it, and says that it did so.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOW = HERE / "train_and_deploy.py"
HITL = [sys.executable, "-m", "bridge.cli"]


def main() -> int:
    os.chdir(HERE.parent)
    say("A flow that trains a small model and asks before it deploys. Its gate, as declared:")
    print(declaration())
    run = subprocess.Popen([sys.executable, str(FLOW), "run"])
    if not at_a_terminal():
        answer_from_another_shell(run)
    code = run.wait()
    say(f"The run ended with exit code {code}. The decision is a commit; read it back with:")
    gate = latest_decision()
    print(f"  hitl show {gate}" if gate else "  hitl list")
    print("  git -C .hitl/ledger.git log approvals\n")
    subprocess.run(["git", "-C", ".hitl/ledger.git", "log", "-1", "approvals"], check=False)
    return code


def declaration() -> str:
    lines = FLOW.read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith("@hitl"))
    end = next(n for n in range(start, len(lines)) if lines[n].strip().startswith("def "))
    return "\n".join(lines[start : end + 1]) + "\n"


def answer_from_another_shell(run: subprocess.Popen[bytes]) -> None:
    before = {gate["id"] for gate in open_gates()}
    while run.poll() is None:
        fresh = [gate["id"] for gate in open_gates() if gate["id"] not in before]
        if fresh:
            break
        time.sleep(0.5)
    else:
        return
    command = ["approve", fresh[0], "-i", "deploy_target=staging", "-i", "notes=from make demo"]
    shown = shlex.join(["hitl", *command])
    say(f"There is no terminal here, so nobody can be asked. Any other shell may decide:\n  {shown}")
    time.sleep(2)
    say("This script now runs that command itself, as a second process:")
    subprocess.run([*HITL, *command], check=True)


def open_gates() -> list[dict[str, str]]:
    listed = subprocess.run([*HITL, "list", "--json"], check=True, capture_output=True, text=True)
    found: list[dict[str, str]] = json.loads(listed.stdout)
    return found


def latest_decision() -> str | None:
    logged = subprocess.run(
        [*HITL, "log", "-n", "1", "--json"], check=True, capture_output=True, text=True
    )
    found = json.loads(logged.stdout)
    return found[0]["id"] if found else None


def at_a_terminal() -> bool:
    from bridge import wiring
    from bridge.settings import from_environment

    return wiring.here(from_environment(os.environ)).asker is not None


def say(text: str) -> None:
    print(f"\n── {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
