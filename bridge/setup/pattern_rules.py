"""Rules about the names, texts and files of a push, judged by what the bridge really pushes.

Such a rule refuses nothing in most repositories, and everything in some: a message that must begin
with the number of a ticket, an address of the company's domain, no `.yaml` in this branch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import regex

from bridge.ledger.commits import BRIDGE
from bridge.setup.survey import BranchRule

#: Seconds for somebody else's expression.
_PATIENCE: Final = 1.0
_FOLDER: Final = "gates/0/0/0/0000000000000000"
#: Of a gate's folder, and of the branch that a ledger begins with.
_FILES: Final = (
    *(
        f"{_FOLDER}/{name}"
        for name in (
            "request.yaml",
            "request.md",
            "objections.yaml",
            "objections.yaml.sig",
            "decision.yaml",
            "decision.yaml.sig",
        )
    ),
    "baselines/00/0000000000000000.yaml",
)
_MESSAGES: Final = tuple(
    f"{word}: Deploy the model?\n\nGate: 0000000000000000\n"
    for word in ("Ask", "Hold", "Release", "Note", "Approved", "Rejected", "Expired", "Withdrawn")
)
#: The rule to what it looks at, and those of ours.
_PATTERNS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "commit_message_pattern": ("the message", _MESSAGES),
    "commit_author_email_pattern": ("the author's address", (str(BRIDGE.email),)),
    "committer_email_pattern": ("the committer's address", (str(BRIDGE.email),)),
}


def refused_by(rule: BranchRule, branch: str) -> str | None:
    """What of the bridge's this rule refuses, in words; None if it takes all of it."""
    given = rule.parameters
    if rule.type == "branch_name_pattern":
        return None if _fits(given, branch) else f"the name {branch}"
    if rule.type in _PATTERNS:
        what, ours = _PATTERNS[rule.type]
        bad = next((each for each in ours if not _fits(given, each)), None)
        return None if bad is None else f"{what} {bad.splitlines()[0]!r}"
    bad = next((each for each in _FILES if _is_restricted(rule, each)), None)
    return None if bad is None else f"the file {bad}"


def _is_restricted(rule: BranchRule, path: str) -> bool:
    given = rule.parameters
    match rule.type:
        case "file_path_restriction":
            return any(
                _glob(each).fullmatch(path) for each in _texts(given, "restricted_file_paths")
            )
        case "file_extension_restriction":
            endings = _texts(given, "restricted_file_extensions")
            return any(path.endswith("." + each.lstrip("*.")) for each in endings)
        case "max_file_path_length":
            longest = given.get("max_file_path_length")
            return isinstance(longest, int) and len(path) > longest
        case _:  # also the largest size of a file: a megabyte is the least that GitHub takes there
            return False


def _fits(given: Mapping[str, Any], text: str) -> bool:
    """Whether the text is as the pattern asks. An expression that can't be judged fits nothing."""
    pattern = str(given.get("pattern", ""))
    match given.get("operator"):
        case "starts_with":
            found = text.startswith(pattern)
        case "ends_with":
            found = text.rstrip("\n").endswith(pattern)
        case "contains":
            found = pattern in text
        case _:
            try:
                found = regex.search(pattern, text, timeout=_PATIENCE) is not None
            except (regex.error, TimeoutError):
                return False
    return found != bool(given.get("negate"))


def _texts(given: Mapping[str, Any], name: str) -> list[str]:
    return [str(each) for each in given.get(name) or ()]


def _glob(pattern: str) -> re.Pattern[str]:
    """GitHub's paths: `*` stops at a slash, `**` doesn't."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(each, re.escape(each)) for each in parts))
