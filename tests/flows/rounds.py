"""A gate in each round of a recursive step, and one at the end."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class Rounds(FlowSpec):
    @step
    def start(self):
        self.rounds = 0
        self.next(self.loop)

    @hitl(message="Round {self.rounds}?")
    @step
    def loop(self):
        mark(rounds=self.rounds)
        self.rounds += 1
        self.more = "again" if self.rounds < 2 else "done"
        self.next({"again": self.loop, "done": self.end}, condition="more")

    @hitl(message="End after {self.rounds}?", input_schema={"target": "str = none"})
    @step
    def end(self):
        mark(given=self.hitl_input)


if __name__ == "__main__":
    Rounds()
