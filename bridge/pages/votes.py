"""Gather: what stands on a gate's page, as votes that may count and answers that do not.

Values in, values out. Whether a vote's author may decide is the policy's to say; here is only what
the page itself voids: another version than the one shown, an edited text, an input that does not
fit. What cannot be known for certain does not become a vote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import (
    Actor,
    Channel,
    Dismissal,
    ReasonCode,
    Verdict,
    Vote,
    Why,
)
from bridge.core.model import ApprovalRequest
from bridge.pages import approve_button, comment_commands, status_comment, taken_back
from bridge.pages.body_history import (
    Shown,
    altered,
    gates_shown,
    history,
    renamed,
    unbroken,
    was_replaced,
)
from bridge.pages.command_words import Word
from bridge.pages.comment_commands import Command, Unreadable
from bridge.pages.marker import Part, Seal, seal_of
from bridge.pages.model import (
    GATE_BRANCH,
    Account,
    Comment,
    Kind,
    Page,
    Review,
    ReviewState,
    Site,
    State,
    Voices,
)
from bridge.pages.vote_signature import signature_of
from bridge.policy.objections import OBJECTS


@dataclass(frozen=True, slots=True)
class Unread:
    """A comment or review whose command cannot be read, and why, in words for its author."""

    node: str
    url: str
    author: str
    why: str
    which: str = "which could not be read"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What people said on a page. `nodes` finds a vote's comment or review by its url."""

    votes: tuple[Vote, ...] = ()
    dismissed: tuple[Dismissal, ...] = ()
    unreadable: tuple[Unread, ...] = ()
    asked: tuple[str, ...] = ()  # the comments that only ask for the status
    nodes: Mapping[str, Comment | Review] = field(default_factory=dict)
    closing: Vote | None = None  # also among the votes


def gate_of(page: Page, site: Site) -> str | None:
    """The id of the gate that this page shows; None if it is none of the bridge's.

    A fork's branch may have any name, and anyone may open a second pull request from the same
    branch: all three must match. An issue has its author and its seals. The base is left out: it
    can be changed by hand, and what people object to there must be read (`Page.astray`).
    """
    if not site.voices.own(page.author):
        return None
    branch = page.branch
    if branch is None:
        body, status = _seals(page, site.voices)
        seal = body or status
        # Anybody with write access can take both away: then its history says whose page it was.
        return seal.gate_id if seal else next(iter(gates_shown(page, site.voices)), None)
    ours = (
        branch.repository is not None
        and branch.repository.casefold() == site.repository.casefold()
        and branch.name.startswith(GATE_BRANCH)
    )
    return branch.name.removeprefix(GATE_BRANCH) if ours else None


def shown(page: Page, voices: Voices) -> Shown | None:
    """What was shown, by the seals of body and status; None if neither can be trusted."""
    body, on_status = _seals(page, voices)
    status = status_comment.newest(page, voices)
    seal = body or on_status
    if seal is None:
        return None
    past = history(page, voices)
    # An old status comment could be made to show a newer request: the body must show it as well.
    since = unbroken(past, lambda each: _same(each, seal))
    if status and on_status and _same(on_status, seal):
        since = since and max(since, status.at)
    elif page.edits:
        since = None
    asked = unbroken(past, lambda each: each.digest == seal.digest) or past[-1][0]
    unshut = max(asked, page.shut_until or asked)
    replaced = was_replaced(page, seal.digest, voices)
    changed = altered(page, voices) + renamed(page, voices)
    return Shown(seal.head, seal.digest, since, asked, unshut, replaced, changed)


def _seals(page: Page, voices: Voices) -> tuple[Seal | None, Seal | None]:
    """Those of the body and of the status comment, if each is the bridge's own word for word."""
    spans = altered(page, voices)
    body = None if spans and spans[-1][1] is None else seal_of(page.body)
    status = status_comment.newest(page, voices)
    return (
        body if body and body.part is Part.BODY else None,
        seal_of(status.body) if status else None,
    )


def _same(one: Seal, other: Seal) -> bool:
    return (one.gate_id, one.digest, one.head) == (other.gate_id, other.digest, other.head)


# -- votes -----------------------------------------------------------------------------------------


def gather(
    request: ApprovalRequest, page: Page, seen: Shown, head: str | None, voices: Voices
) -> Gathered:
    """What people said. `head` is the gate branch's as git has it, read apart from the page."""
    reader = _VoteReader(request, page, seen, head, voices)
    for review in page.reviews:
        reader.review(review)
    for comment in page.comments:
        reader.comment(comment)
    for comment in page.inline:
        reader.inline(comment)
    closing = reader.closing()
    votes, gone = taken_back.left(reader.votes, reader.unread_since, page)
    return Gathered(
        votes=tuple(votes),
        dismissed=(*reader.dismissed, *gone),
        unreadable=tuple(reader.unreadable),
        asked=tuple(reader.asked),
        nodes=reader.nodes,
        closing=closing,
    )


