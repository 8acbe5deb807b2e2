"""`hitl init --kubernetes`: manifests that ask for little, hold no secret, and are kept."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli.main import main
from bridge.core.errors import Faults
from bridge.setup.kubernetes_manifests import NAMES, Deployed, files

INIT = ("init", "--kubernetes", "--image", "registry.test/bridge:1")
ASKED = Deployed("ml", "registry.test/bridge:1", "github:acme/models")


def manifests() -> list[dict[str, Any]]:
    texts = [text for path, text in files(ASKED).items() if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text)]


def of_kind(kind: str) -> dict[str, Any]:
    [found] = [each for each in manifests() if each["kind"] == kind]
    return found


#: What is of the whole cluster.
CLUSTERS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def test_everything_else_stands_in_the_namespace_of_the_workflows() -> None:
    for each in manifests():
        if each["kind"] in CLUSTERS:
            assert "namespace" not in each["metadata"]
            continue
        place = each if each["kind"] == "Kustomization" else each["metadata"]
        assert place["namespace"] == "ml"
    text = "".join(files(ASKED).values())
    assert not [word for word in ("NAMESPACE", "LEDGER value", "VERSION") if word in text]


def test_the_kustomization_names_the_files_that_are_there() -> None:
    assert set(of_kind("Kustomization")["resources"]) <= set(NAMES)


def test_the_admission_policies_are_applied_by_themselves_and_name_every_account() -> None:
    """A kustomization of one namespace is applied by people who may write nothing cluster-wide."""
    text = (files(ASKED))["kubernetes/kustomization.yaml"]
    assert "admission.yaml" not in str(yaml.safe_load(text)["resources"])
    found = [each for each in manifests() if each["kind"] == CLUSTERS[0]]
    bound = [each["spec"] for each in manifests() if each["kind"] == CLUSTERS[1]]
    assert [each["policyName"] for each in bound] == [each["metadata"]["name"] for each in found]
    assert all(each["validationActions"] == ["Deny"] for each in bound)
    accounts = {
        each["metadata"]["name"] for each in manifests() if each["kind"] == "ServiceAccount"
    }
    [condition] = found[0]["spec"]["matchConditions"]
    for account in accounts:
        assert account in condition["expression"].split("(")[-1]
    # Without a reason a denial is a 422, which a client takes for a conflict.
    rules = [rule for each in found for rule in each["spec"]["validations"]]
    assert all(rule["reason"] == "Forbidden" for rule in rules)


def test_the_reconciler_is_nobody_writes_nothing_and_may_do_nothing_else() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == "registry.test/bridge:1"


def test_an_address_with_a_credential_in_the_secret_wins_over_the_one_that_everybody_may_read() -> (
    None
):
    config = of_kind("ConfigMap")
    assert config["data"] == {"HITL_LEDGER": "github:acme/models"}
    [container] = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    # Kubernetes takes the last of `envFrom`, and `env` before all of them.
    assert "HITL_LEDGER" not in {each["name"] for each in container["env"]}
    *others, last = container["envFrom"]
    assert last == {"secretRef": {"name": "hitl-reader", "optional": True}}
    assert {"configMapRef": {"name": config["metadata"]["name"]}} in others


def test_no_account_may_more_than_its_way_of_delivering_takes() -> None:
    roles = {each["metadata"]["name"]: each["rules"] for each in manifests() if "rules" in each}
    own = {"apiGroups": ["argoproj.io"], "resources": ["workflows"]}
    assert roles == {
        "hitl-reconciler": [{**own, "verbs": ["get", "list", "watch", "patch"]}],
        "hitl-push": [{**own, "verbs": ["get", "patch"]}],
        "hitl-push-server": [{**own, "verbs": ["get", "update"]}],
    }


def test_what_the_reconciler_is_started_with_is_a_command_that_there_is() -> None:
    [container] = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    args = container["args"]
    assert main([*args, "--help"]) == 0
    assert main([*args[1:2], "--watch", *args[2:], "--help"]) == 0  # as manifests had it once


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"namespace": "Ml"}, "'Ml' is no name of a namespace"),
        ({"image": "a b"}, "'a b' is no name of an image"),
        ({"cluster": "my cluster"}, "HITL_CLUSTER is 'my cluster': a name has"),
        ({"ledger": ""}, "no address that a pod can reach"),
        ({"ledger": "/srv/l.git"}, "no address that a pod can reach"),
        ({"ledger": "https://u:secret@git.test/l.git"}, "must not be in a manifest"),
    ],
)
def test_what_cannot_stand_in_a_manifest_is_said(changes: dict[str, str], says: str) -> None:
    given = {"namespace": "ml", "image": "i", "ledger": "github:a/b", **changes}
    with pytest.raises(Faults, match=says) as raised:
        files(Deployed(**given))
    assert "secret@" not in str(raised.value)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    remote = ["git", "remote", "add", "origin", "https://github.com/acme/models.git"]
    subprocess.run(remote, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_twice_it_changes_nothing_and_what_was_changed_by_hand_is_kept(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INIT]) == 0
    said = capsys.readouterr().out
    assert said.count(": written") == len(NAMES)
    assert "the decisions of github:acme/models to the workflows in argo" in said
    assert not (checkout / ".github").exists()
    own = checkout / "kubernetes" / "reconciler.yaml"
    own.write_text(own.read_text() + "# mine\n")
    assert main([*INIT]) == 0
    assert "reconciler.yaml: changed by hand, and kept" in capsys.readouterr().out
    assert own.read_text().endswith("# mine\n")
    assert main([*INIT, "--overwrite"]) == 0
    assert "# mine" not in own.read_text()


def test_an_image_is_named_for_a_name_that_nobody_owns_could_be_anybodys(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--kubernetes"]) == 2
    assert "--image registry.example.com/approval-bridge:1" in capsys.readouterr().err
    assert not (checkout / "kubernetes").exists()


def test_the_recipe_takes_the_bridge_from_the_wheel_beside_it_and_all_else_by_its_hash() -> None:
    made = files(ASKED)
    runs = re.findall(r"(?m)^RUN (pip .*)$", made["kubernetes/Containerfile"])
    lock, wheel = (run.split()[-1].rpartition("/")[2] for run in runs)
    assert wheel == f"approval_bridge-{version('approval-bridge')}-py3-none-any.whl"
    assert "--require-hashes" in runs[0]
    assert "--no-index" in runs[1]
    assert f"COPY {lock} {wheel} " in made["kubernetes/Containerfile"]
    pinned = re.findall(r"(?m)^([\w.-]+)==", made[f"kubernetes/{lock}"])
    assert "approval-bridge" not in pinned
    extras = {each.split(">")[0] for each in requires("approval-bridge") or () if "argo" in each}
    assert {each.lower() for each in extras} <= set(pinned)


def test_the_reconciler_is_told_what_its_cluster_is_called(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "arn:aws:eks:eu-west-1:123:cluster/ml"  # must stay text in YAML
    monkeypatch.setenv("HITL_CLUSTER", name)
    assert main([*INIT]) == 0
    written = (checkout / "kubernetes" / "reconciler.yaml").read_text()
    [deployment] = [each for each in yaml.safe_load_all(written) if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "HITL_CLUSTER", "value": name} in container["env"]


def test_the_namespace_is_the_one_of_the_environment_unless_it_is_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METAFLOW_HITL_ARGO_NAMESPACE", "ml")
    assert main([*INIT]) == 0
    assert "to the workflows in ml:" in capsys.readouterr().out
    assert main([*INIT, "--overwrite", "--namespace", "training"]) == 0
    assert "to the workflows in training:" in capsys.readouterr().out
