"""What people see: the pages of gates, in HTML that looks like GitHub's.

`make test-browser` looks at them in a real browser, and draws them into build/eye. docs/pictures
has those that the documentation shows, each with the Markdown that it was drawn from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cmarkgfm
import pandas as pd
from cmarkgfm.cmark import Options

from bridge.core.artifacts import summarise
from bridge.core.branches import asking_for
from bridge.core.model import Artifact, Kind, Link
from bridge.core.unmatched import Option, Unmatched
from tests.forge import World
from tests.github.pulls import PullRequest

ROOT = Path(__file__).parent.parent
POLICY = """\
gates:
  - name: deploy
    require:
      each: [{users: [alice, bob]}, {permission: maintain}]
    timeout: 24h
    bar: {initiator: false}
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "target": {"type": "string", "enum": ["staging", "production"], "description": "where to"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["target"],
    "additionalProperties": False,
}
MESSAGE = """\
Deploy **resnet-50** with accuracy 94.1 %?

It was trained on the fruit of last week."""
KIND = Kind("Train", "deploy")

#: Colours of text, page, lines, soft ground and links, near enough to GitHub's.
THEMES = {
    "light": ("#1f2328", "#ffffff", "#d1d9e0", "#f6f8fa", "#0969da"),
    "dark": ("#f0f6fc", "#0d1117", "#3d444d", "#151b23", "#4493f8"),
}
STYLE = """
* {{ box-sizing: border-box }}
body {{ font: 16px/1.5 "Liberation Sans", sans-serif; color: {0}; background: {1}; margin: 0;
        padding: 16px }}
article {{ border: 1px solid {2}; border-radius: 6px; padding: 0 16px; margin: 0 0 16px;
           overflow-wrap: break-word; font-size: 14px }}
table {{ display: block; overflow: auto; border-collapse: collapse; width: max-content;
         max-width: 100% }}
td, th {{ border: 1px solid {2}; padding: 6px 13px }}
code, pre {{ background: {3}; border-radius: 6px; padding: .2em .4em;
             font: 85% "Liberation Mono", monospace }}
pre {{ padding: 16px; overflow: auto }} pre code {{ padding: 0 }}
blockquote {{ border-left: .25em solid {2}; margin: 0 0 16px; padding: 0 1em }}
.read-aloud {{ position: absolute; clip-path: inset(50%); width: 1px; height: 1px }}
h1, h3 {{ line-height: 1.25 }} a {{ color: {4} }} img {{ max-width: 100% }}
"""


@dataclass(frozen=True)
class Seen:
    """A page as a person has it on the screen: its title, and what the bridge wrote, in order."""

    name: str
    title: str
    texts: tuple[str, ...]

    def html(self, theme: str) -> str:
        made = "".join(f"<article>{_rendered(each)}</article>" for each in self.texts)
        style = STYLE.format(*THEMES[theme])
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width">'
            f"<title>{self.name}</title><style>{style}</style>"
            f"<main><h1>{_rendered(self.title)[3:-4]}</h1>"
            # GitHub has this heading for readers of a screen between the title and the comments.
            f'<h2 class="read-aloud">Conversation</h2>{made}</main>'
        )

    def source(self) -> str:
        """The Markdown, without what differs from run to run."""
        text = "\n\n---\n\n".join((f"# {self.title}", *self.texts))
        text = re.sub(r"\b[0-9a-f]{7,64}\b", "…", text)
        text = re.sub(r"127\.0\.0\.1:\d+", "github.example", text)
        return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", "(a time)", text) + "\n"


def _rendered(markdown: str) -> str:
    html: str = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    return html.strip()


def pages(at: World) -> list[Seen]:
    """A page from its first look to its decision, and a rejected one; both have a baseline."""
    # The order of what is refused follows from the times: no second passes by itself.
    at.github.clock.set(at.github.clock.now())
    at.repo.grant(at.alice, "maintain")
    _decided(at, _opened(at, 6, accuracy=0.929, loss=0.22, rows=1000))
    first = _opened(at, 7, accuracy=0.941, loss=0.21, rows=1200)
    seen = [_seen("first-look", first)]
    first.comment(at.mallory, "/approve target=staging")
    first.review(at.bob, "APPROVED", "")
    at.github.clock.advance(minutes=1)  # in one second nobody knows which of the two was later
    first.comment(at.bob, "/approve target=staging share=0.2")
    at.tend(first)
    seen.append(_seen("half-approved", first, at.status(first)))
    first.comment(at.alice, "/approve target=staging share=0.2")
    at.tend(first)
    seen.append(_seen("approved", first, at.status(first)))
    other = _opened(at, 8, accuracy=0.7, loss=0.5, rows=1200)
    seen.append(_seen("worse", other))
    at.github.clock.advance(minutes=1)
    other.comment(at.alice, "/reject the accuracy fell by a quarter")
    at.tend(other)
    return [*seen, _seen("rejected", other, at.status(other)), _choice(at)]


def _choice(at: World) -> Seen:
    """A join of many branches that asks which of them to keep. Its prompt is another one than that
    of the last approved run, and its declaration names an artifact that it has not."""
    before = _joined(at, 9, "Answer kindly.\nBe short.\nNever guess.")
    before.comment(at.alice, "/approve")
    before.comment(at.bob, "/approve")
    at.tend(before)
    assert at.recorded(before)
    return _seen("choice", _joined(at, 10, f"Answer kindly.\n{'Be very short indeed. ' * 9}"))


def _joined(at: World, run: int, prompt: str) -> PullRequest:
    countries = ["de", "fr", "a-long-name-of-a-country-2026"]
    values = {f"train[{each}].accuracy": 0.9 - 0.2 * n for n, each in enumerate(countries)}
    values |= {f"train[{each}].false_positive_rate": 0.012345678 for each in countries}
    artifacts = tuple(
        summarise(name, value, digest=f"sha256:{name + str(value)[-40:]:0<64}")
        for name, value in {**values, "prompt": prompt}.items()
    )
    return at.open(
        f"Train/{run}/deploy/12",
        schema=asking_for(None, countries),
        artifacts=artifacts,
        message="Publish these?",
        kind=Kind("Train", "deploy", name="countries"),
        unmatched=(Unmatched(Option.BETTER, "false_positive_rates"),),
    )


def _seen(name: str, pull: PullRequest, *status: str) -> Seen:
    return Seen(name, pull.title, (pull.body, *status))


def _opened(at: World, run: int, *, accuracy: float, loss: float, rows: int) -> PullRequest:
    values: dict[str, Any] = {
        "accuracy": accuracy,
        "loss": loss,
        "model_name": "resnet-50-imagenet-finetuned-on-fruit-2026",
        "fruit": pd.DataFrame({"was": ["apple", "pear"] * (rows // 2), "weight": [0.1] * rows}),
        "weights": [0.1] * 2000,
    }
    artifacts: tuple[Artifact, ...] = tuple(
        summarise(name, value, digest=f"sha256:{name + str(value)[:40]:0<64}")
        for name, value in values.items()
    )
    return at.open(
        f"Train/{run}/deploy/12",
        schema=SCHEMA,
        artifacts=artifacts,
        links=(Link("the run", f"https://argo.example/run/{run}"),),
        message=MESSAGE,
        kind=KIND,
    )


def _decided(at: World, pull: PullRequest) -> None:
    for person in (at.bob, at.alice):
        at.github.clock.advance(minutes=1)
        pull.comment(person, "/approve target=staging")
    at.tend(pull)
    assert at.recorded(pull)