_VERDICTS = {
    Word.APPROVE: Verdict.APPROVE,
    Word.REJECT: Verdict.REJECT,
    Word.HOLD: Verdict.HOLD,
    Word.UNHOLD: Verdict.RELEASE,
    Word.WITHDRAW: Verdict.WITHDRAW,
}
_STATES = {ReviewState.APPROVED: Verdict.APPROVE, ReviewState.CHANGES: Verdict.CHANGES}
_OBJECTIONS = {Verdict.REJECT, Verdict.HOLD}


#: The command itself is not repeated: a reason is made harmless, and a digest is then cut in two.
_HERE = "copy the whole command from the foot of this comment"


class _VoteReader:
    def __init__(
        self,
        request: ApprovalRequest,
        page: Page,
        seen: Shown,
        head: str | None,
        voices: Voices,
    ) -> None:
        self._request = request
        self._digest = digest_of(request)
        self._page = page
        self._seen = seen
        self._voices = voices
        self._moved = self._what_moved(head)
        self.votes: list[Vote] = []
        self.dismissed: list[Dismissal] = []
        self.unreadable: list[Unread] = []
        self.asked: list[str] = []
        self.nodes: dict[str, Comment | Review] = {}
        self.unread_since: taken_back.Since = {}

    def _what_moved(self, head: str | None) -> Why | None:
        seen = self._seen
        if seen.digest != self._digest:
            return Why(
                ReasonCode.NOT_YET_SHOWN,
                "the request was replaced since, and what it shows now is not yet on this page",
            )
        # An issue has no head of its own to look at.
        if not head == seen.head == (self._page.head or head):
            return Why(
                ReasonCode.BRANCH_MOVED,
                "someone pushed to the gate's branch: what is there now is not what was asked",
            )
        return None

    def review(self, review: Review) -> None:
        command = self._read(review.body)
        said = _verdict(command)
        meant = _STATES.get(review.state)
        if meant is Verdict.CHANGES and said not in _OBJECTIONS:
            command, said = None, None  # whatever the text says, the button objects
        elif meant is Verdict.APPROVE and (not command or _is_aside(command, self._request)):
            command = approve_button.approval(review.body, self._request.schema)
        if isinstance(command, Unreadable):
            self._confused(review, command.why, meant is Verdict.APPROVE or not command.aside)
        elif meant is Verdict.APPROVE and said in (Verdict.RELEASE, Verdict.WITHDRAW):
            self._confused(
                review, f"the review says one thing ({meant}) and its text another ({said})"
            )
        elif verdict := said or meant:
            vote = self._vote(review, verdict, Channel.REVIEW, command)
            self._take(vote, command, self._why_void(review, verdict, self._old(review)))
        elif command:
            self.asked.append(review.node)

    def comment(self, comment: Comment) -> None:
        if self._voices.wrote(comment.author, comment.body):
            return  # its own words hold ready-made commands
        command = self._read(comment.body)
        said = _verdict(command)
        if isinstance(command, Unreadable):
            self._confused(comment, command.why, not command.aside)
        elif said:
            vote = self._vote(comment, said, Channel.COMMENT, command)
            self._take(vote, command, self._why_void(comment, said, self._early(comment)))
        elif command:
            self.asked.append(comment.node)

    def inline(self, comment: Comment) -> None:
        """A comment on a line may object, or lift an objection. It is no place to approve."""
        command = self._read(comment.body)
        if _verdict(command) is Verdict.APPROVE:
            self._confused(comment, "a comment on a line does not approve: write it below instead")
        else:
            self.comment(comment)

    def _read(self, body: str) -> Command | Unreadable | None:
        command = comment_commands.read(body)
        if isinstance(command, Command):
            return comment_commands.readable(command, self._request.schema)
        return command

    def closing(self) -> Vote | None:
        """The close as a rejection, if a person closed the page by hand."""
        closing = self._page.closing
        if self._page.state is not State.CLOSED or closing is None or closing.by is None:
            return None
        person = closing.by.kind is Kind.USER and not self._voices.own(closing.by)
        # Who deletes the branch closes the page without a word about the gate.
        if closing.by_reference or not person or not self._page.goes_on:
            return None
        vote = Vote(
            actor=actor_of(closing.by),
            verdict=Verdict.REJECT,
            at=closing.at,
            digest=self._seen.digest,
            channel=Channel.CLOSING,
            reason=f"closed the {self._page}",
            url=self._page.url,
        )
        if self._moved:
            self.dismissed.append(Dismissal(vote, self._moved))
            return None
        self.votes.append(vote)
        return vote

    # -- one text ------------------------------------------------------------------------------

    def _confused(self, said: Comment | Review, why: str, approves: bool = False) -> None:
        login = said.author.login if said.author else "somebody"
        if approves:
            self.unread_since = taken_back.later(self.unread_since, said)
        self.unreadable.append(Unread(said.node, said.url, login, why))

    def _old(self, review: Review) -> Why | None:
        if review.commit == self._page.head:
            return None
        short = (review.commit or "another commit")[:8]
        says = f"it reviewed {short}, an older version: review what this page shows now"
        return Why(ReasonCode.OLDER_VERSION, says)

    def _early(self, comment: Comment) -> Why | None:
        if self._seen.since is not None and comment.at >= self._seen.since:
            return None
        return Why(
            ReasonCode.OLDER_VERSION,
            "it was written before this version of the request was shown: say it again",
        )

    def _vote(
        self,
        said: Comment | Review,
        verdict: Verdict,
        channel: Channel,
        command: Command | Unreadable | None,
    ) -> Vote:
        dismissed_by = said.dismissed_by if isinstance(said, Review) else None
        reason = command.reason if isinstance(command, Command) else ""
        if verdict is Verdict.CHANGES and not reason:
            reason = said.body.strip()
        self.nodes[said.url] = said
        return Vote(
            actor=actor_of(said.author),
            verdict=verdict,
            at=said.at,
            digest=self._digest,
            channel=channel,
            reason=reason,
            url=said.url,
            body_sha256=hashlib.sha256(said.body.encode("utf-8", "surrogatepass")).hexdigest(),
            dismissed_by=actor_of(dismissed_by) if dismissed_by else None,
            dismissed_at=said.dismissed_at if isinstance(said, Review) else None,
            signature=signature_of(said.body),
        )

    def _elsewhere(self, command: Command | Unreadable | None) -> Why | None:
        named = command.digest if isinstance(command, Command) else None
        if named and not self._digest.removeprefix("sha256:").startswith(named):
            says = f"it is of another version of this request: {_HERE}"
            return Why(ReasonCode.OTHER_VERSION, says)
        # An old tab or a mail shows what was asked before, and nobody sees which of them was read.
        if not named and (self._page.branch is None or self._seen.replaced):
            says = f"it does not say of which version it is: {_HERE}"
            return Why(ReasonCode.UNNAMED_VERSION, says)
        return None

    def _why_void(
        self, said: Comment | Review, verdict: Verdict, outdated: Why | None
    ) -> Why | None:
        # Who takes back an objection takes it back of every version.
        old = None if verdict is Verdict.RELEASE else outdated
        return self._moved or old or self._void(said)

    def _void(self, said: Comment | Review) -> Why | None:
        if isinstance(said, Review) and said.dismissed and said.dismissed_by is None:
            return Why(ReasonCode.DISMISSED, "it was dismissed")
        if said.edited:
            says = "it was edited after it was written: say it again in a new one"
            return Why(ReasonCode.EDITED, says)
        return self._seen.why_void(said.at)

    def _take(self, vote: Vote, command: Command | Unreadable | None, void: Why | None) -> None:
        if not void and vote.verdict is Verdict.APPROVE:
            void = self._elsewhere(command)
        if not void and vote.verdict is Verdict.APPROVE:
            try:
                vote = replace(vote, inputs=self._inputs(command))
            except Faults as faults:
                void = Why(ReasonCode.BAD_INPUT, "; ".join(faults.faults))
                self.unread_since = taken_back.later(self.unread_since, self.nodes[vote.url or ""])
        if not void:
            self.votes.append(vote)
        elif vote.verdict not in OBJECTS:  # a no that rejects nothing holds: `objections.py`
            self.dismissed.append(Dismissal(replace(vote, signature=None), void))

    def _inputs(self, command: Command | Unreadable | None) -> dict[str, Any] | None:
        asked = command if isinstance(command, Command) else Command(Word.APPROVE)
        found = comment_commands.given(asked, self._request.schema)
        return found if self._request.schema else None


