"""Signing with a person's own SSH key: `ssh-keygen` knows the agent and security keys."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from bridge.core.errors import Faults

#: A security key before one in a file.
_USUAL: Final = ("id_ed25519_sk", "id_ed25519")


def sign(key: Path | None, message: bytes, namespace: str) -> str:
    """The armored signature. Raises `Faults`.

    It may ask for a passphrase or a touch, at the terminal. A `.pub` file names a key of the agent.
    """
    path = key or _usual()
    command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", os.path.abspath(path)]
    try:
        done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise Faults("--sign", ["there is no ssh-keygen on the PATH; install OpenSSH"]) from None
    if done.returncode != 0:
        raise Faults("--sign", [f"ssh-keygen did not sign with {path}; it says above why"])
    return done.stdout.decode("ascii", "replace")


def _usual() -> Path:
    folder = Path.home() / ".ssh"
    for name in _USUAL:
        if (folder / name).is_file():
            return folder / name
    raise Faults(
        "--sign", [f"there is no {' or '.join(_USUAL)} in {folder}; name a key: --sign KEYFILE"]
    )
