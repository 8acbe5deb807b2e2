"""`@hitl`: a person decides before the step runs.

The gate is asked in `task_pre_step`, so that no line of the step runs before. Everything of the
bridge is imported where it is used: Metaflow loads this module for every command of every flow.
"""

# ruff: noqa: ARG002 - Metaflow calls its hooks by position
from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from metaflow import flowspec
from metaflow._vendor import click
from metaflow.decorators import StepDecorator, _base_step_decorator
from metaflow.exception import MetaflowException
from metaflow.plugins.environment_decorator import EnvironmentDecorator
from metaflow.tuple_util import ForeachFrame

from metaflow_extensions.hitl import metaflow_version

from . import brought, guard, shown, splits

if TYPE_CHECKING:
    from bridge.core.approval import Approval
    from bridge.core.gate_spec import GateSpec
    from bridge.core.settings import Settings
    from metaflow_extensions.hitl.stored_bytes import Watch

    from .request import GatedTask

#: Tells a process that launches a pod which task the pod is for.
_TASK = "HITL_METAFLOW_TASK"
_REMOTE = ("kubernetes", "batch")
_ELSEWHERE = {
    "step-functions": "Step Functions",
    "airflow": "Airflow",
}


class HitlException(MetaflowException):
    headline = "Approval gate"


