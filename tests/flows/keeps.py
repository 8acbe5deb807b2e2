"""A join of a foreach that asks which of its branches to keep."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class Keeps(FlowSpec):
    @step
    def start(self):
        self.countries = ["de", "fr", "it"]
        self.next(self.train, foreach="countries")

    @step
    def train(self):
        self.country = self.input
        self.accuracy = {"de": 0.91, "fr": 0.4, "it": 0.9}[self.input]
        self.notes = f"trained on {self.input}\nwith care"
        self.next(self.chosen)

    @hitl(
        message="Publish these?",
        keep=True,
        compare={"run": 77},
        better={"train[es].accuracy": "higher"},
    )
    @step
    def chosen(self, inputs):
        self.published = [each.country for each in inputs]
        self.merge_artifacts(inputs, include=["countries"])
        self.next(self.end)

    @step
    def end(self):
        mark(published=self.published, said=self.hitl_input, countries=self.countries)


if __name__ == "__main__":
    Keeps()
