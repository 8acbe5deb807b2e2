"""What stands on a gate's page, and what of it is a vote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.digest import digest_of
from bridge.core.evaluation import Channel, Verdict
from bridge.core.model import ApprovalRequest, Gate, on_github
from bridge.core.rules import Actors, Approvals, Policy
from bridge.pages import status_comment
from bridge.pages.body_history import Shown
from bridge.pages.marker import Part, Seal, short
from bridge.pages.model import (
    Account,
    Branch,
    Closing,
    Comment,
    Deletion,
    Edit,
    Kind,
    Page,
    Reaction,
    Review,
    ReviewState,
    Revision,
    Site,
    State,
    Voices,
)
from bridge.pages.objections import said_on
from bridge.pages.votes import (
    Gathered,
    gate_of,
    gather,
    shown,
    unanswered,
)

HEAD, OLD = "a" * 40, "b" * 40
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOT = Account(1, "approval-decider", Kind.BOT)
OPENER = Account(2, "approval-opener", Kind.BOT)
ALICE = Account(11, "alice", Kind.USER)
MALLORY = Account(66, "mallory", Kind.USER)
VOICES = Voices(frozenset({1}), frozenset({"approval-opener[bot]"}))
SITE = Site("acme/models", 7, "https://github.test/acme/models", "main", "c" * 40, None, VOICES)
SCHEMA = {
    "type": "object",
    "properties": {"target": {"type": "string"}},
    "required": ["target"],
}


def request(**changes: Any) -> ApprovalRequest:
    made = ApprovalRequest(
        gate=Gate("https://metadata.test", "Train/7/deploy/12"),
        message="Deploy the model?",
        policy=Policy(Approvals(Actors(users=("alice",)))),
        opened_at=NOON,
        venue=on_github("acme/models"),
    )
    return replace(made, **changes)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def seal(part: Part, asked: ApprovalRequest | None = None, head: str = HEAD) -> str:
    asked = asked or request()
    return str(Seal(part, asked.gate.id, digest_of(asked), head))


def status(minutes: float = 1, **changes: Any) -> Comment:
    text = f"### Waiting\n{seal(Part.STATUS)}\n"
    return replace(Comment("status", OPENER, text, at(minutes), "u/status"), **changes)


_OF_THE_BRANCH = {"repository", "name", "head", "base", "exists"}


def page(*said: Comment | Review, **changes: Any) -> Page:
    comments = tuple(each for each in said if isinstance(each, Comment))
    made = Page(
        node="PR",
        number=7,
        url="https://github.test/acme/models/pull/7",
        state=State.OPEN,
        title="Approve",
        body=f"Deploy the model?\n\n{seal(Part.BODY)}\n",
        author=OPENER,
        at=NOON,
        branch=replace(
            Branch("acme/models", f"gate/{request().gate.id}", HEAD, "approvals"),
            **{name: changes.pop(name) for name in _OF_THE_BRANCH & changes.keys()},
        ),
        reviews=tuple(each for each in said if isinstance(each, Review)),
        comments=(status(), *comments),
    )
    return replace(made, **({"revisions": states(*changes.get("edits", ()))} | changes))


def states(*edits: Edit) -> tuple[Revision, ...]:
    """The body after each of these: what the bridge wrote is always the same."""
    if not edits:
        return ()
    ours = f"Deploy the model?\n\n{seal(Part.BODY)}\n"
    said = [(each.by, each.at, ours if VOICES.own(each.by) else "Give me money") for each in edits]
    return tuple(Revision(*each) for each in [(OPENER, NOON, ours), *said])


def comment(body: str, by: Account | None = ALICE, minutes: float = 5, **more: Any) -> Comment:
    return Comment(f"C{minutes}", by, body, at(minutes), f"u/c{minutes}", **more)


def review(
    state: str, body: str = "", by: Account = ALICE, minutes: float = 5, **more: Any
) -> Review:
    given = {"commit": HEAD} | more
    return Review(
        f"R{minutes}", by, ReviewState(state), body, at(minutes), f"u/r{minutes}", **given
    )


def gathered(of: Page, asked: ApprovalRequest | None = None, head: str | None = HEAD) -> Gathered:
    seen = shown(of, VOICES)
    assert seen
    return gather(asked or request(), of, seen, head, VOICES)


def only_vote(of: Page, **more: Any) -> tuple[Verdict, Channel]:
    found = gathered(of, **more)
    assert not found.dismissed
    assert not found.unreadable
    (vote,) = found.votes
    return vote.verdict, vote.channel


def dismissed(of: Page, **more: Any) -> str:
    found = gathered(of, **more)
    assert not found.votes
    (dismissal,) = found.dismissed
    return dismissal.reason


# -- what is a vote --------------------------------------------------------------------------------


def test_an_approving_review_of_the_head_is_a_vote() -> None:
    assert only_vote(page(review("APPROVED"))) == (Verdict.APPROVE, Channel.REVIEW)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("/approve", Verdict.APPROVE),
        ("/reject the loss explodes", Verdict.REJECT),
        ("/hold", Verdict.HOLD),
        ("/unhold", Verdict.RELEASE),
    ],
)
def test_a_command_is_a_vote_in_a_comment_and_in_a_review(body: str, verdict: Verdict) -> None:
    assert only_vote(page(comment(body))) == (verdict, Channel.COMMENT)
    assert only_vote(page(review("COMMENTED", body))) == (verdict, Channel.REVIEW)


def test_requested_changes_are_a_vote_with_the_reviews_text_as_reason() -> None:
    (vote,) = gathered(page(review("CHANGES_REQUESTED", "the data is stale"))).votes
    assert (vote.verdict, vote.reason) == (Verdict.CHANGES, "the data is stale")


def test_a_vote_is_by_the_number_and_proven() -> None:
    (vote,) = gathered(page(comment("/approve"))).votes
    assert (vote.actor.id, vote.actor.login, vote.actor.proven) == (11, "alice", True)
    assert vote.url == "u/c5"
    assert vote.body_sha256


def test_nobody_vouches_for_an_account_that_is_gone_or_no_user() -> None:
    ghost, mannequin = comment("/approve", None), comment("/approve", Account(5, "m", Kind.OTHER))
    assert not any(v.actor.proven for v in gathered(page(ghost, mannequin)).votes)


def test_a_bots_vote_says_that_it_is_one() -> None:
    (vote,) = gathered(page(comment("/approve", Account(9, "helper", Kind.BOT)))).votes
    assert vote.actor.bot
    assert not vote.actor.proven


def test_talk_is_no_vote() -> None:
    found = gathered(page(comment("Looks fine"), review("COMMENTED", "hm", minutes=6)))
    assert not found.votes
    assert not found.dismissed


def test_the_bridges_own_words_are_never_read_as_commands() -> None:
    assert gathered(page(comment("/approve", BOT))) == Gathered()
    assert gathered(page(comment("/approve", OPENER))) == Gathered()


def test_a_user_called_like_the_app_is_not_the_bridges_voice() -> None:
    twin = Account(99, "approval-opener", Kind.USER)
    assert not VOICES.own(twin)
    assert gathered(page(comment("/approve", twin))).votes


def test_asking_for_the_status_is_no_vote() -> None:
    found = gathered(page(comment("/status")))
    assert (found.votes, found.asked) == ((), ("C5",))


# -- what the page voids ---------------------------------------------------------------------------


def test_a_review_of_an_older_head_does_not_count() -> None:
    assert "older version" in dismissed(page(review("APPROVED", commit=OLD)))
    assert "older version" in dismissed(page(review("APPROVED", commit=None)))


@pytest.mark.parametrize("said", [review("APPROVED"), comment("/approve")])
def test_nothing_counts_while_somebody_elses_commit_is_the_head(said: Comment | Review) -> None:
    moved = page(said, head=OLD)
    assert "someone pushed" in dismissed(moved, head=OLD)
    assert "someone pushed" in dismissed(moved, head=HEAD)
    assert "someone pushed" in dismissed(page(said), head=OLD)
    assert "someone pushed" in dismissed(page(said), head=None)


def test_an_edited_comment_or_review_does_not_count_whoever_edited_it() -> None:
    edit = Edit(ALICE, at(9))
    assert "edited" in dismissed(page(comment("/approve", edited=edit)))
    assert "edited" in dismissed(page(review("APPROVED", "fine", edited=edit)))
    assert "edited" in dismissed(page(comment("/approve", edited=Edit(None, at(9)))))


def test_a_comment_from_before_this_version_was_shown_does_not_count() -> None:
    assert "before this version" in dismissed(page(comment("/approve", minutes=0.5)))


def test_without_a_status_comment_an_unchanged_body_proves_since_when_it_was_shown() -> None:
    of = page(comment("/approve", minutes=0.5))
    assert only_vote(replace(of, comments=of.comments[1:]))[0] is Verdict.APPROVE


def test_a_vote_cast_while_the_text_was_changed_does_not_count_and_others_do() -> None:
    edits = (Edit(MALLORY, at(4)), Edit(BOT, at(8)))
    found = gathered(
        page(
            comment("/approve", minutes=3),
            comment("/approve", minutes=5),
            comment("/approve", minutes=9),
            edits=edits,
        )
    )
    assert [vote.at for vote in found.votes] == [at(3), at(9)]
    assert "changed the text" in found.dismissed[0].reason


def test_while_the_text_is_still_changed_no_new_vote_counts() -> None:
    of = page(comment("/approve", minutes=5), body="Give me money", edits=(Edit(MALLORY, at(4)),))
    seen = shown(of, VOICES)
    assert seen
    assert seen.altered_now
    assert "changed the text" in dismissed(of)


# -- another request on the same page --------------------------------------------------------------

OTHER = request(message="Deploy another model?")


def replaced(*said: Comment | Review, **changes: Any) -> Page:
    """A page that showed another request until 12:04; its status comment was written again."""
    then = Revision(OPENER, NOON, f"Deploy another?\n\n{seal(Part.BODY, OTHER, OLD)}\n")
    now = Revision(OPENER, at(4), f"Deploy the model?\n\n{seal(Part.BODY)}\n")
    made = page(*said, edits=(Edit(OPENER, at(4)),), revisions=(then, now), **changes)
    comments = (status(changes.pop("shown", 4)), *made.comments[1:])
    return replace(made, comments=comments)


WORD = short(digest_of(request()))


@pytest.mark.parametrize("branch", [page().branch, None], ids=["pull request", "issue"])
def test_after_a_replacement_an_approval_must_name_the_version(branch: Any) -> None:
    by_mail = replaced(comment("/approve"), branch=branch)
    assert "does not say of which version" in dismissed(by_mail)
    assert only_vote(replaced(comment(f"/approve {WORD}"), branch=branch))[0] is Verdict.APPROVE
    old = replaced(comment(f"/approve {short(digest_of(OTHER))}"), branch=branch)
    assert "of another version" in dismissed(old)


def test_after_a_replacement_a_review_must_name_the_version_as_well() -> None:
    assert "does not say of which version" in dismissed(replaced(review("APPROVED")))
    assert "does not say of which version" in dismissed(replaced(review("APPROVED", "/approve")))
    named = replaced(review("APPROVED", f"/approve {WORD}"))
    assert only_vote(named) == (Verdict.APPROVE, Channel.REVIEW)


def test_a_page_that_was_only_put_right_asks_for_no_version() -> None:
    of = page(comment("/approve", minutes=9), edits=(Edit(MALLORY, at(4)), Edit(BOT, at(8))))
    assert only_vote(of)[0] is Verdict.APPROVE
    assert shown(of, VOICES) == Shown(
        HEAD, digest_of(request()), at(1), NOON, NOON, False, ((at(4), at(8)),)
    )


@pytest.mark.parametrize("states", [(), (Revision(OPENER, NOON, None),)])
def test_a_page_whose_history_is_hidden_may_have_shown_another_request(states: Any) -> None:
    last = Revision(OPENER, at(4), page().body)
    of = page(
        comment("/approve"), edits=(Edit(OPENER, at(4)),), revisions=states and (*states, last)
    )
    seen = shown(of, VOICES)
    assert seen
    assert (seen.replaced, seen.asked) == (True, at(4))
    dismissed(of)


def test_a_replaced_request_is_asked_since_it_replaced_the_other() -> None:
    seen = shown(replaced(), VOICES)
    assert seen
    assert (seen.since, seen.asked, seen.replaced) == (at(4), at(4), True)


def test_an_old_status_comment_that_is_made_to_show_a_new_request_dates_nothing_back() -> None:
    """Whoever has the opener's key may change all of its comments."""
    of = replaced(comment(f"/approve {WORD}", minutes=3))
    forged = replace(of, comments=(status(1, edited=Edit(OPENER, at(4))), *of.comments[1:]))
    seen = shown(forged, VOICES)
    assert seen
    assert (seen.since, seen.asked) == (at(4), at(4))
    assert "before this version" in dismissed(forged)


