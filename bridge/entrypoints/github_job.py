"""A gate of a GitHub Actions run: a job asks and ends, and an approval starts a new run.

No runner is held meanwhile. The new run is started by an event that anybody who can write could
send, so it begins by proving to itself, from the ledger alone, that this gate of this workflow was
approved, and of what.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.core.artifacts import CUT, ordered, summarise
from bridge.core.comparison import kind_of
from bridge.core.digest import asked_digest, canonical
from bridge.core.errors import AlreadyDecided, Faults, GateShut, LedgerCorrupt, NoSuchGate
from bridge.core.facts import About, Fact, Source
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.hide_secrets import HIDDEN
from bridge.core.json_schema import not_plain
from bridge.core.model import (
    ApprovalRequest,
    Artifact,
    Decision,
    Draft,
    Gate,
    Link,
    Place,
    PlaceKind,
    Standing,
    Subject,
)
from bridge.core.names import folded
from bridge.core.numbers import whole
from bridge.core.sanitize import harmless_line, shortened
from bridge.core.settings import ENVIRONMENT, FILES, GATE, INPUTS, MESSAGE, VALUES
from bridge.core.texts import with_room
from bridge.core.yaml_text import ambiguous, load
from bridge.gates.ports import Ledger
from bridge.gates.verify import verify
from bridge.github.dispatch import approved_commit, origin_of
from bridge.policy.checks import COMMIT

FORM: Final = Form(input="inputs")
#: The environment of a gate that has none.
_NONE: Final = "none"
#: What a policy can look at, as an artifact's type.
_PLAIN: Final = frozenset(("str", "int", "float", "bool"))
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: A run's number as GitHub writes it: of `077` the decider would look up no run (`asking_run.py`).
_KEY: Final = re.compile(r"(?P<workflow>[^/]+)/(?P<run>[1-9][0-9]{0,18})/(?P<name>[^/]+)", re.ASCII)
FILE: Final = "file"
_WORKFLOW: Final = re.compile(r"[^/]+/[^/]+/(\.github/workflows/[^/@]+)@.+")
#: What GitHub's runner says of a job, and what it is about.
_SAID: Final = {
    About.REF: "GITHUB_REF",
    About.SHA: "GITHUB_SHA",
    About.EVENT: "GITHUB_EVENT_NAME",
}
_AT_A_TIME: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """A job of GitHub Actions that asks, or goes on. `facts` is what is said of its run."""

    server: str
    repository: str  # owner/name
    repository_id: int | None
    path: str  # of its workflow file
    run: str
    commit: str
    facts: tuple[Fact, ...] = ()

    @property
    def workflow(self) -> str:
        """The name of its file."""
        return self.path.rpartition("/")[2]

    @property
    def origin(self) -> str:
        return origin_of(f"{self.server}/{self.repository}")

    @property
    def place(self) -> Place:
        server = urlsplit(self.server).netloc
        return Place(PlaceKind.GITHUB, server, self.repository, self.repository_id)

    @property
    def url(self) -> str:
        return f"{self.server}/{self.repository}/actions/runs/{self.run}"


@dataclass(frozen=True, slots=True)
class JobGate:
    """The gate as the job's author wrote it."""

    name: str
    spec: GateSpec
    values: Mapping[str, Any]
    files: tuple[Artifact, ...]
    environment: str | None

    @property
    def plain(self) -> dict[str, Any]:
        """The values that a policy can look at: those that people see whole."""
        return {
            name: value
            for name, value in self.values.items()
            if type(value).__name__ in _PLAIN and _is_shown_whole(_value(name, value))
        }


def job_of(env: Mapping[str, str]) -> Job:
    """Raises `Faults` outside of GitHub Actions."""
    names = ("GITHUB_REPOSITORY", "GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID", "GITHUB_SHA")
    unset = [name for name in names if not env.get(name)]
    faults = [f"{name} is not set: this runs in a job of GitHub Actions" for name in unset]
    workflow = _WORKFLOW.fullmatch(env.get("GITHUB_WORKFLOW_REF", ""))
    if faults or not workflow:
        raise Faults("the environment", faults or ["GITHUB_WORKFLOW_REF names no workflow file"])
    number = env.get("GITHUB_REPOSITORY_ID", "")
    return Job(
        env.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/"),
        env["GITHUB_REPOSITORY"],
        int(number) if whole(number) else None,
        workflow[1],
        env["GITHUB_RUN_ID"],
        env["GITHUB_SHA"],
        tuple(_claims(env, workflow[1])),
    )


