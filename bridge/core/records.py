"""The words of the ledger: how a request and a decision are written down and read back.

Reading is strict: an unknown key, a missing one or a value of the wrong kind is a fault, and a
record with a fault is never an approval. See `docs/ledger.md` for the format.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bridge.core.delivery import Workflow
from bridge.core.errors import LedgerCorrupt
from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Condition,
    Decider,
    Membership,
    Outcome,
    Verdict,
    Vote,
)
from bridge.core.model import (
    ApprovalRequest,
    Artifact,
    Decision,
    Declared,
    Gate,
    Subject,
)
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Bars,
    DismissedReviews,
    EachOf,
    Group,
    GroupKind,
    OnTimeout,
    Policy,
    RequestChanges,
    Rule,
    UnknownInitiator,
    Via,
)

if TYPE_CHECKING:
    import yaml

FORMAT: Final = 1

T = TypeVar("T")


# -- the digest ----------------------------------------------------------------------------------


def digest_of(request: ApprovalRequest) -> str:
    """What an approval is bound to: sha256 over gate, message, artifact digests, schema and policy.

    How an artifact is displayed, who started the run and when it was opened are not part of it: the
    gated step computes the digest again and cannot know them.
    """
    shown = {
        "format": FORMAT,
        "origin": request.gate.origin,
        "key": request.gate.key,
        "forge": request.forge,
        "message": request.message,
        "artifacts": sorted([each.name, each.digest] for each in request.artifacts),
        "schema": request.schema,
        "policy": _policy_out(request.policy),
        **_told(request),
    }
    if request.workflow:
        shown["workflow"] = _workflow_out(request.workflow)
    return "sha256:" + hashlib.sha256(canonical(shown)).hexdigest()


def _told(request: ApprovalRequest) -> dict[str, Any]:
    """What a policy file is read by. The gated step knows it too, and computes it again."""
    return _without_none(
        [
            ("subject", _subject_out(request.subject) if request.subject else None),
            ("declared", _declared_out(request.declared) if request.declared else None),
        ]
    )


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no spaces, no NaN: the same value is the same bytes everywhere."""
    import json  # not above: a listing reads commits alone

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


# -- YAML, without surprises ---------------------------------------------------------------------


def dump(record: Mapping[str, Any]) -> str:
    """YAML that a person reads: keys in the order given, long text as blocks, no aliases."""
    import yaml  # a listing of open gates does without: 20 ms

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # Other ends of a line than a newline come back as newlines, unless they are escaped.
        escaped = any(each in value for each in "\r\x85\u2028\u2029\ufeff")
        style = '"' if escaped else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    out: str = yaml.dump(record, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return out


def load(text: str, where: str) -> dict[str, Any]:
    """One mapping of plain values, each key once. Raises `LedgerCorrupt` naming the place."""
    import yaml

    try:
        _refuse_traps(text)
        found = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise LedgerCorrupt(f"{where} cannot be read as YAML: {said}") from None
    if not isinstance(found, dict):
        raise LedgerCorrupt(f"{where} holds no mapping")
    return found


#: Far more than any record has; the loader in C calls itself for each, until the process is gone.
_DEEPEST: Final = 100


#: Bits of a number: what a float can reach. Python refuses to print one of 4,300 digits.
_LONGEST_NUMBER: Final = 1_024


def _refuse_traps(text: str) -> None:
    """Refuse a nest that would take the process down, an alias, and a tag.

    By aliases one line becomes a gigabyte. A tag that its value does not fit (`!!bool maybe`) makes
    PyYAML raise whatever comes (https://github.com/yaml/pyyaml/issues/386), and no record has one.
    """
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it repeats itself by *{event.anchor}: write it out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise yaml.YAMLError(f"it has the tag {tag}: write the value without a tag")


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    # In C it is ten times faster, which an audit of a long ledger feels.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in found:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    def whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
        found = int(loader.construct_yaml_int(node))
        if found.bit_length() > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, "a number is too large", node.start_mark
            )
        return found

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", whole)
    return Loader


