"""The branches of a ledger, by when a gate was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import GateShut, LedgerCorrupt, LostRequest
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Decision, on_github
from bridge.core.records import decision_out, request_in, request_out
from bridge.core.shards import (
    FIRST,
    Every,
    Turn,
    asked_on,
    begin_of,
    is_shard,
    month,
    next_branch,
    oldest_first,
)
from bridge.gates.audit import audit
from bridge.gates.open_gate import open_gate
from bridge.gates.verify import verify
from bridge.ledger.clone import GitClone
from bridge.ledger.git_ledger import GitLedger, create
from tests.githttp import serving
from tests.ledgers import (
    a_decision,
    a_rejection,
    a_request,
    first_waiting,
    git,
    key_of,
    ledger_of,
)
from tests.test_git_ledger import put
from tests.test_objections_in_ledger import an_objection

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


def sound(ledger: GitLedger) -> int:
    """The decisions of a ledger in which an audit finds no fault."""
    found = audit(ledger)
    assert found.faults == ()
    return found.decisions


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


# -- several branches in git -----------------------------------------------------------------------

LATER = f"{FIRST}-2027"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A ledger with two branches and a decided gate on the first."""
    repository = ledger_of(tmp_path / "ledger.git", 1)
    follows = f"It begins\n\nFollows: {FIRST} {git(repository, 'rev-parse', FIRST)}"
    put(repository, f"refs/heads/{LATER}", {"README.md": "The next year."}, follows)
    return repository


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def on(shard: str, key: str = "Flow/new/gate/1", message: str = "Ship it?") -> ApprovalRequest:
    return a_request(key, message=message, shard=shard)


def test_a_gate_is_found_and_decided_on_its_own_branch(ledger: GitLedger, repository: Path) -> None:
    old, new = on(FIRST, "Flow/old/gate/1"), on(LATER)
    for request in (old, new):
        ledger.open(request, "page")
        ledger.record(a_decision(request))
        assert verify(ledger, request.draft)
        assert git(repository, "ls-tree", "-r", "--name-only", request.shard, request.gate.folder)
        assert ledger.resolve(request.gate.key) == request.gate.id
    assert ledger.read_all([old.gate.id, new.gate.id]).keys() == {old.gate.id, new.gate.id}
    assert ledger.decided([old.gate.id, new.gate.id]).keys() == {old.gate.id, new.gate.id}
    assert {each.key for each in ledger.history(9)} == {old.gate.key, new.gate.key, key_of(0)}
    assert sound(ledger) == 3


def test_a_reader_that_looks_again_learns_of_the_decisions_on_every_branch(
    ledger: GitLedger,
) -> None:
    old, new = on(FIRST, "Flow/old/gate/1"), on(LATER)
    for request in (old, new):
        ledger.open(request, "page")
    head, _ = ledger.decided_since(None)
    assert ledger.decided_since(head) == (ledger.head(), ())
    for request in (old, new):
        ledger.record(a_decision(request))
    assert ledger.decided_since(head) == (ledger.head(), (old.gate.id, new.gate.id))


def test_a_decision_that_was_copied_to_another_branch_is_none_there(
    ledger: GitLedger, repository: Path
) -> None:
    new = on(LATER)
    ledger.open(new, "page")
    ledger.record(a_decision(new))
    folder = new.gate.folder
    texts = {
        f"{folder}/{name}": git(repository, "show", f"{LATER}:{folder}/{name}") + "\n"
        for name in ("request.yaml", "decision.yaml")
    }
    put(repository, f"refs/heads/{FIRST}", texts)
    there = ledger.read(new.gate.id)
    assert there
    assert there.commit == git(repository, "rev-parse", LATER)
    git(repository, "update-ref", "-d", f"refs/heads/{LATER}")
    found = ledger.read(new.gate.id)
    assert found is None or found.decision is None
    assert ledger.decided([new.gate.id]) == {}


