"""Settings of the process, from the environment (``HOOKGATE_…``). The document says everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a process is told before it has read a document."""

    model_config = SettingsConfigDict(env_prefix="HOOKGATE_", extra="ignore", use_attribute_docstrings=True)

    config: Path | None = None
    """The document to serve, where the command line names none."""
    source: str | None = None
    """Name of the source plugin that reads the document, where it is not the default one."""
    source_options: str | None = None
    """Options of the source, a JSON object; one that has an option ``path`` gets the document there."""
    plugins_dir: Path | None = None
    """A folder whose ``*.py`` files hold plugins of this site. Never taken from a document."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the process says on stderr."""
    log_format: Literal["text", "json"] = "text"
    """How: lines for people, or one JSON object a line for programs."""
    management_url: str = "http://127.0.0.1:8001"
    """Where ``hookgate reload`` and ``hookgate connections`` find the running gateway."""
