"""Run a contained flow only for the calls that a condition picks."""
