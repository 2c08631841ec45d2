"""Cannot be imported."""

raise RuntimeError("the house has no roof")