def _claims(env: Mapping[str, str], path: str) -> Iterator[Fact]:
    """The runner says it, beside the code of the run: it proves nothing."""
    actor = env.get("GITHUB_ACTOR", "")
    said = {
        About.INITIATOR: _account(env.get("GITHUB_TRIGGERING_ACTOR") or actor),
        About.ACTOR: _account(actor),
        About.WORKFLOW: path,
        **{about: env.get(name, "") for about, name in _SAID.items()},
        About.RUN: f"{env['GITHUB_RUN_ID']}/{env.get('GITHUB_RUN_ATTEMPT') or 1}",
    }
    return (Fact(about, value, Source.RUN) for about, value in said.items() if value)


def _account(login: str) -> str:
    return f"@{login}" if login else ""


def asked_by(env: Mapping[str, str]) -> JobGate:
    """From the texts of the action's inputs. Raises `Faults` with every fault of them."""
    named = [Path(line.strip()) for line in env.get(FILES, "").splitlines() if line.strip()]
    faults = [f"`files`: there is no file {each}" for each in named if not each.is_file()]
    return gate_of(env, [_file(each) for each in named if each.is_file()], faults)


def gate_of(
    env: Mapping[str, str], files: Sequence[Artifact], faults: Sequence[str] = ()
) -> JobGate:
    """The same, of files that were read before. `faults` are those of reading them."""
    faults = list(faults)
    name = env.get(GATE, "")
    if not _NAME.fullmatch(name):
        faults.append("`gate` is a name of letters, digits, dots and dashes, 64 at most")
    schema, values = (_mapping(env, each, faults) for each in (INPUTS, VALUES))
    faults += _taken("values", values)
    faults += _taken("files", [each.name for each in files])
    names = Counter([*values, *(each.name for each in files)])
    faults += [
        f"{shortened(each, 80)} is there twice among `values` and `files`"
        for each, times in names.items()
        if times > 1
    ]
    faults += not_plain(values, "values")
    said = {"message": env.get(MESSAGE, "").strip(), "inputs": schema}
    # Who may decide, how long it waits and what may approve by itself is the repository's to say.
    spec = read(said, FORM, "the input", asks=f"Go on with {name}?", besides=faults)
    environment = env.get(ENVIRONMENT, "").strip()
    about = None if environment == _NONE else environment or None
    return JobGate(name, spec, values, tuple(files), about)


def _taken(where: str, names: Iterable[object]) -> Iterator[str]:
    """A name that people would take for the commit of the run."""
    if any(folded(str(each)) == COMMIT for each in names):
        yield f"`{where}`: {COMMIT} is the run's own, and shown in any case"


def _mapping(env: Mapping[str, str], name: str, faults: list[str]) -> dict[str, Any]:
    text, shown = env.get(name, ""), f"`{name.removeprefix('HITL_').lower()}`"
    if not text.strip():
        return {}
    try:
        found = load(text, shown)
    except LedgerCorrupt as error:
        faults.append(str(error))
        return {}
    faults += [f"{shown}: {each}" for each in ambiguous(text)]
    return found


def check_environment(env: Mapping[str, str]) -> None:
    """Raises `Faults` if a run that goes on does not say for which environment."""
    if not env.get(ENVIRONMENT, "").strip():
        why = f"`environment` is empty: say for which one this run goes on, `{_NONE}` if for none"
        raise Faults("the input", [why])


def draft(job: Job, asked: JobGate) -> Draft:
    """What is asked. The message is text, not Markdown: a run may put a commit's title into it."""
    subject = Subject(job.workflow, asked.name, asked.environment, artifacts=asked.plain)
    return Draft(
        gate=Gate(job.origin, f"{job.workflow}/{job.run}/{asked.name}"),
        message="\n".join(map(harmless_line, asked.spec.message.splitlines())),
        artifacts=with_room(
            ordered(
                [
                    commit_of(job),
                    *(_value(name, value) for name, value in asked.values.items()),
                    *asked.files,
                ]
            )
        ),
        schema=asked.spec.schema,
        facts=job.facts,
        links=(Link("the run that asks", job.url),),
        subject=subject,
        declared=asked.spec.declared,
        kind=kind_of(subject, asked.spec.compare),
    )


