"""What a decided gate's page says of its run's end, and who is believed about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from bridge.core.delivery import Workflow
from bridge.core.errors import ClusterUnavailable, ForgeUnavailable
from bridge.core.model import ApprovalRequest, Gate, Standing
from bridge.gates import on_github
from bridge.gates.on_github import OnGitHub
from bridge.gates.open_page import Desk
from bridge.gates.run_ends import tell_ends
from bridge.pages import page_text
from bridge.pages.afterwards import end_claim
from bridge.pages.model import (
    Account,
    Amend,
    Comment,
    Edit,
    Look,
    Page,
    Remove,
    Started,
    State,
    Write,
)
from bridge.pages.votes import Gathered
from tests import test_votes as pages
from tests.ledgers import a_decision, a_rejection, a_request

DECIDED = a_decision(a_request()).decided_at
HEAD = "a" * 40
RUN = Workflow("ml", "run-1", "u-1")
RESUMED = {
    "argo": "**Resumed:** the workflow `ml/run-1` goes on.",
    "actions": "**Resumed:** GitHub Actions starts it.",
}


def of_argo(name: str = "3") -> Standing:
    return _decided(replace(a_request(f"Flow/1/gate/{name}"), workflow=RUN))


def of_actions() -> Standing:
    gate = Gate("https://github.test/acme/models/actions", "deploy.yml/77/production")
    return _decided(replace(a_request(), gate=gate))


def _decided(request: ApprovalRequest, **changes: Any) -> Standing:
    decision = replace(a_decision(request), **changes)
    return Standing(request, decision, "c" * 40)


def text(standing: Standing, note: str = "") -> str:
    kind = "argo" if standing.request.workflow else "actions"
    note = note or RESUMED[kind]
    return page_text.status(standing, HEAD, pages.SITE, None, Gathered(), note=note)


def a_page(standing: Standing, by: Account = pages.BOT, **changes: Any) -> Page:
    said = Comment("IC_1", by, text(standing), DECIDED, "https://github.test/c")
    return Page(
        "PR_1",
        5,
        "https://github.test/acme/models/pull/5",
        State.CLOSED,
        "",
        "",
        None,
        DECIDED,
        comments=(replace(said, **changes),),
    )


@dataclass
class There:
    """As much of the ports as is asked, each question counted."""

    standings: Sequence[Standing] = ()
    workflow_is: Mapping[str, Any] | Exception | None = None
    runs: Sequence[Started] | Exception = ()
    closed_off: Collection[str] = ()  # namespaces, and workflow files, that nobody may read
    refuses: bool = False
    asked: list[str] = field(default_factory=list)
    written: list[Write] = field(default_factory=list)

    def decided(self, ids: Mapping[str, None]) -> Mapping[str, Standing]:
        self.asked.append("ledger")
        return {e.request.gate.id: e for e in self.standings if e.request.gate.id in ids}

    def workflow(self, named: Workflow) -> Any:
        self.asked.append("cluster")
        if named.namespace in self.closed_off:
            raise ClusterUnavailable(f"{named.namespace}: the cluster answered 403")
        if isinstance(self.workflow_is, Exception):
            raise self.workflow_is
        return self.workflow_is

    def started(self, file: str) -> Sequence[Started]:
        self.asked.append(file)
        if file in self.closed_off:
            raise ForgeUnavailable(f"{file}: GitHub answered 404")
        if isinstance(self.runs, Exception):
            raise self.runs
        return self.runs

    def write(self, _site: object, _page: Page, writes: Sequence[Write]) -> None:
        if self.refuses:
            raise ForgeUnavailable("GitHub answered 502")
        self.written += writes


def told(there: There, *shown: Page, now: datetime = DECIDED + timedelta(hours=1)) -> list[str]:
    """What the sweep says of these pages."""
    look = Look(pages.SITE, shown)
    voices = replace(pages.SITE.voices, me=pages.BOT.id)
    look = replace(look, site=replace(pages.SITE, voices=voices))
    desk = Desk(*cast(Any, (there, there, None, lambda: now)), cluster=cast(Any, there))
    return [each.says for each in tell_ends(desk, look)]


def a_run(phase: str, uid: str = "u-1") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ml", "name": "run-1", "uid": uid},
        "status": {"phase": phase},
    }


ARGO, ACTIONS = of_argo(), of_actions()
GATE = ACTIONS.request.gate.id


def started(
    number: int, conclusion: str | None, title: str = f"Deploy {GATE}", hours: float = 0.1
) -> Started:
    return Started(number, title, DECIDED + timedelta(hours=hours), conclusion)


# -- Argo ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "word"), [("Succeeded", "Finished"), ("Failed", "Failed"), ("Error", "Failed")]
)
def test_one_edit_says_how_a_workflow_ended_and_keeps_the_rest(phase: str, word: str) -> None:
    there = There([ARGO], a_run(phase))
    told(there, a_page(ARGO))
    said = f"**{word}:** the workflow `ml/run-1` ended as `{phase}`."
    assert there.written == [Amend("IC_1", text(ARGO).replace(RESUMED["argo"], said))]
    assert told(there, a_page(ARGO, body=text(ARGO, said))) == []


@pytest.mark.parametrize(
    "workflow",
    [None, a_run("Running"), a_run("Pending"), a_run("Succeeded", uid="u-2"), {"metadata": 7}],
    ids=["deleted", "running", "waiting", "another of its name", "unreadable"],
)
def test_what_is_not_known_is_not_said(workflow: Any) -> None:
    there = There([ARGO], workflow)
    assert told(there, a_page(ARGO)) == []
    assert there.written == []


def test_a_week_after_the_decision_nobody_is_asked_any_more() -> None:
    there = There([ARGO], a_run("Succeeded"))
    late = DECIDED + timedelta(days=7, seconds=1)
    assert told(there, a_page(ARGO), now=late) == []
    assert there.asked == []
    edited = Edit(pages.BOT, late)  # its comment is younger than its decision
    assert told(there, a_page(ARGO, edited=edited), now=late) == []
    assert there.asked == ["ledger"]


def test_a_run_that_went_on_without_the_rejected_step_has_an_end_too() -> None:
    request = ARGO.request
    there = There([Standing(request, a_rejection(request), "c" * 40)], a_run("Succeeded"))
    [says] = told(there, a_page(there.standings[0]))
    assert says == f"{request.gate.key}: the run finished"


# -- jobs of GitHub Actions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "word"),
    [("success", "Finished"), ("failure", "Failed"), ("cancelled", "Failed")],
)
def test_the_first_run_of_an_approval_says_how_it_ended(conclusion: str, word: str) -> None:
    runs = [started(9, "failure"), started(8, conclusion), started(7, "success", "another gate")]
    there = There([ACTIONS], runs=runs)
    told(there, a_page(ACTIONS))
    run = "[run 8](https://github.test/acme/models/actions/runs/8)"
    said = f"**{word}:** {run} of GitHub Actions ended as `{conclusion}`."
    assert there.written == [Amend("IC_1", text(ACTIONS).replace(RESUMED["actions"], said))]


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [started(8, None)],
        [started(9, "success"), started(8, None)],
        [started(8, "success", "Deploy")],
        [started(8, "success", hours=-1)],
        [started(number, "failure") for number in range(200, 100, -1)],
    ],
    ids=["none", "runs", "a later one", "names no gate", "before it", "perhaps not the first"],
)
def test_a_run_that_may_not_be_the_one_says_nothing(runs: Sequence[Started]) -> None:
    there = There([ACTIONS], runs=runs)
    assert told(there, a_page(ACTIONS)) == []


def test_every_file_has_its_turn_though_one_sweep_lists_three() -> None:
    five = [
        _decided(replace(ACTIONS.request, gate=replace(ACTIONS.request.gate, key=f"f{n}.yml/7/p")))
        for n in range(5)
    ]
    there = There(five)
    for second in range(5):
        told(there, *map(a_page, five), now=DECIDED + timedelta(seconds=second))
        assert len([each for each in there.asked if each != "ledger"]) == 3 * (second + 1)
    assert {f"f{n}.yml" for n in range(5)} <= set(there.asked)


def test_many_gates_of_one_file_take_one_list() -> None:
    there = There([ACTIONS, ARGO], runs=[started(8, "success")])
    told(there, a_page(ACTIONS), a_page(ACTIONS), a_page(ARGO))
    assert there.asked.count("deploy.yml") == 1
    assert there.asked.count("ledger") == 1


# -- what the run's own side says ------------------------------------------------------------------


def of_metaflow(claim: str, by: Account = pages.OPENER, note: str = "-", **changes: Any) -> Page:
    """A page whose run the decider did not resume, and a comment behind its own."""
    page = a_page(LOCAL, body=text(LOCAL, note))
    said = Comment("IC_2", by, claim, DECIDED, "https://github.test/d")
    return replace(page, comments=(*page.comments, replace(said, **changes)))


LOCAL = _decided(a_request())


@pytest.mark.parametrize(("well", "word"), [(True, "Finished"), (False, "Failed")])
def test_a_run_that_nobody_else_can_see_is_believed_as_a_claim(well: bool, word: str) -> None:
    there = There([LOCAL])
    told(there, of_metaflow(end_claim(LOCAL.request, HEAD, well=well)))
    amend, remove = there.written
    how = "ended well" if well else "failed"
    said = f"**{word}:** the run's own side says that it {how}. Nothing proves it."
    assert (amend, remove) == (Amend("IC_1", text(LOCAL, said)), Remove("IC_2"))


CLAIM = end_claim(LOCAL.request, HEAD, well=True)


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        (CLAIM, {"by": pages.MALLORY}),
        (CLAIM, {"edited": Edit(pages.MALLORY, DECIDED)}),
        (end_claim(replace(LOCAL.request, message="Another?"), HEAD, well=True), {}),
        (end_claim(ARGO.request, HEAD, well=True), {}),
        (f"{CLAIM}\nand more", {}),
        (CLAIM, {"note": "**Finished:** the workflow `ml/run-1` ended as `Succeeded`."}),
    ],
    ids=["a stranger's", "edited", "another request", "another gate", "no seal", "ended already"],
)
def test_a_claim_counts_only_from_the_account_that_asked_and_once(
    claim: str, changes: dict[str, Any]
) -> None:
    there = There([LOCAL])
    assert told(there, of_metaflow(claim, **changes)) == []
    assert there.written == []


def test_no_word_of_a_claim_is_repeated() -> None:
    _, _, seal = CLAIM.rstrip().rpartition("\n")
    there = There([LOCAL])
    told(there, of_metaflow(f"**Finished:** /approve @alice <img src=x>\n\n{seal}\n"))
    amend = there.written[0]
    assert isinstance(amend, Amend)
    assert "img" not in amend.body
    assert "the run's own side says that it ended well" in amend.body


def test_a_claim_about_a_run_that_the_decider_resumed_itself_does_not_count() -> None:
    there = There([ARGO], a_run("Running"))
    claim = end_claim(ARGO.request, HEAD, well=True)
    page = a_page(ARGO)
    said = Comment("IC_2", pages.OPENER, claim, DECIDED, "https://github.test/d")
    page = replace(page, comments=(*page.comments, said))
    assert told(there, page) == []
    there.workflow_is = a_run("Failed")
    told(there, page)
    assert [type(each) for each in there.written] == [Amend, Remove]
    assert "**Failed:** the workflow `ml/run-1` ended as `Failed`." in str(there.written[0])


@dataclass
class Pages:
    """GitHub, as far as a run's own side needs it."""

    shown: dict[int, Page]
    locked: Collection[int] = ()
    said: list[int] = field(default_factory=list)

    def find(self, *_: object) -> Look:
        return Look(pages.SITE, tuple(self.shown.values()))

    def say(self, page: Page, claim: str) -> None:
        if page.number in self.locked:
            raise ForgeUnavailable("GitHub answered 403: the conversation is locked")
        self.said.append(page.number)
        comment = Comment(
            f"IC_{page.number}", pages.OPENER, claim, DECIDED, "https://github.test/d"
        )
        self.shown[page.number] = replace(page, comments=(*page.comments, comment))


