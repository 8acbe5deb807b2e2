"""A name in a gate's declaration that means no artifact: refused if that is sure, and else said."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import approval
from bridge.core.digest import asked_digest, digest_of
from bridge.core.errors import Faults
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.message_template import Known
from bridge.core.model import ApprovalRequest, Artifact, Better
from bridge.core.records import request_in, request_out
from bridge.core.unmatched import MOST, Option, Unmatched, unmatched
from bridge.pages.page_text import body
from bridge.render.declared_names import notes
from bridge.render.request import request_md, terminal

from .ledgers import NOON, a_request
from .test_keep import SITE

STEP = Known(artifacts=frozenset({"accuracy", "losses"}), params=frozenset({"alpha"}))
JOIN = replace(STEP, branches=("train",), foreach=True)
TYPO = Unmatched(Option.BETTER, "acuracy")


FORM = Form(
    input="input_schema",
    auto_approve_if="auto_approve_if",
    better="better",
    pictures="pictures",
    functions=True,
    proposes=True,
)


def declared(known: Known, **said: Any) -> GateSpec:
    return read(said, FORM, "the gate", asks="Deploy?", known=known)


def number(name: str, **more: Any) -> Artifact:
    return Artifact(name, "float", f"sha256:{name}", value="0.9", metric=True, **more)


def asked(*names: Unmatched, artifacts: tuple[Artifact, ...] = ()) -> ApprovalRequest:
    shown = artifacts or (number("accuracy"), number("auc"))
    return replace(a_request(), unmatched=names, artifacts=shown)


# -- before the run --------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [STEP, JOIN])
@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"better": {"acuracy": "higher"}}, "`better` has acuracy, which does not exist"),
        ({"pictures": ["acuracy"]}, "`pictures` has acuracy, which does not exist"),
        (
            {"input_schema": {"x": {"type": "number", "propose": "self.acuracy"}}},
            "`input_schema` x: proposes self.acuracy, which does not exist",
        ),
    ],
)
def test_a_name_that_no_step_sets_is_refused_before_the_run(
    known: Known, said: dict[str, Any], fault: str
) -> None:
    with pytest.raises(Faults) as caught:
        declared(known, **said)
    assert caught.value.faults == (f"{fault}; did you mean accuracy?",)


def test_a_name_that_some_step_sets_or_whose_steps_cannot_be_read_is_not() -> None:
    assert declared(STEP, better={"accuracy": "higher", "alpha": "lower"}).better
    assert declared(JOIN, better={"train[7].accuracy": "higher"}, pictures=["train[7].losses"])
    assert declared(Known(), better={"acuracy": "higher"}).better


# -- at the gate -----------------------------------------------------------------------------------


def test_every_declared_name_that_no_artifact_has_is_found() -> None:
    spec = declared(
        Known(),
        better={"acuracy": "higher", "loss": "lower", "train[7].auc": "higher"},
        pictures=["losses", "train.losses", "loss"],
        auto_approve_if=lambda accuracy, environment, of=1: False,
    )
    found = unmatched(spec.named, ["train[7].auc", "loss", "train.losses"])
    assert [(each.option, each.name) for each in found] == [
        ("better", "acuracy"),
        ("auto_approve_if", "accuracy"),
    ]


@given(st.lists(st.text(max_size=200), max_size=40))
@settings(max_examples=25)
def test_whatever_the_names_are_the_request_holds_them_and_is_bounded(names: list[str]) -> None:
    found = unmatched(((Option.PICTURES, each) for each in names), ["losses"])
    assert len(found) <= MOST
    request = asked(*found)
    assert request_in(request_out(request)) == request
    assert len(body(request, "f" * 40, SITE)) < 20_000


def test_the_page_and_the_terminal_say_the_name_where_it_is_declared_and_what_there_is() -> None:
    request = asked(TYPO)
    says = "`better` names acuracy, which does not exist; there is accuracy, auc"
    for shown in (
        body(request, "f" * 40, SITE),
        request_md(request),
        terminal(request, colour=False, width=200, now=NOON),
    ):
        assert shown.lower().count(f"in the gate's declaration, {says}") == 1
    assert "declaration" not in body(asked(), "f" * 40, SITE)


def test_what_is_better_of_a_text_means_nothing_and_what_is_not_read_is_not_judged() -> None:
    text = Artifact("model", "str", "sha256:1", value="fir", better=Better.HIGHER)
    assert list(map(str, notes(asked(artifacts=(text, number("auc", better=Better.HIGHER)))))) == [
        "`better` names model, which is not a number; there is auc"
    ]
    assert list(map(str, notes(asked(artifacts=(text,))))) == [
        "`better` names model, which is not a number"
    ]
    assert not list(notes(asked(artifacts=(replace(text, value=None),))))


def test_a_hostile_name_makes_no_markup() -> None:
    hostile = Unmatched(Option.BETTER, "x` @all <img src=//evil.example> | fixes #1")
    page = body(asked(hostile), "f" * 40, SITE)
    assert "@all" not in page
    assert "<img" not in page
    assert "fixes #1" not in page


def test_a_hostile_request_of_many_and_long_names_compares_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []

    class Counted(difflib.SequenceMatcher[str]):
        def ratio(self) -> float:
            compared.append(max(len(self.a), len(self.b)))
            return 0.0

    monkeypatch.setattr(difflib, "SequenceMatcher", Counted)
    names = [Unmatched(Option.PICTURES, f"wanted{nth}" * 100) for nth in range(MOST * 2)]
    there = tuple(number(f"there{nth}" * 100) for nth in range(600))
    said = list(notes(asked(*names, artifacts=there)))
    assert len(said) == MOST
    assert "and 592 more" in str(said[0])
    assert len(compared) == MOST * 500
    assert max(compared) == 200


def test_an_approval_is_bound_to_what_the_page_said_of_the_declaration() -> None:
    assert digest_of(asked(TYPO)) != digest_of(asked())
    assert asked_digest(asked(TYPO)) == asked_digest(asked(TYPO).draft) != asked_digest(asked())


def test_a_gate_with_a_wrong_name_opens_and_its_run_goes_on(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HITL_ENVIRONMENT", "test")
    passed = approval(
        "ship",
        "Ann",
        better={"acuracy": "higher"},
        pictures=["losess"],
        auto_approve_if="environment == test",
        artifacts={"accuracy": 0.9, "losses": [1, 2]},
    )
    assert passed.outcome == "approved"
    said = capsys.readouterr().err
    assert "hitl: `better` names acuracy, which does not exist; there is accuracy\n" in said
    assert "hitl: `pictures` names losess, which does not exist; there is losses, accuracy" in said