def test_a_request_that_comes_back_is_asked_since_it_came_back() -> None:
    first, between = Revision(OPENER, NOON, page().body), replaced().revisions[0]
    back = Revision(OPENER, at(9), page().body)
    edits = (Edit(OPENER, at(4)), Edit(OPENER, at(9)))
    of = page(edits=edits, revisions=(first, replace(between, at=at(4)), back))
    seen = shown(of, VOICES)
    assert seen
    assert (seen.asked, seen.replaced) == (at(9), True)


# -- a person whose own token opened the gate ------------------------------------------------------

HERS = Voices(frozenset({1, ALICE.id or 0}))


def hers(*said: Comment | Review) -> Page:
    """A page that Alice's token opened and wrote the status of."""
    return replace(
        page(*said), author=ALICE, comments=(status(author=ALICE), *page(*said).comments[1:])
    )


def test_what_a_person_says_on_the_gate_that_their_token_opened_is_their_own_word() -> None:
    of = hers(comment("/reject the loss explodes"))
    seen = shown(of, HERS)
    assert seen
    (vote,) = gather(request(), of, seen, HEAD, HERS).votes
    assert (vote.actor.login, vote.verdict) == ("alice", Verdict.REJECT)
    assert [each.verdict for each in said_on(of, seen.digest, HERS)] == [Verdict.REJECT]


