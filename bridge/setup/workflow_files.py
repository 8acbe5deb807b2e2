"""The files that a repository keeps for the bridge: where each belongs, and how ours reads.

The texts are `templates/workflows`. What a person fills in there, or may set, is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bridge.core.shipped_files import templates
from bridge.policy.policy_file import PATH

#: The environment whose secret the decider's key is.
ENVIRONMENT: Final = "approvals"

_FOLDER: Final = ".github/workflows"
MAIN: Final = f"{_FOLDER}/approvals.yml"
SCHEDULE: Final = f"{_FOLDER}/approvals-schedule.yml"
RELAY: Final = f"{_FOLDER}/relay.yml"
POLICY: Final = PATH
#: Asks a first gate, to see how it works.
TRIAL: Final = f"{_FOLDER}/try-a-gate.yml"

_TEMPLATES: Final = {
    MAIN: "workflows/approvals.yml",
    SCHEDULE: "workflows/approvals-schedule.yml",
    RELAY: "workflows/relay.yml",
    POLICY: "approvals.yml",
    TRIAL: "try/try-a-gate.yml",
}
#: What acts with the workflow's own token in place of the App, each by what it replaces.
_BY_TOKEN: Final = (
    (
        r"(?m)^    # The decider's key .*\n    environment: .*\n    permissions: .*$",
        "    # NOT PROTECTED: the workflow of any branch can have the same token, and so record a\n"
        "    # decision. `hitl github setup` protects it.\n"
        "    permissions:\n"
        "      actions: read\n"
        "      contents: write\n"
        "      issues: write\n"
        "      pull-requests: write\n"
        "      statuses: write",
    ),
    (
        r"(?m)^          app-id: .*\n          app-key: .*\n(?: *#.*\n)*          signing-key: .*$",
        "          token: ${{ github.token }}",
    ),
)
#: Which runner, how often, which action, whose voices and keys and which Argo Server: anybody's to
#: change. Runner and keys may go on below, further to the right. There may be several crons.
_THEIRS: Final = re.compile(
    r"^( *(?:- )?(?:uses|voices|timeout-minutes|argo-server):).*$"
    r"|^(?P<k>( *)(?:keys|runs-on):).*$(?:\n\3 +\S.*$)*"
    r"|^(?P<c>( *)- cron:).*$(?:\n\5- cron:.*$)*",
    re.M,
)
#: What a workflow that is written anew keeps of the former one: where it runs, how long, how often.
_KEPT: Final = (
    re.compile(r"^(?P<i> *)runs-on:.*$(?:\n(?P=i) +\S.*$)*", re.M),
    re.compile(r"^(?P<i> *)timeout-minutes:.*$", re.M),
    re.compile(r"^(?P<i> *)argo-server:.*$", re.M),
    re.compile(r"^(?P<i> *)- cron:.*$(?:\n(?P=i)- cron:.*$)*", re.M),
)
#: The public keys, on one line or in a literal block.
_KEYS: Final = re.compile(
    r"^(?P<k>(?P<i> *)keys:) *(?:\|[-+]? *(?P<block>(?:\n(?P=i) +\S.*$)+)|(?P<line>\S.*)$)", re.M
)


def text(path: str) -> str:
    """The file as it is shipped: the policy and the relay are written so."""
    return (templates() / _TEMPLATES[path]).read_text(encoding="utf-8")


def workflow(action: str, opener: str | None = None, keys: Sequence[str] = ()) -> str:
    """The main workflow. `action` is what `uses:` says, `opener` the slug of the opener's App."""
    return with_opener(with_action(with_keys(text(MAIN), keys), action), opener)


def workflow_to_try(action: str) -> str:
    """The main workflow, acting with its own token. It protects nothing."""
    found = with_opener(with_action(text(MAIN), action), "github-actions")
    for replaced, by in _BY_TOKEN:
        found = re.sub(replaced, by, found)
    return found


def text_to_try(path: str) -> str:
    """The policy of `hitl github try`."""
    return (templates() / "try" / _TEMPLATES[path]).read_text(encoding="utf-8")


def acts_by_token(found: str) -> bool:
    """Whether this main workflow acts with a token in place of the App, and protects nothing."""
    return "app-key:" not in found


def said_of_keys(found: str) -> tuple[str, ...]:
    """What a workflow says in `keys`, line by line: keys, `none`, or an expression."""
    said = _KEYS.search(found)
    lines = (said["block"] or said["line"]).strip().splitlines() if said else []
    return tuple(each.strip() for each in lines)


def keys_of(found: str) -> tuple[str, ...]:
    """The lines of the public keys in a workflow; none if it names no key."""
    lines = tuple(each.strip("\"'") for each in said_of_keys(found))
    return lines if any(re.match(r"(?!#).*\bssh-\S+ \S", each) for each in lines) else ()


def with_keys(found: str, keys: Sequence[str]) -> str:
    """The workflow with these lines as its keys."""

    def written(own: re.Match[str]) -> str:
        if len(keys) < 2:
            return f"{own['k']} {''.join(keys) or 'none'}"
        return "\n".join((f"{own['k']} |", *(f"{own['i']}  {each}" for each in keys)))

    return _KEYS.sub(written, found, count=1)


def with_settings_of(former: str, fresh: str) -> str:
    """The fresh workflow with the settings of the former one that are no matter of safety."""
    for setting in _KEPT:
        theirs, ours = setting.search(former), setting.search(fresh)
        if theirs and ours and theirs["i"] == ours["i"]:
            fresh = fresh[: ours.start()] + theirs[0] + fresh[ours.end() :]
    return fresh


def with_action(found: str, action: str) -> str:
    """The workflow with this address for the action; what else it uses stays."""
    return re.sub(r"(uses: )(?:\S+/)?action@\S+", lambda own: own[1] + action, found)


def with_opener(found: str, opener: str | None) -> str:
    voices = f"{opener}[bot]" if opener else '""'
    return re.sub(r"(?m)^( *voices:).*$", lambda own: f"{own[1]} {voices}", found)


def action_of(found: str) -> str | None:
    """The address of the action that the workflow uses."""
    own = re.search(r"uses: ((?:\S+/)?action@\S+)", found)
    return own[1] if own else None


def is_current(path: str, found: str) -> bool:
    """Whether this is the workflow that this version writes, with whatever values filled in."""
    return _essence(found) == _essence(text(path))


def _essence(found: str) -> list[str]:
    lines = (
        line.strip()
        for line in _THEIRS.sub(lambda own: own[1] or own["k"] or own["c"], found).splitlines()
    )
    return [line for line in lines if line and not line.startswith("#")]


def opener_of(found: str) -> str | None:
    """The slug of the App whose voice the workflow names beside its own; None: it names none."""
    voice = re.search(r"^ *voices: *[\"']?([\w-]+)\[bot\]", found, re.M)
    return voice[1] if voice else None
