"""Node types that come along."""
