"""The verbs of a gate, and the ports that they use."""
