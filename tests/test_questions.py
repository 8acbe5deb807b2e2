"""Ten questions of a stranger: each has one page, and the answer is in its first screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What a window shows of a page before anybody scrolls, in characters of Markdown.
SCREEN = 2500

QUESTIONS = [
    ("What is this?", "README.md", "lets a person decide inside an automated pipeline"),
    ("How do I try it?", "docs/first-gate-here.md", r"\$ python flow.py run"),
    ("How do I declare a gate?", "docs/metaflow.md", r"@hitl\("),
    ("How do I answer, on my phone?", "README.md", "the pull request itself says how to answer"),
    ("Who may approve?", "docs/policy.md", r"who decides the gates"),
    ("What do I install on GitHub?", "docs/first-gate.md", r"hitl github setup"),
    ("What runs in my cluster?", "docs/argo.md", "no pod of a gate runs while it waits"),
    ("Can somebody get past it?", "docs/security.md", r"[Nn]o record,\s+no run"),
    (
        "How does an auditor read it?",
        "docs/ledger.md",
        r"git (--git-dir \S+ |-C \S+ )?log|nothing but git",
    ),
    ("What did it cost?", "docs/performance.md", r"make bench|bench/"),
]


@pytest.mark.parametrize(("question", "page", "answer"), QUESTIONS, ids=lambda text: text[:40])
def test_the_first_screen_answers(question: str, page: str, answer: str) -> None:
    first = (ROOT / page).read_text("utf-8")[:SCREEN]
    assert re.search(answer, first), f"{question} {page} does not say {answer!r} at its top"