class _Reader:
    """Takes a mapping apart, key by key, and collects what is wrong with it."""

    def __init__(self, record: object, where: str, faults: list[str]) -> None:
        self.where = where
        self.faults = faults
        if isinstance(record, dict):
            self.left = dict(record)
        else:
            self.left = {}
            faults.append(f"{where} is not a mapping")

    def take(self, key: str, kind: type[T], *, optional: bool = False) -> T | None:
        value = self.left.pop(key, None)
        if value is None:
            if not optional:
                self.faults.append(f"{self.where}.{key} is missing")
            return None
        # bool is an int to isinstance, and a count of `true` is no count
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.faults.append(f"{self.where}.{key} is {type(value).__name__}, not {kind.__name__}")
            return None
        return value

    def text(self, key: str) -> str:
        return self.take(key, str) or ""

    def parsed(self, key: str, parse: Callable[[str], T], fallback: T) -> T:
        raw = self.take(key, str)
        if raw is None:
            return fallback
        try:
            return parse(raw)
        except ValueError:
            self.faults.append(f"{self.where}.{key} cannot be {raw!r}")
            return fallback

    def each(self, key: str, read: Callable[[_Reader], T]) -> tuple[T, ...]:
        rows = self.take(key, list, optional=True) or []
        return tuple(
            read(_Reader(row, f"{self.where}.{key}[{index}]", self.faults))
            for index, row in enumerate(rows)
        )

    def texts(self, key: str) -> tuple[str, ...]:
        rows = self.take(key, list, optional=True) or []
        if not all(isinstance(row, str) for row in rows):
            self.faults.append(f"{self.where}.{key} holds something that is not text")
            return ()
        return tuple(rows)

    def inner(self, key: str) -> _Reader:
        return _Reader(self.left.pop(key, None), f"{self.where}.{key}", self.faults)

    def end(self) -> None:
        self.faults.extend(
            f"{self.where}.{key} is not known" for key in sorted(map(str, self.left))
        )


def moment(text: str) -> datetime:
    """A time as the ledger writes it, in UTC to the second: `2026-03-01T12:00:00Z`."""
    found = datetime.fromisoformat(text)
    if moment_out(found) != text:  # it takes a time in many other forms as well
        raise ValueError(f"{text!r} is no time as the ledger writes it")
    return found


