"""Tell people, through any Apprise URL, without ever holding up a gate.

Apprise takes a second to import and its servers may take longer or never answer, so it runs in a
process of its own, which outlives the bridge's by as much as it needs and never by more than
`_LONGEST`. The URLs hold tokens: they go down a pipe, and only their schemes are ever shown.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from types import FrameType
from typing import Any

from bridge.core.model import ApprovalRequest, Decision
from bridge.core.sanitize import harmless_terminal, plain
from bridge.core.settings import APPRISE_URLS, SLACK_WEBHOOK
from bridge.policy.rule_words import takes
from bridge.render.comparison import in_brief
from bridge.render.notices import FORMS, Notice, address, cut_at_line, titled
from bridge.render.request import headline, sound_links, started_by
from bridge.render.suggested_commands import approve, reject

#: Seconds after which the helper ends, whatever its servers do.
_LONGEST = 60
#: Characters of one notice.
_MOST = 10_000
#: Of its parts: it must fit the pipe, which nobody may be reading, and no element is cut in two.
_MOST_SAID = 2_000
_MOST_VALUES = 15
_LONGEST_VALUE = 120
_LONGEST_LINK = 400


#: For each word of a declaration: which addresses it means, and how such an address is set.
_KINDS = {
    "apprise": (r"", f"{APPRISE_URLS} to addresses such as slack://… or mailto://…"),
    "slack": (
        r"slack://|https://hooks\.slack\.com/",
        f"{SLACK_WEBHOOK}, or {APPRISE_URLS} to slack://TokenA/TokenB/TokenC",
    ),
    "smtp": (r"mailtos?://", f"{APPRISE_URLS} to mailtos://user:password@host?to=ann@example.org"),
}


def chosen(notify: Sequence[str] | None, configured: Sequence[str]) -> tuple[str, ...]:
    """The addresses that a declaration means: its own, or those configured of a kind.

    None means all that are configured. A word that comes to no address is reported.
    """
    if notify is None:
        return tuple(configured)
    found: list[str] = []
    for each in notify:
        if each not in _KINDS:
            found.append(each)
            continue
        pattern, how = _KINDS[each]
        meant = [url for url in configured if re.match(pattern, url, re.IGNORECASE)]
        if not meant:
            _report(f"notifier {each!r} notifies nobody: set {how}")
        found += meant
    return tuple(dict.fromkeys(found))


class Silent:
    """The `Notices` port if nobody is notified."""

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None:
        pass

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None:
        pass

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None:
        pass


class Told:
    """The `Notices` port over Apprise. `where` is the ledger, `link` a page that goes with each."""

    def __init__(self, urls: Sequence[str], where: str, link: str | None = None) -> None:
        self._urls = tuple(urls)
        self._where = where
        self._link = link
        self._pipe: int | None = None
        self._given_up = False

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None:
        self._ask("Approval wanted", request, page)

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None:
        self._ask("Still waiting for approval", request, page)

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None:
        word = decision.outcome.value.capitalize()
        about = (("", _inert(decision.reason)), ("Gate", _inert(request.gate.key)))
        notice = Notice(page=("", page) if page else None, about=about)
        self._tell(f"{word}: {headline(request)}", notice)

    def _ask(self, opening: str, request: ApprovalRequest, page: str | None) -> None:
        """First what a person needs to answer at once: where, who, until when, what changed."""
        until, who, brief = request.expires_at, started_by(request), in_brief(request)
        about = [
            ("It takes", _inert(takes(request.policy.require))),
            *([("Started by", _inert(who))] if who else []),
            *([("Until", f"{until:%Y-%m-%d %H:%M:%S} UTC")] if until else []),
            *([("", _inert(brief))] if brief else []),
        ]
        shown = [each for each in request.artifacts if each.value][:_MOST_VALUES]
        notice = Notice(
            page=("Answer here", page) if page else None,
            commands=(
                ("To approve", approve(request, self._where)),
                ("To reject", reject(request, self._where)),
            ),
            about=tuple(about),
            said=_inert(request.message)[:_MOST_SAID],
            values=tuple((_cut(each.name), _cut(each.value or "")) for each in shown),
            links=(
                ("Gate", _inert(request.gate.key)),
                *(
                    (_cut(each.label), address(each.url[:_LONGEST_LINK]))
                    for each in islice(sound_links(request), 5)
                ),
            ),
        )
        self._tell(f"{opening}: {headline(request)}", notice)

    def _tell(self, title: str, notice: Notice) -> None:
        if self._link:
            notice = replace(notice, links=(*notice.links, ("Workflows", self._link)))
        title = _inert(title)
        try:
            if self._pipe is None:
                self._pipe = self._start()
                self._hand_over(self._urls)
            self._hand_over({"title": title, "notice": asdict(notice)})
        except OSError as error:
            if not self._given_up:
                _report(f"no notification can be sent: {error.strerror}")
            self._given_up = True

    def _start(self) -> int:
        """The pipe to a new helper. It ends when it has sent all, and this process has ended."""
        theirs, ours = os.pipe()
        try:
            helper = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # a Ctrl-C is meant for the run
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        # Reaped when it ends; and no warning that it was not, should it outlive us.
        self.helper = threading.Thread(target=helper.wait, name=str(helper.pid), daemon=True)
        self.helper.start()
        os.set_blocking(ours, False)  # a helper that reads no more must not hold us up
        return ours

    def _hand_over(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=False).encode(errors="replace") + b"\n"
        if self._pipe is not None and os.write(self._pipe, line) < len(line):
            raise BlockingIOError(errno.EAGAIN, "those before it are not yet sent")


def _inert(text: str) -> str:
    """Plain text in which no chat finds a mention: not `@everyone`, not `<!channel>`."""
    return re.sub(r"(?<=[@<])(?=\S)", "\u200b", harmless_terminal(plain(text)))


def _cut(text: str) -> str:
    return _inert(text)[:_LONGEST_VALUE]


def _report(says: str) -> None:
    print(f"hitl: {says}", file=sys.__stderr__, flush=True)


# -- the helper's own side -----------------------------------------------------------------------


class _Recipient:
    """One Apprise URL. Each is served apart, so that a slow one keeps nobody waiting."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._scheme = url.partition("://")[0] if "://" in url else "an unreadable address"
        self._failed = False

    def tell(self, told: Mapping[str, Any]) -> None:
        import apprise

        try:
            sender = apprise.Apprise()
            if not sender.add(self._url):
                self._fail()
                return
            form = taken_first(sender[0])
            body = cut_at_line(FORMS[form](Notice(**told["notice"])), _MOST)
            if not sender.notify(body, titled(told["title"], form), body_format=form):
                self._fail()
        except Exception:  # noqa: BLE001 - a plugin's bug; its words may hold the URL
            self._fail()

    def _fail(self) -> None:
        if not self._failed:
            _report(f"no notification went out through {self._scheme}://…; the gate is unaffected")
        self._failed = True


def taken_first(service: Any) -> str:
    """The form that a service takes first, so that nothing is translated on the way. Before 2.0,
    Apprise's services had one form, and no `resolve_format`."""
    resolve = getattr(service, "resolve_format", None)
    form = resolve() if resolve else service.notify_format
    name = str(getattr(form, "value", form))
    return name if name in FORMS else "text"


def _serve() -> None:
    logging.disable()  # Apprise's own words may hold the URL
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_LONGEST)
    recipients = [_Recipient(url) for url in json.loads(sys.stdin.readline() or "[]")]
    for line in sys.stdin:
        signal.alarm(_LONGEST)
        at_work = [
            threading.Thread(target=each.tell, args=(json.loads(line),)) for each in recipients
        ]
        for thread in at_work:
            thread.start()
        for thread in at_work:
            thread.join()


def _give_up(_signum: int, _frame: FrameType | None) -> None:
    _report(f"a notification was given up after {_LONGEST} seconds; the gate is unaffected")
    os._exit(1)


if __name__ == "__main__":
    _serve()
