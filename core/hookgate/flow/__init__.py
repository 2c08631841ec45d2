"""Which steps a call meets: routes, and the walk over their steps."""
