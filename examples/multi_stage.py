"""Two gates on the way to production: one person lets it into staging, others into production.

    python examples/multi_stage.py run

On GitHub the policy has an entry for each step: examples/policies/multi_stage.yml.
"""

from metaflow import FlowSpec, hitl, step


class MultiStage(FlowSpec):
    @step
    def start(self):
        self.accuracy = 0.941
        self.latency_ms = 38.0
        self.next(self.staging)

    @hitl(
        message="Accuracy {self.accuracy:.1%}: deploy to staging?",
        better={"accuracy": "higher", "latency_ms": "lower"},
        timeout="24h",
    )
    @step
    def staging(self):
        print("deployed to staging")
        self.errors_in_staging = 2
        self.next(self.production)

    @hitl(
        message="{self.errors_in_staging} errors in staging: deploy to production?",
        input_schema={"share": {"type": "number", "minimum": 0.01, "maximum": 1}},
        timeout="3d",
    )
    @step
    def production(self):
        self.share = self.hitl_input["share"]
        print(f"deployed to production, for {self.share:.0%} of the traffic")
        self.next(self.end)

    @step
    def end(self):
        print("approved by", ", ".join(self.hitl_decision["approvers"]))


if __name__ == "__main__":
    MultiStage()
