"""What a gate does to the splits of a foreach: a no skips one of them, and a join gets those that
people keep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .request import GatedTask


def misplaced(graph: Any, step: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    """What is declared for another kind of step."""
    node = graph[step]
    if attributes["on_reject"] == "skip" and not (node.type == "linear" and node.is_inside_foreach):
        yield (
            f'The step *{step}* has `on_reject="skip"`, which is for a step inside a foreach that'
            " goes on to one other step: without its body, nothing says where another one goes on."
        )
    if attributes["keep"] and not ends_foreach(graph, step):
        yield f"The step *{step}* has `keep=True`, which is for the join of a foreach."


def ends_foreach(graph: Any, step: str) -> bool:
    """Whether it joins the splits of one."""
    node = graph[step]
    return bool(node.type == "join" and graph[node.split_parents[-1]].type == "foreach")


def kept(task: GatedTask, answer: Mapping[str, Any]) -> frozenset[int] | None:
    """The positions of the inputs that people keep; None if nobody chooses."""
    from bridge.core import branches

    from .request import branch_names

    return branches.kept(branch_names(task), answer) if task.keeps else None


def with_kept_alone(
    step_func: Callable[..., Any], positions: Collection[int]
) -> Callable[..., Any]:
    """The body of a join, which gets only the inputs at these positions."""
    from metaflow.datastore.inputs import Inputs

    def body(inputs: Any) -> Any:
        return step_func(Inputs(each for n, each in enumerate(inputs) if n in positions))

    return body
