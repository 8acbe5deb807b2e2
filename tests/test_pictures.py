"""Pictures of a request: drawn by us, bound to the approval, shown with their numbers in words."""

from __future__ import annotations

import hashlib
import math
import re
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core import png
from bridge.core.artifacts import summarise
from bridge.core.chart import charts, in_words, series_of
from bridge.core.converter import plain, read
from bridge.core.draw import MOST, Pictures, pictures
from bridge.core.errors import GateShut, LedgerCorrupt
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Artifact, Draft
from bridge.core.picture import NotDrawn, as_recorded
from bridge.gates.audit import audit
from bridge.gates.open_gate import open_gate
from bridge.gates.verify import verify
from bridge.ledger.git_ledger import GitLedger, create
from bridge.pages import page_text
from bridge.pages.model import Site, Voices
from bridge.render.request import request_md, summary
from tests.gates import Heard
from tests.ledgers import LEDGER, a_decision, a_rejection, a_request, git
from tests.test_git_ledger import put

FOLDER = "https://github.example/acme/models/blob/abc/gates/x"
LOSSES = [0.9, 0.5, 0.3, 0.25, 0.24]


def drawn_of(**values: Any) -> Pictures:
    return pictures((name, lambda value=value: value) for name, value in values.items())


def with_pictures(draft: Draft, made: Pictures) -> Draft:
    return replace(draft, drawn=made.drawn, not_drawn=made.not_drawn)


def a_draft(**values: Any) -> Draft:
    shown = tuple(summarise(name, value, digest="sha256:1") for name, value in values.items())
    return with_pictures(a_request(artifacts=shown).draft, drawn_of(**values))


def asked(draft: Draft) -> ApprovalRequest:
    assert draft.policy
    return draft.bound(draft.policy, a_request().opened_at)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


# -- the chart -----------------------------------------------------------------------------------


