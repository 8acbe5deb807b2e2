"""The release workflow under act, as far as it goes without GitHub and PyPI: the job `build`.

`make test-act` runs this. It needs act and a package index.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.actions import ROOT

WORKFLOW = ".github/workflows/release.yml"
#: Stands for `actions/upload-artifact`: it takes these inputs and no others.
UPLOAD = """\
name: upload
inputs:
  name: {required: true}
  path: {required: true}
  if-no-files-found: {required: true}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        FILES: ${{ inputs.path }}
      run: cp -R "$FILES" "$UPLOADED"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of what is here, with a dated section of the version in its changelog."""
    clone = tmp_path / "checkout"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    changelog = clone / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(
        text.replace("## [Unreleased]", "## [Unreleased]\n\n## [0.1.0] - 2026-12-01")
    )
    for each in ("user.name=Ann", "user.email=ann@example.org"):
        git(clone, "config", *each.split("="))
    git(clone, "commit", "--quiet", "--all", "--message", "Release 0.1.0")
    return clone


def git(folder: Path, *args: str) -> str:
    command = ["git", "-C", str(folder), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def release(checkout: Path, tag: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    git(checkout, "tag", tag)
    git(checkout, "checkout", "--quiet", tag)
    home = checkout.parent
    upload, uploaded = home / "upload", home / "uploaded"
    upload.mkdir()
    (upload / "action.yml").write_text(UPLOAD)
    (home / "event.json").write_text(json.dumps({"ref": f"refs/tags/{tag}"}))
    pinned = re.search(r"uses: (actions/upload-artifact@\w+)", (checkout / WORKFLOW).read_text())
    assert pinned
    command = [
        str(Path(sys.executable).with_name("act")),
        "push",
        *("-W", WORKFLOW, "-j", "build", "-P", "ubuntu-latest=-self-hosted"),
        *("--no-cache-server", "--eventpath", str(home / "event.json")),
        *("--local-repository", f"{pinned[1]}={upload}"),
        *("--action-cache-path", str(home / "cache")),
        *("--env", f"UPLOADED={uploaded}"),
        *("--env", "GITHUB_REPOSITORY=acme/approval-bridge"),
        *("--env", "GITHUB_SERVER_URL=https://github.com"),
    ]
    for name in os.environ:
        if name.startswith("PIP_"):
            command += ["--env", f"{name}={os.environ[name]}"]
    env = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        command, cwd=checkout, env=env, capture_output=True, text=True, check=False
    )
    return done, uploaded


def test_a_tag_builds_a_wheel_that_works_and_says_where_its_action_is(checkout: Path) -> None:
    done, uploaded = release(checkout, "v0.1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    made = {each.name for each in uploaded.iterdir()}
    wheel, source = "approval_bridge-0.1.0-py3-none-any.whl", "approval_bridge-0.1.0.tar.gz"
    assert made == {wheel, source, "sbom.cdx.json", "SHA256SUMS"}
    commit = git(checkout, "rev-parse", "HEAD")
    with zipfile.ZipFile(uploaded / wheel) as file:
        metadata = file.read("approval_bridge-0.1.0.dist-info/METADATA").decode()
    assert f"Action, https://github.com/acme/approval-bridge/tree/{commit}/action" in metadata
    with tarfile.open(uploaded / source) as archive:
        assert not [each for each in archive.getnames() if "/.venv/" in each]
    parts = json.loads((uploaded / "sbom.cdx.json").read_text())
    assert parts["metadata"]["component"]["name"] == "approval-bridge"
    assert {"PyGithub", "GitPython", "PyYAML"} <= {each["name"] for each in parts["components"]}
    recipe_of_the_image(checkout, uploaded)


def recipe_of_the_image(checkout: Path, dist: Path) -> None:
    """The step of the job `image` that writes what docker builds, as it is in the workflow."""
    job = yaml.safe_load((checkout / WORKFLOW).read_text())["jobs"]["image"]
    (script,) = (each["run"] for each in job["steps"] if each.get("name") == "Write the recipe")
    place = dist.parent / "image"
    place.mkdir()
    (place / "dist").symlink_to(dist)
    env = {
        **os.environ,
        "HOME": str(dist.parent),
        "HITL_LEDGER": "github:acme/approval-bridge",
        "GITHUB_REPOSITORY": "Acme/approval-bridge",
        "GITHUB_REF_NAME": "v0.1.0",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=place,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = place / "context" / "kubernetes"
    copied = re.search(r"COPY (.*) /tmp/bridge/", (written / "Containerfile").read_text())
    assert copied
    assert all((written / each).is_file() for each in copied[1].split())
    reconciler = (written / "reconciler.yaml").read_text()
    assert "ghcr.io/acme/approval-bridge:0.1.0" in reconciler


def test_a_tag_of_another_version_releases_nothing(checkout: Path) -> None:
    done, uploaded = release(checkout, "v0.2.0")
    assert done.returncode != 0
    assert "the tag is v0.2.0 and pyproject.toml says 0.1.0" in done.stdout
    assert not uploaded.exists()
