"""What to say of names in a gate's declaration that mean nothing at its step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.core.model import ApprovalRequest, Artifact, Draft
from bridge.core.sanitize import shortened_name
from bridge.core.template_reads import there_are
from bridge.core.unmatched import MOST, Option, own_name


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence: what the declaration says, and why that means nothing. Not harmless yet."""

    option: Option
    says: str

    def __str__(self) -> str:
        return f"`{self.option}` {self.says}"


def notes(asked: Draft | ApprovalRequest) -> Iterator[Note]:
    for each in asked.unmatched[:MOST]:  # somebody can write a request with more
        there = _there(asked.artifacts, each.option, each.name)
        yield Note(each.option, f"names {each.name}, which does not exist{there}")
    named = [each for each in asked.artifacts if each.better and each.is_read and not each.metric]
    for artifact in named[:MOST]:
        name = shortened_name(artifact.name, 80)
        there = _there(asked.artifacts, Option.BETTER, artifact.name)
        yield Note(Option.BETTER, f"names {name}, which is not a number{there}")


def _there(artifacts: Iterable[Artifact], option: Option, wanted: str) -> str:
    """What the name could have meant."""
    numbers = option is Option.BETTER
    labels = (each.name for each in artifacts if each.metric or not numbers)
    names = {each if "." in wanted else own_name(each) for each in labels}
    return f"; {there_are(wanted, names)}" if names else ""
