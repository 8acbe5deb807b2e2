"""Who is at this machine, as far as git can tell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bridge.core.evaluation import Actor
from bridge.core.model import on_github
from bridge.core.rules import Actors, AllOf, AnyOf, Approvals, Policy
from bridge.local.identity import person
from bridge.policy.approvers import refusal, same_person
from tests.gates import a_request

ANN = Actor("Ann", "ann@example.org", "ann")


def test_a_person_is_who_git_would_name_and_never_proven(hermetic: Path) -> None:
    found = person()
    assert (found.name, found.email, found.proven) == ("Ann", "ann@example.org", False)


def test_without_a_name_in_git_it_is_the_login_at_this_host(
    hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hermetic / ".gitconfig").write_text("")
    monkeypatch.setenv("LOGNAME", "deployer")
    found = person()
    assert (found.name, found.login) == ("deployer", "deployer")
    assert (found.email or "").startswith("deployer@")


def test_a_login_in_another_encoding_can_be_recorded(
    hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hermetic / ".gitconfig").write_text("")
    monkeypatch.setenv("LOGNAME", os.fsdecode(b"J\xf6rg"))
    found = person()
    assert (found.name, found.login) == ("J\ufffdrg", "J\ufffdrg")
    assert (found.email or "").isprintable()


def test_without_git_there_is_still_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("LOGNAME", "deployer")
    assert person().name == "deployer"


def test_teams_are_claimed_in_git(hermetic: Path) -> None:
    for team in ("ml-team", "ops", "ml-team"):
        subprocess.run(["git", "config", "--global", "--add", "hitl.team", team], check=True)
    assert person().teams == ("ml-team", "ops")


def test_a_project_may_know_the_person_by_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "config", "user.email", "ann@work.example"], check=True)
    monkeypatch.chdir(tmp_path)
    assert person().email == "ann@work.example"


def test_a_name_cannot_move_a_readers_cursor(hermetic: Path) -> None:
    (hermetic / ".gitconfig").write_text('[user]\n\tname = "An\\tn\\n\u202eBob"\n')
    assert person().name == "An n Bob"


@pytest.mark.parametrize("name", ["ann", "ANN@example.org", str(ANN)])
def test_name_e_mail_and_login_all_answer_to_an_approvers_name(name: str) -> None:
    assert refusal(a_request("F/1/g/1", name), ANN) is None


@pytest.mark.parametrize("name", ["Ann <ann@elsewhere.org>", "Bob <ann@example.org>"])
def test_an_approver_by_name_and_e_mail_is_nobody_who_has_only_one_of_them(name: str) -> None:
    assert refusal(a_request("F/1/g/1", name), ANN)


def test_a_refusal_says_who_may_and_how_to_answer_for_a_team() -> None:
    says = refusal(a_request("F/1/g/1", "alice", "ml team"), ANN)
    assert says
    assert "that is for alice or ml team" in says
    assert "`git config --global --add hitl.team 'ml team'`" in says


def test_a_refusal_names_every_approver_of_a_joined_rule() -> None:
    either = AnyOf((Approvals(Actors(("alice",))), Approvals(Actors(("bob", "alice")))))
    rule = AllOf((either, Approvals(Actors(("ops",)))))
    says = refusal(a_request(policy=Policy(rule)), ANN)
    assert says
    assert [says.count(f"hitl.team {name}`") for name in ("alice", "bob", "ops")] == [1, 1, 1]


def test_a_forge_vouches_for_its_own() -> None:
    request = a_request(venue=on_github("acme/flows"))
    assert "github:acme/flows" in (refusal(request, ANN) or "")


def test_one_person_is_one_e_mail_whatever_the_teams() -> None:
    assert same_person(ANN, Actor("Ann B.", "ANN@example.org", teams=("ops",)))
    assert not same_person(ANN, Actor("Ann", "other@example.org"))
