"""A no holds until somebody who may do so lifts it, whatever else happens to a gate and its page.

Ann and Bob are approvers. Ina is one too, and started the run, so her approval does not count. Eve
may not decide: she can write to the repository, and so edit and delete what others wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.evaluation import (
    Answer,
    Condition,
    Evaluation,
    Evidence,
    Membership,
    Objection,
    Outcome,
    Verdict,
)
from bridge.core.model import ApprovalRequest
from bridge.core.rules import Actors, Approvals, Group, GroupKind, OnTimeout, Policy
from bridge.pages import votes
from bridge.pages.marker import Part
from bridge.pages.model import (
    Account,
    Comment,
    Deletion,
    Edit,
    Kind,
    Page,
    Review,
    ReviewState,
    Revision,
)
from bridge.pages.objections import said_on
from bridge.policy.evaluate import evaluate
from bridge.policy.objections import lost, standing
from tests.test_votes import BOT, NOON, VOICES, page, request, seal, status

ML = Group(GroupKind.TEAM, "acme/ml")
ANN, BOB = Account(11, "ann", Kind.USER), Account(12, "bob", Kind.USER)
INA, EVE = Account(13, "ina", Kind.USER), Account(66, "eve", Kind.USER)
PEOPLE = (ANN, BOB, INA, EVE)
CONDITION = "accuracy >= 0.5"
STATES = {ReviewState.APPROVED, ReviewState.CHANGES}
TEXTS = (
    "/approve",
    "/hold",
    "/reject no",
    "/unhold",
    "hello",
    "/unhold @ann fine",
    "/unhold @bob fine",
)

Act = tuple[Any, ...]


@dataclass
class World:
    """A gate, its page and its record, and the acts that change them. Every act takes a minute."""

    on_timeout: OnTimeout = OnTimeout.NOTIFY
    count: int = 1
    minute: int = 2
    version: int = 0
    shown_at: int = 1
    holds: bool = False  # the condition
    team: dict[Account, Answer] = field(
        default_factory=lambda: dict.fromkeys((ANN, BOB, INA), Answer.MEMBER)
    )
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    recorded: tuple[Objection, ...] = ()
    outcome: Outcome = Outcome.PENDING

    @property
    def now(self) -> datetime:
        return NOON + timedelta(minutes=self.minute)

    @property
    def head(self) -> str:
        return f"{self.version}" * 40

    def does(self, act: Act) -> None:
        name, *about = act
        self.minute += 1
        getattr(self, name)(*about)

    # -- acts --------------------------------------------------------------------------------------

    def says(self, who: Account, text: str) -> None:
        node = f"C{self.minute}"
        self.comments.append(Comment(node, who, text, self.now, f"{node}#issuecomment"))

    def reviews_(self, who: Account, state: ReviewState, text: str) -> None:
        node = f"R{self.minute}"
        self.reviews.append(Review(node, who, state, text, self.now, node, commit=self.head))

    def edits(self, who: Account, of: str, at: int, text: str) -> None:
        said: list[Any] = getattr(self, of)
        if said:
            old = said[at % len(said)]
            first = old.revisions or (Revision(old.author, old.at, old.body),)
            said[at % len(said)] = replace(
                old,
                body=text,
                edited=Edit(who, self.now),
                revisions=(*first, Revision(who, self.now, text)),
            )

    def forgets(self, who: Account, at: int) -> None:
        """Somebody deletes the oldest revision of a text."""
        edited = [at for at, each in enumerate(self.comments) if each.revisions]
        if edited:
            index = edited[at % len(edited)]
            old = self.comments[index]
            first, *rest = old.revisions
            self.comments[index] = replace(old, revisions=(replace(first, text=None), *rest))

    def deletes(self, who: Account, at: int) -> None:
        if self.comments:
            gone = self.comments.pop(at % len(self.comments))
            self.deletions.append(Deletion(gone.author, who, self.now))

    def dismisses(self, who: Account, at: int) -> None:
        if self.reviews:
            old = self.reviews[at % len(self.reviews)]
            if old.dismissed_at is None and old.state in STATES:
                self.reviews[at % len(self.reviews)] = replace(
                    old, dismissed_by=who, dismissed_at=self.now
                )

    def spoils(self, who: Account, how: str) -> None:
        """They go for what was said last."""
        newest = max((*self.comments, *self.reviews), key=lambda each: each.at, default=None)
        if newest and newest.author and how == "unholds":
            self.says(who, f"/unhold @{newest.author.login} ok")
        elif isinstance(newest, Review):
            self.dismisses(who, -1)
        elif newest and how == "edits":
            self.edits(who, "comments", -1, "hello")
        elif newest:
            self.deletes(who, -1)

    def is_asked_again(self, contents: int) -> None:
        """With the same contents as well: somebody pushed, and it was put back."""
        self.version, self.shown_at = contents, self.minute

    def joins(self, who: Account, answer: Answer) -> None:
        self.team[who] = answer

    def waits(self, minutes: int) -> None:
        self.minute += minutes

    def measures(self, holds: bool) -> None:
        self.holds = holds

    def is_looked_at(self) -> None:
        self.look()

    # -- looking -----------------------------------------------------------------------------------

    def asked(self) -> ApprovalRequest:
        policy = Policy(
            Approvals(Actors(groups=(ML,)), self.count),
            timeout=3_600,
            on_timeout=self.on_timeout,
            auto_approve_if=CONDITION,
            initiator="ina",
        )
        return request(policy=policy, message=f"Deploy {self.version}?")

    def page(self) -> Page:
        asked, head = self.asked(), self.head
        shown = NOON + timedelta(minutes=self.shown_at)
        words = f"### Waiting\n{seal(Part.STATUS, asked, head)}\n"
        return page(
            body=f"Deploy?\n\n{seal(Part.BODY, asked, head)}\n",
            head=head,
            comments=(replace(status(), body=words, at=shown), *self.comments),
            reviews=tuple(self.reviews),
            deletions=tuple(self.deletions),
            url="https://github.test/acme/models/pull/7",
        )

    def look(self) -> Evaluation:
        """What the decider does: read, judge, and record."""
        asked, shown = self.asked(), self.page()
        seen = votes.shown(shown, VOICES)
        assert seen
        found = votes.gather(asked, shown, seen, self.head, VOICES)
        evaluation = evaluate(
            asked,
            Evidence(
                now=self.now,
                votes=found.votes,
                condition=Condition(CONDITION, {}, self.holds),
                memberships=tuple(
                    Membership(who.id or 0, ML, self.team.get(who, Answer.NOT)) for who in PEOPLE
                ),
                author=votes.actor_of(BOT),
                dismissed=found.dismissed,
                said=said_on(shown, seen.digest, VOICES, self.recorded),
                objections=self.recorded,
            ),
        )
        if self.outcome is Outcome.PENDING:
            self.outcome, self.recorded = evaluation.outcome, evaluation.objections
        return evaluation


INDEX = st.integers(0, 5)


def acts(people: tuple[Account, ...]) -> st.SearchStrategy[Act]:
    """What these people do to the page."""
    who = st.sampled_from(people)
    return st.one_of(
        st.tuples(st.just("says"), who, st.sampled_from(TEXTS)),
        st.tuples(st.just("reviews_"), who, st.sampled_from(sorted(STATES)), st.just("good")),
        st.tuples(
            st.just("edits"),
            who,
            st.sampled_from(["comments", "reviews"]),
            INDEX,
            st.sampled_from(TEXTS),
        ),
        st.tuples(st.just("forgets"), who, INDEX),
        st.tuples(st.just("deletes"), who, INDEX),
        st.tuples(st.just("dismisses"), who, INDEX),
    )


#: What happens without anybody's word: time, a condition, a push, another version, another team.
ELSE = st.one_of(
    st.tuples(st.just("waits"), st.sampled_from([1, 30, 90])),
    st.tuples(st.just("measures"), st.booleans()),
    st.tuples(st.just("is_asked_again"), st.integers(0, 1)),
    st.tuples(st.just("is_looked_at")),
)
JOINS = st.tuples(st.just("joins"), st.sampled_from([ANN, BOB, INA]), st.sampled_from(list(Answer)))
APPROVERS = st.sampled_from([ANN, BOB])
NO = st.one_of(
    st.tuples(
        st.just("says"),
        st.sampled_from([ANN, BOB, INA]),
        st.sampled_from(["/hold", "/reject no"]),
    ),
    st.tuples(st.just("reviews_"), APPROVERS, st.just(ReviewState.CHANGES), st.just("no")),
)
YES = st.tuples(st.just("reviews_"), APPROVERS, st.just(ReviewState.APPROVED), st.just(""))


def histories(*more: st.SearchStrategy[Act]) -> st.SearchStrategy[list[Act]]:
    """A yes, a no, and whatever comes before, between and behind."""
    some = st.lists(st.one_of(acts(PEOPLE), JOINS, *more), max_size=3)
    return st.builds(lambda a, b, c, d, e: [*a, b, *c, d, *e], some, YES, some, NO, some)


#: With looks, each of them puts on record what it sees.
HISTORIES = histories(ELSE)
#: Nobody looks until the end.
UNSEEN = histories()
#: Acts of those who may not decide.
SPOILS = st.tuples(
    st.just("spoils"), st.just(EVE), st.sampled_from(["edits", "deletes", "unholds"])
)
OTHERS = st.builds(
    lambda first, more: [first, *more], SPOILS, st.lists(st.one_of(acts((EVE,)), ELSE), max_size=4)
)
WORLDS = st.builds(World, st.sampled_from(list(OnTimeout)), st.sampled_from([1, 2]))


def after(world: World, history: list[Act]) -> Evaluation:
    for act in history:
        world.does(act)
    return world.look()


def approved_by_all_others(world: World, objectors: set[int | None]) -> None:
    """Every approver who does not object approves, the condition holds, and the clock runs out."""
    world.does(("measures", True))
    for who in {ANN, BOB} - {who for who in PEOPLE if who.id in objectors}:
        world.does(("reviews_", who, ReviewState.APPROVED, ""))
    world.look()
    if world.on_timeout is not OnTimeout.REJECT:
        world.does(("waits", 90))
        world.look()


@given(WORLDS, HISTORIES, OTHERS)
def test_no_act_of_somebody_who_may_not_decide_approves_a_gate_that_is_held(
    world: World, history: list[Act], others: list[Act]
) -> None:
    held = standing(after(world, history).objections)
    if world.outcome is Outcome.PENDING and held:
        after(world, others)
        for objection in held:
            (who,) = (each for each in PEOPLE if each.id == objection.who.id)
            world.does(("joins", who, Answer.NOT))
        approved_by_all_others(world, {each.who.id for each in held})
        assert world.outcome is not Outcome.APPROVED


@given(WORLDS, UNSEEN, OTHERS)
def test_nor_does_one_that_came_before_the_decider_looked(
    world: World, history: list[Act], others: list[Act]
) -> None:
    for act in history:
        world.does(act)
    copy = replace(
        world,
        team=dict(world.team),
        comments=list(world.comments),
        reviews=list(world.reviews),
        deletions=list(world.deletions),
    )
    held = standing(copy.look().objections)
    if copy.outcome is Outcome.PENDING and held:
        after(world, others)
        approved_by_all_others(world, {each.who.id for each in held})
        assert world.outcome is not Outcome.APPROVED


@given(WORLDS, HISTORIES)
def test_a_gate_can_always_be_decided_by_those_who_may(world: World, history: list[Act]) -> None:
    found = after(world, history)
    for who in (ANN, BOB):
        world.does(("joins", who, Answer.MEMBER))
    for objection in standing(found.objections):
        world.does(("says", BOB, f"/unhold @{objection.who.login} it was looked into"))
    for who in (ANN, BOB):
        world.does(("reviews_", who, ReviewState.APPROVED, ""))
    world.look()
    assert world.outcome is not Outcome.PENDING


@given(WORLDS, HISTORIES)
def test_an_approval_that_its_author_superseded_never_counts(
    world: World, history: list[Act]
) -> None:
    for objection in standing(after(world, history).objections):
        world.does(("says", BOB, f"/unhold @{objection.who.login} it was looked into"))
    found = world.look()
    for vote in found.candidates:
        later = [
            each for each in found.objections if each.who.id == vote.actor.id and each.at > vote.at
        ]
        assert not (vote.verdict is Verdict.APPROVE and later)


@given(WORLDS, HISTORIES)
def test_what_is_on_record_stays_there(world: World, history: list[Act]) -> None:
    recorded: tuple[Objection, ...] = ()
    for act in history:
        world.does(act)
        assert lost(recorded, world.recorded) == ()
        recorded = world.recorded


@pytest.mark.parametrize("login", ["ann", "Ann-New"])
def test_who_objected_under_a_former_login_is_lifted_by_either_name(login: str) -> None:
    """On record is the login of then; the page shows the one of now beside their comment."""
    world = World()
    world.does(("says", ANN, "/hold wait"))
    world.look()
    world.comments = [replace(world.comments[0], author=replace(ANN, login="ann-new"))]
    world.does(("says", BOB, f"/unhold @{login} it was looked into"))
    world.does(("says", BOB, "/unhold @eve it was looked into"))
    found = world.look()
    assert standing(found.objections) == ()
    assert [each.reason for each in found.dismissals] == ["eve has no objection here"]
