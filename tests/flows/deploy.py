"""Train, ask, deploy: the flow of the README."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class TrainAndDeploy(FlowSpec):
    @step
    def start(self):
        self.accuracy = 0.94
        self.model = "resnet"
        self.api_token = "do-not-show"  # noqa: S105 - nobody's
        self.weights = [0.1, 0.2]
        mark()
        self.next(self.deploy)

    @hitl(
        message="Accuracy {self.accuracy:.1%}: deploy?",
        input_schema={"target": "str = staging"},
        timeout="24h",
        auto_approve_if="environment == dev",
        better={"accuracy": "higher"},
    )
    @step
    def deploy(self):
        mark(given=self.hitl_input)
        self.next(self.end)

    @step
    def end(self):
        mark()


if __name__ == "__main__":
    TrainAndDeploy()
