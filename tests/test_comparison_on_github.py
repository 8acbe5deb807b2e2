"""The comparison of a gate whose opener may not be trusted with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.comparison import compared, kind_of
from bridge.core.errors import Faults
from bridge.core.model import ApprovalRequest, Artifact, Baseline, CompareBy, Kind, Subject
from bridge.gates.open_page import place_on, policy_for, put_up
from bridge.render.request import request_md

from .forge import World, world
from .github.pulls import PullRequest

KIND = Kind("Train", "deploy")
ABOUT = Subject("Train", "deploy")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def accuracy(value: str) -> tuple[Artifact, ...]:
    return (Artifact("accuracy", "float", f"sha256:{value}", value=value, metric=True),)


def opened(
    at: World, run: int, value: str, task: int = 12, against: str | None = None
) -> PullRequest:
    key = f"Train/{run}/deploy/{task}"
    return at.open(key, artifacts=accuracy(value), kind=KIND, against=against)


def approved(at: World, run: int, value: str) -> PullRequest:
    pull = opened(at, run, value)
    approve(at, pull)
    assert at.recorded(pull)
    return pull


def approve(at: World, pull: PullRequest) -> None:
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED")
    at.github.clock.advance(minutes=1)
    at.tend(pull)
    at.github.clock.advance(seconds=1)  # what is asked in the same second may have come before


def baseline(at: World, pull: PullRequest) -> Baseline:
    found = at.standing(pull).request.baseline
    assert found
    return found


def test_a_page_says_first_what_changed_since_the_last_approved_run(at: World) -> None:
    first = opened(at, 6, "0.929")
    assert "**accuracy 0.929, no earlier approval to compare with**" in first.body
    approve(at, first)
    second = opened(at, 7, "0.941")
    assert (
        "**accuracy 0.941 (+0.012 since run 6, approved by alice); 1 of 1 artifact changed**"
        in (second.body)
    )
    assert "| accuracy | 0.941 (+0.012) | 0.929 |" in second.body
    approve(at, second)
    assert at.recorded(second)


def test_a_rejected_run_is_compared_with_nothing_later(at: World) -> None:
    first = opened(at, 6, "0.929")
    at.github.clock.advance(minutes=1)
    first.comment(at.alice, "/reject too low")
    at.tend(first)
    assert at.recorded(first)
    assert at.standing(opened(at, 7, "0.941")).request.baseline is None


def test_a_later_approval_voids_nothing(at: World) -> None:
    approved(at, 6, "0.929")
    waiting = opened(at, 7, "0.941")
    approved(at, 8, "0.95")
    approve(at, waiting)
    assert at.recorded(waiting)
    assert baseline(at, waiting).key == "Train/6/deploy/12"
    # The last to be recorded is the last that was approved.
    assert baseline(at, opened(at, 9, "0.9")).key == "Train/7/deploy/12"


def test_five_gates_of_one_run_are_each_asked_once(at: World) -> None:
    """Splits that nothing tells apart are of one kind, and none of them is due."""
    approved(at, 6, "0.929")
    splits = [opened(at, 7, "0.941", task) for task in range(5)]
    for each in splits:
        approve(at, each)
        assert at.recorded(each), at.notes(each)
        assert baseline(at, each).key == "Train/6/deploy/12"


def test_a_run_that_waits_while_four_others_are_approved_is_not_asked_anew(at: World) -> None:
    approved(at, 6, "0.929")
    waiting = opened(at, 7, "0.941")
    for run in range(8, 12):
        approved(at, run, "0.95")
    approve(at, waiting)
    assert at.recorded(waiting), at.notes(waiting)


def test_opening_again_keeps_what_was_shown(at: World) -> None:
    approved(at, 6, "0.929")
    first = opened(at, 7, "0.941")
    approved(at, 8, "0.95")
    again = opened(at, 7, "0.941")
    assert again.number == first.number
    assert baseline(at, again).key == "Train/6/deploy/12"


def forged(
    at: World,
    run: int,
    value: str,
    chosen: Baseline | None,
    kind: Kind = KIND,
    against: str | None = None,
) -> PullRequest:
    """Opened by an opener that chooses what its request is compared with."""
    honest = at.request(f"Train/{run}/deploy/12", artifacts=accuracy(value), against=against)
    desk = at.desk(at.opener)
    look = desk.forge.find([honest.gate.branch])
    place = place_on(desk.forge, look.site)
    policy = policy_for(replace(honest, baseline=chosen), look.site)
    asked: ApprovalRequest = replace(honest, policy=policy, venue=place, kind=kind, baseline=chosen)
    page = put_up(desk, look, desk.ledger.open(asked, request_md(asked)))
    return at.repo.pull(page.number)


@pytest.mark.parametrize("choice", ["none", "older", "invented"])
def test_an_opener_that_picks_a_flattering_comparison_gains_nothing(at: World, choice: str) -> None:
    old = approved(at, 5, "0.5")
    older = baseline(at, opened(at, 50, "0.5"))
    approved(at, 6, "0.929")
    invented = replace(older, key="Train/6/deploy/12", artifacts=accuracy("0.1"))
    chosen = {"none": None, "older": older, "invented": invented}[choice]
    pull = forged(at, 7, "0.6", chosen)
    approve(at, pull)
    assert at.recorded(pull) is None
    assert any("compared with another run" in each for each in at.notes(pull))
    assert baseline(at, pull).key == "Train/6/deploy/12"
    assert "**accuracy 0.6 (-0.329 since run 6, approved by alice)" in pull.body
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED", f"/approve {pull.body.split('/approve ')[1].split()[0]}")
    at.github.clock.advance(minutes=1)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    found = compared(at.standing(pull).request)
    assert found
    assert found.baseline.artifacts == accuracy("0.929")
    assert old.number != pull.number


def test_an_opener_cannot_be_what_another_flow_is_compared_with(at: World) -> None:
    theirs = replace(KIND, flow="Other")
    with pytest.raises(Faults, match="its `kind` is that of another flow, step or environment"):
        at.open("Train/8/deploy/12", artifacts=accuracy("0.1"), kind=theirs)
    pull = forged(at, 9, "0.1", None, theirs)
    approve(at, pull)
    assert at.recorded(pull) is None
    assert "is that of another flow" in at.status(pull)


def test_a_flattering_comparison_in_a_sweep_stops_no_other_gate(at: World) -> None:
    approved(at, 5, "0.5")
    older = baseline(at, opened(at, 50, "0.5"))
    approved(at, 6, "0.929")
    liar, honest = forged(at, 7, "0.6", older), opened(at, 8, "0.95")
    at.github.clock.advance(minutes=1)
    for pull in (liar, honest):
        pull.review(at.alice, "APPROVED")
    at.sweep()
    assert at.recorded(liar) is None
    assert at.recorded(honest)
    assert baseline(at, liar).key == "Train/8/deploy/12"  # which this very sweep approved


def test_gates_of_another_environment_or_key_are_not_compared(at: World) -> None:
    approved(at, 6, "0.929")
    staging = Subject("Train", "deploy", "staging")
    for kind, subject in (
        (kind_of(staging, CompareBy()), staging),
        (replace(KIND, name="de"), ABOUT),
    ):
        pull = at.open("Train/8/deploy/12", artifacts=accuracy("1"), kind=kind, subject=subject)
        assert at.standing(pull).request.baseline is None


# -- a run that the flow names ---------------------------------------------------------------------


def test_a_gate_is_compared_with_the_run_that_its_flow_names(at: World) -> None:
    """Of that run's values none are at hand any more: its own record has them."""
    for run, value in ((5, "0.5"), (6, "0.929"), (7, "0.93"), (8, "0.94")):
        approved(at, run, value)
    pull = opened(at, 9, "0.941", against="5")
    assert "**accuracy 0.941 (+0.441 since run 5, approved by alice)" in pull.body
    assert "| artifact | now | run 5 |" in pull.body
    approve(at, pull)
    assert at.recorded(pull), at.notes(pull)
    assert baseline(at, opened(at, 10, "0.95")).key == "Train/9/deploy/12"


@pytest.mark.parametrize("choice", ["none", "last", "invented"])
def test_an_opener_cannot_compare_with_another_run_than_its_request_names(
    at: World, choice: str
) -> None:
    approved(at, 5, "0.5")
    approved(at, 6, "0.4")
    last = baseline(at, opened(at, 50, "0.5"))
    invented = replace(last, key="Train/5/deploy/12", artifacts=accuracy("0.1"))
    chosen = {"none": None, "last": last, "invented": invented}[choice]
    pull = forged(at, 7, "0.6", chosen, against="5")
    approve(at, pull)
    assert at.recorded(pull) is None
    assert any("compared with another run" in each for each in at.notes(pull))
    assert baseline(at, pull).key == "Train/5/deploy/12"


def test_a_page_says_that_the_run_that_a_flow_names_has_no_approval(at: World) -> None:
    approved(at, 5, "0.5")
    for run, named in ((7, "77"), (8, "8")):  # unknown, and its own
        pull = opened(at, run, "0.941", against=named)
        assert f"run {named} has no approved gate to compare with" in pull.body
        approve(at, pull)
        assert at.recorded(pull), at.notes(pull)
        assert at.standing(pull).request.baseline is None