def check_same(draft: Draft, standing: Standing) -> None:
    """Raises `AlreadyDecided` if the gate is decided, and not for what this run asks now."""
    if standing.decision and asked_digest(standing.request) != asked_digest(draft):
        raise AlreadyDecided(
            f"{draft.gate.key} was {standing.decision.outcome} for other values: a new run can ask"
            " again"
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """A recorded approval, and what it was of."""

    standing: Standing
    decision: Decision
    run: str
    commit: str


def prove(ledger: Ledger, job: Job, gate_id: str, asked: JobGate) -> Proof:
    """The recorded approval of this gate of this workflow, whichever of its runs has asked.

    What `asked` gives of values and files must be what was approved. Raises `GateShut`.
    """
    if not gate_id:  # of a run that was started without one, by hand or by another event
        raise GateShut(f"{job.workflow} does not run: no approved gate was named")
    try:
        standing = ledger.read_decided(ledger.resolve(gate_id))
    except NoSuchGate as error:
        raise GateShut(str(error)) from error
    if standing is None:
        raise GateShut(f"{job.workflow} does not run: {ledger.where} has no gate {gate_id}")
    recorded = standing.request
    key = _KEY.fullmatch(recorded.gate.key)
    # It may have been asked under a former name of this repository, whose number stays.
    origin = origin_of(f"{job.server}/{recorded.venue.repository}")
    ours = recorded.venue.same(job.place) and recorded.gate.origin == origin
    if not ours or not key or (key["workflow"], key["name"]) != (job.workflow, asked.name):
        raise GateShut(
            f"{recorded.gate.key} is not the gate {asked.name} of {job.workflow}: its approval is"
            " for something else"
        )
    again = replace(
        recorded.draft,
        artifacts=_again(recorded, asked),
        subject=_subject(recorded, job, asked),
        declared=asked.spec.declared,
    )
    decision = verify(ledger, again, job.place)
    return Proof(standing, decision, key["run"], approved_commit(recorded))


def _subject(recorded: ApprovalRequest, job: Job, asked: JobGate) -> Subject:
    """What the gate is about, computed again: the policy was chosen by it, and the run that asked
    could have said anything."""
    said, key = recorded.subject, recorded.gate.key
    about = said.environment if said else None
    if folded(about or "") != folded(asked.environment or ""):
        raise GateShut(
            f"{key} does not run: it was approved for {_environment(about)}, and this run is for"
            f" {_environment(asked.environment)}"
        )
    chosen_by = dict(said.artifacts) if said else {}
    shown = {each.name: each for each in recorded.artifacts if each.name != COMMIT}
    plain = {each.name for each in shown.values() if each.type in _PLAIN}
    whole = {each for each in plain if _is_shown_whole(shown[each])}
    other = (chosen_by.keys() - plain) | (whole - chosen_by.keys())
    other |= {
        name
        for name in plain & chosen_by.keys()
        if _value(name, chosen_by[name]).digest != shown[name].digest
    }
    if other:
        raise GateShut(
            f"{key} does not run: its policy was chosen by other values than people were shown:"
            f" {', '.join(sorted(other))}"
        )
    return Subject(job.workflow, asked.name, about, artifacts=chosen_by)


def _environment(name: str | None) -> str:
    return f"the environment {name}" if name else "no environment"


def check_first(runs: Mapping[int, str], own: int, gate_id: str) -> None:
    """Raises `GateShut` if another run goes on for this approval already: its event was sent twice,
    or somebody sent it again.

    `runs` are titles, and one that does not name the gate says nothing.
    """
    same = [run for run, title in runs.items() if gate_id in title]
    if own in same and min(same) < own:
        raise GateShut(
            f"run {min(same)} goes on for the approval of gate {gate_id} already: if it failed, run"
            " that one again"
        )


# -- artifacts -------------------------------------------------------------------------------------


def _again(recorded: ApprovalRequest, asked: JobGate) -> tuple[Artifact, ...]:
    given = {name: _value(name, value) for name, value in asked.values.items()}
    given |= {each.name: each for each in asked.files}
    # What the new run will check out is the text that people were shown: the digest must be of it.
    given[COMMIT] = _value(COMMIT, approved_commit(recorded))
    strange = given.keys() - {each.name for each in recorded.artifacts}
    if strange:
        raise GateShut(
            f"{recorded.gate.key} does not run: nobody was shown {', '.join(sorted(strange))}"
        )
    return tuple(_as_shown(given.get(each.name, each), each) for each in recorded.artifacts)


def _as_shown(given: Artifact, shown: Artifact) -> Artifact:
    """Without a text for which the page had no room."""
    return given if shown.text is not None else replace(given, text=None)


def commit_of(job: Job) -> Artifact:
    return _value(COMMIT, job.commit)


def _value(name: str, value: Any) -> Artifact:
    digest = "sha256:" + hashlib.sha256(canonical(value)).hexdigest()
    return summarise(name, value, digest=digest)


def _is_shown_whole(shown: Artifact) -> bool:
    """Whether nothing of the value is hidden or cut. The record has it as it is, for a policy."""
    value = shown.value or ""
    return HIDDEN not in value and not value.endswith(CUT)


def _file(path: Path) -> Artifact:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_AT_A_TIME):
            digest.update(part)
    return Artifact(path.as_posix(), FILE, f"sha256:{digest.hexdigest()}", path.stat().st_size)