class HitlDecorator(StepDecorator):
    """
    Asks a person before the step runs, and lets it run only once an approval is recorded.

    Parameters
    ----------
    message : str, optional, default None
        What is asked. It may read artifacts, such as `{self.accuracy:.1%}`; on a join those of
        a branch, such as `{inputs.train.accuracy}`.
    timeout : str, optional, default "24h"
        How long to wait, such as `30m`, `24h` or `7d`. None waits for ever.
    on_timeout : str, default "reject"
        What the clock does then: `reject`, `approve` or `notify` (remind, and wait on).
    notifier : Union[str, List[str]], optional, default None
        `apprise` notifies the addresses in METAFLOW_HITL_APPRISE_URLS, `slack` and `smtp` those of
        their kind; or a list of Apprise addresses.
    input_schema : Dict[str, Any], optional, default None
        The input that the approver gives, such as `{"deploy_target": "str"}`, or a JSON Schema.
        It arrives as `self.hitl_input`.
    approvers : List[str], optional, default None
        Who may decide: names or mail addresses. None or `anyone`: anyone.
    auto_approve_if : Union[str, Callable[..., bool]], optional, default None
        A condition that approves by itself, such as `accuracy >= 0.9` or
        `environment == staging`, or a function of the artifacts that its parameters name.
    compare : Union[bool, Dict[str, str]], optional, default None
        The page shows what changed since the last approved run of this step, or since the run 6:
        `{"run": "6"}`. False: it does not. `{"key": "de"}` compares only with gates of this key.
    better : Dict[str, str], optional, default None
        Which values of a metric are the better ones, such as `{"accuracy": "higher"}`.
    pictures : List[str], optional, default None
        Artifacts that the page draws, such as `["losses"]`: lists or arrays of numbers,
        and figures.
    on_reject : str, default "end"
        What a no does: `end` ends the run, and `skip`, inside a foreach, skips the body of this
        step in this split, and the run goes on; `self.hitl_decision["outcome"]` says which.
    keep : bool, default False
        On the join of a foreach: the approver chooses the branches that the step gets, as in
        `/approve keep=all-except-de`. `self.hitl_input["keep"]` names them.
    poll_interval : int, optional, default None
        Of metaflow-hitl. It has no effect: the bridge chooses how often to look.
    """

    name = "hitl"
    _watch: Watch | None = None
    _skips = False
    _kept: frozenset[int] | None = None  # the inputs that a join gets; None: all
    defaults: ClassVar[dict[str, Any]] = {
        "message": None,
        "timeout": "24h",
        "on_timeout": "reject",
        "notifier": None,
        "input_schema": None,
        "approvers": None,
        "auto_approve_if": None,
        "compare": None,
        "better": None,
        "pictures": None,
        "on_reject": "end",
        "keep": False,
        "poll_interval": None,
    }

    def __init__(
        self, attributes: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any
    ) -> None:
        # Here, because every way to a gate comes through: `@hitl`, `--with hitl`, a mutator.
        if metaflow_version.is_too_old():
            metaflow_version.refuse()
        said = dict(attributes or {})
        # Metaflow itself would refuse the first unknown one with a traceback, as the flow loads.
        self._unknown = {key: said.pop(key) for key in list(said) if _is_unknown(key)}
        super().__init__(said, *args, **kwargs)

    # -- when the flow is checked ------------------------------------------------------------

    def step_init(
        self,
        flow: Any,
        graph: Any,
        step_name: str,
        decorators: Any,
        environment: Any,
        flow_datastore: Any,
        logger: Any,
    ) -> None:
        self._flow = flow
        self._graph = graph
        self._step = step_name
        self._flow_datastore = flow_datastore
        self._keys: set[str] = set()
        command = _command()
        if self._watch is None and _runs_here(command, step_name):
            self._watch_what_is_loaded(flow_datastore)
        if command[:1] and command[0] in _ELSEWHERE and "create" in command:
            raise HitlException(
                f"The step *{step_name}* has a gate, and gates on {_ELSEWHERE[command[0]]} are not"
                " in this version yet: run this flow with `run`, or take @hitl off to deploy it."
            )
        self._look_at_flow()
        if not guard.in_pod():  # there only the step at hand is looked at, and not before its turn
            _ = self.declared
        if command[:1] == ["argo-workflows"]:
            from .argo import inject_gates

            inject_gates()
            self._say_ignored()
        if command[:1] and command[0] in _REMOTE:
            self._wait_for_pod(flow_datastore)

    def _watch_what_is_loaded(self, flow_datastore: Any) -> None:
        """In the process of the task, before Metaflow loads anything for it."""
        with _needing_bridge():
            from metaflow_extensions.hitl.stored_bytes import Watch
        self._watch = Watch(flow_datastore.ca_store, self._step, guard.shut, ForeachFrame)

    def _look_at_flow(self) -> None:
        if self._graph[self._step].parallel_step:
            raise HitlException(
                f"The step *{self._step}* is @parallel: its many nodes cannot wait at one gate."
                " Put @hitl on the step before it."
            )
        with _needing_bridge():
            from bridge.core.approval import DECISION

            from .known import known_at, shared_by
            from .properties import properties_of
        for name, what in (("hitl_input", "approver's input"), (DECISION, "decision")):
            if hasattr(type(self._flow), name):
                raise HitlException(
                    f"This flow has a parameter or class attribute of the name *{name}*, which is"
                    f" where a gate puts the {what}: give yours another name."
                )
        # Each gated branch has its own, and `merge_artifacts` would refuse every join of two.
        flowspec.INTERNAL_ARTIFACTS_SET.add(DECISION)
        # In a task Metaflow puts properties in place of these, so they are looked at here.
        self._parameters = dict(self._flow._get_parameters())
        self._shared = shared_by(type(self._flow))
        self._properties = properties_of(type(self._flow))
        self._known = known_at(self._flow, self._graph, self._step)

    @cached_property
    def declared(self) -> GateSpec:
        """The gate as its author declared it. Raises `HitlException` with every fault."""
        with _needing_bridge():
            from bridge.core.errors import Faults

            from .declaration import declare
        misplaced = list(splits.misplaced(self._graph, self._step, self.attributes))
        try:
            with _needing_bridge():
                spec = declare(self.attributes | self._unknown, self._step, self._known)
        except Faults as faults:
            listed = "\n".join(f"  - {each}" for each in (*faults.faults, *misplaced))
            raise HitlException(f"{faults.subject}:\n{listed}") from None
        if misplaced:
            raise HitlException("\n".join(misplaced))
        return spec

    def _say_ignored(self) -> None:
        if self.attributes["poll_interval"] is not None:
            print(
                f"hitl: `poll_interval` of @hitl on step {self._step} has no effect; remove it",
                file=sys.stderr,
            )

    def add_to_package(self) -> Iterable[tuple[str, str]]:
        from bridge.argo.pod_settings import brings

        return brought.files() if brings(os.environ) else ()

    # -- in the process of `run` --------------------------------------------------------------

    def runtime_init(self, flow: Any, graph: Any, package: Any, run_id: str) -> None:
        self._say_ignored()
        self._run = run_id
        self._notes = tempfile.NamedTemporaryFile("r", prefix="hitl-", encoding="utf-8")  # noqa: SIM115
        self._check_ledger()

    def _check_ledger(self) -> None:
        """What would shut the gate after hours of training is said before the first step."""
        from bridge.core.errors import BridgeError

        from .passing import check_before_run

        remote = [each.name for each in _decorators(self._flow, self._step) if each.name in _REMOTE]
        try:
            readable_elsewhere = check_before_run(
                _settings(), self._flow.name, self._step, self.declared
            )
        except BridgeError as error:
            raise HitlException(str(error)) from None
        if remote and not readable_elsewhere:
            raise HitlException(
                f"The step *{self._step}* runs with @{remote[0]}, where its gate cannot be verified"
                " against a ledger on this machine's disk: set HITL_LEDGER to the URL of a git"
                " repository that the pod can reach."
            )

    def runtime_step_cli(
        self, cli_args: Any, retry_count: int, max_user_code_retries: int, ubf_context: Any
    ) -> None:
        task = cli_args.task
        self._keys.add(self._key(task.run_id, task.task_id))
        cli_args.env[guard.NOTES] = self._notes.name
        cli_args.env[_TASK] = json.dumps(
            {
                "step": self._step,
                "run_id": task.run_id,
                "task_id": task.task_id,
                "split_index": task.split_index,
                "input_paths": list(task.input_paths),
            }
        )

    def runtime_finished(self, exception: BaseException | None) -> None:
        # Metaflow itself reports a task that must not be retried only as a missing end step.
        guard.say_stopped(list(self._notes), self._run)
        self._notes.close()
        # A failing run kills the tasks that still wait; nobody is to be asked for it any more.
        if not self._keys:
            return
        from .passing import give_up, say_end

        if exception is not None:
            give_up(_settings(), self._origin(), self._keys)
        say_end(_settings(), self._origin(), self._keys, well=exception is None)

    # -- in the process that launches a pod -----------------------------------------------------

    def _wait_for_pod(self, flow_datastore: Any) -> None:
        """The pod's hooks run in the pod, which would hold its GPU while people think: the process
        that launches it waits instead, and the pod only verifies."""
        told = json.loads(os.environ.get(_TASK, "{}"))
        if told.get("step") != self._step:
            return
        inputs = [_stored(flow_datastore, path) for path in told["input_paths"]]
        self._pass(self.gated_task(told["run_id"], told["task_id"], told["split_index"], inputs))
        self._lend_ledger()

    def _lend_ledger(self) -> None:
        """Tell the pod where the decision lies; it inherits nothing of this environment. The
        address alone, without a credential: a pod's variables can be read in the cluster."""
        from bridge import wiring
        from bridge.argo.pod_settings import passed_on
        from bridge.core import settings

        ours = passed_on(os.environ)
        ours[settings.LEDGER] = wiring.existing_venue(_settings()).address
        decorators = _decorators(self._flow, self._step)
        for each in decorators:
            if each.name == "environment":
                each.attributes["vars"] = ours | each.attributes["vars"]
                return
        # Metaflow leaves its own variable out if a step has @environment.
        ours["METAFLOW_FLOW_FILENAME"] = Path(sys.argv[0]).name
        decorators.append(EnvironmentDecorator(attributes={"vars": ours}))

    # -- in the task --------------------------------------------------------------------------

    def task_pre_step(
        self,
        step_name: str,
        task_datastore: Any,
        metadata: Any,
        run_id: str,
        task_id: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
        inputs: Any,
    ) -> None:
        # A task that leaves here has not run: `resume` must not take its outputs for results.
        flow._task_ok = False
        task = self.gated_task(run_id, task_id, flow.index if _splits(inputs) else None, inputs)
        with guard.alarm_held():
            approval = self._pass(task)
        self._skips = approval.outcome != "approved"
        if not self._skips:
            guard.mark_verified(task.gate.key)
            self._kept = splits.kept(task, approval.inputs)
        flow.hitl_input = dict(approval.inputs)
        flow.hitl_decision = approval.plain()
        metadata.register_metadata(run_id, step_name, task_id, [shown.datum(approval, retry_count)])

    def task_decorate(
        self,
        step_func: Callable[..., Any],
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
    ) -> Callable[..., Any]:
        shown.add_to_card(flow.hitl_decision)
        if not self._skips:
            kept = self._kept
            return step_func if kept is None else splits.with_kept_alone(step_func, kept)
        (after,) = graph[self._step].out_funcs
        return partial(flow.next, getattr(flow, after))

    def task_exception(
        self,
        exception: BaseException,
        step_name: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
    ) -> None:
        """Another decorator failed before the gate was verified: @catch must not pass it."""
        from metaflow import current

        if not guard.has_verified(current.pathspec):
            said = str(exception).partition("\n")[0]
            guard.shut(
                f"{current.pathspec} does not run: something failed before its gate was verified"
                f" ({type(exception).__name__}: {said})"
            )

    # -- the gate -----------------------------------------------------------------------------

    def _pass(self, task: GatedTask) -> Approval:
        """The approval; leaves the process if the gate stays shut."""
        from bridge.core.errors import BridgeError, GateShut

        from .passing import pass_task

        try:
            return pass_task(_settings(), task, self.declared, self._watch)
        except GateShut as error:
            guard.shut(str(error))
        except BridgeError as error:
            guard.shut(f"{task.gate.key} does not run: {error}")

    def gated_task(
        self, run_id: str, task_id: str, split_index: int | None, inputs: Any
    ) -> GatedTask:
        """A task of this step, before its gate. `inputs` are the datastores of its parents."""
        from bridge.core.model import Gate
        from metaflow_extensions.hitl.stored_bytes import StoredBytes

        from .request import GatedTask

        return GatedTask(
            gate=Gate(self._origin(), self._key(run_id, task_id)),
            step=self._step,
            is_join=self._graph[self._step].type == "join",
            ends_foreach=splits.ends_foreach(self._graph, self._step),
            keeps=self.declared.keep,
            split_index=split_index,
            inputs=list(inputs),
            parameters=self._parameters,
            shared=self._shared,
            properties=self._properties,
            project=_project(),
            stored=StoredBytes(self._flow_datastore.ca_store),
        )

    def _key(self, run_id: str, task_id: str) -> str:
        return f"{self._flow.name}/{run_id}/{self._step}/{task_id}"

    def _origin(self) -> str:
        """Where runs of this name live, the same in the pod and in the process that launches it."""
        root = str(self._flow_datastore.datastore_root)
        root = root if "://" in root else os.path.realpath(root)
        workflow = _settings().workflow
        # A workflow that is made again under the same name must not inherit an approval.
        return f"{root}#{workflow.uid}" if workflow else root


