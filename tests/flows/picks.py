"""A foreach in a foreach: a no skips one split, and each join gets the splits that people keep."""

from marks import mark
from metaflow import FlowSpec, hitl, step


class Picks(FlowSpec):
    @step
    def start(self):
        self.regions = ["north", "south"]
        self.next(self.region, foreach="regions")

    @step
    def region(self):
        self.trees = ["oak", "elm"] if self.input == "north" else ["ash"]
        self.next(self.plant, foreach="trees")

    @hitl(message="Plant {self.input}?", on_reject="skip", auto_approve_if="input == ash")
    @step
    def plant(self):
        self.planted = self.input
        mark(tree=self.input)
        self.next(self.grown)

    @hitl(message="Keep which trees?", keep=True, auto_approve_if="environment == never")
    @step
    def grown(self, inputs):
        self.kept = [getattr(each, "planted", "nothing") for each in inputs]
        mark(kept=self.kept, said=self.hitl_input)
        self.next(self.all_grown)

    @step
    def all_grown(self, inputs):
        self.kept = [tree for each in inputs for tree in each.kept]
        self.next(self.end)

    @step
    def end(self):
        mark(kept=self.kept)


if __name__ == "__main__":
    Picks()
