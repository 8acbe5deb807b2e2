"""Check a whole ledger with git, PyYAML and an Ed25519, from `docs/ledger.md` alone.

It imports nothing of the bridge: it is what an auditor can write who trusts none of its code.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.readers import format_1

_DECISION = re.compile(r"gates/./././(?P<id>[0-9a-f]{16})/decision\.yaml")


def faults(ledger: Path, key: str) -> tuple[int, list[str]]:
    """How many decisions there are, and what is wrong with them. `key`: a line of a `.pub` file."""
    said, count = [], 0
    for branch in _git(
        ledger, "for-each-ref", "--format=%(refname)", "refs/heads/approvals*"
    ).split():
        for path in _git(ledger, "ls-tree", "-r", "--name-only", branch).splitlines():
            if found := _DECISION.fullmatch(path):
                count += 1
                said += [
                    f"{path}: {each}" for each in _of_one(ledger, branch, found["id"], path, key)
                ]
    return count, said


def _of_one(ledger: Path, branch: str, gate: str, path: str, key: str) -> Iterator[str]:
    def file(name: str) -> str:
        return _git(ledger, "cat-file", "blob", f"{branch}:{path.rpartition('/')[0]}/{name}")

    asked, text = format_1.request(file("request.yaml")), file("decision.yaml")
    decision, digest = format_1.decision(text), format_1.digest_of(asked)
    if asked["digest"] != digest:
        yield "the request's digest is not that of its content"
    if decision["request_digest"] != digest:
        yield "it answers another request"
    by_key = hashlib.sha256(asked["key"].encode()).hexdigest()[:8]
    whole = hashlib.sha256(f"{asked['origin']}\0{asked['key']}".encode()).hexdigest()[:8]
    if not gate == by_key + whole == decision["gate"]:
        yield "the folder is that of another gate"
    lines = [
        "approval-bridge decision 1",
        f"server: {asked['venue']['server']}",
        f"repository: {asked['venue']['repository_id']}",
        f"gate: {gate}",
        f"request: {digest}",
        f"outcome: {decision['outcome']}",
        f"record: sha256:{hashlib.sha256(text.encode()).hexdigest()}",
    ]
    if not _is_signed(lines, file("decision.yaml.sig"), key, "decision@approval-bridge"):
        yield "it is not signed by the key"
    folder = f"{path.rpartition('/')[0]}/"
    if f"{folder}objections.yaml" in _git(ledger, "ls-tree", "--name-only", branch, folder).split():
        seen = file("objections.yaml")
        record = f"record: sha256:{hashlib.sha256(seen.encode()).hexdigest()}"
        lines = ["approval-bridge objections 1", *lines[1:4], record]
        if not _is_signed(lines, file("objections.yaml.sig"), key, "objections@approval-bridge"):
            yield "its objections are not signed by the key"


def _is_signed(lines: list[str], armoured: str, key: str, namespace: str) -> bool:
    """https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig"""
    body = "".join(line for line in armoured.splitlines() if not line.startswith("-----"))
    blob = base64.b64decode(body)
    parts = list(_strings(blob[10:]))
    public, given, reserved, algorithm, signature = parts
    if blob[:10] != b"SSHSIG" + struct.pack(">I", 1) or given != namespace.encode():
        return False
    if public != base64.b64decode(key.split()[1]):
        return False
    message = "".join(f"{line}\n" for line in lines).encode()
    digest = hashlib.new(algorithm.decode(), message).digest()
    signed = b"SSHSIG" + b"".join(map(_string, (given, reserved, algorithm, digest)))
    try:
        Ed25519PublicKey.from_public_bytes([*_strings(public)][1]).verify(
            [*_strings(signature)][1], signed
        )
    except InvalidSignature:
        return False
    return True


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _strings(blob: bytes) -> Iterator[bytes]:
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]


def _git(ledger: Path, *args: str) -> str:
    command = ["git", "--git-dir", str(ledger), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
