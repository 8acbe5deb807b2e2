"""What a page says of the last approved gate of the same kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.comparison import (
    MOST_ARTIFACTS,
    MOST_BASELINES,
    MOST_CHARACTERS,
    MOST_LISTED,
    Change,
    baseline_of,
    compared,
    declared_better,
    is_of_same_run,
    is_stale,
    kind_of,
    known_from,
    last_run,
    path_of,
    split_of,
    with_newest,
)
from bridge.core.delivery import Workflow
from bridge.core.digest import asked_digest, digest_of
from bridge.core.evaluation import Decider
from bridge.core.model import (
    HERE,
    ApprovalRequest,
    Artifact,
    Baseline,
    Baselines,
    Better,
    CompareBy,
    Kind,
    Place,
    Subject,
    on_github,
)
from bridge.core.records import request_in, request_out
from bridge.render.comparison import in_brief, same_besides, table
from bridge.render.request import request_md, terminal

from .ledgers import NOON, a_decision, a_request

FLOW = Kind("Train", "deploy")


def number(name: str, value: str, **more: Any) -> Artifact:
    return Artifact(name, "float", f"sha256:{name}{value}", value=value, metric=True, **more)


def bytes_of(name: str, digest: str) -> Artifact:
    return Artifact(name, "sklearn.Model", f"sha256:{digest}", size=1_000)


def approved(*artifacts: Artifact, run: int = 6) -> ApprovalRequest:
    return a_request(f"Train/{run}/deploy/12", artifacts=artifacts, kind=FLOW)


def after(before: ApprovalRequest, *artifacts: Artifact, run: int = 7) -> ApprovalRequest:
    """A request of the same kind, opened after `before` was approved."""
    baseline = baseline_of(before, a_decision(before))
    return replace(approved(*artifacts, run=run), baseline=baseline)


BEFORE = approved(number("accuracy", "0.929"), number("loss", "0.3"), bytes_of("model", "a"))


def test_the_first_sentence_says_the_metric_its_change_since_when_and_what_else_changed() -> None:
    now = after(BEFORE, number("accuracy", "0.941"), number("loss", "0.3"), bytes_of("model", "b"))
    assert in_brief(now) == (
        "accuracy 0.941 (+0.012 since run 6, approved by Ann), loss 0.3; 2 of 3 artifacts changed"
    )


def test_a_change_is_better_or_worse_only_if_the_flow_says_which_values_are() -> None:
    accuracy = number("accuracy", "0.941", better=Better.HIGHER)
    loss = number("loss", "0.4", better=Better.LOWER)
    assert in_brief(after(BEFORE, accuracy, loss)) == (
        "accuracy 0.941 (better: +0.012 since run 6, approved by Ann), loss 0.4 (worse: +0.1);"
        " 2 of 2 artifacts changed, 1 gone"
    )


def test_a_gate_without_an_earlier_approval_says_so() -> None:
    first = approved(number("accuracy", "0.9"))
    assert in_brief(first) == "accuracy 0.9, no earlier approval to compare with"
    assert in_brief(replace(first, kind=None)) == "accuracy 0.9"
    assert in_brief(approved()) == ""


def test_the_table_puts_each_value_beside_the_last_approved_one() -> None:
    now = after(BEFORE, number("accuracy", "0.941"), bytes_of("model", "a"), number("f1", "0.5"))
    rows = [(each.name, each.value, each.before, each.change) for each in table(now)]
    assert rows == [
        ("accuracy", "0.941", "0.929", "+0.012"),
        ("f1", "0.5", "", "new"),
        ("loss", "", "0.3", "gone"),
    ]
    assert same_besides(now) == 1  # the model
    page = request_md(now)
    assert "| accuracy | 0.941 (+0.012) | 0.929 |" in page
    assert "1 more is the same, byte by byte." in page


def test_a_terminal_shows_the_same_change_as_the_page() -> None:
    now = after(BEFORE, number("accuracy", "0.941"))
    text = terminal(now, colour=False, width=100, now=NOON)
    assert "accuracy 0.941 (+0.012 since run 6, approved by Ann)" in text
    row = ["accuracy", "0.941", "+0.012", "float"]
    assert row in [each.split() for each in text.splitlines()]


def test_equal_bytes_are_the_same_and_a_value_that_reads_alike_may_still_have_changed() -> None:
    now = after(
        BEFORE, replace(number("loss", "0.3"), digest="sha256:other"), bytes_of("model", "a")
    )
    changes = {each.name: each.change for each in compared(now).rows}  # type: ignore[union-attr]
    assert changes == {"loss": Change.CHANGED, "model": Change.SAME, "accuracy": Change.GONE}
    assert [each.change for each in table(now)][:1] == ["±0"]


@pytest.mark.parametrize("value", ["nan", "inf", "a number of 20,000 bits", ""])
def test_what_is_no_number_has_no_difference(value: str) -> None:
    now = after(BEFORE, number("accuracy", value))
    assert compared(now).rows[0].difference is None  # type: ignore[union-attr]
    assert "+" not in in_brief(now)


@pytest.mark.parametrize(
    ("now", "before"),
    [("9e999999", "-9e999999"), ("1e400", "1"), ("1_0", "1"), ("٣", "1"), ("1" * 5_000, "1")],
)
def test_a_number_that_nobody_reads_so_or_that_overflows_has_no_difference(
    now: str, before: str
) -> None:
    request = after(approved(number("accuracy", before)), number("accuracy", now))
    assert [each.change for each in table(request)] == ["changed"]
    assert len(in_brief(request)) < 200


def test_an_approved_gate_with_long_values_leaves_room_for_later_ones() -> None:
    before = approved(*(bytes_of(f"{n:03}" + "x" * 9_000, "a") for n in range(150)))
    request = after(before, *before.artifacts)
    assert request.baseline is not None
    assert len(request_out(replace(request, artifacts=()))) < 2 * MOST_CHARACTERS
    assert request.baseline.left_out == 150 - len(request.baseline.artifacts)
    assert request_in(request_out(request)) == request


def test_a_baseline_without_room_for_an_artifact_does_not_call_it_new() -> None:
    many = approved(*(number(f"m{n:04}", "1") for n in range(MOST_ARTIFACTS + 5)))
    now = after(many, *many.artifacts)
    found = compared(now)
    assert found is not None
    assert found.baseline.left_out == 5
    assert found.count(Change.SAME) == MOST_ARTIFACTS
    assert found.count(Change.UNKNOWN) == 5
    assert found.count(Change.NEW) == 0


def test_a_baseline_says_who_approved_it_also_if_nobody_did() -> None:
    decision = a_decision(BEFORE)
    assert baseline_of(BEFORE, decision).by == "Ann"
    alone = replace(decision, considered=(), by=Decider.CLOCK)
    assert baseline_of(BEFORE, alone).by == "the clock"
    assert baseline_of(BEFORE, replace(alone, by=Decider.CONDITION)).by == "a condition"


# -- kinds -----------------------------------------------------------------------------------------


def test_gates_are_compared_within_one_flow_step_environment_project_and_key() -> None:
    subject = Subject("Train", "deploy", "production")
    kinds = [
        kind_of(subject, CompareBy()),
        kind_of(replace(subject, environment="staging"), CompareBy()),
        kind_of(replace(subject, step="publish"), CompareBy()),
        kind_of(replace(subject, flow="Other"), CompareBy()),
        kind_of(subject, CompareBy(), "shop", "prod"),
        kind_of(subject, CompareBy(), "shop", "test.x"),
        kind_of(subject, CompareBy(name="de")),
    ]
    assert len({path_of(replace(BEFORE, kind=each)) for each in kinds}) == len(kinds)
    labelled = replace(subject, labels=("gpu",), artifacts={"a": 1})
    assert kind_of(labelled, CompareBy()) == kinds[0]


def test_a_gate_whose_author_wants_no_comparison_has_no_kind() -> None:
    assert kind_of(Subject("Train", "deploy"), CompareBy(wanted=False)) is None


def test_two_repositories_of_one_ledger_are_not_compared_and_a_rename_changes_nothing() -> None:
    def path(venue: Place) -> str | None:
        return path_of(replace(BEFORE, venue=venue))

    one = on_github("acme/shop")
    assert path(one) != path(on_github("acme/blog"))
    assert path(one) == path(on_github("Acme/Shop"))
    numbered = replace(one, repository_id=7)
    assert path(numbered) == path(replace(numbered, repository="acme/new"))
    assert path(one) != path(HERE)


def kept(*requests: ApprovalRequest) -> Baselines:
    """What a kind's file holds after these were approved, a minute after each other."""
    found = Baselines(FLOW)
    for each in requests:
        found = with_newest(found, each, a_decision(each))
    return found


