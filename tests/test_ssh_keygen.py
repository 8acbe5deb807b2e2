"""Both ways between our signatures and the real `ssh-keygen` (`make test-ssh-keygen`)."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from bridge.core.errors import Faults
from bridge.core.evaluation import Outcome
from bridge.core.signed_statement import statement
from bridge.core.sshsig import (
    DECISION_NAMESPACE,
    VOTE_NAMESPACE,
    BadSignature,
    PublicKey,
    Why,
    parse,
    parse_key,
    verify,
)
from bridge.local.signing import SigningKey, signing_key
from tests.ssh_keys import security_key, signed_by_security_key

pytestmark = pytest.mark.ssh_keygen

DECISION_RECORD = Path(__file__).parents[1] / "docs" / "decisions" / "0004-signed-decisions.md"
RECORDS = [b"", b"the record\n", bytes(range(256)) * 1_000]


def ssh_keygen(*args: str | Path, message: bytes = b"") -> tuple[bool, str]:
    """Whether it succeeded, and what it printed."""
    done = subprocess.run(
        ["ssh-keygen", *map(str, args)], input=message, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def made(folder: Path, *kind: str, passphrase: str = "") -> Path:
    path = folder / "key"
    assert ssh_keygen("-q", *kind, "-N", passphrase, "-C", "made for a test", "-f", path)[0]
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return made(tmp_path, "-t", "ed25519")


@pytest.fixture
def signer(own: Path) -> SigningKey:
    return signing_key(own.read_text())


def accepted(
    folder: Path, key: PublicKey, message: bytes, armored: str, namespace: str = DECISION_NAMESPACE
) -> bool:
    """Whether `ssh-keygen -Y verify` accepts it as the decider's."""
    (folder / "allowed").write_text(f"decider {key.line}\n")
    (folder / "signature").write_text(armored)
    whose = ("-f", folder / "allowed", "-I", "decider", "-n", namespace, "-s", folder / "signature")
    return ssh_keygen("-Y", "verify", *whose, message=message)[0]


def test_it_shows_the_same_fingerprint(own: Path) -> None:
    key = parse_key(own.with_suffix(".pub").read_text())
    assert key.comment == "made for a test"
    assert key.fingerprint in ssh_keygen("-l", "-f", own)[1].split()


@pytest.mark.parametrize("message", RECORDS, ids=["empty", "line", "bytes"])
def test_both_write_the_same_signature(own: Path, signer: SigningKey, message: bytes) -> None:
    done, theirs = ssh_keygen(
        "-q", "-Y", "sign", "-f", own, "-n", DECISION_NAMESPACE, message=message
    )
    assert done
    assert signer.sign(message, DECISION_NAMESPACE) == theirs


@pytest.mark.parametrize("message", RECORDS, ids=["empty", "line", "bytes"])
def test_it_accepts_ours_for_that_content_and_purpose_alone(
    tmp_path: Path, signer: SigningKey, message: bytes
) -> None:
    armored = signer.sign(message, DECISION_NAMESPACE)
    assert accepted(tmp_path, signer.public, message, armored)
    assert not accepted(tmp_path, signer.public, message + b".", armored)
    assert not accepted(tmp_path, signer.public, message, armored, VOTE_NAMESPACE)
    assert not accepted(tmp_path, security_key(), message, armored)


def test_it_needs_no_list_of_keys_to_check_that_ours_is_well_formed(
    tmp_path: Path, signer: SigningKey
) -> None:
    (tmp_path / "signature").write_text(signer.sign(b"x", DECISION_NAMESPACE))
    check = ("-Y", "check-novalidate", "-n", DECISION_NAMESPACE, "-s", tmp_path / "signature")
    assert ssh_keygen(*check, message=b"x")[0]
    assert not ssh_keygen(*check, message=b"y")[0]


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_theirs_counts_with_either_hash(own: Path, signer: SigningKey, hash_name: str) -> None:
    how = ("-O", f"hashalg={hash_name}", "-n", DECISION_NAMESPACE)
    done, theirs = ssh_keygen("-q", "-Y", "sign", "-f", own, *how, message=b"x")
    assert done
    assert parse(theirs).hash == hash_name
    assert verify(b"x", theirs, [signer.public], DECISION_NAMESPACE) == signer.public


@pytest.mark.parametrize("application", ["ssh:", "ssh:acme"])
def test_it_agrees_about_what_a_security_key_signs(tmp_path: Path, application: str) -> None:
    key = security_key(application)
    signature = signed_by_security_key(b"x", VOTE_NAMESPACE, key, counter=2**31)
    assert accepted(tmp_path, key, b"x", signature.armored(), VOTE_NAMESPACE)
    assert not accepted(tmp_path, key, b"y", signature.armored(), VOTE_NAMESPACE)


def test_it_ignores_the_reserved_field_and_we_do_not(tmp_path: Path, signer: SigningKey) -> None:
    armored = signer.sign(b"x", DECISION_NAMESPACE)
    blob = base64.b64decode("".join(armored.splitlines()[1:-1]))
    name = DECISION_NAMESPACE.encode()
    changed = blob.replace(name + bytes(4), name + b"\0\0\0\1!")
    assert changed != blob
    lines = armored.splitlines()
    tampered = "\n".join([lines[0], base64.b64encode(changed).decode(), lines[-1], ""])
    assert accepted(tmp_path, signer.public, b"x", tampered)
    with pytest.raises(BadSignature, match="reserved field") as refused:
        verify(b"x", tampered, [signer.public], DECISION_NAMESPACE)
    assert refused.value.why is Why.MALFORMED


@pytest.mark.parametrize(
    ("kind", "passphrase", "fault"),
    [
        (("-t", "ed25519"), "a passphrase", "it has a passphrase"),
        (("-t", "rsa", "-b", "2048"), "", "it isn't an Ed25519 key"),
        (("-t", "ecdsa"), "", "it isn't an Ed25519 key"),
        (
            ("-t", "rsa", "-b", "2048", "-m", "PEM"),
            "",
            "it can't be read as an OpenSSH private key",
        ),
    ],
    ids=["passphrase", "rsa", "ecdsa", "rsa in PEM"],
)
def test_a_private_key_that_cannot_sign_here_is_refused(
    tmp_path: Path, kind: tuple[str, ...], passphrase: str, fault: str
) -> None:
    path = made(tmp_path, *kind, passphrase=passphrase)
    with pytest.raises(Faults, match=fault):
        signing_key(path.read_text())


def test_an_auditor_can_check_a_decision_as_the_documentation_says(
    tmp_path: Path, signer: SigningKey
) -> None:
    (recipe,) = re.findall(r"```sh\n(.*?)```", DECISION_RECORD.read_text(), re.DOTALL)
    digest = f"sha256:{'1' * 64}"
    record = f"format: 1\noutcome: approved\nrequest_digest: {digest}\n"
    of_record = f"sha256:{hashlib.sha256(record.encode()).hexdigest()}"
    signed = statement(
        "github.com", 1296269, "3f9a1c2b4d5e6f70", digest, Outcome.APPROVED, of_record
    )
    (tmp_path / "decision.yaml.sig").write_text(signer.sign(signed, DECISION_NAMESPACE))
    (tmp_path / "keys").write_text(f"# the decider\n{security_key().line}\n{signer.public.line}\n")

    for kept, good in ((record, True), (record.replace("approved", "rejected"), False)):
        (tmp_path / "decision.yaml").write_text(kept)
        done = subprocess.run(
            ["sh", "-euc", recipe], cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode == 0) == good, done.stderr.decode()