def pixels(png: bytes) -> list[bytes]:
    """The rows of a file as another program reads them: each pixel is a number of its palette."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", png, at + 8 + length)
        assert check == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", content)
            assert (depth, colour) == (2, 3)
        data += content * (kind == b"IDAT")
        at += 12 + length
    packed = zlib.decompress(data)
    size = 1 + width // 4
    rows = [packed[row * size + 1 : (row + 1) * size] for row in range(height)]
    return [bytes(each >> shift & 3 for each in row for shift in (6, 4, 2, 0)) for row in rows]


def line_in(rows: Sequence[bytes]) -> list[int]:
    """The highest row of the line in each column; -1 if it has none."""
    return [next((y for y, row in enumerate(rows) if row[x] == 2), -1) for x in range(len(rows[0]))]


def test_a_line_goes_down_as_its_numbers_do_in_both_colourings() -> None:
    light, dark = (pixels(each) for each in charts([3.0, 2.0, 1.0]))
    assert light == dark
    line = [each for each in line_in(light) if each >= 0]
    assert line == sorted(line)
    assert (line[0], line[-1]) == (7, len(light) - 10)


def test_a_number_that_is_not_finite_is_a_gap() -> None:
    line = line_in(pixels(charts([1.0, 2.0, math.nan, 2.0, 1.0])[0]))
    assert line[8] >= 0
    assert line[len(line) // 2] == -1


def test_the_same_numbers_are_the_same_file_on_every_machine() -> None:
    light, _ = charts(LOSSES)
    assert (
        hashlib.sha256(light).hexdigest()
        == "c6857cd1ca0bb2fda3fd24247b1080f5b1963e80671ecb1669dcb9b458c7235c"
    )


def test_numbers_that_differ_in_their_last_digit_are_drawn() -> None:
    """A training that has converged."""
    made = charts([0.1, math.nextafter(0.1, 1.0)] * 300)
    assert all(-1 <= each < 160 for each in line_in(pixels(made[0])))


def test_numbers_of_a_library_of_its_own_are_a_series() -> None:
    assert series_of([Fraction(1, 2), Fraction(1, 4)]) == (0.5, 0.25)


@settings(max_examples=30)
@given(st.lists(st.floats() | st.integers(), max_size=40))
def test_whatever_numbers_there_are_can_be_drawn_or_are_no_series(numbers: list[float]) -> None:
    series = series_of(numbers)
    if series:
        assert in_words(series).isprintable()
        assert all(map(pixels, charts(series)))


@pytest.mark.parametrize(
    "value",
    [[], [1], [1, True], [1, "2"], "12", {1: 2}, [10**400, 1], [math.nan, 1], [1e308, -1e308], 5],
    ids=repr,
)
def test_what_is_no_series_is_not_drawn_and_says_why(value: Any) -> None:
    made = drawn_of(x=value)
    assert not made.drawn
    assert made.not_drawn[0].why.startswith("x is not drawn: it is ")


def test_an_array_is_a_series_if_it_has_one_dimension() -> None:
    import numpy

    assert series_of(numpy.array([1, 2.5])) == (1.0, 2.5)
    assert series_of(numpy.zeros((2, 2))) is None


def test_the_words_have_the_numbers_and_a_line_of_text() -> None:
    assert in_words(LOSSES) == "5 values, from 0.9 to 0.24, lowest 0.24, highest 0.9 █▄▂▁▁"
    assert "1 not finite" in in_words([1.0, math.inf, 2.0])


def test_a_page_has_a_bounded_number_of_pictures_and_none_of_a_secret() -> None:
    many = drawn_of(api_token=[1, 2], **{f"s{n}": [1, 2] for n in range(MOST)})
    assert len(many.drawn) == 2 * (MOST - 1)
    assert [each.why for each in many.not_drawn] == [
        "api_token is not drawn: it looks like a secret",
        f"s{MOST - 1} is not drawn: a page has {MOST} pictures at most",
    ]


def test_a_name_that_is_given_twice_is_drawn_once() -> None:
    """Else the step that computes it again would find other pictures than the page showed."""
    made = pictures([("train.losses", lambda: LOSSES)] * 2)
    shown = tuple(each.picture for each in made.drawn)
    assert [each.file for each in shown] == ["figure-1.png", "figure-2.png"]
    assert as_recorded(made.drawn, made.not_drawn, shown) == shown


def test_a_picture_survives_the_way_out_of_the_process_that_drew_it() -> None:
    draft = a_draft(losses=LOSSES)
    assert read(Draft, plain(draft), "draft") == (draft, [])


# -- figures -------------------------------------------------------------------------------------


def filtered(rows: Sequence[bytes], ways: Sequence[int], size: int) -> bytes:
    """The rows as an encoder writes them, each in one of the five ways of the format."""
    out, above = b"", bytes(len(rows[0]))
    for row, way in zip(rows, ways, strict=True):
        shifted, corner = (bytes(size) + line[:-size] for line in (row, above))
        guess = [
            (0, a, b, (a + b) // 2, min((a, b, c), key=lambda n, p=a + b - c: abs(p - n)))[way]
            for a, b, c in zip(shifted, above, corner, strict=True)
        ]
        out += bytes([way]) + bytes(x - g & 255 for x, g in zip(row, guess, strict=True))
        above = row
    return out


def a_file(kind: int, rows: Sequence[bytes], width: int, ways: Sequence[int], size: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    data = zlib.compress(filtered(rows, ways, size))
    return png.write(header, [(b"tEXt", b"Comment\0secret"), (b"IDAT", data)])


@settings(max_examples=30)
@given(st.data())
def test_a_file_is_read_as_it_was_drawn_and_written_anew_without_its_comments(
    data: st.DataObject,
) -> None:
    width, height = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    of = st.binary(min_size=3 * width, max_size=3 * width)
    rows = tuple(data.draw(of) for _ in range(height))
    ways = [data.draw(st.integers(0, 4)) for _ in range(height)]
    image = png.read_image(a_file(2, rows, width, ways, 3))
    assert image == png.Image(width, rows)
    again = png.write_image(image)
    assert png.read_image(again) == image
    assert b"secret" not in again


@pytest.mark.parametrize(
    ("kind", "pixel", "seen"),
    [
        (0, b"\x10", b"\x10\x10\x10"),
        (4, b"\x10\x00", b"\xff\xff\xff"),
        (6, b"\x00\x64\xff\x80", b"\x7f\xb1\xff"),
    ],
    ids=["grey", "clear grey", "half clear colour"],
)
def test_a_picture_is_on_a_white_page(kind: int, pixel: bytes, seen: bytes) -> None:
    image = png.read_image(a_file(kind, [pixel], 1, [0], len(pixel)))
    assert image.rows == (seen,)


FIGURE = a_file(2, [bytes(range(6))] * 2, 2, [0, 2], 3)


BLACK = a_file(2, [bytes(3)], 1, [0], 3)


class Plot:
    """What a plotting library draws."""

    axes = ()

    def __init__(self, file: bytes = FIGURE) -> None:
        self.file = file

    def savefig(self, target: Any, **_: Any) -> None:
        target.write(self.file)


@pytest.mark.parametrize(
    ("number", "seen"), [(0, b"\xff\xff\xff"), (1, b"\x10\x20\x30"), (9, bytes(3))]
)
def test_a_clear_colour_of_a_palette_is_on_a_white_page(number: int, seen: bytes) -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
    parts = [(b"PLTE", b"\0\0\0\x10\x20\x30"), (b"tRNS", b"\0")]
    data = (b"IDAT", zlib.compress(bytes([0, number])))
    assert png.read_image(png.write(header, [*parts, data])).rows == (seen,)


class Transparent:
    """An image as Pillow has it, whose colours beneath what is clear are black."""

    size = (1, 1)

    def convert(self, mode: str) -> Transparent:
        self.mode = mode
        return self

    def save(self, target: Any, _: str) -> None:
        kind, pixel = {"RGBA": (6, bytes(4)), "RGB": (2, bytes(3))}[self.mode]
        target.write(a_file(kind, [pixel], 1, [0], len(pixel)))


Transparent.__module__ = "PIL.Image"


def test_an_image_is_on_a_white_page() -> None:
    (made,) = drawn_of(x=Transparent()).drawn
    assert png.read_image(made.png).rows == (b"\xff\xff\xff",)


@pytest.mark.parametrize("value", [FIGURE, Plot()], ids=["bytes", "figure"])
def test_a_figure_is_one_picture_for_both_themes(value: Any) -> None:
    (made,) = drawn_of(x=1, plot=value).drawn
    assert (made.picture.file, made.picture.dark) == ("figure-3.png", False)
    assert made.picture.alt == "plot: a picture of 2 × 2 pixels"
    assert made.png == png.write_image(png.read_image(FIGURE))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Plot(b"GIF"), "it is no PNG file"),
        (FIGURE[:-24], "it ends too early"),
        (b"\xff\xd8\xff JPEG", "to read a JPEG file takes Pillow: pip install pillow"),
        (
            png.write(struct.pack(">IIBBBBB", 0, 1, 8, 2, 0, 0, 0), ()),
            "it has 0 × 1 pixels: draw it smaller",
        ),
        (
            png.write(struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), ()),
            "it has 60,000 × 60,000 pixels: draw it smaller",
        ),
        (
            png.write(struct.pack(">IIBBBBB", 1, 60_000, 8, 2, 0, 0, 0), ()),
            "it has 1 × 60,000 pixels: draw it smaller",
        ),
    ],
    ids=["no PNG", "cut", "JPEG", "empty", "bomb", "tower"],
)
def test_what_cannot_be_read_is_left_out_and_says_why(
    value: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    made = drawn_of(x=value)
    assert [each.why for each in made.not_drawn] == [f"x is not drawn: {why}"]
    assert not made.drawn


def test_a_figure_that_raises_is_left_out() -> None:
    made = drawn_of(x=Plot(None))  # type: ignore[arg-type]
    assert made.not_drawn[0].why.startswith("x is not drawn: TypeError: ")


class Line:
    def __init__(self, *numbers: Any) -> None:
        self.get_ydata = lambda: numbers
        self.get_label = lambda: "a line"


def test_a_figure_says_the_numbers_of_its_lines_and_is_shown_if_it_has_none() -> None:
    of_numbers, of_names = (
        SimpleNamespace(get_lines=lambda line=line: [line]) for line in (Line(1, 2), Line("a", "b"))
    )
    grid = SimpleNamespace(flat=[of_names, of_numbers])  # as an array of rows is
    for axes in ([of_numbers], [of_names, of_numbers], grid):
        plot = Plot()
        plot.axes = axes  # type: ignore[assignment]
        (made,) = drawn_of(x=plot).drawn
        assert made.picture.alt.startswith("x: a picture of 2 × 2 pixels; a line: 2 values")


class Elsewhere:
    """A lazy frame, or a proxy: it raises something of its own if it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("not computed yet")


