"""Facts about a run, each with its source: proven, or only claimed by the one who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


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


class Source(StrEnum):
    """Who says so. The opener's key lies beside the initiator's code, so a run is that person."""

    RUN = "run"  # the run itself
    CREATOR_LABEL = "creator-label"  # Argo's; whoever creates workflows may write it
    OPENER = "opener"  # the account whose token opened the page
    OIDC = "oidc"  # a token of the run, which the forge signed
    GITHUB = "github"  # GitHub's own page and times
    POLICY = "policy"  # on the default branch
    TERMINAL = "terminal"  # the person at this machine


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `proven` is true only if the one who asks cannot forge its source."""

    name: About
    value: str
    source: Source
    proven: bool = field(default=False, metadata={"always": True})


#: How a sentence goes on after a claim.
_CLAIMED_BY = {
    Source.RUN: "as the run says",
    Source.CREATOR_LABEL: "as a label of the workflow says",
    Source.TERMINAL: "as this machine says",
}


def in_words(fact: Fact) -> str:
    """`ann, as the run says`: nobody reads a claim as a proof."""
    if fact.proven:
        return fact.value
    return f"{fact.value}, {_CLAIMED_BY.get(fact.source, 'which is not proven')}"


def fact_of(facts: Sequence[Fact], about: About) -> Fact | None:
    """What is known of this, a proof before a claim."""
    found = [each for each in facts if each.name is about]
    return min(found, key=lambda each: not each.proven, default=None)


def initiator_of(facts: Sequence[Fact]) -> str | None:
    """Who started the run, as far as anybody says."""
    found = fact_of(facts, About.INITIATOR)
    return found.value if found else None


def started_by(name: str | None, source: Source = Source.RUN) -> tuple[Fact, ...]:
    """The claim of who started a run; nothing if nobody says so."""
    return (Fact(About.INITIATOR, name, source),) if name else ()
