"""What people see: a gate's page rendered as GitHub renders it, in a real browser.

    make eye                      # needs chromium on the PATH

Pictures of the pull request's body and of its status comment in three states, light and dark, on a
desktop and on a phone, in build/eye. They are to be looked at; nothing is asserted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cmarkgfm
import pandas as pd
from cmarkgfm.cmark import Options

from bridge.core.artifacts import summarise
from bridge.core.model import Link
from tests.forge import World, world

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
VALUES = {
    "accuracy": 0.9312345,
    "loss": 0.21,
    "model_name": "resnet-50-imagenet-finetuned-on-fruit-2026",
    "confusion": pd.DataFrame({"was": ["apple", "pear"], "apple": [91, 4], "pear": [3, 102]}),
    "weights": [0.1] * 2000,
}
MESSAGE = """\
Deploy **resnet-50** with accuracy 93.1 %?

It was trained on the fruit of last week; the last approved one had 91.8 %."""

#: Colours of text, page, lines and soft ground, near enough to GitHub's.
THEMES = {
    "light": ("#1f2328", "#ffffff", "#d1d9e0", "#f6f8fa"),
    "dark": ("#f0f6fc", "#0d1117", "#3d444d", "#151b23"),
}
#: Chromium makes no window narrower than 500.
WIDTHS = {"desktop": 900, "phone": 500}
STYLE = """
body {{ font: 16px/1.5 sans-serif; color: {0}; background: {1}; margin: 0; padding: 16px }}
table {{ display: block; overflow: auto; border-collapse: collapse; width: max-content;
         max-width: 100% }}
td, th {{ border: 1px solid {2}; padding: 6px 13px }}
code, pre {{ background: {3}; border-radius: 6px; padding: .2em .4em; font: 85% monospace }}
pre {{ padding: 16px; overflow: auto }} pre code {{ padding: 0 }}
blockquote {{ border-left: .25em solid {2}; margin: 0 0 16px; padding: 0 1em }}
h1, h3 {{ line-height: 1.25 }} a {{ color: #4493f8 }}
"""


def main() -> int:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no chromium is on the PATH: install it, then `make eye`", file=sys.stderr)
        return 1
    out = ROOT / "build" / "eye"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), POLICY) as at:
        for name, markdown in states(at):
            draw(browser, out, name, markdown)
    print(f"look at {out.relative_to(ROOT)}/*.png")
    return 0


def states(at: World) -> list[tuple[str, str]]:
    artifacts = tuple(
        summarise(name, value, digest=f"sha256:{name:0<64}") for name, value in VALUES.items()
    )
    links = (Link("the run", "https://argo.example/run/7"),)
    pull = at.open(schema=SCHEMA, artifacts=artifacts, links=links, message=MESSAGE)
    seen = [("body", f"# {pull.title}\n\n{pull.body}")]
    pull.comment(at.mallory, "/approve target=staging")
    pull.review(at.bob, "APPROVED", "")
    at.tend(pull)
    seen.append(("refused", at.status(pull)))
    pull.comment(at.bob, "/approve target=staging share=0.2")
    at.tend(pull)
    seen.append(("halfway", at.status(pull)))
    at.repo.grant(at.alice, "maintain")
    pull.comment(at.alice, "/approve target=staging share=0.2")
    at.tend(pull)
    return [*seen, ("approved", at.status(pull))]


def draw(browser: str, out: Path, name: str, markdown: str) -> None:
    html = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    for theme, colours in THEMES.items():
        page = out / f"{name}-{theme}.html"
        page.write_text(f"<meta charset=utf-8><style>{STYLE.format(*colours)}</style>{html}")
        for device, width in WIDTHS.items():
            shot = out / f"{name}-{theme}-{device}.png"
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            flags += [f"--window-size={width},1100", f"--screenshot={shot}", page.as_uri()]
            subprocess.run([browser, *flags], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
