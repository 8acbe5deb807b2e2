"""Which repository on GitHub a command is about, and whose token it takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bridge.core.errors import Faults

if TYPE_CHECKING:
    from bridge.core.settings import GitHubSettings


def target() -> GitHubSettings:
    """The repository of this checkout, and the token of a person who administers it."""
    from pathlib import Path

    from bridge.core.errors import BridgeError
    from bridge.core.settings import (
        APP_ID,
        APP_KEY,
        REPOSITORY,
        SERVER_URL,
        TOKENS,
        github_from_environment,
    )
    from bridge.setup.checkout import Checkout

    env, faults = dict(os.environ), []
    server = env.get(SERVER_URL) or "https://github.com"
    if not env.get(REPOSITORY):
        checkout = Checkout(Path.cwd())
        try:
            env[REPOSITORY] = checkout.repository(server) or ""
            if not env[REPOSITORY]:
                faults.append(
                    "no repository on GitHub: `git remote add origin` its address, or set"
                    f" {REPOSITORY} to owner/name"
                )
        except BridgeError as error:
            faults.append(str(error))
    if not any(env.get(each) for each in (*TOKENS, APP_ID, APP_KEY)):
        env[TOKENS[-1]] = _token_of_gh(server)
        if not env[TOKENS[-1]]:
            faults.append(
                f"no token: set {TOKENS[-1]} to one of somebody who administers the repository, or"
                " run `gh auth login`"
            )
    if faults:
        raise Faults("this checkout and the environment", faults)
    return github_from_environment(env)


def _token_of_gh(server: str) -> str:
    """The token of GitHub's own command line, if it is here and logged in."""
    import subprocess
    from urllib.parse import urlsplit

    command = ["gh", "auth", "token", "--hostname", urlsplit(server).netloc]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
