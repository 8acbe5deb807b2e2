"""Flows that try to get past a gate; the environment says which, and how long the gate waits."""

import os
import signal
from functools import partial

from marks import mark

# Before metaflow itself, on purpose: both orders must work.
from metaflow_extensions.hitl.plugins.hitl_decorator import hitl

from metaflow import FlowMutator, FlowSpec, Parameter, catch, retry, step, timeout  # isort: skip
from metaflow.decorators import StepDecorator

gate = partial(
    hitl,
    message="May {self.word} pass?",
    timeout=os.environ.get("WAIT", "24h"),
    on_timeout=os.environ.get("THEN", "reject"),
    auto_approve_if="environment == test",
)


class Base(FlowSpec):
    @step
    def start(self):
        self.word = "fir"
        self.next(self.gated)

    @step
    def after(self):
        mark()
        if os.environ.get("AFTER") == "fails":
            raise RuntimeError("on purpose")
        self.next(self.end)

    @step
    def end(self):
        mark(given=self.hitl_input)


class Plain(Base):
    @gate()
    @step
    def gated(self):
        mark(given=self.hitl_input)
        self.next(self.after)


class Heir(Plain):
    """Inherits its gate."""


class CaughtOutside(Base):
    @catch(var="oops")
    @retry(times=1, minutes_between_retries=0)
    @timeout(hours=1)
    @gate()
    @step
    def gated(self):
        mark()
        self.next(self.after)


class CaughtInside(Base):
    @gate()
    @timeout(seconds=int(os.environ.get("ALARM", "3600")))
    @retry(times=1, minutes_between_retries=0)
    @catch(var="oops")
    @step
    def gated(self):
        mark(left=signal.getitimer(signal.ITIMER_REAL)[0])
        self.next(self.after)


class FailsFirst(StepDecorator):
    name = "fails_first"

    def task_pre_step(self, *_):
        raise RuntimeError("a hook of somebody else")


def fails_first(function):
    function.decorators.append(FailsFirst(statically_defined=True))
    return function


class HookFails(Base):
    @gate()
    @catch(var="oops")
    @fails_first
    @step
    def gated(self):
        mark()
        self.next(self.after)


class TakesGatesOff(FlowMutator):
    def mutate(self, mutable_flow):
        for _, each in mutable_flow.steps:
            each.remove_decorator("hitl")


@TakesGatesOff
class Mutated(Plain):
    pass


class PutsGateOn(FlowMutator):
    def mutate(self, mutable_flow):
        for name, each in mutable_flow.steps:
            if name == "gated":
                each.add_decorator(hitl, deco_kwargs={"timeout": "1s"})


@PutsGateOn
class GatedByMutator(Base):
    @step
    def gated(self):
        mark()
        self.next(self.after)


class Bare(Base):
    @hitl
    @step
    def gated(self):
        mark()
        self.next(self.after)


class Typed(Base):
    @hitl(message="Where to?", input_schema={"replicas": "int", "notes": "str"}, timeout="1h")
    @step
    def gated(self):
        mark(given=self.hitl_input)
        self.next(self.after)


class Racing(FlowSpec):
    """One branch waits, the other fails."""

    @step
    def start(self):
        self.next(self.gated, self.after)

    @hitl(message="Wait?")
    @step
    def gated(self):
        mark()
        self.next(self.joined)

    @step
    def after(self):
        open(os.environ["FIFO"]).close()  # returns when the test opens the other end
        raise RuntimeError("on purpose")
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        mark()


class Faulty(FlowSpec):
    hitl_count = Parameter("hitl_count", default=1)

    @step
    def start(self):
        self.accuracy = 1
        self.next(self.gated)

    @hitl(
        message="{self.acuracy:.1%} and {self.too_late}",
        timeout="soon",
        on_timeout="shrug",
        notifier="pigeon",
        input_schema={"n": "integer-ish"},
        approvers=[3],
        auto_approve_if="loss < 1",
    )
    @step
    def gated(self):
        self.too_late = 1
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    globals()[os.environ["FLOW"]]()
