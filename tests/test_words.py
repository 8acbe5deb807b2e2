"""The documentation is in plain words: what can be counted of that is counted here."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def words(text: str) -> list[str]:
    """Those of the prose: neither blocks of code nor names in it."""
    prose = re.sub(r"`[^`]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return re.findall(r"[a-z']+", prose.lower())


def test_the_pages_use_the_usual_words() -> None:
    found = [word for page in PAGES for word in words(page.read_text(encoding="utf-8"))]
    counts = Counter(found)

    def of(*these: str) -> float:
        """Per 10,000 words."""
        return sum(counts[each] for each in these) * 10_000 / len(found)

    assert of("where") <= 12, "write `if` for a condition"
    assert of("told", "tells") <= 3, "write `said`, `says`, or who does what"
    assert of("whoever", "whom", "whomever") <= 3, "write `anyone who`, `the person who`"
    assert of("if") >= 20
    assert of("you") >= 40, "write to the reader"


def test_a_table_begins_with_its_header() -> None:
    """A blank line in the middle ends a table; what follows it shows as text full of bars."""
    cut = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for first, second in re.findall(r"(?:\A|\n\n)(\|.*)\n?(.*)", prose):
            if not re.fullmatch(r"\|[-:| ]+\|", second):
                cut.append(f"{page.relative_to(ROOT)}: {first}")
    assert cut == []


def guides() -> list[str]:
    """The pages that the site calls tutorials and how-to pages."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    parts = [part for each in nav for part in (*each.get("Tutorials", ()), *each.get("How to", ()))]
    return [page for part in parts for page in part.values()]


@pytest.mark.parametrize("page", guides())
def test_a_guide_begins_with_what_you_can_do(page: str) -> None:
    path = ROOT / ("examples/README.md" if page == "examples.md" else f"docs/{page}")
    title, paragraph = path.read_text("utf-8").split("\n\n")[:2]
    assert title.startswith("# ")
    assert {"you", "your"} & set(words(paragraph)[:12])


def explanations(source: str) -> Iterator[str]:
    """The comments and the docstrings of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    yield from (each.string for each in tokens if each.type == tokenize.COMMENT)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_the_code_explains_itself_in_the_usual_words() -> None:
    folders = (ROOT / "bridge", ROOT / "metaflow_extensions")
    modules = [each for folder in folders for each in folder.rglob("*.py")]
    text = "\n".join(text for each in modules for text in explanations(each.read_text("utf-8")))
    found = words(text)
    counts = Counter(found)

    def of(*these: str) -> float:
        """Per 10,000 words."""
        return sum(counts[each] for each in these) * 10_000 / len(found)

    assert of("where") <= 28, "write `if` for a condition"
    assert of("told", "tells") <= 3, "write `says`, or who does what"
    assert of("whoever", "whom", "whomever") <= 3, "write `anyone who`, `the person who`"