def the_run_says(
    monkeypatch: pytest.MonkeyPatch,
    at: Pages,
    of: Sequence[Standing],
    *,
    well: bool,
    uid: str | None = None,
) -> None:
    number = {each.request.gate.id: nth for nth, each in enumerate(of)}
    monkeypatch.setattr(on_github, "own_page", lambda _, gate, __: at.shown.get(number[gate]))
    venue = OnGitHub(*cast(Any, (None, There(of), None, lambda: DECIDED, lambda: at)))
    venue.say_ended(list(number), well=well, uid=uid)


def test_one_page_that_takes_no_comment_keeps_the_claim_from_no_other_and_doubles_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    three = [_decided(a_request(f"Flow/1/gate/{nth}")) for nth in range(3)]
    of = {nth: replace(a_page(each), number=nth) for nth, each in enumerate(three)}
    at = Pages(of, locked=[1])
    for _ in range(3):
        with pytest.raises(ForgeUnavailable, match="locked"):
            the_run_says(monkeypatch, at, three, well=False)
    assert at.said == [0, 2]
    at.locked = ()
    the_run_says(monkeypatch, at, three, well=True)  # it was retried, and ended otherwise
    assert at.said == [0, 2, 0, 1, 2]


def test_a_page_that_says_how_the_run_ended_gets_no_claim_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = text(ARGO, "**Finished:** the workflow `ml/run-1` ended as `Succeeded`.")
    at = Pages({0: a_page(ARGO, body=ended)})
    the_run_says(monkeypatch, at, [ARGO], well=True, uid="u-1")
    assert at.said == []


