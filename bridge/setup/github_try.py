"""What `hitl github try` does: the little installation of a scratch repository.

The workflow's own token decides, and any branch's workflow can have the same token. So nothing is
protected, and each page says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.setup import workflow_files
from bridge.setup.github_plan import action, ledger, proposing, vendored
from bridge.setup.github_steps import Found, Part, Request, Step, Verbatim, Wanted
from bridge.setup.survey import Actions
from bridge.setup.workflow_files import MAIN, POLICY, SCHEDULE, TRIAL

_ABOUT: Final = """\
Written by `hitl github try`. **NOT PROTECTED:** everybody who can write here can record an
approval. Use it in a repository that you can lose, and `hitl github setup` for all else.

Merge this, then start *Try a gate* under Actions, and approve the pull request that it opens.
"""


def plan_to_try(found: Found, wanted: Wanted, actions: Actions) -> tuple[Step, ...]:
    """Every step that is left. Run on what it made, there is none."""
    return (
        *ledger(found),
        *_setting(found, actions),
        *vendored(found, wanted),
        *proposing(found, _written(found, wanted), _ABOUT),
    )


def _setting(found: Found, actions: Actions) -> Iterator[Step]:
    if actions.may_open_pull_requests:
        return
    path = f"{found.home}/actions/permissions/workflow"
    yield Step(
        Part.ACTIONS,
        "allow workflows to open pull requests here (Settings, Actions, General)",
        (Request("PUT", path, {"can_approve_pull_request_reviews": True}),),
    )


def _written(found: Found, wanted: Wanted) -> dict[str, str]:
    """What the pull request brings. What somebody changed already is theirs."""
    used = action(found, wanted)
    proposed = found.proposal.files if found.proposal else {}
    texts = {
        POLICY: Verbatim(proposed.get(POLICY) or workflow_files.text_to_try(POLICY)),
        MAIN: workflow_files.workflow_to_try(used),
        SCHEDULE: workflow_files.text(SCHEDULE),
        TRIAL: workflow_files.with_action(workflow_files.text(TRIAL), used),
    }
    files = {path: text for path, text in texts.items() if path not in found.files}
    for path in (MAIN, TRIAL):
        there = found.files.get(path)
        if there and (newer := workflow_files.with_action(there, used)) != there:
            files[path] = newer
    return files
