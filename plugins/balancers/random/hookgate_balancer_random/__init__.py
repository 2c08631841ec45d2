"""A random target, by weight."""
