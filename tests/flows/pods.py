"""Gated steps with everything that a step on Kubernetes can be decorated with."""

from marks import mark
from metaflow import (
    FlowSpec,
    catch,
    environment,
    hitl,
    kubernetes,
    resources,
    retry,
    secrets,
    step,
    timeout,
)


class Pods(FlowSpec):
    @step
    def start(self):
        self.accuracy = 0.9
        self.parts = ["oak", "elm"]
        self.next(self.part, foreach="parts")

    @step
    def part(self):
        self.score = len(self.input)
        self.next(self.score_it)

    @hitl(message="Score {self.score}?")
    @step
    def score_it(self):
        mark()
        self.next(self.join)

    @hitl(message="Which of {inputs[0].parts}?", keep=True)
    @step
    def join(self, inputs):
        self.best = max(each.score for each in inputs)
        self.next(self.deploy)

    @retry(times=2, minutes_between_retries=1)
    @catch(var="failed")
    @timeout(hours=1)
    @resources(gpu=1, memory=64000)
    @secrets(sources=["my-secret"])
    @environment(vars={"TARGET": "everywhere"})
    @kubernetes(image="gpu/image:1", secrets=["of-the-step"], node_selector={"pool": "gpu"})
    @hitl(
        message="Deploy {self.best}?",
        timeout="2h",
        input_schema={"target": "str"},
    )
    @step
    def deploy(self):
        mark(given=self.hitl_input)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Pods()
