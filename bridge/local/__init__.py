"""This machine: its terminal, its notifications, its git identity."""