def _is_aside(command: Command | Unreadable, request: ApprovalRequest) -> bool:
    """Whether a text leaves the button alone; one that mentions a command may hold input for it."""
    if isinstance(command, Command):
        return command.word is Word.STATUS
    return command.aside and not request.schema


def _verdict(command: Command | Unreadable | None) -> Verdict | None:
    return _VERDICTS.get(command.word) if isinstance(command, Command) else None


def actor_of(account: Account | None) -> Actor:
    """Who it is, vouched for by the forge; a ghost or a mannequin is nobody it vouches for."""
    if account is None:
        return Actor("someone whose account is gone")
    return Actor(
        name=account.login,
        login=account.login,
        id=account.id,
        proven=account.kind is Kind.USER and account.id is not None,
        bot=account.kind is Kind.BOT,
    )


def is_command(body: str) -> bool:
    found = comment_commands.read(body)
    return isinstance(found, Command) or (found is not None and not found.aside)


def unanswered(gathered: Gathered, page: Page) -> tuple[str, ...]:
    """The comments and reviews that hold a command and have no answer of the bridge yet."""
    awaited = {each.node for each in gathered.nodes.values()}
    awaited |= {each.node for each in gathered.unreadable} | set(gathered.asked)
    return tuple(
        each.node
        for each in texts(page)
        if each.node in awaited and each.body and not each.reactions
    )


def texts(page: Page) -> Iterator[Comment | Review]:
    yield from page.reviews
    yield from page.comments
    yield from page.inline
