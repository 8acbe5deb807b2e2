"""The policy file, `.github/approvals.yml`: parsed whole, every fault at once with its line."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model import Selected, Subject

#: Where a repository keeps it, on its default branch.
PATH = ".github/approvals.yml"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file without a fault."""

    where: str

    def select(self, subject: Subject, initiator: str | None = None) -> Selected:
        """The first entry that matches this gate.

        `initiator` is the run's user, as the request has it. Raises `NoPolicy` where no entry
        covers the gate, or where an entry asks for what the gate does not say: such a gate waits.
        """
        raise NotImplementedError


def parse(text: str, where: str = PATH) -> PolicyFile:
    """Raises `Faults` with every fault, each as `file:line: what is wrong`."""
    raise NotImplementedError
