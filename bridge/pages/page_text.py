"""What a gate's page on a forge says: title, body, status comment, and the words of a refusal.

Values in, Markdown out. Everything a person or a workflow wrote goes through `harmless`, and the
bridge's own seal is the last line of each text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from bridge.core import input_fields
from bridge.core.artifacts import LONGEST_COMPARED
from bridge.core.branches import KEEP
from bridge.core.digest import digest_of
from bridge.core.evaluation import (
    Dismissal,
    Evaluation,
    Finding,
    Objection,
    Outcome,
    Vote,
)
from bridge.core.facts import Fact
from bridge.core.model import ApprovalRequest, Decision, Standing
from bridge.core.rules import Via
from bridge.core.sanitize import harmless_line, harmless_subject, in_code, shortened
from bridge.pages import kept_objections
from bridge.pages.afterwards import what_now
from bridge.pages.command_words import Word
from bridge.pages.deadline import deadline
from bridge.pages.invitations import mentions, named
from bridge.pages.marker import Part, Seal, short
from bridge.pages.model import LONGEST_BODY, Comment, Light, Mark, Page, Site
from bridge.pages.votes import Gathered, Unread
from bridge.policy.agreement import disagreement
from bridge.policy.claims import starters
from bridge.policy.rule_words import takes
from bridge.render import branches
from bridge.render.request import brief, headline, message, started_by, summary
from bridge.render.shipped_templates import filled

_TITLE = 200
_UNDELIVERED = "**Not delivered yet:**"
#: Dismissed answers that the status comment lists: a stranger may send hundreds.
_MOST_REFUSALS = 10
#: Of the input that is shown, and of a line: the record has it all, and a comment is no book.
_MOST_INPUTS = 40
_LONGEST_LINE = 1_000
SIGNS = {
    Outcome.PENDING: "⏳",
    Outcome.APPROVED: "✅",
    Outcome.REJECTED: "❌",
    Outcome.EXPIRED: "⌛",
    Outcome.WITHDRAWN: "🚫",
}


def title(request: ApprovalRequest) -> str:
    """`Approve Flow/7/deploy/12: the first line of the message`."""
    # A title is plain text: an entity would be read as it is written.
    whole = f"Approve {harmless_subject(request.gate.key)}: {headline(request)}"
    return whole if len(whole) <= _TITLE else whole[: _TITLE - 1].rstrip() + "…"


def body(
    request: ApprovalRequest,
    head: str,
    site: Site,
    facts: Sequence[Fact] = (),
    *,
    replaced: bool = False,
) -> str:
    """The page's body, never over what GitHub takes: the rest is in the committed `request.md`.

    `facts` are the proven ones on record. `replaced`: the page showed another request before, so
    that an approval must name this one.
    """
    folder = f"{site.url}/blob/{head}/{request.gate.folder}"
    whole = f"{folder}/request.md"
    rest = f"*It is too long for this page: [read it whole]({whole}).*"
    asked = "\n".join(_asks(request, replaced))
    for text, what, asks in (
        (message(request), summary(request, folder), asked),
        (message(request), rest, asked),
        (f"> {harmless_line(headline(request))}", rest, ""),
    ):
        made = _body(request, head, text, what, asks, whole, facts, replaced)
        if len(made) <= LONGEST_BODY:
            break
    return made


def _body(
    request: ApprovalRequest,
    head: str,
    text: str,
    what: str,
    asks: str,
    whole: str,
    facts: Sequence[Fact],
    replaced: bool,
) -> str:
    digest = digest_of(request)
    is_issue = request.policy.via is Via.ISSUE
    return _filled(
        "body.md",
        message=text,
        brief=brief(request),
        compared=request.baseline is not None,
        deadline=deadline(request),
        summary=what,
        who=_who(request, facts),
        # An issue asks nobody for a review: people who are named there hear of it by that.
        asked=mentions(named(request)) if is_issue else "",
        is_issue=is_issue,
        named=is_issue or replaced,
        approve=approve_line(request, replaced),
        asks=asks,
        key=in_code(request.gate.key, 200),
        digest=short(digest),
        whole=whole,
        seal=Seal(Part.BODY, request.gate.id, digest, head),
    )


def _who(request: ApprovalRequest, facts: Sequence[Fact]) -> str:
    policy = request.policy
    said = [f"It takes {harmless_line(takes(policy.require))}."]
    if policy.only:
        said.append(f"The flow accepts approvals only from {harmless_line(str(policy.only))}.")
    if policy.disapprove:
        said.append(f"Objections by {harmless_line(str(policy.disapprove))} count, too.")
    if who := started_by(request, facts):
        barred = ". They cannot approve it" if policy.bars.initiator else ""
        said.append(f"The run was started by {harmless_line(who)}{barred}.")
    return " ".join([*said, "A comment below shows what is still missing."])


def approve_line(request: ApprovalRequest, replaced: bool = False) -> str:
    """The command that approves, with a place for each input that has to be given."""
    named = replaced or request.policy.via is Via.ISSUE
    of = [short(digest_of(request))] if named else []
    blanks = [f"{in_code(name, 200)}=…" for name in input_fields.owed(request.schema)]
    return " ".join([f"/{Word.APPROVE}", *of, *blanks])


def _asks(request: ApprovalRequest, replaced: bool) -> Iterator[str]:
    owed = input_fields.owed(request.schema)
    for field in input_fields.fields(request.schema):
        must = "" if field.name in owed else ", optional"
        if field.proposed:
            whole = shortened(str(field.default), LONGEST_COMPARED)  # a plain approval takes it
            must = f", proposed: {harmless_line(whole)}"
        told = harmless_line("; ".join(filter(None, [field.description, field.hint])))
        yield f"- `{in_code(field.name, 200)}` ({field.kind}{must}){': ' + told if told else ''}"
    if found := branches.table(request):
        line = f"{approve_line(request, replaced)} {KEEP}={input_fields.EXCEPT}{found.rows[0].name}"
        yield f"- A plain approval keeps all branches. To leave one out: `{in_code(line, 500)}`"


# -- the status comment ----------------------------------------------------------------------------


def status(
    standing: Standing, head: str, site: Site, evaluation: Evaluation | None, gathered: Gathered,
    trouble: str | None = None, note: str = "", facts: Sequence[Fact] = (), *,
    replaced: bool = False, url: str = "",
) -> str:  # fmt: skip
    """The one comment that says where the gate stands. The same state gives the same text.

    `note` is a word about the run, of this module's own. `facts` are those that are proven now.
    `url` is the page's own address.
    """
    request = standing.request
    seal = Seal(Part.STATUS, request.gate.id, digest_of(request), head)
    if standing.decision:
        return _decided(standing, standing.decision, site, seal, note)
    kept = kept_objections.line(request.gate.id, standing.objections)
    says = trouble or (evaluation.reason if evaluation else "waiting for an answer")
    findings = evaluation.finding.children if evaluation else ()
    if len(findings) == 1:  # the line above it says the same
        findings = findings[0].children
    return _filled(
        "status.md",
        sign=SIGNS[Outcome.PENDING],
        head=_sentence(_line(says)),
        tree="\n".join(tree(findings)),
        last=_last(request, evaluation),
        counted=", ".join(_vote(vote) for vote in evaluation.candidates) if evaluation else "",
        refused="\n".join(_refusals(evaluation, gathered)),
        objections=_objections(evaluation.objections if evaluation else standing.objections),
        note=note,
        started=_started(request, facts),
        foot="\n\n".join([*_apart(request, evaluation), _how(request, replaced, url)]),
        unprotected=site.unprotected,
        seal="\n".join(filter(None, (kept, str(seal)))),
    )


def _apart(request: ApprovalRequest, evaluation: Evaluation | None) -> Iterator[str]:
    # Each value may fit by itself, and all of them together may not.
    fits = partial(input_fields.objection, request.schema)
    if evaluation and disagreement(evaluation.candidates, fits):
        yield (
            "To agree, one of you approves again with the other's value, or with one that fits it."
            " Or you set an approval aside with `/unhold @login reason`, if you are an approver."
        )


def _last(request: ApprovalRequest, evaluation: Evaluation | None) -> str:
    if evaluation is None or not (evaluation.candidates and evaluation.last):
        return ""
    same = " and gives the same input" if request.schema else ""
    whose = _line(" or ".join(evaluation.last))
    return f"**Yours would be the last approval needed**, if it counts for {whose}{same}."


def _how(request: ApprovalRequest, replaced: bool, url: str) -> str:
    line = f"To approve: `{approve_line(request, replaced)}`"
    if not url or request.policy.via is Via.ISSUE:
        return line
    # GitHub's own buttons lead to this anchor, which opens the form.
    return f"{line}, as a comment or in [your review]({url}/files#submit-review)"


def tells(status: Comment, outcome: Outcome) -> bool:
    """Whether this status comment says that the gate came to this, and that it was delivered."""
    return status.body.startswith(f"### {SIGNS[outcome]} ") and _UNDELIVERED not in status.body


def word_lost(step: str) -> str:
    """For those who are asked for a run that another of its branches has lost."""
    return (
        f"**This run has lost a step already:** `{in_code(step, 200)}` failed. An approval still"
        " lets this step run, in a run that most likely ends failed."
    )


def word_locked(page: Page) -> str:
    """GitHub refuses everyone else's answer, and says nothing about the gate."""
    return (
        f"**This {page} is locked:** only people with write access can answer. Unlock it so that"
        " every approver can."
    )


