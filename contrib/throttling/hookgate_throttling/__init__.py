"""Tiers, block lists, and the step that holds a call to all of its limits at once."""
