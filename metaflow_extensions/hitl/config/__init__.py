"""What this extension changes in Metaflow's configuration."""

# Metaflow is half imported when it loads this module, but the list exists by then.
from metaflow import metaflow_config

from metaflow_extensions.hitl.metaflow_version import is_too_old

# `spin` leaves out step decorators: a gated step must not be spun. `guard.py` also holds if a
# person overrides this list.
if not is_too_old():
    SPIN_DISALLOWED_DECORATORS = [*metaflow_config.SPIN_DISALLOWED_DECORATORS, "hitl"]
