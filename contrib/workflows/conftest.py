"""What runs instances: the contract is the same for every executor, over each database that it knows."""

from typing import NamedTuple

import pytest


class Executing(NamedTuple):
    """An executor, and the URL of a database that is empty."""

    name: str
    url: str

    def section(self, **more):
        """Return a section `workflow_engine`, with what a test needs to be fast."""
        return {"lease": 1, "executor": {self.name: {"poll": "100ms"}}, **more}


def _made(request, tmp_path):
    name, database = request.param
    if database == "sqlite":
        return Executing(name, f"sqlite:///{tmp_path / 'store.db'}")
    return Executing(name, request.getfixturevalue("postgres_url"))


LOCAL, SHARED, QUEUED = ("local", "sqlite"), ("local", "postgresql"), ("procrastinate", "postgresql")


@pytest.fixture(params=[LOCAL, SHARED, QUEUED], ids="-".join)
def executing(request, tmp_path):
    """Each executor, over each database."""
    return _made(request, tmp_path)


@pytest.fixture(params=[SHARED, QUEUED], ids="-".join)
def sharing(request, tmp_path):
    """Each executor that several nodes may have, over one database."""
    return _made(request, tmp_path)
