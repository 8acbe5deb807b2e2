"""Gates on every shape of step that a flow can have, all approved by their condition."""

from functools import partial

from marks import mark
from metaflow import FlowSpec, Parameter, hitl, step

gate = partial(hitl, auto_approve_if="environment == test")


class Shapes(FlowSpec):
    model = Parameter("model", default="fir")
    owner = "the forest"

    @gate(message="Start {self.model} of {self.owner}?")
    @step
    def start(self):
        mark(given=self.hitl_input)
        self.accuracy = 0.9
        self.next(self.first)

    @gate(message="First: {self.accuracy:.1%}, {params.model}?")
    @step
    def first(self):
        mark()
        self.next(self.second)

    @gate(message="Second in a row, {self.accuracy}?")
    @step
    def second(self):
        mark()
        self.next(self.left, self.right)

    @gate(message="Left?")
    @step
    def left(self):
        mark()
        self.score = 1
        self.next(self.joined)

    @step
    def right(self):
        self.score = 2
        self.next(self.joined)

    @gate(message="Join {inputs.left.score} and {inputs.right.score} of {self.model}?")
    @step
    def joined(self, inputs):
        mark(scores=[each.score for each in inputs])
        self.next(self.fork)

    @gate(message="Fork?")
    @step
    def fork(self):
        mark()
        self.parts = ["oak", "elm"]
        self.next(self.part, foreach="parts")

    @gate(message="Part {self.index} is {self.input}?")
    @step
    def part(self):
        mark(part=self.input)
        self.rings = [1, 2] if self.input == "oak" else [3]
        self.next(self.ring, foreach="rings")

    @gate(message="Ring {self.input}?")
    @step
    def ring(self):
        mark(ring=self.input)
        self.width = self.input * 10
        self.next(self.ring_after)

    @gate(message="After ring {self.input}: {self.width}?")
    @step
    def ring_after(self):
        mark(ring=self.input)
        self.next(self.rings_joined)

    @step
    def rings_joined(self, inputs):
        self.width = max(each.width for each in inputs)
        self.next(self.parts_joined)

    @gate(message="Widths {inputs[0].width} and {inputs[1].width}?")
    @step
    def parts_joined(self, inputs):
        mark()
        self.pick = "taken"
        self.next(self.choice)

    @gate(message="Choose {self.pick}?")
    @step
    def choice(self):
        mark()
        self.next({"taken": self.taken, "left_out": self.left_out}, condition="pick")

    @gate(message="Taken?")
    @step
    def taken(self):
        mark()
        self.rounds = 0
        self.next(self.loop)

    @gate(message="Not taken?")
    @step
    def left_out(self):
        mark()
        self.rounds = 0
        self.next(self.loop)

    @gate(message="Round {self.rounds}?")
    @step
    def loop(self):
        mark(rounds=self.rounds)
        self.rounds += 1
        self.more = "again" if self.rounds < 2 else "done"
        self.next({"again": self.loop, "done": self.end}, condition="more")

    @gate(message="End after {self.rounds}?")
    @step
    def end(self):
        mark(given=self.hitl_input)


if __name__ == "__main__":
    Shapes()
