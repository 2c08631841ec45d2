"""Looking at an installation and at what a document comes to: the commands `plugins`, `routes` and `schema`."""

from hookgate_inspect.schema import DIALECT, document_schema, options_schema

__all__ = ["DIALECT", "document_schema", "options_schema"]