def test_the_log_lists_a_decision_once_if_somebody_copies_a_branch(
    ledger: GitLedger, repository: Path
) -> None:
    (decided,) = ledger.history(9)
    git(repository, "branch", f"{FIRST}-2031", FIRST)
    text = git(repository, "show", "-s", "--format=%B", decided.commit)
    put(repository, f"refs/heads/{FIRST}-2032", {"README.md": "Picked."}, text)
    for limit in (1, 9):
        assert [replace(each, commit="") for each in ledger.history(limit)] == [
            replace(decided, commit="")
        ]
    other = text.replace("Outcome: approved", "Outcome: rejected")
    put(repository, f"refs/heads/{FIRST}-2032", {"README.md": "Changed."}, other)
    assert len(ledger.history(9)) == 2, "an auditor has to see what contradicts the record"


def test_an_opener_that_names_another_branch_does_not_get_past_a_decision(
    ledger: GitLedger,
) -> None:
    asked = on(FIRST)
    ledger.open(asked, "page")
    assert ledger.record(a_rejection(asked)).decision
    again = ledger.open(on(LATER, message="Another text"), "page")
    assert again.decision
    assert again.decision.outcome is Outcome.REJECTED


def test_an_opener_that_names_another_branch_does_not_get_past_an_objection(
    ledger: GitLedger, repository: Path
) -> None:
    asked = on(FIRST)
    opened = ledger.open(asked, "page")
    ledger.hold(asked.gate.id, (an_objection(),))
    forged = {f"{asked.gate.folder}/request.yaml": request_out(on(LATER))}
    put(repository, f"refs/heads/{asked.gate.branch}", forged)
    with pytest.raises(LedgerCorrupt, match="approvals has what was objected to it"):
        ledger.record(a_decision(on(LATER)))
    renewed = ledger.renew(asked.gate.id, opened.head)
    assert (renewed.request.shard, renewed.objections) == (FIRST, (an_objection(),))


def test_nothing_is_recorded_on_a_branch_because_a_request_names_it(
    ledger: GitLedger, repository: Path
) -> None:
    asked = on(FIRST)
    ledger.open(asked, "page")
    later = on(f"{FIRST}-2031")
    put(
        repository,
        f"refs/heads/{asked.gate.branch}",
        {f"{asked.gate.folder}/request.yaml": request_out(later)},
    )
    with pytest.raises(LostRequest, match="which the ledger doesn't have"):
        ledger.record(a_decision(later))


@pytest.mark.parametrize("shard", ["main", "approvals/2026", "gate/0000000000000000", ""])
def test_a_request_that_names_no_branch_of_a_ledger_is_none(shard: str) -> None:
    with pytest.raises(LedgerCorrupt, match="is no branch of a ledger"):
        request_in(request_out(on(shard)))


# -- a gate that should be decided by now ----------------------------------------------------------