def test_what_the_bridge_wrote_with_a_persons_token_is_not_their_word() -> None:
    text = f"### Waiting\n\n/hold\n\n{seal(Part.STATUS)}"
    of = hers(comment(text))
    seen = shown(of, HERS)
    assert seen
    assert gather(request(), of, seen, HEAD, HERS) == Gathered()
    assert not said_on(of, seen.digest, HERS)


def test_a_person_cannot_hide_what_they_said_behind_the_bridges_seal() -> None:
    first = Revision(ALICE, at(5), "/hold not yet")
    later = Revision(ALICE, at(6), f"Waiting\n{seal(Part.STATUS)}")
    said = comment(later.text or "", edited=Edit(ALICE, at(6)), revisions=(first, later))
    assert [each.verdict for each in said_on(hers(said), "d", HERS)] == [Verdict.HOLD]


def test_a_comment_of_that_person_that_somebody_deleted_may_have_objected() -> None:
    gone = Deletion(ALICE, MALLORY, at(6))
    assert said_on(replace(hers(), deletions=(gone,)), "d", HERS)
    tidied = Deletion(ALICE, BOT, at(6))
    assert not said_on(replace(hers(), deletions=(tidied,)), "d", HERS)


def test_a_persons_edited_comment_is_no_status_comment_of_the_bridge() -> None:
    of = hers(comment("/hold", edited=Edit(ALICE, at(6))))
    assert [each.node for each in status_comment.every(of, HERS)] == ["status"]


