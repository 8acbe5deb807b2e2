"""Whatever others wrote, each parser gives a value or one of the bridge's errors.

The inputs are valid documents with something in them changed, for that is where a crash is: random
bytes are refused at their first character. Each has its number, so that a failure can be repeated.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.argo import compressed_nodes, nodes
from bridge.argo.annotations import injected
from bridge.core import sshsig
from bridge.core.converter import plain, read
from bridge.core.decision_keys import DecisionKey, parse_keys
from bridge.core.delivery import Delivery, Move, Workflow
from bridge.core.entry import Change, Entry
from bridge.core.errors import BridgeError, LedgerCorrupt
from bridge.core.evaluation import Evidence, Outcome
from bridge.core.model import (
    FORMAT,
    ApprovalRequest,
    Standing,
)
from bridge.core.records import (
    decision_in,
    decision_out,
    objections_in,
    objections_out,
    request_in,
    request_out,
)
from bridge.core.rules import Actors, Approvals, Policy
from bridge.gates.audit import Auditor
from bridge.gates.audit_signatures import Signatures
from bridge.github import graphql, oidc
from bridge.ledger.commit_message import recorded, request_message
from bridge.ledger.git import read_tree
from bridge.ledger.open_gates import open_gate
from bridge.pages import comment_commands, page_text, votes
from bridge.pages.marker import Part, seal_of
from bridge.pages.objections import said_on
from bridge.policy import policy_file
from bridge.policy.evaluate import evaluate
from bridge.render.request import explanation, headline, request_md, terminal
from tests.ledgers import NOON, a_decision, a_request, a_vote
from tests.ssh_keys import security_key, signed_by_security_key
from tests.test_inject import PODS
from tests.test_votes import VOICES, comment, page, review, seal, status
from tests.test_votes import request as on_page

#: The number of an example; what it changes follows from it.
numbers: Final = st.integers(0, 2**32)
often = settings(max_examples=120)
sometimes = settings(max_examples=50)

NASTY: Final = (
    "", "\n", "\x00", "\r", "\u2028", "\ufeff", "\ud800", "\x85", "é", "🎉", " ", "\t", ":", "- ",
    "? ", "&a ", "*a", "!!bool maybe", "!!python/object:os.system x", "|", ">", "'", '"', "{", "}",
    "[", "]", "[" * 200, "{a: " * 200, "#", "%", "---\n", "...\n", "~", ".nan", ".inf", "9" * 5000,
    "0x", "1e999", "1:30", "010", "2026-13-45", "0000-01-01", "9999-12-31T23:59:59Z", "<<: ", "=",
    "-->", "<!--", "```", "```yaml\n", "> ", "/approve", "/reject ", "/hold", "@", "x" * 3000, "$(",
)  # fmt: skip

WRONG: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 5, 2**63, 2**70, 1.5, float("nan"), float("inf"), "", "x", "\ud800",
    "\x00", "x" * 3000, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "sha256:", [], ["x"], {},
    [[]], {"a": 5}, {"": None}, [None], {"name": "gate"},
)  # fmt: skip


def changed(text: str, number: int) -> str:
    """The text with one to four places cut, doubled, exchanged or overwritten."""
    chance = random.Random(number)
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 0, 1, 2, 8, 40)))
        other = chance.randint(0, len(text))
        new = chance.choice((*NASTY, text[other : other + 20], text[start:end] * 2))
        text = text[:start] + new + text[end:]
    return text


def changed_bytes(data: bytes, number: int) -> bytes:
    chance = random.Random(number)
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(found))
        end = start + chance.choice((0, 1, 1, 4))
        found[start:end] = chance.choice((b"", b"\x00", b"\xff" * 4, chance.randbytes(3)))
    return bytes(found)


def with_wrong(value: Any, number: int) -> Any:
    """The value with one or two of its parts replaced, taken away, or under another key."""
    chance = random.Random(number)
    made = copy.deepcopy(value)
    for _ in range(chance.randint(1, 2)):
        place, key = _any_place(made, chance)
        if place is None:
            return chance.choice(WRONG)
        how = chance.random()
        if how < 0.15:
            del place[key]
        elif how < 0.25 and isinstance(place, dict):
            place[chance.choice(("x", 5, None, "", "\ud800"))] = place.pop(key)
        else:
            place[key] = copy.deepcopy(chance.choice(WRONG))
    return made


def _any_place(value: Any, chance: random.Random) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        found = left.pop()
        keys = list(found) if isinstance(found, dict) else range(len(found))
        places += [(found, key) for key in keys]
        left += [found[key] for key in keys if isinstance(found[key], dict | list)]
    return chance.choice(places) if places else (None, None)


def or_error(parse: Callable[[], Any]) -> Any:
    """What it gives; None if it is one of the bridge's errors, which say it in a few words."""
    try:
        return parse()
    except BridgeError as error:
        said = str(error)
    assert len(said) < 20_000
    return None