YEARS = [FIRST, *(f"{FIRST}-{year}" for year in range(2027, 2032))]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger with three decided gates on each of six branches, and one that waits."""
    return ledger_of(tmp_path / "many.git", 3, waiting=1, shards=YEARS)


def on_the_wire(
    repository: Path, tmp_path: Path, asked: Callable[[GitLedger], object]
) -> tuple[int, int]:
    """Requests and bytes of this, from an empty clone."""
    with serving(repository.parent) as server, TemporaryDirectory(dir=tmp_path) as cache:
        asked(GitLedger(server.of(repository.name), Path(cache)))
        return len(server.requests), server.wire


def gate_of(repository: Path, tmp_path: Path, number: int) -> tuple[int, int]:
    draft = a_request(key_of(number)).draft
    return on_the_wire(repository, tmp_path, lambda ledger: verify(ledger, draft))


def test_a_decision_on_the_newest_branches_is_found_without_a_look_at_the_others(
    many: Path, tmp_path: Path
) -> None:
    requests, size = gate_of(ledger_of(tmp_path / "two.git", 9, shards=YEARS[:2]), tmp_path, 0)
    for number in (len(YEARS) * 3 - 1, len(YEARS) * 3 - 4):  # the newest branch, and the one before
        found = gate_of(many, tmp_path, number)
        assert found[0] == requests
        assert found[1] < size * 1.2


def test_a_decision_on_an_old_branch_is_found_by_a_look_at_all_of_them(
    many: Path, tmp_path: Path
) -> None:
    newest, old = (gate_of(many, tmp_path, number) for number in (len(YEARS) * 3 - 1, 0))
    assert old[0] > newest[0]
    assert old[1] > newest[1]


def test_a_gate_that_waits_is_looked_for_on_every_branch(many: Path, tmp_path: Path) -> None:
    asked = first_waiting(3, YEARS)
    branch = f"refs/heads/{asked.gate.branch}"
    opened = git(many, "rev-parse", branch)
    ledger = GitLedger(str(many), tmp_path / "cache")
    before = ledger.read_decided(asked.gate.id)
    assert before
    assert before.decision is None
    old = replace(asked, shard=FIRST)
    put(many, branch, {f"{asked.gate.folder}/request.yaml": request_out(old)})
    ledger.record(a_rejection(old))
    git(many, "update-ref", branch, opened)
    for look in (ledger.read_decided, ledger.read):
        found = look(asked.gate.id)
        assert found
        assert found.decision
        assert found.decision.outcome is Outcome.REJECTED


def test_a_copy_on_the_newest_branch_does_not_keep_a_reader_from_the_record(
    many: Path, tmp_path: Path
) -> None:
    gate = a_request(key_of(0)).gate
    texts = {
        f"{gate.folder}/{name}": git(many, "show", f"{FIRST}:{gate.folder}/{name}") + "\n"
        for name in ("request.yaml", "decision.yaml")
    }
    put(many, f"refs/heads/{YEARS[-1]}", texts)
    found = GitLedger(str(many), tmp_path / "cache").read_decided(gate.id)
    assert found
    assert found.commit == git(many, "rev-parse", FIRST)


def test_a_gate_that_somebody_decided_by_hand_on_an_old_branch_too_is_told_to_all_but_the_step(
    many: Path, tmp_path: Path
) -> None:
    asked = first_waiting(3, YEARS)
    ledger = GitLedger(str(many), tmp_path / "cache")
    ledger.record(a_decision(asked))
    by_hand = replace(asked, shard=FIRST)
    texts = {
        f"{asked.gate.folder}/request.yaml": request_out(by_hand),
        f"{asked.gate.folder}/decision.yaml": decision_out(a_rejection(by_hand)),
    }
    put(many, f"refs/heads/{FIRST}", texts)
    assert verify(ledger, asked.draft)
    both = f"is decided on {FIRST} and {YEARS[-1]}"
    for look in (ledger.read, ledger.hold):
        with pytest.raises(LedgerCorrupt, match=both):
            look(asked.gate.id)
    assert any(f"is on {FIRST} too" in each for each in audit(ledger).faults)


def test_a_gate_that_somebody_decided_by_hand_on_the_branch_before_too_is_shut(
    many: Path, tmp_path: Path
) -> None:
    asked = first_waiting(3, YEARS)
    ledger = GitLedger(str(many), tmp_path / "cache")
    ledger.record(a_decision(asked))
    by_hand = replace(asked, shard=YEARS[-2])
    texts = {
        f"{asked.gate.folder}/request.yaml": request_out(by_hand),
        f"{asked.gate.folder}/decision.yaml": decision_out(a_decision(by_hand)),
    }
    put(many, f"refs/heads/{YEARS[-2]}", texts)
    with pytest.raises(GateShut, match="someone made one by hand"):
        verify(ledger, asked.draft)


def test_a_decision_that_comes_to_another_branch_meanwhile_is_the_first(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its opener replaced the request by one that names another branch while a decider pushed."""
    asked = first_waiting(3, YEARS)
    old = replace(asked, shard=FIRST)
    texts = {
        f"{asked.gate.folder}/request.yaml": request_out(old),
        f"{asked.gate.folder}/decision.yaml": decision_out(a_rejection(old)),
    }
    push, left, head = GitClone.push, [texts], git(many, "rev-parse", asked.shard)

    def late(clone: GitClone, refs: Mapping[str, str], lease: Mapping[str, str]) -> None:
        if left:
            put(many, f"refs/heads/{FIRST}", left.pop())
        push(clone, refs, lease)

    monkeypatch.setattr(GitClone, "push", late)
    found = GitLedger(str(many), tmp_path / "cache").record(a_decision(asked))
    assert git(many, "rev-parse", asked.shard) == head
    assert found.decision
    assert found.decision.outcome is Outcome.REJECTED


