"""Runs a command of a pod twice, the first time that one of its kind comes: in a process of its
own, and by the warm Python. POD_BOTH is the folder for what both said and how they ended.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

KINDS = (
    "set_parameters", "conditional_input_paths", "dump", "init", "open", "step start", "step loop",
)  # fmt: skip

own = [os.environ["POD_PYTHON"], *sys.argv[1:]]
asks = [own[0], "-I", "-S", str(Path(__file__).with_name("ask.py")), *sys.argv[1:]]
words = " ".join(sys.argv[1:]).replace(".", " ") + " "
kind = next((each for each in KINDS if f" {each} " in words), "")
folder = Path(os.environ["POD_BOTH"]) / kind
if folder.exists():
    os.execv(asks[0], asks)  # noqa: S606

folder.mkdir()
door = int(os.environ["POD_DOOR"])
alone = {name: each for name, each in os.environ.items() if name != "POD_DOOR"}
for name, command, env in (("own", own, alone), ("warm", asks, dict(os.environ))):
    done = subprocess.run(command, env=env, capture_output=True, text=True, pass_fds=[door])
    ended = {"code": done.returncode, "said": done.stdout, "faults": done.stderr}
    (folder / f"{name}.json").write_text(json.dumps(ended))
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
sys.exit(done.returncode)
