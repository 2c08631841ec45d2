"""A fresh UUID for a header action."""
