"""A GitHub for tests: stateful, on 127.0.0.1, true to GitHub's own description."""

from tests.github.server import GitHub

__all__ = ["GitHub"]
