"""What people read: a gate's headline, its page, what a terminal shows. Values in, text out.

All that comes from artifacts, people and runs passes through `harmless`; the layout of the page is
`templates/request.md.j2`.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import Any, Final

from bridge.core import durations
from bridge.core.artifacts import LONGEST_COMPARED, ordered
from bridge.core.digest import digest_of
from bridge.core.evaluation import Decider, Evaluation, Finding, Outcome
from bridge.core.facts import Fact, in_words
from bridge.core.input_fields import Field, fields, owed
from bridge.core.model import ApprovalRequest, Artifact, Decision, Link, Standing
from bridge.core.rules import OnTimeout
from bridge.core.sanitize import (
    columns,
    cut,
    harmless_block,
    harmless_line,
    harmless_name,
    harmless_subject,
    harmless_terminal,
    no_html,
    plain,
    shortened,
    shortened_name,
)
from bridge.policy.claims import as_asked, starters
from bridge.policy.rule_words import takes
from bridge.render import branches, comparison, pictures
from bridge.render.declared_names import Note, notes
from bridge.render.shipped_templates import filled
from bridge.render.text_diff import TextDiff, text_diffs

__all__ = [
    "brief",
    "explanation",
    "harmless_block",
    "harmless_line",
    "harmless_terminal",
    "headline",
    "message",
    "request_md",
    "summary",
    "terminal",
]

#: A line of a listing, and the subject of a commit.
_HEADLINE: Final = 72

#: What the parts that grow may take of a body on a forge, in characters.
_MESSAGE: Final = 18_000
_ROWS: Final = 24_000
_HEADS: Final = 12_000

_AFTERWARDS: Final = {
    OnTimeout.REJECT: "After that it is rejected.",
    OnTimeout.APPROVE: "After that the clock approves it.",
    OnTimeout.NOTIFY: "After that people are reminded, and it stays open.",
}


def headline(request: ApprovalRequest) -> str:
    """The first line of the message, short enough for a list, harmless in a commit's subject."""
    lines = [line.strip() for line in plain(request.message).splitlines() if line.strip()]
    return harmless_subject(shortened(lines[0] if lines else request.gate.key, _HEADLINE))


# -- the page ------------------------------------------------------------------------------------


class Ready(str):
    """Markdown that is harmless already."""

    __slots__ = ()


def request_md(request: ApprovalRequest, decision: Decision | None = None) -> str:
    """`request.md`: the request as an approver reads it, in GitHub's Markdown.

    All of it: it is a committed file, to which a page that has to be short can link.
    """
    view = {
        **_summary(request, inf, inf, pictures.BESIDE),
        "title": shortened(request.gate.key, 120),
        "message": _quotation(request.message, None),
        "brief": comparison.in_brief(request),
        "decision": decision,
        "decided_at": _utc(decision.decided_at) if decision else None,
        "deadline": _utc(request.expires_at) if request.expires_at else None,
        "timeout": durations.words(request.policy.timeout or 0),
        "afterwards": _AFTERWARDS[request.policy.on_timeout],
        "takes": shortened(takes(request.policy.require), 500),
        "initiator": started_by(request),
        "commands": Ready(harmless_block("\n".join(commands(request)))),
        "fields": list(map(_field_row, fields(request.schema))),
        "id": _code(request.gate.id),
        "digest": _code(digest_of(request)),
    }
    return filled("request.md.j2", view, _shown)


def is_request_md(request: ApprovalRequest, blob: str | None) -> bool:
    """Whether git's name of a file says that it is this request's `request.md`."""
    made = request_md(request).encode()
    how = hashlib.sha256 if len(blob or "") == 64 else hashlib.sha1
    return how(b"blob %d\0%b" % (len(made), made)).hexdigest() == blob


def message(request: ApprovalRequest) -> str:
    """What is asked, as a quotation in Markdown: at most 36,000 characters, and said if cut."""
    cut_off = "\n>\n> … (the rest is in `request.md`)" if len(request.message) > _MESSAGE else ""
    return str(_quotation(request.message, _MESSAGE)) + cut_off


def summary(request: ApprovalRequest, folder: str) -> str:
    """Artifacts, pictures, first rows and links, cut to what a body can take, and said where they
    are. `folder` is the address of the gate's folder."""
    view = _summary(request, _ROWS, _HEADS, pictures.Folder(folder, "?raw=true"))
    return filled("summary.md.j2", view, _shown).strip()