# -- the turn of the year --------------------------------------------------------------------------

DECEMBER, JANUARY = datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


class Quiet:
    def opened(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None: ...

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None: ...


def asked(ledger: GitLedger, at: datetime, key: str = "Flow/1/gate/1") -> ApprovalRequest:
    return open_gate(ledger, Quiet(), a_request(key, opened_at=at)).request


def approved(ledger: GitLedger, request: ApprovalRequest) -> None:
    assert ledger.record(a_decision(request)).decision
    assert verify(ledger, request.draft)


@pytest.fixture
def empty(tmp_path: Path) -> GitLedger:
    create(tmp_path / "new.git")
    return GitLedger(str(tmp_path / "new.git"), tmp_path / "cache")


def branches(ledger: GitLedger) -> list[str]:
    listed = git(Path(ledger.where), "for-each-ref", "--format=%(refname:lstrip=2)")
    return [each for each in listed.split() if each.startswith(FIRST)]


@given(MOMENTS, MOMENTS, st.sampled_from(Every))
def test_the_next_branch_begins_with_the_year_or_the_month(
    begun: datetime, at: datetime, every: Every
) -> None:
    name = next_branch(FIRST, Turn(every, month(begun)), at)
    later = {
        Every.YEAR: at.year > begun.year,
        Every.MONTH: month(at) > month(begun),
        Every.NEVER: False,
    }[every]
    assert (name is not None) == later
    if name:
        assert asked_on([FIRST, name], at) == name
        assert asked_on([FIRST, name], begun) == FIRST
        assert next_branch(name, Turn(every, begin_of(name)), at) is None


def test_a_ledger_of_one_year_has_one_branch(empty: GitLedger) -> None:
    approved(empty, asked(empty, DECEMBER))
    approved(empty, asked(empty, DECEMBER, "Flow/2/gate/1"))
    assert branches(empty) == [FIRST]


def test_gates_that_are_open_over_the_turn_stay_on_their_branch(empty: GitLedger) -> None:
    old = asked(empty, DECEMBER)
    new = asked(empty, JANUARY, "Flow/2/gate/1")
    assert (old.shard, new.shard) == (FIRST, LATER)
    for request in (new, old):
        approved(empty, request)
    assert sound(empty) == 2


def test_a_gate_that_is_opened_again_after_the_turn_is_the_first(empty: GitLedger) -> None:
    first = asked(empty, DECEMBER)
    asked(empty, JANUARY, "Flow/2/gate/1")
    assert asked(empty, JANUARY) == first
    approved(empty, first)
    assert asked(empty, JANUARY) == first


def test_two_openers_at_the_turn_make_one_branch(empty: GitLedger, tmp_path: Path) -> None:
    asked(empty, DECEMBER)
    other = GitLedger(empty.where, tmp_path / "other")
    other.read(a_request().gate.id)  # and then the first one is quicker
    assert asked(empty, JANUARY, "Flow/2/gate/1").shard == LATER
    head = git(Path(empty.where), "rev-parse", LATER)
    assert other.begin_branch(JANUARY) == LATER
    assert git(Path(empty.where), "rev-parse", LATER) == head


def test_whoever_may_not_make_a_branch_asks_on_the_old_one(empty: GitLedger) -> None:
    asked(empty, DECEMBER)
    request = a_request("Flow/2/gate/1", opened_at=JANUARY, venue=on_github("acme/models"))
    assert open_gate(empty, Quiet(), request).request.shard == FIRST
    assert branches(empty) == [FIRST]


def test_a_clock_that_is_years_ahead_changes_nothing_for_others(empty: GitLedger) -> None:
    requests = [
        asked(empty, DECEMBER, "Flow/1/gate/1"),
        asked(empty, datetime(2031, 5, 1, tzinfo=UTC), "Flow/2/gate/1"),
        asked(empty, DECEMBER, "Flow/3/gate/1"),
        asked(empty, JANUARY, "Flow/4/gate/1"),
    ]
    assert [each.shard for each in requests] == [FIRST, f"{FIRST}-2031", FIRST, LATER]
    for request in requests:
        approved(empty, request)
    assert sound(empty) == 4


def test_a_new_branch_has_what_is_no_record_of_the_one_before(
    empty: GitLedger,
) -> None:
    repository = Path(empty.where)
    approved(empty, asked(empty, DECEMBER))
    put(repository, f"refs/heads/{FIRST}", {".github/workflows/relay.yml": "on: x\n"})
    head = git(repository, "rev-parse", FIRST)
    asked(empty, JANUARY, "Flow/2/gate/1")
    assert git(repository, "ls-tree", "-r", "--name-only", LATER).split() == [
        ".github/workflows/relay.yml",
        "README.md",
        "ledger.yaml",
    ]
    assert f"Follows: {FIRST} {head}" in git(repository, "log", "-1", "--format=%B", LATER)


@pytest.mark.parametrize(
    ("every", "made"), [("month", f"{FIRST}-2027-01"), ("year", LATER), ("never", FIRST)]
)
def test_the_ledger_says_how_often_a_branch_begins(empty: GitLedger, every: str, made: str) -> None:
    asked(empty, DECEMBER)
    text = f"format: 1\nevery: {every}\nbegun: 2026-12\n"
    put(Path(empty.where), f"refs/heads/{FIRST}", {"ledger.yaml": text})
    assert asked(empty, JANUARY, "Flow/2/gate/1").shard == made
    assert sound(empty) == 0


def test_a_ledger_that_does_not_say_it_never_begins_another_branch(ledger: GitLedger) -> None:
    assert ledger.begin_branch(JANUARY.replace(year=2026)) == FIRST


@pytest.mark.parametrize("text", ["every: year", "format: 1\nevery: week\nbegun: 2026-12", "["])
def test_a_ledger_file_that_cannot_be_read_is_told(empty: GitLedger, text: str) -> None:
    asked(empty, DECEMBER)
    put(Path(empty.where), f"refs/heads/{FIRST}", {"ledger.yaml": text})
    with pytest.raises(LedgerCorrupt, match=r"ledger\.yaml on approvals"):
        asked(empty, JANUARY, "Flow/2/gate/1")


@pytest.mark.parametrize("cut", [["-d"], []])
def test_an_audit_finds_a_branch_that_was_cut_or_deleted(empty: GitLedger, cut: list[str]) -> None:
    repository = Path(empty.where)
    approved(empty, asked(empty, DECEMBER))
    approved(empty, asked(empty, JANUARY, "Flow/2/gate/1"))
    git(repository, "update-ref", *cut, f"refs/heads/{FIRST}", *([] if cut else [f"{FIRST}^"]))
    (fault,) = audit(empty).faults
    assert f"{FIRST} lacks commit" in fault


def test_an_audit_finds_a_branch_that_somebody_made_by_hand(
    empty: GitLedger,
) -> None:
    repository = Path(empty.where)
    request = asked(empty, DECEMBER)
    approved(empty, request)
    git(repository, "update-ref", f"refs/heads/{FIRST}-2099", FIRST)
    assert ledger_says(empty, request) == git(repository, "rev-parse", FIRST)
    faults = audit(empty).faults
    assert any("doesn't name the branches that it follows" in each for each in faults)
    assert any("is on approvals too" in each for each in faults)


def ledger_says(ledger: GitLedger, request: ApprovalRequest) -> str:
    found = ledger.read(request.gate.id)
    assert found
    return found.commit
