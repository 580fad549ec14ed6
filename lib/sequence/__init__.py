"""Sequence models: positions, attention, and the book's one transformer."""
