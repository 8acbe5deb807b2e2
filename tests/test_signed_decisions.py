"""With keys given, a record without a good signature is no decision (docs/decisions/0004)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.core import ed25519, sshsig
from bridge.core.comparison import path_of
from bridge.core.decision_keys import (
    DecisionKey,
    NotSigned,
    objections_statement_of,
    statement_of,
)
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, GateShut, LostRequest, Refused
from bridge.core.evaluation import (
    Actor,
    Decider,
    Lifted,
    Lifting,
    Objection,
    Outcome,
    Verdict,
)
from bridge.core.facts import About, Fact, Source
from bridge.core.model import (
    ApprovalRequest,
    Baselines,
    Decision,
    Kind,
    Place,
    PlaceKind,
    on_github,
)
from bridge.core.records import (
    baselines_out,
    decision_in,
    decision_out,
    objections_out,
    request_out,
)
from bridge.core.rules import Actors, Approvals, Bars, Policy
from bridge.core.shards import FIRST
from bridge.core.sshsig import DECISION_NAMESPACE, OBJECTIONS_NAMESPACE, VOTE_NAMESPACE
from bridge.gates.audit import audit
from bridge.gates.verify import verify
from bridge.ledger.git_ledger import GitLedger, create
from bridge.local.signing import SigningKey, signing_key
from tests import ledgers
from tests.ledgers import LEDGER, a_request, decided, git, opened
from tests.readers import whole_ledger
from tests.ssh_keys import private_text
from tests.test_git_ledger import put

KEY = signing_key(private_text())
BEFORE = signing_key(private_text(bytes(32)))
ASKERS = signing_key(private_text(b"\7" * 32))
MODELS = Place(PlaceKind.GITHUB, "github.com", "acme/models", 1296269)
FOLDER = a_request().gate.folder
ANN = Actor("Ann", login="ann", id=7, proven=True)
#: On GitHub, whoever started the run or opened the page is barred unless the policy says otherwise.
ANYONE = Policy(Approvals(Actors(anyone=True)), timeout=3600, bars=Bars(False, False))


def a_decision(request: ApprovalRequest, **changed: Any) -> Decision:
    return ledgers.a_decision(request, ANN, **changed)


def a_rejection(request: ApprovalRequest) -> Decision:
    return ledgers.a_rejection(request, ANN)


class Signed:
    """A ledger whose decider signs, and its readers, who have the decider's public key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.git"
        create(self.path)
        self.decider = self.deciding()

    def deciding(self, key: SigningKey = KEY) -> GitLedger:
        return GitLedger(str(self.path), self.folder / "decider", signature=key.sign)

    def reader(self, *keys: DecisionKey) -> GitLedger:
        return GitLedger(
            str(self.path), self.folder / "reader", keys=keys or (DecisionKey(KEY.public),)
        )

    def open(self, key: str = "Flow/1/gate/3", **changed: Any) -> ApprovalRequest:
        return opened(self.decider, key, **{"venue": MODELS, "policy": ANYONE} | changed)

    def decide(
        self, key: str = "Flow/1/gate/3", by: SigningKey = KEY, **changed: Any
    ) -> ApprovalRequest:
        request = self.open(key, **changed)
        self.deciding(by).record(a_decision(request))
        return request

    def file(self, name: str, request: ApprovalRequest | None = None) -> str:
        folder = request.gate.folder if request else FOLDER
        return git(self.path, "cat-file", "blob", f"{LEDGER}:{folder}/{name}") + "\n"

    def put(self, **files: str) -> str:
        named = {name.replace("__", ".").replace("_sig", ".sig"): files[name] for name in files}
        return put(self.path, LEDGER, {f"{FOLDER}/{name}": named[name] for name in named})

    def recorded(self, request: ApprovalRequest, *keys: DecisionKey) -> Decision | None:
        found = self.reader(*keys).read(request.gate.id)
        assert found
        return found.decision

    def refusal(self, request: ApprovalRequest, *keys: DecisionKey) -> str:
        """What every reader says: the gated step, and the audit."""
        with pytest.raises(GateShut) as shut:
            verify(self.reader(*keys), request.draft, MODELS)
        said = str(shut.value).removeprefix(f"{request.gate.key} does not run: ")
        faults = audit(self.reader(*keys), keys=keys or (DecisionKey(KEY.public),)).faults
        assert faults
        return said


