"""GitHub Actions for tests: the events of the test GitHub start real workflow files, under act.

Which files an event starts, of which commit they are, what their token may and which secrets they
get is here as GitHub has it; act, which knows nothing of all that, runs the jobs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bridge.setup import workflow_files
from tests.github import GitHub
from tests.github.repository import Repository
from tests.github.runs import Run as ActionsRun
from tests.github.world import Event

ROOT = Path(__file__).parent.parent
USED = "acme/approval-bridge/action@" + "0123456789" * 4
#: Which types an event starts a workflow for that names none.
_DEFAULT_TYPES = {"pull_request": {"opened", "synchronize", "reopened"}}
_FOLDER = ".github/workflows/"


def written(path: str) -> str:
    """A workflow as `hitl init` writes it."""
    if path != workflow_files.MAIN:
        return workflow_files.text(path)
    return workflow_files.workflow(USED, "approval-opener")


def example() -> str:
    """The example's workflow, with the action that is used here."""
    text = (ROOT / "examples" / "github" / "deploy.yml").read_text()
    return workflow_files.with_action(text, USED)


def load(text: str) -> dict[str, Any]:
    """A workflow file; its key `on` is no truth value, as YAML 1.1 would have it."""
    read: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes only text
    return read


@dataclass(frozen=True, repr=False)
class Run:
    """A workflow file that an event started. `code` is None where its job did not run."""

    workflow: str
    event: str
    ref: str
    code: int | None
    log: str

    def __repr__(self) -> str:
        return f"{self.workflow} on {self.event} at {self.ref}: {self.code}\n{self.log}"