def at_minute(request: ApprovalRequest, minute: int) -> ApprovalRequest:
    return replace(request, opened_at=NOON + timedelta(minutes=minute))


def vouched(_: object) -> bool:
    return True


def test_the_newest_approvals_of_a_kind_are_kept_one_for_each_run() -> None:
    runs = [at_minute(approved(run=run), run) for run in range(5)]
    found = kept(*runs)
    assert [each.key for each in found.approved] == [
        f"Train/{run}/deploy/12" for run in (4, 3, 2)[:MOST_BASELINES]
    ]
    assert [each.key for each in found.listed] == [each.gate.key for each in reversed(runs)]
    sibling = at_minute(a_request("Train/4/deploy/13", kind=FLOW), 9)
    after_it = with_newest(found, sibling, a_decision(sibling))
    assert [each.key for each in after_it.approved] == [
        "Train/4/deploy/13",
        "Train/3/deploy/12",
        "Train/2/deploy/12",
    ]
    again = with_newest(found, runs[3], a_decision(runs[3]))  # recorded again
    assert [each.key for each in again.approved][:2] == [runs[3].gate.key, runs[4].gate.key]
    assert len(again.listed) == len(found.listed)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("Train/7/deploy/1", "Train/7/deploy/2", True),
        ("Train/7/deploy/1", "Train/8/deploy/1", False),
        ("Train/deploy/deploy/1", "Train/deploy/deploy/2", True),
        ("Release/71/deploy", "Release/72/deploy", False),  # a job of GitHub Actions
        ("train/a/b/deploy/1", "train/a/c/deploy/1", False),
    ],
)
def test_two_gates_of_a_kind_are_siblings_if_one_run_asks_both(
    one: str, other: str, together: bool
) -> None:
    asks, asked = a_request(one, kind=FLOW), a_request(other, kind=FLOW)
    baseline = baseline_of(asked, a_decision(asked))
    assert is_of_same_run(asks, baseline) is together
    elsewhere = replace(asks, gate=replace(asks.gate, origin="another machine"))
    assert not is_of_same_run(elsewhere, baseline)


