"""The GitHub API."""
