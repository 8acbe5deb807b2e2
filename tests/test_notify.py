"""Notices through Apprise: told, and never in the way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import apprise
import pytest

from bridge import wiring
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import Decider, Outcome
from bridge.core.facts import started_by
from bridge.core.gate_spec import NOTIFIERS
from bridge.core.model import Decision, Link
from bridge.core.settings import Settings, from_environment
from bridge.local.notify import Silent, Told, chosen, taken_first
from bridge.render.notices import Notice, as_html, as_markdown, as_text, cut_at_line, titled
from tests.gates import TARGET, a_request

REQUEST = a_request("Flow/1/gate/3", timeout=3_600, schema=TARGET)
REJECTED = Decision(
    REQUEST.gate.id,
    Outcome.REJECTED,
    Decider.PERSON,
    "rejected by Ann: too low",
    digest_of(REQUEST),
    REQUEST.opened_at,
)


class Server:
    """Takes what Apprise's `json://` posts, and answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        self.got: Queue[dict[str, Any]] = Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.got.put(json.loads(self.rfile.read(length)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/t0ken-{status}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> dict[str, Any]:
        return self.got.get(timeout=30)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made.getsockname()[1]


def ended(told: Told) -> None:
    """What was said went out, or failed to: the helper has nothing left to do."""
    assert told._pipe is not None
    os.close(told._pipe)
    told.helper.join(60)
    assert not told.helper.is_alive()


def killed(told: Told) -> None:
    os.kill(int(told.helper.name), signal.SIGKILL)
    told.helper.join(60)


def test_an_opened_gate_is_told_with_the_command_that_decides(server: Server) -> None:
    told = Told([server.url], "/ledger.git", "https://argo.example.org")
    told.opened(REQUEST)
    got = server.next()
    ended(told)
    assert got["title"] == "Approval wanted: Deploy 0.94?"
    for words in (
        "Gate: Flow/1/gate/3",
        f"hitl --ledger /ledger.git approve {REQUEST.gate.id} -i target=…",
        "Workflows: https://argo.example.org",
        "Until: ",
    ):
        assert words in got["message"]


def test_a_gate_with_a_page_is_told_with_its_link_first_and_who_when_and_why(
    server: Server,
) -> None:
    told = Told([server.url], "github:acme/models")
    page = "https://github.example/acme/models/pull/7"
    told.opened(replace(REQUEST, facts=started_by("ann")), page)
    told.decided(REQUEST, REJECTED, page)
    asked, decided = server.next()["message"].splitlines(), server.next()["message"].splitlines()
    ended(told)
    first = "\n".join(asked[:4])
    assert asked[0] == f"Answer here: {page}"
    for words in (
        "It takes: 1 approval from anyone",
        "Started by: ann, as the run says",
        "Until: ",
    ):
        assert words in first
    assert "hitl approve" not in "".join(asked)
    assert decided[0] == page


def test_reminded_and_decided_are_told_in_that_order(server: Server) -> None:
    told = Told([server.url], "/ledger.git")
    told.reminded(REQUEST)
    told.decided(REQUEST, REJECTED)
    titles = [server.next()["title"], server.next()["title"]]
    ended(told)
    assert titles == ["Still waiting for approval: Deploy 0.94?", "Rejected: Deploy 0.94?"]


