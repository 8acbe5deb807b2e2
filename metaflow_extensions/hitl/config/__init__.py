"""What this extension changes in Metaflow's configuration."""

# Metaflow is half imported when it loads this module, but the name stands by then.
from metaflow import metaflow_config

# `spin` leaves out step decorators: a gated step must not be spun. `guard.py` holds where a person
# overrides this list.
SPIN_DISALLOWED_DECORATORS = [*metaflow_config.SPIN_DISALLOWED_DECORATORS, "hitl"]
