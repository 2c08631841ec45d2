"""A gateway in front of a sample backend, to be played with."""
