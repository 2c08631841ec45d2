"""Resolve ${env:NAME} from the environment."""

import os
import re
from fnmatch import fnmatchcase

from hookgate import Options, Secret, SecretProvider, hookimpl

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvOptions(Options):
    """Options of `env`."""

    allow: tuple[str, ...] | None = None
    """Patterns of the names that may be read (`CRM_*`); every name if left out. With documents that others write, name
    what is meant for them: an environment also holds what is not."""


class Env(SecretProvider[EnvOptions]):
    """Reads environment variables: `${env:NAME}`, or `${env:NAME:-default}` for one that may be missing or empty."""

    @hookimpl
    def resolve(self, reference: str) -> Secret:
        """Return the value of a variable.

        Raises:
            LookupError: it is not set and there is no default, it may not be read, or that is no name.
        """
        name, has_default, default = reference.partition(":-")
        if not _NAME.fullmatch(name):
            raise LookupError(f"{name!r} is not the name of an environment variable; write ${{env:NAME}}")
        if self.options.allow is not None and not any(fnmatchcase(name, pattern) for pattern in self.options.allow):
            raise LookupError(f"environment variable {name} may not be read; secrets.env.allow does not name it")
        value = os.environ.get(name)
        if has_default and not value:
            value = default
        if value is None:
            raise LookupError(f"environment variable {name} is not set")
        return Secret(value)
