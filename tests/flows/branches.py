"""Two gated branches, a typed input, their join. Alone in its file, as Metaflow's Runner wants."""

from functools import partial

from marks import mark
from metaflow import FlowSpec, hitl, step

SCHEMA = {"replicas": "int = 1", "notes": "str = none"}
gate = partial(hitl, timeout="60s", auto_approve_if="environment == test")


class Branches(FlowSpec):
    @step
    def start(self):
        self.next(self.left, self.right)

    @gate(message="Left?", input_schema=SCHEMA)
    @step
    def left(self):
        mark(given=self.hitl_input)
        self.next(self.joined)

    @gate(message="Right?")
    @step
    def right(self):
        mark(given=self.hitl_input)
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.answers = {"left": inputs.left.hitl_input, "right": inputs.right.hitl_input}
        self.merge_artifacts(inputs, exclude=["hitl_input"])
        self.next(self.end)

    @step
    def end(self):
        mark(given=list(self.answers.values()))


if __name__ == "__main__":
    Branches()
