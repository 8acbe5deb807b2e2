"""A gate in a workflow that is written in Python with Hera (`pip install hera`).

`approval-gate` is the WorkflowTemplate in templates/argo: apply it once to the namespace. This
prints the workflow; `Workflow.create()` would send it.
"""

from hera.workflows import DAG, Container, Parameter, Task, Workflow
from hera.workflows.models import TemplateRef, ValueFrom

with Workflow(
    generate_name="deploy-",
    entrypoint="main",
    labels={"approval-bridge/gated": "true"},  # by it the reconciler finds what waits
) as workflow:
    train = Container(
        name="train",
        image="python:3.11",
        command=["sh", "-c", "echo 0.93 > /mnt/accuracy"],
        outputs=[Parameter(name="accuracy", value_from=ValueFrom(path="/mnt/accuracy"))],
    )
    deploy = Container(
        name="deploy",
        image="python:3.11",
        inputs=[Parameter(name="input")],
        command=["echo", "{{inputs.parameters.input}}"],
    )
    with DAG(name="main"):
        accuracy = "tasks.train.outputs.parameters.accuracy"
        Task(name="train", template=train)
        Task(
            name="approve",
            depends="train.Succeeded",
            template_ref=TemplateRef(name="approval-gate", template="gate"),
            arguments={
                "message": "Deploy the model?",
                "approvers": "ann, bob",
                "input": '{"target": "str"}',
                "artifacts": f"{{{{=toJson({{'accuracy': {accuracy}}})}}}}",
            },
        )
        Task(
            name="deploy",
            # A bare name would do with a gate that was skipped.
            depends="approve.Succeeded",
            template=deploy,
            arguments={"input": "{{tasks.approve.outputs.parameters.inputs}}"},
        )

if __name__ == "__main__":
    print(workflow.to_yaml())