# -- input -----------------------------------------------------------------------------------------


def test_an_approval_without_the_input_that_is_asked_for_does_not_count() -> None:
    asked = request(schema=SCHEMA)
    of = page(
        review("APPROVED"),
        body=seal(Part.BODY, asked),
        comments=(status(body=seal(Part.STATUS, asked)),),
    )
    with_input = replace(of, reviews=(review("APPROVED", "/approve target=prod"),))
    (vote,) = gathered(with_input, asked).votes
    assert vote.inputs == {"target": "prod"}


def test_input_to_a_gate_without_any_does_not_count() -> None:
    assert "takes no input" in dismissed(page(comment("/approve target=prod")))


def test_an_approval_that_names_another_version_does_not_count_on_a_pull_request_either() -> None:
    own = short(digest_of(request()))
    assert only_vote(page(comment(f"/approve {own}"))) == (Verdict.APPROVE, Channel.COMMENT)
    assert "another version" in dismissed(
        page(comment("/approve 0123456789abcdef0123456789abcdef"))
    )


@pytest.mark.parametrize(
    ("state", "text", "verdict"),
    [
        ("APPROVED", "/reject no", Verdict.REJECT),
        ("APPROVED", "- /hold", Verdict.HOLD),
        ("CHANGES_REQUESTED", "/approve", Verdict.CHANGES),
        ("CHANGES_REQUESTED", "/unhold", Verdict.CHANGES),
        ("CHANGES_REQUESTED", "/aprove", Verdict.CHANGES),
        ("CHANGES_REQUESTED", "I would `/approve` this, but", Verdict.CHANGES),
        ("CHANGES_REQUESTED", "/reject no", Verdict.REJECT),
    ],
)
def test_an_objection_by_button_or_text_outweighs_the_other(
    state: str, text: str, verdict: Verdict
) -> None:
    (vote,) = gathered(page(review(state, text))).votes
    assert vote.verdict is verdict


