"""Everything else, as ASGI through Hypercorn: HTTP/2, pages, what the lane hands over."""
