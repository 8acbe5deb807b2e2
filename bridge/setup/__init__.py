"""Install and check: `hitl init` and `hitl doctor`."""
