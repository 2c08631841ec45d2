"""Documents as tests of loading write them."""


def route(*flow, **more):
    """Return a route with these steps."""
    return {"name": "one", "flow": list(flow), **more}


def routed(*flow, **more):
    """Return a document of one route with these steps."""
    return {"routes": [route(*flow)], **more}
