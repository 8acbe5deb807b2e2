"""What a gate needs of Python travels in the code package, so that a stock image is enough.

Only pure Python does: it serves whatever interpreter the step's image or @conda brings.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

#: Beside `metaflow_extensions` in the code package.
_FOLDER = "hitl_brought"

#: The modules of GitPython, PyYAML and Jinja2, and of what these need.
_PURE = ("git", "gitdb", "smmap", "yaml", "jinja2", "markupsafe")

#: What is compiled, or needs what is, and so cannot travel: packages, and the modules they bring.
_TYPED_INPUT = {"jsonschema": "jsonschema", "regex": "regex"}
_APPRISE = {"apprise": "apprise"}
_FORGE = {"PyGithub": "github"}


def use() -> None:
    """Let what was brought be imported, in a process that runs from a code package."""
    brought = Path(__file__).resolve().parents[3] / _FOLDER
    # At the end of the path: whatever the step's own image has is what the step meant to run with.
    if brought.is_dir() and str(brought) not in sys.path:
        sys.path.append(str(brought))


def files() -> Iterator[tuple[str, str]]:
    """Each file of it, and its place in the code package."""
    import bridge

    ours = Path(bridge.__file__).parent
    yield from _of(ours, "bridge", "*.py")
    for templates in (ours / "templates", ours.parent / "templates"):
        if templates.is_dir():
            yield from _of(templates, "bridge/templates", "*")
    for name in _PURE:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            yield from _of(Path(spec.origin).parent, f"{_FOLDER}/{name}", "*.py")


def _of(root: Path, place: str, pattern: str) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob(pattern)):
        if path.is_file():
            yield str(path), f"{place}/{path.relative_to(root).as_posix()}"


def installing(*, typed_input: bool, apprise: bool = False, forge: bool = False) -> str:
    """The command by which a pod installs what cannot travel, at the versions that are here.

    Empty if it needs none. As with Metaflow's own, METAFLOW_SKIP_INSTALL_DEPENDENCIES turns it
    off in the pod.
    """
    parts = ((_TYPED_INPUT, typed_input), (_APPRISE, apprise), (_FORGE, forge))
    needed = {
        name: module for part, is_needed in parts if is_needed for name, module in part.items()
    }
    if not needed:
        return ""
    wanted = " ".join(f"{name}=={version(name)}" for name in needed)
    modules = ", ".join(needed.values())
    return (
        f"if [ -z $METAFLOW_SKIP_INSTALL_DEPENDENCIES ] && ! python -c 'import {modules}'"
        " 2>/dev/null; then python -m pip install -qqq --no-compile --no-cache-dir"
        f" --disable-pip-version-check {wanted}; fi"
    )
