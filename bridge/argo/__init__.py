"""Argo Workflows: injected templates, nodes and the clients that patch them."""
