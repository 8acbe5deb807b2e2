"""A gate where none can stand: on a step of many nodes."""

from metaflow import FlowSpec, hitl, parallel, step


class Gang(FlowSpec):
    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @hitl
    @parallel
    @step
    def train(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Gang()
