"""Give every call an id, take over a trusted one, and show it to backend and client."""
