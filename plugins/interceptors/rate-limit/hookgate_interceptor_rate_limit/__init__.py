"""Bound how often callers may call, evenly spread or per calendar window."""
