"""Check targets with an HTTP request and an expected status code."""
