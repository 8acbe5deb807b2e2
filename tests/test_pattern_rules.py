"""Rules about names, texts and files: which of them would refuse what the bridge pushes."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.shards import FIRST
from bridge.setup.branch_rules import A_GATE, RuleBook
from bridge.setup.pattern_rules import refused_by
from bridge.setup.survey import BranchRule, Bypass


def rule(kind: str, *bypass: Bypass, **parameters: Any) -> BranchRule:
    return BranchRule(kind, "everywhere", "acme", frozenset(bypass), parameters)


def pattern(kind: str, operator: str, text: str, *, negate: bool = False) -> BranchRule:
    return rule(f"{kind}_pattern", operator=operator, pattern=text, negate=negate)


@pytest.mark.parametrize(
    ("asked", "refuses"),
    [
        (pattern("commit_message", "regex", r"^[A-Z]+-\d+ "), "the message 'Ask: Deploy"),
        (pattern("commit_message", "starts_with", "Ask"), "the message 'Hold: Deploy"),
        (pattern("commit_message", "contains", "WIP", negate=True), None),
        (pattern("commit_message", "regex", "(unbalanced"), "the message 'Ask: Deploy"),
        (pattern("committer_email", "ends_with", "@acme.example"), "the committer's address"),
        (pattern("commit_author_email", "ends_with", "@acme.example"), "the author's address"),
        (pattern("committer_email", "contains", "@evil.example", negate=True), None),
        (pattern("branch_name", "starts_with", "feature/"), f"the name {FIRST}"),
        (pattern("branch_name", "regex", "^(approvals|gate/)"), None),
        (rule("file_path_restriction", restricted_file_paths=["gates/**"]), "the file gates/"),
        (rule("file_path_restriction", restricted_file_paths=["**/*.sig"]), ".sig"),
        (rule("file_path_restriction", restricted_file_paths=["src/**", "*.yaml"]), None),
        (rule("file_extension_restriction", restricted_file_extensions=["*.yaml"]), "the file"),
        (rule("file_extension_restriction", restricted_file_extensions=[".exe"]), None),
        (rule("max_file_path_length", max_file_path_length=20), "the file gates/"),
        (rule("max_file_path_length", max_file_path_length=200), None),
        (rule("max_file_size", max_file_size=1), None),
        (rule("tag_name_pattern", operator="starts_with", pattern="v"), None),
        (rule("copilot_code_review"), None),
    ],
    ids=lambda each: each.type if isinstance(each, BranchRule) else None,
)
def test_a_rule_is_named_only_if_it_refuses_something_of_ours(
    asked: BranchRule, refuses: str | None
) -> None:
    said = refused_by(asked, FIRST)
    assert (said is None) if refuses is None else (said is not None and refuses in said)


def test_an_app_that_may_bypass_such_a_rule_is_not_refused_by_it() -> None:
    decider = Bypass("Integration", 7)
    asked = rule("branch_name_pattern", decider, operator="starts_with", pattern="feature/")
    for branch, faults in ((FIRST, 0), (A_GATE, 1)):
        book = RuleBook(branch, [asked], opener=8, decider=7)
        opener = branch == A_GATE
        assert len(list(book.refusing(frozenset(), "a push", opener=opener))) == faults
