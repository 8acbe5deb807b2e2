"""Who says what of a run, and where a gate is decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core.facts import About, Fact, Source, fact_of, in_words, started_by, weighed
from bridge.core.model import (
    HERE,
    Place,
    PlaceKind,
    is_asked_file,
    is_gate_file,
    on_github,
)
from bridge.core.picture import Picture
from tests.ledgers import a_request


def test_a_claim_says_whose_word_it_is() -> None:
    (claim,) = started_by("ann")
    assert in_words(claim) == "ann, as the run says"


def test_a_proof_says_what_proves_it_and_an_account_is_called_by_its_login() -> None:
    proof = Fact(About.INITIATOR, "@ann#583231", Source.OPENER, proven=True)
    assert in_words(proof) == "ann, proven by the account that opened the page"


@pytest.mark.parametrize("source", Source)
def test_no_claim_reads_as_a_proof(source: Source) -> None:
    claim = Fact(About.INITIATOR, "ann", source)
    assert in_words(claim) != "ann"
    assert "proven by" not in in_words(claim)
    assert "proven by" in in_words(replace(claim, proven=True, source=Source.OIDC))


def test_nobody_is_named_if_nobody_says_who_started_the_run() -> None:
    assert a_request(facts=started_by(None)).initiator is None


def test_a_proof_is_taken_before_a_claim() -> None:
    claim = Fact(About.INITIATOR, "bob", Source.RUN)
    proof = Fact(About.INITIATOR, "ann", Source.OIDC, proven=True)
    assert fact_of(weighed((proof,), (claim,)), About.INITIATOR) == proof


def test_what_a_request_says_of_itself_is_a_claim_also_if_it_says_proven() -> None:
    forged = Fact(About.INITIATOR, "bob", Source.OIDC, proven=True)
    assert a_request(facts=(forged,)).fact(About.INITIATOR) == replace(forged, proven=False)
    assert not any(each.proven for each in weighed((), (forged,)))


def test_a_claim_that_the_decider_was_told_is_no_proof() -> None:
    claim = Fact(About.INITIATOR, "bob", Source.RUN)
    assert weighed((claim,), ()) == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HERE, HERE, True),
        (HERE, on_github("acme/models"), False),
        (on_github("ACME/Models"), on_github("acme/models"), True),
        (on_github("acme/models"), on_github("acme/others"), False),
        (on_github("acme/models"), on_github("acme/models", "github.acme.com"), False),
    ],
)
def test_one_repository_has_one_name_whatever_its_case(
    one: Place, other: Place, same: bool
) -> None:
    assert one.same(other) is other.same(one) is same


def test_a_renamed_repository_is_the_same_one_and_its_old_name_is_not() -> None:
    old, new = on_github("acme/models"), on_github("acme/ml-models")
    assert replace(old, repository_id=7).same(replace(new, repository_id=7))
    assert not replace(old, repository_id=7).same(replace(old, repository_id=8))


def test_a_place_that_is_neither_here_nor_in_a_repository_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="missing"):
        Place(PlaceKind.GITHUB, "github.com")
    with pytest.raises(ValueError, match="no repository"):
        Place(PlaceKind.LOCAL, repository="acme/models")


@pytest.mark.parametrize("name", ["figure-0.png", "figure-100.png", "../figure-1.png", "a.png", ""])
def test_a_picture_has_a_fixed_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not called"):
        Picture(name, "0" * 64)
    assert not is_gate_file(name)


def test_a_gates_branch_brings_no_decision_signature_or_objection() -> None:
    for name in ("decision.yaml", "decision.yaml.sig", "objections.yaml"):
        assert is_gate_file(name)
        assert not is_asked_file(name)
