"""A job's request on its way to the decider: the job hands it over with a token of its run.

The job has no key of the bridge. It starts the decider's workflow, as anybody who can write could.
So the decider believes nothing but the token, and opens what the token is good for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from bridge.core.digest import asked_digest
from bridge.core.errors import Faults
from bridge.core.facts import About, Fact, Source
from bridge.core.model import ApprovalRequest, Artifact, Draft, Standing
from bridge.core.names import folded
from bridge.core.numbers import whole
from bridge.core.settings import ENVIRONMENT, GATE, INPUTS, MESSAGE, VALUES, GitHubSettings
from bridge.entrypoints.github_job import FILE, Job, JobGate, commit_of, draft, gate_of
from bridge.gates.ports import Forge
from bridge.github import asking_run, oidc
from bridge.pages.model import Run

#: The decider's workflow file, and the inputs of its dispatch.
WORKFLOW: Final = "approvals.yml"
NUMBER, REQUEST, TOKEN = "number", "request", "token"
#: What all inputs of a dispatch may have together:
#: https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows
MOST: Final = 65_535

_TEXTS: Final = (GATE, MESSAGE, VALUES, INPUTS, ENVIRONMENT)
_SUBJECT: Final = "the request of a job"
_FORMAT: Final = 1
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


# -- in the job ------------------------------------------------------------------------------------


def packed(env: Mapping[str, str], asked: JobGate) -> str:
    """What the job's author wrote, with the digests of the files that the job has."""
    texts = {name: env[name] for name in _TEXTS if env.get(name)}
    files = [[each.name, each.digest, each.size] for each in asked.files]
    whole = {"format": _FORMAT, "texts": texts, "files": files}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def inputs_of(request: str, token: str) -> dict[str, str]:
    """The inputs of the dispatch. Raises `Faults` if GitHub would not take them."""
    inputs = {REQUEST: request, TOKEN: token}
    size = len(json.dumps(inputs))
    if size > MOST:
        raise Faults(
            "the input",
            [
                f"this request has {size:,} characters, and a job can hand over {MOST:,}: give"
                " `app-id` and `app-key` of an opener App, which opens the page itself"
            ],
        )
    return inputs


# -- at the decider --------------------------------------------------------------------------------


def inputs_in(env: Mapping[str, str]) -> dict[str, str]:
    """The inputs of the dispatch that started this run, empty if something else did.

    They are in no variable of a workflow's step, because the runner prints those into its log.
    """
    path = env.get("GITHUB_EVENT_PATH")
    if env.get("GITHUB_EVENT_NAME") != "workflow_dispatch" or not path:
        return {}
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8")).get("inputs") or {}
        return {name: value for name, value in given.items() if isinstance(value, str) and value}
    except (OSError, ValueError, RecursionError, AttributeError):
        raise Faults("the environment", ["GITHUB_EVENT_PATH holds no event"]) from None


