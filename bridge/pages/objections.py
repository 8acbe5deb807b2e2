"""The objections on a gate's page, in every revision of every text.

Values in, values out. Whether their authors may object is the policy's to say. Anybody with write
access can change a page, so the text as it is now is not enough. What its author wrote in any
revision was said; what somebody else edited in was not; what was deleted is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from bridge.core.evaluation import Channel, Objection, Verdict, Vote
from bridge.pages import comment_commands
from bridge.pages.command_words import Word
from bridge.pages.comment_commands import Command
from bridge.pages.model import (
    Account,
    Comment,
    Deletion,
    Kind,
    Page,
    Review,
    ReviewState,
    Revision,
    Voices,
)
from bridge.pages.votes import actor_of

_VERDICTS = {Word.REJECT: Verdict.REJECT, Word.HOLD: Verdict.HOLD}
#: A dismissed review of which GitHub does not say what it was may have been an objection.
_OBJECTING = {ReviewState.CHANGES, ReviewState.DISMISSED}


def said_on(
    page: Page, digest: str, voices: Voices, recorded: Iterable[Objection] = ()
) -> tuple[Vote, ...]:
    """Every objection on the page. `digest` is of the request that the page is about now.

    `recorded` are those on record: what a comment said that was read before it was deleted.
    """
    listener = _Listener(page, digest, voices)
    return (*listener.everything(), *listener.deleted_unread(recorded))


class _Listener:
    def __init__(self, page: Page, digest: str, voices: Voices) -> None:
        self._page = page
        self._digest = digest
        self._voices = voices

    def everything(self) -> Iterator[Vote]:
        for review in self._page.reviews:
            yield from self._review(review)
        for comment in (*self._page.comments, *self._page.inline):
            if comment.author and not self._of_app(comment.author):
                yield from self._text(comment, Channel.COMMENT)

    def deleted_unread(self, recorded: Iterable[Objection]) -> Iterator[Vote]:
        """Comments that somebody else deleted, but for so many as were read before.

        GitHub does not say which comment it was. So a deletion by the author explains first why a
        recorded comment is missing, and of the others the latest ones count.
        """
        there = {each.url for each in self._page.comments}
        prefix = f"{self._page.url}#issuecomment-"
        missing = {
            (each.who.id, each.url)
            for each in recorded
            if each.url and each.url.startswith(prefix) and each.url not in there
        }
        for author in {each.of for each in self._page.deletions if each.of}:
            if self._of_app(author):
                continue
            gone = [each for each in self._page.deletions if _same(each.of, author)]
            if self._voices.own(author):  # the bridge removes what it wrote with their token
                gone = [each for each in gone if not (each.by and self._of_app(each.by))]
            others = [each for each in gone if not _same(each.by, author)]
            read = sum(1 for who, _ in missing if who == author.id)
            explained = max(0, read - (len(gone) - len(others)))
            for deletion in sorted(others, key=lambda each: each.at)[explained:]:
                yield self._deleted(deletion, author)

    def _of_app(self, account: Account) -> bool:
        return self._voices.own(account) and account.kind is not Kind.USER

    def _review(self, review: Review) -> Iterator[Vote]:
        if review.author is None or self._of_app(review.author):
            return
        in_words = list(self._text(review, Channel.REVIEW))
        yield from in_words
        said_at_once = [each.at for each in in_words]
        if review.state in _OBJECTING and review.at not in said_at_once:
            reason = (next(_by_author(review)).text or "").strip()
            yield self._vote(review, Channel.REVIEW, Verdict.CHANGES, review.at, reason)

    def _text(self, said: Comment | Review, channel: Channel) -> Iterator[Vote]:
        for revision in _by_author(said):
            if revision.text is None:
                why = "a revision of this text was deleted, and it may have objected"
                yield self._vote(said, Channel.DELETED, Verdict.HOLD, revision.at, why)
                continue
            if self._voices.wrote(said.author, revision.text):
                continue
            command = comment_commands.read(revision.text)
            verdict = _VERDICTS.get(command.word) if isinstance(command, Command) else None
            if verdict and isinstance(command, Command):
                at, text = revision.at, revision.text
                yield self._vote(said, channel, verdict, at, command.reason, text)

    def _deleted(self, deletion: Deletion, author: Account) -> Vote:
        by = deletion.by
        who = by.login if by else "someone whose account is gone"
        return Vote(
            actor=actor_of(author),
            verdict=Verdict.HOLD,
            at=deletion.at,
            digest=self._digest,
            channel=Channel.DELETED,
            reason=f"{who} deleted a comment of {author.login}, and it may have objected",
            url=self._page.url,
        )

    def _vote(
        self,
        said: Comment | Review,
        channel: Channel,
        verdict: Verdict,
        at: datetime,
        reason: str,
        text: str | None = None,
    ) -> Vote:
        dismissed = said if isinstance(said, Review) else None
        by = dismissed.dismissed_by if dismissed else None
        return Vote(
            actor=actor_of(said.author),
            verdict=verdict,
            at=at,
            digest=self._digest,
            channel=channel,
            reason=reason,
            url=said.url,
            body_sha256=sha256_of(text) if text is not None else None,
            dismissed_by=actor_of(by) if by else None,
            dismissed_at=dismissed.dismissed_at if dismissed else None,
        )


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _by_author(said: Comment | Review) -> Iterator[Revision]:
    """What its author wrote. The first state has the text's own time, also after an edit."""
    if not said.revisions:
        # Of a text that was edited without a word of its states, only the present one is known.
        text = None if said.edited else said.body
        yield Revision(said.author, said.at, text)
        return
    first, *later = said.revisions
    yield Revision(said.author, said.at, first.text)
    yield from (each for each in later if _same(said.author, each.by))


def _same(one: Account | None, other: Account | None) -> bool:
    return one is not None and other is not None and one.id == other.id and one.id is not None
