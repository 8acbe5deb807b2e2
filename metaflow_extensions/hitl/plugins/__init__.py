"""What this extension adds to Metaflow: a step decorator and a command."""

STEP_DECORATORS_DESC = [("hitl", ".hitl_decorator.HitlDecorator")]
CLIS_DESC = [("hitl", ".hitl_cli.cli")]

# A flow may import `metaflow_extensions.hitl.plugins.hitl_decorator` before it imports metaflow.
# Metaflow, once loading, asks for that same module and must not find it half made: so metaflow is
# loaded here, before any module of this package begins.
import metaflow  # noqa: E402, F401

from . import brought  # noqa: E402

brought.use()