def moment_out(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _without_none(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


# -- the request ---------------------------------------------------------------------------------


def request_out(request: ApprovalRequest) -> str:
    """`request.yaml`."""
    return dump(
        _without_none(
            [
                ("format", FORMAT),
                ("gate", request.gate.id),
                ("key", request.gate.key),
                ("origin", request.gate.origin),
                ("digest", digest_of(request)),
                ("opened_at", moment_out(request.opened_at)),
                ("initiator", request.initiator),
                ("forge", request.forge),
                ("message", request.message),
                ("artifacts", [_artifact_out(each) for each in request.artifacts]),
                ("schema", request.schema),
                *_told(request).items(),
                ("policy", _policy_out(request.policy)),
                ("links", [{"label": label, "url": url} for label, url in request.links]),
                ("workflow", _workflow_out(request.workflow) if request.workflow else None),
            ]
        )
    )


def request_in(text: str, where: str = "request.yaml") -> ApprovalRequest:
    """Raises `LedgerCorrupt` with every fault, also where the digest is not that of the content."""
    faults: list[str] = []
    read = _Reader(load(text, where), "request", faults)
    _expect_format(read)
    gate_id = read.text("gate")
    digest = read.text("digest")
    request = ApprovalRequest(
        gate=Gate(origin=read.text("origin"), key=read.text("key")),
        opened_at=read.parsed("opened_at", moment, EPOCH),
        initiator=read.take("initiator", str, optional=True),
        forge=read.take("forge", str, optional=True),
        message=read.text("message"),
        artifacts=read.each("artifacts", _artifact_in),
        schema=read.take("schema", dict, optional=True),
        policy=_policy_in(read.inner("policy")),
        links=read.each("links", _link_in),
        subject=_subject_in(read.inner("subject")) if "subject" in read.left else None,
        declared=_declared_in(read.inner("declared")) if "declared" in read.left else None,
        workflow=_workflow_in(read.inner("workflow")) if "workflow" in read.left else None,
    )
    read.end()
    if not faults and request.gate.id != gate_id:
        faults.append(f"the id {gate_id} is not that of {request.gate.key}")
    if not faults and digest_of(request) != digest:
        faults.append("the digest is not that of the content: it was changed after it was written")
    _raise(where, faults)
    return request


def _artifact_out(artifact: Artifact) -> dict[str, Any]:
    return _without_none(
        [
            ("name", artifact.name),
            ("type", artifact.type),
            ("digest", artifact.digest),
            ("size", artifact.size),
            ("value", artifact.value),
            ("head", artifact.head),
            ("link", artifact.link),
            ("metric", artifact.metric or None),
        ]
    )


def _artifact_in(read: _Reader) -> Artifact:
    artifact = Artifact(
        name=read.text("name"),
        type=read.text("type"),
        digest=read.text("digest"),
        size=read.take("size", int, optional=True),
        value=read.take("value", str, optional=True),
        head=read.take("head", str, optional=True),
        link=read.take("link", str, optional=True),
        metric=read.take("metric", bool, optional=True) or False,
    )
    read.end()
    return artifact


def _link_in(read: _Reader) -> tuple[str, str]:
    link = (read.text("label"), read.text("url"))
    read.end()
    return link


def _workflow_out(workflow: Workflow) -> dict[str, Any]:
    shown = {"namespace": workflow.namespace, "name": workflow.name, "uid": workflow.uid}
    return {**shown, "cluster": workflow.cluster} if workflow.cluster else shown


def _workflow_in(read: _Reader) -> Workflow:
    cluster = read.take("cluster", str, optional=True) or ""
    workflow = Workflow(read.text("namespace"), read.text("name"), read.text("uid"), cluster)
    read.end()
    return workflow


def _policy_out(policy: Policy) -> dict[str, Any]:
    return _without_none(
        [
            ("require", _rule_out(policy.require)),
            ("timeout", policy.timeout),
            ("on_timeout", policy.on_timeout.value),
            ("auto_approve_if", policy.auto_approve_if),
            *(_forge_policy_out(policy) if _of_a_forge(policy) else ()),
        ]
    )


def _of_a_forge(policy: Policy) -> bool:
    here = Policy(policy.require, policy.timeout, policy.on_timeout, policy.auto_approve_if)
    return policy != here


def _forge_policy_out(policy: Policy) -> Iterable[tuple[str, Any]]:
    bars = policy.bars
    yield (
        "bars",
        {"initiator": bars.initiator, "author": bars.author, "users": list(bars.users)},
    )
    yield "only", _actors_out(policy.only) if policy.only else None
    yield "request_changes", policy.request_changes.value
    yield "dismissed_reviews", policy.dismissed_reviews.value
    yield "unknown_initiator", policy.unknown_initiator.value
    yield "initiator", policy.initiator
    yield "via", policy.via.value if policy.via is not Via.PULL_REQUEST else None


def _policy_in(read: _Reader) -> Policy:
    policy = Policy(
        require=_rule_in(read.inner("require")),
        timeout=read.take("timeout", int, optional=True),
        on_timeout=read.parsed("on_timeout", OnTimeout, OnTimeout.REJECT),
        auto_approve_if=read.take("auto_approve_if", str, optional=True),
    )
    if "bars" in read.left:
        policy = _forge_policy_in(policy, read)
    read.end()
    return policy


def _forge_policy_in(policy: Policy, read: _Reader) -> Policy:
    return replace(
        policy,
        bars=_bars_in(read.inner("bars")),
        only=_actors_in(read.left.pop("only"), read) if "only" in read.left else None,
        request_changes=read.parsed("request_changes", RequestChanges, RequestChanges.HOLD),
        dismissed_reviews=read.parsed(
            "dismissed_reviews", DismissedReviews, DismissedReviews.ANYONE
        ),
        unknown_initiator=read.parsed(
            "unknown_initiator", UnknownInitiator, UnknownInitiator.BLOCK
        ),
        initiator=read.take("initiator", str, optional=True),
        via=read.parsed("via", Via, Via.PULL_REQUEST) if "via" in read.left else Via.PULL_REQUEST,
    )


def _bars_in(read: _Reader) -> Bars:
    # Where a bar cannot be read, the fault is what counts; it must not read as no bar.
    bars = Bars(
        initiator=read.take("initiator", bool) is not False,
        author=read.take("author", bool) is not False,
        users=read.texts("users"),
    )
    read.end()
    return bars


def _rule_out(rule: Rule) -> dict[str, Any]:
    match rule:
        case Approvals(by=actors, count=count):
            return {"approvals": count, "by": _actors_out(actors)}
        case EachOf(of):
            return {"each": [_actors_out(each) for each in of]}
        case AllOf(rules):
            return {"all": [_rule_out(each) for each in rules]}
        case AnyOf(rules):
            return {"any": [_rule_out(each) for each in rules]}


def _rule_in(read: _Reader) -> Rule:
    rule: Rule
    if "all" in read.left:
        rule = AllOf(read.each("all", _rule_in))
    elif "any" in read.left:
        rule = AnyOf(read.each("any", _rule_in))
    elif "each" in read.left:
        rows = read.take("each", list) or []
        rule = EachOf(tuple(_actors_in(row, read) for row in rows))
    else:
        count = read.take("approvals", int) or 0
        rule = Approvals(_actors_in(read.left.pop("by", None), read), count)
    read.end()
    return rule


def _actors_out(actors: Actors) -> str | list[str] | dict[str, Any]:
    """`anyone`; a list of names as this machine knows them; or what a forge answers for too."""
    if actors.anyone:
        return "anyone"
    if not (actors.users or actors.groups):
        return list(actors.names)
    groups = [{each.kind.value: each.name} for each in actors.groups]
    rows = [("names", actors.names), ("users", actors.users), ("groups", groups)]
    return {key: list(value) for key, value in rows if value}


def _actors_in(row: object, read: _Reader) -> Actors:
    if row == "anyone":
        return Actors(anyone=True)
    if isinstance(row, dict):
        inner = _Reader(row, f"{read.where}.by", read.faults)
        actors = Actors(
            names=inner.texts("names"),
            users=inner.texts("users"),
            groups=inner.each("groups", _group_in),
        )
        inner.end()
        return actors
    return Actors(names=_Reader({"by": row}, read.where, read.faults).texts("by"))


def _group_in(read: _Reader) -> Group:
    kind = next((each for each in GroupKind if each.value in read.left), GroupKind.TEAM)
    group = Group(kind, read.text(kind.value))
    read.end()
    return group


def _subject_out(subject: Subject) -> dict[str, Any]:
    return _without_none(
        [
            ("flow", subject.flow),
            ("step", subject.step),
            ("environment", subject.environment),
            ("labels", list(subject.labels) or None),
            ("artifacts", dict(subject.artifacts) or None),
        ]
    )


def _subject_in(read: _Reader) -> Subject:
    subject = Subject(
        flow=read.text("flow"),
        step=read.text("step"),
        environment=read.take("environment", str, optional=True),
        labels=read.texts("labels"),
        artifacts=read.take("artifacts", dict, optional=True) or {},
    )
    read.end()
    return subject


def _declared_out(declared: Declared) -> dict[str, Any]:
    return _without_none(
        [
            ("approvers", list(declared.approvers) or None),
            ("timeout", declared.timeout),
            ("on_timeout", declared.on_timeout.value),
            ("auto_approve_if", declared.auto_approve_if),
        ]
    )


def _declared_in(read: _Reader) -> Declared:
    declared = Declared(
        approvers=read.texts("approvers"),
        timeout=read.take("timeout", int, optional=True),
        on_timeout=read.parsed("on_timeout", OnTimeout, OnTimeout.REJECT),
        auto_approve_if=read.take("auto_approve_if", str, optional=True),
    )
    read.end()
    return declared


# -- the decision --------------------------------------------------------------------------------


def decision_out(decision: Decision) -> str:
    """`decision.yaml`."""
    return dump(
        _without_none(
            [
                ("format", FORMAT),
                ("gate", decision.gate_id),
                ("outcome", decision.outcome.value),
                ("by", decision.by.value),
                ("reason", decision.reason),
                ("inputs", dict(decision.inputs)),
                ("votes", [_vote_out(vote) for vote in decision.votes]),
                ("condition", _condition_out(decision.condition)),
                ("memberships", [_membership_out(each) for each in decision.memberships] or None),
                ("author", _actor_out(decision.author) if decision.author else None),
                ("request_digest", decision.request_digest),
                ("policy_source", decision.policy_source),
                ("previous", decision.previous),
                ("decided_at", moment_out(decision.decided_at)),
            ]
        )
    )


def decision_in(text: str, where: str = "decision.yaml") -> Decision:
    """Raises `LedgerCorrupt` with every fault."""
    faults: list[str] = []
    read = _Reader(load(text, where), "decision", faults)
    _expect_format(read)
    decision = Decision(
        gate_id=read.text("gate"),
        outcome=read.parsed("outcome", Outcome, Outcome.PENDING),
        by=read.parsed("by", Decider, Decider.RUN),
        reason=read.take("reason", str, optional=True) or "",
        inputs=read.take("inputs", dict, optional=True) or {},
        votes=read.each("votes", _vote_in),
        condition=_condition_in(read.inner("condition")) if "condition" in read.left else None,
        memberships=read.each("memberships", _membership_in),
        author=_actor_in(read.inner("author")) if "author" in read.left else None,
        request_digest=read.text("request_digest"),
        policy_source=read.text("policy_source"),
        previous=read.take("previous", str, optional=True),
        decided_at=read.parsed("decided_at", moment, EPOCH),
    )
    read.end()
    if not faults and decision.outcome is Outcome.PENDING:
        faults.append("decision.outcome is pending, which is no decision")
    _raise(where, faults)
    return decision


def _vote_out(vote: Vote) -> dict[str, Any]:
    return _without_none(
        [
            ("actor", _actor_out(vote.actor)),
            ("verdict", vote.verdict.value),
            ("at", moment_out(vote.at)),
            ("digest", vote.digest),
            ("channel", vote.channel.value),
            ("reason", vote.reason or None),
            ("inputs", dict(vote.inputs) if vote.inputs is not None else None),
            ("url", vote.url),
            ("body_sha256", vote.body_sha256),
            ("dismissed_by", _actor_out(vote.dismissed_by) if vote.dismissed_by else None),
        ]
    )


def _vote_in(read: _Reader) -> Vote:
    vote = Vote(
        actor=_actor_in(read.inner("actor")),
        verdict=read.parsed("verdict", Verdict, Verdict.REJECT),
        at=read.parsed("at", moment, EPOCH),
        digest=read.text("digest"),
        channel=read.parsed("channel", Channel, Channel.CLI),
        reason=read.take("reason", str, optional=True) or "",
        inputs=read.take("inputs", dict, optional=True),
        url=read.take("url", str, optional=True),
        body_sha256=read.take("body_sha256", str, optional=True),
        dismissed_by=_actor_in(read.inner("dismissed_by")) if "dismissed_by" in read.left else None,
    )
    read.end()
    return vote


def _actor_out(actor: Actor) -> dict[str, Any]:
    return _without_none(
        [
            ("name", actor.name),
            ("email", actor.email),
            ("login", actor.login),
            ("id", actor.id),
            ("teams", list(actor.teams) or None),
            ("proven", actor.proven),
            ("bot", actor.bot or None),
        ]
    )


def _actor_in(read: _Reader) -> Actor:
    actor = Actor(
        name=read.text("name"),
        email=read.take("email", str, optional=True),
        login=read.take("login", str, optional=True),
        id=read.take("id", int, optional=True),
        teams=read.texts("teams"),
        proven=read.take("proven", bool) or False,
        bot=read.take("bot", bool, optional=True) or False,
    )
    read.end()
    return actor


def _membership_out(fact: Membership) -> dict[str, Any]:
    return _without_none(
        [
            ("user", fact.user),
            (fact.group.kind.value, fact.group.name),
            ("answer", fact.answer.value),
            ("why", fact.why or None),
        ]
    )


def _membership_in(read: _Reader) -> Membership:
    user = read.take("user", int) or 0
    answer = read.parsed("answer", Answer, Answer.UNKNOWN)
    why = read.take("why", str, optional=True) or ""
    return Membership(user, _group_in(read), answer, why)


def _condition_out(condition: Condition | None) -> dict[str, Any] | None:
    if condition is None:
        return None
    return {"text": condition.text, "seen": dict(condition.seen), "holds": condition.holds}


def _condition_in(read: _Reader) -> Condition:
    condition = Condition(
        text=read.text("text"),
        seen=read.take("seen", dict) or {},
        holds=read.take("holds", bool) or False,
    )
    read.end()
    return condition


def _expect_format(read: _Reader) -> None:
    found = read.take("format", int)
    if found is not None and found != FORMAT:
        read.faults.append(f"it has format {found}, and this bridge reads format {FORMAT}")


def _raise(where: str, faults: list[str]) -> None:
    if faults:
        raise LedgerCorrupt(f"{where}: {'; '.join(faults)}")