def test_a_value_that_cannot_be_looked_at_is_left_out() -> None:
    made = drawn_of(x=Elsewhere(), losses=LOSSES)
    assert [each.why for each in made.not_drawn] == [
        "x is not drawn: RuntimeError: not computed yet"
    ]
    assert len(made.drawn) == 2


def test_a_figure_that_is_drawn_otherwise_elsewhere_is_that_of_the_record(
    ledger: GitLedger,
) -> None:
    draft = a_draft(plot=Plot())
    recorded(ledger, draft)
    other = drawn_of(plot=Plot(BLACK))
    assert verify(ledger, with_pictures(draft, other)).outcome is Outcome.APPROVED


# -- the page ------------------------------------------------------------------------------------


def test_a_page_shows_a_picture_for_each_theme_by_an_absolute_address_with_its_numbers() -> None:
    page = summary(asked(a_draft(losses=LOSSES)), FOLDER)
    words = "losses: 5 values, from 0.9 to 0.24, lowest 0.24, highest 0.9 █▄▂▁▁"
    assert (
        "<picture>\n"
        '<source media="(prefers-color-scheme: dark)"'
        f' srcset="{FOLDER}/figure-2.png?raw=true">\n'
        f'<img alt="{words}" src="{FOLDER}/figure-1.png?raw=true">\n'
        "</picture>\n\n"
        f"{words}"
    ) in page


