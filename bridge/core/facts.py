"""Facts about a run, each with its source: proven, or only claimed by the one who asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final


class About(StrEnum):
    """What a fact is about."""

    INITIATOR = "initiator"  # who started the run
    ACTOR = "actor"  # who triggered the event that the run answers
    ENVIRONMENT = "environment"
    WORKFLOW = "workflow"
    REF = "ref"
    SHA = "sha"
    EVENT = "event"
    RUN = "run"
    ASKED_AT = "asked-at"  # since when the page shows this request
    CHECK = "check"  # commit, state and name of a check that the policy asks for


class Source(StrEnum):
    """Who says so. The opener's key lies beside the initiator's code, so a run is that person."""

    RUN = "run"  # the run itself
    # Argo's. Never a proof, even if few may write labels: `argo submit --from … -l` replaces what
    # Argo Server wrote, for it applies a request's labels last.
    # https://github.com/argoproj/argo-workflows/blob/v4.1.2/server/workflow/workflow_server.go
    CREATOR_LABEL = "creator-label"
    OPENER = "opener"  # the account whose token opened the page
    OIDC = "oidc"  # a token of the run, which the forge signed
    GITHUB = "github"  # GitHub's own page and times
    POLICY = "policy"  # on the default branch
    TERMINAL = "terminal"  # the person at this machine


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `proven` is true only if the one who asks cannot forge its source.

    An account is written `@ann#583231`: its login, and the number that says who it is.
    """

    name: About
    value: str
    source: Source
    proven: bool = field(default=False, metadata={"always": True})
    asked: str | None = None  # the digest of what it was proven of; None: of whatever is asked


_ACCOUNT: Final = re.compile(r"@[^#@\s]+#[1-9][0-9]*")

#: How a sentence goes on after a proof …
_PROVEN_BY = {
    Source.OPENER: "proven by the account that opened the page",
    Source.OIDC: "proven by the run's own token",
    Source.GITHUB: "proven by GitHub",
    Source.POLICY: "proven by the policy",
}
#: … and after a claim.
_CLAIMED_BY = {
    Source.RUN: "as the run says",
    Source.CREATOR_LABEL: "as a label of the workflow says",
    Source.TERMINAL: "as this machine says",
}


def in_words(fact: Fact) -> str:
    """`ann, as the run says`: nobody reads a claim as a proof."""
    name = fact.value[1:].partition("#")[0] if fact.value.startswith("@") else fact.value
    if fact.proven:
        return f"{name}, {_PROVEN_BY.get(fact.source, 'proven')}"
    return f"{name}, {_CLAIMED_BY.get(fact.source, 'which is not proven')}"


def claims(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """What a request says of its run: whatever it says, its opener wrote it."""
    return tuple(replace(each, proven=False) for each in facts)


def weighed(learned: Iterable[Fact], claimed: Iterable[Fact]) -> tuple[Fact, ...]:
    """All that is known: what the decider learned and can prove, then what the request claims."""
    proofs = [each for each in learned if each.proven]
    return tuple(dict.fromkeys((*proofs, *claims(claimed))))


def left_out(before: Iterable[Fact], after: Iterable[Fact]) -> tuple[Fact, ...]:
    """What was on record and is missing later."""
    kept = set(after)
    return tuple(each for each in before if each not in kept)


def fact_of(facts: Sequence[Fact], about: About) -> Fact | None:
    """What is known of this, a proof before a claim."""
    found = [each for each in facts if each.name is about]
    return min(found, key=lambda each: not each.proven, default=None)


#: Who started a run: the one who triggered it, and the one whose event it answers.
STARTED: Final = (About.INITIATOR, About.ACTOR)


def account(login: str, number: int) -> str:
    return f"@{login}#{number}"


def account_of(fact: Fact) -> str | None:
    """`ann#583231`, as a policy names an account; None if the fact names none with its number."""
    return fact.value[1:] if _ACCOUNT.fullmatch(fact.value) else None


def initiator_of(facts: Sequence[Fact]) -> str | None:
    """Who started the run, as far as anybody says."""
    found = fact_of(facts, About.INITIATOR)
    return found.value if found else None


def started_by(name: str | None, source: Source = Source.RUN) -> tuple[Fact, ...]:
    """The claim of who started a run; nothing if nobody says so."""
    return (Fact(About.INITIATOR, name, source),) if name else ()
