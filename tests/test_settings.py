"""The environment, parsed once."""

from __future__ import annotations

import pytest

from bridge.argo.pod_settings import pods_from_environment
from bridge.argo.ui import run_links
from bridge.core.delivery import Workflow
from bridge.core.errors import Faults
from bridge.core.settings import from_environment, github_from_environment


def test_a_run_on_argo_is_linked_in_argos_own_pages() -> None:
    said = {
        "HITL_WORKFLOW": "ml/train-x2/u-1",
        "METAFLOW_HITL_ARGO_UI_URL": "https://argo.example/",
    }
    (link,) = run_links(from_environment(said))
    assert link.url == "https://argo.example/workflows/ml/train-x2?tab=workflow&uid=u-1"
    for name in said:
        assert run_links(from_environment({**said, name: ""})) == ()


def test_nothing_set_is_a_laptop() -> None:
    found = from_environment({"HOME": "/home/ann"})
    assert (found.ledger, found.environment, found.apprise_urls) == (None, None, ())
    assert str(found.cache) == "/home/ann/.cache/approval-bridge"


def test_the_cache_goes_where_it_is_told() -> None:
    assert str(from_environment({"XDG_CACHE_HOME": "/c"}).cache) == "/c/approval-bridge"
    assert str(from_environment({"HITL_CACHE": "/x", "XDG_CACHE_HOME": "/c"}).cache) == "/x"


def test_a_cache_home_that_is_no_whole_path_puts_no_cache_into_the_jobs_folder() -> None:
    found = from_environment({"XDG_CACHE_HOME": "here", "HOME": "/home/ann"})
    assert str(found.cache) == "/home/ann/.cache/approval-bridge"


def test_apprise_urls_are_parted_by_commas_and_never_shown() -> None:
    found = from_environment(
        {
            "METAFLOW_HITL_APPRISE_URLS": " slack://token-a , ,json://token-b",
            "HITL_LEDGER": "https://ann:token-c@example.org/ledger.git",
        }
    )
    assert found.apprise_urls == ("slack://token-a", "json://token-b")
    assert "token" not in repr(found)


@pytest.mark.parametrize("address", ["argo.example.org", "javascript:alert(1)", "file:///etc"])
def test_an_argo_address_that_is_no_web_page_is_refused(address: str) -> None:
    with pytest.raises(Faults, match="METAFLOW_HITL_ARGO_UI_URL"):
        from_environment({"METAFLOW_HITL_ARGO_UI_URL": address})


def test_gates_on_a_forge_need_a_secret_to_be_opened_with() -> None:
    with pytest.raises(Faults, match="HITL_OPENER_SECRET is not set"):
        pods_from_environment({"HITL_LEDGER": "github:acme/models", "HITL_TOKEN": "t"})


def test_the_name_of_a_cluster_goes_to_its_pods_and_into_what_they_ask() -> None:
    ledger = {"HITL_LEDGER": "https://git.example/l.git", "HITL_CLUSTER": "blue"}
    in_pod = {**pods_from_environment(ledger).env, "HITL_WORKFLOW": "argo/run-1/u-1"}
    assert from_environment(in_pod).workflow == Workflow("argo", "run-1", "u-1", "blue")


@pytest.mark.parametrize("name", ["my cluster", "bl\nue", "-", "a" * 254])
def test_what_is_no_name_of_a_cluster_is_refused_wherever_it_is_read(name: str) -> None:
    for parse in (from_environment, pods_from_environment):
        with pytest.raises(Faults, match=r"HITL_CLUSTER is .*: a name has"):
            parse({"HITL_LEDGER": "https://git.example/l.git", "HITL_CLUSTER": name})


GITHUB = {"GITHUB_REPOSITORY": "acme/models", "HITL_TOKEN": "t"}


@pytest.mark.parametrize("name", ["HITL_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"])
def test_a_token_that_ends_in_a_newline_is_stripped(name: str) -> None:
    env = {"GITHUB_REPOSITORY": "acme/models\n", name: " secret\r\n"}
    found = github_from_environment(env)
    assert (found.token, found.repository) == ("secret", "acme/models")


def test_every_credential_and_the_environment_are_stripped() -> None:
    app = {**GITHUB, "HITL_APP_ID": "7\n", "HITL_APP_KEY": "-----BEGIN\nx\n-----END\n"}
    found = github_from_environment(app)
    assert (found.app_id, found.app_key) == ("7", "-----BEGIN\nx\n-----END")
    ledger = {"HITL_LEDGER": "github:acme/models\n", "HITL_ARGO_TOKEN": "a\n"}
    settings = from_environment({**ledger, **GITHUB, "HITL_ENVIRONMENT": "production\n"})
    assert settings.github
    assert settings.github.repository == "acme/models"
    assert (settings.argo_token, settings.environment) == ("a", "production")
    assert from_environment({"HITL_ENVIRONMENT": " "}).environment is None


def test_a_blank_token_is_none() -> None:
    with pytest.raises(Faults, match="no credential"):
        github_from_environment({**GITHUB, "HITL_TOKEN": "\n"})


def test_voices_are_apps_with_commas_between() -> None:
    env = {**GITHUB, "HITL_VOICES": "acme-opener[bot], Acme-Decider[bot]\n"}
    assert github_from_environment(env).voices == ("acme-opener[bot]", "Acme-Decider[bot]")


@pytest.mark.parametrize(
    "voices", ["@acme-opener", "acme-opener", "@acme-opener[bot]", "a[bot] b[bot]", "a[bot];b[bot]"]
)
def test_voices_in_another_form_are_an_error_that_names_the_form(voices: str) -> None:
    with pytest.raises(Faults, match=r"HITL_VOICES names .*acme-opener\[bot\],acme-decider\[bot\]"):
        github_from_environment({**GITHUB, "HITL_VOICES": voices})


@pytest.mark.parametrize(
    "name", ["../..", "acme/..", "./models", "acme", "acme/models/x", "acmé/m"]
)
def test_a_repository_that_github_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(Faults, match="names no repository: github:owner/name"):
        from_environment({"HITL_LEDGER": f"github:{name}"})


def test_the_repository_of_a_ledger_is_named_without_the_end_of_a_clones_address() -> None:
    with pytest.raises(Faults, match=r"write github:acme/models$"):
        from_environment({"HITL_LEDGER": "github:acme/models.git"})


def test_a_ledger_on_github_is_not_taken_for_a_host_of_that_name() -> None:
    with pytest.raises(Faults, match="write github: in small letters"):
        from_environment({"HITL_LEDGER": "GitHub:acme/models"})


@pytest.mark.parametrize("token", ["ghp_a b", "'ghp_a'", "ghp_a\nghp_b", "ghp_\u00e9", "ghp_\0"])
def test_a_token_that_no_header_could_carry_is_an_error_that_does_not_show_it(token: str) -> None:
    with pytest.raises(Faults, match="HITL_TOKEN has a blank or another character") as refused:
        github_from_environment({**GITHUB, "HITL_TOKEN": token})
    assert "ghp" not in str(refused.value)
