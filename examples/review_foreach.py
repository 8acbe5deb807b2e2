"""Review each model of a foreach: every split is a gate of its own.

    python examples/review_foreach.py run

In another shell, `hitl list` shows them, and one command answers several: `hitl approve ID ID`.
"""

from metaflow import FlowSpec, hitl, step


class ReviewForeach(FlowSpec):
    @step
    def start(self):
        self.countries = ["de", "fr"]
        self.next(self.train, foreach="countries")

    @step
    def train(self):
        self.country = self.input
        self.accuracy = {"de": 0.91, "fr": 0.88}[self.country]
        self.next(self.publish)

    @hitl(message="Publish the model of {self.country} ({self.accuracy:.0%})?", timeout="24h")
    @step
    def publish(self):
        print("published", self.country)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.published = sorted(each.country for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("published:", ", ".join(self.published))


if __name__ == "__main__":
    ReviewForeach()
