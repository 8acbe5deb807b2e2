"""What verifying a signature costs with our own verifier, and with `cryptography`.

    python bench/signature.py [--rounds 25]

Medians of wall time, in turn. The first call in a process imports `cryptography`, as it does in a
gated step, which verifies once.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from measures import Row, tell, timed  # noqa: E402

from bridge.core import ed25519, sshsig  # noqa: E402
from bridge.core.sshsig import DECISION_NAMESPACE, verify  # noqa: E402
from bridge.local.signing import signing_key  # noqa: E402
from tests.ssh_keys import private_text  # noqa: E402 - the helpers of the tests

MESSAGE = b"the record\n"
FIRST_CALL = """
import sys, time
from bridge.core.sshsig import DECISION_NAMESPACE, parse_key, verify
signature, line, verifier = sys.argv[1:]
if verifier == "own":
    sys.modules["cryptography"] = None
key = parse_key(line)
start = time.perf_counter()
verify(b"the record\\n", signature, [key], DECISION_NAMESPACE)
print(time.perf_counter() - start)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    return tell("cryptography, s", "our own, s", rows(parser.parse_args().rounds))


def rows(rounds: int) -> Iterator[Row]:
    key = signing_key(private_text())
    signature = key.sign(MESSAGE, DECISION_NAMESPACE)
    theirs = sshsig.verifier()

    def later(verifier: sshsig.Verifier) -> float:
        with patch.object(sshsig, "verifier", lambda: verifier):
            return timed(lambda: verify(MESSAGE, signature, [key.public], DECISION_NAMESPACE))

    def first(which: str) -> float:
        command = [sys.executable, "-c", FIRST_CALL, signature, key.public.line, which]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return float(done.stdout)

    def medians(pairs: list[tuple[float, float]]) -> Iterator[float]:
        return map(statistics.median, zip(*pairs, strict=True))

    pairs = [(later(theirs), later(ed25519.verify)) for _ in range(rounds * 4)]
    yield Row("verify a signature: a later call", *medians(pairs), 50)
    pairs = [(first("cryptography"), first("own")) for _ in range(rounds)]
    yield Row("the first call in a process", *medians(pairs), 1)


if __name__ == "__main__":
    sys.exit(main())
