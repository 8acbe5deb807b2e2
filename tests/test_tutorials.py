"""Pages that lead through a gate, followed to the letter: code, commands, and what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.ledger.git_ledger import GitLedger, create
from tests.gates import ROOT, asked, running
from tests.ledgers import decided, git

TUTORIAL = (ROOT / "docs" / "first-gate-here.md").read_text("utf-8")
#: What differs from run to run: folder, ids, numbers, spaces of a table, and how long ago it was.
CHANGES = re.compile(
    r"/\S+(?=/\.hitl/)|\b[0-9a-f]{16}\b|\b[0-9a-f]{40}\b"
    r"|\d+ (?:s|min) ago|\bnow\b|in \d+ (?:h|min)\b|\d+|\s+"
)


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(shown: str) -> list[tuple[str, list[str]]]:
    """Each command of a session, with the lines that it prints there."""
    found: list[tuple[str, list[str]]] = []
    for line in shown.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def alike(text: str) -> str:
    return " ".join(CHANGES.sub(" ", text).split())


def test_the_tutorial_of_the_laptop_runs_as_it_is_written(tmp_path: Path) -> None:
    (flow,) = blocks(TUTORIAL, "python")
    (tmp_path / "flow.py").write_text(flow)
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
    folder = Path(sys.executable).parent
    env = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ} | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "USERNAME": "ann",
    }
    (start, says), *others = commands("".join(blocks(TUTORIAL, "console")))
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


def test_the_session_of_the_command_line_prints_what_its_page_shows(
    tmp_path: Path,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """docs/cli.md, about the script of docs/flowyml.md, which logs what that page shows."""
    cli, flowyml = ((ROOT / "docs" / name).read_text("utf-8") for name in ("cli.md", "flowyml.md"))
    with (hermetic / ".gitconfig").open("a") as config:
        config.write("[hitl]\n\tteam = ml-team\n")
    create(tmp_path / ".hitl" / "ledger.git")
    monkeypatch.chdir(tmp_path)
    with running(tmp_path, blocks(flowyml, "python")[0]) as script:
        gate = asked(script)
        here = {
            "9798d267910d": gate.key.split("/")[1],
            "bd3eae3f3716f81b": gate.id,
            "bd3e": gate.id[:4],
            "b/d/3": "/".join(gate.id[:3]),
        }
        shown = "".join(blocks(cli, "console")[:2])
        session = re.sub("|".join(here), lambda found: here[found[0]], shown)
        for command, lines in commands(session):
            main(shlex.split(command)[1:])
            output = "".join(capsys.readouterr())
            for line in lines:
                assert alike(line) in alike(output), (command, output)
        printed, logged = script.communicate(timeout=60)
        assert printed == "deploying to staging\n"
        waits, approved = blocks(flowyml, "text")[:2]
        for name, own in here.items():
            waits, approved = waits.replace(name, own), approved.replace(name, own)
        assert alike(waits) in alike(logged)
        assert alike(approved) in alike(logged)


def test_an_auditor_reads_a_ledger_with_the_commands_of_its_page(tmp_path: Path) -> None:
    path = tmp_path / "ledger.git"
    create(path)
    gate = decided(GitLedger(str(path), cache=tmp_path)).request.gate.id
    git(path, "symbolic-ref", "HEAD", "refs/heads/approvals")
    commit = git(path, "rev-parse", "approvals").strip()
    here = {"gates/<a>/<b>/<c>/<id>": f"gates/{'/'.join(gate[:3])}/{gate}", "<commit>": commit}
    here["gates/3/9/b/39be7c50506f75f0"] = here["gates/<a>/<b>/<c>/<id>"]
    page = (ROOT / "docs" / "ledger.md").read_text("utf-8")
    runs = (each for each in blocks(page, "sh") if not each.startswith("line="))
    shown = [line for block in runs for line in block.splitlines()]  # test_ledger_by_git: the other
    printed = {}
    for line in shown:
        command = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], line)
        words = shlex.split(command, comments=True)
        if words[0] == "git" and words[1] != "verify-commit":  # this ledger has no signed commit
            printed[line.partition("  ")[0]] = git(path, *words[1:])
    assert len(printed) == 8
    assert printed["git log --first-parent approvals"].startswith(f"commit {commit}")
    (nothing,) = (said for line, said in printed.items() if "--diff-filter" in line)
    assert nothing == ""
    (added,) = (said for line, said in printed.items() if line.startswith("git diff"))
    assert re.findall(r"(?m)^diff .*/(.*)$", added) == ["decision.yaml"]
    records = [said for line, said in printed.items() if line.startswith("git show")]
    assert all(f"gate: {gate}" in said for said in records)