@pytest.mark.parametrize(("uid", "said"), [("u-1", [0]), ("u-2", []), (None, [1])])
def test_a_workflow_says_nothing_of_the_gate_of_another(
    monkeypatch: pytest.MonkeyPatch, uid: str | None, said: list[int]
) -> None:
    both = [of_argo("7"), LOCAL]  # of two gates
    of = {n: replace(a_page(each, body=text(each, "-")), number=n) for n, each in enumerate(both)}
    at = Pages(of)
    the_run_says(monkeypatch, at, both, well=False, uid=uid)
    assert at.said == said


# -- who is believed, and what fails ---------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"by": pages.OPENER},
        {"by": pages.MALLORY},
        {"edited": Edit(pages.OPENER, DECIDED)},
        {"edited": Edit(pages.MALLORY, DECIDED)},
    ],
    ids=["the opener", "a stranger", "edited by the opener", "edited by a stranger"],
)
def test_only_the_deciders_own_comment_is_read_and_edited(changes: dict[str, Any]) -> None:
    there = There([ARGO], a_run("Succeeded"))
    assert told(there, a_page(ARGO, **changes)) == []
    assert (there.asked, there.written) == ([], [])


def test_a_page_of_another_request_than_was_decided_stays_as_it_is() -> None:
    other = replace(ARGO, request=replace(ARGO.request, message="Another question?"))
    there = There([other], a_run("Succeeded"))
    [says] = told(there, a_page(ARGO))
    assert "shows another request than was decided" in says
    assert there.written == []