# -- records ---------------------------------------------------------------------------------------

DECISION = a_decision(a_request())
OBJECTED = objections_out(
    a_request().gate.id,
    evaluate(
        replace(a_request(), policy=Policy(Approvals(Actors(users=("ann",))))), Evidence(NOON)
    ).objections,
)
RECORDS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "request": (request_out(a_request(schema={"type": "object"})), request_in),
    "decision": (decision_out(DECISION), decision_in),
    "objections": (OBJECTED, objections_in),
}


@pytest.mark.parametrize("kind", RECORDS)
@often
@given(number=numbers)
def test_a_changed_record_is_read_or_corrupt(kind: str, number: int) -> None:
    text, parse = RECORDS[kind]
    or_error(lambda: parse(changed(text, number)))


ASKED: Final = a_request(schema={"type": "object", "properties": {"n": {"type": "integer"}}})


@often
@given(number=numbers)
def test_what_is_read_as_a_request_can_be_judged_and_shown(number: int) -> None:
    """An opener may push any request with the digest that is its own."""
    record = with_wrong(plain(ASKED), number)
    request, faults = read(ApprovalRequest, record, "request") if record else (None, ["empty"])
    if faults or request is None or request.format != FORMAT:
        return
    if or_error(lambda: request_in(request_out(request))) is None:
        return
    vote = a_vote(request)
    evaluation = evaluate(request, Evidence(NOON + timedelta(minutes=2), (vote,)))
    for made in (
        headline(request),
        request_md(request),
        terminal(request, colour=False, width=80, now=NOON),
        explanation(evaluation, colour=False),
        page_text.title(request),
        page_text.body(request, "1" * 40, SITE),
        page_text.status(
            Standing(request, None, "c"), "1" * 40, SITE, evaluation, votes.Gathered()
        ),
    ):
        made.encode()


@often
@given(number=numbers)
def test_what_is_read_as_a_decision_can_be_audited(number: int) -> None:
    folder = a_request().gate.folder
    path, asked = f"{folder}/decision.yaml", f"{folder}/request.yaml"
    texts = {path: changed(decision_out(DECISION), number), asked: request_out(a_request())}
    changes = (Change("A", asked, "1" * 40), Change("A", path, "2" * 40))
    auditor = Auditor(Signatures((), ""))
    entry = Entry("c" * 40, ("p" * 40,), changes, texts, {asked: "1" * 40})
    assert list(auditor.faults_of(entry))
    assert auditor.decisions == 1


# -- what people write -----------------------------------------------------------------------------

SITE: Final = graphql.site(
    {
        "site": {
            "nameWithOwner": "acme/models", "databaseId": 1, "url": "https://github.test/acme/models",
            "defaultBranchRef": {"name": "main", "target": {"oid": "1" * 40}},
            "policy": None, "labels": {"nodes": []},
        },
        "viewer": {"databaseId": 5, "login": "approval-decider[bot]"},
    },
    (),
)  # fmt: skip

COMMENTS: Final = (
    "/approve target=prod replicas=3",
    "/approve\n```yaml\ntarget: prod\nreplicas: 3\n```\n",
    "> /approve\n\n/reject it is\ntoo low\n",
    "- [ ] /hold: wait for QA\n\n    code\n~~~\n/approve\n~~~",
    "/unhold @alice the tests are green",
    f"### Waiting\n{seal(Part.STATUS)}\n",
)
SCHEMA: Final = {
    "type": "object",
    "properties": {"target": {"type": "string"}, "replicas": {"type": "integer"}},
    "required": ["target"],
}


@often
@given(number=numbers, which=st.sampled_from(COMMENTS))
def test_a_changed_comment_is_a_command_or_none(number: int, which: str) -> None:
    body = changed(which, number)
    seal_of(body)
    command = comment_commands.read(body)
    if isinstance(command, comment_commands.Command):
        command = comment_commands.readable(command, SCHEMA)
    if isinstance(command, comment_commands.Command):
        or_error(lambda: comment_commands.given(command, SCHEMA))