def word_undelivered(why: str) -> str:
    return f"{_UNDELIVERED} {_line(why)}. The decision is recorded, and the bridge tries again."


def word_amiss(says: str) -> str:
    return f"**The workflow:** {_line(says)}. The step obeys the record, not the workflow."


def _accepted(request: ApprovalRequest, name: str, value: Any) -> str:
    fields = [each for each in input_fields.fields(request.schema) if each.name == name]
    changed = [each for each in fields if each.proposed and each.default != value]
    before = "".join(f" ({_line(str(each.default), 300)} was proposed)" for each in changed)
    return _line(str(value), 300) + before


def _decided(standing: Standing, decision: Decision, site: Site, seal: Seal, note: str) -> str:
    request = standing.request
    return _filled(
        "status.md",
        sign=SIGNS[decision.outcome],
        head=_sentence(_line(decision.reason or decision.outcome.value)),
        tree="\n".join(
            f"- `{in_code(str(key), 200)}`: {_accepted(request, key, value)}"
            for key, value in list(decision.inputs.items())[:_MOST_INPUTS]
        ),
        last="",
        counted=", ".join(_vote(vote) for vote in decision.votes),
        refused="",
        objections=_objections(decision.objections),
        note="\n\n".join(filter(None, (note, what_now(request, decision, site)))),
        started=_started(standing.request, decision.facts),
        foot=(
            f"Recorded on {decision.decided_at:%Y-%m-%d %H:%M} UTC by the policy of"
            f" {_policy(decision.policy_source, site)}:"
            f" [the record]({site.url}/tree/{request.shard}/{request.gate.folder})"
        ),
        unprotected=site.unprotected,
        seal=seal,
    )