def test_the_address_names_the_commit_that_was_pushed() -> None:
    request = asked(a_draft(losses=LOSSES))
    url = "https://github.example/acme/models"
    site = Site("acme/models", 1, url, "main", "c" * 40, None, Voices())
    shown = page_text.body(request, "f" * 40, site)
    assert f"/blob/{'f' * 40}/{request.gate.folder}/figure-1.png?raw=true" in shown


def test_the_committed_page_shows_the_file_beside_it() -> None:
    assert 'src="figure-1.png"' in request_md(asked(a_draft(losses=LOSSES)))


def test_the_words_of_a_picture_cannot_end_their_tag() -> None:
    hostile = drawn_of(**{'x"><img src=//evil.example/?a @ann `': [1, 2]})
    request = replace(a_request(), pictures=tuple(each.picture for each in hostile.drawn))
    page = summary(request, FOLDER)
    assert len(re.findall("<img", page)) == 1
    assert "@ann" not in page.split("</picture>")[1]


# -- what an approval is bound to ------------------------------------------------------------------


def git_name(content: bytes) -> str:
    whole = b"blob %d\0" % len(content) + content
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


def recorded(ledger: GitLedger, draft: Draft) -> ApprovalRequest:
    request = open_gate(ledger, Heard(), asked(draft), draft.drawn).request
    ledger.record(a_decision(request))
    return request


