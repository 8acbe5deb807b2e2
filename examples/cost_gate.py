"""Ask a person only if the run is expensive.

    python examples/cost_gate.py run --gpus 2      # cheap: the condition approves
    python examples/cost_gate.py run --gpus 40     # asks

The record says which of the two it was, with the values that the condition saw.
"""

from metaflow import FlowSpec, Parameter, hitl, step

PRICE = 3.2  # dollars for a GPU and an hour
HOURS = 6


class CostGate(FlowSpec):
    gpus = Parameter("gpus", default=2, help="How many GPUs the training takes.")

    @step
    def start(self):
        self.cost = round(self.gpus * HOURS * PRICE, 2)
        self.next(self.train)

    @hitl(
        message="Train on {self.gpus} GPUs for {self.cost:.2f} dollars?",
        auto_approve_if="cost <= 100",
        timeout="8h",
    )
    @step
    def train(self):
        by = self.hitl_decision["by"]
        print(f"training for {self.cost} dollars, approved by a {by}")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    CostGate()
