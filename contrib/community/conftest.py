"""A gateway for the tests of a module."""

import pytest

from .square import serving


@pytest.fixture(scope="module")
def square(tmp_path_factory, store_in):
    """One for all tests of a module."""
    folder = tmp_path_factory.mktemp("square")
    with serving(folder, store_in(folder)) as made:
        yield made
