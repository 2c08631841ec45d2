"""Check targets by opening a TCP connection."""