@pytest.fixture
def at(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


@pytest.fixture(params=["cryptography", "our own"])
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "our own":
        monkeypatch.setattr(sshsig, "verifier", lambda: ed25519.verify)
    return str(request.param)


# -- what the decider records ----------------------------------------------------------------------


def expired(request: ApprovalRequest) -> Decision:
    return a_decision(
        request,
        outcome=Outcome.EXPIRED,
        by=Decider.CLOCK,
        considered=(),
        decided_at=request.opened_at + timedelta(hours=2),
    )


def withdrawn(request: ApprovalRequest) -> Decision:
    return a_decision(request, outcome=Outcome.WITHDRAWN, by=Decider.RUN, considered=())


@pytest.mark.usefixtures("verifier")
@pytest.mark.parametrize("decision", [a_decision, a_rejection, expired, withdrawn])
def test_every_decision_is_recorded_with_its_signature_in_the_same_commit(
    at: Signed, decision: Callable[[ApprovalRequest], Decision]
) -> None:
    request = at.open()
    made = decision(request)
    at.decider.record(made)
    read = at.recorded(request)
    assert read
    assert read.outcome is made.outcome
    changed = git(at.path, "diff", "--name-only", f"{LEDGER}^1", LEDGER).splitlines()
    assert {f"{FOLDER}/decision.yaml", f"{FOLDER}/decision.yaml.sig"} <= set(changed)
    assert audit(at.reader(), keys=[DecisionKey(KEY.public)]).faults == ()


def test_without_keys_a_signature_asks_nothing_of_a_reader(at: Signed) -> None:
    request = at.decide()
    plain = GitLedger(str(at.path), at.folder / "reader")
    assert verify(plain, request.draft, MODELS)
    assert audit(plain).faults == ()


def test_a_gate_that_names_no_repository_by_number_is_not_signed_and_not_recorded(
    at: Signed,
) -> None:
    for key, venue in (("of a name", on_github("acme/models")), ("of a laptop", None)):
        request = opened(at.decider, key, **({"venue": venue} if venue else {}))
        with pytest.raises(Faults, match="can't be signed"):
            at.decider.record(a_decision(request))
        found = at.decider.read(request.gate.id)
        assert found
        assert found.decision is None


def test_whoever_has_the_keys_and_signs_nothing_records_nothing(at: Signed) -> None:
    request = at.open()
    with pytest.raises(Refused, match="nothing signs here: Flow/1/gate/3 stays open"):
        at.reader().record(a_decision(request))
    assert at.recorded(request) is None


# -- what a reader refuses -------------------------------------------------------------------------


def test_a_decision_forged_by_a_push_is_none(at: Signed) -> None:
    request = at.open()
    at.put(request__yaml=request_out(request), decision__yaml=decision_out(a_decision(request)))
    said = at.refusal(request)
    assert said.startswith("the decision of Flow/1/gate/3 (gate ")
    assert f"isn't signed; expected a signature by {KEY.public.fingerprint}. Compare" in said


def test_a_decision_whose_signature_was_stripped_is_none(at: Signed) -> None:
    request = at.decide()
    git(at.path, "update-ref", LEDGER, without(at, "decision.yaml.sig"))
    assert "isn't signed" in at.refusal(request)


def without(at: Signed, name: str) -> str:
    env = {"GIT_INDEX_FILE": str(at.path / "hand-index"), "GIT_WORK_TREE": str(at.path)}
    git(at.path, "read-tree", LEDGER, env=env)
    git(at.path, "update-index", "--force-remove", f"{FOLDER}/{name}", env=env)
    tree = git(at.path, "write-tree", env=env)
    return git(at.path, "commit-tree", tree, "-p", LEDGER, "-m", "by hand")


def test_a_rejection_edited_into_an_approval_is_none(at: Signed) -> None:
    request = at.open()
    at.decider.record(a_rejection(request))
    approved = replace(a_decision(request), previous=previous(at))
    at.put(decision__yaml=decision_out(approved))
    assert "is of other content, or was changed itself" in at.refusal(request)


def previous(at: Signed) -> str | None:
    return decision_in(at.file("decision.yaml")).previous


@pytest.mark.parametrize("changed", ["gate", "request", "outcome", "server", "repository"])
def test_a_signature_copied_from_another_decision_does_not_count(at: Signed, changed: str) -> None:
    request = at.decide()
    text = at.file("decision.yaml")
    other = {
        "gate": at.open("Flow/2/gate/3"),
        "request": replace(request, message="Deploy another?"),
        "server": replace(request, venue=replace(MODELS, server="github.acme.com")),
        "repository": replace(request, venue=replace(MODELS, repository_id=7)),
    }.get(changed, request)
    outcome = Outcome.REJECTED if changed == "outcome" else Outcome.APPROVED
    about = statement_of(other, replace(a_decision(other), outcome=outcome), text)
    at.put(decision__yaml_sig=KEY.sign(about, DECISION_NAMESPACE))
    assert "is of other content, or was changed itself" in at.refusal(request)


def test_a_signature_of_a_vote_is_none_of_a_decision(at: Signed) -> None:
    request = at.decide()
    about = statement_of(request, a_decision(request), at.file("decision.yaml"))
    at.put(decision__yaml_sig=KEY.sign(about, VOTE_NAMESPACE))
    assert f"made for `{VOTE_NAMESPACE}`, not for `{DECISION_NAMESPACE}`" in at.refusal(request)


@pytest.mark.usefixtures("verifier")
def test_a_key_of_the_askers_own_is_not_the_deciders(at: Signed) -> None:
    said = at.refusal(at.decide(by=ASKERS))
    assert f"the signature is by {ASKERS.public.fingerprint}, which isn't an allowed key" in said
    assert f"expected a signature by {KEY.public.fingerprint}" in said


def test_an_older_decision_of_the_same_gate_is_no_approval_of_what_is_asked_now(
    at: Signed,
) -> None:
    older = at.decide()
    files = {name: at.file(name) for name in ("request.yaml", "decision.yaml", "decision.yaml.sig")}
    git(at.path, "update-ref", LEDGER, f"{LEDGER}^1")
    newer = at.open(message="Deploy something else?")
    put(at.path, LEDGER, {f"{FOLDER}/{name}": text for name, text in files.items()})
    assert at.recorded(older)  # it is a decision, of the request beside it
    with pytest.raises(GateShut, match="what was approved is not what is here now"):
        verify(at.reader(), newer.draft, MODELS)


def test_a_decision_of_a_laptop_is_none_for_a_reader_with_keys(at: Signed) -> None:
    plain = GitLedger(str(at.path), at.folder / "laptop")
    request = decided(plain).request
    with pytest.raises(NotSigned, match="isn't signed"):
        at.recorded(request)
    at.put(decision__yaml_sig=KEY.sign(b"anything", DECISION_NAMESPACE))
    with pytest.raises(NotSigned, match="it is decided on a machine"):
        at.recorded(request)


def test_what_is_no_signature_at_all_is_refused_in_a_sentence(at: Signed) -> None:
    request = at.decide()
    at.put(decision__yaml_sig="A" * 100_000)
    assert "it has 100,000 characters; the most is 4,096" in at.refusal(request)


def test_one_forged_record_hides_no_other_gate(at: Signed) -> None:
    good = at.decide("Flow/2/gate/3")
    forged = at.decide(by=ASKERS)
    reader, both = at.reader(), [good.gate.id, forged.gate.id]
    assert set(reader.decided(both)) == set(reader.read_all(both)) == {good.gate.id}


# -- a key that is retired -------------------------------------------------------------------------


def test_a_retired_key_holds_up_to_the_commit_that_the_reader_pins(at: Signed) -> None:
    early = at.decide(by=BEFORE)
    pinned = git(at.path, "rev-parse", LEDGER)
    late = at.decide("Flow/2/gate/3", by=BEFORE)
    current = at.decide("Flow/3/gate/3")
    keys = (DecisionKey(KEY.public), DecisionKey(BEFORE.public, (pinned,)))
    assert at.recorded(early, *keys)
    assert at.recorded(current, *keys)
    said = at.refusal(late, *keys)
    assert f"{BEFORE.public.fingerprint} is retired, and the ledger doesn't have this" in said
    assert len(audit(at.reader(*keys), keys=keys).faults) == 1


def test_what_a_retired_key_signed_in_time_may_not_change_afterwards(at: Signed) -> None:
    request = at.open()
    at.deciding(BEFORE).record(a_rejection(request))
    pinned = git(at.path, "rev-parse", LEDGER)
    text = decision_out(replace(a_decision(request), previous=previous(at)))
    about = statement_of(request, a_decision(request), text)
    at.put(decision__yaml=text, decision__yaml_sig=BEFORE.sign(about, DECISION_NAMESPACE))
    assert "is retired" in at.refusal(request, DecisionKey(BEFORE.public, (pinned,)))


def test_a_pinned_commit_that_the_ledger_lacks_lets_nothing_pass(at: Signed) -> None:
    request = at.decide(by=BEFORE)
    lost = DecisionKey(BEFORE.public, ("1" * 40,))
    with pytest.raises(NotSigned, match=r"isn't in .*: take it from `git log`"):
        at.recorded(request, lost)
    late, missing = audit(at.reader(lost), keys=[lost]).faults
    assert "is retired" in late
    assert f"names commit {'1' * 40}, which isn't in" in missing


# -- a ledger that is older than its keys ----------------------------------------------------------


def unsigned(at: Signed) -> GitLedger:
    return GitLedger(str(at.path), at.folder / "before")


def test_what_the_ledger_held_before_its_first_key_counts_and_nothing_later(at: Signed) -> None:
    early, edited = at.open(), at.open("Flow/2/gate/3")
    unsigned(at).hold(early.gate.id, (lifted(a_hold(early)),), (STARTED,))
    whole = {"objections": (lifted(a_hold(early)),), "facts": (STARTED,)}
    unsigned(at).record(a_decision(early, **whole))
    unsigned(at).record(a_rejection(edited))
    pinned = git(at.path, "rev-parse", LEDGER)
    late = at.open("Flow/3/gate/3")
    keys = [DecisionKey(KEY.public, unsigned_until=(pinned,))]
    assert at.recorded(early, *keys)
    assert held(at, at.reader(*keys)) == ((lifted(a_hold(early)),), (STARTED,))
    assert audit(at.reader(*keys), keys=keys).faults == ()
    unsigned(at).record(a_decision(late))
    assert f"isn't signed, and the ledger doesn't have it at commit {pinned}" in at.refusal(
        late, *keys
    )
    signed = at.decide("Flow/4/gate/3")
    assert at.recorded(signed, *keys)
    forged = {f"{edited.gate.folder}/decision.yaml": decision_out(a_decision(edited))}
    put(at.path, LEDGER, forged)
    assert "isn't signed, and the ledger doesn't have it" in at.refusal(edited, *keys)
    with pytest.raises(NotSigned, match="isn't signed; expected"):
        at.recorded(early)


def test_objections_from_before_the_first_key_lift_until_somebody_edits_them(at: Signed) -> None:
    request = at.open()
    unsigned(at).hold(request.gate.id, (lifted(a_hold(request)),), (STARTED,))
    first = git(at.path, "rev-parse", LEDGER)
    keys = [DecisionKey(KEY.public, unsigned_until=(first,))]
    assert held(at, at.reader(*keys)) == ((lifted(a_hold(request)),), (STARTED,))
    assert audit(at.reader(*keys), keys=keys).faults == ()
    put_objections(at, objections_out(request.gate.id, (lifted(a_hold(request)),), ()))
    assert held(at, at.reader(*keys)) == ((a_hold(request),), ())
    assert len(audit(at.reader(*keys), keys=keys).faults) == 2  # a proof is gone, and unsigned


def test_a_pinned_first_commit_that_the_ledger_lacks_lets_nothing_pass(at: Signed) -> None:
    request = at.open()
    unsigned(at).record(a_decision(request))
    lost = DecisionKey(KEY.public, unsigned_until=("1" * 40,))
    with pytest.raises(NotSigned, match=r"isn't in .*: take it from `git log`"):
        at.recorded(request, lost)
    late, missing = audit(at.reader(lost), keys=[lost]).faults
    assert "isn't signed" in late
    assert f"names commit {'1' * 40}, which isn't in" in missing


# -- a ledger of several branches ------------------------------------------------------------------

YEAR = f"{FIRST}-2027"


def with_a_new_year(at: Signed) -> str:
    """Begins the branch of another year; the head of the first one."""
    head = git(at.path, "rev-parse", LEDGER)
    put(
        at.path,
        f"refs/heads/{YEAR}",
        {"README.md": "2027"},
        f"It begins\n\nFollows: {FIRST} {head}",
    )
    return head


def head_of_the_year(at: Signed) -> str:
    return git(at.path, "rev-parse", f"refs/heads/{YEAR}")


def test_a_retired_key_holds_on_each_branch_up_to_a_commit_of_its_own(at: Signed) -> None:
    old = at.decide("Flow/1/gate/3", BEFORE)
    first = with_a_new_year(at)
    new = at.decide("Flow/2/gate/3", BEFORE, shard=YEAR)
    second = head_of_the_year(at)
    keys = (DecisionKey(KEY.public), DecisionKey(BEFORE.public, (first, second)))
    assert at.recorded(old, *keys)
    assert at.recorded(new, *keys)
    sound = audit(at.reader(*keys), keys=keys)
    assert sound.faults == ()
    late = [at.decide("Flow/3/gate/3", BEFORE), at.decide("Flow/4/gate/3", BEFORE, shard=YEAR)]
    assert all("is retired" in at.refusal(each, *keys) for each in late)
    assert len(audit(at.reader(*keys), keys=keys).faults) == 2
    assert len(audit(at.reader(*keys), keys=keys, earlier=[sound.witness]).faults) == 2


@pytest.mark.parametrize("pins", ["the older branch", "the newer branch"])
def test_a_commit_of_one_branch_lets_a_retired_key_sign_nothing_on_another(
    at: Signed, pins: str
) -> None:
    at.decide("Flow/0/gate/3")
    first = with_a_new_year(at)
    at.decide("Flow/1/gate/3", shard=YEAR)
    older = pins == "the older branch"
    keys = (
        DecisionKey(KEY.public),
        DecisionKey(BEFORE.public, (first if older else head_of_the_year(at),)),
    )
    late = at.decide("Flow/2/gate/3", BEFORE, shard=YEAR if older else FIRST)
    assert "is retired" in at.refusal(late, *keys)
    [fault] = audit(at.reader(*keys), keys=keys).faults
    assert "is retired" in fault


def test_what_is_unsigned_on_each_branch_counts_up_to_a_commit_of_its_own(at: Signed) -> None:
    old = at.open("Flow/1/gate/3")
    unsigned(at).record(a_decision(old))
    first = with_a_new_year(at)
    new = at.open("Flow/2/gate/3", shard=YEAR)
    unsigned(at).record(a_decision(new))
    keys = (DecisionKey(KEY.public, unsigned_until=(first, head_of_the_year(at))),)
    assert at.recorded(old, *keys)
    assert at.recorded(new, *keys)
    assert audit(at.reader(*keys), keys=keys).faults == ()
    late = at.open("Flow/3/gate/3")
    unsigned(at).record(a_decision(late))
    assert "isn't signed" in at.refusal(late, *keys)
    assert len(audit(at.reader(*keys), keys=keys).faults) == 1


# -- the audit -------------------------------------------------------------------------------------


def test_an_audit_takes_what_was_recorded_under_a_former_name_and_nothing_of_another_repository(
    at: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.decide("Flow/2/gate/3")
    renamed = at.open(venue=replace(MODELS, repository="acme/ml-models"))
    reader, keys = at.reader(), [DecisionKey(KEY.public)]
    address = property(lambda _: "https://github.com/acme/ml-models.git")
    monkeypatch.setattr(GitLedger, "where", address)
    [fault] = audit(reader, keys=keys).faults
    assert "it was made in github:acme/models on github.com" in fault
    at.decider.record(a_decision(renamed))
    assert audit(reader, keys=keys).faults == ()
    sandbox = Place(PlaceKind.GITHUB, "github.com", "acme/sandbox", 7)
    at.decider.record(a_decision(at.open("Flow/9/gate/3", venue=sandbox)))
    [fault] = audit(reader, keys=keys).faults
    assert "it was made in github:acme/sandbox on github.com" in fault


# -- what the next gate is compared with -----------------------------------------------------------


def test_a_flattering_comparison_that_was_pushed_is_not_believed(at: Signed) -> None:
    kind = Kind("Flow", "gate")
    first = at.open(kind=kind)
    at.decider.record(a_decision(first))
    next_one = replace(first, gate=replace(first.gate, key="Flow/2/gate/3"))
    [honest] = at.reader().baselines(next_one)
    path = path_of(next_one)
    assert path
    worse = replace(honest, artifacts=(replace(honest.artifacts[0], value="0.10"),))
    never = replace(honest, gate="0" * 16)
    rejected = at.open("Flow/3/gate/3", kind=kind)
    at.decider.record(a_rejection(rejected))
    no = replace(honest, gate=rejected.gate.id, key=rejected.gate.key)
    for forged in (worse, never, no, replace(honest, gate="a")):
        text = baselines_out(Baselines(kind, (forged, honest)))
        put(at.path, LEDGER, {path: text, "gates/a/a/note": "the way to a gate that is called a"})
        assert at.reader().baselines(next_one) == (honest,)
        plain = GitLedger(str(at.path), at.folder / "plain")
        assert forged in plain.baselines(next_one)  # who has no keys can't tell


# -- objections ------------------------------------------------------------------------------------

CAT = Actor("Cat", login="cat", id=3, proven=True)
STARTED = Fact(About.INITIATOR, "@bob#2", Source.OIDC, proven=True)
OBJECTED = "objections.yaml"


def a_hold(request: ApprovalRequest, minutes: int = 1) -> Objection:
    at = request.opened_at + timedelta(minutes=minutes)
    return Objection(CAT, Verdict.HOLD, at, digest_of(request), "wait", f"https://x.test/{minutes}")


def lifted(objection: Objection) -> Objection:
    how = Lifting(ANN, Lifted.UNHOLD, objection.at + timedelta(minutes=1), "the tests are green")
    return replace(objection, lifted=how)


def held(at: Signed, reader: GitLedger | None = None) -> tuple[tuple[Objection, ...], object]:
    """What somebody who has the keys believes of the gate's objections and proofs."""
    found = (reader or at.reader()).read(a_request().gate.id)
    assert found
    return found.objections, found.facts


def put_objections(at: Signed, text: str, signature: str | None = None) -> None:
    files = {f"{FOLDER}/{OBJECTED}": text}
    if signature is not None:
        files[f"{FOLDER}/{OBJECTED}.sig"] = signature
    put(at.path, LEDGER, files)


@pytest.mark.usefixtures("verifier")
def test_the_decider_signs_each_list_of_objections_that_it_writes(at: Signed) -> None:
    request = at.open()
    for whole in ((a_hold(request),), (lifted(a_hold(request)), a_hold(request, 5))):
        at.decider.hold(request.gate.id, whole, (STARTED,))
        assert held(at) == (whole, (STARTED,))
    at.decider.hold(request.gate.id, (lifted(a_hold(request, 5)),))
    whole, _ = held(at)
    assert all(each.lifted for each in whole)
    at.decider.record(a_decision(request, objections=whole, facts=(STARTED,)))
    assert at.recorded(request)
    assert held(at) == (whole, (STARTED,))
    assert audit(at.reader(), keys=[DecisionKey(KEY.public)]).faults == ()


def test_a_lift_and_a_proof_that_nobody_signed_count_for_nothing_and_the_hold_holds(
    at: Signed,
) -> None:
    request = at.open()
    forged = objections_out(request.gate.id, (lifted(a_hold(request)),), (STARTED,))
    by_asker = ASKERS.sign(objections_statement_of(request, forged), OBJECTIONS_NAMESPACE)
    other = objections_statement_of(
        replace(request, venue=replace(MODELS, repository_id=7)), forged
    )
    of_another_repository = KEY.sign(other, OBJECTIONS_NAMESPACE)
    as_a_decision = KEY.sign(objections_statement_of(request, forged), DECISION_NAMESPACE)
    for signature in (None, "", by_asker, of_another_repository, as_a_decision):
        put_objections(at, forged, signature)
        assert held(at) == ((a_hold(request),), ())
        plain = GitLedger(str(at.path), at.folder / "plain")  # who has no keys can't tell
        assert held(at, plain) == ((lifted(a_hold(request)),), (STARTED,))


def test_the_signature_of_an_earlier_list_does_not_lift_what_was_added(at: Signed) -> None:
    request = at.open()
    at.decider.hold(request.gate.id, (lifted(a_hold(request)),))
    both = (lifted(a_hold(request)), lifted(a_hold(request, 5)))
    put_objections(at, objections_out(request.gate.id, both))
    assert held(at) == ((a_hold(request), a_hold(request, 5)), ())


def test_the_decider_goes_on_from_what_it_believes_and_an_audit_names_the_forgery(
    at: Signed,
) -> None:
    request, keys = at.open(), [DecisionKey(KEY.public)]
    put_objections(at, objections_out(request.gate.id, (lifted(a_hold(request)),)))
    forged = git(at.path, "rev-parse", LEDGER)[:12]
    [fault] = audit(at.reader(), keys=keys).faults
    assert f"{OBJECTED} of commit {forged} isn't signed by one of HITL_KEYS" in fault
    decider = GitLedger(
        str(at.path), at.folder / "strict", signature=KEY.sign, keys=[DecisionKey(KEY.public)]
    )
    with pytest.raises(LostRequest, match="someone objected"):
        decider.record(a_decision(request))
    decider.hold(request.gate.id, (lifted(a_hold(request)),))  # as the page says now
    decider.record(a_decision(request, objections=(lifted(a_hold(request)),)))
    assert at.recorded(request)
    [fault] = audit(at.reader(), keys=keys).faults
    assert forged in fault


def test_whoever_has_the_keys_and_signs_nothing_records_no_objection(at: Signed) -> None:
    request = at.open()
    with pytest.raises(Refused, match="nothing signs here"):
        at.reader().hold(request.gate.id, (a_hold(request),))


def test_a_no_is_recorded_of_a_gate_that_can_not_be_signed(at: Signed) -> None:
    request = at.open(venue=on_github("acme/models"))
    at.decider.hold(request.gate.id, (a_hold(request),))
    assert held(at) == ((a_hold(request),), ())


def test_objections_of_a_retired_key_lift_if_the_ledger_had_them_in_time(at: Signed) -> None:
    request = at.open()
    at.deciding(BEFORE).hold(request.gate.id, (lifted(a_hold(request)),))
    now = DecisionKey(KEY.public)
    in_time, too_late = (
        at.reader(now, DecisionKey(BEFORE.public, (git(at.path, "rev-parse", commit),)))
        for commit in (LEDGER, f"{LEDGER}^1")
    )
    assert held(at, in_time) == ((lifted(a_hold(request)),), ())
    assert held(at, too_late) == ((a_hold(request),), ())


# -- without the bridge ----------------------------------------------------------------------------


def test_every_digest_and_signature_is_checked_by_a_script_without_the_bridge(at: Signed) -> None:
    """`docs/ledger.md` alone is enough."""
    at.decide("first")
    objected = at.open("second")
    said = Objection(ANN, Verdict.HOLD, objected.opened_at, digest_of(objected), "wait")
    at.decider.hold(objected.gate.id, (said,))
    at.deciding().record(replace(a_rejection(objected), objections=(said,)))
    assert whole_ledger.faults(at.path, KEY.public.line) == (2, [])
    at.decide("third", ASKERS)
    count, (fault,) = whole_ledger.faults(at.path, KEY.public.line)
    assert count == 3
    assert fault.endswith("it is not signed by the key")
