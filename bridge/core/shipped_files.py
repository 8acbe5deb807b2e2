"""The files that the bridge ships beside its code."""

from __future__ import annotations

import os
from pathlib import Path


def templates() -> Path:
    """The folder `templates`: inside the package in a wheel, beside it in a checkout."""
    return _shipped("templates")


def actions() -> Path:
    """The folder of the action for GitHub, likewise."""
    return _shipped("action")


def _shipped(name: str) -> Path:
    # Not resolved: in a code package or a build's tree of links the folder is beside the link.
    package = Path(os.path.abspath(__file__)).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
