"""What a step's body leaves behind, so that a test can see whether it ran."""

import json
import os
from pathlib import Path

from metaflow import S3, current


def mark(**facts):
    says = json.dumps({"key": current.pathspec, **facts})
    marks = os.environ["MARKS"]
    if marks.startswith("s3://"):  # a pod on a node of a cluster leaves no file here
        with S3(s3root=f"{marks}/{current.step_name}") as kept:
            kept.put(str(current.task_id), says)
        return
    folder = Path(marks) / current.step_name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(current.task_id)).write_text(says)
