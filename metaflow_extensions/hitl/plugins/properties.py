"""Properties of a flow, computed before the step runs from the artifacts that it will see."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bridge.core.errors import Faults

#: A property's value, from the artifacts.
Compute = Callable[[Mapping[str, Any]], Any]


def properties_of(flow: type) -> dict[str, Compute]:
    """The flow's own properties by name.

    Look at the class before a task begins: Metaflow then puts properties in place of parameters.
    """
    from metaflow import FlowSpec

    found: dict[str, Compute] = {}
    for owner in reversed([each for each in flow.__mro__ if each not in FlowSpec.__mro__]):
        for name, value in vars(owner).items():
            if isinstance(value, property) and value.fget and not name.startswith("_"):
                found[name] = _compute(flow, name, value.fget)
    return found


def _compute(flow: type, name: str, getter: Callable[[Any], Any]) -> Compute:
    def computed(artifacts: Mapping[str, Any]) -> Any:
        try:
            return getter(_Flow(flow, artifacts))
        except Faults:
            raise
        except Exception as error:
            # the property is the flow's own code: anything may come out of it
            raise Faults(
                f"the property {name} of {flow.__name__}",
                [f"it cannot be computed before the step runs ({type(error).__name__}: {error})"],
            ) from error

    return computed


class _Flow:
    """Stands in for the flow: it has the artifacts, and what the flow's class holds."""

    def __init__(self, flow: type, artifacts: Mapping[str, Any]) -> None:
        self._flow = flow
        self._artifacts = artifacts

    def __getattr__(self, name: str) -> Any:
        if name in self._artifacts:
            return self._artifacts[name]
        value = inspect.getattr_static(self._flow, name)
        bind = getattr(type(value), "__get__", None)
        return bind(value, self, self._flow) if bind else value


class WithProperties(Mapping[str, Any]):
    """The artifacts of a branch and the properties computed from them, each when it is read."""

    def __init__(self, artifacts: Mapping[str, Any], properties: Mapping[str, Compute]) -> None:
        self._artifacts = artifacts
        self._properties = properties

    def __getitem__(self, name: str) -> Any:
        if name in self._artifacts or name not in self._properties:
            return self._artifacts[name]
        return self._properties[name](self)

    def __contains__(self, name: object) -> bool:
        return name in self._artifacts or name in self._properties

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._artifacts, *self._properties]))

    def __len__(self) -> int:
        return len(list(iter(self)))