def brief(request: ApprovalRequest) -> str:
    """The one sentence that a person with a minute reads, harmless; empty if there is none."""
    return harmless_line(comparison.in_brief(request))


def _summary(
    request: ApprovalRequest, most_rows: float, most_heads: float, folder: pictures.Folder
) -> dict[str, Any]:
    artifacts = ordered(request.artifacts)
    values = list(map(asdict, comparison.table(request)))
    shown = _within(most_rows / 2, values)
    rows = _within(most_rows / 2, map(_details, artifacts))
    tables = [each for each in artifacts if each.head]
    heads = _within(most_heads, map(_first_rows, tables))
    changed = list(map(_diff, text_diffs(request)))
    diffs = _within(most_heads / 2, changed)
    return {
        "compared": request.baseline is not None,
        "before": f"run {request.against}" if request.against else "last approved",
        **_branches(request, most_rows / 3),
        "notes": [asdict(each) for each in notes(request)],
        "values": [{**each, "name": _name(each["name"])} for each in shown],
        "values_left": len(values) - len(shown),
        "same": comparison.same_besides(request),
        "pictures": [
            {"image": Ready(each.image), "caption": each.caption}
            for each in pictures.shown(request.pictures, folder)
        ],
        "rows": rows,
        "rows_left": len(artifacts) - len(rows),
        "count": len(artifacts),
        "diffs": diffs,
        "diffs_left": len(changed) - len(diffs),
        "heads": heads,
        "heads_left": len(tables) - len(heads),
        "links": [_anchor(each) for each in islice(sound_links(request), 20)],
    }


def _branches(request: ApprovalRequest, most: float) -> dict[str, Any]:
    found = branches.table(request)
    if found is None:
        return {"branches": [], "branches_left": 0}
    rows = [
        {"name": each.name + " (stands out)" * each.stands_out}
        | {f"value {n}": cell for n, cell in enumerate(each.cells)}
        for each in found.rows
    ]
    fit = _within(most, rows)
    return {
        "columns": [_name(shortened_name(each, 40)) for each in found.columns],
        "branches": [[_name(name), *cells] for name, *cells in map(dict.values, fit)],
        "branches_left": len(rows) - len(fit),
    }


def _name(name: str) -> Ready:
    return Ready(harmless_name(name))


def _shown(value: Any) -> str:
    return value if isinstance(value, Ready) else harmless_line(str(value))


def commands(request: ApprovalRequest) -> tuple[str, str]:
    """The two commands that answer this gate, with the inputs that a person owes it."""
    given = "".join(f" -i {shlex.quote(name)}=…" for name in owed(request.schema)[:20])
    gate = request.gate.id
    return f"hitl approve {gate}{given}", f'hitl reject {gate} --reason "…"'