def _started(request: ApprovalRequest, facts: Sequence[Fact]) -> str:
    """Who surely started the run: a claim stands in the body already."""
    proven = [each for each in starters(request, facts) if each.proven]
    return _line(started_by(request, facts)) if proven else ""


def _objections(objections: Iterable[Objection]) -> str:
    """Who objected, and who lifted what; and how to lift one that holds."""
    some = list(objections)[-_MOST_REFUSALS:]
    lines = [_objection(each) for each in some]
    if any(each.lifted is None for each in some):
        lines.append(
            "\nIf you objected, you lift it with `/unhold` or an approval. If you are another"
            " approver, you lift it with `/unhold @login reason`, or you dismiss the review."
        )
    return "\n".join(lines)


def _objection(objection: Objection) -> str:
    who = _line(str(objection.who))
    what = f"[{objection.verdict}]({objection.url})" if objection.url else objection.verdict.value
    why = f": {_line(objection.reason)}" if objection.reason else ""
    lifted = objection.lifted
    if lifted is None:
        return f"- ⛔ {who} {what}{why}"
    by = _line(str(lifted.by))
    how = f"[{lifted.how}]({lifted.url})" if lifted.url else lifted.how.value
    reason = f": {_line(lifted.reason)}" if lifted.reason else ""
    return f"- {who} {what}{why}. Lifted by {by}, {how}{reason}"


def _policy(source: str, site: Site) -> str:
    """The policy file as it was then, if it was one."""
    path, _, commit = source.rpartition(" at ")
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return _line(source)
    return f"[{_line(path)}]({site.url}/blob/{commit}/{path})"


def light(standing: Standing, evaluation: Evaluation | None, head: str) -> Mark:
    """The commit status that goes with it."""
    if standing.decision is None:
        return Mark(head, Light.PENDING, evaluation.reason if evaluation else "waiting")
    good = standing.decision.outcome is Outcome.APPROVED
    return Mark(head, Light.SUCCESS if good else Light.FAILURE, standing.decision.reason)


