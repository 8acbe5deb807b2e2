"""docs/messages.md: each template, input and condition that it shows does what it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.core import conditions, input_fields
from bridge.core.conditions import judge
from bridge.core.errors import Faults
from bridge.core.message_template import Known, Scope, check, render

PAGE = (Path(__file__).parents[1] / "docs" / "messages.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def declared(containing: str) -> list[dict[str, Any]]:
    """What each `@hitl(...)` of the one block with these words is given."""
    (block,) = [each for each in BLOCKS if containing in each]
    calls = [each.value for each in ast.parse(re.sub(r"(?m)^@(?=hitl)", "", block)).body
             if isinstance(each, ast.Expr)]  # fmt: skip
    return [
        {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        for call in calls
        if isinstance(call, ast.Call)
    ]


# -- messages --------------------------------------------------------------------------------------

STEP = Scope(
    {
        "accuracy": 0.9412,
        "metrics": {"loss": 0.1},
        "rows": [1, 2],
        "summary": "fine",
        "model_name": "resnet",
    },
    params={"alpha": 3},
)
JOIN = Scope(inputs=[("train", {"accuracy": 0.9, "loss": 1}), ("test", {"loss": 2})])
FOREACH = Scope(inputs=[("train", {"accuracy": 0.9}), ("train", {"accuracy": 0.8})])
#: The first column of the table, with what it becomes.
SHOWN = {
    "{self.accuracy:.1%}": (STEP, "94.1%"),
    "{self.metrics.loss}": (STEP, "0.1"),
    "{self.rows[0]}": (STEP, "1"),
    "{self.summary}": (STEP, "fine"),
    "{params.alpha}": (STEP, "3"),
    "{inputs.train.accuracy}": (JOIN, "0.9"),
    "{inputs[0].accuracy}": (FOREACH, "0.9"),
    "{{ self.accuracy | round(2) }}": (STEP, "0.94"),
    "{% for each in inputs %}{{ each.loss }} {% endfor %}": (JOIN, "1 2 "),
    '{{ self.notes | default("none") }}': (STEP, "none"),
}


def test_each_template_of_the_table_becomes_what_is_said() -> None:
    table = PAGE.partition("| write | to show |")[2].partition("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", row)[1] for row in table.splitlines() if row.startswith("| `")]
    written = [each.replace("\\|", "|") for row in rows for each in re.findall("`(.+?)`", row)]
    assert written == list(SHOWN)
    assert [render(each, scope) for each, (scope, _) in SHOWN.items()] == [
        text for _, text in SHOWN.values()
    ]


def test_the_message_at_the_top_is_rendered() -> None:
    (given,) = declared("Deploy {self.model_name}?")
    assert render(given["message"], STEP) == "Accuracy: 94.1%. Deploy resnet?"


def test_a_misspelled_artifact_gets_the_sentence_that_is_shown() -> None:
    (shown,) = re.findall(r"```text\n`message`: (\{.*)\n```", PAGE)
    with pytest.raises(Faults) as caught:
        check("{self.acuracy:.1%}", Known(frozenset({"accuracy", "auc"})))
    assert caught.value.faults == (shown,)


@pytest.mark.parametrize("written", ["{}", "{HOME}"])
def test_braces_that_name_nothing_are_refused(written: str) -> None:
    with pytest.raises(Faults):
        render(written, STEP)
    assert render("{{ '{HOME}' }}", STEP) == "{HOME}"


# -- typed input -----------------------------------------------------------------------------------


def test_the_short_form_has_a_default_a_field_to_leave_out_and_a_remark() -> None:
    (given,) = declared('"replicas": "int = 2"')
    schema = input_fields.schema_of(given["input_schema"])
    assert input_fields.check(schema, {"deploy_target": "staging"}) == {
        "deploy_target": "staging",
        "replicas": 2,
        "notes": "",
    }
    assert input_fields.owed(schema) == ("deploy_target",)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"deploy_target": "moon"}, "deploy_target"),
        ({"replicas": 10}, "replicas"),
        ({"replicas": "2"}, "replicas"),
        ({"replicas": 2.0}, "replicas"),
        ({"tag": "v1\n"}, "tag"),
        ({"else": 1}, "else"),
    ],
)
def test_the_json_schema_takes_what_it_says_and_nothing_else(
    more: dict[str, Any], field: str
) -> None:
    (given,) = declared('"additionalProperties": False')
    schema = input_fields.schema_of(given["input_schema"])
    whole = {"deploy_target": "production", "tag": "v1"}
    assert input_fields.check(schema, whole) == {**whole, "replicas": 2}
    with pytest.raises(Faults) as caught:
        input_fields.check(schema, {**whole, **more})
    (fault,) = caught.value.faults
    assert fault.startswith(f"{field}: ")


def test_words_are_read_as_their_field_is_declared() -> None:
    (given,) = declared('"replicas": "int = 2"')
    schema = input_fields.schema_of(given["input_schema"])
    words = ["deploy_target=C:\\m\\v1", "replicas=3"]
    read = input_fields.read(schema, pairs=words)
    assert read == {"deploy_target": "C:\\m\\v1", "replicas": 3}


# -- conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ({"accuracy": 0.9}, (True, False)),
        ({"accuracy": 0.89, "environment": " Staging"}, (False, True)),
        ({"accuracy": "0.95", "environment": "production"}, (False, False)),
        ({"accuracy": float("nan")}, (False, False)),
        ({"accuracy": float("inf")}, (False, False)),
        ({}, (False, False)),
    ],
)
def test_the_conditions_shown_hold_for_what_is_said_and_absence_never_approves(
    values: dict[str, Any], holds: tuple[bool, ...]
) -> None:
    texts = [each["auto_approve_if"] for each in declared("auto_approve_if")]
    assert tuple(judge(conditions.parse(text), values).holds for text in texts) == holds
