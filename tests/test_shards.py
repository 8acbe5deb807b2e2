"""The branches of a ledger, by when a gate was asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.shards import FIRST, asked_on, begin_of, is_shard, month, oldest_first

BRANCHES = st.sampled_from(
    [FIRST, *(f"{FIRST}-{year}" for year in (2026, 2027, 2031)), f"{FIRST}-2026-07"]
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    "name",
    [
        "approvals-2026-13",
        "approvals-26",
        "approvals/2026",
        "approvals-2026-7",
        "my-approvals",
        "approvals-2026\n",
        "approvals-２０２６",
        "approvals-",
        "",
    ],
)
def test_a_branch_with_another_name_is_none_of_the_ledger(name: str) -> None:
    assert not is_shard(name)
    assert oldest_first([name, FIRST]) == [FIRST]
    with pytest.raises(ValueError, match="is no branch of a ledger"):
        begin_of(name)


def test_the_branches_are_in_the_order_of_time() -> None:
    names = ["approvals-2027", "approvals-2026-07", "approvals", "approvals-2026"]
    assert oldest_first(names) == ["approvals", "approvals-2026", "approvals-2026-07", names[0]]


@given(st.sets(BRANCHES), MOMENTS)
def test_a_gate_is_asked_on_the_newest_branch_that_has_begun(names: set[str], at: datetime) -> None:
    chosen = asked_on(names, at)
    begun = {each for each in names if begin_of(each) <= month(at)}
    assert (chosen is None) == (not begun)
    if chosen:
        assert chosen in begun
        assert all(begin_of(each) <= begin_of(chosen) for each in begun)
