"""Gates in flows compiled for Argo Workflows.

This is the one module that touches Metaflow's compiler, which is private to Metaflow: if that is
not as it was tried, nothing is compiled. If a gate were left out, it would still be shut, because
the gated pod verifies for itself.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

from metaflow.exception import MetaflowException

from . import brought

#: The releases whose compiled workflows were run.
_TRIED = "2.19."


class ArgoGatesException(MetaflowException):
    headline = "This gate cannot run on Argo Workflows"


def inject_gates() -> None:
    """From now on Metaflow compiles gates, too. Doing it twice is doing it once."""
    from metaflow.plugins.argo.argo_workflows import ArgoWorkflows

    own = getattr(ArgoWorkflows, "_compile_workflow_template", None)
    if getattr(own, "puts_gates", False):
        return
    own = _as_tried(own)

    @functools.wraps(own)
    def compiled(self: Any) -> Any:
        template = own(self)
        gated = [node for node in self.graph if _gate_of(node)]
        if gated:
            template.payload = _with_gates(self, template.payload, gated)
        return template

    compiled.puts_gates = True  # type: ignore[attr-defined]
    ArgoWorkflows._compile_workflow_template = compiled


def _as_tried(own: Callable[..., Any] | None) -> Callable[..., Any]:
    """Metaflow's own function. Raises if this is not the Metaflow that gates were tried with."""
    import metaflow

    if (
        not metaflow.__version__.startswith(_TRIED)
        or own is None
        or list(inspect.signature(own).parameters) != ["self"]
    ):
        raise ArgoGatesException(
            f"This is Metaflow {metaflow.__version__}, and gates on Argo Workflows were tried with"
            f" {_TRIED}x: install that (`pip install 'metaflow~={_TRIED}0'`), or a newer"
            " approval-bridge."
        )
    return own


def _gate_of(node: Any) -> Any:
    """The gate's decorator on this step; None if it has none."""
    return next((each for each in node.decorators if each.name == "hitl"), None)


def _with_gates(compiler: Any, payload: Any, nodes: list[Any]) -> Any:
    from bridge.argo.inject import inject
    from bridge.argo.pod_settings import brings, pods_from_environment
    from bridge.argo.templates import posts_of
    from bridge.core.errors import Faults
    from bridge.core.settings import is_on_github

    try:
        pods = pods_from_environment(os.environ)
        brought_along = brings(os.environ)
        forge = is_on_github(pods.env)
        steps = [_gated_step(compiler, node, brought_along, forge) for node in nodes]
        return inject(payload, posts_of(payload, steps, pods))
    except Faults as faults:
        listed = "\n".join(f"  - {each}" for each in faults.faults)
        raise ArgoGatesException(f"{faults.subject}:\n{listed}") from None


def _gated_step(compiler: Any, node: Any, brought_along: bool, forge: bool) -> Any:
    from bridge.argo.templates import GatedStep

    declared = _gate_of(node).declared
    name = compiler._sanitize(node.name)
    environment = compiler.environment
    bootstrap = environment.bootstrap_commands(node.name, compiler.flow_datastore.TYPE)
    typed = declared.schema is not None or declared.keep
    needs = functools.partial(brought.installing, typed_input=typed and brought_along)
    return GatedStep(
        step=node.name,
        name=name,
        template=f"recursive-{name}" if compiler._is_recursive_node(node) else name,
        policy=declared.policy,
        bootstrap=" && ".join(bootstrap),
        python=environment.executable(node.name),
        before_opening=needs(
            apprise=bool(declared.notify) and brought_along, forge=forge and brought_along
        ),
        before_step=needs(),
    )
