"""The GitHub Action: what the runner gives, to one verb; what it came to, back to the runner.

Red is for what somebody has to mend. A run that finds nothing to do, or a gate that waits on, is
green.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import wiring
from bridge.core import log
from bridge.core.digest import asked_digest
from bridge.core.errors import BridgeError, Faults, NoSuchPage, Refused
from bridge.core.evaluation import Outcome
from bridge.core.facts import Fact
from bridge.core.model import Draft, Standing
from bridge.core.sanitize import harmless_line
from bridge.core.settings import (
    APP_ID,
    APP_KEY,
    GATE_ID,
    MODE,
    NUMBER,
    TOKENS,
    from_environment,
    github_from_environment,
)
from bridge.entrypoints import action_summary, github_job
from bridge.entrypoints.github_job import Job, JobGate
from bridge.gates.begin_branch import begun
from bridge.gates.finish_page import Tended
from bridge.gates.open_page import Desk, ask
from bridge.gates.overdue import settle_overdue_pages
from bridge.gates.process_page import sweep, tend
from bridge.pages.model import Page
from bridge.pages.votes import gate_of

if TYPE_CHECKING:
    from bridge.entrypoints.github_request import Witness


def main(env: Mapping[str, str]) -> int:
    """Do what the action's inputs ask; the exit code."""
    log.turn_on_if_asked(env)
    runner = Runner(env)
    try:
        mode = env.get(MODE) or "tend"
        if mode not in _MODES:
            raise Faults("the input", [f"`mode` is one of {', '.join(_MODES)}"])
        return _MODES[mode](env, runner)
    except Faults as error:
        runner.stop(error.faults)
    except BridgeError as error:
        runner.stop([str(error)])
    except Exception as error:  # noqa: BLE001 - no traceback reaches a person
        from bridge.core.crash_report import report

        runner.stop([report(error, env)])
    return 1


def _tend(env: Mapping[str, str], runner: Runner) -> int:
    from bridge.entrypoints import github_request

    number = _number(env)
    given = github_request.inputs_in(env)
    desk = _desk(env, decides=True)
    with desk.ledger.connected():
        return _tended(env, runner, desk, number, given)


def _tended(
    env: Mapping[str, str], runner: Runner, desk: Desk, number: int | None, given: Mapping[str, str]
) -> int:
    from bridge.entrypoints import github_request

    if github_request.REQUEST in given:
        return _asked(env, runner, desk, given)
    if number is not None and github_request.TOKEN in given:
        _learn(env, desk, number, given[github_request.TOKEN])
    try:
        done = (*begun(desk), *sweep(desk)) if number is None else (tend(desk, number),)
    except NoSuchPage:
        done = (Tended(f"#{number} is nothing of the bridge: nothing to do"),)
    if number is not None:
        runner.put(_outputs(done[0]))
        done += _overdue(desk, done[0])
    runner.tell(done)
    return 1 if any(each.failed for each in done) else 0


def _overdue(desk: Desk, own: Tended) -> tuple[Tended, ...]:
    """Other gates whose time is up. If they cannot be listed, the next run sees them."""
    try:
        return settle_overdue_pages(desk, own.standing.request.gate.id if own.standing else None)
    except BridgeError as error:
        return (Tended(f"whether other gates are due is not known: {error}"),)


def _asked(env: Mapping[str, str], runner: Runner, desk: Desk, given: Mapping[str, str]) -> int:
    """Open what a job hands over, if its token proves that the job's run asks it."""
    from bridge.entrypoints import github_request

    text, token = (given.get(name, "") for name in (github_request.REQUEST, github_request.TOKEN))
    with _refusing():
        draft, facts = _witness(env, desk).request(text, token)
    _check_latest(desk.ledger.read(draft.gate.id), facts)
    return _opened(runner, draft, *ask(desk, draft, facts))


def _learn(env: Mapping[str, str], desk: Desk, number: int, token: str) -> None:
    """Record what the token proves of the run whose opener has put this page up."""
    look = desk.forge.look(number)
    gate_id = gate_of(look.pages[0], look.site)
    standing = desk.ledger.read(gate_id) if gate_id else None
    if standing and standing.decision is None:
        with _refusing():
            facts = _witness(env, desk).facts(standing.request, token)
        _check_latest(standing, facts)
        desk.ledger.hold(standing.request.gate.id, facts=facts)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Faults as error:
        raise Refused(f"nothing is asked: {error}") from None


def _witness(env: Mapping[str, str], desk: Desk) -> Witness:
    from bridge.entrypoints.github_request import Witness
    from bridge.github.oidc import Keys, issuer_of

    github = github_from_environment(env)
    return Witness(desk.forge, github, Keys(issuer_of(github.server_url)), desk.clock())


def _check_latest(standing: Standing | None, facts: Sequence[Fact]) -> None:
    from bridge.entrypoints.github_request import overtaken

    if overtaken(standing, facts):
        raise Refused("nothing is asked: a later attempt of the run has asked since")


def _open(env: Mapping[str, str], runner: Runner) -> int:
    from bridge.github import oidc

    job, asked = github_job.job_of(env), github_job.asked_by(env)
    draft = github_job.draft(job, asked)
    if not oidc.may_ask(env):
        return _opened(runner, draft, *ask(_desk(env), draft))
    if not env.get(APP_ID):
        return _hand_over(env, runner, job, asked)
    standing, page = ask(_desk(env), draft)
    if page and env.get(TOKENS[0]):
        _start(env, {"number": str(page.number), "token": oidc.requested(env, asked_digest(draft))})
    return _opened(runner, draft, standing, page)


