"""Train something small, ask a person, deploy.

    python examples/train_and_deploy.py run

The model is a perceptron in pure Python that learns to tell ripe fruit from unripe; what matters is
the gate before `deploy`.
"""

import random

from metaflow import FlowSpec, Parameter, hitl, step


class TrainAndDeploy(FlowSpec):
    epochs = Parameter("epochs", default=20, help="How often the training data is gone through.")

    @step
    def start(self):
        draw = random.Random(7)
        self.fruit = [(draw.random(), draw.random()) for _ in range(2_000)]
        self.ripe = [0.8 * red + 0.6 * soft + draw.gauss(0, 0.05) > 0.7 for red, soft in self.fruit]
        self.next(self.train)

    @step
    def train(self):
        self.model_name = "ripeness"
        weights = [0.0, 0.0, 0.0]
        examples = list(zip(self.fruit, self.ripe, strict=True))
        for _ in range(self.epochs):
            for (red, soft), ripe in examples[:1_500]:
                miss = 0.01 * (ripe - predict(weights, red, soft))
                weights = [weights[0] + miss, weights[1] + miss * red, weights[2] + miss * soft]
        self.weights = [round(each, 4) for each in weights]
        held_out = examples[1_500:]
        right = sum(predict(weights, *fruit) == ripe for fruit, ripe in held_out)
        self.accuracy = right / len(held_out)
        self.next(self.deploy)

    @hitl(
        message="Deploy {self.model_name}? It is right on {self.accuracy:.1%} of unseen fruit.",
        input_schema={"deploy_target": "str", "notes": "str"},
        timeout="24h",
    )
    @step
    def deploy(self):
        target = self.hitl_input["deploy_target"]
        print(f"{self.model_name} goes to {target}. Notes: {self.hitl_input.get('notes', 'none')}")
        self.next(self.end)

    @step
    def end(self):
        print(f"Approved with {self.hitl_input}")


def predict(weights, red, soft):
    return int(weights[0] + weights[1] * red + weights[2] * soft > 0)


if __name__ == "__main__":
    TrainAndDeploy()
