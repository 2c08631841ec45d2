"""Who may act: every hook by family, the base classes, and what a plugin may ask of the house."""
