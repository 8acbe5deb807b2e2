"""A bug of the bridge: one sentence for the person, the rest in a file without secrets."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote

from bridge.core.hide_secrets import in_text
from bridge.core.sanitize import is_secret
from bridge.core.settings import (
    APPRISE_URLS,
    LEDGER,
    OPENER_SECRET,
    READER_SECRET,
    SLACK_WEBHOOK,
    cache_folder,
)

EXIT_BUG = 70

_CREDENTIAL = re.compile(r"(?<=://)[^/\s'\"@]+@")
#: As a header has it, as Python shows a dictionary of headers, and as JSON does.
_HEADER = re.compile(r"(?i)(authorization['\"]?:?\s*['\"]?\w*|bearer)\s+[^\s'\"]+")
#: Called like a secret, and none: the shell's folders, and the names of Kubernetes Secrets.
_NO_SECRETS = ("PWD", "OLDPWD", OPENER_SECRET, READER_SECRET)
#: What no variable holds: an App's own token and key lie in memory alone.
_MINTED = re.compile(
    r"\b(?:gh[a-z]_|github_pat_)\w{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


#: Reports of one process. A watch meets the same bug every 30 seconds, for weeks.
_MOST_REPORTS = 50
_reported: dict[tuple[str, ...], str] = {}


def report_once(error: BaseException, env: Mapping[str, str]) -> str:
    """The same as `report`, with one file for all times that this process meets this bug."""
    *_, place = ["", *(f"{each.filename}:{each.lineno}" for each in _frames(error))]
    bug = (type(error).__name__, str(error)[:200], place)
    if bug not in _reported:
        if len(_reported) >= _MOST_REPORTS:
            _reported.pop(next(iter(_reported)))
        _reported[bug] = report(error, env)
    return _reported[bug]


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def report(error: BaseException, env: Mapping[str, str]) -> str:
    """Write the traceback to a file and return the sentence that says where it is."""
    text = "".join(traceback.format_exception(error))
    about = f"approval-bridge {released()}, Python {platform.python_version()}, {platform.system()}"
    said = without_secrets(str(error).splitlines()[0] if str(error) else "", env)
    try:
        path = _written(without_secrets(f"{about}\n\n{text}", env), cache_folder(env))
        where = f"what is needed to find it is in {path}, with secrets removed"
    except OSError as unwritable:
        where = f"its traceback could not be kept ({unwritable.strerror})"
    return (
        f"a bug of the bridge stopped this command ({type(error).__name__}: {said});"
        f" {where}: please send that to the project's issue tracker"
    )


def without_secrets(text: str, env: Mapping[str, str]) -> str:
    """The text without credentials in addresses and headers, without secrets of this environment,
    and without any that a name gives away."""
    text = _MINTED.sub("…", _HEADER.sub(r"\1 …", _CREDENTIAL.sub("…@", text)))
    secrets = {form for each in _secrets(env) for form in (each, unquote(each))}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:  # a shorter one would blot out words
            text = text.replace(secret, "…")
    # A line of source in a traceback may open what it does not close.
    return "\n".join(map(in_text, text.split("\n")))


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    """The secrets of this environment, and each part of one that may be met alone."""
    for name, value in env.items():
        if name not in _NO_SECRETS and is_secret(name, value):
            yield value
            # As it is used: without the newline behind it, and a key with its lines apart.
            yield from (each.strip() for each in value.replace("\\n", "\n").splitlines())
    yield from re.split(r"[/:?&=@,\s]+", env.get(APPRISE_URLS, ""))  # any part may be the token
    _, *path = re.split(r"[/?&=\s]+", env.get(SLACK_WEBHOOK, "").strip().partition("://")[2])
    yield from (each for each in path if each != "services")  # a word of every webhook
    yield from re.split(r"[/:@]+", env.get(LEDGER, "").rpartition("@")[0])


def _written(text: str, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-")
    descriptor, name = tempfile.mkstemp(prefix=f"bug-{moment}", suffix=".log", dir=cache)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return Path(name)


def released() -> str:
    """The bridge's version, in words if it has none."""
    try:
        return version("approval-bridge")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"
