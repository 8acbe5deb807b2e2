"""Who is asked for a review of a pull request, and who can only be mentioned there.

An opener may never ask a team: that takes `members: read`, which lies beside nobody's code. So the
decider asks those who are left. Nobody is asked twice: GitHub keeps each request in the timeline,
and the status comment mentions those that it refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.core.model import ApprovalRequest
from bridge.core.rules import GroupKind
from bridge.pages import status_comment
from bridge.pages.model import Page, Voices
from bridge.policy.approvers import barred_by_name, leaves, login_of

#: GitHub takes fifteen users and fifteen teams.
_MOST = 15


def named(request: ApprovalRequest) -> tuple[str, ...]:
    """The users and teams that the policy names, `ann` and `acme/ml`."""
    users: dict[str, None] = {}
    teams: dict[str, None] = {}
    for actors in leaves(request.policy.require):
        users |= dict.fromkeys(login_of(each) for each in actors.users)
        groups = (each for each in actors.groups if each.kind is GroupKind.TEAM)
        teams |= dict.fromkeys(each.name.lower() for each in groups)
    barred = barred_by_name(request.policy)
    return (*[each for each in users if not barred(each)][:_MOST], *list(teams)[:_MOST])


def mentions(names: Iterable[str]) -> str:
    return " ".join(f"@{each}" for each in names)


def left_to_ask(request: ApprovalRequest, page: Page) -> tuple[str, ...]:
    """Those of the named who were never asked for a review here, and gave none."""
    if page.branch is None:  # an issue mentions them in its body
        return ()
    authors = [page.author, *(each.author for each in page.reviews)]
    heard = {*page.invited, *(each.login.lower() for each in authors if each)}
    return tuple(each for each in named(request) if each not in heard)


def were_refused(page: Page, voices: Voices, names: Iterable[str]) -> bool:
    """Whether the account that looks has tried before, and said here that it may not ask them."""
    comment = status_comment.newest(page, voices)
    mine = comment is not None and status_comment.is_mine(comment, voices)
    return comment is not None and mine and word_refused(names) in comment.body


def word_refused(names: Iterable[str]) -> str:
    """For those who hear of the gate by this alone."""
    who = mentions(names)
    return f"**GitHub does not let the bridge ask these for a review:** {who}" if who else ""


def word_not_asked(names: Iterable[str]) -> str:
    """The same as the opener writes it, in other words: the decider has not tried yet."""
    who = mentions(names)
    return f"**Not asked for a review yet, so mentioned here:** {who}" if who else ""
