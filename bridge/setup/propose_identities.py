"""Which account on GitHub a run's user probably is: a proposal, for a person to check.

Anyone who can push a commit can give it any author. So a proposal names only members, leaves out
every name that leads to two accounts, and counts for nothing until the pull request is merged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bridge.core.yaml_meanings import two_meanings

#: What GitHub gives people as an address that hides their own.
_HIDDEN: Final = re.compile(r"([1-9][0-9]*)\+([A-Za-z0-9-]+)@users\.noreply\.\S+")
#: What can be a key and a value of YAML without quotation marks.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.@_+-]{0,99}", re.ASCII)
_MOST: Final = 50


def propose(
    authors: Iterable[tuple[str, str]], members: Mapping[str, int], user: str, login: str
) -> dict[str, str]:
    """The user of a run to an account with its number.

    `authors`: name and address of each author of commits. `user` runs this as the account `login`.
    """
    known = {each.lower(): each for each in members}
    accounts: dict[str, set[str]] = defaultdict(set)
    addresses: dict[str, set[str]] = defaultdict(set)
    for name, address in authors:
        hidden = _HIDDEN.fullmatch(address)
        own = known.get(hidden[2].lower()) if hidden else None
        if hidden and own and str(members[own]) == hidden[1]:
            accounts[name].add(own)
        elif not hidden:
            addresses[name].add(address)
    found: dict[str, set[str]] = defaultdict(set)
    for name, who in accounts.items():
        for address in addresses[name]:
            for each in (address, address.partition("@")[0]):
                found[each] |= who
    if login in members:
        found[user] = {login}
    return {
        each: f"{account}#{members[account]}"
        for each, who in sorted(found.items())[:_MOST]
        if len(who) == 1 and _PLAIN.fullmatch(each) and not _is_odd(each)
        for account in who
    }


def _is_odd(name: str) -> bool:
    """YAML reads these as something else than text, or the policy's reader refuses them."""
    import yaml

    loader: Any = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, name, (True, False))
    return tag != "tag:yaml.org,2002:str" or two_meanings(name, is_switch=False) is not None
