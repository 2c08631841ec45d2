"""What several plugins share, and core does not use."""

from hookgate.workshop.watching import Follower

__all__ = ["Follower"]
