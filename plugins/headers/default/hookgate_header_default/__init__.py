"""A fixed value for a header action."""
