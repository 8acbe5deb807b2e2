"""The files that the bridge ships beside its code."""

from __future__ import annotations

import os
from pathlib import Path


def templates() -> Path:
    """The folder `templates`: inside the package in a wheel, beside it in a checkout."""
    # Not resolved: in a code package or a build's tree of links the folder is beside the link.
    package = Path(os.path.abspath(__file__)).parents[1]
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"