class Runner:
    """Runs what the events of a repository start, each event once."""

    def __init__(self, github: GitHub, repository: Repository, folder: Path) -> None:
        self._github = github
        self._repository = repository
        self._folder = folder
        self._done = len(github.events)
        self._count = 0
        self._runs: dict[tuple[int, str], ActionsRun] = {}
        self.secrets: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.shared_secrets: dict[str, str] = {}
        self.shared_variables: dict[str, str] = {}
        #: The runs that an environment did not admit.
        self.refused: list[Run] = []

    def skip(self) -> None:
        """Lose every event up to now."""
        self._done = len(self._github.events)

    def waiting(self) -> list[Event]:
        return [each for each in self._github.events[self._done :] if each.starts_workflows]

    def run(self) -> list[Run]:
        """Run what happened, and what that made happen, until nothing is left."""
        runs: list[Run] = []
        while events := self.waiting():
            self.skip()
            for event in events:
                runs += [self._act(*job) for job in self._jobs(event)]
        return [each for each in runs if each.code is not None]

    def at_once(self) -> list[Run]:
        """The same, but all that is waiting at the same time."""
        runs: list[Run] = []
        while events := self.waiting():
            self.skip()
            jobs = [job for event in events for job in self._jobs(event)]
            with ThreadPoolExecutor(max(len(jobs), 1)) as pool:
                runs += pool.map(lambda job: self._act(*job), jobs)
        return [each for each in runs if each.code is not None]

    # -- what is started -----------------------------------------------------------------------

    def _jobs(self, event: Event) -> Iterator[tuple[Event, str, str, str, str]]:
        """The event with each job of each file that it starts: path, job, ref and commit."""
        ref, commit = self._where(event)
        tree = self._repository.bare.run("ls-tree", "--name-only", commit, _FOLDER)
        for path in tree.splitlines():
            text = self._repository.file(path, commit)
            if text and _listens(load(text)["on"], path, event):
                for job in load(text)["jobs"]:
                    yield event, path, job, ref, commit

    def _where(self, event: Event) -> tuple[str, str]:
        repository = self._repository
        if event.name.startswith("pull_request"):
            pull = repository.pull(event.payload["pull_request"]["number"])
            base = repository.branch(pull.base_ref)
            assert base
            tree = repository.bare.merged_tree(base, pull.head_sha)
            assert tree
            merge = repository.bare.run(
                "commit-tree", tree, "-p", base, "-p", pull.head_sha, "-m", "Merge", env=_AUTHOR
            )
            return f"refs/pull/{pull.number}/merge", merge
        branch = repository.default_branch
        if event.name == "workflow_dispatch":
            branch = event.payload["ref"].removeprefix("refs/heads/")
        tip = repository.branch(branch)
        assert tip
        return f"refs/heads/{branch}", tip

    # -- act -----------------------------------------------------------------------------------

    def _act(self, event: Event, path: str, name: str, ref: str, commit: str) -> Run:
        self._count += 1
        folder = self._folder / f"run{self._count}"
        checkout = self._checkout(folder, ref, commit)
        workflow = load((checkout / path).read_text())
        job = workflow["jobs"][name]
        if not self._admitted(job, ref):
            self.refused.append(Run(path, event.name, ref, None, "not admitted"))
            return self.refused[-1]
        (folder / "event.json").write_text(json.dumps(event.payload))
        granted = job.get("permissions", workflow.get("permissions", {}))
        granted = {name.replace("-", "_"): each for name, each in granted.items()}
        token = self._github.actions_token(self._repository, granted)
        # A repository's secrets are there in any job, an environment's in those that name it.
        secrets = {"GITHUB_TOKEN": str(token), **self.shared_secrets}
        variables = dict(self.shared_variables)
        if "environment" in job:
            secrets |= self.secrets
            variables |= self.variables
        with self._github.lock:  # the jobs of a file are one run
            run = self._runs.get((id(event), path)) or self._repository.run(
                path, event.by, ref, event.name, commit
            )
            self._runs[id(event), path] = run
        if "run-name" in workflow and event.name == "repository_dispatch":
            run.title = f"Gate {(event.payload['client_payload'] or {}).get('gate')}"
        environment = self._environment() | {
            # act leaves these out, or has its own.
            "GITHUB_WORKFLOW_REF": run.workflow_ref,
            "GITHUB_REPOSITORY_ID": str(self._repository.id),
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_RUN_ATTEMPT": "1",
        }
        if granted.get("id_token") == "write":
            environment |= self._github.issuer.job(run)
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("act")),
                event.name,
                *("-W", str(checkout / path), "-j", name),
                *("-P", "ubuntu-latest=-self-hosted"),
                "--no-cache-server",
                *("--eventpath", str(folder / "event.json")),
                *("--defaultbranch", self._repository.default_branch),
                *("--local-repository", f"{USED.replace('/action@', '@')}={_published(folder)}"),
                *("--action-cache-path", str(folder / "cache")),
                *("--actor", event.by.login),
                *_each("-s", secrets),
                *_each("--var", variables, values=variables),
                *_each("--env", environment, values=environment),
            ],
            cwd=checkout,
            env={**os.environ, **secrets, "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        log = done.stdout + done.stderr
        sent = [value for value in (event.payload.get("inputs") or {}).values() if len(value) > 40]
        for secret in [*self._github.secrets, *sent]:
            assert secret not in log, f"a secret in the log of {path}"
        ran = "🏁" in log or "Job " in log
        shutil.rmtree(checkout)
        return Run(path, event.name, ref, done.returncode if ran else None, log)

    def _checkout(self, folder: Path, ref: str, commit: str) -> Path:
        checkout = folder / "checkout"
        checkout.mkdir(parents=True)
        bare = str(self._repository.bare.path)

        def git(*args: str) -> None:
            subprocess.run(["git", "-C", str(checkout), *args], check=True, capture_output=True)

        git("init", "--quiet", "-b", "unborn")
        git("remote", "add", "origin", f"https://github.com/{self._repository.full_name}.git")
        git("fetch", "--quiet", "--depth=1", bare, commit)
        git("checkout", "--quiet", "-B", ref.removeprefix("refs/heads/").strip("/"), commit)
        return checkout

    def _admitted(self, job: Mapping[str, Any], ref: str) -> bool:
        wanted = self._repository.environments.get(job.get("environment", ""))
        if wanted is None or wanted.branches is None:
            return True
        return ref.removeprefix("refs/heads/") in wanted.branches

    def _environment(self) -> dict[str, str]:
        # Where the runner finds its packages is the machine's affair.
        kept = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
        return {**kept, **self._github.environment(self._repository)}


_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "GitHub"), ("EMAIL", "noreply@github.test"))
}


def _published(folder: Path) -> Path:
    """What a job fetches of the bridge's repository: act copies all of it, a `.venv` too."""
    copy = folder / "published"
    for part in ("action", "bridge", "templates"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, copy / part, ignore=left_out, dirs_exist_ok=True)
    return copy


def _each(
    flag: str, names: Mapping[str, str], values: Mapping[str, str] | None = None
) -> list[str]:
    """The flag with each name; a secret's value is left to the environment."""
    return [
        part
        for name in names
        for part in (flag, f"{name}={values[name]}" if values is not None else name)
    ]


def _listens(on: Any, path: str, event: Event) -> bool:
    if event.name == "workflow_dispatch" and not event.payload["workflow"].endswith(path):
        return False
    if event.name not in on:
        return False
    types = on[event.name].get("types") if isinstance(on[event.name], dict) else None
    allowed = set(types) if types else _DEFAULT_TYPES.get(event.name)
    return not event.action or allowed is None or event.action in allowed
