"""The text of a request."""
