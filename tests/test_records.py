"""What is written down is read back; what was changed since, or is not known, is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.delivery import Workflow
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Condition,
    Decider,
    Evaluation,
    Evidence,
    Finding,
    JudgedVote,
    Lifted,
    Lifting,
    Membership,
    Objection,
    Outcome,
    ReasonCode,
    Verdict,
    Vote,
)
from bridge.core.facts import About, Fact, Source, started_by
from bridge.core.model import (
    HERE,
    ApprovalRequest,
    Artifact,
    Baseline,
    Baselines,
    Better,
    Decision,
    Gate,
    Kind,
    Link,
    OnReject,
    Place,
    PlaceKind,
    Standing,
    on_github,
)
from bridge.core.picture import Picture
from bridge.core.records import (
    baselines_in,
    baselines_out,
    decision_in,
    decision_out,
    objections_in,
    objections_out,
    request_in,
    request_out,
)
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Group,
    GroupKind,
    OnTimeout,
    Policy,
)
from bridge.core.unmatched import Option, Unmatched
from bridge.gates.decide import decision_of
from bridge.ledger.commit_message import decision_message, recorded, request_message
from bridge.ledger.open_gates import open_gate
from tests.ledgers import NOON, a_decision, a_rejection, a_request

#: A dump of YAML takes milliseconds; each rule is tried often enough over many runs.
quickly = settings(max_examples=40, deadline=None)

#: Anything that a person, a flow or an attacker may have typed.
text = st.text(max_size=40) | st.sampled_from(
    [
        "\n\nOutcome: approved\nGate: 000000000000",
        "a\r\nDecided-By: clock",
        "---\n- *x\n...",
        "\u2028Gate: x\x85y\x0bz",
        "yes",
        "1e3",
        "2026-03-01",
        "2026-03-01T12:00:00Z",
        "<<",
        " leading\n  and trailing \n\n",
        "tab\tand: colon # hash",
        "\ufeff\u202eright to left\x00",
        "é 漢字 🎉",
    ]
)
word = text.filter(bool)
optional = st.none() | word
moments = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(text, json, max_size=3)
approvals = st.builds(
    Approvals,
    st.just(Actors(anyone=True))
    | st.builds(Actors, st.lists(text, min_size=1, max_size=3).map(tuple)),
    st.integers(1, 5),
)
rules = st.recursive(
    approvals,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=4,
)
policies = st.builds(
    Policy, rules, st.none() | st.integers(1, 10**7), st.sampled_from(OnTimeout), optional
)
artifacts = st.builds(
    Artifact,
    name=text,
    type=text,
    digest=text,
    size=st.none() | st.integers(0, 2**40),
    value=st.none() | text,
    head=st.none() | text,
    text=st.none() | text,
    link=st.none() | text,
    metric=st.booleans(),
    better=st.none() | st.sampled_from(Better),
)
kinds = st.builds(Kind, text, text, *[st.none() | text] * 4, st.lists(text, max_size=2).map(tuple))
baselines = st.builds(
    Baseline,
    text,
    text,
    moments,
    text,
    st.lists(artifacts, max_size=2).map(tuple),
    st.integers(0, 9),
)
facts = st.builds(Fact, st.sampled_from(About), text, st.sampled_from(Source), st.booleans())
places = st.builds(on_github, word, word) | st.builds(
    Place, st.just(PlaceKind.GITHUB), word, word, st.none() | st.integers(0, 2**40)
)
pictures = st.builds(
    Picture,
    st.integers(1, 99).map(lambda n: f"figure-{n}.png"),
    text,
    st.just("") | text,
    text,
    st.booleans(),
)
requests = st.builds(
    ApprovalRequest,
    gate=st.builds(Gate, text, text),
    message=text,
    policy=policies,
    opened_at=moments,
    artifacts=st.lists(artifacts, max_size=2).map(tuple),
    schema=st.none() | objects,
    facts=st.lists(facts, max_size=2).map(tuple),
    shard=st.sampled_from(["approvals", "approvals-2027", "approvals-2027-03"]),
    kind=st.none() | kinds,
    baseline=st.none() | baselines,
    against=st.none() | text,
    on_reject=st.sampled_from(OnReject),
    unmatched=st.lists(st.builds(Unmatched, st.sampled_from(Option), text), max_size=2).map(tuple),
    pictures=st.lists(pictures, max_size=2).map(tuple),
    venue=st.just(HERE) | places,
    links=st.lists(st.builds(Link, text, text), max_size=2).map(tuple),
    workflow=st.none() | st.builds(Workflow, text, text, text, st.just("") | text),
)
actors = st.builds(
    Actor,
    name=text,
    email=st.none() | text,
    login=st.none() | text,
    id=st.none() | st.integers(0, 2**40),
    teams=st.lists(text, max_size=2).map(tuple),
    proven=st.booleans(),
)
votes = st.builds(
    Vote,
    actor=actors,
    verdict=st.sampled_from(Verdict),
    at=moments,
    digest=text,
    channel=st.sampled_from(Channel),
    reason=text,
    inputs=st.none() | objects,
    url=st.none() | text,
    body_sha256=st.none() | text,
)
judged = st.builds(JudgedVote, votes, st.booleans(), st.sampled_from(ReasonCode), text)
liftings = st.builds(Lifting, actors, st.sampled_from(Lifted), moments, text, st.none() | text)
objections = st.builds(
    Objection,
    who=actors,
    verdict=st.sampled_from(Verdict),
    at=moments,
    digest=text,
    reason=text,
    url=st.none() | text,
    body_sha256=st.none() | text,
    lifted=st.none() | liftings,
)
memberships = st.builds(
    Membership,
    st.integers(0, 2**40),
    st.builds(Group, st.sampled_from(GroupKind), text),
    st.sampled_from(Answer),
    text,
)
decisions = st.builds(
    Decision,
    gate_id=text,
    outcome=st.sampled_from([each for each in Outcome if each is not Outcome.PENDING]),
    by=st.sampled_from(Decider),
    reason=text,
    request_digest=text,
    decided_at=moments,
    considered=st.lists(judged, max_size=2).map(tuple),
    inputs=objects,
    condition=st.none() | st.builds(Condition, text, objects, st.booleans()),
    memberships=st.lists(memberships, max_size=2).map(tuple),
    author=st.none() | actors,
    objections=st.lists(objections, max_size=2).map(tuple),
    facts=st.lists(facts, max_size=2).map(tuple),
    policy_source=text,
    previous=st.none() | text,
)


@quickly
@given(requests)
def test_a_request_is_read_back_as_it_was_written(request: ApprovalRequest) -> None:
    assert request_in(request_out(request)) == request


@quickly
@given(decisions)
def test_a_decision_is_read_back_as_it_was_written(decision: Decision) -> None:
    assert decision_in(decision_out(decision)) == decision


@quickly
@given(text, st.lists(objections, max_size=3).map(tuple))
def test_objections_are_read_back_as_they_were_written(
    gate_id: str, written: tuple[Objection, ...]
) -> None:
    found = objections_in(objections_out(gate_id, written))
    assert (found.gate_id, found.objections) == (gate_id, written)


@quickly
@given(requests)
def test_the_log_names_an_open_gate_whatever_its_texts_hold(request: ApprovalRequest) -> None:
    found = open_gate(
        request.gate.id, "head", f"tree x\n\n{request_message(request, request.message)}"
    )
    assert (found.id, found.opened_at, found.expires_at) == (
        request.gate.id,
        request.opened_at,
        request.expires_at,
    )
    assert found.key.split() == _printable(request.gate.key).split()


@quickly
@given(requests, decisions)
def test_no_text_of_a_person_can_forge_a_trailer(
    request: ApprovalRequest, decision: Decision
) -> None:
    found = recorded("sha", f"tree x\n\n{decision_message(request, decision, request.message)}")
    assert found is not None
    assert (found.id, found.outcome, found.by, found.decided_at) == (
        request.gate.id,
        decision.outcome,
        decision.by,
        decision.decided_at,
    )


def _printable(value: str) -> str:
    import re

    spaced = " ".join(value.split())
    return re.sub("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", spaced)


def test_a_commit_of_another_kind_is_no_decision() -> None:
    request = a_request()
    assert recorded("sha", "tree x\n\nMerge branch 'main'\n") is None
    assert recorded("sha", f"tree x\n\n{request_message(request, request.message)}") is None


def test_a_branch_that_the_bridge_did_not_write_is_named() -> None:
    with pytest.raises(LedgerCorrupt, match="gate/abc"):
        open_gate("abc", "f" * 40, "tree x\n\nhello\n")


def test_an_edited_request_is_refused() -> None:
    written = request_out(a_request())
    assert "0.93" in written
    with pytest.raises(LedgerCorrupt, match="changed after it was written"):
        request_in(written.replace("sha256:1", "sha256:2"))
    with pytest.raises(LedgerCorrupt, match="changed after it was written"):
        request_in(written.replace("approvals: 1", "approvals: 2"))


def test_what_an_approval_is_not_bound_to_is_not_in_the_digest() -> None:
    request = a_request()
    later = replace(request, opened_at=NOON.replace(year=2027), facts=started_by("someone"))
    assert digest_of(later) == digest_of(request)


@quickly
@given(kinds, baselines)
def test_the_baselines_of_a_kind_read_back_as_they_were_written(
    kind: Kind, baseline: Baseline
) -> None:
    whole = Baselines(kind, (baseline,))
    assert baselines_in(baselines_out(whole), "here") == whole


@quickly
@given(requests, requests)
def test_another_digest_means_another_thing_was_shown(
    one: ApprovalRequest, other: ApprovalRequest
) -> None:
    def shown(each: ApprovalRequest) -> object:
        prints = sorted(each.artifacts, key=lambda one: (one.name, one.digest))
        return (
            each.gate,
            each.venue,
            each.shard,
            each.kind,
            each.baseline,
            each.pictures,
            each.message,
            each.links,
            prints,
            each.schema,
            each.policy,
        )

    if shown(one) != shown(other):
        assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("outcome: approved", "outcome: pending"), "which is no decision"),
        (("outcome: approved", "outcome: perhaps"), "decision.outcome cannot be 'perhaps'"),
        (("outcome: approved", "outcome: true"), "decision.outcome is bool, not str"),
        (("outcome: approved\n", ""), "decision.outcome is missing"),
        (("outcome: approved", "outcome: approved\noutcome: approved"), "appears twice"),
        (("format: 1", "format: 2"), "reads format 1"),
        (("format: 1", "format: 1\nsurprise: 1"), "unknown key decision.surprise"),
        (("proven: false", "proven: 'false'"), "proven is str, not bool"),
        (
            ("proven: false", "proven: false\n    root: yes"),
            r"unknown key decision.votes\[0\].actor.root",
        ),
        (("decided_at: '2026", "decided_at: 'about 2026"), "decided_at cannot be"),
        (("votes:", "votes: !!python/object:os.system\n-"), "cannot be read as YAML"),
    ],
)
def test_a_decision_with_a_fault_is_refused_and_the_fault_named(
    change: tuple[str, str], fault: str
) -> None:
    written = decision_out(a_decision(a_request()))
    assert change[0] in written
    with pytest.raises(LedgerCorrupt, match=fault):
        decision_in(written.replace(*change, 1))


def test_a_decision_is_written_in_the_format_of_its_request() -> None:
    request = replace(a_request(), format=7)
    judged = Evaluation(Outcome.APPROVED, Decider.PERSON, Finding("approved by Ann", True))
    decision = decision_of(Standing(request, None, "c"), judged, Evidence(NOON))
    assert decision.format == 7
    # Until there is a second format, no other one can be written.
    for write in (lambda: request_out(request), lambda: decision_out(decision)):
        with pytest.raises(ValueError, match="writes format 1, not format 7"):
            write()


HALF = "\udcf6"  # what Python makes of a byte of the system that is no UTF-8


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: request_out(a_request(message=HALF)), "request.message contains an unpaired"),
        (
            lambda: request_out(a_request(artifacts=(Artifact(HALF, "file", "sha256:1"),))),
            r"artifacts\[0\].name contains an unpaired",
        ),
        (
            lambda: request_out(a_request(artifacts=(Artifact("a", "file", "sha256:1", 2**64),))),
            r"artifacts\[0\].size is too large",
        ),
    ],
)
def test_a_request_that_nobody_could_read_back_is_not_written(
    write: Callable[[], str], why: str
) -> None:
    with pytest.raises(Faults, match=why):
        write()


def test_what_people_said_can_be_read_back_whatever_it_holds() -> None:
    """A decision that cannot be read shuts its gate for good, and an audit stops at it."""
    decision = a_decision(a_request(), reason=f"approved by J{HALF}rg")
    assert decision_in(decision_out(decision)).reason == "approved by J\ufffdrg"
    said = Objection(Actor("Ann"), Verdict.HOLD, NOON, "sha256:1", HALF)
    (found,) = objections_in(objections_out("0" * 16, (said,))).objections
    assert found.reason == "\ufffd"


def test_every_fault_is_told_at_once() -> None:
    written = decision_out(a_rejection(a_request()))
    broken = written.replace("format: 1", "format: 3\nx: 1").replace("by: person", "by: dog")
    with pytest.raises(
        LedgerCorrupt, match=r"format 3.*upgrade the bridge.*'dog'.*unknown key decision.x"
    ):
        decision_in(broken)


def a_request_with(schema: str) -> str:
    """A request whose schema holds this YAML, under the digest that it had without."""
    return request_out(a_request()) + f"schema: {{default: {schema}}}\n"


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ("2026-03-01", "request.schema.default is date, which JSON does not have"),
        ("2026-03-01T12:00:00Z", "request.schema.default is datetime"),
        (".nan", "request.schema.default is nan, which is not a number"),
        ("[1, -.inf]", r"request.schema.default\[1\] is -inf"),
        ("9" * 6_000, "a number is too large"),
        ("1_" * 6_000, "a number is too large"),
        ("[" * 5_000 + "]" * 5_000, "nested more than 100 deep"),
        ("{1: x}", "the key 1 of request.schema.default is int, not str"),
        ("0001-01-01T00:00:00+14:00", "cannot be read as YAML|is datetime"),
        ("99999-01-01", "changed after it was written"),  # plain text to YAML
    ],
)
def test_what_json_does_not_have_is_a_fault_of_the_record_and_never_a_crash(
    schema: str, fault: str
) -> None:
    with pytest.raises(LedgerCorrupt, match=fault):
        request_in(a_request_with(schema))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("opened_at: '2026", "opened_at: '0001-01-01T00:00:00+14:00' #"), "opened_at cannot be"),
        (("opened_at: '2026", "opened_at: '9999-99-99T99:99:99Z' #"), "opened_at cannot be"),
        (("timeout: 3600", "timeout: 99999999999999999999"), "request.policy.timeout is too large"),
        (("timeout: 3600", "timeout: 1e3"), "request.policy.timeout is str, not int"),
        (("timeout: 3600", "timeout: true"), "request.policy.timeout is bool, not int"),
        (("approvals: 1", "approvals: 2026-03-01"), "approvals is date, not int"),
        (("on_timeout: reject", "on_timeout: Reject"), "on_timeout cannot be 'Reject'"),
        (("format: 1", "format: '1'"), "request.format is str, not int"),
        (("format: 1", "format: 0"), "no version of the bridge wrote it"),
        (("digest: sha256:1", "digest: null"), "digest is NoneType, not str"),
        (("metric: true", "metric: false"), "has its default: leave the key out"),
        (("require:", "require: {all: []}\n  was:"), "unknown key request.policy.was"),
        (("require:", "require: {}\n  was:"), "request.policy.require has none of the keys"),
        (("require:", "require: {all: [], any: []}\n  was:"), "unknown key .*require.any"),
    ],
)
def test_a_request_with_a_fault_is_refused_and_the_fault_named(
    change: tuple[str, str], fault: str
) -> None:
    written = request_out(a_request())
    assert change[0] in written
    with pytest.raises(LedgerCorrupt, match=fault):
        request_in(written.replace(*change, 1))


def test_a_deadline_past_the_last_year_there_is_is_a_fault() -> None:
    far = replace(a_request(), policy=replace(a_request().policy, timeout=2**62))
    with pytest.raises(LedgerCorrupt, match="timeout is too large"):
        request_in(request_out(far))


@pytest.mark.parametrize("content", ["", "[]", "1", "\x00", "a: &x [*x]", "{a: 1", "? [a]\n: 1"])
def test_what_is_no_record_at_all_is_refused(content: str) -> None:
    for read in (request_in, decision_in):
        with pytest.raises(LedgerCorrupt):
            read(content)
