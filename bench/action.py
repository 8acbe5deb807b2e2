"""The action's start-up, as ratios to what it cannot do without: Python itself and `import git`.

    python bench/action.py [--rounds 9]

`install` is what each job pays before: the environment and the locked packages, from the index that
pip is configured for, with its cache warm.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
_START = "import bridge.entrypoints.github_action, bridge.github.client, bridge.ledger.git_ledger"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        once = {"RUNNER_TEMP": folder, "GITHUB_ACTION_PATH": str(ROOT / "action")}
        install = ["bash", str(ROOT / "action" / "install.sh")]
        took = [fresh(install, once, Path(folder)) for _ in range(3)][-1]
        python = f"{folder}/approval-bridge/venv/bin/python"
        env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        bare, git, start = (
            median([python, "-P", "-c", script], env, rounds)
            for script in ("pass", "import git", _START)
        )
    print("| measure | must reach | seconds | ratio to `import git` |\n|---|---|---|---|")
    print(f"| bare Python | | {bare:.3f} | {bare / git:.1f} |")
    print(f"| Python and `import git` | | {git:.3f} | 1 |")
    print(f"| the action, until it asks GitHub | ≤ 5 | {start:.3f} | {start / git:.1f} |")
    print(f"| install, once a job | | {took:.1f} | {took / git:.0f} |")


def fresh(command: list[str], env: Mapping[str, str], folder: Path) -> float:
    (folder / "approval-bridge" / "ready").unlink(missing_ok=True)
    return seconds(command, env)


def median(command: list[str], env: Mapping[str, str], rounds: int) -> float:
    seconds(command, env)
    return statistics.median(seconds(command, env) for _ in range(rounds))


def seconds(command: list[str], env: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
