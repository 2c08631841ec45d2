"""Call backends over HTTP/1.1 with httpx."""
