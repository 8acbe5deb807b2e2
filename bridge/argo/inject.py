"""Put gates into an Argo manifest: from dict to dict, and nothing else is changed.

Before each gated task goes a post: a notify task that opens the gate, a suspended one that waits,
and if something reads what was approved, a third that verifies and says it. What they run is made
in `templates.py`; this module knows only where they go and what they depend on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.core.durations import words
from bridge.core.errors import Faults
from bridge.core.sanitize import shortened

#: By this label a reconciler finds the workflows that hold gates, and is delivered no other.
LABEL = "approval-bridge/gated"

#: The parameter by which a notify task hands the gate's id on, and a suspended node is known.
GATE = "gate"
#: Where people decide: it is an input of the suspended node, so Argo's UI shows it there.
PAGE = "page"
#: What Argo's list of workflows shows, as Markdown (Argo 3.6 and newer):
#: https://argo-workflows.readthedocs.io/en/latest/title-and-description/
TITLE = "workflows.argoproj.io/title"
DESCRIPTION = "workflows.argoproj.io/description"

Json = dict[str, Any]

#: Of a template that holds a gate. Nothing there can tell a rejection from another failure, so any
#: retry would ask again. It overrides the defaults of the workflow and of the cluster.
_NO_RETRIES: Final = {"limit": 0}


@dataclass(frozen=True, slots=True)
class Post:
    """A gate before the one task (or step) `task` of the template `owner`.

    `templates` are notify's, suspend's and, if something reads its outputs, verify's. `arguments`
    are what notify and verify are called with, None for those of the gated task; `task_arguments`
    are the gated task's own from now on, None if they stay. `gated` are the templates that it runs
    as they are from now on. `timeout` is in seconds, None waits for ever.
    """

    name: str
    owner: str
    task: str
    templates: tuple[Json, ...]
    timeout: int | None
    arguments: Json | None = None
    task_arguments: Json | None = None
    gated: tuple[Json, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of the tasks that this puts in: `hitl-notify-<name>` and so on."""
        return [template["name"] for template in self.templates]


def notify_name(name: str) -> str:
    return f"hitl-notify-{name}"


def suspend_name(name: str) -> str:
    return f"hitl-suspend-{name}"


def verify_name(name: str) -> str:
    return f"hitl-verify-{name}"


def inject(manifest: Mapping[str, Any], posts: Sequence[Post]) -> Json:
    """The manifest with these gates in it. It is copied where it changes, and nowhere else.

    Raises `Faults` naming everything that keeps a gate from standing. Without posts nothing
    changes: the caller leaves out the gates that are in already (see `stands`).
    """
    if not posts:
        return dict(manifest)
    spec = spec_of(manifest)
    putting = _Putting(posts, enclosing(spec, {post.owner for post in posts}))
    templates = [putting.into(each) for each in spec["templates"]]
    faults = [*putting.faults, *_deadline_faults(spec, posts), *_clashes(spec, posts)]
    if faults:
        raise Faults(f"the gates of {name_of(manifest)}", faults)
    new = [template for post in posts for template in post.templates]
    made = labelled(with_spec(manifest, {**spec, "templates": [*templates, *new]}))
    return _announced(made, posts)


def lost_retries(manifest: Mapping[str, Any], posts: Sequence[Post]) -> Iterator[str]:
    """Which retries end with these gates, as warnings."""
    if not posts:
        return
    spec = spec_of(manifest)
    defaults = spec.get("templateDefaults") or {}
    around = enclosing(spec, {post.owner for post in posts})
    for template in spec["templates"]:
        given = [each.get("retryStrategy") for each in (template, defaults, spec)]
        limits = [str(each.get("limit")) for each in given if each]
        if template["name"] in around and limits[:1] not in ([], ["0"]):
            yield (
                f"{name_of(manifest)}: the template {template['name']} has a gate, and is no longer"
                " retried: a retry would run rejected tasks again, and ask again. Put"
                " the retries on the templates with containers"
            )


def enclosing(spec: Mapping[str, Any], owners: set[str]) -> set[str]:
    """The templates around these, themselves included."""
    callers: dict[str, set[str]] = defaultdict(set)
    for template in spec["templates"]:
        for call in calls(template):
            callers[call.get("template") or ""].add(template["name"])
    found, left = set(owners), list(owners)
    while left:
        new = callers[left.pop()] - found
        found |= new
        left += new
    return found


