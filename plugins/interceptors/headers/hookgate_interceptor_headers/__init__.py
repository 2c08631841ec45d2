"""Set, add and remove headers of requests and responses."""
