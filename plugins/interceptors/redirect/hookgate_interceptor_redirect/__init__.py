"""Answer with a redirect to another place."""
