"""The run that asks: what GitHub's Actions API shows of it, beside what its token says.

The API alone proves nothing about who asks: anyone who can name a run could ask in its name.
The token alone says nothing about who ran it again. Both together prove who started it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.core.facts import About, Fact, Source
from bridge.github.oidc import RunToken
from bridge.pages.model import Account, Kind, Run


def read_run(found: Mapping[str, Any]) -> Run:
    """Raises `KeyError`, `TypeError` or `ValueError` if it is not what GitHub describes."""
    # Both are seen: `.github/workflows/ci.yml`, and with the repository before and the ref after.
    path = found["path"].partition("@")[0]
    return Run(
        number=int(found["id"]),
        attempt=int(found["run_attempt"]),
        repository_id=int(found["repository"]["id"]),
        path=path.removeprefix(f"{found['repository']['full_name']}/"),
        branch=found["head_branch"] or "",
        commit=found["head_sha"],
        event=found["event"],
        actor=_account(found.get("actor")),
        started_by=_account(found.get("triggering_actor")),
    )


def _account(found: Mapping[str, Any] | None) -> Account | None:
    if not found:
        return None
    kind = Kind.USER if found["type"] == "User" else Kind.BOT
    return Account(int(found["id"]), found["login"], kind)


def differences(token: RunToken, run: Run) -> list[str]:
    """What the token says and the Actions API shows otherwise; empty: they are of one run."""
    pairs: list[tuple[str, object, object]] = [
        ("run", token.run, run.number),
        ("attempt", token.attempt, run.attempt),
        ("repository", token.repository_id, run.repository_id),
        ("workflow file", token.workflow, run.path),
        ("event", token.event, run.event),
        ("actor", token.actor_id, run.actor.id if run.actor else None),
    ]
    if token.of_pull_request:
        # `ref` and `sha` are those of a merge commit that GitHub makes: the API shows the head.
        pairs.append(("head branch", token.head_ref, run.branch))
    else:
        pairs.append(("ref", _short(token.ref), run.branch))
        pairs.append(("commit", token.sha, run.commit))
    return [
        f"its {name} is {said}, and GitHub's Actions API shows {shown}"
        for name, said, shown in pairs
        if said != shown
    ]


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def facts(token: RunToken, run: Run) -> Iterator[Fact]:
    """What token and API prove together. A bot proves no initiator: somebody made it start the
    run, and it is not known who."""
    for about, who in ((About.INITIATOR, run.started_by), (About.ACTOR, run.actor)):
        if who:
            person = who.kind is Kind.USER
            yield Fact(about, f"@{who.login}#{who.id}", Source.OIDC, proven=person)
    said = {
        About.WORKFLOW: token.workflow,
        About.REF: token.ref,
        About.SHA: token.sha,
        About.EVENT: token.event,
        About.RUN: f"{token.run}/{token.attempt}",
        About.ENVIRONMENT: token.environment,
    }
    for about, value in said.items():
        if value:
            yield Fact(about, value, Source.OIDC, proven=True)
