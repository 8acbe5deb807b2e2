"""`@card(type="hitl")`: the decision of a gate as HTML, in which a person's words are text."""

from __future__ import annotations

import json
import subprocess
import sys

DECISION = {
    "key": "Train/7/deploy/12",
    "outcome": "approved",
    "approvers": ["bob"],
    "reason": "<script>x</script>",
    "decided_at": "2026-11-27T12:00:00+00:00",
    "inputs": {"target": "staging"},
    "page": "https://github.com/acme/models/pull/7",
    "gate": "a" * 16,
    "commit": "c" * 40,
}
# In a process of its own: Metaflow's own YAML warns as it is imported, which is an error here.
RENDER = """
import json, sys
from types import SimpleNamespace
from metaflow_extensions.hitl.plugins.cards import HitlCard
found = [SimpleNamespace(hitl_decision=each) for each in json.loads(sys.argv[1])]
found.append(SimpleNamespace())
print(json.dumps([HitlCard().render(SimpleNamespace(data=each)) for each in found]))
"""


LINES = """
import json, sys
from metaflow_extensions.hitl.plugins.shown import _lines
print(json.dumps(["\\n".join(_lines(each)) for each in json.loads(sys.argv[1])]))
"""


def test_the_words_of_a_person_are_text_in_a_default_card_too() -> None:
    hostile = {**DECISION, "page": "https://x.example/) [a](javascript:alert(1)", "inputs": {
        "![x](https://evil.example/a)": "<img src=x onerror=alert(1)>",
    }}  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-c", LINES, json.dumps([DECISION, hostile])],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    good, bad = json.loads(ran.stdout)
    assert f"[the page]({DECISION['page']})" in good
    assert "target: staging" in good
    assert "<" not in good + bad
    assert "](" not in bad


def test_a_card_says_who_let_the_task_run_and_runs_and_links_nothing_that_a_person_wrote() -> None:
    hostile = {**DECISION, "page": "javascript:alert(1)"}
    others = ["text", {}, {"outcome": "mine"}]  # a flow's own artifact of that name
    ran = subprocess.run(
        [sys.executable, "-c", RENDER, json.dumps([DECISION, hostile, *others])],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    card, bad, *without = json.loads(ran.stdout)
    assert "<h1>Train/7/deploy/12</h1>" in card
    assert "<th>Approved by</th><td>bob</td>" in card
    assert f'<a href="{DECISION["page"]}">' in card
    assert "target = staging" in card
    assert "<script>" not in card
    assert "href" not in bad
    assert len(without) == 4
    assert all("This step has no <code>@hitl</code>." in each for each in without)