def unpacked(text: str) -> JobGate:
    """Raises `Faults` with every fault."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        raise Faults(_SUBJECT, ["it is not JSON"]) from None
    texts, files = _parts(whole)
    return gate_of(texts, files)


def _parts(whole: object) -> tuple[dict[str, str], list[Artifact]]:
    if not isinstance(whole, dict) or whole.keys() != {"format", "texts", "files"}:
        raise Faults(_SUBJECT, ["it holds something else than format, texts and files"])
    if whole["format"] != _FORMAT:
        raise Faults(
            _SUBJECT, ["another version of the bridge wrote it: use one in both workflows"]
        )
    texts, files = whole["texts"], whole["files"]
    if not isinstance(texts, dict) or not all(
        name in _TEXTS and isinstance(value, str) for name, value in texts.items()
    ):
        raise Faults(_SUBJECT, ["its texts are not those of the action's inputs"])
    if not isinstance(files, list):
        raise Faults(_SUBJECT, ["its files are no list"])
    return texts, list(map(_file, files))


def _file(found: object) -> Artifact:
    match found:
        case [str() as name, str() as digest, int() as size] if (
            name and _DIGEST.fullmatch(digest) and type(size) is int and 0 <= size < 1 << 63
        ):
            return Artifact(name, FILE, digest, size)
    raise Faults(_SUBJECT, ["a file has a name, a digest and a size"])


@dataclass(frozen=True, slots=True)
class Witness:
    """Proves which run asks, by its token and the Actions API."""

    forge: Forge
    github: GitHubSettings
    keys: oidc.Keys
    now: datetime

    def request(self, text: str, token: str) -> tuple[Draft, tuple[Fact, ...]]:
        """What a job hands over, and what is proven of its run. Raises `Faults`."""
        asked = unpacked(text)
        claims, run = self._run(token)
        made = draft(self._job(claims, run), asked)
        return made, self._proven(made, claims, run)

    def facts(self, request: ApprovalRequest, token: str) -> tuple[Fact, ...]:
        """What is proven of the run whose opener has put this request up. Raises `Faults`."""
        return self._proven(request.draft, *self._run(token))

    def _run(self, token: str) -> tuple[oidc.RunToken, Run]:
        claims = oidc.read_claims(oidc.signed(token, self.keys))
        run = self.forge.run(claims.run, claims.attempt)
        if run is None:
            where = f"{self.github.repository} has no run {claims.run}"
            raise Faults(oidc.SUBJECT, [f"{where} with an attempt {claims.attempt}"])
        return claims, run

    def _job(self, claims: oidc.RunToken, run: Run) -> Job:
        # What a request says of its run is a claim, by anyone's hand: the ledger has the proofs.
        said = (
            replace(each, source=Source.RUN, proven=False) for each in asking_run.facts(claims, run)
        )
        return Job(
            self.github.server_url,
            self.github.repository,
            claims.repository_id,
            claims.workflow,
            str(claims.run),
            claims.sha,
            tuple(said),
        )

    def _proven(self, asked: Draft, claims: oidc.RunToken, run: Run) -> tuple[Fact, ...]:
        digest = asked_digest(asked)
        expected = oidc.Expected(
            oidc.issuer_of(self.github.server_url),
            self.github.repository,
            run.repository_id,
            digest,
            self.now,
        )
        faults = [
            *oidc.mismatches(claims, expected),
            *asking_run.differences(claims, run),
            *_otherwise(asked, self._job(claims, run), claims.environment),
        ]
        if faults:
            raise Faults(oidc.SUBJECT, faults)
        found = asking_run.facts(claims, run)
        return tuple(replace(each, asked=digest) for each in found if each.proven)


def _otherwise(asked: Draft, job: Job, environment: str | None) -> Iterator[str]:
    """What the request says of its run, and the token does not."""
    workflow, _, rest = asked.gate.key.partition("/")
    if (workflow, rest.partition("/")[0]) != (job.workflow, job.run):
        yield f"it is of {job.workflow}/{job.run}, and the request says {asked.gate.key}"
    if asked.gate.origin != job.origin:
        yield f"it is of {job.origin}, and the request says {asked.gate.origin}"
    if commit_of(job) not in asked.artifacts:
        yield f"its run is of commit {job.commit}, and the request shows another"
    about = asked.subject.environment if asked.subject else None
    if environment and about and folded(environment) != folded(about):
        yield (
            f"its job runs in the environment {environment}, and the request is about {about}: ask"
            " from a job without an environment"
        )


def overtaken(standing: Standing | None, facts: Iterable[Fact]) -> bool:
    """Whether a later attempt of the run has asked since."""
    known = standing.facts + standing.other_facts if standing else ()
    return max(_attempts(known), default=0) > max(_attempts(facts), default=0)


def _attempts(facts: Iterable[Fact]) -> Iterator[int]:
    for each in facts:
        attempt = each.value.rpartition("/")[2]
        if each.name is About.RUN and each.proven and whole(attempt):
            yield int(attempt)