def test_the_pictures_are_recorded_beside_their_request(
    ledger: GitLedger, repository: Path
) -> None:
    request = recorded(ledger, a_draft(losses=LOSSES))
    names = git(repository, "ls-tree", "--name-only", f"{request.shard}:{request.gate.folder}")
    assert names.split() == ["decision.yaml", "figure-1.png", "figure-2.png", "request.md",
                             "request.yaml"]  # fmt: skip
    found = git(repository, "ls-tree", f"{request.shard}:{request.gate.folder}", "figure-1.png")
    png = charts(LOSSES)[0]
    assert found.split()[2] == git_name(png)


def test_a_step_that_draws_another_chart_does_not_run(ledger: GitLedger) -> None:
    draft = a_draft(losses=LOSSES)
    recorded(ledger, draft)
    assert verify(ledger, draft).outcome is Outcome.APPROVED
    lie = with_pictures(draft, drawn_of(losses=[1, 2]))
    with pytest.raises(GateShut, match="the page showed other pictures"):
        verify(ledger, lie)


def test_a_step_that_cannot_draw_takes_the_picture_of_the_record(ledger: GitLedger) -> None:
    draft = a_draft(losses=LOSSES)
    recorded(ledger, draft)
    assert (
        verify(ledger, with_pictures(draft, drawn_of(losses=object()))).outcome is Outcome.APPROVED
    )


def test_a_page_may_lack_a_picture_that_can_be_drawn_here() -> None:
    assert as_recorded(drawn_of(losses=LOSSES).drawn, (), ()) == ()


def test_a_page_that_showed_a_picture_which_the_flow_does_not_draw_lets_nothing_run(
    ledger: GitLedger,
) -> None:
    recorded(ledger, a_draft(losses=LOSSES))
    with pytest.raises(GateShut, match="the page showed other pictures"):
        verify(ledger, with_pictures(a_draft(losses=LOSSES), drawn_of(accuracies=[1, 2])))


@pytest.mark.parametrize("name", ["api_token", "ninth"])
def test_a_picture_that_no_machine_draws_is_never_that_of_the_record(name: str) -> None:
    values = {f"s{n}": [1, 2] for n in range(MOST - 1)} | {"api_token": [1, 2], "ninth": [1, 2]}
    made = drawn_of(**values)
    forged = replace(made.drawn[0].picture, file="figure-99.png", of=name)
    shown = (*(each.picture for each in made.drawn), forged)
    assert as_recorded(made.drawn, made.not_drawn, shown) == shown[:-1]


def test_a_request_is_verified_with_its_own_pictures(ledger: GitLedger) -> None:
    request = recorded(ledger, a_draft(losses=LOSSES))
    assert verify(ledger, request.draft).outcome is Outcome.APPROVED


def test_a_figure_that_is_drawn_once_more_asks_nothing_anew(ledger: GitLedger) -> None:
    """Metaflow's second attempt opens the gate again, and a plotting library draws otherwise."""
    first, second = (
        a_draft(plot=each, losses=LOSSES)
        for each in (Plot(), Plot(a_file(2, [bytes(3)], 1, [0], 3)))
    )
    second = replace(second, artifacts=first.artifacts)  # the same bytes are stored
    missing = replace(
        second,
        drawn=tuple(each for each in second.drawn if each.exact),
        not_drawn=(NotDrawn("plot", "plot is not drawn: there is no matplotlib"),),
    )
    assert [each.picture for each in first.drawn] != [each.picture for each in second.drawn]
    heard = Heard()
    standings = [
        open_gate(ledger, heard, asked(each), each.drawn, each.not_drawn)
        for each in (first, second, missing)
    ]
    assert {each.commit for each in standings} == {standings[0].commit}
    assert heard.words == ["opened"]


