"""What tests of the gateway share, unless they have their own."""

import pytest


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    """Whether calls come through the lane, or through the edge."""
    return request.param
