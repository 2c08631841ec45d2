"""The less busy of two random targets."""