def _command() -> list[str]:
    """The command line after the flow's own options: `["run", ...]`."""
    context = click.get_current_context(silent=True)
    return list(getattr(context.find_root(), "saved_args", [])) if context else []


def _runs_here(command: list[str], step_name: str) -> bool:
    """Whether this process runs a task of this step. Metaflow writes the step's name first."""
    if command[:1] != ["step"]:
        return False
    is_first = not command[1:2] or not command[1].startswith("-")
    return step_name in (command[1:2] if is_first else command[2:])


@contextmanager
def _needing_bridge() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        gone = isinstance(error, ModuleNotFoundError)
        what = f"the module {error.name} is missing" if gone else f"a module of it fails ({error})"
        raise HitlException(
            "@hitl needs the package approval-bridge in the Python that runs the step, and there"
            f" {what}: add approval-bridge to that image or environment."
        ) from None


def _project() -> tuple[str | None, str | None]:
    """What `@project` set before any step is looked at; the same in every process of a run."""
    from metaflow import current

    return getattr(current, "project_name", None), getattr(current, "branch_name", None)


def _decorators(flow: Any, step: str) -> list[Any]:
    """The list itself, which Metaflow reads again later."""
    found: list[Any] = getattr(flow, step).decorators
    return found


def _splits(inputs: Any) -> bool:
    return len(inputs) == 1 and not inputs[0].is_none("_foreach_var")


