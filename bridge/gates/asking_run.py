"""The run of Actions that a request names: what the forge shows of it beside what the request says.

That both agree proves nothing about who asks. That they differ proves that the request lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bridge.core.evaluation import Evidence, Verdict
from bridge.core.facts import About, Fact
from bridge.core.model import ApprovalRequest, Standing
from bridge.gates.ports import Forge
from bridge.pages.model import Account, Run

_KEY: Final = re.compile(r"([^/]+)/([1-9][0-9]{0,18})/[^/]+", re.ASCII)
_ATTEMPT: Final = re.compile(r"[0-9]{1,19}/([1-9][0-9]{0,8})", re.ASCII)


def untrue(forge: Forge, standing: Standing) -> str | None:
    """Why the gate's request is not of the run that it names; None if nothing speaks against it.

    What the run's own token proved is not asked again.
    """
    request = standing.request
    if not request.gate.origin.endswith("/actions"):
        return None
    if any(each.name is About.RUN and each.proven for each in standing.facts):
        return None
    named = _KEY.fullmatch(request.gate.key)
    if not named or request.workflow:
        return "no approval counts: the request is not one that a job of GitHub Actions writes"
    attempt = _ATTEMPT.fullmatch(_said(request, About.RUN))
    number = int(named[2])
    run = forge.run(number, int(attempt[1]) if attempt else 1)
    if run is None:
        return f"no approval counts: GitHub shows no run {number} of this repository"
    lies = "; ".join(differences(request, named[1], run))
    return f"no approval counts: the request is not of run {number}: {lies}" if lies else None


def differences(request: ApprovalRequest, workflow: str, run: Run) -> Iterator[str]:
    """What the request says of its run, and GitHub shows otherwise."""
    pairs = [
        ("workflow", workflow, run.path.rpartition("/")[2]),
        ("workflow file", _said(request, About.WORKFLOW), run.path),
        ("event", _said(request, About.EVENT), run.event),
        ("actor", _account(_said(request, About.ACTOR)), _login(run.actor)),
        ("initiator", _account(_said(request, About.INITIATOR)), _login(run.started_by)),
    ]
    if not run.event.startswith("pull_request"):
        # There the run's ref and commit are those of a merge that GitHub makes.
        branch = re.sub(r"^refs/(heads|tags)/", "", _said(request, About.REF))
        shown = next((each.value or "" for each in request.artifacts if each.name == "commit"), "")
        pairs += [
            ("ref", branch, run.branch),
            ("commit", _said(request, About.SHA), run.commit),
            ("commit", shown, run.commit),
        ]
    for name, said, shown in dict.fromkeys(pairs):
        if said and said != shown:
            yield f"it says {name} {said}, and GitHub shows {shown}"


def without_approval(evidence: Evidence) -> Evidence:
    """The evidence with all that could approve taken out: people can still reject."""
    return replace(
        evidence,
        votes=tuple(each for each in evidence.votes if each.verdict is not Verdict.APPROVE),
        condition=None,
        facts=tuple(each for each in evidence.facts if each.name is not About.ASKED_AT),
    )


def _said(request: ApprovalRequest, about: About) -> str:
    fact: Fact | None = request.fact(about)
    return fact.value if fact else ""


def _account(said: str) -> str:
    return said.removeprefix("@").partition("#")[0].lower()


def _login(account: Account | None) -> str:
    return account.login.lower() if account else ""
