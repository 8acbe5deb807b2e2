"""Which artifacts a step can have, as far as the flow's source says before it runs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Any

from bridge.core.approval import DECISION
from bridge.core.message_template import Known

from .properties import properties_of


def known_at(flow: Any, graph: Any, step: str) -> Known:
    """What is known of a step's artifacts when the flow is checked."""
    node = graph[step]
    is_join = node.type == "join"
    before = _before(graph, step)
    artifacts = _artifacts(flow, graph, before)
    if artifacts is not None and node.is_inside_foreach:
        artifacts |= {"input", "index"}
    return Known(
        artifacts=artifacts,
        branches=tuple(sorted(node.in_funcs)) if is_join else (),
        foreach=is_join and graph[node.split_parents[-1]].type == "foreach",
        params=shared_by(type(flow)),
    )


def _before(graph: Any, step: str) -> set[str]:
    """The steps that can have run when this one begins."""
    found: set[str] = set()
    todo = [step]
    while todo:
        for parent in graph[todo.pop()].in_funcs:
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def shared_by(flow: type) -> frozenset[str]:
    """Parameters, configs and class-level values: the same in every step."""
    return frozenset(
        name
        for name in dir(flow)
        if not name.startswith("_")
        and name not in flow._NON_PARAMETERS  # type: ignore[attr-defined]
        and not callable(inspect.getattr_static(flow, name))
        and not isinstance(
            inspect.getattr_static(flow, name), property | staticmethod | classmethod
        )
    )


def _artifacts(flow: Any, graph: Any, before: set[str]) -> frozenset[str] | None:
    found = {*shared_by(type(flow)), *properties_of(type(flow))}
    for name in before:
        set_around = _set_by_decorators(graph[name])
        if set_around is None:
            return None
        found |= set_around
    for function in _functions(type(flow)):
        if getattr(function, "is_step", False) and function.__name__ not in before:
            continue
        assigned = _assigned(function)
        if assigned is None:
            return None
        found |= assigned
    return frozenset(found)


def _set_by_decorators(node: Any) -> set[str] | None:
    """None if a decorator that is not Metaflow's own may set anything."""
    if node.wrappers:
        return None
    found: set[str] = set()
    for each in node.decorators:
        if each.name == "catch" and each.attributes.get("var"):
            found.add(each.attributes["var"])
        elif each.name == "hitl":
            found |= {"hitl_input", DECISION}
        elif not type(each).__module__.startswith("metaflow."):
            return None
    return found


def _functions(flow: type) -> list[FunctionType]:
    from metaflow import FlowSpec

    classes = [each for each in flow.__mro__ if each not in FlowSpec.__mro__]
    return [
        each for owner in classes for each in vars(owner).values() if isinstance(each, FunctionType)
    ]


def _assigned(function: FunctionType) -> set[str] | None:
    """The names that this method sets on its flow; None if its source does not tell."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef) or not tree.args.args:
        return None
    me = tree.args.args[0].arg
    uses = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id == me
    ]
    named = sum(isinstance(each, ast.Name) and each.id == me for each in ast.walk(tree))
    if named > len(uses) or any(each.attr == "__dict__" for each in uses):
        return None  # the flow is handed on (setattr, a helper): who knows what is set there
    return {each.attr for each in uses if isinstance(each.ctx, ast.Store)}
