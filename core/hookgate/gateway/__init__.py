"""Generations: what a document comes to, and what serves calls from it."""
