"""The files by which decisions are delivered inside a cluster: plain manifests and Kustomize.

The texts are `templates/kubernetes`. What a deployer fills in is a word of its own in capitals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from bridge.core.errors import Faults
from bridge.core.remote_url import names_path, part_secret
from bridge.core.settings import faults_of_cluster
from bridge.core.shipped_files import templates

FOLDER: Final = "kubernetes"
NAMES: Final = (
    "kustomization.yaml",
    "reconciler.yaml",
    "push.yaml",
    "admission.yaml",
    "Containerfile",
    "requirements.lock",
)

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE: Final = re.compile(r"[\w.:/@-]+")


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where, as which image, and for which ledger."""

    namespace: str
    image: str
    ledger: str
    cluster: str = ""  # what it is called, if several have gates in one ledger
    source: str = "SOURCE"  # what pip makes the bridge's wheel of


def files(deployed: Deployed) -> Mapping[str, str]:
    """Text by path. Raises `Faults` naming everything that cannot stand in a manifest."""
    faults = []
    try:
        own = version("approval-bridge")
    except PackageNotFoundError:
        faults.append(
            "this bridge is not installed, so the version of its image is not known: install it"
        )
    if not _NAMESPACE.fullmatch(deployed.namespace):
        faults.append(f"{deployed.namespace!r} is no name of a namespace")
    if not _IMAGE.fullmatch(deployed.image):
        faults.append(f"{deployed.image!r} is no name of an image")
    faults += faults_of_cluster(deployed.cluster)
    if part_secret(deployed.ledger)[1]:
        faults.append(
            "the ledger's address contains a credential, which must not be in a manifest: put the"
            " whole address under HITL_LEDGER into the Secret hitl-reader, and one without here"
        )
    elif not re.fullmatch(r"[^\s\"'{}#,]+", deployed.ledger) or names_path(deployed.ledger):
        faults.append(
            "the ledger is no address that a pod can reach: set HITL_LEDGER to github:owner/name,"
            " or to the URL of a git repository"
        )
    if faults:
        raise Faults("the manifests", faults)
    folder = templates()
    words = {
        "NAMESPACE": deployed.namespace,
        "IMAGE": deployed.image,
        "LEDGER": deployed.ledger,
        "CLUSTER": json.dumps(deployed.cluster),
        "VERSION": own,
        "SOURCE": deployed.source,
    }
    fill = re.compile(r"\b(?:" + "|".join(words) + r")\b")
    return {
        f"{FOLDER}/{name}": fill.sub(
            lambda word: words[word[0]], (folder / "kubernetes" / name).read_text(encoding="utf-8")
        )
        for name in NAMES
    }
