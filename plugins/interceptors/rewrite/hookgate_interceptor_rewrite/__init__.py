"""Change the path and query of a request before it is forwarded."""
