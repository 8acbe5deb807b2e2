"""A file of Argo manifests: read as it is written, and checked for what a gate needs of it.

A manifest comes out as it came in, apart from its gates: a number that YAML reads in two ways
(`010`) keeps its form. An annotation in the wrong place would be a gate that nobody put in, so it
is a fault.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.argo.inject import LABEL, Json
from bridge.core.errors import Faults
from bridge.core.numbers import whole
from bridge.core.sanitize import shortened
from bridge.core.yaml_text import Written

if TYPE_CHECKING:
    import yaml

PREFIX: Final = "approval-bridge/"

#: The kinds that hold a workflow; anything else in a file is passed on as it is.
KINDS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


def read(text: str, where: str) -> list[Json]:
    """The manifests of a file; those in a `kind: List` are its items. Raises `Faults`."""
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=_loader()))
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise Faults(where, [f"it is no YAML: {said}{_unrendered(text)}"]) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # PyYAML raises these for a value that is not of its type, such as a date of a 13th month:
        # https://github.com/yaml/pyyaml/issues/386
        said = " ".join(str(error).split())
        raise Faults(where, [f"it contains a value that YAML cannot read: {said}"]) from None
    except RecursionError:
        raise Faults(where, ["it is nested too deep"]) from None
    if any(each is not None and not isinstance(each, dict) for each in documents):
        raise Faults(where, ["it contains something that is not a manifest"])
    values, depth = _size(documents, {})
    if values > _MOST:
        raise Faults(where, ["its aliases repeat too much, or themselves: write the values out"])
    if depth > _DEEPEST:
        raise Faults(where, [f"it is nested more than {_DEEPEST} deep"])
    return [each for each in documents if each]


_OF_HELM: Final = re.compile(r"\{\{-?\s*(?:[.$]|(?:if|range|with|end|include|define|template)\b)")


def _unrendered(text: str) -> str:
    return ". It looks like a Helm chart: render it first (`helm template`)" * bool(
        _OF_HELM.search(text)
    )


#: Values of a file with its aliases written out. By aliases of aliases, ten lines have no end.
_MOST: Final = 1_000_000


#: Far more than a workflow has. What looks through it calls itself for each.
_DEEPEST: Final = 100


def _size(found: object, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values there are, more than `_MOST` if one holds itself, and how deep they go.

    `known` are those counted.
    """
    if not isinstance(found, dict | list):
        return 1, 0
    inner = found.values() if isinstance(found, dict) else found
    if id(found) not in known:
        known[id(found)] = _MOST + 1, 0  # as long as it isn't counted
        sizes = [_size(each, known) for each in inner]
        deepest = max((depth for _, depth in sizes), default=0)
        known[id(found)] = 1 + sum(count for count, _ in sizes), 1 + deepest
    return known[id(found)]


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            keys: set[str] = set()
            for key, value in node.value:
                if fault := _key_fault(key, keys):
                    raise yaml.MarkedYAMLError(None, None, fault, key.start_mark)
                keys.add(key.value)
                if key.value in _VALUES and value.tag == _BOOL:
                    value.tag = _VALUE
            return node

    def as_written(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Written:
        yaml.SafeLoader.yaml_constructors[node.tag](loader, node)  # which refuses what is none
        return Written(node.value, node.tag)

    def unread(_: yaml.SafeLoader, node: yaml.ScalarNode) -> Written:
        return Written(node.value, _BOOL if node.tag == _VALUE else node.tag)

    for kind in ("int", "float", "timestamp"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", as_written)
    # PyYAML refuses `=` and `<<` as values: https://github.com/yaml/pyyaml/issues/89
    for tag in (_VALUE, "tag:yaml.org,2002:value", _MERGE):
        Loader.add_constructor(tag, unread)
    return Loader


def _key_fault(key: yaml.Node, before: Collection[str]) -> str | None:
    if not isinstance(key.value, str):
        return _NO_KEY
    if key.tag != _MERGE and key.value in before:  # else the last one counts
        return f"the key {key.value!r} is there twice"
    return None


_NO_KEY: Final = (
    "a key is a list or a mapping: put a value that begins with {{ or [ in quotation marks"
)
_MERGE: Final = "tag:yaml.org,2002:merge"
_BOOL: Final = "tag:yaml.org,2002:bool"
#: Yes or no as the value of a parameter: `yes` keeps its form, too.
_VALUE: Final = "value"
_VALUES: Final = frozenset({"value", "default"})


def faults_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Why no gate can be put into this manifest, or would be left out in silence."""
    yield from _misplaced(manifest, ())
    if manifest.get("kind") not in KINDS:
        return
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        yield "metadata is not a mapping"
        return
    yield from _not_mapping(metadata, "labels", "metadata")
    spec = manifest.get("spec")
    if isinstance(spec, Mapping):
        yield from _not_mapping(spec, "workflowMetadata", "spec")
        yield from _not_mapping(
            spec.get("workflowMetadata") or {}, "labels", "spec.workflowMetadata"
        )
    annotations = metadata.get("annotations") or {}
    if not isinstance(annotations, Mapping):
        yield "metadata.annotations is not a mapping"
    elif any(str(key).startswith(PREFIX) for key in annotations):
        yield from _unfit(manifest)


def _misplaced(found: object, path: tuple[str, ...]) -> Iterator[str]:
    """Annotations that count for nothing where they stand, or by the way they are spelled."""
    places: list[tuple[object, tuple[str, ...]]] = [(found, path)]
    while places:
        value, path = places.pop()
        if isinstance(value, list):
            places += [(each, (*path, str(n))) for n, each in enumerate(value)]
        if not isinstance(value, Mapping):
            continue
        for key, inner in value.items():
            places.append((inner, (*path, str(key))))
            if path[-1:] in (("annotations",), ("labels",)) or str(key).startswith(PREFIX):
                yield from _of_key(str(key), inner, path, found)


def _of_key(key: str, value: object, path: tuple[str, ...], manifest: object) -> Iterator[str]:
    where = shortened(".".join(path), 80) or "the manifest"
    kind = manifest.get("kind") if isinstance(manifest, Mapping) else None
    prefix, slash, task = key.partition("/")
    if not slash and path[-1] == "annotations":  # `approval-bridge.deploy`
        prefix, task = key[: len(PREFIX) - 1], key[len(PREFIX) :] or "TASK"
    elif not slash:
        return
    near = difflib.SequenceMatcher(None, f"{prefix}/", PREFIX).ratio() > _NEAR
    holds = "approvalbridge" in re.sub(r"[^a-z]", "", prefix.lower())
    asks = not prefix.endswith((".argoproj.io", ".kubernetes.io")) and _asks(value)
    if not (near or holds or asks) or key == LABEL:
        return
    if not slash or f"{prefix}/" != PREFIX:
        yield f"{where} has {shortened(key, 80)}: did you mean {PREFIX}{shortened(task, 80)}?"
    elif path != ("metadata", "annotations") or kind not in KINDS:
        yield (
            f"{where} has {shortened(key, 80)}, which counts only in metadata.annotations of a"
            f" {', '.join(KINDS[:-1])} or {KINDS[-1]}{_INSTEAD.get(str(kind), '')}"
        )


#: What to do if a workflow is inside another object.
_INSTEAD: Final = {
    "Sensor": ": write the workflow as a WorkflowTemplate with its gates, and let the Sensor submit"
    " a Workflow with a workflowTemplateRef to it"
}

#: Of the letters of a prefix, so that one or two may be wrong, and `approval-bridge.dev` is found.
_NEAR: Final = 0.8


def _asks(value: object) -> bool:
    """Whether it reads as what an annotation says of a gate, whatever its key is."""
    return isinstance(value, str) and bool(_GATE.search(value))


_GATE: Final = re.compile(
    r"""^\s*\{?\s*["']?(?:message|approvers|on_timeout)["']?\s*:""", re.MULTILINE
)


def _unfit(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What of the workflow is not as Argo has it, as far as gates go."""
    spec, inner = manifest.get("spec"), "spec"
    if isinstance(spec, Mapping) and manifest.get("kind") == "CronWorkflow":
        spec, inner = spec.get("workflowSpec"), "spec.workflowSpec"
    if not isinstance(spec, Mapping):
        yield f"it has no {inner}"
    elif spec.get("workflowTemplateRef") and not spec.get("templates"):
        yield (
            f"{inner} refers to a WorkflowTemplate and has no templates of its own: write the"
            " annotation in that WorkflowTemplate"
        )
    elif not isinstance(spec.get("templates"), list):
        yield f"{inner}.templates is not a list"
    else:
        for number, template in enumerate(spec["templates"]):
            yield from _template_faults(template, f"{inner}.templates[{number}]")
        for key in ("templateDefaults", "retryStrategy"):
            yield from _not_mapping(spec, key, inner)
        yield from _not_mapping(
            spec.get("templateDefaults"), "retryStrategy", f"{inner}.templateDefaults"
        )
        for key in ("entrypoint", "onExit"):
            yield from _not_name(spec, key, inner)
        yield from _hook_faults(spec.get("hooks"), f"{inner}.hooks")
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and not whole(str(deadline)):
            yield f"{inner}.activeDeadlineSeconds is not a whole number"


def _template_faults(template: object, where: str) -> Iterator[str]:
    if not isinstance(template, Mapping):
        yield f"{where} is not a mapping"
        return
    if not isinstance(template.get("name"), str):
        yield f"{where} has no name"
    yield from _not_mapping(template, "retryStrategy", where)
    yield from _parameter_faults(template, "inputs", where)
    own = template.get("initContainers") or []
    if not isinstance(own, list) or not all(isinstance(each, Mapping) for each in own):
        yield f"{where}.initContainers is not a list of containers"
    dag = template.get("dag")
    if dag is not None and template.get("steps") is not None:
        yield f"{where} has both dag and steps, and Argo runs one of them"
    if dag is not None:
        tasks = dag.get("tasks") if isinstance(dag, Mapping) else None
        yield from _call_faults(tasks, f"{where}.dag.tasks")
    steps = template.get("steps")
    if steps is None:
        return
    if not isinstance(steps, list):
        yield f"{where}.steps is not a list"
        return
    for number, group in enumerate(steps):
        yield from _call_faults(group, f"{where}.steps[{number}]")


def _call_faults(calls: object, where: str) -> Iterator[str]:
    if not isinstance(calls, list):
        yield f"{where} is not a list"
        return
    for number, call in enumerate(calls):
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            yield f"{where}[{number}] has no name"
        elif not _texts(call.get("dependencies")):
            yield f"{where}[{number}].dependencies is not a list of names"
        else:
            yield from _run_faults(call, f"{where}[{number}]")
            yield from _hook_faults(call.get("hooks"), f"{where}[{number}].hooks")


def _hook_faults(hooks: object, where: str) -> Iterator[str]:
    if hooks is None:
        return
    if not isinstance(hooks, Mapping) or not all(isinstance(e, Mapping) for e in hooks.values()):
        yield f"{where} is not a mapping from names to hooks"
        return
    for key, hook in hooks.items():
        yield from _run_faults(hook, f"{where}.{key}")


def _run_faults(call: Mapping[str, Any], where: str) -> Iterator[str]:
    """Of what a call or a hook runs, and with what."""
    for key in ("template", "onExit"):
        yield from _not_name(call, key, where)
    yield from _not_mapping(call, "templateRef", where)
    yield from _parameter_faults(call, "arguments", where)


def _parameter_faults(found: Mapping[str, Any], key: str, where: str) -> Iterator[str]:
    yield from _not_mapping(found, key, where)
    own = found.get(key)
    listed = own.get("parameters") if isinstance(own, Mapping) else None
    if listed is not None and not (
        isinstance(listed, list)
        and all(isinstance(e, Mapping) and isinstance(e.get("name"), str) for e in listed)
    ):
        yield f"{where}.{key}.parameters is not a list of parameters with names"


def _not_name(found: Mapping[str, Any], key: str, where: str) -> Iterator[str]:
    if found.get(key) is not None and not isinstance(found[key], str):
        yield f"{where}.{key} is not a name"


def _not_mapping(found: object, key: str, where: str) -> Iterator[str]:
    if isinstance(found, Mapping) and not isinstance(found.get(key) or {}, Mapping):
        yield f"{where}.{key} is not a mapping"


def _texts(found: object) -> bool:
    return found is None or (
        isinstance(found, list) and all(isinstance(each, str) for each in found)
    )
