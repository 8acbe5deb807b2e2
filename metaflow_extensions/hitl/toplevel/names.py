"""`from metaflow import hitl`.

Metaflow makes a name for every step decorator by itself; this one takes its place, because it also
guards the step's function (see `plugins/guard.py`).
"""

from metaflow_extensions.hitl.plugins.hitl_decorator import hitl

__all__ = ["hitl"]
