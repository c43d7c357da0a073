"""Turns the bundle's Markdown into tests: fences, their vocabulary, how a block runs."""
