"""The value of an environment variable for a header action."""
