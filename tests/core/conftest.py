"""What tests of loading share: plugins to load, and a loader that gives what came of it or what is wrong."""

import asyncio
from pathlib import Path

import pytest

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load

PLUGINS = Path(__file__).parent / "plugins_for_loading"


@pytest.fixture(scope="session")
def catalogue():
    """Every plugin that is installed, and those of the folder."""
    return Catalogue(PLUGINS)


@pytest.fixture
def loaded(catalogue):
    """Load a document, and return what it comes to."""

    def run(document, previous=None):
        if isinstance(document, str):
            document = parse(document.encode(), "gateway.yaml")
        return asyncio.run(load(document, catalogue, previous))

    return run


@pytest.fixture
def problems(loaded):
    """Load a document that is wrong, and return what is said of it."""

    def run(document):
        with pytest.raises(ConfigError) as caught:
            loaded(document)
        return [str(problem).removeprefix("document: ") for problem in caught.value.problems]

    return run
