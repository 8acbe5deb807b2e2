"""The layout that a stranger guesses: each rule in the module whose name says so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bridge"
MODULES = sorted(PACKAGE.rglob("*.py"))
#: A longer module holds two concerns.
MOST_LINES = 500

#: What a stranger looks for, the module that they open first, and the definition that is there.
GUESSES = [
    ("a `/approve` comment is parsed", "pages/comment_commands.py", "read"),
    ("what people said on a page becomes votes", "pages/votes.py", "gather"),
    ("the text of the pull request is written", "pages/page_text.py", "body"),
    ("somebody counts as an approver", "policy/approvers.py", "may_decide"),
    ("votes are judged by the policy", "policy/evaluate.py", "evaluate"),
    ("the policy file is parsed", "policy/policy_file.py", "parse"),
    ("the ledger is written", "ledger/git_ledger.py", "GitLedger"),
    ("a commit message of the ledger is written", "ledger/commit_message.py", "decision_message"),
    ("the suspended node of Argo is patched", "argo/nodes.py", "json_patch"),
    ("the Kubernetes API is called", "argo/kubernetes.py", "Kubernetes"),
    ("the template that Metaflow compiles is rewritten", "argo/inject.py", "inject"),
    ("annotations of a manifest are read", "argo/annotations.py", "injected"),
    ("the GitHub API is called", "github/transport.py", "Line"),
    ("an environment variable is read", "core/settings.py", "from_environment"),
    ("a duration is parsed", "core/durations.py", "seconds"),
    ("the declaration of a gate is parsed", "core/gate_spec.py", "read"),
    ("a condition that may approve is judged", "core/conditions.py", "judge"),
    ("a signature is verified", "core/sshsig.py", "verify"),
    ("hostile text is made harmless", "core/sanitize.py", "harmless_line"),
    ("the fields of an input are checked", "core/input_fields.py", "check"),
    ("it is answered where a gate is decided", "gates/venue.py", "Venue"),
    ("gates of this machine are decided", "gates/this_machine.py", "ThisMachine"),
    ("gates on GitHub are handled", "gates/on_github.py", "OnGitHub"),
    ("`hitl list` prints its table", "cli/gates.py", "list_"),
    ("`hitl approve` votes", "cli/decide.py", "approve"),
    ("`hitl log` reads the ledger", "cli/ledger.py", "log"),
    ("a gate is opened", "gates/open_gate.py", "open_gate"),
    ("a decision is recorded", "gates/decide.py", "decide"),
    ("the gated step checks the record", "gates/verify.py", "verify"),
    ("a decision is delivered to Argo", "gates/deliver.py", "deliver"),
    ("a page is processed", "gates/process_page.py", "tend"),
    ("the person at the terminal is asked", "local/prompt.py", "Terminal"),
    ("a notification is sent", "local/notify.py", "Told"),
    ("`hitl init` writes its files", "setup/init.py", "init"),
    ("`hitl github setup` plans what to do", "setup/github_plan.py", "plan"),
    ("a GitHub App is registered", "setup/app_manifest.py", "Manifest"),
    ("`hitl doctor` checks a repository", "setup/doctor.py", "examine"),
    ("plain Python asks for an approval", "entrypoints/python.py", "approval"),
    ("FlowyML asks for an approval", "entrypoints/flowyml.py", "approval"),
]


def defined(module: Path) -> set[str]:
    """The names that a module defines at its top."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("rule", "module", "name"), GUESSES, ids=[each[0] for each in GUESSES])
def test_a_stranger_finds_in_one_guess_where(rule: str, module: str, name: str) -> None:
    assert name in defined(PACKAGE / module), f"{rule}: not in {module} any more"


PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("page", [*PAGES, *RECORDS], ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`([\w/]+/\w+\.py)`", page.read_text(encoding="utf-8"))
    assert [each for each in named if not any((at / each).exists() for at in (ROOT, PACKAGE))] == []


def test_every_package_says_what_it_is_about_and_has_one_level() -> None:
    for folder in sorted(each for each in PACKAGE.iterdir() if (each / "__init__.py").exists()):
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert not [each for each in folder.iterdir() if (each / "__init__.py").exists()]


def test_beside_the_packages_only_the_wiring_stands() -> None:
    assert {each.name for each in PACKAGE.glob("*.py")} == {"__init__.py", "wiring.py"}


def test_no_module_is_longer_than_a_stranger_reads() -> None:
    extension = sorted((ROOT / "metaflow_extensions").rglob("*.py"))
    lengths = {each: len(each.read_text().splitlines()) for each in [*MODULES, *extension]}
    assert {str(k.relative_to(ROOT)): v for k, v in lengths.items() if v > MOST_LINES} == {}


def test_every_environment_variable_is_defined_in_the_settings() -> None:
    name = re.compile(r"^[A-Z_][\w, :]* = .*[\"'](METAFLOW_)?HITL_[A-Z_]+[\"']", re.M)
    outside = {each for each in MODULES if name.search(each.read_text(encoding="utf-8"))}
    assert outside == {PACKAGE / "core" / "settings.py"}


def test_the_contract_of_imports_has_a_dozen_layers_at_most() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'id = "packages".*?layers = \[(.*?)\]', text, re.S)
    assert found
    assert len(re.findall(r'^ +"', found[1], re.M)) <= 12
