"""`docs/ledger.md` answers an auditor's questions with git alone: its own lines, run in a clone."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.core.model import Kind
from bridge.ledger.git_ledger import GitLedger, create

from .ledgers import a_decision, a_rejection, a_request
from .test_ledger_page import PAGE

SECTION = PAGE.read_text(encoding="utf-8").partition("## Questions of an auditor")[2]
SCRIPT = re.search(r"```sh\n(.*?) > decisions\.tsv\n```", SECTION, re.DOTALL)
#: What the table says to add, by its question.
ADDED = dict(re.findall(r"^\| (.*?\?) \| `(-.*?)`.*\|$", SECTION, re.MULTILINE))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("audit")
    create(at / "ledger.git")
    ledger = GitLedger(str(at / "ledger.git"), at / "cache")
    days = (datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    for flow, day in (("Train", days[0]), ("Trainer", days[1]), ("Train", days[1])):
        request = a_request(
            f"{flow}/{day.month}/deploy/1", kind=Kind(flow, "deploy"), opened_at=day
        )
        ledger.open(request, "x")
        decide = a_rejection if flow == "Trainer" else a_decision
        ledger.record(decide(request, decided_at=day + timedelta(minutes=5)))
    subprocess.run(
        ["git", "clone", "-q", "--no-checkout", "ledger.git", "clone"], cwd=at, check=True
    )
    return at / "clone"


def answers(clone: Path, added: str = "") -> list[list[str]]:
    assert SCRIPT, "the page has no command that makes a table"
    lines = subprocess.run(
        ["sh", "-euc", f"{SCRIPT[1]} {added}"],
        cwd=clone, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return [line.split("\t") for line in lines]


def test_the_table_has_a_line_for_each_decision_and_none_for_a_request(clone: Path) -> None:
    rows = answers(clone)
    assert sorted(row[:2] for row in rows) == [
        ["2026-02-28T00:05:00Z", "approved"],
        ["2026-03-02T00:05:00Z", "approved"],
        ["2026-03-02T00:05:00Z", "rejected"],
    ]
    assert {row[2] for row in rows} == {"Ann <ann@example.org>"}
    assert all(len(row) == 5 and len(row[4]) == 40 for row in rows)


FOUND = {
    "Which decisions of one flow or model?": ["Train/2", "Train/3"],
    "Which decisions of one person?": ["Train/2", "Train/3", "Trainer/3"],
    "What was rejected?": ["Trainer/3"],
    "What was decided in March?": ["Train/3", "Trainer/3"],
}


@pytest.mark.parametrize("question", FOUND)
def test_a_question_of_the_page_is_answered(clone: Path, question: str) -> None:
    found = sorted(row[3].removesuffix("/deploy/1") for row in answers(clone, ADDED[question]))
    assert found == FOUND[question]


def test_every_question_of_the_page_is_tried() -> None:
    assert ADDED.keys() == FOUND.keys()
