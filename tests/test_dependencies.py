"""The floors of `pyproject.toml`: no release with a published advisory, and the locks meet them."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]

#: The oldest release of each package that you may install beside the bridge, and why. The others
#: have no advisory above the release that the bridge's own code needs.
OLDEST = {
    # The last two of fifty-odd ways to smuggle an option past GitPython's guards:
    # PYSEC-2026-3785 to 3788, GHSA-284h-m62q-gf8w (3.1.59). 3.1.62 mends what these fixes broke.
    "gitpython": "3.1.62",
    "jinja2": "3.1.6",  # GHSA-cpwx-vrp4-4pq7, a template leaves the sandbox
    "pyyaml": "6.0.1",  # GHSA-8q59-q68h-6hv4 (5.4); 6.0 does not build with Cython 3
    "click": "8.3.3",  # GHSA-47fr-3ffg-hgmw, click.edit()
    "apprise": "1.8",  # GHSA-qhmp-h54x-38qr (0.9.5.1)
    "pyjwt": "2.13",  # GHSA-752w-5fwx-jx9f (2.12), PYSEC-2026-175, 177, 178 and 179
    "requests": "2.33",  # CVE-2026-25645; GHSA-9hjg-9r4m-mvj7 (2.32.4), a .netrc that leaks
    "urllib3": "2.7",  # CVE-2026-44431 and 44432
    # Up to 34 it holds urllib3 below 2.4; 36.0.0 sends requests without the token:
    # https://github.com/kubernetes-client/python/issues/2582
    "kubernetes": "36.0.1",
    "brotli": "1.2",  # GHSA-2qfp-q593-8484: until then the output cannot be bounded
}

#: Modules of packages that come with a declared one, as part of its interface; `PyJWT[crypto]`
#: brings cryptography, and PyGithub seals secrets with PyNaCl.
PART_OF = {
    "gitdb": "gitpython",
    "referencing": "jsonschema",
    "cryptography": "pyjwt",
    "nacl": "pygithub",
}

LOCKS = {
    "requirements-dev.lock": "",
    "action/requirements.lock": "action/requirements.in",
    "action/kubernetes.lock": "action/kubernetes.in",
    "templates/kubernetes/requirements.lock": "action/kubernetes.in",
}


def floors() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(each for extra in extras for each in extra)]
    return {canonicalize_name(each.name): each for each in map(Requirement, wanted)}


def locked(lock: str) -> dict[str, Version]:
    pins = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / lock).read_text())
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.parametrize("name", sorted(OLDEST))
def test_no_release_with_a_published_advisory_can_be_installed(name: str) -> None:
    (floor,) = floors()[name].specifier
    assert floor.operator == ">="
    assert Version(floor.version) >= Version(OLDEST[name])


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_each_floor_is_met_by_each_lock(lock: str) -> None:
    pins = locked(lock)
    below = {
        name: str(pins[name])
        for name, wanted in floors().items()
        if name in pins and not wanted.specifier.contains(pins[name])
    }
    assert not below


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_a_lock_holds_all_that_it_is_made_of(lock: str) -> None:
    asked = LOCKS[lock]
    if asked:
        lines = (ROOT / asked).read_text().splitlines()
        names = {canonicalize_name(each) for each in lines if not each.startswith("#")}
    else:
        names = set(floors())
    assert names <= set(locked(lock))


def test_what_the_bridge_imports_is_declared() -> None:
    distributions = packages_distributions()
    declared = set(floors())
    undeclared = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / "bridge").rglob("*.py")
        for module in imported(path)
        if module not in sys.stdlib_module_names
        and module not in ("bridge", "metaflow_extensions")
        and PART_OF.get(module) not in declared
        and not declared & {canonicalize_name(each) for each in distributions.get(module, ())}
    }
    assert not undeclared


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found
