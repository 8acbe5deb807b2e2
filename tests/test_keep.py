"""`@hitl(keep=True)`: the approver of a join chooses the branches of a foreach that it gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core import input_fields
from bridge.core.branches import MOST_BRANCHES, asking_for, branches_of, kept, names_of
from bridge.core.errors import Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.input_fields import objection, parse_pairs
from bridge.core.json_schema import unsound
from bridge.core.model import ApprovalRequest, Artifact
from bridge.pages.model import Site, Voices
from bridge.pages.page_text import body
from bridge.render.branches import table
from bridge.render.request import request_md, terminal
from tests.ledgers import NOON, a_request
from tests.metaflows import Project

from .test_metaflow_fail_closed import waiting

NAMES = ("de", "fr", "it")
SITE = Site("acme/models", 1, "https://github.example/acme/models", "main", "c", None, Voices())


def asked(**accuracy: str) -> ApprovalRequest:
    artifacts = [
        Artifact(f"train[{name}].accuracy", "float", f"sha256:{name}", value=value, metric=True)
        for name, value in accuracy.items()
    ]
    return replace(a_request(), artifacts=tuple(artifacts), schema=asking_for(None, [*accuracy]))


def test_a_join_gets_the_branches_that_its_approver_keeps(tmp_path: Path) -> None:
    project = Project(tmp_path, clouds=False)
    process = project.start("keeps.py", "run")
    _, key, _ = waiting(process)
    said = project.flow("keeps.py", "hitl", "show", key).said
    assert "run 77 has no approved gate to compare with" in said
    wrong_name = "`better` names train[es].accuracy, which does not exist; there is train[de].accur"
    assert wrong_name in " ".join(said.split())
    wrong = project.flow("keeps.py", "hitl", "approve", key, "-i", "keep=all-except-es")
    assert wrong.code != 0
    assert "keep: 'all-except-es' names 'es', which is none of de, fr, it" in wrong.said
    answer = project.flow("keeps.py", "hitl", "approve", key, "-i", "keep=all-except-fr")
    assert answer.code == 0, answer.said
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    (end,) = project.ran("end")
    assert end["published"] == ["de", "it"]
    assert end["said"] == {"keep": ["de", "it"]}
    assert end["countries"] == ["de", "fr", "it"]  # merged from the two that were kept
    gate = project.gate(key)
    assert gate
    shown = {each.name: each.text for each in gate.request.artifacts}
    assert shown.keys() >= {"train[de].accuracy", "countries"}
    assert shown["train[de].notes"] == "trained on de\nwith care"  # what a later page compares


# -- what a join that asks may be ------------------------------------------------------------------


FORM = Form(
    input="input_schema",
    timeout="timeout",
    on_timeout="on_timeout",
    auto_approve_if="auto_approve_if",
    keep="keep",
)


def declared(says: dict[str, Any]) -> GateSpec:
    return read(says, FORM, "the gate", asks="Keep which?")


def test_only_the_join_of_a_foreach_can_ask_which_branches_to_keep(tmp_path: Path) -> None:
    project = Project(tmp_path, clouds=False)
    (tmp_path / "wrong.py").write_text(
        "from metaflow import FlowSpec, hitl, step\n\n"
        "class Wrong(FlowSpec):\n"
        "    @hitl(keep=True)\n    @step\n"
        "    def start(self):\n        self.next(self.end)\n\n"
        "    @step\n    def end(self):\n        pass\n\n"
        'if __name__ == "__main__":\n    Wrong()\n'
    )
    said, _ = project.python(str(tmp_path / "wrong.py"), "check").communicate(timeout=60)
    assert "The step start has `keep=True`, which is for the join of a foreach." in said


@pytest.mark.parametrize(
    ("says", "fault"),
    [
        ({"keep": "all"}, "`keep` is 'all'; use True or False"),
        (
            {"keep": True, "input_schema": {"keep": "int = 2"}},
            "`input_schema` has a field keep, which is the answer to `keep`",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_sentence(says: dict[str, Any], fault: str) -> None:
    with pytest.raises(Faults) as faults:
        declared(says)
    assert faults.value.faults == (fault,)


def test_the_clock_and_a_condition_may_keep_all() -> None:
    alone = {"timeout": "1h", "on_timeout": "approve", "auto_approve_if": "environment == dev"}
    assert declared({"keep": True, **alone}).keep


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (["de", "fr"], ("de", "fr")),
        (["7", "8"], ("7", "8")),
        (["Zürich", "x-1.5_b"], ("Zürich", "x-1.5_b")),
        (["de", "de"], ("0", "1")),
        (["de", "all"], ("0", "1")),
        (["none", "fr"], ("0", "1")),
        (["all-except-it", "it"], ("0", "1")),
        (["de", "x" * 30], ("0", "1")),  # Metaflow may have cut it
        (["-1", "1"], ("0", "1")),
        (["de,fr", "it"], ("0", "1")),
        (["de fr", "it"], ("0", "1")),
        (["", "it"], ("0", "1")),
        (["`rm`", "it"], ("0", "1")),
        (["d\u202ee", "it"], ("0", "1")),
        ([None, None], ("0", "1")),
    ],
)
def test_a_branch_has_the_name_of_its_item_only_if_all_can_be_typed_and_told_apart(
    items: list[Any], names: tuple[str, ...]
) -> None:
    assert names_of(items) == names


@given(st.lists(st.text(max_size=40), max_size=6))
@settings(max_examples=40)
def test_names_are_told_apart_whatever_the_items_are(items: list[str]) -> None:
    names = names_of(items)
    assert len(set(names)) == len(names) == len(items)
    for each in names:
        typed = parse_pairs([f"keep={each}"], asking_for(None, names))
        assert typed == {"keep": [each]}


def test_a_schema_of_as_many_branches_as_are_allowed_is_sound_and_one_more_is_refused() -> None:
    names = [f"{n:029}" for n in range(MOST_BRANCHES)]
    assert not unsound(asking_for({"type": "object", "properties": {"note": {}}}, names))
    with pytest.raises(Faults, match="is for 500 branches at most, and this join has 501"):
        asking_for(None, [*names, "one"])


# -- answers ---------------------------------------------------------------------------------------

SCHEMA = asking_for(None, NAMES)


@pytest.mark.parametrize(
    ("typed", "keeps"),
    [
        ("all", [*NAMES]),
        ("none", []),
        ("it,de", ["de", "it"]),
        ("de, de", ["de"]),
        ("all-except-fr", ["de", "it"]),
        ("all-except-fr,it", ["de"]),
        ('["it"]', ["it"]),
    ],
)
def test_an_answer_names_those_to_keep_or_those_to_leave_out(typed: str, keeps: list[str]) -> None:
    assert parse_pairs([f"keep={typed}"], SCHEMA) == {"keep": keeps}


@pytest.mark.parametrize("typed", ["es", "de,es", "all-except-es", "", "all-except-", "0", "ALL"])
def test_a_wrong_answer_is_told_in_one_sentence_which_names_there_are(typed: str) -> None:
    with pytest.raises(Faults) as faults:
        parse_pairs([f"keep={typed}"], SCHEMA)
    (says,) = faults.value.faults
    assert says.endswith("which is none of de, fr, it; you can also write all, none, all-except-de")


@pytest.mark.parametrize("keeps", [["es"], ["de", "de"], "all", None, [1]])
def test_an_answer_that_was_not_typed_is_checked_all_the_same(keeps: Any) -> None:
    assert objection(SCHEMA, {"keep": keeps})


def test_a_plain_approval_keeps_all() -> None:
    assert input_fields.filled(SCHEMA, {}) == {"keep": [*NAMES]}


def test_a_list_of_choices_that_a_flow_declares_is_answered_in_the_same_words() -> None:
    targets = {"type": "array", "items": {"enum": ["none", "staging", "prod"]}}
    schema = {"type": "object", "properties": {"targets": targets}}
    assert parse_pairs(["targets=all-except-prod"], schema) == {"targets": ["none", "staging"]}
    assert parse_pairs(["targets=none"], schema) == {"targets": ["none"]}  # its own choice
    assert branches_of(replace(a_request(), schema=schema)) == ()


def test_a_record_without_an_answer_keeps_nothing() -> None:
    names = {2: "de", 0: "fr", 1: "it"}  # Metaflow may hand them in any order
    assert kept(names, {}) == frozenset()
    assert kept(names, {"keep": ["de", "it"]}) == {1, 2}


# -- the page --------------------------------------------------------------------------------------


def test_the_page_has_a_row_for_each_branch_and_those_that_stand_out_first() -> None:
    request = asked(de="0.91", fr="0.9", it="0.2", es="0.92")
    found = table(request)
    assert found
    assert found.columns == ("accuracy",)
    assert (found.rows[0].name, found.rows[0].stands_out) == ("it", True)
    assert [each.stands_out for each in found.rows[1:]] == [False] * 3
    page = body(request, "f" * 40, SITE)
    assert "| branch | accuracy |\n|---|---|\n| it (stands out) | 0.2 |\n" in page
    assert "To leave one out: `/approve keep=all-except-it`" in page
    assert "| it (stands out) | 0.2 |" in request_md(request)
    assert "keep: list, default all" in terminal(request, colour=False, width=200, now=NOON)


def test_branches_without_numbers_keep_their_order() -> None:
    request = asked(de="about 1", fr="x", it="nan")
    found = table(request)
    assert found
    assert [each.name for each in found.rows] == ["de", "fr", "it"]
    assert not any(each.stands_out for each in found.rows)
    assert "| branch |" in body(replace(request, artifacts=()), "f" * 40, SITE)
    assert table(replace(request, schema=None)) is None


def test_the_values_of_a_branch_are_text() -> None:
    shown = body(asked(de="@all | <b> `x` /approve", fr="1"), "f" * 40, SITE)
    assert "@all" not in shown
    assert "<b>" not in shown


def test_many_branches_end_at_what_a_page_has_room_for() -> None:
    request = asked(**{f"b{n:027}": str(n) for n in range(MOST_BRANCHES)})
    page = body(request, "f" * 40, SITE)
    assert len(page) <= 65_536
    assert "more branches are in `request.md`." in page
    assert request_md(request).count("| b0") >= MOST_BRANCHES
