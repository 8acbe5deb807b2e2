"""The record in git."""
