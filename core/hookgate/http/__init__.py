"""HTTP on the side of the client."""
