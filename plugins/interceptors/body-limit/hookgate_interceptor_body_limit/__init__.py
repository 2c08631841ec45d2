"""Refuse bodies that are longer than a route should take."""
