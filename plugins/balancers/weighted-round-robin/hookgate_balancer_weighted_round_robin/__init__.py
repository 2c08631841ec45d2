"""Smooth weighted round robin over the targets of a connection."""