def _opened(runner: Runner, draft: Draft, standing: Standing, page: Page | None) -> int:
    github_job.check_same(draft, standing)
    done = Tended("waits for a decision", standing, page=page)
    if standing.decision:
        done = replace(done, says=standing.decision.reason)
    runner.tell([done])
    runner.put(_outputs(done))
    return 0


def _hand_over(env: Mapping[str, str], runner: Runner, job: Job, asked: JobGate) -> int:
    """Let the decider ask: it proves by the token whose request it is."""
    from bridge.entrypoints import github_request
    from bridge.github import oidc

    draft = github_job.draft(job, asked)
    request = github_request.packed(env, asked)
    github_request.inputs_of(request, "")  # before GitHub signs anything
    token = oidc.requested(env, asked_digest(draft))
    _start(env, github_request.inputs_of(request, token))
    where = f"{job.server}/{job.repository}/actions/workflows/{github_request.WORKFLOW}"
    runner.tell([Tended(f"{draft.gate.key} is with the decider, which opens its page: {where}")])
    runner.put({"outcome": Outcome.PENDING.value, "gate": draft.gate.id, "url": ""})
    return 0


def _start(env: Mapping[str, str], inputs: Mapping[str, str]) -> None:
    """Start the decider with the job's own token: no key of the bridge may do that."""
    from bridge.entrypoints.github_request import WORKFLOW
    from bridge.github.client import GitHub

    own = {name: value for name, value in env.items() if name not in (APP_ID, APP_KEY)}
    _check_credential(own)
    GitHub(github_from_environment(own)).start(WORKFLOW, inputs)


def _verify(env: Mapping[str, str], runner: Runner) -> int:
    github_job.check_environment(env)
    job = github_job.job_of(env)
    ledger, asked = _desk(env).ledger, github_job.asked_by(env)
    with ledger.connected():
        proof = github_job.prove(ledger, job, env.get(GATE_ID, ""), asked)
    if env.get("GITHUB_EVENT_NAME") == "repository_dispatch":
        from bridge.github.client import GitHub

        github = GitHub(github_from_environment(env))
        since = proof.decision.decided_at - timedelta(minutes=5)  # clocks differ
        runs = github.titles(job.workflow, since)
        github_job.check_first(runs, int(job.run), proof.standing.request.gate.id)
    done = Tended(f"{proof.decision.reason}; the record is valid", proof.standing)
    runner.tell([done])
    answer = json.dumps(dict(proof.decision.inputs))
    runner.put(_outputs(done) | {"commit": proof.commit, "run": proof.run, "answer": answer})
    return 0


_MODES = {"tend": _tend, "open": _open, "verify": _verify}


def _desk(env: Mapping[str, str], *, decides: bool = False) -> Desk:
    _check_credential(env)
    settings = from_environment(env)
    desk = wiring.desk(settings, github_from_environment(env), decides=decides)
    # Here alone: a KUBECONFIG of somebody's laptop may name a cluster that knows none of the runs,
    # and what it does not know is gone.
    return replace(desk, cluster=wiring.cluster(settings))


def _outputs(done: Tended) -> dict[str, str]:
    outcome = action_summary.outcome(done)
    return {
        "outcome": outcome.value if outcome else "",
        "gate": done.standing.request.gate.id if done.standing else "",
        "url": done.page.url if done.standing and done.page else "",
    }


def _number(env: Mapping[str, str]) -> int | None:
    text = env.get(NUMBER, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text, re.ASCII):
        raise Faults("the input", ["`number` is the number of a pull request or an issue"])
    return int(text)


def _check_credential(env: Mapping[str, str]) -> None:
    """A secret that a run may not read is empty, and nothing else says so."""
    app_id, key = bool(env.get(APP_ID)), bool(env.get(APP_KEY))
    if app_id and not key:
        raise Faults(
            "the input",
            [
                f"`app-key` is empty: set the secret {APP_KEY} in the environment that the job"
                " names; a run of another branch than that environment allows cannot read it"
            ],
        )
    if key and not app_id:
        raise Faults("the input", [f"`app-id` is empty: set the variable {APP_ID} next to the key"])
    if not app_id and not env.get(TOKENS[0]):
        raise Faults("the input", ["no credential: give `app-id` and `app-key` of the GitHub App"])


class Runner:
    """GitHub's runner, as a step sees it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._summary = env.get("GITHUB_STEP_SUMMARY")
        self._output = env.get("GITHUB_OUTPUT")

    def tell(self, done: Sequence[Tended]) -> None:
        self._say(action_summary.log(done) if done else ["nothing waits for a decision"])
        self._append(self._summary, action_summary.markdown(done))

    def put(self, outputs: Mapping[str, str]) -> None:
        """No value of them holds a line break."""
        self._append(self._output, "".join(f"{name}={outputs[name]}\n" for name in outputs))

    def stop(self, faults: Iterable[str]) -> None:
        """Each as an annotation of the run, and in its summary."""
        for fault in faults:
            text = fault.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            print(f"::error title=Approval bridge::{text}", flush=True)
            self._append(self._summary, f"❌ **Approval bridge:** {harmless_line(fault)}\n\n")

    @staticmethod
    def _say(lines: Iterable[str]) -> None:
        # What other people wrote is in these lines, and a line can command the runner.
        word = secrets.token_hex(16)
        print("\n".join([f"::stop-commands::{word}", *lines, f"::{word}::"]), flush=True)

    @staticmethod
    def _append(path: str | None, text: str) -> None:
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    sys.exit(main(os.environ))
