"""Calls that a person approves before they run."""