def refusal(dismissal: Dismissal) -> str:
    """Why an answer does not count, as one line: who, where, why."""
    who = _line(str(dismissal.vote.actor))
    said = f"[{dismissal.vote.verdict}]({dismissal.vote.url})" if dismissal.vote.url else ""
    return f"- {who} {said}: {_line(dismissal.reason)}"


def _refusals(evaluation: Evaluation | None, gathered: Gathered) -> Iterator[str]:
    """The last of them: strangers may write hundreds."""
    dismissed = evaluation.dismissals if evaluation else gathered.dismissed
    last: list[Dismissal | Unread] = [
        *dismissed[-_MOST_REFUSALS:],
        *gathered.unreadable[-_MOST_REFUSALS:],
    ]
    for each in last[-_MOST_REFUSALS:]:
        if isinstance(each, Dismissal):
            yield refusal(each)
        else:
            yield (
                f"- {_line(each.author)} [wrote this]({each.url}), {each.which}:"
                f" {_keeping_code(each.why)}"
            )


def _keeping_code(text: str) -> str:
    """The bridge's own advice holds commands in backticks; what it quotes was cut of backticks."""
    return " ".join(text.split())


def tree(findings: Iterable[Finding], depth: int = 0) -> Iterator[str]:
    """The lines of a Markdown list: what is met, and what is not yet."""
    for finding in findings:
        yield f"{'  ' * depth}- {'✅' if finding.met else '⬜'} {_line(finding.says)}"
        yield from tree(finding.children, depth + 1)


def _vote(vote: Vote) -> str:
    who = _line(str(vote.actor))
    return f"[{who}]({vote.url})" if vote.url else who


def _line(text: str, most: int = _LONGEST_LINE) -> str:
    return harmless_line(shortened(text, most))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- notes: comments that stay, for what happened to the page itself -------------------------------


def note_asked_anew(why: str) -> str:
    return (
        f"**This request was replaced:** {why}. Earlier answers no longer count."
        " Please read it again and answer again.\n"
    )


def note_reminder(request: ApprovalRequest, head: str) -> str:
    """Written once for each request that waits on past its deadline."""
    seal = Seal(Part.REMINDER, request.gate.id, digest_of(request), head)
    return (
        f"**Still waiting:** the deadline, {request.expires_at:%Y-%m-%d %H:%M} UTC, has passed,"
        f" and the request still needs your answer. {mentions(named(request))}\n\n{seal}\n"
    )


def note_restored(by: str) -> str:
    return (
        f"**{by} changed the text of this request**, and the bridge restored it."
        " Answers that you gave in between do not count.\n"
    )


def note_other_words() -> str:
    return (
        "**This page showed other words than its request says**, and the bridge corrected it. The"
        " account that opened it wrote something else, or runs another version of the approval"
        " bridge. Earlier answers do not count: please read it again and answer again.\n"
    )


def note_written_anew(by: str) -> str:
    return (
        f"**{by} changed a comment of the approval bridge**, and the bridge restored it."
        " Trust only what it says now.\n"
    )


def note_reopened(by: str, gathered: Gathered, evaluation: Evaluation | None) -> str:
    why = _why_no_close(gathered, evaluation)
    return f"**Open again:** {by} closed this, which does not decide it ({why}).\n"


def _why_no_close(gathered: Gathered, evaluation: Evaluation | None) -> str:
    for each in evaluation.dismissals if evaluation else ():
        if gathered.closing and each.vote == gathered.closing:
            return each.reason
    return "closing rejects only if an approver does it; if you started the run, `/withdraw` it"


def note_merged_by_hand(url: str) -> str:
    return (
        f"**{url} was merged by hand**, which does not approve it. The request continues here."
        " Please answer with a review or a command.\n"
    )


def note_branch_gone(url: str) -> str:
    return (
        f"**The branch of {url} was deleted**, which does not decide it. The request continues"
        " here. Please answer with a review or a command.\n"
    )


def note_other_base(url: str) -> str:
    return (
        f"**{url} was pointed at another base branch**, so you cannot approve it there. The request"
        " continues here. Please answer with a review or a command.\n"
    )


def note_left(url: str) -> str:
    return (
        f"**This request continues at {url}**: someone changed the base branch of this pull"
        " request. Please answer there. Your objection here still counts.\n"
    )


def note_elsewhere(url: str) -> str:
    return f"**This request continues at {url}**: the policy says so. Please answer there.\n"


# -- templates -------------------------------------------------------------------------------------


def _filled(name: str, **values: object) -> str:
    # Each value was made harmless before.
    return filled(f"github/{name}", values).rstrip() + "\n"
