"""Gates on the start, in a foreach (a no skips), on its join (people choose), and on the end."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class Orchard(FlowSpec):
    @hitl(message="Begin?")
    @step
    def start(self):
        self.trees = ["oak", "elm", "fir"]
        mark()
        self.next(self.plant, foreach="trees")

    @hitl(message="Plant {self.input}?", on_reject="skip")
    @step
    def plant(self):
        self.planted = self.input
        mark(tree=self.input)
        self.next(self.joined)

    @hitl(message="Harvest?", keep=True)
    @step
    def joined(self, inputs):
        self.outcomes = {each.input: each.hitl_decision["outcome"] for each in inputs}
        self.harvest = [tree for tree, outcome in self.outcomes.items() if outcome == "approved"]
        mark(outcomes=self.outcomes)
        self.next(self.end)

    @hitl(message="Sell the harvest?", input_schema={"price": "int = 1"})
    @step
    def end(self):
        mark(sold=self.harvest, given=self.hitl_input)


if __name__ == "__main__":
    Orchard()
