"""The log: each git call, each request to GitHub, each decision of the reconciler.

Off, unless `hitl -v`, HITL_LOG=debug or a debug run of GitHub Actions turns it on. It goes to
stderr, one line each, and no secret of the environment is in it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping

from bridge.core.settings import LOG, RUNNER_DEBUG

_ROOT = "bridge"


class _WithoutSecrets(logging.Filter):
    """Leaves one harmless line of each record.

    It sits at each logger and not at our handler alone, because a program that uses the bridge may
    have handlers of its own: those of the root logger see our records too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.env: Mapping[str, str] = os.environ

    def filter(self, record: logging.LogRecord) -> bool:
        # Here, because a log that is off needs none of it.
        from bridge.core.crash_report import without_secrets
        from bridge.core.sanitize import one_line

        # The secrets first: a key of several lines is one no more once it is on one line.
        record.msg = one_line(without_secrets(record.getMessage(), self.env))
        record.args = None
        record.exc_info = record.exc_text = record.stack_info = None
        return True


_filter = _WithoutSecrets()


def logger(part: str) -> logging.Logger:
    """The logger `bridge.<part>`, whose records hold no secret."""
    found = logging.getLogger(f"{_ROOT}.{part}")
    found.addFilter(_filter)
    return found


def turn_on(env: Mapping[str, str]) -> None:
    """Write the log to stderr. `env` holds the secrets that it must not show."""
    _filter.env = env
    root = logging.getLogger(_ROOT)
    root.setLevel(logging.DEBUG)
    root.propagate = False  # else a program's own handlers show each line a second time
    _stderr.stream = sys.stderr
    root.addHandler(_stderr)


def turn_on_if_asked(env: Mapping[str, str]) -> None:
    """What HITL_LOG says, or the runner of GitHub Actions in a debug run."""
    if env.get(LOG) or env.get(RUNNER_DEBUG) == "1":
        turn_on(env)


def since(start: float) -> str:
    """The time since `start`, which is of `time.monotonic`."""
    return f"{(time.monotonic() - start) * 1000:.0f} ms"


class _Line(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


_stderr = logging.StreamHandler()
_stderr.setFormatter(_Line("%(asctime)s %(name)s: %(message)s"))
