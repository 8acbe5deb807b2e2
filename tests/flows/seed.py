"""The flow that metaflow-hitl's README shows, with the step `start` that any flow must have."""

from metaflow import FlowSpec, step

from metaflow_extensions.hitl.plugins.hitl_decorator import hitl


class TrainAndDeploy(FlowSpec):
    @step
    def start(self):
        self.next(self.train)

    @step
    def train(self):
        self.accuracy = 0.94
        self.next(self.gate)

    @hitl(
        message="Accuracy: {self.accuracy:.1%} — approve to deploy?",
        timeout="24h",
        on_timeout="reject",
        notifier="apprise",
    )
    @step
    def gate(self):
        print("Approved for:", self.hitl_input.get("deploy_target"))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TrainAndDeploy()