def test_an_edit_that_fails_is_tried_again_by_the_next_sweep() -> None:
    there = There([ARGO], a_run("Succeeded"), refuses=True)
    [says] = told(there, a_page(ARGO))
    assert "does not say yet how the run ended: GitHub answered 502" in says
    there.refuses = False
    assert told(there, a_page(ARGO)) == [f"{ARGO.request.gate.key}: the run finished"]
    assert len(there.written) == 1


def test_a_cluster_that_does_not_answer_hides_no_end_of_github_actions() -> None:
    there = There(
        [ARGO, ACTIONS], ClusterUnavailable("it is out of reach"), [started(8, "success")]
    )
    says = told(there, a_page(ARGO), a_page(ACTIONS))
    assert says == [
        "whether the resumed runs have ended is not known: it is out of reach",
        "deploy.yml/77/production: the run finished",
    ]


def test_runs_that_cannot_be_listed_hide_no_end_of_a_workflow() -> None:
    there = There([ARGO, ACTIONS], a_run("Failed"), ForgeUnavailable("it takes actions: read"))
    says = told(there, a_page(ARGO), a_page(ACTIONS))
    assert says[0].endswith("is not known: it takes actions: read")
    assert says[1] == f"{ARGO.request.gate.key}: the run failed"


def test_a_namespace_that_nobody_may_read_hides_no_end_in_another() -> None:
    elsewhere = [
        _decided(replace(a_request(f"Flow/1/gate/{nth}"), workflow=replace(RUN, namespace="hr")))
        for nth in range(10, 20)
    ]
    there = There([*elsewhere, ARGO], a_run("Succeeded"), closed_off=["hr"])
    says = told(there, *map(a_page, elsewhere), a_page(ARGO))
    assert says == [
        "whether the resumed runs have ended is not known: hr: the cluster answered 403",
        f"{ARGO.request.gate.key}: the run finished",
    ]
    assert there.asked.count("cluster") == 4  # an answer may take long to fail


def test_a_workflow_file_that_is_gone_hides_no_end_of_another() -> None:
    gate = replace(ACTIONS.request.gate, key="gone.yml/77/production")
    gone = _decided(replace(ACTIONS.request, gate=gate))
    there = There([gone, ACTIONS], runs=[started(8, "success")], closed_off=["gone.yml"])
    assert told(there, a_page(gone), a_page(ACTIONS)) == [
        "whether the resumed runs have ended is not known: gone.yml: GitHub answered 404",
        "deploy.yml/77/production: the run finished",
    ]
