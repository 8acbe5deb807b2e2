"""`hitl log`: which decisions it lists, and what it exports of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main as cli
from bridge.core.errors import Faults
from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Decider,
    JudgedVote,
    Membership,
    Outcome,
    ReasonCode,
    Verdict,
    Vote,
)
from bridge.core.facts import About, Fact, Source
from bridge.core.log_filter import Wanted, when
from bridge.core.model import Decision, Kind, Recorded, Standing, folder_of
from bridge.core.rules import Group, GroupKind
from bridge.core.sanitize import unseen
from bridge.ledger.commit_message import decision_message, recorded
from bridge.ledger.git_ledger import GitLedger, create
from bridge.render.export import FORMS, as_csv, as_json, row

from .ledgers import ANN, LEDGER, NOON, a_decision, a_rejection, a_request
from .test_git_ledger import put

RECORDED = Recorded(
    "a" * 16, Outcome.APPROVED, Decider.PERSON, "Train/7/deploy/12", "Deploy?",
    "Ann <ann@example.org>", NOON, "c" * 40,
)  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(flow="train"),
        Wanted(step="Deploy"),
        Wanted(person="ann@"),
        Wanted(outcome=Outcome.APPROVED),
        Wanted(since=NOON),
        Wanted(until=NOON + timedelta(seconds=1)),
    ],
)
def test_a_decision_fits_what_its_commit_says(wanted: Wanted) -> None:
    assert wanted.fits(RECORDED)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(flow="Tr"),
        Wanted(step="12"),
        Wanted(person="bob"),
        Wanted(outcome=Outcome.REJECTED),
        Wanted(since=NOON + timedelta(seconds=1)),
        Wanted(until=NOON),
        Wanted(flow="Train", step="publish"),
    ],
)
def test_a_decision_that_differs_in_one_thing_does_not_fit(wanted: Wanted) -> None:
    assert not wanted.fits(RECORDED)


def test_a_plain_workflow_has_its_node_for_a_step() -> None:
    assert Wanted(flow="wf", step="deploy").fits(replace(RECORDED, key="wf/deploy"))


def test_the_search_ends_a_day_before_since_because_decisions_overtake_each_other() -> None:
    wanted = Wanted(since=NOON)
    assert not wanted.is_past(replace(RECORDED, decided_at=NOON - timedelta(hours=23)))
    assert wanted.is_past(replace(RECORDED, decided_at=NOON - timedelta(hours=25)))
    assert not Wanted().is_past(replace(RECORDED, decided_at=datetime(1990, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T09:30:00Z", datetime(2026, 2, 1, 9, 30, tzinfo=UTC)),
        ("7d", NOON - timedelta(days=7)),
    ],
)
def test_a_time_is_a_day_a_moment_or_so_long_ago(text: str, at: datetime) -> None:
    assert when(text, "--since", NOON) == at


#: A bare number is a duration elsewhere: the last 2026 seconds would be a list without a fault.
TIMES = ["yesterday", "2026-02-30", "2026-13-01T00:00:00Z", "-1d", "٧d", "2026", "30"]


@pytest.mark.parametrize("text", TIMES)
def test_another_time_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(Faults, match="write 2026-11-01, 2026-11-01T09:30:00Z, or 7d"):
        when(text, "--since", NOON)


def test_the_first_and_the_last_day_there_is_are_times_like_others() -> None:
    first, last = (datetime(year, 1, 1, tzinfo=UTC) for year in (1, 9999))
    assert not Wanted(since=first).is_past(RECORDED)
    assert Wanted(since=last).is_past(RECORDED)
    end = replace(RECORDED, decided_at=datetime.max.replace(tzinfo=UTC))
    assert not Wanted(since=last).is_past(end)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitLedger:
    create(tmp_path / "ledger.git")
    monkeypatch.setenv("HITL_LEDGER", str(tmp_path / "ledger.git"))
    monkeypatch.setenv("HITL_CACHE", str(tmp_path / "cache"))
    made = GitLedger(str(tmp_path / "ledger.git"), tmp_path / "cache")
    for day, (flow, environment) in enumerate((("A", None), ("A", "prod"), ("B", "prod")), 1):
        at = datetime(2026, 3, day, tzinfo=UTC)
        request = a_request(
            f"{flow}/{day}/deploy/1", kind=Kind(flow, "deploy", environment), opened_at=at
        )
        made.open(request, "x")
        decide = a_rejection if day == 2 else a_decision
        made.record(decide(request, decided_at=at + timedelta(minutes=5)))
    return made


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert cli.main(["log", *args]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "runs"),
    [
        ([], "321"),
        (["--flow", "a"], "21"),
        (["--outcome", "rejected"], "2"),
        (["--environment", "prod"], "32"),
        (["--environment", "prod", "-n", "1"], "3"),
        (["--environment", "prod", "--flow", "A"], "2"),
        (["--since", "2026-03-02"], "32"),
        (["--until", "2026-03-02"], "1"),
        (["--person", "nobody"], ""),
    ],
)
def test_log_lists_what_is_asked_for(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str], args: list[str], runs: str
) -> None:
    found = json.loads(said(capsys, "--json", *args))
    assert [each["key"].split("/")[1] for each in found] == list(runs)


def test_a_list_in_which_nothing_fits_does_not_say_that_nothing_was_decided(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "--flow", "Nope") == "No decision fits these options.\n"


def test_an_export_is_the_same_in_each_form(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.loads(said(capsys, "--export", "json"))
    lines = [json.loads(each) for each in said(capsys, "--export", "jsonl").splitlines()]
    table = list(csv.DictReader(io.StringIO(said(capsys, "--export", "csv"))))
    assert whole == lines
    assert [each["id"] for each in whole] == [each["id"] for each in table]
    assert [each["outcome"] for each in whole] == ["approved", "rejected", "approved"]
    assert [each["environment"] for each in whole] == ["prod", "prod", None]
    assert {each["waited"] for each in whole} == {300}
    assert whole[0]["approvers"] == ["Ann <ann@example.org> (unverified)"]
    assert len({each["ledger_commit"] for each in whole}) == 3


@pytest.mark.parametrize("more", [[], ["--environment", "prod"], ["--since", "2026-01-01"]])
def test_an_export_is_cut_only_if_somebody_says_where(
    ledger: GitLedger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
) -> None:
    monkeypatch.setattr("bridge.cli.ledger._FEW", 1)
    fit = 2 if "prod" in more else 3
    assert cli.main(["log", "--export", "jsonl", *more]) == 0
    whole = capsys.readouterr()
    assert (len(whole.out.splitlines()), whole.err) == (fit, "")
    assert cli.main(["log", "--export", "jsonl", "-n", "1", *more]) == 0
    one = capsys.readouterr()
    assert len(one.out.splitlines()) == 1
    assert "These are the newest 1; older decisions fit too" in one.err


def test_a_list_says_that_it_is_cut_and_not_if_it_just_ends_there(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.ledger._FEW", 2)
    assert cli.main(["log", "--json"]) == 0
    two = capsys.readouterr()
    assert len(json.loads(two.out)) == 2
    assert two.err == "These are the newest 2; older decisions fit too: -n N lists N\n"
    assert cli.main(["log", "-n", "3"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", FORMS)
def test_an_export_holds_a_few_records_at_a_time(
    ledger: GitLedger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    whole, asked, decided = said(capsys, "--export", form), [], GitLedger.decided

    def counted(self: GitLedger, gate_ids: Iterable[str]) -> Mapping[str, Standing]:
        asked.append(len(ids := list(gate_ids)))
        return decided(self, ids)

    monkeypatch.setattr("bridge.cli.ledger._TOGETHER", 2)
    monkeypatch.setattr(GitLedger, "decided", counted)
    assert said(capsys, "--export", form) == whole
    assert asked == [2, 1]


@pytest.mark.parametrize("rows", [[], [{"a": "x\ny"}], [{"a": []}, {"a": {"b": 1}}, {"a": None}]])
def test_a_list_as_json_is_written_as_any_list(rows: list[dict[str, object]]) -> None:
    assert "\n".join(as_json(rows)) == json.dumps(rows, indent=2)


def test_an_export_of_one_environment_says_which_record_cannot_be_read(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    rotten = ledger.history(1)[0].id
    put(Path(ledger.where), LEDGER, {f"{folder_of(rotten)}/request.yaml": "not: [yaml"})
    assert cli.main(["log", "--environment", "prod", "--export", "jsonl"]) != 0
    out, err = capsys.readouterr()
    assert [json.loads(each)["key"] for each in out.splitlines()] == ["A/2/deploy/1"]
    assert f"1 of 2 decisions cannot be read: {rotten}" in " ".join(err.split())


def test_a_fault_of_each_option_is_said_at_once(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["log", "--since", "soon", "--until", "later"]) == 2
    err = capsys.readouterr().err
    assert "--since" in err
    assert "--until" in err


def test_an_end_that_is_not_after_the_beginning_is_a_fault(
    ledger: GitLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["log", "--since", "2026-03-01", "--until", "2026-03-01"]) == 2
    assert "--until: it is not after --since" in capsys.readouterr().err


# -- one row ---------------------------------------------------------------------------------------

BOB = Actor("bob", login="bob", id=7, proven=True)
TEAM = Group(GroupKind.TEAM, "acme/ml")


def judged_by(actor: Actor, counts: bool, why: str = "") -> JudgedVote:
    vote = Vote(actor, Verdict.APPROVE, NOON, "sha256:x", Channel.REVIEW)
    code = ReasonCode.APPROVED if counts else ReasonCode.BARRED_INITIATOR
    return JudgedVote(vote, counts, code, why)


def exported(starter: str = "@carol#9", proven: bool = True, **more: Any) -> dict[str, Any]:
    request = a_request()
    facts = (Fact(About.INITIATOR, starter, Source.OIDC if proven else Source.RUN, proven),)
    decision: Decision = replace(a_decision(request), facts=facts, **more)
    return row(Standing(request, decision, "c"), decision, "c" * 40)


def test_a_row_says_by_what_right_who_was_independent_and_who_was_refused() -> None:
    made = exported(
        considered=(judged_by(BOB, True), judged_by(ANN, False, "started the run")),
        memberships=(Membership(7, TEAM, Answer.MEMBER),),
    )
    assert made["approvers"] == [str(BOB)]
    assert made["approvers_proven"] is True
    assert made["right"] == ["team acme/ml"]
    assert made["independent"] is True
    assert made["refused"] == ["Ann <ann@example.org> approve: started the run"]
    assert (made["requester"], made["requester_proven"]) == (
        "carol, proven by the run's own token",
        True,
    )


def test_who_approves_their_own_run_is_not_independent_and_a_name_alone_tells_nothing() -> None:
    assert exported("@bob#7", considered=(judged_by(BOB, True),))["independent"] is False
    claimed = exported("carol", proven=False, considered=(judged_by(BOB, True),))
    assert claimed["independent"] is None
    assert claimed["requester"] == "carol, as the run says"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\n=1", "\N{FULLWIDTH EQUALS SIGN}1"]
)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    whole = "\r\n".join(as_csv([{"question": text, "key": "a\nb"}]))
    found = list(csv.reader(io.StringIO(whole, newline="")))
    assert found == [["question", "key"], [f"'{text}", "a\nb"]]
    for blank in "\t\r":
        (_, cells) = as_csv([{"question": f"{blank}=1"}])
        assert cells.strip(' "\n').startswith("'")


def test_no_export_moves_the_cursor_of_a_terminal_or_hides_something() -> None:
    hostile = "a\x1b[2J\x9b2Jb\u202ec\U000e0041 Zürich"
    for form in FORMS.values():
        whole = "\n".join(form([{"question": hostile}]))
        assert not unseen(whole)
        assert "Zürich" in whole
    assert json.loads("".join(as_json([{"question": hostile}]))) == [{"question": hostile}]


# -- how much is read ------------------------------------------------------------------------------


def test_a_list_that_ends_at_a_time_reads_no_further_and_any_other_says_what_it_reads(
    ledger: GitLedger,
) -> None:
    every = ledger.history(99)
    read: list[int] = []
    nobody = Wanted(person="nobody is called so")
    assert not ledger.history(9, nobody, read.append)
    assert read == [*range(1, len(every) + 1)]
    read.clear()
    newest = max(each.decided_at for each in every)
    since = newest + timedelta(days=3)
    assert not ledger.history(9, replace(nobody, since=since), read.append)
    assert read == [1]


def test_whom_github_vouches_for_is_not_marked_as_unverified() -> None:
    def read(actor: Actor) -> Recorded | None:
        decision = a_decision(a_request())
        (first, *_) = decision.considered
        judged = replace(first, vote=replace(first.vote, actor=actor))
        message = decision_message(a_request(), replace(decision, considered=(judged,)), "Deploy?")
        return recorded("c" * 40, f"tree t\nauthor a\n\n{message}")

    github, here = read(replace(ANN, proven=True)), read(ANN)
    assert github
    assert here
    assert (github.unverified, here.unverified) == (False, True)
