"""What a rule takes, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.rules import AllOf, AnyOf, Approvals, EachOf, Rule


def number_of_approvals(count: int) -> str:
    return f"{count} approval" if count == 1 else f"{count} approvals"


def joined(word: str, parts: Sequence[str]) -> str:
    # A rule within a rule: without brackets "and" and "or" could be read either way.
    return f", {word} ".join(
        f"({part})" if ", " in part and len(parts) > 1 else part for part in parts
    )


def takes(rule: Rule) -> str:
    """What a rule takes, in words: `2 approvals from ann or bob`."""
    match rule:
        case Approvals(by=actors, count=count):
            return f"{number_of_approvals(count)} from {actors}"
        case EachOf(of):
            return f"different people, one from each: {', '.join(map(str, of))}"
        case AllOf(rules):
            return joined("and", [takes(each) for each in rules])
        case AnyOf(rules):
            return joined("or", [takes(each) for each in rules])