@sometimes
@given(number=numbers, which=st.sampled_from(COMMENTS), where=st.sampled_from("cr"))
def test_a_page_with_a_changed_comment_is_gathered_judged_and_answered(
    number: int, which: str, where: str
) -> None:
    body = changed(which, number)
    said = comment(body) if where == "c" else review("APPROVED", body)
    asked = on_page(schema=SCHEMA)
    look = page(status(), said)
    seen = votes.shown(look, VOICES)
    assert seen
    gathered = votes.gather(asked, look, seen, look.head, VOICES)
    said_no = tuple(said_on(look, "sha256:" + "1" * 64, VOICES, ()))
    found = evaluate(asked, Evidence(NOON, gathered.votes, said=said_no))
    text = page_text.status(Standing(asked, None, "c"), "1" * 40, SITE, found, gathered)
    text.encode()


@often
@given(number=numbers)
def test_a_changed_policy_is_read_or_has_faults(number: int) -> None:
    text = (
        "gates:\n"
        "  - name: deploy\n    when: {flow: Train, artifacts: [accuracy < 0.9]}\n"
        "    via: issue\n    require: {any: [{users: [ann, bob#7]}, {each: [{teams: a/b}]}]}\n"
        "    bar: {initiator: yes, users: eve}\n    timeout: 24h\n    on_timeout: approve\n"
        "identities: {ann@corp: ann}\n"
    )
    or_error(lambda: policy_file.parse(changed(text, number)))


# -- Argo ------------------------------------------------------------------------------------------

NODE: Final = {
    "id": "a", "type": "Suspend", "phase": "Running", "displayName": "wait", "children": ["b"],
    "message": "m", "finishedAt": None, "inputs": {"parameters": [{"name": "gate", "value": "g"}]},
    "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
}  # fmt: skip
RUN: Final = {
    "metadata": {"namespace": "argo", "name": "run", "uid": "u", "resourceVersion": "1"},
    "status": {"phase": "Running", "nodes": {"a": NODE}},
}
MOVE: Final = Move("a", "g", "Succeeded", Outcome.APPROVED, "approved @1", NOON)
PACKED: Final = gzip.compress(json.dumps({"a": NODE}).encode(), mtime=0)


@often
@given(number=numbers)
def test_a_changed_workflow_is_read_or_unreadable(number: int) -> None:
    found, named = with_wrong(RUN, number), Workflow("argo", "run", "u")
    or_error(lambda: nodes.waiting(found))
    or_error(lambda: nodes.lost(found))
    or_error(lambda: nodes.ended(found, named))
    at = or_error(lambda: nodes.classify(found, named, "g"))
    if at and at.delivery is Delivery.WAITING:
        or_error(lambda: json.dumps(nodes.patch_of(found, MOVE)).encode())


@often
@given(number=numbers, how=st.sampled_from(("outside", "inside", "text")))
def test_changed_compressed_nodes_are_read_or_unreadable(number: int, how: str) -> None:
    if how == "outside":
        packed = base64.b64encode(changed_bytes(PACKED, number)).decode()
    elif how == "inside":
        inner = changed(json.dumps({"a": NODE}), number).encode("utf-8", "replace")
        packed = base64.b64encode(gzip.compress(inner)).decode()
    else:
        packed = changed(base64.b64encode(PACKED).decode(), number)
    found = or_error(lambda: compressed_nodes.unpacked(packed))
    if found is not None:
        or_error(lambda: nodes.waiting({**RUN, "status": {"compressedNodes": packed}}))


MANIFEST: Final = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "w", "annotations": {"approval-bridge/b": "message: Go?\napprovers: ann"}},
    "spec": {
        "entrypoint": "m",
        "templates": [
            {
                "name": "m",
                "dag": {
                    "tasks": [
                        {"name": "a", "template": "t"},
                        {"name": "b", "template": "t", "depends": "a", "when": "x"},
                    ]
                },
            },
            {"name": "t", "container": {"image": "i"}},
        ],
    },
}


@sometimes
@given(number=numbers, as_text=st.booleans())
def test_a_changed_manifest_is_injected_or_has_faults(number: int, as_text: bool) -> None:
    if as_text:
        text = changed(yaml.safe_dump(MANIFEST), number)
    else:
        text = yaml.safe_dump(with_wrong(MANIFEST, number))
    or_error(lambda: injected(text, "wf.yaml", PODS))


# -- signatures ------------------------------------------------------------------------------------

NAMESPACE: Final = "file"
KEY: Final = security_key()
SIGNED: Final = signed_by_security_key(b"hello", NAMESPACE, KEY).armored()