def spec_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of the workflow, which a CronWorkflow has one level further down."""
    spec: Mapping[str, Any] = manifest["spec"]
    return spec["workflowSpec"] if manifest.get("kind") == "CronWorkflow" else spec


def with_spec(manifest: Mapping[str, Any], spec: Json) -> Json:
    if manifest.get("kind") == "CronWorkflow":
        spec = {**manifest["spec"], "workflowSpec": spec}
    return {**manifest, "spec": spec}


def calls(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The tasks of a DAG, or the steps of a steps template."""
    yield from (template.get("dag") or {}).get("tasks") or ()
    for group in template.get("steps") or ():
        yield from group


def stands(template: Mapping[str, Any], name: str) -> bool:
    """Whether the gate of this name is in this template already."""
    return any(call["name"] == suspend_name(name) for call in calls(template))


# -- where the posts go --------------------------------------------------------------------------


@dataclass
class _Putting:
    posts: Sequence[Post]
    around: set[str]  # the templates that hold them
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._gated = {each["name"]: each for post in self.posts for each in post.gated}
        self._here: dict[str, dict[str, Post]] = defaultdict(dict)
        for post in self.posts:
            self._here[post.owner][post.task] = post

    def into(self, template: Json) -> Json:
        template = self._gated.get(template["name"], template)
        if template["name"] in self.around:
            template = {**template, "retryStrategy": _NO_RETRIES}
        posts = self._here.get(template["name"])
        if posts is None:
            return template
        self.faults += _unfit(template, posts)
        return _in_dag(template, posts) if template.get("dag") else _in_steps(template, posts)


def _in_dag(template: Json, posts: Mapping[str, Post]) -> Json:
    tasks: list[Json] = []
    for each in template["dag"]["tasks"]:
        task = _with_depends(each)
        post = posts.get(task["name"])
        tasks += _row(task, post) if post else [task]
    return {**template, "dag": {**template["dag"], "tasks": tasks}}


def _row(task: Json, post: Post) -> list[Json]:
    """The posts in a row, and the task behind them.

    Each stands on `.Succeeded` alone: with `.Skipped` or `.Omitted` a gate that was never opened
    would pass.
    """
    conditions = {key: task[key] for key in ("depends", "when") if task.get(key)}
    row: list[Json] = []
    for name, arguments in zip(post.names, _arguments(post, task, "tasks"), strict=True):
        before = {"depends": f"{row[-1]['name']}.Succeeded"} if row else conditions
        row.append({"name": name, "template": name, **before, **arguments})
    passed = f"{row[-1]['name']}.Succeeded"
    own = task.get("depends")
    return [*row, {**_gated_call(task, post), "depends": f"({own}) && {passed}" if own else passed}]


def _gated_call(task: Json, post: Post) -> Json:
    return {**task, "arguments": post.task_arguments} if post.task_arguments else task


def _with_depends(task: Json) -> Json:
    """`dependencies` counts a skipped task as done, and one DAG cannot have both ways to say it."""
    if "dependencies" not in task:
        return task
    rest = {key: value for key, value in task.items() if key != "dependencies"}
    depends = " && ".join(task["dependencies"] or ())
    return {**rest, "depends": depends} if depends else rest


def _in_steps(template: Json, posts: Mapping[str, Post]) -> Json:
    """The groups of a steps template run one after the other, and end at the first that fails."""
    groups: list[list[Json]] = []
    for group in template["steps"]:
        for step in group:
            post = posts.get(step["name"])
            if post:
                condition = {"when": step["when"]} if step.get("when") else {}
                arguments = _arguments(post, step, "steps")
                groups += (
                    [{"name": name, "template": name, **condition, **given}]
                    for name, given in zip(post.names, arguments, strict=True)
                )
        groups.append(
            [_gated_call(e, posts[e["name"]]) if e["name"] in posts else e for e in group]
        )
    return {**template, "steps": groups}


def _arguments(post: Post, task: Json, scope: str) -> Iterator[Json]:
    """What notify, suspend and verify are called with, in this order."""
    # All of them, so that both compute the same task id and the same request.
    own = post.arguments or task.get("arguments")
    given = {"arguments": own} if own else {}
    handed = f"{scope}.{notify_name(post.name)}.outputs.parameters"
    yield given
    yield {
        "arguments": {
            "parameters": [
                {"name": each, "value": f"{{{{{handed}.{each}}}}}"} for each in (GATE, PAGE)
            ]
        }
    }
    if len(post.templates) > 2:
        yield given


# -- faults --------------------------------------------------------------------------------------