def _within(budget: float, parts: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The first parts that fit into so many characters together, as they will be written."""
    taken = []
    for part in parts:
        budget -= sum(len(_shown(each)) + 3 for each in part.values())
        if budget < 0:
            break
        taken.append(part)
    return taken


def _row(artifact: Artifact) -> dict[str, str]:
    value = artifact.value or ""
    if artifact.link and artifact.link != value:
        value = f"{value} ({artifact.link})" if value else artifact.link
    return {
        "name": shortened_name(artifact.name, 80),
        "value": shortened(value, 300),
        "type": shortened(artifact.type, 80),
        "size": size_in_words(artifact.size),
        "digest": _code(artifact.digest[:19]),
    }


def _details(artifact: Artifact) -> dict[str, str]:
    """What the table of values has no room for."""
    row = _row(artifact)
    return {**row, "value": "" if row["value"] == comparison.in_table(artifact) else row["value"]}


def _first_rows(artifact: Artifact) -> dict[str, str]:
    block = harmless_block((artifact.head or "")[:4_000])
    return {"name": shortened_name(artifact.name, 80), "block": Ready(block)}


def _diff(found: TextDiff) -> dict[str, str]:
    return {"name": found.name, "block": Ready(harmless_block("\n".join(found.lines), "diff"))}


def _field_row(field: Field) -> dict[str, str]:
    need = "required" if field.required else "optional"
    if field.proposed:  # a plain approval takes the whole of it
        need = f"proposed {shortened(str(field.default), LONGEST_COMPARED)}"
    elif field.picks and field.default == list(field.picks):
        need = "default all"
    elif field.default not in (None, ""):
        need = shortened(f"default {field.default}", 80)
    says = "; ".join(each for each in (field.description, field.hint) if each)
    return {
        "name": shortened(field.name, 80),
        "kind": field.kind,
        "need": need,
        "says": shortened(says, 300),
    }


def _quotation(message: str, most: int | None) -> Ready:
    """The message as a quotation: no fence or list left open in it reaches what follows."""
    lines = no_html(message[:most]).splitlines() or [""]
    return Ready("\n".join(f"> {line}".rstrip() for line in lines)[: most and most * 2])


def sound_links(request: ApprovalRequest) -> Iterator[Link]:
    """Its opener wrote them: those that are addresses, and hold no mention."""
    for each in request.links:
        if re.fullmatch(r"https?://[^\s<>\\\"`|@\x00-\x20]{1,1000}", each.url):
            yield each


def _anchor(link: Link) -> tuple[str, Ready]:
    return shortened(link.label, 80), Ready(link.url)


def _code(text: str) -> Ready:
    """An id or a digest, as code: GitHub takes one for a commit elsewhere."""
    return Ready(f"`{re.sub(r'[^0-9A-Za-z:-]', '', text) or '-'}`")


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size_in_words(size: int | None) -> str:
    """Bytes as a person reads them: `812 B`, `3.4 kB`, `1.2 GB`; empty if it is not known."""
    if size is None:
        return ""
    if size < 1_000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1_000
        if amount < 1_000:
            return f"{amount:.1f} {unit}"
    return f"{amount:,.0f} TB"


# -- the terminal --------------------------------------------------------------------------------

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_OUTCOMES: Final = {
    Outcome.APPROVED: "green",
    Outcome.REJECTED: "red",
    Outcome.EXPIRED: "red",
    Outcome.WITHDRAWN: "dim",
    Outcome.PENDING: "yellow",
}


def _painted(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour and text else text


def terminal(
    request: ApprovalRequest,
    *,
    colour: bool,
    width: int,
    now: datetime,
    standing: Standing | None = None,
) -> str:
    """The request as a person at a terminal reads it: several lines, no newline at the end.

    `width` is in columns. With a `standing` that has a decision, it shows that in place of the
    deadline.
    """
    width = max(width, 40)
    parts = [
        _painted(f"{_line(request.gate.key)}  {request.gate.id}", "dim", colour),
        _painted(_wrapped(harmless_terminal(plain(request.message)), width), "bold", colour),
    ]
    if request.baseline or request.against:
        said = comparison.in_brief(request)
        parts.append(_wrapped(harmless_terminal(said), width))
    if request.artifacts:
        parts.append(_table(request, width, colour))
    parts += [_noted(each, width) for each in notes(request)]
    parts += [_diff_at_terminal(each, width) for each in text_diffs(request)]
    facts = [*_facts(request, now, standing)]
    margin = max(len(name) for name, _ in facts) + 2
    parts.append(
        "\n".join(_painted(f"{name:<{margin}}", "dim", colour) + says for name, says in facts)
    )
    return "\n\n".join(parts)


def started_by(request: ApprovalRequest, facts: Iterable[Fact] = ()) -> str:
    """`ann, as the run says`; empty if nobody says who started the run. `facts`: what is proven."""
    who = dict.fromkeys(in_words(each) for each in starters(request, facts))
    return shortened(" and ".join(who), 160)


def _line(text: str) -> str:
    return shortened(text, 400)


def _facts(
    request: ApprovalRequest, now: datetime, standing: Standing | None
) -> Iterable[tuple[str, str]]:
    decision = standing.decision if standing else None
    proven = (decision.facts if decision else standing.facts) if standing else ()
    if decision:
        ago = durations.relative(decision.decided_at, now)
        yield "decision", _line(_decided(decision))
        yield "decided", f"{_utc(decision.decided_at)} ({ago})"
        if not all(vote.actor.proven for vote in decision.votes):
            yield "identity", "unverified: git's own settings say who decided"
        for name, value in decision.inputs.items():
            yield "input", _line(f"{name} = {value}")
        for vote in decision.votes:
            if vote.reason and decision.outcome is Outcome.APPROVED:
                yield "reason", _line(f"{vote.reason} ({vote.actor.name})")
    else:
        yield "deadline", _deadline(as_asked(request, proven), now)
    yield "it takes", _line(takes(request.policy.require))
    if who := started_by(request, proven):
        yield "started by", who
    yield from (("picture", _line(each.alt)) for each in request.pictures if not each.dark)
    for link in request.links:
        yield "link", _line(f"{link.label}: {link.url}")
    if not decision:
        for field in fields(request.schema):
            yield "input", _line(_field_in_words(field))


def _decided(decision: Decision) -> str:
    """A person's decision says in its reason what it is, and the clock's does not."""
    if decision.by is Decider.PERSON:
        return decision.reason
    return f"{decision.outcome}: {decision.reason}"


def _deadline(request: ApprovalRequest, now: datetime) -> str:
    at = request.expires_at
    if at is None:
        return "none: it waits for a decision"
    return f"{durations.relative(at, now)} ({_utc(at)}). {_AFTERWARDS[request.policy.on_timeout]}"


def _field_in_words(field: Field) -> str:
    row = _field_row(field)
    return ", ".join(
        [f"{row['name']}: {row['kind']}", row["need"]] + [row["says"]] * bool(row["says"])
    )


def _wrapped(text: str, width: int) -> str:
    import textwrap

    lines = [
        textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in text.split("\n")
    ]
    return "\n".join(part for line in lines for part in line).strip("\n")


def _table(request: ApprovalRequest, width: int, colour: bool) -> str:
    artifacts = ordered(request.artifacts)
    changes = {each.name: each.change for each in comparison.table(request)}
    rows = [{**_row(each), "change": changes.get(each.name, "same")} for each in artifacts]
    names = ["name", "value", *["change"] * bool(request.baseline), "type", "size"]
    cells = [{each: each for each in names}, *rows]
    widths = {each: max(columns(row[each]) for row in cells) for each in names}
    # The value gives way first; it is cut, never the name of the thing.
    taken = sum(widths[each] + 2 for each in names if each != "value")
    widths["value"] = max(10, min(widths["value"], width - taken))

    def laid(row: dict[str, str]) -> str:
        value = {**row, "value": cut(row["value"], widths["value"])}
        return "  ".join(_padded(value[each], widths[each], each == "size") for each in names)

    head = _painted(laid(cells[0]).rstrip(), "dim", colour)
    lines = [head]
    for artifact, row in zip(artifacts, rows, strict=True):
        lines.append(laid(row).rstrip())
        lines += [
            f"    {line}" for line in harmless_terminal(artifact.head or "").split("\n") if line
        ]
    return "\n".join(lines)


def _noted(note: Note, width: int) -> str:
    return _wrapped(harmless_terminal(f"in the gate's declaration, {note}"), width)


def _diff_at_terminal(found: TextDiff, width: int) -> str:
    lines = [cut(f"    {harmless_terminal(each)}", width) for each in found.lines]
    return "\n".join([f"what changed in {harmless_terminal(found.name)}", *lines])


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * max(0, width - columns(text))
    return space + text if right else text + space


# -- why -----------------------------------------------------------------------------------------


def explanation(evaluation: Evaluation, *, colour: bool) -> str:
    """Where a gate stands and why: the rule, what it has, who counts, who does not and why not."""
    style = _OUTCOMES[evaluation.outcome]
    lines = [_painted(evaluation.outcome.value, style, colour) + f": {_line(evaluation.reason)}"]
    for finding in evaluation.finding.children:
        lines += _tree(finding, "  ", colour)
    for vote in evaluation.candidates:
        at = _utc(vote.at)
        who = _line(str(vote.actor)) + " (unverified)" * (not vote.actor.proven)
        lines.append(f"  counts: {who}, {vote.verdict}, {at}, {vote.channel}")
    for dismissal in evaluation.dismissals:
        who = f"{_line(str(dismissal.vote.actor))}, {dismissal.vote.verdict}"
        lines.append(f"  does not count: {who}: {_line(dismissal.reason)}")
    if not (evaluation.candidates or evaluation.dismissals):
        yet = " yet" * (evaluation.outcome is Outcome.PENDING)
        lines.append(f"  nobody has answered{yet}")
    return "\n".join(lines)


def _tree(finding: Finding, indent: str, colour: bool) -> Iterable[str]:
    mark = _painted("✓", "green", colour) if finding.met else _painted("·", "yellow", colour)
    yield f"{indent}{mark} {_line(finding.says)}"
    for child in finding.children:
        yield from _tree(child, indent + "  ", colour)