def test_a_figure_of_another_artifact_is_drawn_anew(ledger: GitLedger) -> None:
    first, second = (
        a_draft(plot=each) for each in (Plot(), Plot(a_file(2, [bytes(3)], 1, [0], 3)))
    )
    (artifact,) = second.artifacts
    second = replace(second, artifacts=(replace(artifact, digest="sha256:2"),))
    shown = [
        open_gate(ledger, Heard(), asked(each), each.drawn).request.pictures
        for each in (first, second)
    ]
    assert shown[0] != shown[1]


def test_a_value_that_cannot_be_read_in_a_second_process_asks_nothing_anew(
    ledger: GitLedger,
) -> None:
    first = a_request(artifacts=(Artifact("model", "pkg.Model", "sha256:1", value="oak"),))
    unread = replace(first, artifacts=(Artifact("model", "pkg.Model", "sha256:1", size=9),))
    standings = [open_gate(ledger, Heard(), each) for each in (first, unread)]
    assert standings[0].commit == standings[1].commit


def test_a_request_that_is_asked_anew_keeps_its_pictures(ledger: GitLedger) -> None:
    draft = a_draft(losses=LOSSES)
    request = open_gate(ledger, Heard(), asked(draft), draft.drawn).request
    anew = replace(request, policy=replace(request.policy, timeout=60))
    assert ledger.open(anew, "page").request.pictures == request.pictures
    assert ledger.record(a_decision(anew)).decision


def test_a_picture_that_nobody_has_is_not_asked_about(ledger: GitLedger) -> None:
    with pytest.raises(LedgerCorrupt, match=r"figure-1\.png is not the picture that the request"):
        ledger.open(asked(a_draft(losses=LOSSES)), "page")


def test_another_picture_under_its_name_is_never_approved_and_can_be_rejected(
    ledger: GitLedger, repository: Path
) -> None:
    draft = a_draft(losses=LOSSES)
    request = open_gate(ledger, Heard(), asked(draft), draft.drawn).request
    # Its opener may push to its branch: the same request, and another file.
    path = f"{request.gate.folder}/figure-1.png"
    put(repository, f"refs/heads/{request.gate.branch}", {path: "another"})
    with pytest.raises(LedgerCorrupt, match=r"figure-1\.png is not the picture that the request"):
        ledger.record(a_decision(request))
    assert ledger.record(a_rejection(request)).decision


def test_a_picture_that_the_request_does_not_list_is_not_recorded(
    ledger: GitLedger, repository: Path
) -> None:
    draft = a_draft(losses=LOSSES)
    request = open_gate(ledger, Heard(), asked(draft), draft.drawn).request
    path = f"{request.gate.folder}/figure-3.png"
    put(repository, f"refs/heads/{request.gate.branch}", {path: "another"})
    ledger.record(a_decision(request))
    names = git(repository, "ls-tree", "--name-only", f"{request.shard}:{request.gate.folder}")
    assert "figure-3.png" not in names


@pytest.mark.parametrize("by_hand", ["figure-1.png", "figure-9.png"])
def test_an_audit_finds_a_picture_that_its_request_does_not_list(
    ledger: GitLedger, repository: Path, by_hand: str
) -> None:
    request = recorded(ledger, a_draft(losses=LOSSES))
    assert audit(ledger).faults == ()
    head = git(repository, "rev-parse", LEDGER).strip()
    path = f"{request.gate.folder}/{by_hand}"
    put(repository, LEDGER, {path: "another"})
    tree = git(repository, "rev-parse", f"{LEDGER}^{{tree}}").strip()
    onto = [f"-p{head}^1", f"-p{head}^2"]
    message = git(repository, "log", "-1", "--format=%B", head)
    made = git(repository, "commit-tree", tree, *onto, stdin=message)
    git(repository, "update-ref", LEDGER, made.strip())
    (fault,) = audit(ledger).faults
    assert path in fault
    assert re.search("is (not the|a) picture that its request", fault)
