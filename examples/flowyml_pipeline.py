"""A gate between two steps of a FlowyML pipeline (`pip install 'flowyml>=2.2,<2.3'`).

python examples/flowyml_pipeline.py
"""

from flowyml import Pipeline, step

from bridge.entrypoints.flowyml import approval


@step(outputs=["model"])
def train():
    return {"name": "churn", "accuracy": 0.94}


@step(inputs=["approved"], outputs=["deployed"])
def deploy(approved):
    return f"deployed {approved['name']}"


def pipeline() -> Pipeline:
    made = Pipeline("churn")
    made.add_step(train)
    made.add_step(
        approval(
            "review",
            "anyone",
            message="Deploy {self.model[name]} at {self.model[accuracy]:.0%}?",
            inputs=["model"],
            outputs=["approved"],
            timeout_seconds=3600,
        )
    )
    made.add_step(deploy)
    return made


if __name__ == "__main__":
    result = pipeline().run(auto_start_ui=False)
    print(result.outputs.get("deployed"))
    raise SystemExit(0 if result.success else 1)
