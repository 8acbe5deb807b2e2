"""Checks: what the policy asks of the commit under approval, such as a green build.

A check only ever keeps a gate open. What is not known, not finished or not green is missing, and
then nobody approves: neither people nor the clock nor a condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from bridge.core.facts import About, Fact, Source
from bridge.core.model import ApprovalRequest

#: The artifact that names the commit. A job of GitHub Actions always shows it.
COMMIT: Final = "commit"
GREEN: Final = "success"
_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def commit_of(request: ApprovalRequest) -> str | None:
    """The commit under approval, whole; None if the request names none, or two: their order is not
    part of its digest, so an opener chooses which one is first."""
    named = [each for each in request.artifacts if each.name == COMMIT]
    said = {each.value for each in named if each.value is not None}
    return next((each for each in said if len(said) == 1 and _HASH.fullmatch(each)), None)


def check_fact(commit: str, name: str, state: str) -> Fact:
    """What the forge says of one check. `state` is a word of its API, such as `success`."""
    return Fact(About.CHECK, f"{commit} {state} {name}", Source.GITHUB, proven=True)


def missing_checks(request: ApprovalRequest, facts: Iterable[Fact]) -> Iterator[str]:
    """Why each check that the policy asks for is not met, in words for those who wait."""
    names = request.policy.checks
    if not names:
        return
    commit = commit_of(request)
    if commit is None:
        yield (
            f"the policy asks for the checks {', '.join(names)}, and this request names no commit:"
            f" show one as `{COMMIT}`, as a job of GitHub Actions does"
        )
        return
    known = [each.value for each in facts if each.proven and each.name is About.CHECK]
    for name in names:
        states = {
            state
            for said, state, of in (each.split(" ", 2) for each in known)
            if (said, of) == (commit, name)
        }
        if states != {GREEN}:
            says = ", ".join(sorted(states)) or "not known yet"
            yield f"the check {name} of commit {commit[:7]} is not green: {says}"
