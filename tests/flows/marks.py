"""What a step's body leaves behind, so that a test can see whether it ran."""

import json
import os
from pathlib import Path

from metaflow import current


def mark(**facts):
    folder = Path(os.environ["MARKS"]) / current.step_name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(current.task_id)).write_text(json.dumps({"key": current.pathspec, **facts}))
