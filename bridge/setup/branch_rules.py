"""The rules that GitHub holds a branch to, read against the bridge's two Apps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bridge.core.shards import FIRST, PATTERN, is_shard
from bridge.setup.checks import Level, Said, fault
from bridge.setup.pattern_rules import refused_by
from bridge.setup.survey import BranchRule, Bypass

#: Of the form that every gate's branch has.
A_GATE: Final = "gate/0000000000000000"
#: The same of the branches that a ledger begins later. Who can make one can write decisions there.
A_LATER: Final = f"{FIRST}-9999"

NO_RULESETS: Final = fault(
    "a private repository on the Free plan has no rulesets: nothing protects this branch from"
    " people who can write",
    "take a plan that has them, or make the repository public",
)
#: Rules that a commit of the bridge, pushed by git, never fulfils.
REFUSE: Final = frozenset(
    {
        "code_scanning",
        "license_compliance_scanning",
        "merge_queue",
        "pull_request",
        "required_deployments",
        "required_linear_history",
        "required_signatures",
        "required_status_checks",
        "workflows",
    }
)
REFUSING_PROTECTION: Final = frozenset(
    {
        "lock_branch",
        "required_linear_history",
        "required_pull_request_reviews",
        "required_signatures",
        "required_status_checks",
    }
)


def words(name: str) -> str:
    return name.replace("required_", "").replace("_", " ")


class RuleBook:
    """The rules that bind one branch, read against the bridge's two Apps."""

    def __init__(
        self, branch: str, rules: Sequence[BranchRule], opener: int | None, decider: int | None
    ) -> None:
        self._branch = PATTERN if is_shard(branch) else "gate/**/*"
        self._one = branch
        self._rules = rules
        self._names = {opener: "the opener", decider: "the decider"}
        self._opener, self._decider = opener, decider

    def _of(self, kind: str) -> list[BranchRule]:
        return [each for each in self._rules if each.type == kind]

    def unknown(self, *, opener: bool) -> Iterator[Said]:
        """Which of the two Apps cannot be distinguished from the others in a ruleset."""
        needed = {"decider": self._decider, **({"opener": self._opener} if opener else {})}
        for name in [each for each, number in needed.items() if number is None]:
            yield (
                Level.UNKNOWN,
                f"which App is the {name} is not known, so neither is whether it alone may push",
                f"see the line {name} above",
            )

    def without_bypass(self, kind: str, deed: str) -> Iterator[Said]:
        rules = self._of(kind)
        if any(each.bypass == frozenset() for each in rules):
            return
        if not rules:
            yield fault(
                f"no ruleset forbids to {deed}",
                f"add one for the branch {self._branch}: {words(kind)}, with no bypass",
            )
        elif any(each.bypass is None for each in rules):
            yield _unread(rules)
        else:
            who = ", ".join(self._named(each) for rule in rules for each in rule.bypass or ())
            yield fault(
                f"{who} can {deed}, past the ruleset {rules[0].ruleset!r}",
                "take them from its bypass list; let a ruleset of its own restrict updates",
            )

    def only(self, kind: str, deed: str, *, opener: bool) -> Iterator[Said]:
        """That the decider (and the opener, if it must) can do it, and nobody else."""
        rules = self._of(kind)
        wanted = {self._decider, self._opener} if opener else {self._decider}
        whom = " and ".join(sorted(self._names[each] for each in wanted))
        fix = f"a ruleset for the branch {self._branch}: restrict {words(kind)}, bypass {whom}"
        if not rules:
            also = ", the opener too" if self._branch == PATTERN else ""
            yield fault(f"anyone who can write can {deed}{also}", f"add {fix}")
            return
        if any(each.bypass is None for each in rules):
            yield _unread([each for each in rules if each.bypass is None])
            return
        may = frozenset.intersection(*(each.bypass or frozenset() for each in rules))
        apps = {each.id for each in may if each.kind == "Integration"}
        others = [each for each in may if each.kind != "Integration" or each.id not in wanted]
        if others:
            yield fault(f"{', '.join(sorted(map(self._named, others)))} can {deed}", f"only {fix}")
        for each in sorted(wanted - apps, key=str):
            yield fault(f"{self._names[each]} cannot {deed}", f"have {fix}")

    def refusing(self, kinds: frozenset[str], what: str, *, opener: bool) -> Iterator[Said]:
        """Rules, often the organization's, under which nothing of the bridge can be pushed."""
        pushing = {self._decider, self._opener} if opener else {self._decider}
        for rule in self._rules:
            spared = {each.id for each in rule.bypass or () if each.kind == "Integration"}
            if pushing <= spared:
                continue
            refused = what if rule.type in kinds else refused_by(rule, self._one)
            if refused is not None:
                yield fault(
                    f"the ruleset {rule.ruleset!r} of {rule.source} asks for {words(rule.type)},"
                    f" and refuses {refused}",
                    f"exclude {self._branch} there",
                )

    def _named(self, bypass: Bypass) -> str:
        if bypass.kind == "Integration" and bypass.id in self._names and bypass.id is not None:
            return self._names[bypass.id]
        return str(bypass)


def _unread(rules: Sequence[BranchRule]) -> Said:
    names = ", ".join(dict.fromkeys(repr(each.ruleset) for each in rules))
    return (
        Level.UNKNOWN,
        f"who may bypass the ruleset {names} of {rules[0].source} cannot be read",
        "run this with the token of someone who may edit it",
    )
