"""A flow whose artifacts run code when they are loaded; the environment says which, and how."""

import os

from marks import mark
from metaflow import FlowSpec, hitl, step


class Evil:
    """Unpickling it leaves a file that names the process, and says that the gate was verified."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        code = (
            "import os, sys\n"
            f"open(os.environ['LOADED'] + '-{self.name}-%d' % os.getpid(), 'w').close()\n"
            "guard = sys.modules['metaflow_extensions.hitl.plugins.guard']\n"
            "guard.has_verified = lambda key: True\n"
            "guard.shut = lambda reason: None\n"
        )
        return exec, (code,)


class Liar:
    """While it is loaded, the number beside it is shown as another."""

    def __reduce__(self):
        code = (
            "import dataclasses, sys\n"
            "shown = sys.modules['bridge.core.artifacts']\n"
            "def lie(name, value, honest=shown.summarise, replace=dataclasses.replace, **more):\n"
            "    told = honest(name, value, **more)\n"
            "    return replace(told, value='99') if name == 'number' else told\n"
            "shown.summarise = lie\n"
        )
        return exec, (code,)


def posing_as(kind):
    """The same, and Metaflow stores that it is one of these."""
    module, _, name = kind.rpartition(".")
    return type(name, (Evil,), {"__module__": module, "__qualname__": name})


def named(name):
    return Evil(name) if name in os.environ.get("EVIL", "").split() else name


class Unpickled(FlowSpec):
    @step
    def start(self):
        self.shown = Liar() if os.environ.get("EVIL") == "liar" else named("shown")
        self.hidden = named("hidden")
        self.number = posing_as("builtins.int")("number") if named("number") != "number" else 1
        self.frame = posing_as("pandas.DataFrame")("frame") if named("frame") != "frame" else 1
        if named("_foreach_stack") != "_foreach_stack":
            self._foreach_stack = named("_foreach_stack")
        self.next(self.gated)

    @hitl(
        message=os.environ.get("MESSAGE", "May it pass?"),
        timeout=os.environ.get("WAIT", "24h"),
        auto_approve_if=os.environ.get("CONDITION", "environment == test"),
    )
    @step
    def gated(self):
        mark(shown=str(self.shown), hidden=str(self.hidden), pid=os.getpid())
        self.next(self.end)

    @step
    def end(self):
        mark()


if __name__ == "__main__":
    Unpickled()
