"""Names in the declaration of a gate that mean no artifact of its step.

A name that is sure to be wrong is refused when the declaration is read, before the run. What is
found out at the gate costs no run its hours: the gate opens, and says so on its page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.core.sanitize import shortened_name

#: Of those that a request lists, and of the characters of one.
MOST: Final = 20
_LONGEST: Final = 80


class Option(StrEnum):
    """What of a declaration names artifacts, and does nothing if there is no such artifact."""

    BETTER = "better"
    PICTURES = "pictures"
    AUTO_APPROVE_IF = "auto_approve_if"


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A name that no artifact has."""

    option: Option
    name: str


def unmatched(
    named: Iterable[tuple[Option, str]], artifacts: Collection[str]
) -> tuple[Unmatched, ...]:
    """Those of the declared names that mean none of these artifacts: on a join `loss` means
    `train.loss` as well."""
    there = {*artifacts, *(own_name(each) for each in artifacts)}
    missing = (Unmatched(option, _short(name)) for option, name in named if name not in there)
    return tuple(dict.fromkeys(missing))[:MOST]


def own_name(artifact: str) -> str:
    """`loss` of `train.loss`, as a join calls the artifact of one branch."""
    return artifact.rpartition(".")[2]


def _short(name: str) -> str:
    return shortened_name(name, _LONGEST)