def _unfit(template: Json, posts: Mapping[str, Post]) -> Iterator[str]:
    for task in calls(template):
        if task["name"] not in posts:
            continue
        where = f"{task['name']} in {template['name']}"
        for way in ("withItems", "withParam", "withSequence"):
            if task.get(way):
                yield (
                    f"{where} fans out with {way}, and each of its parts would need a gate: let it"
                    " run a template with a dag of its own, and gate the task in there"
                )
    for group in template.get("steps") or ():
        for task in group if len(group) > 1 else ():
            if task["name"] in posts:
                yield (
                    f"{task['name']} in {template['name']} runs side by side with others: give it a"
                    " group of its own"
                )
    if any("dependencies" in each and each.get("continueOn") for each in calls(template)):
        yield f"{template['name']} mixes dependencies and continueOn: write it with depends"


def _deadline_faults(spec: Mapping[str, Any], posts: Sequence[Post]) -> Iterator[str]:
    deadline = spec.get("activeDeadlineSeconds")
    for post in posts:
        if deadline is None or (post.timeout is not None and post.timeout <= int(deadline)):
            continue
        waits = f"may wait {words(post.timeout)}" if post.timeout else "waits forever"
        yield (
            f"the gate {post.name} {waits}, and the workflow is ended after {words(int(deadline))}:"
            " make the gate's timeout shorter, or the workflow's longer"
        )


def _clashes(spec: Mapping[str, Any], posts: Sequence[Post]) -> Iterator[str]:
    taken = {each["name"] for each in spec["templates"]}
    for post in posts:
        for name in post.names:
            if name in taken:
                yield f"there is a template {name} already: give yours another name"
            taken.add(name)
    for template in spec["templates"]:
        tasks = {each["name"] for each in calls(template)}
        for post in posts if tasks else ():
            for name in post.names if post.owner == template["name"] else ():
                if name in tasks:
                    yield f"{template['name']} has a task {name} already: give yours another name"


def name_of(manifest: Mapping[str, Any]) -> str:
    metadata = manifest.get("metadata")
    found = metadata if isinstance(metadata, Mapping) else {}
    name = found.get("name") or found.get("generateName") or "this workflow"
    return shortened(str(name), 80)


# -- the label -----------------------------------------------------------------------------------


def borrows(found: object, lent: set[str]) -> bool:
    """Whether something in here is a `templateRef` to one of these."""
    if isinstance(found, list):
        return any(borrows(each, lent) for each in found)
    if not isinstance(found, Mapping):
        return False
    reference = found.get("templateRef")
    here = isinstance(reference, Mapping) and str(reference.get("name")) in lent
    return here or any(borrows(each, lent) for each in found.values())


def _announced(manifest: Json, posts: Sequence[Post]) -> Json:
    """Argo's list of workflows says that somebody is awaited, behind what it says already.

    A title is shown in place of the run's name, so only a workflow that has one name gets one.
    """
    gates = ", ".join(f"`{post.name}`" for post in posts)
    nodes = ", ".join(f"`{suspend_name(post.name)}`" for post in posts)
    says = f"A person decides. While it waits, the input `{PAGE}` of {nodes} says where."
    named = (manifest.get("metadata") or {}).get("name") if _is_one_run(manifest) else None
    title = {TITLE: f"{named} (approval: {gates})"} if named else {}

    def announced(metadata: Json) -> Json:
        own = metadata.get("annotations") or {}
        description = "\n\n".join(filter(None, (own.get(DESCRIPTION), says)))
        return {**metadata, "annotations": {**title, **own, DESCRIPTION: description}}

    return _of_each_run(manifest, announced)


def labelled(manifest: Json) -> Json:
    """The label on the workflow itself, or on each that is made from a template or a schedule."""
    return _of_each_run(manifest, _with_label)


def _is_one_run(manifest: Json) -> bool:
    return manifest.get("kind") == "Workflow"


def _of_each_run(manifest: Json, change: Callable[[Json], Json]) -> Json:
    """The manifest with the metadata of its workflows changed."""
    if _is_one_run(manifest):
        return {**manifest, "metadata": change(manifest.get("metadata") or {})}
    spec = manifest["spec"]
    return {
        **manifest,
        "spec": {**spec, "workflowMetadata": change(spec.get("workflowMetadata") or {})},
    }


def _with_label(metadata: Json) -> Json:
    return {**metadata, "labels": {**(metadata.get("labels") or {}), LABEL: "true"}}
