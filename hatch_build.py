"""The addresses of the project: those of the repository whose workflow makes the release.

Only the release names them (`.github/workflows/release.yml`). A build anywhere else names none: the
variables that GitHub sets name the repository of whoever installs, not this project's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Addresses(MetadataHookInterface):
    """Fills `project.urls`."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `urls`, as `[project.urls]` would."""
        metadata["urls"] = project_urls(os.environ)


def project_urls(env: Mapping[str, str]) -> dict[str, str]:
    """Label → address. Empty unless the release says which commit of which repository it is."""
    repository, commit = env.get("RELEASE_REPOSITORY"), env.get("RELEASE_COMMIT")
    if not (repository and commit):
        return {}
    return {
        "Homepage": repository,
        "Documentation": f"{repository}/blob/{commit}/README.md",
        "Changelog": f"{repository}/blob/{commit}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        # `hitl github setup` reads the action's address here: bridge/setup/action_address.py.
        "Action": f"{repository}/tree/{commit}/action",
    }
