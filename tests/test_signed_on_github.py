"""The decider of a repository on GitHub signs, and its readers ask for the signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import wiring
from bridge.argo.pod_settings import pods_from_environment
from bridge.core.errors import Faults, GateShut
from bridge.core.settings import from_environment
from bridge.local.signing import signing_key
from tests.forge import World
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.ssh_keys import private_text
from tests.test_github_action import Runner

KEY = signing_key(private_text())
OTHER = signing_key(private_text(bytes(32)))
LINE = f"{KEY.public.line} the decider"


class Signing(World):
    """A repository whose decider signs."""

    def __init__(self, github: GitHub, folder: Path) -> None:
        super().__init__(github, folder)
        self.runner = Runner(self, folder)
        self.signs = {"HITL_SIGNING_KEY": private_text(), "HITL_KEYS": LINE}

    def approve(self, pull: PullRequest, **env: str) -> int:
        pull.review(self.alice, "APPROVED")
        return self.runner.run(pull.number, **(self.signs | env))

    def reader(self, cache: str = "reader") -> wiring.Venue:
        """A gated step, elsewhere, told by whoever deployed it."""
        env = self.github.environment(self.repo) | {
            "HITL_LEDGER": f"github:{self.repo.full_name}",
            "HITL_KEYS": LINE,
            "HITL_TOKEN": self.tokens[self.opener],
            "HITL_CACHE": str(self.folder / cache),
        }
        return wiring.existing_venue(from_environment(env))


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Signing]:
    with GitHub() as github:
        yield Signing(github, tmp_path)


def test_what_the_decider_signs_lets_a_step_run_that_has_its_key(at: Signing) -> None:
    draft, pull = at.request().draft, at.open()
    with pytest.raises(GateShut, match="still waiting"):
        at.reader().verify(draft.gate, lambda _: draft)
    # As a secret store keeps a key that has to fit on one line.
    assert at.approve(pull, HITL_SIGNING_KEY=private_text().replace("\n", "\\n")) == 0
    assert at.reader().verify(draft.gate, lambda _: draft)


def test_what_is_pushed_without_a_signature_is_red_and_resumes_nothing(
    at: Signing, capsys: pytest.CaptureFixture[str]
) -> None:
    draft, pull = at.request().draft, at.open()
    pull.review(at.alice, "APPROVED")
    at.tend(pull)  # by somebody who has the right to push, and not the key
    with pytest.raises(GateShut, match=f"isn't signed; expected a signature by {_name()}"):
        at.reader().verify(draft.gate, lambda _: draft)
    assert at.runner.run(pull.number, **at.signs) == 1
    assert "isn't signed; expected a signature by" in capsys.readouterr().out


def _name() -> str:
    return KEY.public.fingerprint.replace("+", r"\+")


def test_a_decision_that_was_signed_for_another_repository_is_none_here(at: Signing) -> None:
    draft, pull = at.request().draft, at.open()
    assert at.approve(pull) == 0
    prod = at.github.repository("acme/production")
    git = prod.bare.run
    git("fetch", "--quiet", str(at.repo.bare.path), "approvals:approvals")
    at.repo = prod
    with pytest.raises(GateShut, match=r"it was made in github:acme/models on 127\.0\.0\.1"):
        at.reader().verify(draft.gate, lambda _: draft)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"HITL_SIGNING_KEY": "-----BEGIN nonsense"}, "can't be read as an OpenSSH private key"),
        ({"HITL_SIGNING_KEY": ""}, "it is empty, and HITL_KEYS is set"),
        ({"HITL_SIGNING_KEY": private_text(bytes(32))}, "is not a current one of HITL_KEYS"),
        ({"HITL_KEYS": f"until={'1' * 40} {LINE}"}, "is not a current one of HITL_KEYS"),
        ({"HITL_KEYS": ""}, "HITL_KEYS: has no key; add one"),
    ],
)
def test_a_key_that_is_no_good_is_one_sentence_before_anything_is_recorded(
    at: Signing, env: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = at.open()
    assert at.approve(pull, **env) == 1
    said = capsys.readouterr().out
    assert said.count("::error") == 1
    assert says in said
    assert not any(line in said for line in private_text(bytes(32)).splitlines()[1:-1])
    assert at.recorded(pull) is None


def test_who_asks_on_this_machine_is_told_that_nothing_is_signed_there(tmp_path: Path) -> None:
    settings = from_environment({"HITL_CACHE": str(tmp_path), "HITL_KEYS": LINE})
    with pytest.raises(Faults, match="only decisions on GitHub are signed: set HITL_LEDGER"):
        wiring.venue(replace(settings, ledger="https://git.example/l.git"), tmp_path)


def test_pods_have_the_keys_of_who_deploys_them() -> None:
    told = {"HITL_LEDGER": "https://git.example/l.git", "HITL_KEYS": f"# now\n{LINE}\n"}
    assert pods_from_environment(told).env["HITL_KEYS"] == LINE
    with pytest.raises(Faults, match="HITL_KEYS: line 1: the line must begin with ssh-ed25519"):
        pods_from_environment(told | {"HITL_KEYS": "ssh-rsa AAAA"})
