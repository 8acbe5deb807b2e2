"""Which Metaflow a gate needs. An older one loads this extension too, and must not break."""

from typing import NoReturn

NEEDED = "2.19"


def is_too_old() -> bool:
    """Whether this Metaflow is older than the first one with `spin`, which gates are made for.

    Not by its number: `config` asks while Metaflow is half imported and has none yet.
    """
    from metaflow import metaflow_config

    return not hasattr(metaflow_config, "SPIN_DISALLOWED_DECORATORS")


def refuse() -> NoReturn:
    """End the process with one sentence: this Metaflow cannot hold the step's gate shut."""
    import metaflow

    raise SystemExit(
        f"@hitl needs Metaflow {NEEDED} or newer, and this is Metaflow {metaflow.__version__}:"
        f" install `metaflow>={NEEDED}`, or take @hitl off the step."
    )
