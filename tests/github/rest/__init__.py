"""GitHub's REST operations, by their ids in its own description."""

from tests.github.rest import accounts, actions, git, issues, pulls, repos
from tests.github.rest.route import OPERATIONS, Answer, Call

__all__ = ["OPERATIONS", "Answer", "Call", "accounts", "actions", "git", "issues", "pulls", "repos"]
