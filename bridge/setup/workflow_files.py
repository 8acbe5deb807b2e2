"""The files that a repository keeps for the bridge: where each belongs, and how ours reads.

The texts are `templates/workflows`. What a person fills in there, or may set, is theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge.core.shipped_files import templates
from bridge.policy.policy_file import PATH

#: What stands in the template until somebody says which.
ACTION: Final = "OWNER/approval-bridge/action@REF"
OPENER: Final = "OPENER"
#: The environment whose secret the decider's key is.
ENVIRONMENT: Final = "approvals"

_FOLDER: Final = ".github/workflows"
MAIN: Final = f"{_FOLDER}/approvals.yml"
RELAY: Final = f"{_FOLDER}/relay.yml"
POLICY: Final = PATH

_TEMPLATES: Final = {
    MAIN: "workflows/approvals.yml",
    RELAY: "workflows/relay.yml",
    POLICY: "approvals.yml",
}
#: Which runner, how often, which action, whose voices and keys and which Argo Server: anybody's to
#: change. The keys may go on below, further to the right.
_THEIRS: Final = re.compile(
    r"^( *(?:- )?(?:runs-on|cron|uses|voices|timeout-minutes|argo-server):).*$"
    r"|^(?P<k>( *)keys:).*$(?:\n\3 +\S.*$)*",
    re.M,
)


def text(
    path: str, action: str | None = None, opener: str | None = None, keys: str | None = None
) -> str:
    """The file as it is written; what is not said stays as a placeholder."""
    found = (templates() / _TEMPLATES[path]).read_text(encoding="utf-8")
    if keys:
        found = found.replace("keys: none", f"keys: {keys}")
    return filled(found, action, opener)


def filled(found: str, action: str | None, opener: str | None) -> str:
    """The text with what is said in place of the placeholders. An empty opener: there is none."""
    if opener == "":
        found = found.replace(f"voices: {OPENER}[bot]", 'voices: ""')
    return found.replace(ACTION, action or ACTION).replace(f"{OPENER}[", f"{opener or OPENER}[")


def is_current(path: str, found: str) -> bool:
    """Whether this is the workflow that this version writes, with whatever values filled in."""
    return _essence(found) == _essence(text(path))


def _essence(found: str) -> list[str]:
    lines = (
        line.strip() for line in _THEIRS.sub(lambda line: line[1] or line["k"], found).splitlines()
    )
    return [line for line in lines if line and not line.startswith("#")]


def opener_of(found: str) -> str | None:
    """The slug of the App whose voice the workflow names beside its own; None: it names none."""
    voice = re.search(r"^ *voices: *[\"']?([\w-]+)\[bot\]", found, re.M)
    return voice[1] if voice and voice[1] != OPENER else None


@dataclass(frozen=True, slots=True)
class Blank:
    """A placeholder that is still there: `line` counts from one."""

    line: int
    what: str


def blanks(found: str) -> tuple[Blank, ...]:
    """What somebody has yet to fill in."""
    return tuple(
        Blank(number, what)
        for number, line in enumerate(found.splitlines(), start=1)
        for what in (ACTION, f"{OPENER}[bot]")
        if what in line and not line.lstrip().startswith("#")
    )