@pytest.mark.parametrize(
    "text",
    [
        *("/unhold", "/aprove", "LGTM, but /hold until Monday", "LGTM if tests pass"),
        *("as `/approve` would", "not yet\n\n/status"),
    ],
)
def test_an_approving_review_whose_text_says_something_else_is_answered(text: str) -> None:
    found = gathered(page(review("APPROVED", text)))
    assert not found.votes
    assert found.unreadable


@pytest.mark.parametrize(
    "text", ["fine, as `/approve` says", "LGTM\n/status", "> /hold on\n\nit is fine now"]
)
def test_an_approving_review_may_quote_a_command(text: str) -> None:
    assert only_vote(page(review("APPROVED", text))) == (Verdict.APPROVE, Channel.REVIEW)


def test_a_dismissed_review_of_which_nothing_is_known_does_not_count() -> None:
    of = page(review("DISMISSED", "/approve"))
    assert dismissed(of) == "it was dismissed"


def test_a_dismissed_review_says_what_it_was_and_who_dismissed_it() -> None:
    (vote,) = gathered(page(review("APPROVED", dismissed_by=MALLORY))).votes
    assert vote.dismissed_by
    assert vote.dismissed_by.id == 66


# -- closing ---------------------------------------------------------------------------------------


def closed(by: Account | None = ALICE, **changes: Any) -> Page:
    by_reference = changes.pop("by_reference", False)
    closing = Closing(by, at(9), by_reference)
    return page(**{"state": State.CLOSED, "closing": closing, **changes})


def test_a_person_closing_the_page_is_a_rejection() -> None:
    assert only_vote(closed()) == (Verdict.REJECT, Channel.CLOSING)


@pytest.mark.parametrize(
    "of",
    [
        closed(by_reference=True),
        closed(Account(9, "stale", Kind.BOT)),
        closed(BOT),
        closed(None),
        closed(exists=False),
        closed(state=State.OPEN),  # closed once, and open again
    ],
)
def test_a_close_by_reference_bot_or_vanished_branch_is_nobodys_word(of: Page) -> None:
    assert not gathered(of).votes


# -- whose page it is, and what it proves ----------------------------------------------------------


def test_a_page_is_the_gates_only_if_repository_branch_and_author_match() -> None:
    assert gate_of(page(), SITE) == request().gate.id
    for change in (
        {"repository": "mallory/models"},
        {"repository": None},
        {"name": "gates/x"},
        {"author": MALLORY},
        {"author": Account(99, "approval-opener", Kind.USER)},
    ):
        assert gate_of(page(**change), SITE) is None
    astray = page(base="main")
    assert gate_of(astray, SITE) == request().gate.id  # whose objections hold
    assert astray.astray
    assert not astray.can_show(HEAD)


def test_a_seal_that_a_stranger_pasted_proves_nothing() -> None:
    forged = comment(seal(Part.STATUS, head=OLD), MALLORY)
    seen = shown(page(forged, head=OLD), VOICES)
    assert seen
    assert seen.head == HEAD


def test_an_own_status_comment_that_somebody_changed_proves_nothing() -> None:
    forged = status(body=seal(Part.STATUS, head=OLD), edited=Edit(MALLORY, at(2)))
    of = page(comments=(forged,), edits=(Edit(MALLORY, at(2)),), body=seal(Part.BODY, head=OLD))
    assert shown(of, VOICES) is None
    assert status_comment.every(of, VOICES) == [forged]


def test_a_seal_counts_on_the_last_line_alone_and_in_its_own_place() -> None:
    quoting = page(body=f"{seal(Part.BODY, head=OLD)}\nthe message ends here", comments=())
    assert shown(quoting, VOICES) is None
    misplaced = page(body=seal(Part.STATUS), comments=())
    assert shown(misplaced, VOICES) is None