@often
@given(number=numbers, inside=st.booleans())
def test_a_changed_signature_is_bad(number: int, inside: bool) -> None:
    head, *lines, tail = SIGNED.strip().split("\n")
    text = changed(SIGNED, number)
    if inside:
        raw = changed_bytes(base64.b64decode("".join(lines)), number)
        text = "\n".join((head, base64.b64encode(raw).decode(), tail, ""))
    found = or_error(lambda: sshsig.verify(b"hello", text, [KEY], NAMESPACE))
    assert found is None or sshsig.parse(text).raw == sshsig.parse(SIGNED).raw


@often
@given(number=numbers)
def test_changed_public_keys_are_read_or_have_faults(number: int) -> None:
    old = DecisionKey(replace(KEY, comment="2026"), ("1" * 40, "2" * 40))
    text = f"# ours\n{DecisionKey(KEY).line}\n{old.line}\n"
    or_error(lambda: parse_keys(changed(text, number), "the keys"))


# -- git -------------------------------------------------------------------------------------------


@often
@given(number=numbers)
def test_a_changed_folder_of_git_is_read_or_corrupt(number: int) -> None:
    tree = b"".join(b"100644 %d.yaml\x00%s" % (n, bytes([n]) * 20) for n in range(4))
    try:
        found = read_tree(changed_bytes(tree, number))
    except LedgerCorrupt:
        return
    assert all(len(each.sha) == 40 for each in found.values())


@often
@given(number=numbers)
def test_a_changed_commit_is_a_gate_or_none(number: int) -> None:
    said = request_message(a_request(), headline(a_request()))
    commit = changed(
        f"tree {'1' * 40}\nparent {'2' * 40}\nauthor A <a@b> 1 +0000\n\n{said}", number
    )
    or_error(lambda: open_gate("0" * 12, "1" * 40, commit))
    recorded("1" * 40, commit)


# -- GitHub ----------------------------------------------------------------------------------------

WRITER: Final = {"__typename": "User", "databaseId": 1, "login": "alice"}
TEXT: Final = {
    "id": "C1", "author": WRITER, "body": "/approve", "createdAt": "2026-03-01T12:00:00Z",
    "url": "u", "lastEditedAt": None, "editor": None, "reactionGroups": None,
}  # fmt: skip
PULL: Final = {
    "__typename": "PullRequest", "id": "P", "number": 7, "url": "u", "state": "OPEN", "title": "t",
    "body": "b", "author": WRITER, "createdAt": "2026-03-01T12:00:00Z",
    "headRepository": {"nameWithOwner": "acme/models"}, "headRefName": "gate/0",
    "headRefOid": "1" * 40, "baseRefName": "approvals", "headRef": {},
    "userContentEdits": {"nodes": [{"editor": WRITER, "editedAt": "2026-03-01T12:00:00Z"}]},
    "comments": {"nodes": [TEXT]}, "labels": {"nodes": [{"name": "gate:pending"}]},
    "locked": False,
    "reviews": {"nodes": [{**TEXT, "state": "APPROVED", "submittedAt": "2026-03-01T12:00:00Z",
                           "commit": {"oid": "1" * 40}}]},
    "timelineItems": {"nodes": [{"__typename": "ClosedEvent", "actor": WRITER, "closer": None,
                                 "createdAt": "2026-03-01T12:00:00Z"}]},
}  # fmt: skip


@often
@given(number=numbers)
def test_a_changed_answer_of_github_is_a_page_or_what_the_client_calls_unreadable(
    number: int,
) -> None:
    graphql.page(PULL)
    try:
        graphql.page(with_wrong(PULL, number))
    except (KeyError, TypeError, ValueError, AttributeError):
        return  # as `_understood` of the client takes it


CLAIMS: Final = {
    "iss": "https://token.actions.githubusercontent.com", "aud": "a", "repository_id": "1",
    "run_id": "2", "run_attempt": "1", "workflow_ref": "acme/models/.github/workflows/d.yml@refs/x",
    "ref": "refs/heads/main", "sha": "1" * 40, "event_name": "push", "actor": "ann",
    "actor_id": "3", "iat": 1_700_000_000, "nbf": 1_700_000_000,
}  # fmt: skip


@often
@given(number=numbers)
def test_changed_claims_of_a_run_are_read_or_have_faults(number: int) -> None:
    or_error(lambda: oidc.read_claims(with_wrong(CLAIMS, number)))