def test_the_nodes_of_one_argo_workflow_are_siblings() -> None:
    workflow = Workflow("ml", "train-1", "u-1")
    asks, asked = (
        a_request(f"ml/train-1.each({n}:x)/deploy", kind=FLOW, workflow=workflow) for n in (0, 1)
    )
    assert is_of_same_run(asks, baseline_of(asked, a_decision(asked)))


@pytest.mark.parametrize("count", [5, MOST_LISTED * 2])
def test_the_splits_of_a_run_never_void_each_other(count: int) -> None:
    before = approved(run=6)
    last = baseline_of(before, a_decision(before))
    splits = [
        replace(a_request(f"Train/7/deploy/{n}", kind=FLOW), baseline=last) for n in range(count)
    ]
    asked_at = NOON + timedelta(hours=1)
    found = kept(before)
    for minute, each in enumerate(splits, 61):
        assert not is_stale(each, known_from([found]), asked_at, vouched)
        assert last_run(each, found.approved) == last
        decision = a_decision(each, decided_at=NOON + timedelta(minutes=minute))
        found = with_newest(found, each, decision)


def test_the_splits_of_a_first_run_never_void_each_other_either() -> None:
    splits = [a_request(f"Train/7/deploy/{n}", kind=FLOW) for n in range(MOST_LISTED * 2)]
    found = kept(*splits)
    late = NOON + timedelta(hours=1)
    assert all(not is_stale(each, known_from([found]), late, vouched) for each in splits)


def test_runs_that_wait_beside_many_others_are_not_asked_anew() -> None:
    first = approved(run=1)
    last = baseline_of(first, a_decision(first))
    waiting = [replace(approved(run=run), baseline=last) for run in range(2, 30)]
    found = kept(first, *(at_minute(each, 60) for each in waiting[1:]))
    assert last not in found.approved
    asked_at = NOON + timedelta(minutes=30)
    assert not is_stale(waiting[0], known_from([found]), asked_at, vouched)
    # Its values are at hand no more, so its own record has to say the same.
    assert is_stale(waiting[0], known_from([found]), asked_at, lambda _: False)


