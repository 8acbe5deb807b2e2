"""Links to a run in Argo's user interface, at the node that waits."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.argo.ui import node_id, run_links
from bridge.core.delivery import Workflow
from bridge.core.settings import Settings

RUN = Workflow("ml", "release-x7", "u-1")


def linked(notify: str) -> dict[str, list[str]]:
    [link] = run_links(Settings(argo_ui_url="https://argo.example/ui/", workflow=RUN), notify)
    parts = urlsplit(link.url)
    assert parts.path == "/ui/workflows/ml/release-x7"
    return parse_qs(parts.query)


@pytest.mark.parametrize(
    ("notify", "waits"),
    [
        ("release-x7.hitl-notify-deploy", "release-x7.hitl-suspend-deploy"),
        ("release-x7.hitl-notify-deploy(2)", "release-x7.hitl-suspend-deploy"),
        ("release-x7[0].hitl-notify-deploy(0)", "release-x7[1].hitl-suspend-deploy"),
        ("release-x7.each(1:b).hitl-notify-a-b", "release-x7.each(1:b).hitl-suspend-a-b"),
        ("release-x7[1].loop(0)[9].hitl-notify-a", "release-x7[1].loop(0)[10].hitl-suspend-a"),
    ],
)
def test_a_link_is_at_the_node_that_will_wait(notify: str, waits: str) -> None:
    assert linked(notify)["nodeId"] == [node_id("release-x7", waits)]
    assert linked(notify)["uid"] == ["u-1"]


@pytest.mark.parametrize("notify", ["", "release-x7", "release-x7.train(0)"])
def test_without_the_node_a_link_is_to_its_run(notify: str) -> None:
    assert "nodeId" not in linked(notify)


def test_a_name_from_outside_stays_one_part_of_the_address() -> None:
    run = Workflow("ml", "a/../b?x=|", "u&nodeId=z")
    [link] = run_links(Settings(argo_ui_url="https://argo.example", workflow=run))
    assert link.url == (
        "https://argo.example/workflows/ml/a%2F..%2Fb%3Fx%3D%7C?tab=workflow&uid=u%26nodeId%3Dz"
    )


def test_the_id_of_a_node_is_the_one_that_argo_makes() -> None:
    assert node_id("hello", "hello") == "hello"
    recorded = "gate-exits-202-with-retry"
    assert node_id(recorded, f"{recorded}.hitl-suspend-gate") == f"{recorded}-430457613"
