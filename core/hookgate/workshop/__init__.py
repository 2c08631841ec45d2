"""What several plugins share, and core does not use."""
