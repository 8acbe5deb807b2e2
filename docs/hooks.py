"""What the site has besides `docs/`: the pages of the repository's root, files that pages link, and
reference pages made from the code.

mkdocs runs these hooks: https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Pages of the repository's root, by their name on the site.
FROM_ROOT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "vulnerabilities.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "examples.md": "examples/README.md",
}
_ON_SITE = {ROOT / path: name for name, path in FROM_ROOT.items()}
#: Where a file that is no page is copied to.
_FILES = "files"
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(\))")
_PICTURE = re.compile(r'((?:src|srcset)=")(?!\w+:)([^"#]+)()(")')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision record into the navigation."""
    explanation = next(part["Explanation"] for part in config.nav or [] if "Explanation" in part)
    decisions = next(part["Decisions"] for part in explanation if "Decisions" in part)
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    decisions += [f"decisions/{each.name}" for each in records]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`, and the files that any page links outside of it."""
    made = {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/policy.md": policy(),
        "reference/python.md": python(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for name, path in FROM_ROOT.items():
        text = (ROOT / path).read_text("utf-8")
        files.append(File.generated(config, name, content=moved(text, ROOT / path, name)))
    for linked in sorted(set(_linked())):
        name = f"{_FILES}/{linked.relative_to(ROOT)}"
        files.append(File.generated(config, name, content=linked.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links that leave `docs/` lead to what the site has in their place."""
    source = page.file.abs_src_path
    if source is None or not Path(source).is_relative_to(ROOT / "docs"):
        return markdown
    return moved(markdown, Path(source), page.file.src_uri)


def moved(text: str, source: Path, name: str) -> str:
    """The links of a file of the repository, as links of the page `name` of the site."""
    ups = "../" * (len(PurePosixPath(name).parts) - 1)

    def link(found: re.Match[str]) -> str:
        target = (source.parent / found[2]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            on_site = target.relative_to(ROOT / "docs").as_posix()
        else:
            on_site = _ON_SITE.get(target) or f"{_FILES}/{target.relative_to(ROOT).as_posix()}"
        return f"{found[1]}{ups}{on_site}{found[3] or ''}{found[4]}"

    return _PICTURE.sub(link, _LINK.sub(link, text))


def _linked() -> Iterator[Path]:
    """Files outside `docs/` that a page links, and that are no page themselves."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / path for path in FROM_ROOT.values())]
    for page in pages:
        for found in _LINK.finditer(page.read_text("utf-8")):
            target = (page.parent / found[2]).resolve()
            outside = target.is_file() and not target.is_relative_to(ROOT / "docs")
            if outside and target not in _ON_SITE:
                yield target


# -- reference pages, from the code ----------------------------------------------------------------


def commands() -> str:
    """Every command's help, as it prints it at a terminal of 80 columns."""
    from bridge.cli.main import hitl

    parts = [
        "# Commands",
        "Each command as it prints its own help. [cli.md](../cli.md) explains them.",
    ]
    for context in _commands(click.Context(hitl, info_name="hitl", terminal_width=80)):
        parts += [f"## `{context.command_path}`", f"```text\n{context.get_help()}\n```"]
    return "\n\n".join(parts) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(group := context.command, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _commands(click.Context(command, info_name=name, parent=context))


def settings() -> str:
    """The table of variables in docs/cli.md, and those that the bridge sets for itself."""
    from bridge.core import settings as of

    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    section = page.split("\n## Environment\n", 1)[1].split("\n## ", 1)[0]
    section = moved(section, ROOT / "docs" / "cli.md", "reference/settings.md")
    section = section.replace("](#", "](../cli.md#")
    own = "\n".join(f"- `{name}`" for name in sorted(of.INTERNAL))
    return (
        f"# Environment variables\n{section}\n\n## Set by the bridge itself\n\nYou don't set these."
        f" The action and the pods hand them to the bridge.\n\n{own}\n"
    )


def policy() -> str:
    """The keys of the policy file, from its schema."""
    schema = json.loads((ROOT / "docs" / "approvals.schema.json").read_text("utf-8"))
    parts = [
        "# Policy file",
        "Every key of `.github/approvals.yml`, from its"
        " [schema](../approvals.schema.json). [policy.md](../policy.md) explains them.",
        "## The file",
        _keys(schema),
    ]
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            parts += [f"## `{name}`", definition.get("description", ""), _keys(definition)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _keys(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"| `{name}` | {_kind(value)} | {'yes' if name in required else ''} |"
        f" {value.get('description', '')} |"
        for name, value in schema["properties"].items()
    ]
    return "\n".join(["| key | value | required | |", "|---|---|---|---|", *rows])


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    for one_of in ("oneOf", "anyOf"):
        if one_of in schema:
            return " or ".join(_kind(each) for each in schema[one_of])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def python() -> str:
    """The public functions and values of Python programs, with their docstrings."""
    from bridge.core.approval import Approval
    from bridge.core.errors import Faults, GateShut
    from bridge.entrypoints import flowyml
    from bridge.entrypoints.python import approval

    parts = ["# Python", "`@hitl` of Metaflow is in [metaflow.md](../metaflow.md)."]
    for each in (approval, Approval, flowyml.approval, GateShut, Faults):
        where = f"{each.__module__}.{each.__qualname__}"
        parts += [f"## `{where}`"]
        if each not in (GateShut, Faults):
            parts += [f"```python\n{each.__name__}{inspect.signature(each)}\n```"]
        parts += [inspect.getdoc(each) or ""]
    return "\n\n".join(parts) + "\n"