def test_no_mention_gets_through(server: Server) -> None:
    told = Told([server.url], "/ledger.git")
    told.opened(a_request(message="@everyone <!channel> <@U123> &#8203;@here &#64;here"))
    got = server.next()
    ended(told)
    for mention in ("@everyone", "@here", "<!channel", "<@U123"):
        assert mention not in got["title"] + got["message"]


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1:{closed}/t0ken", "nonsense-t0ken", "nope://t0ken"]
)
def test_a_dead_notifier_is_reported_once_without_its_secret(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        closed = made.getsockname()[1]
    told = Told([url.format(closed=closed)], "/ledger.git")
    told.opened(REQUEST)
    told.decided(REQUEST, REJECTED)
    ended(told)
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("no notification went out through") == 1
    assert said.err.count("\n") == 1
    assert "t0ken" not in said.err


def test_a_server_that_refuses_is_reported_too(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server(500)
    told = Told([server.url], "/ledger.git")
    told.opened(REQUEST)
    server.next()
    ended(told)
    server.close()
    assert "through json://…" in capfd.readouterr().err


def test_a_notifier_that_hangs_keeps_neither_the_gate_nor_another_notifier_waiting(
    server: Server, silent_port: int
) -> None:
    told = Told([f"json://127.0.0.1:{silent_port}/", server.url], "/ledger.git")
    told.opened(REQUEST)  # returned: nothing waits for an answer that never comes
    assert server.next()["title"] == "Approval wanted: Deploy 0.94?"
    assert told.helper.is_alive(), "the one that hangs is still being tried"
    killed(told)


def test_a_helper_that_was_killed_fails_nothing_and_is_reported_once(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Told([server.url], "/ledger.git")
    told.opened(REQUEST)
    server.next()
    killed(told)
    told.reminded(REQUEST)
    told.decided(REQUEST, REJECTED)
    assert capfd.readouterr().err.count("no notification can be sent") == 1


def test_without_a_python_to_start_nothing_fails(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    Told(["json://127.0.0.1/t0ken"], "/ledger.git").opened(REQUEST)
    said = capfd.readouterr().err
    assert "no notification can be sent" in said
    assert "t0ken" not in said


def test_without_a_url_nobody_is_told(ledger: Path) -> None:
    settings = Settings()
    assert isinstance(wiring.notices(settings, wiring.ledger(settings)), Silent)


# -- which addresses a declaration means ---------------------------------------------------------

SLACK = ("slack://T/B/s3cret", "https://hooks.slack.com/services/T/B/s3cret")
CONFIGURED = (*SLACK, "mailtos://ann:s3cret@example.org", "json://127.0.0.1/s3cret")


@pytest.mark.parametrize(
    ("notify", "addresses"),
    [
        (None, CONFIGURED),
        ((), ()),
        (("apprise",), CONFIGURED),
        (("slack",), SLACK),
        (("smtp", "xml://host"), ("mailtos://ann:s3cret@example.org", "xml://host")),
        (("slack", "apprise"), CONFIGURED),
    ],
)
def test_a_declaration_chooses_among_the_configured_addresses_or_brings_its_own(
    notify: tuple[str, ...] | None, addresses: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert chosen(notify, CONFIGURED) == addresses
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("word", NOTIFIERS)
def test_a_word_that_comes_to_no_address_is_reported_with_what_to_set(
    word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert chosen((word,), ()) == ()
    said = capfd.readouterr().err
    assert said.startswith(f"hitl: notifier {word!r} notifies nobody: set METAFLOW_HITL_")
    assert "://" in said


#: Apprise loads Python's own imghdr with its plugins, in whichever test comes first.
loads_plugins = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@loads_plugins
def test_slacks_own_webhook_is_an_address_that_apprise_takes() -> None:
    webhook = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    settings = from_environment({"METAFLOW_HITL_SLACK_WEBHOOK": f"{webhook}\n"})
    assert chosen(("slack",), settings.apprise_urls) == (webhook,)
    assert apprise.Apprise().add(webhook)
    with pytest.raises(Faults, match="METAFLOW_HITL_SLACK_WEBHOOK is not an https address"):
        from_environment({"METAFLOW_HITL_SLACK_WEBHOOK": "T/B/s3cret"})


# -- the form that each service reads best ---------------------------------------------------------

NOTICE = Notice(
    page=("Answer here", "https://github.example/acme/models/pull/7"),
    about=(("It takes", "1 approval from ml-team"), ("", "accuracy +0.01 since run 6")),
    said="Deploy?\nIt is <b>good</b>",
    values=(("accuracy", "0.94"),),
    links=(("Gate", "Flow/1/gate/3"),),
)


def test_text_is_what_everybody_can_read() -> None:
    assert as_text(NOTICE).splitlines() == [
        "Answer here: https://github.example/acme/models/pull/7",
        "It takes: 1 approval from ml-team",
        "accuracy +0.01 since run 6",
        "",
        "Deploy?",
        "It is <b>good</b>",
        "accuracy: 0.94",
        "Gate: Flow/1/gate/3",
    ]


def test_markdown_leads_with_a_link_and_lists_the_rest() -> None:
    assert as_markdown(NOTICE).splitlines()[:4] == [
        "**[Answer here](https://github.example/acme/models/pull/7)**",
        "",
        "- **It takes:** 1 approval from ml-team",
        "- accuracy +0.01 since run 6",
    ]
    assert "> Deploy?\n> It is <b>good</b>" in as_markdown(NOTICE)
    assert "- `accuracy`: `0.94`" in as_markdown(NOTICE)


def test_a_mail_is_html_in_which_a_value_is_no_element() -> None:
    said = as_html(NOTICE)
    assert '<b><a href="https://github.example/acme/models/pull/7">Answer here</a></b>' in said
    assert "It is &lt;b&gt;good&lt;/b&gt;" in said
    assert "<code>accuracy</code>: 0.94" in said


def test_a_gate_without_a_page_has_its_commands_as_code() -> None:
    notice = Notice(commands=(("To approve", "hitl approve 3fa9 -i 'a b'=…"),))
    assert as_markdown(notice) == "To approve: `hitl approve 3fa9 -i 'a b'=…`"
    assert as_html(notice) == "To approve: <code>hitl approve 3fa9 -i &#x27;a b&#x27;=…</code>"


@pytest.mark.parametrize(
    "hostile", ["[Answer here](https://evil.example)", "`x`", "# Approved", "> quoted", "a](b)"]
)
def test_what_a_run_says_is_no_markup_of_a_notice(hostile: str) -> None:
    notice = Notice(about=(("", hostile),), said=hostile, values=((hostile, hostile),))
    said = as_markdown(notice)
    assert "](" not in said.replace("`[Answer here](https://evil.example)`", "").replace(
        "`a](b)`", ""
    )
    for line in said.splitlines():
        words = line.removeprefix("- ").removeprefix("> ")
        assert not words.startswith(("#", ">"))


def test_a_link_of_an_opener_mentions_nobody_and_holds_no_other_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = ("@everyone", "https://x/<!channel>", "https://x/[Answer](https://evil)", "https://a/b")
    sent: list[Any] = []
    monkeypatch.setattr(Told, "_tell", lambda _, __, notice: sent.append(notice))
    links = tuple(Link("docs", each) for each in urls)
    Told(["json://localhost"], "/ledger").opened(a_request(links=links))
    shown = [("docs", "https://x/%5BAnswer%5D%28https://evil%29"), ("docs", "https://a/b")]
    assert list(sent[0].links[1:]) == shown


def test_a_title_holds_no_link_and_no_element() -> None:
    hostile = "Approval wanted: [Answer here](https://evil.example) <b>"
    assert titled(hostile, "text") == hostile
    assert "](" not in titled(hostile, "markdown")
    assert "<" not in titled(hostile, "html")


def test_several_lines_of_a_reason_are_one_line_of_a_notice_and_define_no_link() -> None:
    notice = Notice(about=(("", "rejected\n\n# Approved"),), said="[here]\n[here]: //evil.example")
    assert as_markdown(notice).splitlines() == [
        "- rejected  # Approved",
        "",
        "> [here]",
        "> [here]\u200b: //evil.example",
    ]


def test_values_that_grow_in_html_cut_no_element_in_two() -> None:
    notice = replace(NOTICE, said="'" * 2_000, values=(("'" * 120, "<" * 120),) * 15)
    for most in range(100, 20_000, 37):
        said = cut_at_line(as_html(notice), most)
        assert len(said) <= most
        for name in ("a", "b", "code"):
            assert len(re.findall(f"<{name}[ >]", said)) == said.count(f"</{name}>")
        assert said.endswith((">", ";"))
    assert cut_at_line("whole", 5) == "whole"


@loads_plugins
@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("json://localhost", "text"),
        ("slack://TokenA1234/TokenB1234/abcdefghijklmnopqrstuvwx", "markdown"),
        ("mailto://user:password@example.org", "html"),
        ("json://localhost?format=markdown", "markdown"),
        ("mailto://user:password@example.org?format=text", "text"),
    ],
)
def test_each_service_gets_the_form_that_it_takes_first(url: str, form: str) -> None:
    sender = apprise.Apprise.instantiate(url)
    assert sender
    assert taken_first(sender) == form
