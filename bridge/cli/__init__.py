"""The `hitl` command line."""
