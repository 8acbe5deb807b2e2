"""What `from metaflow import ...` offers besides."""

toplevel = "names"
