"""HTTP/1.1 in our own hands, from the first byte to the last."""
