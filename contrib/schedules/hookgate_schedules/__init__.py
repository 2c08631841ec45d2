"""Workflows that are started by the clock (WF-5)."""
