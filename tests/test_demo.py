"""`make demo` as a person meets it: the real script, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.ledgers import GITCONFIG
from tests.metaflows import CHECKOUT, CLOUDS, IMPORTED, NO_CLOUDS
from tests.terminals import Screen

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a b é"
    shutil.copytree(CHECKOUT / "examples", folder / "examples")
    return folder


@pytest.fixture
def no_clouds(checkout: Path) -> None:
    """Leaves out the plugins of Metaflow that the demo does not use."""
    home = checkout / ".metaflowconfig"
    home.mkdir()
    (home / "config.json").write_text(json.dumps(NO_CLOUDS))


def environment(checkout: Path) -> dict[str, str]:
    """A machine where nobody has said who they are, to git or to Metaflow."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(checkout),
        "PYTHONPATH": str(CHECKOUT),
        "GIT_CONFIG_GLOBAL": str(GITCONFIG),
        "TERM": "dumb",
        "HITL_LEDGER": "https://ledger.example/of-the-team.git",  # not the demo's to write to
    }


@pytest.fixture
def start(checkout: Path, request: pytest.FixtureRequest) -> Start:
    """Forks of a Python that has imported Metaflow, in place of `python` and of what it starts."""
    bare = "no_clouds" in request.fixturenames
    return partial(
        warm.start,
        IMPORTED if bare else IMPORTED + CLOUDS,
        env=environment(checkout),
        read="the demo's" if bare else "",
        starts_warm=True,
    )


def on_its_own(args: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *args], **options)


def demo(checkout: Path, start: Start) -> subprocess.CompletedProcess[str]:
    ran = start(
        ["examples/demo.py"],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # no terminal
    )
    said, _ = ran.communicate()
    return subprocess.CompletedProcess(ran.args, ran.returncode, said)


def at_a_terminal(checkout: Path, start: Start) -> Screen:
    told = {"argv": ["examples/demo.py"], "cwd": str(checkout)}
    return Screen("script", told, start=partial(start, text=True))


def commands(said: str) -> list[str]:
    return re.findall(r"^   (\S.*)$", said, re.MULTILINE)


def test_without_a_terminal_a_second_process_decides_and_the_demo_says_so_each_time(
    checkout: Path, start: Start
) -> None:
    shown = set()
    for _ in range(2):
        ran = demo(checkout, start)
        assert ran.returncode == 0, ran.stdout
        assert "runs that command itself, as a second process" in ran.stdout
        assert "ripeness goes to staging" in ran.stdout
        assert "The gate was approved, and the run went on" in ran.stdout
        look, approve, show, log = commands(ran.stdout)
        assert " approve " in approve
        assert look == show
        for command in (show, log):
            read = subprocess.run(
                ["sh", "-c", command],
                cwd=checkout,
                env=environment(checkout) | {"HITL_LEDGER": ""},
                capture_output=True,
                text=True,
            )
            assert read.returncode == 0, read.stderr
            assert "Deploy ripeness?" in read.stdout
        shown.add(show)
    assert len(shown) == 2


@pytest.mark.usefixtures("no_clouds")
def test_at_a_terminal_the_person_is_asked_and_a_wrong_input_decides_nothing(
    checkout: Path, start: Start
) -> None:
    with at_a_terminal(checkout, start) as screen:
        screen.expect("You are asked here")
        screen.expect("Deploy ripeness? It is right on 94.6% of unseen fruit.")
        screen.expect("Approve? ")
        screen.type("y\n")
        screen.expect("deploy_target (one of staging, production): ")
        screen.type("the moon\n")
        screen.expect("'the moon' is none of staging, production")
        screen.expect("deploy_target (one of staging, production): ")
        screen.type("production\n")
        screen.expect("notes (")
        screen.type("ripe\n")
        screen.expect("ripeness goes to production. Notes: ripe")
        screen.expect("The gate was approved, and the run went on")
        screen.expect("Approved: Deploy ripeness?")
        assert screen.leader.wait() == 0


@pytest.mark.usefixtures("no_clouds")
def test_a_rejection_ends_the_run_and_the_demo_as_it_should(checkout: Path, start: Start) -> None:
    with at_a_terminal(checkout, start) as screen:
        screen.expect("Approve? ")
        screen.type("n\n")
        screen.expect("Reason: ")
        screen.type("not ripe\n")
        screen.expect("The gate was rejected, and the run stopped before the step")
        screen.expect("not ripe")
        assert screen.leader.wait() == 0


@pytest.mark.usefixtures("no_clouds")
def test_ctrl_c_withdraws_the_gate_and_shows_no_traceback(checkout: Path, start: Start) -> None:
    with at_a_terminal(checkout, start) as screen:
        screen.expect("Approve? ")
        screen.type("\x03")
        said = screen.expect("The gate was withdrawn, and the run stopped before the step")
        assert "Traceback" not in said
        screen.expect("the run was ended by Ctrl-C")


@pytest.mark.usefixtures("no_clouds")
def test_a_run_that_ends_before_its_gate_is_told_in_one_sentence(checkout: Path) -> None:
    flow = checkout / "examples" / "train_and_deploy.py"
    flow.write_text(flow.read_text().replace("draw = random.Random(7)", "raise SystemExit(3)"))
    ran = demo(checkout, partial(on_its_own, env=environment(checkout)))
    assert ran.returncode == 1
    assert ran.stdout.endswith("before anybody was asked: see above for why.\n")
    assert "fatal" not in ran.stdout