def test_a_comment_is_answered_until_it_has_an_answer() -> None:
    of = page(comment("/approve"), comment("/aprove", minutes=6), comment("hello", minutes=7))
    assert unanswered(gathered(of), of) == ("C5", "C6")
    done = page(comment("/approve", reactions=frozenset({Reaction.SEEN})))
    assert unanswered(gathered(done), done) == ()


_SAID = st.one_of(
    st.builds(
        comment,
        st.sampled_from(["/approve", "/reject no", "/hold", "hm", "/aprove"]),
        st.sampled_from([ALICE, MALLORY, BOT, None]),
        st.integers(0, 9),
        edited=st.sampled_from([None, Edit(ALICE, at(9))]),
    ),
    st.builds(
        review,
        st.sampled_from(["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"]),
        st.sampled_from(["", "/approve", "/reject no"]),
        st.sampled_from([ALICE, MALLORY]),
        st.integers(0, 9),
        commit=st.sampled_from([HEAD, OLD, None]),
    ),
)


@given(
    st.lists(_SAID, max_size=6, unique_by=lambda each: each.url), st.sampled_from([HEAD, OLD, None])
)
def test_whatever_is_said_a_vote_is_for_the_request_at_the_sealed_head(
    said: list[Comment | Review], head: str | None
) -> None:
    found = gathered(page(*said), head=head)
    assert not found.votes or head == HEAD
    assert all(vote.digest == digest_of(request()) for vote in found.votes)
    edited = {each.url for each in said if each.edited}
    old = {each.url for each in said if isinstance(each, Review) and each.commit != HEAD}
    fine = {each.url for each in said if each.url not in edited | old}
    assert {vote.url for vote in found.votes} <= fine


def test_half_of_a_short_digest_approves_nothing() -> None:
    # Two requests that share 48 bits can be made in minutes.
    half = short(digest_of(request()))[:16]
    assert not gathered(page(comment(f"/approve {half}"))).votes
    assert len(short(digest_of(request()))) * 4 >= 128


# -- words that take an approval back --------------------------------------------------------------

TARGET = request(schema={"type": "object", "properties": {"target": {"enum": ["a", "b"]}}})


@pytest.mark.parametrize(
    "later",
    [
        review("APPROVED", "approved if the tests pass", minutes=6),
        review("APPROVED", "not yet", minutes=6),
        comment("/approve if the tests pass", minutes=6),
        comment("/approve once QA is done", minutes=4, edited=Edit(ALICE, at(7))),
    ],
    ids=["button", "button with words alone", "comment", "edited into a condition"],
)
def test_a_later_approval_with_a_condition_takes_an_earlier_one_back(
    later: Comment | Review,
) -> None:
    found = gathered(page(review("APPROVED", "LGTM"), later))
    assert found.votes == ()
    assert "approve again" in found.dismissed[-1].reason


def test_a_later_input_that_does_not_fit_takes_an_earlier_one_back() -> None:
    said = (comment("/approve target=a"), comment("/approve target=c", minutes=6))
    shows = f"Deploy the model?\n\n{seal(Part.BODY, TARGET)}\n"
    found = gathered(page(*said, body=shows), TARGET)
    assert found.votes == ()
    assert "approve again" in found.dismissed[-1].reason


def test_in_one_second_the_order_of_the_comments_says_which_words_came_later() -> None:
    yes, unread = comment("/approve"), replace(comment("/approve if green"), url="u/unread")
    (gone,) = gathered(page(yes, unread)).dismissed
    assert "approve again" in gone.reason
    assert gathered(page(unread, yes)).votes
    # Between a review and a comment, nothing says it.
    assert not gathered(page(review("APPROVED"), unread)).votes
    edited = replace(unread, edited=Edit(ALICE, yes.at), at=at(1))
    assert not gathered(page(edited, yes)).votes


@pytest.mark.parametrize(
    "other",
    [
        comment("/approve if the tests pass", minutes=4),
        comment("/approve if the tests pass", minutes=6, by=MALLORY),
        comment("/approve if the tests pass", minutes=6, edited=Edit(MALLORY, at(7))),
        comment("see `/approve` in the docs", minutes=6),
    ],
    ids=["earlier", "somebody else's", "edited by somebody else", "only mentioned"],
)
def test_nothing_else_takes_an_approval_back(other: Comment) -> None:
    found = gathered(page(review("APPROVED", "LGTM"), other))
    assert [vote.verdict for vote in found.votes] == [Verdict.APPROVE]
