"""A gate in the body of a nested foreach, whose no skips that split alone."""

from marks import mark
from metaflow import FlowSpec, catch, hitl, retry, step


class Skips(FlowSpec):
    @step
    def start(self):
        self.regions = ["north", "south"]
        self.next(self.region, foreach="regions")

    @step
    def region(self):
        self.trees = ["oak", "elm"] if self.input == "north" else ["fir"]
        self.next(self.plant, foreach="trees")

    @catch(var="failed")
    @retry(times=1)
    @hitl(message="Plant {self.input}?", on_reject="skip", auto_approve_if="input != elm")
    @step
    def plant(self):
        self.planted = self.input
        mark(tree=self.input)
        self.next(self.water)

    @step
    def water(self):
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.kept = [each.planted for each in inputs if each.hitl_decision["outcome"] == "approved"]
        decisions = [each.hitl_decision for each in inputs]
        self.said = [each["reason"] for each in decisions if each["outcome"] != "approved"]
        self.next(self.regions_joined)

    @step
    def regions_joined(self, inputs):
        self.kept = [tree for each in inputs for tree in each.kept]
        self.said = [reason for each in inputs for reason in each.said]
        self.next(self.end)

    @step
    def end(self):
        mark(kept=self.kept, said=self.said)


if __name__ == "__main__":
    Skips()
