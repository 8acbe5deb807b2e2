"""What an App must be allowed, and which click allows it.

A new version, or a new policy, may need one permission more. GitHub then takes two clicks: the App
asks for it, and an owner of the account on which it is installed accepts that. Until then the App
has the former permissions, and nothing else says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.core.rules import GroupKind
from bridge.policy.approvers import leaves
from bridge.policy.policy_file import PolicyFile
from bridge.setup.app_manifest import Role, permissions

_LEVELS: Final = ("read", "write", "admin")


def needed(role: Role, policy: PolicyFile | None, *, private: bool) -> dict[str, str]:
    """The least that an App of this role works with under this policy."""
    return permissions(
        role, private=private, groups=_names_groups(policy), checks=names_checks(policy)
    )


def _names_groups(policy: PolicyFile | None) -> bool:
    """Whether the decider must read who is in a team or an organization."""
    return any(
        group.kind in (GroupKind.TEAM, GroupKind.ORGANIZATION)
        for entry in (policy.entries if policy else ())
        for actors in leaves(entry.selected.policy.require)
        for group in actors.groups
    )


def names_checks(policy: PolicyFile | None) -> bool:
    """Whether the decider must read check runs."""
    return any(each.selected.policy.checks for each in (policy.entries if policy else ()))


def lacking(wanted: Mapping[str, str], has: Mapping[str, str]) -> dict[str, str]:
    """What is wanted, and is missing or too low."""
    return {
        name: level
        for name, level in wanted.items()
        if has.get(name) not in _LEVELS[_LEVELS.index(level) :]
    }


def in_words(wanted: Mapping[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {level}" for name, level in wanted.items())


def which_click(slug: str, wanted: Mapping[str, str], asked: Mapping[str, str]) -> str:
    """Who clicks where, so that the App gets this. `asked`: what the App itself asks for."""
    accept = f"an owner accepts it: Settings, GitHub Apps, Configure beside {slug}, Review request"
    more = lacking(wanted, asked)
    if not more:
        return accept
    return (
        f"give {in_words(more)} to its App: Settings, Developer settings, GitHub Apps, {slug},"
        f" Permissions & events; then {accept}"
    )


def left_to_grant(
    role: Role,
    slug: str,
    wanted: Mapping[str, str],
    asked: Mapping[str, str],
    granted: Mapping[str, str] | None,
) -> str | None:
    """What an App that is there still lacks, with the click. `granted` is None if it's unknown."""
    missing = lacking(wanted, asked if granted is None else granted)
    if not missing:
        return None
    return f"the {role}'s App lacks {in_words(missing)}: {which_click(slug, missing, asked)}"
