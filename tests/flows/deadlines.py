"""Three gates with a deadline, side by side: one for each thing that may happen when it passes."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class Deadlines(FlowSpec):
    @step
    def start(self):
        self.next(self.shuts, self.passes, self.waits)

    @hitl(message="Shuts?", timeout="1h", on_timeout="reject")
    @step
    def shuts(self):
        mark()
        self.next(self.joined)

    @hitl(message="Passes?", timeout="1h", on_timeout="approve")
    @step
    def passes(self):
        mark()
        self.next(self.joined)

    @hitl(message="Waits?", timeout="1h", on_timeout="notify")
    @step
    def waits(self):
        mark()
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Deadlines()
