"""What users of metaflow-hitl write besides its README; the environment says which flow."""

import os

from marks import mark
from metaflow import FlowSpec, Parameter, hitl, step


class Base(FlowSpec):
    alpha = Parameter("alpha", default=3)

    @property
    def summary(self):
        return f"{self.word} at {self.half:.0%} with {self.alpha}, {self.shout(self.word)}"

    @property
    def half(self):
        return self.accuracy / 2

    @staticmethod
    def shout(word):
        return word.upper()

    @step
    def start(self):
        self.word = "fir"
        self.accuracy = 0.5
        self.next(self.gated)

    @step
    def end(self):
        mark(given=self.hitl_input)


class Property(Base):
    @hitl(
        message="{self.summary}?",
        approvers="anyone",
        input_schema={"n": "integer", "dry": "boolean", "where": "string"},
        poll_interval=30,
    )
    @step
    def gated(self):
        self.next(self.end)


class Unknown(Base):
    @hitl(retries=3, timeut="1h", timeout="x")
    @step
    def gated(self):
        self.next(self.end)


class Function(Base):
    @hitl(auto_approve_if=lambda accuracy, environment: environment == "test" and accuracy > 0.4)
    @step
    def gated(self):
        self.next(self.end)


class Clock(Base):
    @hitl(timeout="1s", on_timeout="approve", input_schema={"n": "int = 2", "notes": "str"})
    @step
    def gated(self):
        self.next(self.end)


class Owes(Base):
    @hitl(on_timeout="approve", input_schema={"n": "int"})
    @step
    def gated(self):
        self.next(self.end)


class Braces(Base):
    @hitl(message=os.environ.get("MESSAGE", "Copy {} to ${HOME}?"))
    @step
    def gated(self):
        self.next(self.end)


class Broken(Base):
    @property
    def broken(self):
        return self.nothing

    @hitl(message="{self.broken}")
    @step
    def gated(self):
        self.next(self.end)


class Notified(Base):
    @hitl(
        notifier=[each for each in os.environ.get("TO", "").split(",") if each],
        auto_approve_if="accuracy > 0",
    )
    @step
    def gated(self):
        self.next(self.end)


if __name__ == "__main__":
    globals()[os.environ["FLOW"]]()
