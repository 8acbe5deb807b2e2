"""What `hitl github remove` does: take back what `setup` made, and leave the record.

The ledger stays, and so does the ruleset that keeps everybody from rewriting it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from bridge.core.shards import FIRST
from bridge.setup.github_plan import DECIDED, GATES, KEPT, committed
from bridge.setup.github_steps import (
    ACTION_BRANCH,
    BRANCH,
    COMMIT,
    REMOVING,
    Found,
    Part,
    Request,
    Step,
)
from bridge.setup.workflow_files import ENVIRONMENT, MAIN, POLICY, SCHEDULE, TRIAL

_ABOUT: Final = """\
Written by `hitl github remove`. Once you merge this, nobody decides a gate here. The record on the
branch `approvals` stays.
"""


def removal(found: Found) -> tuple[Step, ...]:
    """Every step that is left, the workflow's right to decide first."""
    return (*_environment(found), *_rulesets(found), *_proposal(found), *_files(found))


def _environment(found: Found) -> Iterator[Step]:
    if found.environment:
        names = ", ".join(sorted({*found.environment.secrets, *found.environment.variables}))
        says = f"delete the environment {ENVIRONMENT}" + (f" with {names}" if names else "")
        yield Step(Part.ENVIRONMENT, says, (Request("DELETE", found.place),))


def _rulesets(found: Found) -> Iterator[Step]:
    for name in (GATES, DECIDED):
        if name in found.rulesets:
            number, _ = found.rulesets[name]
            request = Request("DELETE", f"{found.home}/rulesets/{number}")
            yield Step(Part.RULESETS, f"delete the ruleset {name!r}", (request,))


def _proposal(found: Found) -> Iterator[Step]:
    if found.has_branch:
        closes = " and so close its pull request" if found.proposal else ""
        request = Request("DELETE", f"{found.home}/git/refs/heads/{quote(BRANCH)}")
        yield Step(Part.FILES, f"delete the branch {BRANCH}{closes}", (request,))
    if found.action:
        request = Request("DELETE", f"{found.home}/git/refs/heads/{quote(ACTION_BRANCH)}")
        yield Step(Part.FILES, f"delete the branch {ACTION_BRANCH}", (request,))


def _files(found: Found) -> Iterator[Step]:
    ours = (POLICY, MAIN, SCHEDULE, TRIAL)
    files: dict[str, str | None] = {path: None for path in ours if path in found.files}
    if not files or found.removal:
        return
    names = ", ".join(files)
    message = "Ask nobody in this repository's workflows any more"
    ref = f"refs/heads/{REMOVING}"
    requests = [*committed(found, files, message, tree=found.tree, parents=[found.tip])]
    if found.has_removing:
        path = f"{found.home}/git/{quote(ref)}"
        requests.append(Request("PATCH", path, {"sha": COMMIT, "force": True}))
    else:
        requests.append(Request("POST", f"{found.home}/git/refs", {"ref": ref, "sha": COMMIT}))
    about = {
        "title": "Remove the approval bridge",
        "head": REMOVING,
        "base": found.default_branch,
        "body": _ABOUT,
    }
    requests.append(Request("POST", f"{found.home}/pulls", about))
    yield Step(Part.FILES, f"open a pull request that deletes {names}", tuple(requests))


def left(found: Found) -> Iterator[str]:
    """What only a click takes away."""
    home = f"{found.server}/{found.repository}"
    if found.removal:
        yield f"merge {home}/pull/{found.removal}"
    owner = f"organizations/{found.organization}/" if found.organization else ""
    for role, there in found.apps.items():
        where = f"{found.server}/{owner}settings/apps/{there.app.slug}/advanced"
        yield f"delete the {role}'s App: {where}"
    if KEPT in found.rulesets:
        number, _ = found.rulesets[KEPT]
        yield (
            f"the branch {FIRST} stays, and so does the ruleset that keeps it as it is; to be able"
            f" to delete both: {home}/rules/{number}"
        )