def _stored(flow_datastore: Any, path: str) -> Any:
    run_id, step, task_id, *attempt = path.split("/")
    return flow_datastore.get_task_datastore(
        run_id, step, task_id, attempt=int(attempt[0]) if attempt else None
    )


def _is_unknown(key: str) -> bool:
    from metaflow.user_configs.config_parameters import UNPACK_KEY  # not in an old Metaflow

    return key not in HitlDecorator.defaults and not key.startswith(UNPACK_KEY)


def _settings() -> Settings:
    from bridge.core.log import turn_on_if_asked
    from bridge.core.settings import from_environment

    turn_on_if_asked(os.environ)
    return from_environment(os.environ)


def _gate_decorator(kind: type[StepDecorator], *args: Any, **kwargs: Any) -> Any:
    """As Metaflow makes a step's decorator, and the step's function guarded besides."""
    if not args:
        return partial(_gate_decorator, kind, **kwargs)
    if isinstance(args[0], str):
        raise HitlException(f"Give @hitl its parameters by name: @hitl(message={args[0]!r}).")
    return guard.guarded(_base_step_decorator(kind, *args, **kwargs))


#: A `partial` with the class as its one argument: Metaflow's mutators take decorators in this form.
hitl: Callable[..., Any] = partial(_gate_decorator, HitlDecorator)
