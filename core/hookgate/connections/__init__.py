"""The ways to backends."""
