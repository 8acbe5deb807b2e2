"""Tend a gate's page: look at it, judge what stands there, record, and answer.

The caller says only which page. What counts is read again each time, so a call that was lost,
doubled, late or cut off in the middle changes nothing after the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from bridge.core.crash_report import report
from bridge.core.digest import digest_of
from bridge.core.errors import (
    BridgeError,
    ClusterUnavailable,
    Faults,
    LedgerCorrupt,
    LostRequest,
    NoPolicy,
    StaleBaseline,
)
from bridge.core.evaluation import Evaluation, Outcome
from bridge.core.model import ApprovalRequest, Standing
from bridge.gates.asking_run import untrue, without_approval
from bridge.gates.decide import decide
from bridge.gates.deliver import over
from bridge.gates.evidence import evidence, heard, learned
from bridge.gates.finish_page import Tended, bring, finish
from bridge.gates.gate_issues import asked_since
from bridge.gates.open_gate import compared
from bridge.gates.open_page import Desk, invite, not_here, own_page, pages, policy_for, put_up
from bridge.gates.recording import Deciding, record_each, record_now
from bridge.gates.run_ends import tell_ends
from bridge.gates.whose_page import sorted_by_gate
from bridge.pages import page_text as show
from bridge.pages import status_comment
from bridge.pages import votes as gather
from bridge.pages.body_history import Shown, last_stranger
from bridge.pages.false_words import with_misworded
from bridge.pages.invitations import left_to_ask, were_refused, word_refused
from bridge.pages.kept_objections import missing
from bridge.pages.model import (
    GATE_BRANCH,
    Account,
    Amend,
    Close,
    Closed,
    Label,
    Look,
    Page,
    React,
    Reaction,
    Reopen,
    Rewrite,
    Say,
    State,
    Write,
)
from bridge.pages.plain_words import plain_words, unheard
from bridge.pages.reactions import reactions
from bridge.pages.votes import Gathered
from bridge.policy.claims import as_asked, as_shown
from bridge.policy.evaluate import overdue
from bridge.policy.policy_file import PATH
from bridge.render.request import is_request_md, request_md


def tend(desk: Desk, number: int) -> Tended:
    """Look at page `number`, and do whatever is due there."""
    with desk.ledger.connected():
        return _look_at(desk, number)


def _look_at(desk: Desk, number: int) -> Tended:
    look = desk.forge.look(number)
    page, alone = look.pages[0], True
    gate_id = gather.gate_of(page, look.site)
    if gate_id is None:
        return Tended(f"#{number} is not a page of the bridge: nothing to do", page=page)
    if page.branch and not (page.goes_on and page.state is State.OPEN):
        # It may have been asked again under another number since.
        look = desk.forge.find([page.branch.name])
        page, alone = own_page(look, gate_id) or page, False
    done = record_now(desk.ledger, _tend(desk, look, page, gate_id, alone=alone))
    if done.over:
        desk.ledger.settle(gate_id)
    return done


def sweep(desk: Desk) -> tuple[Tended, ...]:
    """Look at every gate that is not settled, and record together what is decided."""
    with desk.ledger.connected():
        return _look_at_all(desk)


def _look_at_all(desk: Desk) -> tuple[Tended, ...]:
    gates = set(desk.ledger.open_heads())
    issues = desk.forge.waiting()
    every = sorted(gates | sorted_by_gate(issues, gates).now)
    known = desk.ledger.read_all(every)
    # An issue may have lost its label, or the policy left it for a pull request.
    since = asked_since(known.values(), issues.pages, desk.clock())
    branches = [f"{GATE_BRANCH}{each}" for each in every]
    found = desk.forge.find(branches, since, [each.number for each in issues.pages])
    whose = sorted_by_gate(replace(found, pages=issues.pages + found.pages), every)
    readable = [each for each in every if each not in whose.unread]
    verbs = {each: when_due(desk, whose.of(each), each, known.get(each)) for each in readable}
    done = process_each(desk, verbs)
    # Whose branch is gone is in no listing of branches: its page still says that it waits.
    closed = desk.forge.closed()
    stranded = sorted_by_gate(closed.stranded, gates)
    gone = stranded.now - gates
    looks = {each: desk.forge.find([f"{GATE_BRANCH}{each}"]) for each in sorted(gone)}
    done += process_each(
        desk, {each: when_due(desk, look, each, None) for each, look in looks.items()}
    )
    unread = [f"gate {gate_id}: {why}" for gate_id, why in whose.unread.items()]
    strays = dict.fromkeys((*whose.strays, *stranded.strays))
    failed = (Tended(why, failed=True) for why in (*unread, *strays))
    return (*done, *_ends(desk, closed), *failed)


def _ends(desk: Desk, closed: Closed) -> tuple[Tended, ...]:
    if closed.unread:
        return (Tended(f"whether resumed runs have ended is not known: {closed.unread}"),)
    try:
        return tell_ends(desk, closed.decided)
    except Exception as error:  # noqa: BLE001 - what it says of old gates hides nothing of new ones
        says = str(error) if isinstance(error, BridgeError) else report(error, os.environ)
        return (Tended(f"whether resumed runs have ended is not known: {says}"),)


def process_each(desk: Desk, verbs: Mapping[str, Deciding[Tended]]) -> tuple[Tended, ...]:
    """Process these gates. Whatever fails at one makes that gate red, and stops no other."""
    every = zip(verbs, record_each(desk.ledger, verbs.values()), strict=True)
    done = {gate: each if isinstance(each, Tended) else _red(gate, each) for gate, each in every}
    over = [gate for gate, each in done.items() if each.over]
    return tuple({**done, **_not_settled(desk, over)}.values())


def _not_settled(desk: Desk, gates: Sequence[str]) -> dict[str, Tended]:
    """Delete the branches of these gates together; those of which one stays, and why."""
    if not gates:
        return {}
    try:
        desk.ledger.settle(*gates)
    except Exception as error:  # noqa: BLE001 - what fails at one gate is said of that gate alone
        if len(gates) == 1:
            return {gates[0]: _red(gates[0], error)}
        return {gate: red for each in gates for gate, red in _not_settled(desk, [each]).items()}
    return {}


def _red(gate_id: str, error: Exception) -> Tended:
    says = str(error) if isinstance(error, BridgeError) else report(error, os.environ)
    return Tended(f"gate {gate_id}: {says}", failed=True)


def when_due(desk: Desk, look: Look, gate_id: str, known: Standing | None) -> Deciding[Tended]:
    # A page that it left for another kind of page must not hide that one.
    now = known and own_page(look, gate_id, known.request.policy.via)
    if page := now or own_page(look, gate_id):
        return (yield from _tend(desk, look, page, gate_id, known))
    standing = known or desk.ledger.read(gate_id)
    if standing is None:
        return Tended(f"gate {gate_id} is not decided here: the ledger has no request of it")
    if says := not_here(desk.forge, look.site, gate_id, standing.request.venue):
        return Tended(says, standing)
    if standing.decision:
        brought = bring(desk, standing)
        if brought.failed:
            return Tended(brought.says, standing, failed=True)
        says = f"{standing.request.gate.key} is decided, and settled now"
        return Tended(says, standing, over=True)
    standing = _heard(desk, look, standing)  # on a page that shows another gate now
    page = put_up(desk, look, standing)
    return Tended(f"{standing.request.gate.key} had no page yet", standing, page=page)


def _tend(
    desk: Desk, look: Look, page: Page, gate_id: str, known: Standing | None = None, *,
    alone: bool = False,
) -> Deciding[Tended]:  # fmt: skip
    """`alone`: the look is at this page alone, and the gate may have others."""
    try:
        standing = known or desk.ledger.read(gate_id)
    except LedgerCorrupt:
        seen = gather.shown(page, look.site.voices)
        if seen is None:
            raise
        return _mend(desk, look, page, desk.ledger.renew(gate_id, seen.head))
    standing = _put_back_on_record(desk, look, standing)
    if standing and (says := not_here(desk.forge, look.site, gate_id, standing.request.venue)):
        return _tell(desk, look, page, standing, says) or Tended(says, standing, page=page)
    if standing and standing.decision:
        return finish(desk, look.site, page, standing, standing.decision)
    if alone:  # an older page's objections hold as well
        since = asked_since([standing] if standing else [], [page], desk.clock())
        found = desk.forge.find([f"{GATE_BRANCH}{gate_id}"], since, [page.number]).pages
        look = replace(look, pages=(page, *(e for e in found if e.number != page.number)))
        standing = _put_back_on_record(desk, look, standing)
    if standing is None or standing.head is None or page.state is State.MERGED:
        return _gone(desk, look, page, gate_id)
    if not page.is_into(standing.request.shard):
        return _gone(desk, look, page, gate_id)
    if page.via is not standing.request.policy.via:
        return _elsewhere(desk, look, page, standing)
    return (yield from _Judging(desk, look, page, standing).outcome())


def _put_back_on_record(desk: Desk, look: Look, standing: Standing | None) -> Standing | None:
    """The gate with each objection that somebody took out of the ledger by a push."""
    if standing is None or standing.decision:
        return standing
    lost = missing(standing, look)
    return desk.ledger.hold(standing.request.gate.id, lost) if lost else standing


def _tell(desk: Desk, look: Look, page: Page, standing: Standing, says: str) -> Tended | None:
    """Say on the page why nothing is decided there; None if nothing proves what it shows."""
    seen = gather.shown(page, look.site.voices)
    if seen is None or standing.decision or page.state is not State.OPEN:
        return None
    text = show.status(standing, seen.head, look.site, None, Gathered(), f"waiting: {says}")
    desk.forge.write(look.site, page, list(status_comment.writes(page, look.site, text)))
    return Tended(says, standing, page=page, failed=True)


def _mend(desk: Desk, look: Look, page: Page, renewed: Standing) -> Tended:
    """Somebody had pushed what is no request: that must not stop a gate for good."""
    if renewed.decision:
        return finish(desk, look.site, page, renewed, renewed.decision)
    why = "someone pushed to the gate's branch"
    renewed = _heard(desk, look, renewed)
    new = put_up(desk, look, renewed, show.note_asked_anew(why))
    return Tended(f"asked again: {why}", renewed, page=new)


def _heard(desk: Desk, look: Look, standing: Standing) -> Standing:
    return heard(desk.ledger, desk.forge, standing, look, desk.clock())


def _gone(desk: Desk, look: Look, page: Page, gate_id: str) -> Tended:
    """Merged by hand, its branch deleted, or its base changed: none decides anything, and it is
    asked again."""
    seen = gather.shown(page, look.site.voices)
    renewed = desk.ledger.renew(gate_id, seen.head if seen else page.head)
    if renewed.decision:
        return finish(desk, look.site, page, renewed, renewed.decision)
    renewed = _heard(desk, look, renewed)
    policy = renewed.request.policy
    there = look if policy.via is page.via else pages(desk.forge, renewed.request)
    new = put_up(desk, there, renewed, _why_anew(page, renewed)(page.url))
    if new.number != page.number:
        writes: list[Write] = [Label(f"gate:{Outcome.WITHDRAWN}")]
        if page.state is State.OPEN and not page.is_into(renewed.request.shard):
            writes += [Say(show.note_left(new.url)), Close()]
        desk.forge.write(look.site, page, writes)
    return Tended(f"{page.url} decided nothing: asked again as {new.url}", renewed, page=new)


def _why_anew(page: Page, renewed: Standing) -> Callable[[str], str]:
    if page.state is State.MERGED:
        return show.note_merged_by_hand
    here = page.is_into(renewed.request.shard)
    return show.note_branch_gone if here else show.note_other_base


def _elsewhere(desk: Desk, look: Look, page: Page, standing: Standing) -> Tended:
    """The policy says `via` another kind of page now: this one makes room."""
    withdrawn = f"gate:{Outcome.WITHDRAWN}"
    left = page.state is not State.OPEN and withdrawn in page.labels
    standing = _heard(desk, look, standing)  # an objection here is heard all the same
    if left and own_page(look, standing.request.gate.id, standing.request.policy.via):
        return Tended(f"{page.url} asks nothing any more", standing, page=page)
    new = put_up(desk, pages(desk.forge, standing.request), standing)
    if not left:
        close = [Close()] if page.state is State.OPEN else []
        says = Say(show.note_elsewhere(new.url))
        desk.forge.write(look.site, page, [says, Label(withdrawn), *close])
    return Tended(f"asked as {new.url} now", standing, page=new)


class _Judging:
    """One look at an undecided gate."""

    def __init__(self, desk: Desk, look: Look, page: Page, standing: Standing) -> None:
        self._desk = desk
        self._look = look
        self._site = look.site
        self._page = page
        self._standing = standing
        self._unanswered: str | None = None  # what the cluster would not tell

    def outcome(self) -> Deciding[Tended]:
        seen = gather.shown(self._page, self._site.voices)
        if seen is None:
            return self._put_back(None, "nothing here proves any more what was asked")
        if self._standing.head != seen.head and self._is_of_now():
            return self._put_back(seen.head, "someone pushed to the gate's branch")
        standing = self._standing
        if standing.head == seen.head and not is_request_md(standing.request, standing.page):
            return self._put_back(seen.head, "`request.md` said something else than its request")
        facts = learned(self._standing, self._look, seen)
        seen = with_misworded(seen, self._standing, self._page, self._site, facts)
        trouble: str | None = None
        try:
            policy = policy_for(self._standing.request, self._site)
            request = replace(self._standing.request, policy=policy)
        except (NoPolicy, Faults) as error:
            request, trouble = self._standing.request, f"waiting: {error}"
        if digest_of(request) != digest_of(self._standing.request):
            return self._under_another_policy(request)
        gathered = gather.gather(request, self._page, seen, self._standing.head, self._site.voices)
        waiting = gather.unanswered(gathered, self._page)
        if waiting:
            self._write([React(node, Reaction.SEEN) for node in waiting])
        if trouble:
            self._hear()
            return self._still_pending(seen, gathered, None, trouble)
        return (yield from self._judge(request, seen, gathered))

    def _is_of_now(self) -> bool:
        """Whether the page would show the branch's commit, had it been read after the push."""
        page = self._page  # a closed one follows no push, and an issue never does
        return page.state is State.CLOSED or page.head in (None, self._standing.head)

    def _judge(self, request: ApprovalRequest, seen: Shown, gathered: Gathered) -> Deciding[Tended]:
        desk = self._desk
        ended, failed = self._of_run(request)
        found = evidence(
            desk.forge, self._standing, self._look, self._page, seen, gathered, desk.clock()
        )
        lie = untrue(desk.forge, self._standing)
        found = replace(without_approval(found) if lie else found, ended=ended)
        source = f"{PATH} at {self._site.commit}"
        try:
            evaluation, after = yield from decide(
                desk.ledger, desk.notices, self._standing, found, source, self._page.url
            )
        except StaleBaseline:
            return self._compared_anew(request)
        except LostRequest as lost:
            return Tended(str(lost), self._standing, page=self._page)
        if after.decision:
            self._write(list(reactions(self._page, gathered, evaluation, after.decision)))
            return finish(desk, self._site, self._page, after, after.decision)
        self._standing = after
        words = plain_words(self._page, self._site.voices)
        plain = unheard(words, request, found, evaluation, replaced=seen.replaced)
        gathered = replace(gathered, unreadable=(*gathered.unreadable, *plain))
        note = show.word_lost(failed) if failed else ""
        return self._still_pending(seen, gathered, evaluation, lie, note)

    def _of_run(self, request: ApprovalRequest) -> tuple[str | None, str | None]:
        """Why the run is over, and else which of its steps failed; a cluster that does not answer
        says neither, and keeps nobody from deciding."""
        if self._desk.cluster is None:
            return None, None
        try:
            return over(self._desk.cluster, request)
        except ClusterUnavailable as error:
            self._unanswered = str(error)
            return None, None

    def _still_pending(
        self,
        seen: Shown,
        gathered: Gathered,
        evaluation: Evaluation | None,
        trouble: str | None,
        note: str = "",
    ) -> Tended:
        writes = [*reactions(self._page, gathered, evaluation, None)]
        writes += self._put_right(seen, gathered, evaluation)
        facts = learned(self._standing, self._look, seen)
        locked = show.word_locked(self._page) if self._page.locked else ""
        note = "\n\n".join(filter(None, (note, locked, word_refused(self._invite()))))
        text = show.status(
            self._standing, seen.head, self._site, evaluation, gathered, trouble, note, facts,
            replaced=seen.replaced, url=self._page.url,
        )  # fmt: skip
        writes += status_comment.writes(self._page, self._site, text)
        if self._page.branch and any(isinstance(each, Say | Amend) for each in writes):
            writes.append(show.light(self._standing, evaluation, seen.head))
        writes += status_comment.label(self._page, Outcome.PENDING)
        writes += self._remind(seen)
        self._write(writes)
        says = trouble or (evaluation.reason if evaluation else "waiting")
        if self._unanswered:
            says = f"{says}; {self._unanswered}"
        failed = self._unanswered is not None
        return Tended(says, self._standing, evaluation, self._page, failed)

    def _invite(self) -> tuple[str, ...]:
        """Those who are named, if no account of the bridge may ask them for a review."""
        page, request = self._page, self._standing.request
        left = left_to_ask(request, page)
        if were_refused(page, self._site.voices, left):
            return left
        return invite(self._desk.forge, request, page)

    def _put_right(
        self, seen: Shown, gathered: Gathered, evaluation: Evaluation | None
    ) -> Iterator[Write]:
        facts = learned(self._standing, self._look, seen)
        request, known = as_shown(self._standing.request, facts), self._standing.facts
        title = show.title(request)
        body = show.body(request, seen.head, self._site, known, replaced=seen.replaced)
        if (self._page.title, self._page.body) != (title, body):
            yield Rewrite(title, body)
        if seen.altered_now:
            by = last_stranger(self._page, self._site.voices)
            yield Say(show.note_restored(_login(by)))
        elif seen.misworded_now:
            yield Say(show.note_other_words())
        for edit in status_comment.strange_edits(self._page, self._site.voices):
            yield Say(show.note_written_anew(_login(edit.by)))
        if self._page.state is State.CLOSED:
            yield Reopen()
            by = self._page.closing.by if self._page.closing else None
            yield Say(show.note_reopened(_login(by), gathered, evaluation))

    def _remind(self, seen: Shown) -> Iterator[Write]:
        facts = learned(self._standing, self._look, seen)
        request = as_asked(self._standing.request, facts)
        late = not self._page.shut and overdue(request, self._desk.clock())
        if late and not status_comment.reminded(self._page, digest_of(request), self._site.voices):
            self._desk.notices.reminded(request, self._page.url)
            yield Say(show.note_reminder(request, seen.head))

    # -- asked anew ----------------------------------------------------------------------------

    def _put_back(self, commit: str | None, why: str) -> Tended:
        """The sealed commit is what was asked; whatever is on the branch instead makes room."""
        self._hear()
        self._standing = self._desk.ledger.renew(self._standing.request.gate.id, commit)
        return self._show(why)

    def _under_another_policy(self, request: ApprovalRequest) -> Tended:
        self._hear()  # as the policy was that the objectors read
        request = replace(request, opened_at=self._desk.clock())
        self._standing = self._desk.ledger.open(request, request_md(request))
        return self._show(
            f"{PATH} on {self._site.default_branch} says something else now than when this was"
            " asked"
        )

    def _compared_anew(self, request: ApprovalRequest) -> Tended:
        self._hear()
        anew = compared(self._desk.ledger, replace(request, opened_at=self._desk.clock()), None)
        self._standing = self._desk.ledger.open(anew, request_md(anew))
        return self._show("it was compared with another run than the one that was approved last")

    def _hear(self) -> None:
        self._standing = _heard(self._desk, self._look, self._standing)

    def _show(self, why: str) -> Tended:
        if self._standing.decision:
            return finish(
                self._desk, self._site, self._page, self._standing, self._standing.decision
            )
        if self._page.via is not self._standing.request.policy.via:
            return _elsewhere(self._desk, self._look, self._page, self._standing)
        look = replace(self._look, pages=(self._page,))
        page = put_up(self._desk, look, self._standing, show.note_asked_anew(why))
        if page.number != self._page.number:
            self._write([Label(f"gate:{Outcome.WITHDRAWN}")])
        return Tended(f"asked again: {why}", self._standing, page=page)

    def _write(self, writes: list[Write]) -> None:
        if writes:
            self._desk.forge.write(self._site, self._page, writes)


def _login(account: Account | None) -> str:
    return f"`{account.login}`" if account else "somebody"
