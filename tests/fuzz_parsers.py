"""Every parser of what others wrote, driven by what it covers: a value, or one of our errors.

    python -m tests.fuzz_parsers [-max_total_time=60] [a folder of examples, which grows]

It is no part of `make test`, and needs `pip install atheris` (Python 3.11 to 3.13). The options are
those of libFuzzer, https://llvm.org/docs/LibFuzzer.html#options . An input that crashes a parser,
or takes it more than ten seconds or 2 GB, is written to a file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    sys.exit("tests/fuzz_parsers.py needs the package atheris: pip install atheris")

with atheris.instrument_imports(include=["bridge"]):
    from bridge.argo import compressed_nodes
    from bridge.core import sshsig
    from bridge.core.decision_keys import parse_keys
    from bridge.core.errors import BridgeError
    from bridge.core.hide_secrets import in_text
    from bridge.core.records import (
        decision_in,
        decision_out,
        objections_in,
        objections_out,
        request_in,
        request_out,
    )
    from bridge.ledger.commit_message import recorded
    from bridge.ledger.git import read_tree
    from bridge.pages import comment_commands
    from bridge.pages.marker import seal_of
    from bridge.policy import policy_file

from tests.ledgers import a_decision, a_request
from tests.ssh_keys import security_key, signed_by_security_key

KEY = security_key()
#: Each parser, and a text that it reads. The first byte of an input chooses one.
PARSERS: list[tuple[Callable[[str], Any], str]] = [
    (request_in, request_out(a_request())),
    (decision_in, decision_out(a_decision(a_request()))),
    (objections_in, objections_out(a_request().gate.id, ())),
    (policy_file.parse, "gates:\n  - name: deploy\n    require: {users: [ann]}\n    timeout: 2h\n"),
    (comment_commands.read, "/approve\n```yaml\ntarget: prod\n```\n"),
    (seal_of, "<!-- approval-bridge body gate=0 -->"),
    (in_text, "password=x token: 'y' --key z https://ann:pw@host/"),
    (lambda text: parse_keys(text, "HITL_KEYS"), f"until={'1' * 40} {KEY.line}\n"),
    (sshsig.parse, signed_by_security_key(b"x", sshsig.DECISION_NAMESPACE, KEY).armored()),
    (compressed_nodes.unpacked, compressed_nodes.packed_again({"a": {"id": "a"}})),
    (lambda text: recorded("0" * 40, text), "tree 0\n\nApprove: x\n\nGate: 1\nOutcome: approved\n"),
    (lambda text: read_tree(text.encode("utf-8", "surrogateescape")), "100644 a\0" + "b" * 20),
]


def one(data: bytes) -> None:
    if not data:
        return
    parse, _ = PARSERS[data[0] % len(PARSERS)]
    said = ""
    try:
        parse(data[1:].decode("utf-8", "surrogateescape"))
    except BridgeError as error:
        said = str(error)
    assert len(said) < 20_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, (_, text) in enumerate(PARSERS):
            given = bytes([number]) + text.encode("utf-8", "surrogateescape")
            (Path(folder) / str(number)).write_bytes(given)
        bounds = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192"]
        atheris.Setup([sys.argv[0], *bounds, *sys.argv[1:], folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