def test_a_sibling_is_no_baseline() -> None:
    sibling = a_request("Train/7/deploy/13", kind=FLOW)
    own = baseline_of(sibling, a_decision(sibling))
    request = replace(approved(run=7), baseline=own)
    assert is_stale(request, known_from([kept(sibling)]), NOON + timedelta(hours=1), vouched)


def test_an_approval_that_is_only_listed_is_due_if_its_record_says_so() -> None:
    runs = [at_minute(approved(run=run), run) for run in range(9)]
    found = known_from([kept(*runs)])
    request = replace(approved(run=20), baseline=baseline_of(runs[1], a_decision(runs[1])))
    asked_at = NOON + timedelta(minutes=5)
    assert is_stale(request, found, asked_at, vouched)

    def only_the_baseline(told: object) -> bool:
        return told == request.baseline

    assert not is_stale(request, found, asked_at, only_the_baseline)  # all others are invented


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12),
    st.integers(-1, 11),
    st.integers(0, 13),
    st.sampled_from([2, 4, MOST_LISTED]),
)
def test_no_choice_of_an_opener_passes_that_is_older_than_what_was_due(
    made: list[tuple[int, int]], choice: int, asked: int, room: int
) -> None:
    runs = [
        at_minute(a_request(f"Train/{run}/deploy/{n}", kind=FLOW), n)
        for n, (run, _) in enumerate(made)
    ]
    every = [baseline_of(each, a_decision(each)) for each in runs]
    chosen = every[choice] if 0 <= choice < len(every) else None
    request = replace(a_request("Train/0/deploy/99", kind=FLOW), baseline=chosen)
    asked_at = NOON + timedelta(minutes=asked)
    due = [
        each for each in every if each.decided_at < asked_at and not is_of_same_run(request, each)
    ][-1:]
    honest = not (chosen and is_of_same_run(request, chosen)) and not any(
        chosen is None or chosen.decided_at < each.decided_at for each in due
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.core.comparison.MOST_LISTED", room)
        stale = is_stale(request, known_from([kept(*runs)]), asked_at, vouched)
    assert stale or honest
    if room > len(made):
        assert stale is not honest


def test_what_is_listed_no_more_may_have_been_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """An opener waits until so many approvals came after its question that the due one is off."""
    monkeypatch.setattr("bridge.core.comparison.MOST_LISTED", 2)
    runs = [at_minute(approved(run=run), run) for run in range(1, 6)]
    found = known_from([kept(*runs)])
    asked_at = NOON + timedelta(minutes=2, seconds=30)
    assert [each.decided_at > asked_at for each in found.listed] == [True, True]
    flattering = baseline_of(runs[0], a_decision(runs[0]))
    for choice in (None, flattering):
        asked = replace(approved(run=9), baseline=choice)
        assert is_stale(asked, found, asked_at, vouched)


def test_a_gate_at_hand_does_not_hide_others_that_are_listed_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The splits of the last run fill the list, and the run before it is still at hand."""
    monkeypatch.setattr("bridge.core.comparison.MOST_LISTED", 2)
    old = at_minute(approved(run=1), 1)
    splits = [at_minute(a_request(f"Train/2/deploy/{n}", kind=FLOW), n) for n in (3, 5, 6, 7)]
    found = known_from([kept(old, *splits)])
    chosen = baseline_of(old, a_decision(old))
    assert chosen in found.approved
    asked = replace(approved(run=9), baseline=chosen)
    assert is_stale(asked, found, NOON + timedelta(minutes=4), vouched)  # the split of minute 3


def test_of_a_run_that_is_named_its_last_gate_is_due_and_of_no_other() -> None:
    """A loop asks several times in one run."""
    runs = [(5, 1), (5, 2), (6, 3)]
    every = [at_minute(a_request(f"Train/{r}/deploy/{n}", kind=FLOW), n) for r, n in runs]
    first, second, other = (baseline_of(each, a_decision(each)) for each in every)
    found = known_from([kept(*every)])
    asked_at = NOON + timedelta(minutes=10)

    def stale(chosen: Baseline | None, against: str | None) -> bool:
        asked = replace(approved(run=9), baseline=chosen, against=against)
        return is_stale(asked, found, asked_at, vouched)

    assert last_run(replace(approved(run=9), against="5"), found.approved) == second
    assert [stale(each, "5") for each in (None, first, second, other)] == [True, True, False, True]
    assert [stale(each, "7") for each in (None, second)] == [False, True]
    assert [stale(each, None) for each in (second, other)] == [True, False]


def test_the_run_that_a_flow_names_is_bound_and_computed_again_by_its_step() -> None:
    request = replace(approved(run=9), against="5")
    assert digest_of(replace(request, against="6")) != digest_of(request)
    assert asked_digest(replace(request, against=None)) != asked_digest(request)
    assert request.draft.against == "5"


def test_an_approval_in_the_second_of_the_question_asks_nothing_anew() -> None:
    """Two runs ask and one is approved: which came first, whole seconds do not say."""
    waiting, other = approved(run=7), approved(run=8)
    found = with_newest(Baselines(FLOW), other, a_decision(other, decided_at=NOON))
    assert not is_stale(waiting, known_from([found]), NOON, vouched)
    assert is_stale(waiting, known_from([found]), NOON + timedelta(seconds=1), vouched)


# -- the splits of a foreach -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "found"),
    [
        (["oak", "elm"], ["oak", "elm"]),
        ([1, 2.5, True], ["1", "2.5", "True"]),
        (["oak", "elm", "oak"], ["#0", "elm", "#2"]),
        ([1, "1"], ["#0", "#1"]),
        ([{"a": 1}, ["b"], None], ["#0", "#1", "#2"]),
        (["#1", "", " ", "x" * 500], ["#0", "#1", "#2", "#3"]),
    ],
)
def test_a_split_is_known_by_its_item_if_that_is_plain_and_the_only_one(
    items: list[Any], found: list[str]
) -> None:
    assert [split_of("trees", each, items) for each in range(len(items))] == found


def test_a_split_with_a_secret_item_or_none_that_can_be_read_is_known_by_its_place() -> None:
    assert split_of("tokens", 0, ["hunter2"]) == "#0"
    assert split_of("frames", 3, ()) == "#3"


def test_each_split_is_a_kind_of_its_own() -> None:
    subject = Subject("Train", "deploy")
    kinds = [
        kind_of(subject, CompareBy(), splits=splits)
        for splits in ((), ("oak",), ("elm",), ("oak", "elm"), ("elm", "oak"))
    ]
    assert len({path_of(replace(BEFORE, kind=each)) for each in kinds}) == len(kinds)


# -- what it is bound to ---------------------------------------------------------------------------


def test_an_approval_is_bound_to_the_comparison_that_was_shown() -> None:
    now = after(BEFORE, number("accuracy", "0.941"))
    assert now.baseline is not None
    flattering = replace(now.baseline, artifacts=(number("accuracy", "0.1"),))
    assert digest_of(replace(now, baseline=flattering)) != digest_of(now)
    # What the run itself asks is the same: the baseline is not the run's to choose.
    assert asked_digest(replace(now, baseline=flattering)) == asked_digest(now)


def test_what_is_better_is_declared_of_a_name_also_on_a_join() -> None:
    artifacts = (number("a.accuracy", "1"), bytes_of("accuracy", "x"), number("loss", "2"))
    found = declared_better(artifacts, {"accuracy": Better.HIGHER})
    assert [each.better for each in found] == [Better.HIGHER, Better.HIGHER, None]


def test_what_is_no_number_is_never_better_or_worse() -> None:
    said = replace(bytes_of("model", "new"), better=Better.HIGHER)
    found = compared(after(approved(bytes_of("model", "old")), said))
    assert found
    assert [each.improved for each in found.rows] == [None]


@given(st.lists(st.sampled_from(["0.1", "0.2", "7", "-3", "1e9"]), min_size=2, max_size=2))
def test_a_difference_added_to_the_old_value_is_the_new_one(values: list[str]) -> None:
    now = after(approved(number("m", values[0])), number("m", values[1]))
    row = compared(now).rows[0]  # type: ignore[union-attr]
    assert row.difference is not None
    assert float(values[0]) + float(row.difference) == pytest.approx(float(values[1]))
